"""A function's proved text, taken apart: instructions, labels, jump tables, constants, call sites.

Target-independent: operands stay text here, a target's table parses them. The data that is no part
of the code is left to `dataset.lifting`, which makes IR of it. Pure functions on text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.dataset.lifting.module_text import DIRECTIVE_BYTES
from llm_compiler.disassembly.rules.formats import text_of

__all__ = ["Code", "HandledRange", "Line", "Unliftable", "parse_code"]

_LABEL: Final = re.compile(r'^([\w.$@]+|"(?:[^"\\]|\\.)*"):$')
_FUNCTION: Final = re.compile(r'^\.type ("(?:[^"\\]|\\.)*"|[^,\s]+), @function$')
_PREFIXES: Final = frozenset({"lock", "rep", "repne", "repe", "repz", "repnz", "data16", "notrack"})
_DECLARATIONS: Final = (".hidden ", ".globl ", ".weak ", ".type ", ".size ", ".local ", ".comm ")
_STRING: Final = re.compile(r'\.asciz "(.*)"$')
_DISTANCE: Final = re.compile(r"\.uleb128 (\.L[\w.]+)-(\.L[\w.]+)$")


class Unliftable(Exception):
    """A function that the rules have no words for: what is missing, and where.

    Args:
        cause: in words that can be counted over a corpus: "no rule for 'fldt'".
        instruction: the whole instruction, for a reader.
    """

    def __init__(self, cause: str, instruction: str = "") -> None:
        super().__init__(f"{cause} (in '{instruction}')" if instruction else cause)
        self.cause, self.instruction = cause, instruction


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction. `prefix`: ``lock``, ``rep`` and their kind; empty for most."""

    number: int
    text: str
    prefix: str
    mnemonic: str
    operands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HandledRange:
    """Instructions from `first` up to but not `end` whose calls unwind to a landing pad."""

    first: int
    end: int
    landing_pad: str
    types: tuple[str, ...]
    """What the pad catches, in the order of its clauses; empty name: everything."""
    is_cleanup: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A function as its instructions, and what they refer to by label."""

    name: str
    lines: tuple[Line, ...] = field(repr=False)
    labels: Mapping[str, int] = field(repr=False)
    """Number of the instruction that each local label stands in front of."""
    tables: Mapping[str, tuple[str, ...]] = field(repr=False)
    """Jump tables: the labels of their entries."""
    constants: Mapping[str, bytes] = field(repr=False)
    """Constant pools, and other read-only private data without pointers."""
    strings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Constant strings, by label."""
    handled: tuple[HandledRange, ...] = ()
    caught_types: tuple[str, ...] = ()
    """Of the exception table, by their numbers from 1 on; empty for what catches everything."""
    personality: str = ""
    plain_text: str = field(default="", repr=False)
    """The text without exception table: what the data is read from."""

    def line_of(self, label: str) -> int:
        """Return the number of the instruction after a label.

        Raises:
            Unliftable: there is none.
        """
        found = self.labels.get(label)
        if found is None or found >= len(self.lines):
            raise Unliftable("a jump out of the function", label)
        return found


def parse_code(text: str) -> Code:
    """Take a function's text in normal form apart.

    Raises:
        Unliftable: it is no text of one function.
    """
    pieces, name = _pieces(text)
    if name not in pieces:
        raise Unliftable("a text without function")
    lines: list[Line] = []
    labels: dict[str, int] = {}
    personality = ""
    for line in pieces[name]:
        if match := _LABEL.match(line):
            labels[match[1]] = len(lines)
        elif line[0] == ".":
            if line.startswith(".cfi_personality"):
                personality = line.rpartition(", ")[2].removeprefix("DW.ref.")
        else:
            lines.append(_line(len(lines), line))
    if not lines:
        raise Unliftable("a function without instructions")
    tables: dict[str, tuple[str, ...]] = {}
    constants: dict[str, bytes] = {}
    strings: dict[str, str] = {}
    for label, body in pieces.items():
        if label == name:
            continue
        if (entries := _entries(body, labels)) is not None:
            tables[label] = entries
        elif label.startswith(".L") and (data := _bytes(body)) is not None:
            constants[label] = data
        elif label.startswith(".L") and (match := _STRING.match(body[0] if body else "")):
            strings[label] = text_of(match[1])
    handled, caught_types = _handled(pieces, labels)
    return Code(
        name=name.strip('"'),
        lines=tuple(lines),
        labels=labels,
        tables=tables,
        constants=constants,
        strings=strings,
        handled=handled,
        caught_types=caught_types,
        personality=personality,
        plain_text=_without_exceptions(text),
    )


def _pieces(text: str) -> tuple[dict[str, list[str]], str]:
    """Return what follows each label that is no local label of code, and the function's label."""
    name = ""
    pieces: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if not line:
            continue
        if match := _FUNCTION.match(line):
            name = match[1]
        elif line.startswith((".section ", ".text", ".data", ".bss")):
            current = []
        elif match := _LABEL.match(line):
            is_local = match[1].startswith((".LBB", ".Ltmp", ".Lfunc_begin", ".Lfunc_end"))
            if current is pieces.get(name) and match[1].startswith(".L"):
                is_local = True
            if is_local or match[1].startswith((".Lcst", ".Lttbase", ".Lexception")):
                current.append(line)
            else:
                current = pieces.setdefault(match[1], [])
        elif not line.startswith(_DECLARATIONS):
            current.append(line)
    return pieces, name


