"""Choose a pass list for each function of a unit from measurements of the whole unit.

Every evaluation says what each function takes (`Measurement.symbols`) and which others it needs. So
the best list of each function is known without another evaluation, but for what lies between them:
a static function that one list inlines everywhere and another calls must be paid for as soon as one
caller needs it. `choose_lists` searches over that graph: a function counts while something that
counts refers to it. The sum is a forecast; assemblies are compiled before one is believed.
Pure; knows no LLVM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.symbol_sizes import symbol_name
from llm_compiler.records import Measurement, PassList, SymbolSize
from llm_compiler.search.objective import SIZE, TEXT_DATA, Objective

__all__ = ["MAX_LISTS", "choose_lists"]

MAX_LISTS = 6
"""Different lists in one assembly: each is one more run of `opt`."""
_UNKNOWN_BYTES = 8.0
"""Added to the smallest size known of a function that a list inlined everywhere."""
_MAX_ROUNDS = 6
_MAX_STARTS = 3
_MIN_GAIN = 0.01
_SIDE_WEIGHT = 0.05
"""Of bytes that the objective does not count: they break ties."""


def choose_lists(
    structure: Structure,
    measured: Mapping[PassList, Measurement],
    *,
    objective: Objective = SIZE,
    max_lists: int = MAX_LISTS,
) -> dict[str, PassList]:
    """Return the list of each function, by name of the IR; empty where nothing is known.

    Args:
        measured: measurements of the whole unit with symbols; others are left out.
        max_lists: different lists at most.
    """
    lists = [passes for passes, found in measured.items() if found.ok and found.symbols]
    if not lists or not structure.functions:
        return {}
    graph = _Graph(structure, [measured[passes].symbols for passes in lists], _weight(objective))
    chosen = _search(graph, len(lists))
    _merge_lists(graph, chosen, max_lists)
    return {name: lists[chosen[graph.unit_of[name]]] for name in structure.functions}


def _weight(objective: Objective) -> Callable[[SymbolSize], float]:
    if objective.name == TEXT_DATA.name:
        return lambda one: one.text_bytes + _SIDE_WEIGHT * (one.size_bytes - one.text_bytes)
    return lambda one: one.size_bytes


class _Graph:
    """What each *unit* costs with each list, and which units it then needs.

    A unit is what moves as one: a function, or the functions that are tied to each other.
    """

    def __init__(
        self,
        structure: Structure,
        tables: Sequence[Sequence[SymbolSize]],
        weight: Callable[[SymbolSize], float],
    ) -> None:
        self.unit_of = _units(structure)
        self.num_units = max(self.unit_of.values()) + 1
        by_symbol = {symbol_name(name): unit for name, unit in self.unit_of.items()}
        self.costs: list[list[float]] = []
        """By list and unit."""
        self.needs: list[list[frozenset[int]]] = []
        absent: list[set[int]] = []
        for table in tables:
            costs, needs, seen = _fold(table, by_symbol, self.num_units, weight)
            self.costs.append(costs)
            self.needs.append(needs)
            absent.append(set(range(self.num_units)) - seen)
        for unit in range(self.num_units):
            known = [i for i in range(len(tables)) if unit not in absent[i]]
            smallest = min(known, key=lambda i: self.costs[i][unit], default=None)
            for i in range(len(tables)):
                if unit in absent[i] and smallest is not None:
                    self.costs[i][unit] = self.costs[smallest][unit] + _UNKNOWN_BYTES
                    self.needs[i][unit] = self.needs[smallest][unit]
        self.roots = self._find_roots(structure, tables, by_symbol)
        self.users: list[set[int]] = [set() for _ in range(self.num_units)]
        """Units that need a unit with one list at least."""
        for needs in self.needs:
            for unit, needed in enumerate(needs):
                for one in needed:
                    self.users[one].add(unit)

    def _find_roots(
        self,
        structure: Structure,
        tables: Sequence[Sequence[SymbolSize]],
        by_symbol: Mapping[str, int],
    ) -> frozenset[int]:
        aliased = dict(structure.aliases)
        kept = {
            aliased.get(name) or name
            for name in structure.exported
            if name not in structure.discardable
        }
        for name, used in structure.references.items():
            if name.startswith("llvm."):  # constructors, used
                kept |= used
        found = {self.unit_of[name] for name in kept if name in self.unit_of}
        for table in tables:
            sizes = {one.name: one for one in table}
            pending = [
                one.name
                for one in table
                if one.is_exported and not one.is_function and one.name in kept
            ]
            seen = set(pending)
            while pending:
                for name in sizes[pending.pop()].references:
                    if (unit := by_symbol.get(name)) is not None:
                        found.add(unit)
                    elif name in sizes and name not in seen:
                        seen.add(name)
                        pending.append(name)
        return frozenset(found)

    def cost(self, chosen: Sequence[int]) -> float:
        """Return the sum over all units that count."""
        pending = list(self.roots)
        seen = set(pending)
        total = 0.0
        while pending:
            unit = pending.pop()
            total += self.costs[chosen[unit]][unit]
            for one in self.needs[chosen[unit]][unit]:
                if one not in seen:
                    seen.add(one)
                    pending.append(one)
        return total


def _units(structure: Structure) -> dict[str, int]:
    together: dict[str, str] = {}
    pinned = [name for name in structure.functions if name in structure.pinned]
    for group in (*structure.ties, pinned):
        for name in group:
            together[name] = together.get(group[0], group[0])
    numbers: dict[str, int] = {}
    return {
        name: numbers.setdefault(together.get(name, name), len(numbers))
        for name in structure.functions
    }


def _fold(
    table: Sequence[SymbolSize],
    by_symbol: Mapping[str, int],
    num_units: int,
    weight: Callable[[SymbolSize], float],
) -> tuple[list[float], list[frozenset[int]], set[int]]:
    """Return the cost and needs of each unit in one list's object, and the units that are there.

    What the list made beside them (outlined or merged functions) and variables count with those
    that reach them without another unit between, in equal shares.
    """
    sizes = {one.name: one for one in table}
    costs = [0.0] * num_units
    needs: list[set[int]] = [set() for _ in range(num_units)]
    reached: dict[str, set[int]] = defaultdict(set)
    present: set[int] = set()
    for one in table:
        unit = by_symbol.get(one.name)
        if unit is None:
            continue
        present.add(unit)
        costs[unit] += weight(one)
        pending, seen = [one.name], {one.name}
        while pending:
            for name in sizes[pending.pop()].references:
                if (other := by_symbol.get(name)) is not None:
                    needs[unit].add(other)
                elif name in sizes and name not in seen:
                    seen.add(name)
                    reached[name].add(unit)
                    pending.append(name)
        needs[unit].discard(unit)
    for name, units in reached.items():
        if not sizes[name].is_exported:
            for unit in units:
                costs[unit] += weight(sizes[name]) / len(units)
    return costs, [frozenset(one) for one in needs], present


class _State:
    """A choice under change: how often each unit is needed by one that counts."""

    def __init__(self, graph: _Graph, chosen: Sequence[int]) -> None:
        self.graph = graph
        self.chosen = list(chosen)
        self.total = 0.0
        self._counts = [0] * graph.num_units
        for unit in graph.roots:
            self._add(unit)

    def _add(self, unit: int) -> None:
        pending = [unit]
        while pending:
            one = pending.pop()
            self._counts[one] += 1
            if self._counts[one] == 1:
                self.total += self.graph.costs[self.chosen[one]][one]
                pending.extend(self.graph.needs[self.chosen[one]][one])

    def _remove(self, unit: int) -> None:
        pending = [unit]
        while pending:
            one = pending.pop()
            self._counts[one] -= 1
            if self._counts[one] == 0:
                self.total -= self.graph.costs[self.chosen[one]][one]
                pending.extend(self.graph.needs[self.chosen[one]][one])

    def counts(self, unit: int) -> bool:
        """Whether a unit is in the object. (Units that need only each other stay: an error
        upwards, which `_Graph.cost` does not make.)"""
        return self._counts[unit] > 0

    def set(self, unit: int, index: int) -> None:
        """Give a unit another list."""
        old = self.chosen[unit]
        if old == index:
            return
        if not self.counts(unit):
            self.chosen[unit] = index
            return
        before, after = self.graph.needs[old][unit], self.graph.needs[index][unit]
        self.chosen[unit] = index
        self.total += self.graph.costs[index][unit] - self.graph.costs[old][unit]
        for one in after - before:
            self._add(one)
        for one in before - after:
            self._remove(one)


def _search(graph: _Graph, num_lists: int) -> list[int]:
    """Return the list of each unit: from the best whole choices on, while a change helps."""
    starts = [[index] * graph.num_units for index in range(num_lists)]
    starts.sort(key=graph.cost)
    starts = starts[:_MAX_STARTS]
    starts.append(
        [
            min(range(num_lists), key=lambda i: graph.costs[i][unit])
            for unit in range(graph.num_units)
        ]
    )
    found = [_improve(graph, start, num_lists) for start in starts]
    return min([*starts, *found], key=graph.cost)


def _improve(graph: _Graph, start: Sequence[int], num_lists: int) -> list[int]:
    state = _State(graph, start)
    for _ in range(_MAX_ROUNDS):
        improved = False
        for unit in range(graph.num_units):
            if not state.counts(unit):
                continue
            # Alone, and with all its users: they may no longer need it then.
            groups = (
                [(unit,), (unit, *sorted(graph.users[unit]))] if graph.users[unit] else [(unit,)]
            )
            for index in range(num_lists):
                for group in groups:
                    before = state.total
                    old = [(one, state.chosen[one]) for one in group]
                    for one in group:
                        state.set(one, index)
                    if state.total < before - _MIN_GAIN:
                        improved = True
                        continue
                    for one, was in old:
                        state.set(one, was)
        if not improved:
            break
    return state.chosen


def _merge_lists(graph: _Graph, chosen: list[int], max_lists: int) -> None:
    """Replace lists by others that are used, where that costs nothing or there are too many."""
    while True:
        used = sorted(set(chosen))
        if len(used) == 1:
            return
        cost = graph.cost(chosen)
        best: tuple[float, list[int]] | None = None
        for old in used:
            for new in used:
                if old == new:
                    continue
                changed = [new if one == old else one for one in chosen]
                value = graph.cost(changed)
                if best is None or value < best[0]:
                    best = value, changed
        assert best is not None
        if len(used) <= max_lists and best[0] > cost + _MIN_GAIN:
            return
        chosen[:] = best[1]
