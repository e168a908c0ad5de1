"""Measure many pass lists on one module, doing shared work once.

The states that a module passes through form a graph: a node is a module (named by the hash of its
bitcode), an edge is one pass. An evaluator remembers every edge that it has seen, so that

* a prefix shared by many lists is run once,
* a pass that changes nothing is an edge from a node to itself and never run again there,
* lists that end in the same module are generated code for and measured once.

Modules themselves are kept only where a second list came by (least recently used go first).
LLVM contexts never give back constants and types, so the context is made anew now and then.
Measurements rank candidates; use-list orders are not part of a module's hash, and the stock tools
decide in the end (docs/decisions/0021). Runs in a worker: a crash ends its process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Container
from dataclasses import replace

from llm_compiler.closing import Closing
from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.capi import Library, load
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.constructs import constructs_of
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.recipes import give_attributes, llvm_options, take_attributes
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.llvm.settings import given_attributes, pass_options, removed_attributes
from llm_compiler.llvm.symbol_sizes import local_references, symbol_name, symbol_sizes
from llm_compiler.records import Measurement, Recipe, Status, content_hash

__all__ = ["KEPT_BYTES", "Evaluator"]

KEPT_BYTES = 4_000_000
"""Bitcode bytes of kept modules; in memory a module takes about ten times as much."""
_KEPT_MODULES = 400
_RECYCLE_AFTER = 1_500
"""Pass runs until the context is made anew; keeps the growth of a worker under some megabytes."""
_MAX_EDGES = 400_000
_NEIGHBOUR = 4
"""A list whose first passes, this number of them, are known is a neighbour of an earlier list: all
its states are hashed, since the next list may branch off at any of them."""
_FRESH_DEPTH = 6
"""States after the known path that are hashed of any other list: random lists meet early or never,
and hashing costs a third of a pass."""


_TAKE = "-"
"""What the step that takes attributes away begins with; no pass does."""
_WITH = "="
"""What a pass that runs with options begins with; the options follow, then a blank."""


class Evaluator(Closing):
    """Measures pass lists on one module; owns its LLVM context.

    Args:
        bitcode: the unoptimised module (bitcode or text).
        share: False evaluates each list from the start, for comparison (`benchmarks/`).
        kept_bytes: of modules between passes that are kept, counted as bitcode.
    """

    def __init__(
        self,
        bitcode: bytes,
        *,
        share: bool = True,
        kept_bytes: int = KEPT_BYTES,
        library: Library | None = None,
    ) -> None:
        self._library = library or load()
        self._bitcode = bitcode
        self._share = share
        self._edges: dict[tuple[str, str], str] = {}
        self._measured: dict[tuple[bool, bool], dict[str, Measurement]] = {
            (symbols, instructions): {}
            for symbols in (False, True)
            for instructions in (False, True)
        }
        """By outcome, of those with (symbols, instructions) and more."""
        self._ends: dict[tuple[str, ...], str] = {}
        """Where lists end whose states between were not hashed."""
        self._kept: OrderedDict[str, Module] = OrderedDict()
        self._runs = 0
        self.num_pass_runs = 0
        """Passes really run, for statistics."""
        self.num_code_generations = 0
        self._context: Context | None = None
        self._open()
        self._root_hash = self._root.bitcode_hash()
        self.constructs: tuple[str, ...] | None = None
        """Of the module; None: they are found out when they are needed."""
        self._must_inline = self._root.available_externally(always_inline=True)
        self._max_kept = max(4, min(_KEPT_MODULES, kept_bytes // max(1, len(bitcode))))

    @property
    def num_bytes(self) -> int:
        """The size of the module's bitcode."""
        return len(self._bitcode)

    def _open(self) -> None:
        self._context = Context(self._library)
        try:
            self._root = self._context.parse(self._bitcode, "<module>")
            self._target_machine = TargetMachine.for_module(self._root)
        except BaseException:
            self._context.close()
            self._context = None
            raise

    def close(self) -> None:
        """Free all that LLVM holds for this module."""
        self._kept.clear()
        if self._context is not None:
            self._target_machine.close()
            self._context.close()
            self._context = None

    def _recycle(self) -> None:
        self.close()
        self._open()
        self._runs = 0
        if len(self._edges) > _MAX_EDGES:
            self._edges.clear()
            self._ends.clear()

    def refusal(self, passes: Recipe) -> str:
        """Return why a recipe must not be used on this module; empty if it may (`refusals`)."""
        if self.constructs is None:
            self.constructs = constructs_of(self._root.to_text())
        return refusal_of(passes, self.constructs)

    def measure(
        self, passes: Recipe, *, with_symbols: bool = False, with_instructions: bool = True
    ) -> Measurement:
        """Return the sizes of the module after a pass list.

        Args:
            with_symbols: what each function and variable takes as well.
            with_instructions: count them; else the number may be 0.

        A list that is refused for such modules is not run, and has status REFUSED. So have errors
        that LLVM reports; aborts end the process.
        """
        start = time.perf_counter()
        if self._runs > _RECYCLE_AFTER:
            self._recycle()
        if why := self.refusal(passes):
            return Measurement(
                status=Status.REFUSED,
                detail=f"refused for this kind of module: {why}",
                seconds=time.perf_counter() - start,
            )
        try:
            measurement = self._measure(passes, with_symbols, with_instructions)
        except CompileFailed as error:
            return Measurement(
                status=Status.REFUSED,
                detail=str(error)[:2000],
                seconds=time.perf_counter() - start,
            )
        return replace(measurement, seconds=time.perf_counter() - start)

    def build(self, passes: Recipe, known: Collection[str]) -> tuple[str, bytes]:
        """Return the hash of the module after a pass list, and its object.

        The object is empty where the hash is one of `known`: no code is generated then.

        Raises:
            CompileFailed: LLVM refuses the list or its result.
        """
        if self._runs > _RECYCLE_AFTER:
            self._recycle()
        state, module = self._reach(_steps(passes), _Done(known, _code_settings(passes)))
        name = _outcome(state, _code_settings(passes))
        if module is None:
            return name, b""
        self._keep_end(module, state, passes)
        with module:
            if broken := module.verify():
                raise CompileFailed(f"the passes leave a broken module: {broken}", detail=broken)
            return name, self._emit(module, passes)

    def _measure(self, passes: Recipe, with_symbols: bool, with_instructions: bool) -> Measurement:
        if not self._share:
            return self._measure_alone(passes, with_symbols, with_instructions)
        known = self._measured[with_symbols, with_instructions]
        state, module = self._reach(_steps(passes), _Done(known, _code_settings(passes)))
        if module is None:
            return known[_outcome(state, _code_settings(passes))]
        self._keep_end(module, state, passes)
        with module:
            return self._generate(module, state, passes, with_symbols, with_instructions)

    def _keep_end(self, module: Module, state: str, passes: Recipe) -> None:
        """Keep the module that a recipe with settings ends in: the same list without is near."""
        if passes.settings and state not in self._kept:
            self._keep(state, module)

    def _keep(self, state: str, module: Module) -> None:
        self._kept[state] = module.clone()
        while len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)[1].close()

    def _emit(self, module: Module, passes: Recipe) -> bytes:
        """Return a module's object, generated with a recipe's settings."""
        self.num_code_generations += 1
        self._runs += 1
        give_attributes(module, passes)
        with llvm_options(self._library, passes.options):
            if not passes.options:
                return self._target_machine.emit_object(module)
            # Some options are read when a code generator is made.
            with TargetMachine.for_module(module) as target_machine:
                return target_machine.emit_object(module)

    def _reach(self, elements: tuple[str, ...], done: Container[str]) -> tuple[str, Module | None]:
        """Return the state that a list ends in, and its module, which the caller owns.

        There is no module where the state is one of `done`.
        """
        if end := self._ends.get(elements):
            if end in done:
                return end, None
            if kept := self._kept.get(end):
                return end, kept.clone()
        path = [self._root_hash]  # path[i]: the state before elements[i]
        module: Module | None = None
        at = 0  # the position that `module` is at
        first: int | None = None  # where the known path first ended
        try:
            while True:
                self._walk(path, elements)
                position = len(path) - 1
                if position == len(elements) and path[-1] in done:
                    if module is not None:
                        module.close()
                    return path[-1], None
                if module is None or any(
                    path[i] in self._kept for i in range(at + 1, position + 1)
                ):
                    if module is not None:
                        module.close()
                    module, at = self._nearest(path)
                self._advance(module, path, at, elements)
                if position == len(elements):
                    return path[-1], module
                if first is None:
                    first = position
                if first < _NEIGHBOUR and position - first >= _FRESH_DEPTH:
                    state = self._run_rest(module, elements, position)
                    if state in done:
                        module.close()
                        return state, None
                    return state, module
                self._run(module, elements[position])
                at = position + 1
                path.append(module.bitcode_hash())
                self._edges[path[-2], elements[position]] = path[-1]
        except BaseException:
            if module is not None:
                module.close()
            raise

    def _run_rest(self, module: Module, elements: tuple[str, ...], position: int) -> str:
        """Run the rest of a list without looking at the states between: none is likely to recur."""
        for element in elements[position:]:
            self._run(module, element)
        state = self._ends[elements] = module.bitcode_hash()
        return state

    def _measure_alone(
        self, passes: Recipe, with_symbols: bool, with_instructions: bool
    ) -> Measurement:
        with self._root.clone() as module:
            for element in _steps(passes):
                self._run(module, element)
            state = module.bitcode_hash()
            return self._generate(module, state, passes, with_symbols, with_instructions)

    def _walk(self, path: list[str], elements: tuple[str, ...]) -> None:
        """Extend a path along known edges as far as they lead."""
        while len(path) <= len(elements):
            following = self._edges.get((path[-1], elements[len(path) - 1]))
            if following is None:
                return
            path.append(following)

    def _nearest(self, path: list[str]) -> tuple[Module, int]:
        """Return a module of its own for the last state of a path that is kept, and its place."""
        for position in range(len(path) - 1, 0, -1):
            if kept := self._kept.get(path[position]):
                self._kept.move_to_end(path[position])
                return kept.clone(), position
        return self._root.clone(), 0

    def _advance(
        self, module: Module, path: list[str], start: int, elements: tuple[str, ...]
    ) -> None:
        """Bring a module from one position of a path to its end, along known edges."""
        last = len(path) - 1
        for index in range(start, last):
            if path[index + 1] != path[index]:  # else known to change nothing
                self._run(module, elements[index])
        if last > start and path[last] != path[start] and path[last] not in self._kept:
            # Second visit to this state: a third is likely.
            self._keep(path[last], module)

    def _run(self, module: Module, element: str) -> None:
        if element.startswith(_TAKE):
            take_attributes(module, element.removeprefix(_TAKE).split())
        elif element.startswith(_WITH):
            options, _, passes = element.removeprefix(_WITH).partition(" ")
            with llvm_options(self._library, options.split(",")):
                module.run_passes(passes, self._target_machine.handle)
        else:
            module.run_passes(element, self._target_machine.handle)
        self._count_run()

    def _count_run(self) -> None:
        self._runs += 1
        self.num_pass_runs += 1

    def _generate(
        self,
        module: Module,
        state: str,
        passes: Recipe,
        with_symbols: bool,
        with_instructions: bool,
    ) -> Measurement:
        if broken := module.verify():
            raise CompileFailed(f"the passes leave a broken module: {broken}", detail=broken)
        if left := [name for name in self._must_inline if module.is_used(name)]:
            raise CompileFailed(f"'{left[0]}' exists nowhere unless inlined: it would not link")
        num_instructions = module.num_instructions() if with_instructions else 0
        # Code generation changes the module: what it refers to is read before.
        references = local_references(module) if with_symbols else {}
        names = [symbol_name(name) for name in module.defined_functions()] if with_symbols else []
        data = self._emit(module, passes)
        sizes = section_sizes(data)
        name = _outcome(state, _code_settings(passes))
        measurement = Measurement(
            status=Status.OK,
            size_bytes=sizes.size_bytes,
            text_data_bytes=sizes.text_data_bytes,
            merged_bytes=sizes.merged_bytes,
            num_instructions=num_instructions,
            result_hash=name,
            symbols=symbol_sizes(data, references, names) if with_symbols else (),
        )
        for (symbols, instructions), known in self._measured.items():
            if symbols <= with_symbols and instructions <= with_instructions:
                known[name] = measurement
        return measurement


def _steps(recipe: Recipe) -> tuple[str, ...]:
    """Return a recipe's passes, after the step that takes attributes away, if it does.

    Passes that run with options are other steps than those without.
    """
    elements = recipe.elements
    if options := pass_options(recipe):
        elements = tuple(f"{_WITH}{','.join(options)} {element}" for element in elements)
    removed = removed_attributes(recipe)
    return (_TAKE + " ".join(removed), *elements) if removed else elements


def _code_settings(recipe: Recipe) -> str:
    """Return the settings that code is generated with; what the passes had is in the module."""
    return Recipe(attributes=given_attributes(recipe), options=recipe.options).settings


def _outcome(state: str, settings: str) -> str:
    """Return what names an object: the module that it is made of, and the settings."""
    return content_hash(f"{state} {settings}".encode()) if settings else state


class _Done:
    """States of which the object under given settings is known already."""

    def __init__(self, outcomes: Container[str], settings: str) -> None:
        self._outcomes, self._settings = outcomes, settings

    def __contains__(self, state: object) -> bool:
        return _outcome(str(state), self._settings) in self._outcomes
