"""Choose a pass list for each function of a unit from measurements of the whole unit.

Every evaluation says what each function takes (`Measurement.symbols`) and which others it needs. So
the best list of each function is known without another evaluation, but for what lies between them:
a static function that one list inlines everywhere and another calls must be paid for as soon as one
caller needs it, and so must a table that one list replaces by code and another reads.
`choose_lists` searches over that graph: a function or variable counts while something that counts
refers to it. The sum is a forecast; assemblies are compiled before one is believed.
Pure; knows no LLVM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.symbol_sizes import symbol_name
from llm_compiler.records import Measurement, PassList, SymbolSize
from llm_compiler.search.objective import FLASH, SIZE, TEXT_DATA, Objective

__all__ = [
    "MAX_LISTS",
    "Chooser",
    "Graph",
    "choose",
    "choose_lists",
    "find_roots",
    "fold_costs",
    "improve",
    "pieces_of",
]

MAX_LISTS = 6
"""Different lists in one assembly: each is one more run of `opt`."""
_PRIVATE_PREFIX = ".L"
"""What ELF's assemblers put before the names of private variables."""
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
    return Chooser(structure, measured, objective=objective, max_lists=max_lists).choose()


class Chooser:
    """Chooses a list for each function, and learns from assemblies what the forecast missed.

    Args: as of `choose_lists`.
    """

    def __init__(
        self,
        structure: Structure,
        measured: Mapping[PassList, Measurement],
        *,
        objective: Objective = SIZE,
        max_lists: int = MAX_LISTS,
    ) -> None:
        self._structure = structure
        self._lists = [passes for passes, found in measured.items() if found.ok and found.symbols]
        self._weight, self._max_lists = _weight(objective), max_lists
        self._pieces = pieces_of(structure)
        tables = [measured[passes].symbols for passes in self._lists]
        self._by_symbol = _by_symbol(structure, self._pieces, tables)
        self.graph = (
            _graph_of(structure, self._pieces, self._by_symbol, tables, self._weight)
            if self._lists and structure.functions
            else None
        )

    def choose(self) -> dict[str, PassList]:
        """Return the list of each function, by name of the IR; empty where nothing is known."""
        if self.graph is None:
            return {}
        chosen = choose(self.graph, self._max_lists)
        return {name: self._lists[chosen[self._pieces[name]]] for name in self._structure.functions}

    def learn(self, chosen: Mapping[str, PassList], assembled: Measurement) -> None:
        """Take what an assembly's functions took for what their lists make of them.

        Args:
            chosen: what the assembly was made of.
            assembled: with symbols.
        """
        if self.graph is None or not assembled.symbols:
            return
        positions = {passes: place for place, passes in enumerate(self._lists)}
        lists = {self._pieces[name]: positions[passes] for name, passes in chosen.items()}
        costs, needs, present = fold_costs(
            assembled.symbols, self._by_symbol, self.graph.num_pieces, self._weight
        )
        for piece in present & lists.keys():
            self.graph.set(lists[piece], piece, costs[piece], needs[piece])


def choose(graph: Graph, max_lists: int = MAX_LISTS) -> list[int]:
    """Return the list of each piece: its place among the graph's."""
    chosen = _search(graph, graph.num_lists)
    _merge_lists(graph, chosen, max_lists)
    return chosen


def _by_symbol(
    structure: Structure, pieces: Mapping[str, int], tables: Sequence[Sequence[SymbolSize]]
) -> dict[str, int]:
    """Return the piece of each symbol: those of functions, then one for each of the variables.

    Variables that a list made itself (tables of switches, merged ones) are not among them.
    """
    found = {symbol_name(name): piece for name, piece in pieces.items()}
    variables = {*structure.local_variables, *structure.exported} - set(structure.functions)
    known = {_variable_name(symbol_name(name)) for name in variables}
    numbers: dict[str, int] = {}
    num_functions = len(set(pieces.values()))
    for table in tables:
        for size in table:
            if size.is_function or size.name in found:
                continue
            name = _variable_name(size.name)
            if name in known:
                found[size.name] = numbers.setdefault(name, num_functions + len(numbers))
    # An assembly calls them by the other name: what is nameless has a name while it is apart.
    for name, number in numbers.items():
        found.setdefault(name, number)
    return found


def _variable_name(symbol: str) -> str:
    return symbol.removeprefix(_PRIVATE_PREFIX)


