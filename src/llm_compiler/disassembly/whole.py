"""Everything that an object holds as one module: to be compiled at any level, in its place.

Where every function is lifted, the module need not leave anything to the input: variables,
constants with names, lists of constructors, functions chosen at load time and further names are
read from the object, and what only this file saw is internal again. What is not known of the
object's data is the obstacle; then the module stays as `merge` leaves it.

Safe to call from several threads, each with a folder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.disassembly.binary import Binary, Origin
from llm_compiler.disassembly.lift import Lift
from llm_compiler.disassembly.merge import (
    Merged,
    link_modules,
    recheck,
    verdict_lines,
    without_header,
)
from llm_compiler.disassembly.naming import quoted_name
from llm_compiler.disassembly.read_function import Data, FunctionReader, Unreadable
from llm_compiler.disassembly.variables import constructors, data_module
from llm_compiler.llvm.elf import SHN_COMMON, Binding, Symbol, SymbolKind
from llm_compiler.llvm.exceptions import NAME_SLOT
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module import INTERNAL, Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Whole", "whole_module"]

_DATA = re.compile(
    r"^\.(?:text|rodata|data|bss|tdata|tbss|eh_frame|gcc_except_table|note|comment|lrodata|lbss|"
    r"ldata|llvm_addrsig|rela)(?:\.|$)"
)
_LISTS = re.compile(r"^\.(?:init|fini)_array(?:\.\d+)?$")
_DIRECT = re.compile(r"^(@\S+) = external dso_local ", re.MULTILINE)
_WEAK = 5  # LLVMWeakAnyLinkage, llvm-c/Core.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A module that stands for all of an object; empty, with the obstacle, where there is none."""

    text: str = field(default="", repr=False)
    obstacle: str = ""


class _Obstacle(Exception):
    """What keeps a module from standing for the object."""


def whole_module(
    binary: Binary,
    lifts: Sequence[Lift],
    merged: Merged,
    *,
    pool: WorkerPool,
    toolchain: Toolchain,
    folder: Path,
) -> Whole:
    """Return a module that defines all that an object does."""
    try:
        text = _Work(binary, lifts, merged, pool, toolchain, folder).run()
    except (_Obstacle, Unreadable) as error:
        return Whole(obstacle=str(error))
    return Whole(text=text)


