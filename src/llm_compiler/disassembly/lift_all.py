"""Lift the functions of one file, several side by side if there are several lifters.

Further names of a function are lifted once. Ctrl-C keeps what was finished until then.
"""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.disassembled import LiftedFunction
from llm_compiler.disassembly.lift import Lift, Lifter
from llm_compiler.llvm.elf import Symbol, SymbolKind
from llm_compiler.verify.lifted import LiftVerdict

__all__ = ["lift_all"]


def lift_all(
    binary: Binary,
    symbols: Sequence[Symbol],
    lifters: Sequence[Lifter],
    on_progress: Callable[[str, int, int], None],
) -> tuple[list[Lift], int]:
    """Return a lift for each symbol, and how many were looked at before Ctrl-C."""
    first = _first_names(binary, symbols)
    own = [index for index in range(len(symbols)) if first[index] == index]
    found: dict[int, Lift] = {}
    if len(lifters) == 1:
        try:
            for index in own:
                on_progress(symbols[index].name, index, len(symbols))
                found[index] = lifters[0].lift(symbols[index])
        except KeyboardInterrupt:
            pass
    else:
        _side_by_side(symbols, own, lifters, on_progress, found)
    lifts = []
    for index, symbol in enumerate(symbols):
        real = found.get(first[index])
        if real is None:
            lifts.append(_not_looked_at(symbol))
        elif first[index] == index:
            lifts.append(real)
        else:
            lifts.append(_alias(real, symbol, symbols[first[index]]))
    return lifts, sum(first[index] in found for index in range(len(symbols)))


def _side_by_side(
    symbols: Sequence[Symbol],
    own: Sequence[int],
    lifters: Sequence[Lifter],
    on_progress: Callable[[str, int, int], None],
    found: dict[int, Lift],
) -> None:
    free: queue.SimpleQueue[Lifter] = queue.SimpleQueue()
    for lifter in lifters:
        free.put(lifter)

    def work(index: int) -> tuple[int, Lift]:
        mine = free.get()
        try:
            return index, mine.lift(symbols[index])
        finally:
            free.put(mine)

    with ThreadPoolExecutor(len(lifters)) as threads:
        waiting: list[Future[tuple[int, Lift]]] = [threads.submit(work, index) for index in own]
        try:
            for number, future in enumerate(as_completed(waiting)):
                index, lift = future.result()
                found[index] = lift
                on_progress(symbols[index].name, number, len(symbols))
        except KeyboardInterrupt:
            threads.shutdown(wait=True, cancel_futures=True)
            for future in waiting:
                if future.done() and not future.cancelled() and future.exception() is None:
                    index, lift = future.result()
                    found[index] = lift
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def _first_names(binary: Binary, symbols: Sequence[Symbol]) -> list[int]:
    """Return for each symbol the first one that stands for the same code."""
    first: list[int] = []
    by_place: dict[tuple[int, int], list[int]] = {}
    for index, symbol in enumerate(symbols):
        position = by_place.setdefault((symbol.section, symbol.value), [])
        first.append(next((i for i in position if binary.is_alias(symbol, symbols[i])), index))
        position.append(index)
    for index, symbol in enumerate(symbols):
        if symbol.kind is SymbolKind.IFUNC:
            # The function that chooses stands at the same place, under a name of its own.
            position = by_place[symbol.section, symbol.value]
            choosing = [i for i in position if symbols[i].kind is SymbolKind.FUNCTION]
            first[index] = first[choosing[0]] if choosing else index
    return first


def _alias(real: Lift, symbol: Symbol, other: Symbol) -> Lift:
    outcome = dataclasses.replace(
        real.outcome,
        name=symbol.name,
        alias_of=other.name,
        is_ifunc=symbol.kind is SymbolKind.IFUNC,
        num_candidates=0,
        seconds=0.0,
    )
    text = real.text and dataclasses.replace(real.text, is_static=symbol.is_local)
    return dataclasses.replace(real, outcome=outcome, text=text)


def _not_looked_at(symbol: Symbol) -> Lift:
    return Lift(
        outcome=LiftedFunction(
            name=symbol.name, verdict=LiftVerdict.NO_ANSWER, reason="it was not looked at"
        )
    )
