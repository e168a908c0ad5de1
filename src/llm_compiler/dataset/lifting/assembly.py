"""Assembly of one function in short form, and what its names stand for.

    leaq .L.str(%rip), %rdi           leaq g1(%rip), %rdi
    callq puts@PLT              ->    callq puts
    callq helper@PLT                  callq f1
    jmp .LBB0_10                      jmp L2

Symbols are ``f1, f2, ..`` where they are first called or jumped to, else ``g1, g2, ..``, in order
of appearance; the function itself is ``f0``; well-known C functions keep their names, which say
what they take and return. Local labels are ``L1, L2, ..`` in the order in which they stand. Jump
tables (``J1: L3 L1 L2``) and constants of a pool (``C1: 0x3fc00000``) follow the code, a line each.
Other data is not shown; `ShortAssembly.data` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.dataset.lifting.c_library import C_FUNCTIONS
from llm_compiler.errors import InputError
from llm_compiler.llvm.targets import LiftedTarget, target_of

__all__ = ["DataItem", "ShortAssembly", "shorten_assembly"]

_STRING = r'"(?:[^"\\]|\\.)*"'
_LABEL = re.compile(rf"^([\w.$@]+|{_STRING}):$")
_X86_SYMBOL: Final = re.compile(
    rf"(?<![\w%.$@])(\$?)([A-Za-z_.][\w.$]*|{_STRING})((?:@[A-Za-z]+)?)(?![\w.$]*\}})"
)
# After a modifier of a relocation; or the last operand of a branch, an address, a literal load.
_ARM_MODIFIED: Final = re.compile(rf"(:[a-z0-9_]+:)([A-Za-z_.$][\w.$]*|{_STRING})")
_ARM_TARGET: Final = re.compile(rf"(^|, )([A-Za-z_.$][\w.$]*|{_STRING})((?:[+-]\d+)?)$")
_ARM_BRANCHES: Final = re.compile(r"^(?:b|bl|b\.\w+|bc\.\w+|cbn?z|tbn?z|adrp?|ldr|\.tlsdesccall)$")
_ARM_REGISTER: Final = re.compile(r"^(?:[xwbhsdqv]\d+|[xw]zr|w?sp|lr|fp)$")
_CALLS: Final = re.compile(r"^(?:callq?|jmpq?|j[a-z]+|bl?|b\.\w+|cbn?z|tbn?z)$")
_DATA_DIRECTIVES: Final = frozenset(
    [
        ".byte",
        ".short",
        ".hword",
        ".value",
        ".2byte",
        ".long",
        ".word",
        ".int",
        ".4byte",
        ".quad",
        ".xword",
        ".8byte",
        ".octa",
        ".ascii",
        ".asciz",
        ".string",
        ".zero",
        ".space",
        ".skip",
    ]
)
_SECTIONS: Final = frozenset({".section", ".text", ".data", ".bss"})
_IN_DATA: Final = frozenset({".p2align", ".type", ".size", ".globl", ".hidden", ".local", ".comm"})
_CALL_FRAME_LINKS: Final = frozenset({".cfi_personality", ".cfi_lsda"})
_IN_TABLE: Final = re.compile(r"\.L(?:BB\d+_\d+|tmp\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataItem:
    """A constant, string, table or static variable of the module, as directives."""

    name: str
    """As the assembly has it: ``.L.str``, ``counter``."""
    directives: tuple[str, ...]
    section: str
    alignment: int
    is_visible: bool
    is_hidden: bool = False
    """From other files: a static variable that functions of the file share."""
    num_zeros: int = 0
    """Of a ``.comm`` variable: its size in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortAssembly:
    """A function in short form."""

    text: str = field(repr=False)
    function: str
    """Its name."""
    symbols: tuple[tuple[str, str], ...]
    """Pairs of a symbol's name and its short one; those of C functions are the same."""
    data: tuple[DataItem, ...] = field(repr=False)
    indirect: frozenset[str]
    """Symbols whose address is taken from the GOT: others may define them."""
    thread_local: tuple[tuple[str, str], ...]
    """Symbols of thread-local storage, and the model that the code accesses them by."""
    target: LiftedTarget = field(repr=False)
    is_hidden: bool


@dataclass(slots=True)
class _Piece:
    """What follows a label, up to the next one or the next section."""

    name: str
    section: str
    alignment: int
    lines: list[str] = field(default_factory=list)


