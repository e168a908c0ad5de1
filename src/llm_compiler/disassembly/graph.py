"""A lifted function's control flow, as DOT and as a page beside the assembly that it came from.

Reads IR as LLVM prints it. Pure functions.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from llm_compiler.disassembly.naming import quoted_name

__all__ = ["Block", "blocks_of", "to_dot", "to_html"]

_LABEL = re.compile(r'^("(?:[^"\\]|\\.)*"|[-\w.$]+):')
_TARGET = re.compile(r'\blabel %("(?:[^"\\]|\\.)*"|[-\w.$]+)')
_LINE_PX, _CHARACTER_PX, _GAP_PX = 15, 7.3, 36
_MOST_CHARACTERS = 72
"""In a line of a block; longer ones, of many predecessors, go on in the next."""
_STYLE = """body { font: 13px system-ui, sans-serif; margin: 1em; }
main { display: flex; gap: 2em; align-items: flex-start; }
pre, text { font: 12px ui-monospace, monospace; }
pre { background: #f6f6f6; padding: 1em; margin: 0; flex: none; max-width: 40vw; overflow: auto; }
svg { flex: none; }
rect { fill: #fbfbff; stroke: #668; }
path { fill: none; stroke: #668; marker-end: url(#tip); }
path.back { stroke: #b50; }
#tip path { fill: #668; stroke: none; marker-end: none; }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A basic block: its name, its instructions, and where it goes."""

    name: str
    lines: tuple[str, ...]
    successors: tuple[str, ...]


def blocks_of(module: str, function: str) -> list[Block]:
    """Return the blocks of a function in a module's text; none where it is not defined."""
    head = re.search(rf"^define .*@{re.escape(quoted_name(function))}\(", module, re.MULTILINE)
    if head is None:
        return []
    found: list[Block] = []
    lines: list[str] = []
    name = "entry"
    for line in module[head.start() :].splitlines()[1:]:
        if line.startswith("}"):
            break
        if match := _LABEL.match(line):
            if lines or found:
                found.append(_block(name, lines))
            name, lines = match[1].strip('"'), []
        elif line.strip():
            lines.append(line.strip())
    return [*found, _block(name, lines)]


def _block(name: str, lines: Sequence[str]) -> Block:
    # Switches and invokes take several lines; what stands before the end names no label but phis'.
    targets = [
        item.strip('"')
        for line in lines
        if not re.match(r"%\S+ = phi ", line)
        for item in _TARGET.findall(line)
    ]
    return Block(name=name, lines=tuple(lines), successors=tuple(dict.fromkeys(targets)))


def to_dot(function: str, blocks: Sequence[Block]) -> str:
    """Return the graph in Graphviz's language."""

    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"')

    lines = [f'digraph "{quoted(function)}" {{', '  node [shape=box, fontname="monospace"];']
    for block in blocks:
        label = "\\l".join(quoted(line) for line in (f"{block.name}:", *block.lines)) + "\\l"
        lines.append(f'  "{quoted(block.name)}" [label="{label}"];')
        lines += [f'  "{quoted(block.name)}" -> "{quoted(other)}";' for other in block.successors]
    return "\n".join([*lines, "}", ""])


def to_html(title: str, verdict: str, assembly: str, blocks: Sequence[Block]) -> str:
    """Return a page that needs nothing else: the graph beside the assembly."""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<h1>{html.escape(title)}</h1><p>{html.escape(verdict)}</p>
<main><pre>{html.escape(assembly)}</pre>
{_picture(blocks)}</main></html>
"""


def _picture(blocks: Sequence[Block]) -> str:
    layers = _layers(blocks)
    texts = {
        block.name: [piece for line in (f"{block.name}:", *block.lines) for piece in _folded(line)]
        for block in blocks
    }
    sizes = {
        name: (
            round(max(map(len, lines)) * _CHARACTER_PX) + 16,
            len(lines) * _LINE_PX + 10,
        )
        for name, lines in texts.items()
    }
    widths = [sum(sizes[block.name][0] + _GAP_PX for block in layer) for layer in layers]
    width = max(widths, default=0)
    positions: dict[str, tuple[int, int]] = {}
    y = 0
    for layer, own in zip(layers, widths, strict=True):
        x = (width - own) // 2
        for each_block in layer:
            positions[each_block.name] = x, y
            x += sizes[each_block.name][0] + _GAP_PX
        y += max(sizes[block.name][1] for block in layer) + _GAP_PX
    arrows, boxes = [], []
    for each_block in blocks:
        (x, top), (w, h) = positions[each_block.name], sizes[each_block.name]
        boxes.append(f'<rect x="{x}" y="{top}" width="{w}" height="{h}"/>')
        for number, line in enumerate(texts[each_block.name]):
            at = top + (number + 1) * _LINE_PX
            boxes.append(
                f'<text x="{x + 8}" y="{at}" xml:space="preserve">{html.escape(line)}</text>'
            )
        for other in each_block.successors:
            if other in positions:
                to_x, to_y = positions[other][0] + sizes[other][0] // 2, positions[other][1]
                kind = ' class="back"' if to_y <= top else ""
                start = x + w // 2, top + h
                arrows.append(
                    f'<path{kind} d="M {start[0]} {start[1]} C {start[0]} {start[1] + 24}, '
                    f'{to_x} {to_y - 24}, {to_x} {to_y}"/>'
                )
    return (
        f'<svg width="{width + 8}" height="{y + 8}"><defs><marker id="tip" markerWidth="8" '
        'markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker>'
        f"</defs>{''.join(arrows + boxes)}</svg>"
    )


def _folded(line: str) -> list[str]:
    """Return a line as lines that are short enough to be read in a picture."""
    return textwrap.wrap(
        line,
        _MOST_CHARACTERS,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _layers(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return blocks in rows: each below all that lead to it from above it in the text."""
    order = {block.name: number for number, block in enumerate(blocks)}
    depth = dict.fromkeys(order, 0)
    for each_block in blocks:
        for other in each_block.successors:
            if order.get(other, -1) > order[each_block.name]:
                depth[other] = max(depth[other], depth[each_block.name] + 1)
    layers: list[list[Block]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for each_block in blocks:
        layers[depth[each_block.name]].append(each_block)
    return [layer for layer in layers if layer]
