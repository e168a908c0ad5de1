"""What the calls of a file show of functions elsewhere: how many integers they take at most.

A register that nobody has set since the last call holds nothing that could be passed. So a
function that is called with such a register takes no argument there, and in none of its other
calls either, unless it takes as many as its caller likes (``...``). Not safe to share between
threads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Final

from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.rules.nodes import Graph
from llm_compiler.disassembly.rules.target import Convention
from llm_compiler.llvm.elf import Symbol

__all__ = ["CallSites", "most_passed"]

_MAX_CALLERS: Final = 16
"""That are read for one function."""
_ELLIPSIS: Final = "z"
"""Ends the names of C++ functions with ``...``."""


def most_passed(graph: Graph, convention: Convention) -> dict[str, int | None]:
    """Return how many integer registers each function may be passed in all calls of a function.

    Only what happens in one block counts: on another way a variable may be set that is not on this
    one. None: it may be a function with ``...``, which each call passes another number.
    """
    registers = convention.integer_arguments
    found: dict[str, int | None] = {}
    for number in graph.order:
        undefined: set[str] = set()
        for node in graph.blocks[number].nodes:
            if node.op == "clobber":
                undefined.add(node.data)
            elif node.op in ("write", "restore"):
                undefined.discard(node.data)  # what a call may have returned counts as set
            if node.op != "call" or not node.data.symbol:
                continue
            name = node.data.symbol
            most = next(
                (place for place, register in enumerate(registers) if register in undefined),
                len(registers),
            )
            known = found.get(name, len(registers))
            # C's calls of functions with "..." say how many vector registers they pass.
            is_open = node.data.vector_count is not None and not name.startswith("_Z")
            found[name] = None if known is None or is_open else min(known, most)
    return found


class CallSites:
    """What all calls of a file show."""

    def __init__(
        self,
        binary: Binary,
        says_ellipsis: bool,
        read: Callable[[Symbol], Mapping[str, int | None]],
    ) -> None:
        """Look at a file's relocations when first asked.

        Args:
            says_ellipsis: calls show whether the callee may have ``...``; else only names do.
            read: returns what `most_passed` does of a function.
        """
        self._binary, self._says_ellipsis, self._read = binary, says_ellipsis, read
        self._callers: dict[str, list[Symbol]] | None = None
        self._passed: dict[int, Mapping[str, int | None]] = {}
        self._most: dict[str, int | None] = {}

    def most(self, name: str) -> int | None:
        """Return how many integers a function takes at most; None: it is not known."""
        if name not in self._most:
            self._most[name] = self._read_most(name)
        return self._most[name]

    def _read_most(self, name: str) -> int | None:
        is_mangled = name.startswith("_Z")
        if (is_mangled and name.endswith(_ELLIPSIS)) or not (is_mangled or self._says_ellipsis):
            return None
        if self._callers is None:
            self._callers = self._find_callers()
        found: int | None = None
        for caller in self._callers.get(name, ())[:_MAX_CALLERS]:
            if caller.index not in self._passed:
                self._passed[caller.index] = self._read(caller)
            passed = self._passed[caller.index]
            if name not in passed:
                continue
            most = passed[name]
            if most is None:
                return None
            found = most if found is None else min(found, most)
        return found

    def _find_callers(self) -> dict[str, list[Symbol]]:
        elf = self._binary.elf
        by_section: dict[int, list[Symbol]] = {}
        for symbol in self._binary.functions():
            by_section.setdefault(symbol.section, []).append(symbol)
        found: dict[str, dict[int, Symbol]] = {}
        for section, symbols in by_section.items():
            symbols.sort(key=lambda symbol: symbol.value)
            starts = [symbol.value for symbol in symbols]
            for relocation in elf.relocations.get(section, ()):
                place = bisect_right(starts, relocation.offset) - 1
                if place >= 0:
                    caller = symbols[place]
                    found.setdefault(relocation.symbol.name, {})[caller.index] = caller
        return {name: list(callers.values()) for name, callers in found.items()}