def shorten_assembly(text: str, target_triple: str) -> ShortAssembly:
    """Return the short form of a function's assembly in normal form, with the data it needs.

    Raises:
        InputError: there is not exactly one function, it has an exception table, or holds
            what the short form has no word for.
    """
    target = target_of(target_triple, what="shortened")
    functions, visible, hidden, zeros, pieces = _split(text)
    if len(functions) != 1:
        raise InputError(f"the short form is of one function, not of {len(functions)}")
    function = functions[0]
    body, data, tables = _sort(pieces, function)
    renamer = _Renamer(function, target)
    for line in body:
        if match := _LABEL.match(line):
            renamer.add_label(match[1])
    for number, piece in enumerate((p for p in tables if "JTI" in p.name), start=1):
        renamer.short[piece.name] = f"J{number}"
    for number, piece in enumerate((p for p in tables if "JTI" not in p.name), start=1):
        renamer.short[piece.name] = f"C{number}"
    lines = [renamer.line(line) for line in body]
    lines += [_table_line(piece, renamer) for piece in tables]
    items = [
        DataItem(
            name=piece.name,
            directives=tuple(piece.lines),
            section=piece.section,
            alignment=piece.alignment,
            is_visible=piece.name in visible,
            is_hidden=piece.name in hidden,
        )
        for piece in data
    ]
    items += [
        DataItem(
            name=name,
            directives=(),
            section=".bss",
            alignment=alignment,
            is_visible=name in visible,
            is_hidden=name in hidden,
            num_zeros=size,
        )
        for name, size, alignment in zeros
    ]
    return ShortAssembly(
        text="".join(line + "\n" for line in lines),
        function=function,
        symbols=tuple(renamer.symbols.items()),
        data=tuple(items),
        indirect=frozenset(renamer.indirect),
        thread_local=tuple(renamer.thread_local.items()),
        target=target,
        is_hidden=function in hidden,
    )


def _split(
    text: str,
) -> tuple[list[str], set[str], set[str], list[tuple[str, int, int]], list[_Piece]]:
    """Return functions, visible and hidden symbols, ``.comm`` variables, and what labels begin."""
    functions: list[str] = []
    visible: set[str] = set()
    hidden: set[str] = set()
    zeros: list[tuple[str, int, int]] = []
    pieces: list[_Piece] = []
    section, alignment = ".text", 1
    current: _Piece | None = None
    for line in text.splitlines():
        if not line:
            continue
        word, _, rest = line.partition(" ")
        match = _LABEL.match(line)
        if match and (not match[1].startswith(".LBB") and not match[1].startswith(".Ltmp")):
            if current is not None and current.name in functions and match[1].startswith(".L"):
                # A local label of the code that is called otherwise (GCC's .L12).
                current.lines.append(line)
                continue
            current = _Piece(match[1], section, alignment)
            pieces.append(current)
            alignment = 1
        elif match or word[0] != ".":
            if current is None:
                raise InputError(f"code in front of the first label: '{line[:60]}'")
            current.lines.append(line)
        elif word in _SECTIONS:
            section = rest.split(",")[0] if word == ".section" else word
            current, alignment = None, 1
        elif word in _DATA_DIRECTIVES:
            if current is None:
                raise InputError(f"data in front of the first label: '{line[:60]}'")
            current.lines.append(line)
        elif word == ".p2align":
            alignment = 1 << int(rest.split(",")[0])
        elif word == ".type":
            name, _, kind = rest.rpartition(", ")
            if kind == "@function":
                functions.append(name)
        elif word == ".globl" or word == ".weak":
            visible.add(rest)
        elif word in (".hidden", ".protected", ".internal"):
            hidden.add(rest)
        elif word == ".comm":
            name, size, align = [*rest.split(", "), "1"][:3]
            zeros.append((name, int(size), int(align)))
        elif word in _CALL_FRAME_LINKS:
            raise InputError("the short form has no exception tables")
        elif word not in _IN_DATA and not word.startswith(".cfi_") and word != ".variant_pcs":
            raise InputError(f"the short form has no '{word}'")
    return functions, visible, hidden, zeros, pieces


def _sort(pieces: list[_Piece], function: str) -> tuple[list[str], list[_Piece], list[_Piece]]:
    """Return the code's lines, the data, and the tables that belong to the code."""
    body: list[str] | None = None
    data: list[_Piece] = []
    tables: list[_Piece] = []
    for piece in pieces:
        if piece.name == function:
            body = piece.lines
        elif piece.name.startswith((".LJTI", ".LCPI")) or any(
            _IN_TABLE.search(line) for line in piece.lines if line[0] == "."
        ):
            if not piece.name.startswith((".LJTI", ".LCPI")):
                raise InputError("the short form has no data that refers to blocks")
            tables.append(piece)
        else:
            data.append(piece)
    if body is None:
        raise InputError(f"the function {function} has no label")
    return body, data, tables


