"""Measure many pass lists on one module, doing shared work once.

The states that a module passes through form a graph: a node is a module (named by the hash of its
bitcode), an edge is one pass. An evaluator remembers every edge that it has seen, so that

* a prefix shared by many lists is run once,
* a pass that changes nothing is an edge from a node to itself and never run again there,
* lists that end in the same module are generated code for and measured once.

Modules themselves are kept only where a second list came by (least recently used go first).
LLVM contexts never give back constants and types, so the context is made anew now and then.
Measurements rank candidates; use-list orders are not part of a module's hash, and the stock tools
decide in the end (DESIGN.md, rules of measurement). Runs in a worker: a crash ends its process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from types import TracebackType
from typing import Self

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.capi import Library, load
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import Context, Module
from llm_compiler.records import Measurement, PassList, Status

__all__ = ["Evaluator"]

_KEPT_BYTES = 24_000_000
"""Bitcode bytes of kept modules; in memory a module takes about ten times as much."""
_KEPT_MODULES = 400
_RECYCLE_AFTER = 1_500
"""Pass runs until the context is made anew; keeps the growth of a worker under some megabytes."""
_MAX_EDGES = 400_000


class Evaluator:
    """Measures pass lists on one module; owns its LLVM context.

    Args:
        bitcode: the unoptimised module (bitcode or text).
        share: False evaluates each list from the start, for comparison (`benchmarks/`).
    """

    def __init__(
        self, bitcode: bytes, *, share: bool = True, library: Library | None = None
    ) -> None:
        self._library = library or load()
        self._bitcode = bitcode
        self._share = share
        self._edges: dict[tuple[str, str], str] = {}
        self._measured: dict[str, Measurement] = {}
        self._kept: OrderedDict[str, Module] = OrderedDict()
        self._runs = 0
        self.num_pass_runs = 0
        """Passes really run, for statistics."""
        self.num_code_generations = 0
        self._context: Context | None = None
        self._open()
        self._root_hash = self._root.bitcode_hash()
        self._max_kept = max(4, min(_KEPT_MODULES, _KEPT_BYTES // max(1, len(bitcode))))

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _recycle(self) -> None:
        self.close()
        self._open()
        self._runs = 0
        if len(self._edges) > _MAX_EDGES:
            self._edges.clear()

    def measure(self, passes: PassList) -> Measurement:
        """Return the sizes of the module after a pass list.

        Errors that LLVM reports become a measurement with status REFUSED; aborts end the process.
        """
        start = time.perf_counter()
        if self._runs > _RECYCLE_AFTER:
            self._recycle()
        try:
            measurement = self._measure(passes)
        except CompileFailed as error:
            return Measurement(
                status=Status.REFUSED,
                detail=str(error)[:2000],
                seconds=time.perf_counter() - start,
            )
        return Measurement(
            status=measurement.status,
            size_bytes=measurement.size_bytes,
            text_data_bytes=measurement.text_data_bytes,
            num_instructions=measurement.num_instructions,
            result_hash=measurement.result_hash,
            detail=measurement.detail,
            seconds=time.perf_counter() - start,
        )

    def _measure(self, passes: PassList) -> Measurement:
        path = self._known_path(passes)
        known = len(path) - 1
        if known == len(passes) and (found := self._measured.get(path[-1])):
            return found
        module = self._materialize(passes, path)
        state = path[-1]
        try:
            for element in passes.elements[known:]:
                module.run_passes(element, self._target_machine.handle)
                self._count_run()
                if self._share:
                    after = module.bitcode_hash()
                    self._edges[state, element] = after
                    state = after
            if not self._share:
                state = module.bitcode_hash()
            if (found := self._measured.get(state)) and self._share:
                return found
            return self._generate(module, state)
        finally:
            module.close()

    def _known_path(self, passes: PassList) -> list[str]:
        """Return the states along the longest prefix whose edges are known."""
        path = [self._root_hash]
        for element in passes.elements:
            following = self._edges.get((path[-1], element))
            if following is None:
                break
            path.append(following)
        return path

    def _materialize(self, passes: PassList, path: list[str]) -> Module:
        """Return a module of its own for the last state of a path."""
        last = len(path) - 1
        start = next((i for i in range(last, 0, -1) if path[i] in self._kept), 0)
        if start:
            self._kept.move_to_end(path[start])
            module = self._kept[path[start]].clone()
        else:
            module = self._root.clone()
        for index in range(start, last):
            if path[index + 1] == path[index]:
                continue  # known to change nothing
            module.run_passes(passes.elements[index], self._target_machine.handle)
            self._count_run()
        if last > start and path[last] not in (self._root_hash, path[start]):
            # Second visit to this state: a third is likely.
            self._kept[path[last]] = module.clone()
            while len(self._kept) > self._max_kept:
                self._kept.popitem(last=False)[1].close()
        return module

    def _count_run(self) -> None:
        self._runs += 1
        self.num_pass_runs += 1

    def _generate(self, module: Module, state: str) -> Measurement:
        if broken := module.verify():
            raise CompileFailed(f"the passes leave a broken module: {broken}", detail=broken)
        num_instructions = module.num_instructions()
        self.num_code_generations += 1
        self._runs += 1
        sizes = self._target_machine.sizes(module)
        measurement = Measurement(
            status=Status.OK,
            size_bytes=sizes.size_bytes,
            text_data_bytes=sizes.text_data_bytes,
            num_instructions=num_instructions,
            result_hash=state,
        )
        self._measured[state] = measurement
        return measurement