def _graph_of(
    structure: Structure,
    pieces: Mapping[str, int],
    by_symbol: Mapping[str, int],
    tables: Sequence[Sequence[SymbolSize]],
    weight: Callable[[SymbolSize], float],
) -> Graph:
    num_functions = len(set(pieces.values()))
    num_pieces = max(by_symbol.values()) + 1
    costs: list[list[float | None]] = []
    needs = []
    roots: set[int] = set()
    for table in tables:
        values, needed, present = fold_costs(table, by_symbol, num_pieces, weight)
        costs.append([cost if i in present else None for i, cost in enumerate(values)])
        needs.append(needed)
        roots |= find_roots(structure, pieces, table)
    kept = set(structure.exported) - structure.discardable
    roots |= {by_symbol[name] for n in kept if (name := symbol_name(n)) in by_symbol}
    # A variable is the same whichever lists its users have.
    for piece in range(num_functions, num_pieces):
        known = [cost for values in costs if (cost := values[piece]) is not None]
        needed_by_any = frozenset().union(*(needed[piece] for needed in needs))
        for row, needed in zip(costs, needs, strict=True):
            row[piece] = min(known)
            needed[piece] = needed_by_any
    return Graph(costs, needs, frozenset(roots), num_variables=num_pieces - num_functions)


def _weight(objective: Objective) -> Callable[[SymbolSize], float]:
    if objective.name == TEXT_DATA.name:
        return lambda symbol_size: (
            symbol_size.text_bytes
            + _SIDE_WEIGHT * (symbol_size.size_bytes - symbol_size.text_bytes)
        )
    if objective.name == FLASH.name:
        return lambda symbol_size: symbol_size.flash_bytes
    return lambda symbol_size: symbol_size.size_bytes


class Graph:
    """What each *piece* costs with each list, and which pieces it then needs.

    A piece is what moves as one: a function, or the functions that are tied to each other.

    Args:
        costs: by list and piece; None: the list's object has no such piece.
        needs: by list and piece, the pieces that it then needs.
        roots: pieces that count whatever needs them.
        num_variables: how many of the pieces, the last ones, are variables: they are the same with
            each list, and there is nothing to choose.
    """

    def __init__(
        self,
        costs: Sequence[Sequence[float | None]],
        needs: Sequence[Sequence[frozenset[int]]],
        roots: frozenset[int],
        num_variables: int = 0,
    ) -> None:
        self.num_pieces = len(costs[0])
        self.num_functions = self.num_pieces - num_variables
        self.roots = roots
        self.costs: list[list[float]] = []
        self.needs: list[list[frozenset[int]]] = [list(need) for need in needs]
        smallest: list[int | None] = []
        for piece in range(self.num_pieces):
            known = [(c, i) for i, value in enumerate(costs) if (c := value[piece]) is not None]
            smallest.append(min(known)[1] if known else None)
        for i, item in enumerate(costs):
            row = []
            for piece, cost in enumerate(item):
                best = smallest[piece]
                if cost is None and best is not None:
                    cost = (costs[best][piece] or 0.0) + _UNKNOWN_BYTES
                    self.needs[i][piece] = needs[best][piece]
                row.append(cost or 0.0)
            self.costs.append(row)
        self.users: list[set[int]] = [set() for _ in range(self.num_pieces)]
        """Functions that need a piece with one list at least."""
        for needed_by in self.needs:
            for piece, needed in enumerate(needed_by[: self.num_functions]):
                for other in needed:
                    self.users[other].add(piece)

    @property
    def num_lists(self) -> int:
        """How many lists there are to choose from."""
        return len(self.costs)

    def set(self, index: int, piece: int, cost: float, needs: frozenset[int]) -> None:
        """Say what a piece takes with a list, and what it then needs."""
        self.costs[index][piece] = cost
        self.needs[index][piece] = needs
        for other in needs:
            self.users[other].add(piece)

    def cost(self, chosen: Sequence[int]) -> float:
        """Return the sum over all pieces that count."""
        pending = list(self.roots)
        seen = set(pending)
        total = 0.0
        while pending:
            unit = pending.pop()
            total += self.costs[chosen[unit]][unit]
            for index in self.needs[chosen[unit]][unit]:
                if index not in seen:
                    seen.add(index)
                    pending.append(index)
        return total


def find_roots(
    structure: Structure, pieces: Mapping[str, int], table: Sequence[SymbolSize]
) -> frozenset[int]:
    """Return the pieces that count whatever needs them, by the table of one list's symbols.

    They have names that others may know, or a variable with such a name refers to them.
    """
    aliased = dict(structure.aliases)
    kept = {
        aliased.get(name) or name
        for name in structure.exported
        if name not in structure.discardable
    }
    for name, used in structure.references.items():
        if name.startswith("llvm."):  # constructors, used
            kept |= used
    by_symbol = {symbol_name(name): piece for name, piece in pieces.items()}
    found = {pieces[name] for name in kept if name in pieces}
    sizes = {symbol_size.name: symbol_size for symbol_size in table}
    pending = [
        symbol_size.name
        for symbol_size in table
        if symbol_size.is_exported and not symbol_size.is_function and symbol_size.name in kept
    ]
    seen = set(pending)
    while pending:
        for name in sizes[pending.pop()].references:
            if (piece := by_symbol.get(name)) is not None:
                found.add(piece)
            elif name in sizes and name not in seen:
                seen.add(name)
                pending.append(name)
    return frozenset(found)


