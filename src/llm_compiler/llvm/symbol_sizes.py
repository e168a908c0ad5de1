"""What each function of an object takes, and what it needs: read from the object and its module.

The object is the one that is measured anyway: no second code generation with
``-ffunction-sections``. Sizes come from the symbol table, unwind bytes from the frame descriptions,
nameless data (jump tables, constant pools, private strings) from the places that relocations point
at. Calls to a static function in the same section leave no relocation: those references are read
from the module before code generation (`local_references`). Outliners make functions that the
module never had: calls of them are decoded. What differs between machines is in `elf_machines`.
Pure but for the module; little-endian ELF.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf_core import (
    DAMAGED,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    Elf,
    RawRelocation,
    RawSymbol,
    SectionHeader,
    read_elf,
)
from llm_compiler.llvm.elf_machines import ElfMachine, elf_machine
from llm_compiler.llvm.module import AVAILABLE_EXTERNALLY, LOCAL, Module
from llm_compiler.llvm.relaxation import ShortenedCall, shortened_calls
from llm_compiler.records import SymbolSize

__all__ = ["is_divisible", "local_references", "symbol_name", "symbol_sizes"]

_STT_OBJECT, _STT_FUNC, _STT_SECTION, _STT_FILE = 1, 2, 3, 4
_OUTLINED = "OUTLINED_FUNCTION_"
_PRIVATE = ".L"
"""Begins names that most assemblers leave out of symbol tables. RISC-V's keeps them, for its linker
moves what they stand for."""
_CANNOT_UNWIND, _R_ARM_NONE = 1, 0


def symbol_name(ir_name: str) -> str:
    r"""Return the symbol of a name of the IR: ``\x01`` asks for the rest as it is."""
    return ir_name.removeprefix("\x01")


def local_references(module: Module) -> dict[str, set[str]]:
    """Return which static functions each function or variable of a module uses, by symbol.

    Uses through constant expressions count; aliases count as what uses them.
    """
    library = module.context.library
    found: dict[str, set[str]] = defaultdict(set)
    for function in module.function_handles():
        if library.LLVMGetLinkage(function) not in LOCAL:
            continue
        name = symbol_name(module.name_of(function))
        for user in _users(module, function):
            found[user].add(name)
    return dict(found)


def _users(module: Module, value: int) -> set[str]:
    """Return the functions and variables that use a value, also through constants."""
    library = module.context.library
    found: set[str] = set()
    seen = {value}
    pending = [value]
    while pending:
        for user in module.users(pending.pop()):
            if user in seen:
                continue
            seen.add(user)
            if library.LLVMIsAInstruction(user):
                block = library.LLVMGetInstructionParent(user)
                function = library.LLVMGetBasicBlockParent(block)
                if library.LLVMGetLinkage(function) != AVAILABLE_EXTERNALLY:
                    found.add(symbol_name(module.name_of(function)))
            elif library.LLVMIsAGlobalVariable(user) or library.LLVMIsAFunction(user):
                found.add(symbol_name(module.name_of(user)))
            else:
                pending.append(user)
    return found


@dataclass(slots=True)
class _Atom:
    """A named range of a section, or a nameless piece of data."""

    name: str = ""
    is_function: bool = False
    is_exported: bool = False
    size: int = 0
    unwind: int = 0
    merged: int = 0
    targets: set[_Place] = field(default_factory=set)
    """Atoms that relocations in this one point at, by place."""


_Place = tuple[int, int]
"""Section and offset at which an atom starts."""


class _Object:
    """An object's sections, symbols and relocations, as far as sizes need them."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        machine = elf_machine(elf.machine, wide=elf.wide)
        if machine is None:
            width = 64 if elf.wide else 32
            raise InputError(
                f"sizes by function are not known of ELF machine {elf.machine} with {width} bits"
            )
        self.machine: ElfMachine = machine
        self.headers = elf.headers
        self.section_names = [_decoded(elf.name(header)) for header in elf.headers]
        self.symbols: list[tuple[str, int, int, int, int, int]] = []
        """Name, binding, kind, section, value, size."""
        self.relocations: dict[int, list[RawRelocation]] = defaultdict(list)
        """By section, in the order of their offsets."""
        for header in elf.headers:
            if header.type == SHT_SYMTAB:
                self.symbols = [
                    (
                        _decoded(elf.symbol_name(header, symbol)),
                        *(symbol.info >> 4, symbol.info & 15),
                        *(symbol.section, self._place_of(symbol), symbol.size),
                    )
                    for symbol in elf.symbols(header)
                ]
            elif header.type == SHT_RELA:
                self.relocations[header.info] += elf.relocations(header)
            elif header.type == SHT_REL:
                self.relocations[header.info] += self._with_addends(header)
        for found in self.relocations.values():
            found.sort()

    def _place_of(self, symbol: RawSymbol) -> int:
        thumb = self.machine.has_thumb and symbol.info & 15 == _STT_FUNC
        return symbol.value & ~1 if thumb else symbol.value

    def _with_addends(self, header: SectionHeader) -> Iterator[RawRelocation]:
        body = self.contents(header.info)
        for relocation in self._elf.relocations(header):
            if relocation.offset + 4 <= len(body):
                addend = self.machine.addend(body, relocation.offset, relocation.type)
                yield relocation._replace(addend=addend)

    def is_data(self, section: int) -> bool:
        header = self.headers[section]
        return bool(header[2] & SHF_ALLOC) and header[1] != SHT_NOBITS

    def is_frame(self, section: int) -> bool:
        return self.section_names[section] == ".eh_frame"

    def contents(self, section: int) -> bytes:
        return self._elf.contents(self.headers[section])

    def shortened_calls(self) -> Iterator[ShortenedCall]:
        return shortened_calls(self._elf)


