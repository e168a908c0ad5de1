"""Finds inputs that lead a function where none has been: by asking what a branch depends on.

A lift is interpreted on inputs that are known (`Interpreter`); of each decision that has not gone
the other way yet, a solver is asked for an input on which it does. Where a run asks for memory that
is not there, it is asked for one on which the address leads to a buffer. What it says is only a
proposal: the original itself is run on it, and what counts is what it runs.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from bitwuzla import Bitwuzla, BitwuzlaException, Kind, Result

from llm_compiler.verify.inputs import (
    BUFFER_BYTES,
    CONTENT_BYTES,
    NUM_BUFFERS,
    Input,
    buffer_address,
)
from llm_compiler.verify.solving.events import CHOICE, EDGE, PIN, Event, Run, Site
from llm_compiler.verify.solving.interpreter import Interpreter
from llm_compiler.verify.solving.ir import Unreadable
from llm_compiler.verify.solving.ir_text import read_function, read_variables
from llm_compiler.verify.solving.laid_out import LaidOut
from llm_compiler.verify.solving.surroundings import Surroundings, shuffled, writing
from llm_compiler.verify.solving.terms import Term, Terms

__all__ = ["InputSolver", "make_solver"]

_QUERY_MS = 200
_MOST_TRIES = 10
"""Questions for one outcome of one decision."""
_MOST_RUNS_TO_MEND = 40
_MOST_ASKED = 500
"""Of one solver, which remembers."""
_MOST_KEPT = 8
"""Questions for one input whether some bits may stay as they were."""
_KEPT_BITS = ((63, 32), (31, 16), (15, 8))
_MOST_TERMS = 400
"""That a question has, at most."""
_MOST_LOOKS, _MOST_RUNS_KEPT = 60, 64
_CONTEXT = 4
"""Decisions that say where a run is."""
_PLAIN = 64
"""From the end of a buffer: an address leaves room for a structure."""


class InputSolver:
    """Proposes inputs for one function, by one of its lifts."""

    def __init__(self, laid_out: LaidOut) -> None:
        self._laid_out, self._surroundings = laid_out, laid_out.surroundings
        self._terms = laid_out.terms
        self._taken: set[tuple[Site, int]] = set()
        self._tries: Counter[tuple[Site, int]] = Counter()
        self._pending: deque[Input] = deque()
        self._seen: dict[int, Input] = {}
        """By their identities, which are theirs while they are kept."""
        self._kept: list[tuple[Input, Run]] = []
        self._wandered: set[tuple[Site, int, tuple[tuple[Site, int], ...]]] = set()
        self._solver: Any = None
        self._num_asked = 0
        self._chance = random.Random(0)
        self.ends: Counter[str] = Counter()
        """How runs ended."""

    def propose(
        self, seeds: Sequence[Input], seconds: float, *, wanders: bool = True
    ) -> list[Input]:
        """Return new inputs, those that were found last at the end.

        Args:
            seeds: inputs to start from; those that were given before are not looked at again.
            seconds: of this thread's processor time.
            wanders: go on with other ways to what has been reached, once all has.
        """
        end = time.thread_time() + seconds
        if seeds and not self._seen:
            self._pending.append(writing(seeds[0]))
        for seed in seeds:
            if id(seed) not in self._seen:
                self._seen[id(seed)] = seed
                self._pending.append(seed)
        found: list[Input] = []
        while time.thread_time() < end:
            if self._pending:
                given, run = self._mended(self._pending.popleft(), found, end)
                self._kept.append((given, run))
                self._turn_all(given, run, found, end)
            elif not wanders or not self._kept or not self._wander(found):
                break
        return found

    def _turn_all(self, given: Input, run: Run, found: list[Input], end: float) -> None:
        """Ask for all ways that no run has gone."""
        for number in self._open(run):
            if time.thread_time() > end:
                self._pending.appendleft(given)
                return
            for other in self._turned(given, run, number):
                found.append(other)
                self._pending.append(other)

    def _wander(self, found: list[Input]) -> bool:
        """Ask for a way that has been gone, but not from where a run is; whether there was one.

        What no input decides by itself depends on the way there: on flags that were set on it.
        """
        for _ in range(_MOST_LOOKS):
            given, run = self._chance.choice(self._kept[-_MOST_RUNS_KEPT:])
            if not run.events:
                continue
            number = self._chance.randrange(len(run.events))
            event = run.events[number]
            way = tuple(
                (each.site, each.outcome)
                for each in run.events[max(0, number - _CONTEXT) : number]
                if each.kind not in (EDGE, PIN)
            )
            for outcome, term in event.others:
                key = event.site, outcome, way
                if key in self._wandered:
                    continue
                self._wandered.add(key)
                other = self._solved(given, run.events[:number], term)
                if other is not None:
                    found.append(other)
                    self._pending.append(other)
                return True
        return False

    # -- runs --------------------------------------------------------------------------------------

    def _mended(self, given: Input, found: list[Input], end: float) -> tuple[Input, Run]:
        """Run an input, and those in its place that lead on where it crashes."""
        run = self._ran(given)
        for _ in range(_MOST_RUNS_TO_MEND):
            if run.lost is None or time.thread_time() > end:
                break
            other = self._with_memory(given, run)
            if other is None:
                break
            given = other
            found.append(given)
            run = self._ran(given)
        return given, run

    def _ran(self, given: Input) -> Run:
        run = Interpreter(self._laid_out, given).run()
        self._taken |= run.taken
        self.ends[run.end] += 1
        return run

    def _open(self, run: Run) -> list[int]:
        """Return the events that could have gone a way that none has, those of comparisons last."""
        found = [
            number
            for number, event in enumerate(run.events)
            if any((event.site, outcome) not in self._taken for outcome, _ in event.others)
        ]
        return sorted(found, key=lambda number: run.events[number].kind == EDGE)

    # -- questions ---------------------------------------------------------------------------------

    def _turned(self, given: Input, run: Run, number: int) -> list[Input]:
        """Return inputs on which an event goes the ways that none has gone."""
        event = run.events[number]
        found = []
        for outcome, term in event.others:
            key = event.site, outcome
            if key in self._taken or self._tries[key] >= _MOST_TRIES:
                continue
            self._tries[key] += 1
            before = run.events[:number]
            other = self._solved(given, before, term)
            if other is None and any(each.kind == PIN for each in before):
                # An address may be another one then: what is read there is hoped to be the same.
                other = self._solved(given, [e for e in before if e.kind != PIN], term)
            if other is None and self._depends_on_answers(term):
                other = shuffled(given, run.drawn, self._chance)
            if other is not None:
                found.append(other)
        return found

    def _depends_on_answers(self, term: Term) -> bool:
        names = (self._terms.names[each] for each in self._terms.variables_of(term))
        return any(part == "choices" for part, _ in names)

    def _with_memory(self, given: Input, run: Run) -> Input | None:
        """Return an input on which the address that a run crashed at is one."""
        assert run.lost is not None
        known, term = run.lost
        if term is None:
            return None
        terms = self._terms
        if run.is_called:
            places = self._surroundings.callable_addresses()
            wanted = terms.compare("eq", run.lost, (self._chance.choice(places), None), 64)[1]
            return self._solved(given, run.events, wanted)
        buffers = list(range(NUM_BUFFERS))
        self._chance.shuffle(buffers)
        # Two pointers to one object are more than many a function is made for.
        skipped = BUFFER_BYTES - CONTENT_BYTES
        buffers.sort(key=lambda index: buffer_address(index) - skipped in run.touched)
        for buffer in buffers[:2]:
            start = buffer_address(buffer)
            # Most addresses are a field's, of a structure that begins where a buffer does.
            for offset in self._offsets(given, known, term):
                wanted = terms.compare("eq", run.lost, (start + offset, None), 64)[1]
                other = self._solved(given, run.events, wanted)
                if other is not None:
                    return other
            within = terms.operate("sub", run.lost, (start, None), 64)
            wanted = terms.compare("ult", within, (CONTENT_BYTES - _PLAIN, None), 64)[1]
            other = self._solved(given, run.events, wanted)
            if other is not None:
                return other
        return None

    def _offsets(self, given: Input, known: int, term: Term) -> list[int]:
        found = []
        for variable in self._terms.variables_of(term):
            offset = known - self._word(given, *self._terms.names[variable])
            if 0 <= offset < CONTENT_BYTES - 8:
                found.append(offset)
        return sorted(found)[:2]

    def _solved(self, given: Input, before: Sequence[Event], wanted: Term) -> Input | None:
        """Return an input on which something holds, and what led there too."""
        terms = self._terms
        used = set(terms.variables_of(wanted))
        if not used:
            return None
        sliced = self._sliced(before, used)
        if sliced is None:
            return None
        # One solver for all: what it has learnt of a term is not learnt again.
        if self._num_asked % _MOST_ASKED == 0:
            self._solver = Bitwuzla(terms.manager, terms.options)
        self._num_asked += 1
        solver = self._solver
        solver.push(1)
        try:
            for term in (wanted, *sliced):
                solver.assert_formula(term)
            is_found = solver.check_sat() == Result.SAT
        except BitwuzlaException:
            # It does not say what it is left in.
            self._num_asked = 0
            return None
        if not is_found:
            solver.pop(1)
            return None
        values, depth = self._nearest(solver, given, terms.variables_of(wanted), used)
        solver.pop(1 + depth)
        return self._changed(given, values)

    def _sliced(self, before: Sequence[Event], used: set[Term]) -> list[Term] | None:
        """Return what has to hold that shares variables with a question, and add theirs to it."""
        terms = self._terms
        waiting = [
            (event.term, terms.variables_of(event.term))
            for event in before
            if event.kind not in (CHOICE, EDGE)
        ]
        found: dict[Term, None] = {}
        is_new = True
        while is_new:
            is_new = False
            rest = []
            for term, variables in waiting:
                if variables & used:
                    found[term] = None
                    is_new = is_new or not variables <= used
                    used |= variables
                else:
                    rest.append((term, variables))
            waiting = rest
        return list(found) if len(found) <= _MOST_TERMS else None

    def _nearest(
        self, solver: Any, given: Input, asked: frozenset[Term], used: set[Term]
    ) -> tuple[dict[Term, int], int]:
        """Return a solution in which as many high bits as can be are as they were.

        Then how many levels have been pushed.

        A solver likes large numbers, and programs do not: they count to them.
        """
        terms = self._terms
        values = {each: int(solver.get_value(each).value(10)) for each in used}
        left, depth = _MOST_KEPT, 0
        for variable in asked:
            known = self._word(given, *terms.names[variable])
            for high, low in _KEPT_BITS:
                mask = (1 << (high + 1)) - (1 << low)
                is_kept = values[variable] & mask == known & mask
                if not left and not is_kept:
                    return values, depth
                part = terms.part(variable, high, low)
                wanted = terms.constant((known & mask) >> low, high + 1 - low)
                solver.push(1)
                depth += 1
                solver.assert_formula(terms.make(Kind.EQUAL, [part, wanted]))
                if is_kept:
                    continue
                left -= 1
                if solver.check_sat() != Result.SAT:
                    solver.pop(1)
                    depth -= 1
                    continue
                values = {each: int(solver.get_value(each).value(10)) for each in used}
        return values, depth

    # -- inputs ------------------------------------------------------------------------------------

    def _word(self, given: Input, part: str, number: int) -> int:
        if part == "arena":
            return int.from_bytes(given.arena[8 * number : 8 * number + 8], "little")
        if part == "variables":
            whole = given.variables
            if whole is None:
                whole = self._laid_out.initial_variables()
            return int.from_bytes(whole[8 * number : 8 * number + 8].ljust(8, b"\0"), "little")
        words: Sequence[int] = getattr(given, part)
        return words[number] if number < len(words) else 0

    def _changed(self, given: Input, values: Mapping[Term, int]) -> Input | None:
        """Return an input with other words; None: it is the same."""
        arena = bytearray(given.arena)
        variables = given.variables
        if variables is None and any(self._terms.names[each][0] == "variables" for each in values):
            variables = self._laid_out.initial_variables()
        own = None if variables is None else bytearray(variables)
        words = {
            part: list(getattr(given, part)) for part in ("integers", "floats", "stack", "choices")
        }
        for variable, value in values.items():
            part, number = self._terms.names[variable]
            if part == "arena":
                arena[8 * number : 8 * number + 8] = value.to_bytes(8, "little")
            elif part == "variables":
                assert own is not None
                own[8 * number : 8 * number + 8] = value.to_bytes(8, "little")
            elif number < len(words[part]):
                words[part][number] = value
        made = dataclasses.replace(
            given,
            arena=bytes(arena),
            variables=None if own is None else bytes(own),
            integers=tuple(words["integers"]),
            floats=tuple(words["floats"]),
            stack=tuple(words["stack"]),
            choices=tuple(words["choices"]),
        )
        return None if made == given else made


def make_solver(text: str, surroundings: Surroundings) -> InputSolver | None:
    """Return what proposes inputs for a lift; None: the lift has what is not interpreted."""
    terms = Terms(_QUERY_MS)
    try:
        function = read_function(text, surroundings.name)
        return InputSolver(LaidOut(function, read_variables(text), surroundings, terms))
    except Unreadable:
        return None