def pieces_of(structure: Structure) -> dict[str, int]:
    """Return the number of the piece that each function belongs to, by name of the IR."""
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


def fold_costs(
    table: Sequence[SymbolSize],
    by_symbol: Mapping[str, int],
    num_pieces: int,
    weight: Callable[[SymbolSize], float],
) -> tuple[list[float], list[frozenset[int]], set[int]]:
    """Return the cost and needs of each piece in one list's object, and the pieces that are there.

    What the list made beside them (outlined or merged functions) and variables count with those
    that reach them without another unit between, in equal shares.
    """
    sizes = {size.name: size for size in table}
    costs = [0.0] * num_pieces
    needs: list[set[int]] = [set() for _ in range(num_pieces)]
    reached: dict[str, set[int]] = defaultdict(set)
    present: set[int] = set()
    for symbol_size in table:
        unit = by_symbol.get(symbol_size.name)
        if unit is None:
            continue
        present.add(unit)
        costs[unit] += weight(symbol_size)
        pending, seen = [symbol_size.name], {symbol_size.name}
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
    return costs, [frozenset(need) for need in needs], present


class _State:
    """A choice under change: how often each unit is needed by one that counts."""

    def __init__(self, graph: Graph, chosen: Sequence[int]) -> None:
        self.graph = graph
        self.chosen = list(chosen)
        self.total = 0.0
        self._counts = [0] * graph.num_pieces
        for unit in graph.roots:
            self._add(unit)

    def _add(self, unit: int) -> None:
        pending = [unit]
        while pending:
            index = pending.pop()
            self._counts[index] += 1
            if self._counts[index] == 1:
                self.total += self.graph.costs[self.chosen[index]][index]
                pending.extend(self.graph.needs[self.chosen[index]][index])

    def _remove(self, unit: int) -> None:
        pending = [unit]
        while pending:
            index = pending.pop()
            self._counts[index] -= 1
            if self._counts[index] == 0:
                self.total -= self.graph.costs[self.chosen[index]][index]
                pending.extend(self.graph.needs[self.chosen[index]][index])

    def counts(self, unit: int) -> bool:
        """Whether a unit is in the object. (Units that need only each other stay: an error
        upwards, which `Graph.cost` does not make.)"""
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
        for number in after - before:
            self._add(number)
        for number in before - after:
            self._remove(number)


def _search(graph: Graph, num_lists: int) -> list[int]:
    """Return the list of each unit: from the best whole choices on, while a change helps."""
    starts = [[index] * graph.num_pieces for index in range(num_lists)]
    starts.sort(key=graph.cost)
    starts = starts[:_MAX_STARTS]
    starts.append(
        [
            min(range(num_lists), key=lambda i: graph.costs[i][unit])
            for unit in range(graph.num_pieces)
        ]
    )
    found = [improve(graph, start, range(num_lists)) for start in starts]
    return min([*starts, *found], key=graph.cost)


def improve(
    graph: Graph, start: Sequence[int], lists: Sequence[int], max_rounds: int = _MAX_ROUNDS
) -> list[int]:
    """Return the list of each piece after a local search from `start` over some of the lists."""
    state = _State(graph, start)
    for _ in range(max_rounds):
        improved = False
        for unit in range(graph.num_pieces):
            if not state.counts(unit):
                continue
            # Alone, and with all its users: they may no longer need it then.
            alone = (unit,) if unit < graph.num_functions else ()
            users = (*alone, *sorted(graph.users[unit] - set(alone)))
            groups = [group for group in dict.fromkeys((alone, users)) if group]
            for index in lists:
                for group in groups:
                    before = state.total
                    old = [(each_index, state.chosen[each_index]) for each_index in group]
                    for number in group:
                        state.set(number, index)
                    if state.total < before - _MIN_GAIN:
                        improved = True
                        continue
                    for number, was in old:
                        state.set(number, was)
        if not improved:
            break
    return state.chosen


def _merge_lists(graph: Graph, chosen: list[int], max_lists: int) -> None:
    """Replace lists by others that are used, where that costs nothing or there are too many."""
    while True:
        used = sorted(set(chosen[: graph.num_functions]))
        if len(used) == 1:
            return
        cost = graph.cost(chosen)
        best: tuple[float, list[int]] | None = None
        for old in used:
            for new in used:
                if old == new:
                    continue
                changed = [new if index == old else index for index in chosen]
                value = graph.cost(changed)
                if best is None or value < best[0]:
                    best = value, changed
        assert best is not None
        if len(used) <= max_lists and best[0] > cost + _MIN_GAIN:
            return
        chosen[:] = best[1]
