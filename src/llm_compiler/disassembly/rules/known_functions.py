"""What the code of a program's files shows of the functions that they define.

A file says what its own functions take and return; the files of one program also say it of the
functions that they call in each other, so that caller and callee pass the same. Of several files
that define a name, none is asked, unless all but one define it weakly. Each function is read once.
Safe to share between threads.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Final

from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.read_function import FunctionReader, Unreadable
from llm_compiler.disassembly.rules.calls import Signature
from llm_compiler.disassembly.rules.code import Code, Unliftable, parse_code
from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.mangled_names import NamedParameters, named_parameters
from llm_compiler.disassembly.rules.outlined import inline_outlined
from llm_compiler.disassembly.rules.prototypes import NO_RETURN
from llm_compiler.disassembly.rules.targets import TARGETS
from llm_compiler.disassembly.rules.translate import translate
from llm_compiler.llvm.elf import Binding, Symbol, SymbolKind

__all__ = ["KnownFunctions", "Program", "called_by"]

_MAX_DEPTH: Final = 24
"""Functions that call each other in turn and are read for the sake of the first."""


class KnownFunctions:
    """What one file's code shows; of a name that it does not define, what its program does."""

    def __init__(
        self, binary: Binary, reader: FunctionReader, program: Program | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            program: the file's own; None: nothing is known of functions elsewhere.
        """
        self._binary, self._reader, self._program = binary, reader, program
        self._architecture = binary.elf.architecture
        self._signatures: dict[str, Signature | None] = {}
        self._most: dict[str, tuple[int | None, int | None]] = {}
        self._named: dict[str, NamedParameters] | None = None
        self._lock = program.lock if program is not None else threading.RLock()
        self._depth = 0

    def defined(self, name: str) -> Symbol | None:
        """Return the symbol of a function that the file defines."""
        symbol = self._binary.elf.symbol(name)
        if symbol is None or not symbol.is_defined or not _is_function(symbol, self._binary):
            return None
        return symbol

    def is_known(self, name: str) -> bool:
        """Whether this file, or another of its program, defines a function."""
        return self.defined(name) is not None or self._elsewhere(name) is not None

    def _elsewhere(self, name: str) -> KnownFunctions | None:
        symbol = self._binary.elf.symbol(name)
        if self._program is None or (symbol is not None and symbol.is_defined):
            return None
        return self._program.home_of(name, self._architecture)

    def code(self, symbol: Symbol) -> Code:
        """Return a function's code, with what the compiler outlined back in its place.

        Raises:
            Unliftable, Unreadable: there is none.
        """
        return parse_code(inline_outlined(self._reader.read(symbol).text, self.outlined))

    def outlined(self, name: str) -> str | None:
        """Return the text of code that the compiler outlined."""
        symbol = self.defined(name)
        if symbol is None:
            return None
        try:
            return self._reader.read(symbol).text
        except Unreadable:
            return None

    def signature(self, name: str) -> Signature | None:
        """Return what a function takes and returns; None where it is not known.

        Of other files' functions it also says how wide the parameters are: there is no module in
        which calls and definition could agree on it.
        """
        with self._lock:
            if (symbol := self.defined(name)) is None:
                home = self._elsewhere(name)
                return home.signature_with_types(name) if home is not None else None
            found = self.signature_with_types(symbol.name)
        return dataclasses.replace(found, types=()) if found is not None else None

    def signature_with_types(self, name: str) -> Signature | None:
        """Return the signature of a function of this file, with the types of its parameters."""
        with self._lock:
            symbol = self.defined(name)
            if name not in self._signatures and symbol is not None and self._depth < _MAX_DEPTH:
                self._signatures[name] = None  # where functions call each other
                self._depth += 1
                try:
                    self._signatures[name] = self._read_signature(symbol)
                finally:
                    self._depth -= 1
            return self._signatures.get(name)

    def _read_signature(self, symbol: Symbol) -> Signature | None:
        try:
            code = self.code(symbol)
            target = TARGETS[self._architecture]()
            graph = translate(code, target, NO_RETURN)
            callees = {
                name: self.signature_with_types(name) or signature
                for name, signature in self.callees(code).items()
            }
            return Function(code, graph, target, callees, self.named(code)).signature()
        except (Unliftable, Unreadable):
            return None

    def callees(self, code: Code) -> dict[str, Signature]:
        """Return what is known of the functions that a function calls."""
        return {
            name: signature
            for name in called_by(code, self._architecture)
            if (signature := self.signature(name)) is not None
        }

    def callees_with_most(self, code: Code) -> dict[str, Signature]:
        """Return what `callees` does, and how many registers each of them may read at most."""
        return {
            name: dataclasses.replace(signature, most=self.most_integers(name))
            for name, signature in self.callees(code).items()
        }

    def named(self, code: Code) -> dict[str, NamedParameters]:
        """Return what names say of the C++ functions that a function calls."""
        with self._lock:
            if self._named is None:
                has_result_register = TARGETS[self._architecture]().convention.has_result_register
                self._named = named_parameters(
                    {symbol.name for symbol in self._binary.elf.symbols},
                    has_result_register=has_result_register,
                )
            called = called_by(code, self._architecture)
            return {name: self._named[name] for name in called if name in self._named}

    def most_arguments(self, name: str) -> int | None:
        """Return how many integer registers a function may read; None where it may read others.

        What its own calls may read counts as read.
        """
        return self._most_of(name)[0]

    def most_integers(self, name: str) -> int | None:
        """Return how many integer registers a function may read, whatever else it reads."""
        return self._most_of(name)[1]

    def _most_of(self, name: str) -> tuple[int | None, int | None]:
        with self._lock:
            if name not in self._most:
                self._most[name] = None, None
                if (symbol := self.defined(name)) is not None:
                    self._most[name] = self._read_most(symbol)
                elif (home := self._elsewhere(name)) is not None:
                    self._most[name] = home._most_of(name)
            return self._most[name]

    def _read_most(self, symbol: Symbol) -> tuple[int | None, int | None]:
        try:
            code = self.code(symbol)
            target = TARGETS[self._architecture]()
            function = Function(code, translate(code, target, NO_RETURN), target, {})
            return function.most_arguments(), function.most_integers()
        except (Unliftable, Unreadable):
            return None, None


class Program:
    """Files of one program, each of which may call the others' functions."""

    def __init__(self, binaries: Sequence[Binary]) -> None:
        """Note which file defines what; read no code yet."""
        self.lock = threading.RLock()
        self._homes: dict[tuple[str, str], list[tuple[bool, KnownFunctions]]] = {}
        for binary in binaries:
            known = KnownFunctions(binary, FunctionReader(binary), self)
            for symbol in binary.functions():
                if not symbol.is_local:
                    is_weak = symbol.binding is Binding.WEAK
                    key = symbol.name, binary.elf.architecture
                    self._homes.setdefault(key, []).append((is_weak, known))

    def home_of(self, name: str, architecture: str) -> KnownFunctions | None:
        """Return the file whose function a linker would take; None: that is not known."""
        homes = self._homes.get((name, architecture), [])
        strong = [known for is_weak, known in homes if not is_weak]
        if len(strong) > 1 or not homes:
            return None
        return strong[0] if strong else homes[0][1]


def called_by(code: Code, architecture: str) -> list[str]:
    """Return the functions that a function names in calls and jumps."""
    target = TARGETS[architecture]()
    found: dict[str, None] = {}
    for line in code.lines:
        control = target.control(line, code)
        if control.call:
            found[control.call] = None
        if control.ends and not control.targets and line.operands:
            found[line.operands[0].partition("@")[0].strip('"')] = None
    return list(found)


def _is_function(symbol: Symbol, binary: Binary) -> bool:
    return symbol.kind is SymbolKind.FUNCTION and binary.elf.sections[symbol.section].is_code
