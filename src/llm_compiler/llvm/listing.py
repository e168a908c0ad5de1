"""The instructions of an ELF file's code sections, as ``llvm-objdump`` prints them.

One run a file. Texts are in LLVM's own spelling but for what a linker fills in, which stands there
as a number; `disassembly` puts the symbols in. Safe to call from several threads.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import ElfFile
from llm_compiler.llvm.targets import target_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

__all__ = ["Instruction", "Listing", "make_listing"]

_TIMEOUT_S = 300.0
_SECTION = re.compile(r"^Disassembly of section (.*):$")
_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*?)\s*$")
_TARGET = re.compile(r"0x([0-9a-f]+) <([^>]*)>")
_HEX_TARGET = re.compile(r"^(.*?)(-?)0x([0-9a-f]+)$")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `address` counts as `Section.address` plus the offset in the section.

    `target` is the address that the disassembler computed for a branch or an operand relative to
    the program counter, and `hint` the symbol that it names there. The text keeps the target as
    ``0x...``, without a comment.
    """

    address: int
    size: int
    text: str
    target: int | None
    hint: str

    @property
    def end(self) -> int:
        """Where the next instruction begins."""
        return self.address + self.size

    @property
    def mnemonic(self) -> str:
        """The first word, or the second where the first is a prefix."""
        words = self.text.split(" ", 2)
        return words[1] if words[0] in _PREFIXES and len(words) > 1 else words[0]

    @property
    def is_data(self) -> bool:
        """Whether the disassembler took it for data, or could make nothing of it."""
        return self.text.startswith((".", "<unknown>"))


# Printed on lines of their own, by the disassembler as by the code generator.
_JOINED = ("lock", "rep", "repne")
_PREFIXES = ("lock", "rep", "repne", "notrack", "data16", "addr32", "rex64", "bnd")


class Listing:
    """The instructions of each code section, by the section's index."""

    def __init__(self, sections: dict[int, list[Instruction]]) -> None:
        self._sections = sections
        self._starts = {
            i: [instruction.address for instruction in found] for i, found in sections.items()
        }

    def between(self, section: int, start: int, end: int) -> Sequence[Instruction]:
        """Return the instructions that begin in a range of addresses."""
        starts = self._starts.get(section, [])
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        return self._sections[section][first:last] if starts else []


def make_listing(path: Path, elf: ElfFile, toolchain: Toolchain) -> Listing:
    """Disassemble the code sections of a file.

    Raises:
        InputError: the disassembler refuses the file.
        ToolchainNotFound: there is no llvm-objdump.
    """
    command: list[str | Path] = [
        toolchain.tool("llvm-objdump"),
        "--disassemble",
        "--disassemble-zeroes",
        "--no-show-raw-insn",
        "--no-print-imm-hex",
        *target_of(elf.architecture).assembly.options,
        path,
    ]
    completed = run(command, timeout_s=_TIMEOUT_S)
    if not completed.ok:
        said = completed.stderr_text.strip().splitlines()
        reason = "took too long" if completed.timed_out else (said or ["no message"])[0]
        raise InputError(f"llvm-objdump cannot read {path}: {reason}")
    comment = target_of(elf.architecture).assembly.comment
    code = [
        each_section
        for each_section in elf.sections
        if each_section.is_code and each_section.size and not each_section.takes_no_space
    ]
    rows: dict[int, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] = []
    remaining = iter(code)
    ends: dict[int, int] = {}
    for line in completed.stdout.decode("utf-8", "replace").splitlines():
        if match := _SECTION.match(line):
            # Sections of one name are common; they are printed in their order.
            section = next(
                (each_section for each_section in remaining if each_section.name == match[1]), None
            )
            if section is None:
                raise InputError(f"llvm-objdump lists a section {match[1]} that {path} lacks")
            current = rows.setdefault(section.index, [])
            ends[section.index] = section.address + section.size
        elif match := _LINE.match(line):
            current.append((int(match[1], 16), match[2]))
    return Listing(
        {index: _instructions(found, ends[index], comment) for index, found in rows.items()}
    )


def _instructions(rows: list[tuple[int, str]], end: int, comment: str) -> list[Instruction]:
    found: list[Instruction] = []
    ends = [address for address, _ in rows[1:]] + [end]
    prefix: tuple[int, str] | None = None
    for (address, line), following in zip(rows, ends, strict=True):
        if line in _JOINED and following != end:
            prefix = prefix or (address, "")
            prefix = prefix[0], f"{prefix[1]}{line} "
            continue
        text, _, said = line.partition(comment)
        match = _TARGET.search(text)
        if match:
            text = text[: match.start()] + f"0x{match[1]}" + text[match.end() :]
        match = match or _TARGET.match(said.strip())
        text = _SPACES.sub(" ", text.strip())
        target, hint = (int(match[1], 16), match[2]) if match else (None, "")
        if target is None and (plain := _HEX_TARGET.match(text)) and not plain[1].endswith("$"):
            target = int(plain[3], 16) * (-1 if plain[2] else 1)
        if target is None and said.strip().startswith("0x"):
            target = int(said.split()[0], 16)
        if prefix is not None:
            address, text, prefix = prefix[0], prefix[1] + text, None
        found.append(Instruction(address, following - address, text, target, hint))
    return found