class _Work:
    def __init__(
        self,
        binary: Binary,
        lifts: Sequence[Lift],
        merged: Merged,
        pool: WorkerPool,
        toolchain: Toolchain,
        folder: Path,
    ) -> None:
        self._binary, self._elf = binary, binary.elf
        self._lifts, self._merged = lifts, merged
        self._pool, self._toolchain, self._folder = pool, toolchain, folder
        self._functions = {lift.outcome.name for lift in lifts}
        self._direct = {match[1] for match in _DIRECT.finditer(merged.text)}

    def run(self) -> str:
        if self._binary.origin is Origin.EXECUTABLE:
            raise _Obstacle("it is linked: where its variables end is not known")
        lists = self._check()
        data, sections = self._data()
        linkages = {
            item.name: linkage for item in data if (linkage := self._linkage(item)) is not None
        }
        named = dict.fromkeys(name for found in lists.values() for name in found)
        lines = [*constructors(lists), *self._commons(), *self._same_places(data)]
        path, output = self._folder / "whole-data.ll", self._folder / "whole.ll"
        text = data_module(
            [*data, *self._parts(data, sections)],
            self._functions,
            self._is_function,
            self._binary.target_triple,
            linkages=linkages,
            more=lines,
            named=tuple(named),
        )
        path.write_text(text, "utf-8", "surrogateescape")
        source = self._folder / "whole-functions.ll"
        source.write_text(self._merged.text, "utf-8", "surrogateescape")
        if refused := link_modules([source, path], output, self._toolchain):
            raise _Obstacle(f"its variables do not link with its functions: {refused}")
        own = [lift for lift in self._lifts if not lift.outcome.alias_of]
        wrong = recheck(self._binary, own, output, self._folder / "whole.o", self._toolchain)
        if wrong and sections:
            wrong = self._wrong_apart(own, source, lines, tuple(named), wrong)
        if wrong:
            name, reason = next(iter(wrong.items()))
            raise _Obstacle(f"with its variables, {name} is not the same: {reason}")
        return self._finished(output.read_text("utf-8", "surrogateescape"))

    def _wrong_apart(
        self,
        own: Sequence[Lift],
        source: Path,
        lines: Sequence[str],
        named: tuple[str, ...],
        wrong: dict[str, str],
    ) -> dict[str, str]:
        """Return which functions are other code with each variable by itself, too.

        Parts of a piece are aliases, of whose alignment the code generator knows nothing: it does
        not fold their low bits into loads. That changes no meaning.
        """
        try:
            data = FunctionReader(self._binary).read_data(self._variables())
        except Unreadable:
            return wrong
        linkages = {item.name: text for item in data if (text := self._linkage(item)) is not None}
        path, output = self._folder / "apart-data.ll", self._folder / "apart.ll"
        text = data_module(
            data,
            self._functions,
            self._is_function,
            self._binary.target_triple,
            linkages=linkages,
            more=lines,
            named=named,
        )
        path.write_text(text, "utf-8", "surrogateescape")
        if link_modules([source, path], output, self._toolchain):
            return wrong
        apart = recheck(self._binary, own, output, self._folder / "apart.o", self._toolchain)
        return {name: reason for name, reason in wrong.items() if name in apart}

    def _check(self) -> dict[str, list[str]]:
        """Return the lists of constructors.

        Raises:
            _Obstacle: something that no module can hold.
        """
        missing = [
            lift.outcome.name
            for lift in self._lifts
            if lift.outcome.name in self._merged.dropped or not lift.outcome.is_accepted
        ]
        asked = {function.name for function in self._binary.functions()}
        missing += sorted(asked - self._functions)
        if missing:
            raise _Obstacle(f"not lifted: {', '.join(missing[:5])}")
        lists: dict[str, list[str]] = {}
        for section in self._elf.sections:
            if not section.is_allocated or not section.size:
                continue
            if _LISTS.match(section.name):
                found = lists.setdefault(section.name, [])
                for relocation in self._elf.relocations.get(section.index, ()):
                    found.append(self._function_at(relocation.symbol, relocation.addend))
            elif not _DATA.match(section.name):
                raise _Obstacle(f"it has a section {section.name}, whose meaning is not known")
        return lists

    def _function_at(self, symbol: Symbol, addend: int) -> str:
        if symbol.kind is not SymbolKind.SECTION and not addend:
            return symbol.name
        at = self._elf.symbols_at(symbol.section, addend) if symbol.is_defined else ()
        names = [each_symbol.name for each_symbol in at if each_symbol.name in self._functions]
        if not names:
            raise _Obstacle("a list of constructors names code without a symbol")
        return names[0]

    def _data(self) -> tuple[list[Data], set[int]]:
        """Return all data, and the sections that are taken as one piece each."""
        sections = {
            variable.section
            for lift in self._lifts
            for variable in (lift.text.variables if lift.text else ())
            if not variable.symbol
        }
        sections |= {index for lift in self._lifts if lift.text for index in lift.text.opened}
        return FunctionReader(self._binary).read_data(self._variables(), sections), sections

    def _variables(self) -> dict[str, int]:
        """Return the variables and visible constants, and their symbols' numbers."""
        names: dict[str, int] = {}
        for symbol in self._elf.symbols:
            if not self._is_variable(symbol):
                continue
            is_writable = self._elf.sections[symbol.section].is_writable
            if symbol.is_local and not is_writable:
                continue
            if symbol.is_local and symbol.name in names:
                raise _Obstacle(f"two of its variables are called {symbol.name}")
            names[symbol.name] = symbol.index
        return names

    def _is_variable(self, symbol: Symbol) -> bool:
        if (
            not symbol.is_defined
            or not symbol.name
            or symbol.name.startswith((".L", "$", NAME_SLOT))
        ):
            return False
        section = self._elf.sections[symbol.section]
        return (
            symbol.kind in (SymbolKind.OBJECT, SymbolKind.TLS, SymbolKind.NONE)
            and section.is_allocated
            and not section.is_code
            and bool(_DATA.match(section.name))
            and bool(symbol.size)
        )

    def _linkage(self, data: Data) -> str | None:
        symbol = self._elf.symbol(data.name)
        if symbol is None or symbol.is_local or data.is_private:
            return None
        weak = "weak " if symbol.binding is Binding.WEAK else ""
        # Code that does not ask the GOT for a visible variable knows it to be the program's own.
        direct = f"@{quoted_name(data.name)}" in self._direct
        words = (weak.strip(), "dso_local" if direct else "", "hidden" if symbol.is_hidden else "")
        return " ".join(word for word in words if word)

    def _commons(self) -> Iterator[str]:
        for symbol in self._elf.symbols:
            if symbol.section == SHN_COMMON and symbol.size:
                yield (
                    f"@{quoted_name(symbol.name)} = common global [{symbol.size} x i8] "
                    f"zeroinitializer, align {max(1, symbol.value)}"
                )

    def _same_places(self, data: Sequence[Data]) -> Iterator[str]:
        """Yield further names of variables as aliases."""
        known = {item.name for item in data}
        for symbol in self._elf.symbols:
            if not self._is_variable(symbol) or symbol.name in known:
                continue
            at = self._elf.symbols_at(symbol.section, symbol.value)
            first = next(
                (each_symbol.name for each_symbol in at if each_symbol.name in known), None
            )
            if first is None:
                if symbol.is_local:
                    continue  # a constant that nothing in the data names
                raise _Obstacle(f"its variable {symbol.name} lies within another")
            weak = "weak " if symbol.binding is Binding.WEAK else ""
            visibility = "hidden " if symbol.is_local or symbol.is_hidden else ""
            yield (
                f"@{quoted_name(symbol.name)} = {weak}{visibility}alias [{symbol.size} x i8], "
                f"ptr @{quoted_name(first)}"
            )

    def _parts(self, data: Sequence[Data], sections: set[int]) -> Iterator[Data]:
        """Yield the variables without symbols that functions refer to, within their sections."""
        seen = {item.name for item in data}
        for lift in self._lifts:
            for variable in lift.text.variables if lift.text else ():
                if variable.section in sections and variable.name not in seen:
                    seen.add(variable.name)
                    section = self._elf.sections[variable.section]
                    yield Data(
                        name=variable.name,
                        data=bytes(max(1, section.size - variable.offset)),
                        alignment=1,
                        pointers=(),
                        is_constant=False,
                        is_local=True,
                        is_private=False,
                        is_thread_local=section.is_thread_local,
                        part_of=f"section{section.name}",
                        offset=variable.offset,
                    )

    def _is_function(self, name: str) -> bool:
        symbol = self._elf.symbol(name)
        return (
            symbol is not None and symbol.is_defined and self._elf.sections[symbol.section].is_code
        )

    def _finished(self, text: str) -> str:
        symbols = {lift.outcome.name: self._elf.symbol(lift.outcome.name) for lift in self._lifts}
        weak = tuple(
            name for name, symbol in symbols.items() if symbol and symbol.binding is Binding.WEAK
        )
        hidden = tuple(
            symbol.name for symbol in self._elf.symbols if symbol.is_hidden and not symbol.is_local
        )
        job = InternalizeJob(text=text, weak=weak, kept=hidden)
        result: str = run_jobs(self._pool, [job])[0][0]
        if not result:
            raise _Obstacle("LLVM refuses the module")
        note = "; It defines all that the input does: its variables and constants, too."
        return "\n".join([*verdict_lines(self._merged.text), note, "", without_header(result)])


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalizeJob(OneStepJob):
    """Make what is hidden internal, but for `kept`, and functions weak; the result is a text."""

    text: str = field(repr=False)
    weak: tuple[str, ...]
    kept: tuple[str, ...]

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        """Yield the text; empty where LLVM refuses it."""
        with Context() as context:
            module = context.parse(self.text.encode("utf-8", "surrogateescape"), "lifted")
            library = context.library
            for value in list(module.symbol_handles()):
                name = module.name_of(value)
                if library.LLVMIsDeclaration(value) or name.startswith("llvm."):
                    continue
                if name in self.weak:
                    library.LLVMSetLinkage(value, _WEAK)
                elif library.LLVMGetVisibility(value) == 1 and name not in self.kept:
                    library.LLVMSetVisibility(value, 0)
                    library.LLVMSetLinkage(value, INTERNAL)
            yield "" if module.verify() else module.to_text()

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        """Return nothing."""
        return ""