def is_divisible(data: bytes) -> bool:
    """Whether `symbol_sizes` knows the machine and format of an object."""
    if data[:4] != b"\x7fELF" or len(data) < 20 or data[5] != 1:
        return False
    machine = int.from_bytes(data[18:20], "little")
    return data[4] in (1, 2) and elf_machine(machine, wide=data[4] == 2) is not None


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def symbol_sizes(
    data: bytes, references: Mapping[str, Iterable[str]], primary: Iterable[str] = ()
) -> tuple[SymbolSize, ...]:
    """Return what each function and variable of an object takes, and what it refers to.

    Args:
        data: an ELF object of a machine that `elf_machines` has a record of.
        references: `local_references` of the module that it was made of.
        primary: symbols that are preferred where several name one place (aliases).

    Raises:
        InputError: the object is none of those, or damaged.
    """
    if data[:4] != b"\x7fELF" or data[5:6] != b"\x01":
        raise InputError("sizes by function are read from little-endian ELF objects only")
    try:
        return _Sizes(_Object(read_elf(data)), frozenset(primary)).result(references)
    except DAMAGED as error:
        raise InputError(f"the ELF object is damaged: {error}") from None


class _Sizes:
    """Divides an object into atoms and adds up."""

    def __init__(self, found: _Object, primary: frozenset[str]) -> None:
        self._object = found
        self._atoms: dict[_Place, _Atom] = {}
        self._aliases: dict[str, _Place] = {}
        """Every defined name, also the second names of a place."""
        self._exported: set[str] = set()
        self._name_atoms(primary)
        self._add_nameless()
        self._starts = self._sorted_starts()
        self._add_relocations()
        self._add_frames()
        for section, offset, saved in self._object.shortened_calls():
            if holder := self._find((section, offset)):
                self._atoms[holder].merged += saved

    def _name_atoms(self, primary: frozenset[str]) -> None:
        for name, binding, kind, section, value, size in self._object.symbols:
            if not name or kind in (_STT_SECTION, _STT_FILE) or not 0 < section < 0xFF00:
                continue
            if name.startswith((_PRIVATE, *self._object.machine.mapping_symbols)):
                continue
            position = section, value
            self._aliases[name] = position
            if binding:
                self._exported.add(name)
            known = self._atoms.get(position)
            if known is None:
                self._atoms[position] = _Atom(name, kind == _STT_FUNC, bool(binding), size)
            elif name in primary and known.name not in primary:
                known.name = name
            if known is not None:
                known.is_exported |= bool(binding)

    def _target(self, section: int, relocation: tuple[int, int, int, int]) -> _Place | None:
        """Return the place that a relocation of a section points at, if it lies in this object."""
        offset, kind, symbol, addend = relocation
        _, _, what, target, value, _ = self._object.symbols[symbol]
        if not 0 < target < 0xFF00:
            return None
        if what != _STT_SECTION:
            return target, value
        if kind in self._object.machine.from_end:
            if self._object.headers[section][2] & SHF_EXECINSTR:
                addend += 4  # counted from the end of the instruction's field
            elif not self._object.is_frame(section):
                # A table of distances: each entry is counted from the table's start.
                start = self._find((section, offset))
                addend -= offset - start[1] if start else 0
        return target, value + addend

    def _add_nameless(self) -> None:
        """Begin a piece at each place in nameless data that a relocation points at."""
        is_code = {
            section: bool(self._object.headers[section][2] & SHF_EXECINSTR)
            for section in self._object.relocations
        }
        # Code first: it says where the tables begin that other relocations lie in.
        for section in sorted(is_code, key=lambda index: not is_code[index]):
            if not self._object.is_data(section):
                continue
            self._starts = self._sorted_starts()
            for relocation in self._object.relocations[section]:
                position = self._target(section, relocation)
                if position is None or not self._object.is_data(position[0]):
                    continue
                if self._object.headers[position[0]][2] & SHF_EXECINSTR:
                    continue
                holder = self._find(position)
                if holder is None or position[1] >= holder[1] + self._atoms[holder].size:
                    self._atoms.setdefault(position, _Atom())
        for section, offsets in self._sorted_starts().items():
            end = self._object.headers[section][5]
            for offset, following in zip(offsets, [*offsets[1:], end], strict=True):
                atom = self._atoms[section, offset]
                if not atom.name:
                    atom.size = max(0, following - offset)

    def _sorted_starts(self) -> dict[int, list[int]]:
        starts: dict[int, list[int]] = defaultdict(list)
        for section, offset in self._atoms:
            starts[section].append(offset)
        for offsets in starts.values():
            offsets.sort()
        return starts

    def _find(self, place: _Place) -> _Place | None:
        """Return the start of the atom at or before a place."""
        offsets = self._starts.get(place[0], [])
        index = bisect_right(offsets, place[1]) - 1
        return (place[0], offsets[index]) if index >= 0 else None

    def _add_relocations(self) -> None:
        for section, found in self._object.relocations.items():
            if not self._object.is_data(section) or self._object.is_frame(section):
                continue
            for relocation in found:
                source = self._find((section, relocation[0]))
                target = self._target(section, relocation)
                if source is None or target is None:
                    continue
                if (holder := self._find(target)) is not None and holder != source:
                    self._atoms[source].targets.add(holder)
        self._add_outlined()
        self._add_unwind_index()

    def _add_outlined(self) -> None:
        outlined = {p for p, atom in self._atoms.items() if atom.name.startswith(_OUTLINED)}
        for section in {section for section, _ in outlined}:
            for offset, target in self._object.machine.calls(self._object.contents(section)):
                if (section, target) in outlined and (source := self._find((section, offset))):
                    self._atoms[source].targets.add((section, target))

    def _add_unwind_index(self) -> None:
        """Give each function its entry of Arm's index, and the table that it names.

        Entries that say that nothing unwinds through a function are merged by the linker.
        """
        for section, found in self._object.relocations.items():
            if self._object.headers[section].type != self._object.machine.unwind_index:
                continue
            body = self._object.contents(section)
            owner = None
            for relocation in found:
                if relocation.type == _R_ARM_NONE:
                    continue
                place = self._target(section, relocation)
                if relocation.offset % 8 == 0:
                    owner = self._find(place) if place else None
                    (entry,) = struct.unpack_from("<I", body, relocation.offset + 4)
                    if owner is not None and entry != _CANNOT_UNWIND:
                        self._atoms[owner].unwind += 8
                elif owner is not None and (table := self._find(place) if place else None):
                    self._atoms[owner].unwind += self._atoms[table].size
                    self._atoms[table].size = 0

    def _add_frames(self) -> None:
        """Give each function its frame description, and the exception table that it names."""
        for section, found in self._object.relocations.items():
            if not self._object.is_frame(section):
                continue
            offsets = [row[0] for row in found]
            for start, end, is_shared in _frames(self._object.contents(section)):
                first = bisect_right(offsets, start - 1)
                last = bisect_right(offsets, end - 1)
                if is_shared or first == last:
                    continue
                position = self._target(section, found[first])
                owner = self._find(position) if position else None
                if owner is None:
                    continue
                self._atoms[owner].unwind += end - start
                for relocation in found[first + 1 : last]:
                    position = self._target(section, relocation)
                    table = self._find(position) if position else None
                    if table is not None and not self._atoms[table].name:
                        self._atoms[owner].unwind += self._atoms[table].size
                        self._atoms[table].size = 0

    def result(self, references: Mapping[str, Iterable[str]]) -> tuple[SymbolSize, ...]:
        shares = self._shares()
        found = []
        for position, atom in self._atoms.items():
            if not atom.name:
                continue
            names = {self._atoms[entry].name for entry in shares.targets[position]}
            for used in references.get(atom.name, ()):
                if (pair := self._aliases.get(used)) is not None:
                    names.add(self._atoms[pair].name)
            names.discard(atom.name)
            in_file = self._object.is_data(position[0])
            found.append(
                SymbolSize(
                    name=atom.name,
                    is_function=atom.is_function,
                    is_exported=atom.is_exported,
                    text_bytes=atom.size if atom.is_function else 0,
                    unwind_bytes=atom.unwind,
                    data_bytes=shares.data[position]
                    + (0 if atom.is_function or not in_file else atom.size),
                    references=tuple(sorted(names)),
                    merged_bytes=atom.merged if atom.is_function else 0,
                )
            )
        return tuple(found)

    def _shares(self) -> _Shares:
        """Fold nameless data into the named atoms that use it, also through other such data."""
        users: dict[_Place, set[_Place]] = defaultdict(set)
        targets: dict[_Place, set[_Place]] = defaultdict(set)
        for position, atom in self._atoms.items():
            if not atom.name:
                continue
            pending, seen = [position], {position}
            while pending:
                for pair in self._atoms[pending.pop()].targets:
                    if pair in seen:
                        continue
                    seen.add(pair)
                    if self._atoms[pair].name:
                        targets[position].add(pair)
                    else:
                        users[pair].add(position)
                        pending.append(pair)
        data: dict[_Place, float] = defaultdict(float)
        for piece, using in users.items():
            for pair in using:
                data[pair] += self._atoms[piece].size / len(using)
        return _Shares(data, targets)


@dataclass(frozen=True, slots=True)
class _Shares:
    data: Mapping[_Place, float]
    targets: Mapping[_Place, set[_Place]]


def _frames(body: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield the records of ``.eh_frame``: start, end, and whether it is a CIE."""
    position = 0
    while position + 8 <= len(body):
        length, marker = struct.unpack_from("<II", body, position)
        if length == 0 or length == 0xFFFFFFFF:
            return
        yield position, position + 4 + length, marker == 0
        position += 4 + length
