"""Comments for whoever reads a lifted module: where each function stood, and what was there.

Above each definition: the name as people write it, place and size in the input, the strings that it
refers to, and its instructions with their addresses and, if the input has debug information, the
lines of source. Safe to call from several threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.lift import Lift
from llm_compiler.disassembly.naming import quoted_name
from llm_compiler.llvm.demangle import demangled
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

__all__ = ["annotated", "source_lines"]

_TIMEOUT_S = 120.0
_MAX_STRINGS = 12
_SECTION = re.compile(r"^Disassembly of section (.*):$")
_SOURCE = re.compile(r"^; (.*):(\d+)(?: \(discriminator \d+\))?$")
_PLACE = re.compile(r"^\s*([0-9a-f]+):\s")
_NAMED_STRING = re.compile(r'^(\.L[^\s:]*):\n\.(?:asciz|string|ascii) (".*")$', re.MULTILINE)
_LOCAL = re.compile(r"\.L[\w.$]+")
_NEXT_PART = re.compile(r"^\.(?:section|data|bss|rodata|size|text)\b")
_STRING = re.compile(r'^\.(?:asciz|string|ascii) (".*")$', re.MULTILINE)


def annotated(
    module: str, binary: Binary, lifts: Sequence[Lift], toolchain: Toolchain, path: Path
) -> str:
    """Return a module's text with a comment above each function.

    Args:
        path: the ELF file that was read.
    """
    names = demangled([each_lift.outcome.name for each_lift in lifts])
    lines = source_lines(path, binary, toolchain)
    for lift in lifts:
        name = lift.outcome.name
        own = rf"@{re.escape(quoted_name(name))}"
        draft = rf"@{re.escape(quoted_name(f'{name}.{lift.outcome.verdict.value}'))}"
        start = rf"^(?:; Function Attrs: .*\n)?define [^\n]*(?:{own}|{draft})\("
        if match := re.search(start, module, re.MULTILINE):
            said = "".join(f"; {line}\n" for line in _comment(binary, lift, names[name], lines))
            module = module[: match.start()] + said + module[match.start() :]
    return module


def _comment(
    binary: Binary, lift: Lift, shown: str, lines: dict[tuple[int, int], str]
) -> Iterator[str]:
    symbol = binary.elf.symbol(lift.outcome.name)
    if symbol is None or not symbol.is_defined:
        return
    section = binary.elf.sections[symbol.section]
    end = binary.end_of(symbol)
    yield f"{shown}: {section.name} at {symbol.value:#x}, {end - symbol.value} bytes"
    strings = _STRING.findall(lift.outcome.assembly)
    if strings:
        more = ", ..." if len(strings) > _MAX_STRINGS else ""
        yield f"strings: {', '.join(strings[:_MAX_STRINGS])}{more}"
    before = ""
    listed = binary.listing.between(symbol.section, symbol.value, end)
    named = _named_operands(lift.outcome.assembly, lift.outcome.name)
    for number, instruction in enumerate(listed):
        line = lines.get((symbol.section, instruction.address), "")
        if line and line != before:
            yield f"  {line}"
            before = line
        shown = " ".join(instruction.text.split())
        if len(named) == len(listed):
            shown = named[number] or shown
        yield f"  {instruction.address:8x}  {shown}"


def _named_operands(assembly: str, name: str) -> list[str]:
    """Return a function's instructions with the names of what they refer to, and strings.

    Empty are those that name a place of the function's own, for which an address says more.
    """
    strings = dict(_NAMED_STRING.findall(assembly))
    _, _, body = assembly.partition(f"{quoted_name(name)}:\n")
    found: list[str] = []
    for line in body.splitlines():
        if _NEXT_PART.match(line):
            break
        if line.startswith(".") or line.endswith(":"):
            continue
        text = "" if ".LBB" in line else line
        if match := _LOCAL.search(text):
            text += f"  {strings[match[0]]}" if match[0] in strings else ""
        found.append(text)
    return found


def source_lines(path: Path, binary: Binary, toolchain: Toolchain) -> dict[tuple[int, int], str]:
    """Return by section and address the line of source that an instruction came from.

    Empty where there is no debug information.
    """
    if not any(each_section.name.startswith(".debug_line") for each_section in binary.elf.sections):
        return {}
    objdump = toolchain.tool("llvm-objdump")
    command: list[str | Path] = [objdump, "--disassemble", "--line-numbers", path]
    done = run(command, timeout_s=_TIMEOUT_S)
    if not done.ok:
        return {}
    remaining = iter(
        [
            each_section
            for each_section in binary.elf.sections
            if each_section.is_code and each_section.size
        ]
    )
    found: dict[tuple[int, int], str] = {}
    section, line = 0, ""
    for text in done.stdout.decode("utf-8", "replace").splitlines():
        if match := _SECTION.match(text):
            here = next(
                (each_section for each_section in remaining if each_section.name == match[1]), None
            )
            if here is None:
                return found
            section, line = here.index, ""
        elif match := _SOURCE.match(text):
            line = f"{match[1].rsplit('/', 1)[-1]}:{match[2]}"
        elif (match := _PLACE.match(text)) and line:
            found[section, int(match[1], 16)] = line
    return found