def _line(number: int, text: str) -> Line:
    words = text.split(" ", 1)
    prefix = ""
    if words[0] in _PREFIXES and len(words) > 1:
        prefix = words[0]
        words = words[1].split(" ", 1)
    operands = _operands(words[1]) if len(words) > 1 else ()
    return Line(number, text, prefix, words[0], operands)


def _operands(text: str) -> tuple[str, ...]:
    """Split at the commas outside brackets and quotes."""
    found: list[str] = []
    depth, start, quoted = 0, 0, False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            found.append(text[start:position].strip())
            start = position + 1
    found.append(text[start:].strip())
    return tuple(found)


def _entries(body: Sequence[str], labels: Mapping[str, int]) -> tuple[str, ...] | None:
    """Return the labels of a jump table's entries; None where the data is none."""
    found = []
    for line in body:
        word, _, rest = line.partition(" ")
        if word == ".p2align":
            continue
        if word not in DIRECTIVE_BYTES:
            return None
        label = rest.strip("(").split("-")[0]
        if label not in labels:
            return None
        found.append(label)
    return tuple(found) if found else None


def _bytes(body: Sequence[str]) -> bytes | None:
    """Return data that holds numbers only."""
    found = bytearray()
    for line in body:
        word, _, rest = line.partition(" ")
        if word in (".p2align", ".size", ".type"):
            continue
        try:
            if word in DIRECTIVE_BYTES:
                width = DIRECTIVE_BYTES[word]
                for value in rest.split(","):
                    found += (int(value, 0) % (1 << 8 * width)).to_bytes(width, "little")
            elif word == ".zero":
                found += bytes(int(rest, 0))
            else:
                return None
        except ValueError:
            return None
    return bytes(found)


def _handled(
    pieces: Mapping[str, Sequence[str]], labels: Mapping[str, int]
) -> tuple[tuple[HandledRange, ...], tuple[str, ...]]:
    """Read the exception table: who unwinds where, what is caught there, and types by number."""
    body = next((body for name, body in pieces.items() if name.startswith("GCC_except_table")), ())
    if not body:
        return (), ()
    lines = [line for line in body if not line.startswith(".p2align")]
    if ".Lcst_begin0:" not in lines or ".Lcst_end0:" not in lines:
        raise Unliftable("an exception table of another form")
    sites = lines[lines.index(".Lcst_begin0:") + 1 : lines.index(".Lcst_end0:")]
    rest = lines[lines.index(".Lcst_end0:") + 1 :]
    actions: list[tuple[int, int]] = []
    types: list[str] = []
    for line in rest:
        word, _, value = line.partition(" ")
        if word == ".byte":
            actions.append((int(value, 0), 0))
        elif word in (".long", ".quad", ".word", ".xword"):
            types.append("" if value == "0" else value.split("-")[0])
    if any(word.startswith(".uleb128 ") for word in rest):
        raise Unliftable("an exception specification")
    found = []
    for position in range(0, len(sites) - 3, 4):
        first, length, pad, action = sites[position : position + 4]
        match, extent, target = (_DISTANCE.match(text) for text in (first, length, pad))
        if match is None or extent is None or target is None or target[1] not in labels:
            continue
        number = int(action.partition(" ")[2], 0)
        caught, is_cleanup = _caught([pair[0] for pair in actions], number, types)
        found.append(
            HandledRange(
                labels[match[1]], labels.get(extent[1], 1 << 30), target[1], caught, is_cleanup
            )
        )
    return tuple(found), tuple(_type_name(slot) for slot in reversed(types))


def _type_name(slot: str) -> str:
    return slot.removeprefix(".L").removesuffix(".DW.stub")


def _caught(
    actions: Sequence[int], number: int, types: Sequence[str]
) -> tuple[tuple[str, ...], bool]:
    """Follow a chain of actions: pairs of a type's number and the way to the next, in bytes.

    `number`: the place of the first one, from 1; 0 is a cleanup without catching.
    """
    caught: list[str] = []
    is_cleanup = number == 0
    position = number - 1
    while 0 <= position < len(actions) - 1:
        filter_ = actions[position] - 256 if actions[position] > 127 else actions[position]
        step = actions[position + 1]
        step = step & 127
        step = step - 128 if step > 63 else step
        if filter_ == 0:
            is_cleanup = True
        elif filter_ < 0 or filter_ > len(types):
            raise Unliftable("an exception specification")
        else:
            caught.append(_type_name(types[-filter_]))
        if step == 0:
            break
        position += 1 + step
    return tuple(caught), is_cleanup


def _without_exceptions(text: str) -> str:
    """Drop exception table and call-frame directives, which the readers of data do not know."""
    kept: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line.startswith((".section ", ".text", ".data", ".bss")):
            skipping = line.startswith((".section .gcc_except_table", ".section .data.DW.ref"))
        if skipping and line.startswith(_DECLARATIONS) and "DW.ref." not in line:
            kept.append(line)  # of what stands in the next section
        elif not skipping and not line.startswith((".cfi_", ".Lfunc_end", ".Lfunc_begin")):
            kept.append(line)
    return "".join(line + "\n" for line in kept)