class _Renamer:
    """Gives names, in order of appearance."""

    def __init__(self, function: str, target: LiftedTarget) -> None:
        self.short: dict[str, str] = {}  # labels and tables
        self.symbols: dict[str, str] = {function: "f0"}
        self.indirect: set[str] = set()
        self.thread_local: dict[str, str] = {}
        self._has_suffixes = target.assembly.uses_suffixes
        self._counts = {"f": 0, "g": 0}
        self._num_labels = 0

    def add_label(self, name: str) -> None:
        """Number a local label."""
        self._num_labels += 1
        self.short[name] = f"L{self._num_labels}"

    def line(self, line: str) -> str:
        """Return a line of code with short names."""
        if match := _LABEL.match(line):
            return f"{self.short[match[1]]}:"
        mnemonic, _, operands = line.partition(" ")
        if not operands:
            return line
        called = bool(_CALLS.match(mnemonic))
        if self._has_suffixes:
            return f"{mnemonic} {self._with_suffixes(operands, called)}"
        return f"{mnemonic} {self._with_prefixes(mnemonic, operands, called)}"

    def _with_suffixes(self, operands: str, called: bool) -> str:
        def replace(match: re.Match[str]) -> str:
            name, suffix = match[2], match[3]
            if "GOT" in suffix:
                self.indirect.add(name)
            if suffix in ("@TPOFF", "@GOTTPOFF", "@TLSGD", "@TLSLD", "@DTPOFF", "@TLSDESC"):
                model = {"@TPOFF": "localexec", "@GOTTPOFF": "initialexec"}
                self.thread_local[name] = model.get(suffix, "")
                self.indirect.discard(name)
            return f"{match[1]}{self._name(name, called)}{suffix if suffix != '@PLT' else ''}"

        return _X86_SYMBOL.sub(replace, operands)

    def _with_prefixes(self, mnemonic: str, operands: str, called: bool) -> str:
        def modified(match: re.Match[str]) -> str:
            kind, name = match[1], match[2]
            if kind.startswith((":got:", ":got_")):
                self.indirect.add(name)
            if kind.startswith((":tprel", ":gottprel", ":tlsdesc", ":dtprel")):
                model = {":tprel": "localexec", ":gottprel": "initialexec"}
                self.thread_local[name] = next(
                    (word for mark, word in model.items() if kind.startswith(mark)), ""
                )
            return f"{kind}{self._name(name, called)}"

        operands = _ARM_MODIFIED.sub(modified, operands)
        if _ARM_BRANCHES.match(mnemonic) and ":" not in operands:
            operands = _ARM_TARGET.sub(
                lambda match: (
                    match[0]
                    if _ARM_REGISTER.match(match[2])
                    else f"{match[1]}{self._name(match[2], called)}{match[3]}"
                ),
                operands,
            )
        return operands

    def _name(self, name: str, called: bool) -> str:
        if (label := self.short.get(name)) is not None:
            return label
        if (known := self.symbols.get(name)) is not None:
            return known
        if name.startswith((".LBB", ".Ltmp")):
            raise InputError(f"no such label: {name}")
        if name in C_FUNCTIONS:
            short = name
        else:
            kind = "f" if called else "g"
            self._counts[kind] += 1
            short = f"{kind}{self._counts[kind]}"
        self.symbols[name] = short
        return short

    def entry(self, text: str) -> str:
        """Return an entry of a jump table: its label."""
        match = re.search(r"\.L[\w.$]+", text)
        if match is None or match[0] not in self.short:
            raise InputError(f"no label in a jump table's entry: '{text[:60]}'")
        return self.short[match[0]]


def _table_line(piece: _Piece, renamer: _Renamer) -> str:
    entries = list(_entries(piece))
    if piece.name.startswith(".LJTI"):
        entries = [renamer.entry(entry) for entry in entries]
    return f"{renamer.short[piece.name]}: {' '.join(entries)}"


def _entries(piece: _Piece) -> Iterator[str]:
    sizes = {".byte": 1, ".short": 2, ".hword": 2, ".value": 2, ".long": 4, ".word": 4}
    for line in piece.lines:
        word, _, rest = line.partition(" ")
        if piece.name.startswith(".LJTI") or word in (".zero", ".ascii", ".asciz"):
            yield rest if word in sizes or word in (".quad", ".xword") else f"{word} {rest}"
            continue
        width = sizes.get(word, 8)
        try:
            yield f"0x{int(rest, 0) % (1 << (8 * width)):0{2 * width}x}"
        except ValueError:
            raise InputError(f"a constant pool holds '{line[:60]}'") from None
