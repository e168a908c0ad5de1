"""Inputs for a function: drawn, and varied until its basic blocks have run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.assembler import assemble
from llm_compiler.verify.architectures import MemoryField
from llm_compiler.verify.inputs import NUM_BUFFERS, Frame, Input, InputGenerator, buffer_address
from llm_compiler.verify.lifted import Signature
from llm_compiler.verify.probes import (
    COVERAGE_BYTES,
    Probed,
    address_offsets,
    calls_pointers,
    comparison_constants,
    memory_fields,
    with_probes,
)
from llm_compiler.verify.side_by_side.clock import Clock
from llm_compiler.verify.side_by_side.options import ExecuteOptions
from llm_compiler.verify.side_by_side.outcomes import HUNG, Outcome
from llm_compiler.verify.side_by_side.programs import Executable, Programs, stub_address
from llm_compiler.verify.side_by_side.repair import repaired
from llm_compiler.verify.side_by_side.steering import sides_of, steered
from llm_compiler.verify.side_by_side.world import NUM_CALLBACKS, World

if TYPE_CHECKING:
    from llm_compiler.verify.solving.solver import InputSolver

__all__ = ["FIRST_INPUTS", "PIECE", "Found", "search_inputs"]

FIRST_INPUTS = 8
PIECE = 96
"""Inputs between two looks at the clock."""
_MUTANT_ROUNDS = 2
"""That are run though all blocks have run."""
_REPAIRS, _REPAIRED = 10, 24
"""Steps of mending crashed inputs after each round, and how many inputs at each."""
_STEERINGS, _NOTED = 6, 4
"""Steps of steering after each round, and how many inputs are kept of each comparison."""
_PATIENCE = 0.1
"""Of the time that a run may take: those that never end would else use up the search's."""
_SEEDS = 12
"""Inputs of a kind that a solver starts from, at most."""
_EDGES_S = 0.5
"""Of this thread's processor time, for what only comparisons' edges show."""
_ENOUGH = 1.5
"""Times as many inputs as a verdict needs have to run to their end, if there is time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Inputs on which the original ends, those that reach most first, and what they run of it."""

    inputs: list[Input] = field(repr=False)
    num_tried: int
    num_covered: int
    num_blocks: int
    num_telling: int = 0
    """Of the inputs, the first ones, which run all blocks that are covered."""


def search_inputs(
    programs: Programs,
    options: ExecuteOptions,
    text: str,
    name: str,
    world: World,
    signature: Signature,
    frame: Frame,
    clock: Clock,
    lift: str = "",
    seeds: Sequence[Input] = (),
) -> Found:
    """Return inputs that run the original to its end, and as many of its blocks as were reached.

    Args:
        lift: IR that is solved for inputs; empty: they are drawn only.
        seeds: inputs to start from.
    """
    fields = memory_fields(text, name, programs.target.architecture)
    constants = comparison_constants(text, name, programs.target.architecture)
    generator = InputGenerator(
        signature,
        frame,
        seed=options.seed,
        constants=constants,
        num_extra_buffers=len(world.data) + 1,
        variable_bytes=sum((size + 7) // 8 * 8 for _, size in world.variables),
        fields=fields,
        offsets=address_offsets(text, name, programs.target.architecture),
        throws=bool(world.thrown),
        # Who calls none may only read a function's code as data, which is another on each target.
        functions=_callbacks(world)
        if calls_pointers(text, name, programs.target.architecture)
        else [],
    )
    executable, probed = _probed(programs, text, name, world)
    blocks = probed.num_blocks
    if executable is None:
        inputs = [generator.draw() for _ in range(options.num_inputs)]
        return Found(inputs=inputs, num_tried=len(inputs), num_covered=0, num_blocks=blocks)

    def run(some: Sequence[Input]) -> list[Outcome]:
        return programs.run(
            executable,
            some,
            world,
            frame,
            num_covered_bytes=probed.num_bytes,
            patience=_PATIENCE,
        )

    solver = None
    if lift and options.solve_s:
        solver = _solver(lift, programs, name, world, signature, frame)
    search = _InputSearch(run, generator, fields, constants, options, clock, probed, solver)
    search.run(seeds)
    # What reaches most runs first: the comparison may be short of time.
    chosen = {id(given) for given in search.telling}
    inputs = search.telling + [given for given in search.inputs if id(given) not in chosen]
    return Found(
        inputs=inputs,
        num_tried=search.num_tried,
        num_covered=len(search.seen),
        num_blocks=blocks,
        num_telling=len(search.telling),
    )


def _callbacks(world: World) -> list[int]:
    """Return the addresses of stubs that nothing refers to by name."""
    first = len(world.functions)
    return [stub_address(index) for index in range(first, first + NUM_CALLBACKS)]


class _InputSearch:
    """Rounds of inputs, each of them mutants of what the rounds before found."""

    def __init__(
        self,
        run: Callable[[Sequence[Input]], list[Outcome]],
        generator: InputGenerator,
        fields: Sequence[MemoryField],
        constants: Sequence[int],
        options: ExecuteOptions,
        clock: Clock,
        probed: Probed,
        solver: InputSolver | None = None,
    ) -> None:
        self._run, self._generator, self._fields = run, generator, fields
        self._solver = solver
        self._constants = [constant for constant in constants if constant]
        self._options, self._clock, self._num_blocks = options, clock, probed.num_blocks
        self._branchings = probed.branchings
        self._compared: dict[int, list[tuple[Input, tuple[int, int]]]] = {}
        """By comparison: some inputs that ran it, and what its sides were, the last ones."""
        self._chance = random.Random(f"search:{options.seed}")
        self._wanted = _ENOUGH * options.min_inputs
        self.inputs: list[Input] = []
        """On which the original ends."""
        self.telling: list[Input] = []
        """Those among them that ran new blocks."""
        self.seen: set[int] = set()
        self.num_tried = 0
        self._begun: set[int] = set()
        self._hopeful: list[Input] = []
        """That began new blocks, whether they ended or not."""
        self._ending: list[Input] = []
        self._crashed: list[tuple[Input, Outcome]] = []
        """Of the last round."""

    def run(self, seeds: Sequence[Input]) -> None:
        """Search until enough is found, or the time is over."""
        options, generator = self._options, self._generator
        num_drawn = max(options.num_inputs // 2, options.num_inputs - len(seeds))
        batch = [*seeds, *(generator.draw() for _ in range(num_drawn))]
        for number in range(options.num_rounds + options.num_searches + 1):
            hung = self._round(batch, number)
            if not self._clock.is_over:
                self._repair(number)
                self._steer(number)
                self._solve(number)
            is_enough = len(self.seen) == self._num_blocks and len(self._ending) >= self._wanted
            # Mutants meet the constants that memory is compared with: where one off counts.
            if is_enough and number >= _MUTANT_ROUNDS:
                self._solve_edges()
                return
            if self._clock.is_over:
                return
            if 4 * hung > len(batch) and not self._ending:
                return
            # Those that got somewhere new and crashed there may be a mutation away from an end.
            near = self._ending if len(self._ending) < self._wanted else self._hopeful[-8:]
            sources = [some for some in (self.telling[-8:], self.telling, near) if some]
            batch = [
                generator.mutate(self._chance.choice(sources[index % len(sources)]))
                if sources and self._chance.random() < 0.8
                else generator.draw()
                for index in range(options.num_inputs // 2)
            ]

    def _round(self, batch: list[Input], number: int) -> int:
        """Run a batch; return how many of it never ended."""
        self._crashed = []
        hung = start = 0
        size = FIRST_INPUTS if not number else PIECE
        while start < len(batch):
            piece = batch[start : start + size]
            never = self._take(piece, number)
            if not start and not number and 2 * never > len(piece):
                # Where most runs go on and on, a solver finds those that do not.
                self._solve(number)
            start += len(piece)
            if 4 * never > len(piece) and self._ending:
                # Runs that never end cost their time limit: stay near those that end.
                batch[start:] = [
                    self._generator.mutate(self._chance.choice(self._ending)) for _ in batch[start:]
                ]
            hung, size = hung + never, PIECE
            if self._clock.is_over:
                break
        return hung

    def _take(self, piece: Sequence[Input], number: int) -> int:
        """Run some inputs, and keep what they tell; return how many never ended."""
        outcomes = self._run(piece)
        self.num_tried += len(piece)
        for given, outcome in zip(piece, outcomes, strict=True):
            ran = {i for i, byte in enumerate(outcome.coverage[: self._num_blocks]) if byte}
            self._note(given, outcome, ran)
            if outcome.is_complete:
                is_short = len(self._ending) < self._wanted
                if number <= self._options.num_rounds or is_short or not ran <= self.seen:
                    self.inputs.append(given)
                self._ending.append(given)
            elif outcome.fault is not None:
                self._crashed.append((given, outcome))
            if not ran <= self._begun:
                self._begun |= ran
                self._hopeful.append(given)
            if outcome.is_complete and not ran <= self.seen:
                self.seen |= ran
                self.telling.append(given)
        return sum(outcome.kind == HUNG for outcome in outcomes)

    def _repair(self, number: int) -> None:
        """Mend inputs that crashed, step by step: a list is followed for as far as it leads."""
        for _ in range(_REPAIRS):
            is_enough = len(self._ending) >= self._wanted and len(self.seen) == self._num_blocks
            if is_enough or self._clock.is_over or not self._crashed:
                return
            # Crashes in blocks that no input has run to the end come first.
            self._crashed.sort(key=lambda pair: -self._num_new(pair[1]))
            chosen = self._crashed[: _REPAIRED // 2]
            rest = self._crashed[len(chosen) :]
            chosen += self._chance.sample(rest, min(len(rest), _REPAIRED // 2))
            self._crashed = []
            mended = []
            for given, outcome in chosen:
                assert outcome.fault is not None
                other = repaired(
                    given, outcome.fault, self._generator.pointer, self._chance, self._fields
                )
                if other is not None:
                    mended.append(other)
            if not mended:
                return
            self._take(mended, number)

    def _solve(self, number: int) -> None:
        """Run inputs that a solver proposes, as long as blocks have not run or too few runs end."""
        if self._solver is None or self._clock.is_over:
            return
        if len(self.seen) == self._num_blocks and len(self._ending) >= self._wanted:
            return
        crashed = [given for given, _ in self._crashed[:_SEEDS]]
        seeds = [*self.telling[-_SEEDS:], *self._hopeful[-_SEEDS:], *crashed]
        proposed = self._solver.propose(seeds, self._options.solve_s)
        for start in range(0, len(proposed), PIECE):
            self._take(proposed[start : start + PIECE], number)

    def _solve_edges(self) -> None:
        """Run inputs on which a comparison one off, or of the other sign, would come out otherwise.

        That all blocks ran does not show that what decides between them is the same.
        """
        if self._solver is None or self._clock.is_over:
            return
        seconds = min(_EDGES_S, self._options.solve_s)
        proposed = self._solver.propose(self.telling[-_SEEDS:], seconds, wanders=False)
        known = len(self.inputs)
        self._take(proposed, 0)
        # They are few, and a comparison that is short of time is to see them.
        self.telling += [given for given in self.inputs[known:] if given not in self.telling]

    def _num_new(self, outcome: Outcome) -> int:
        marks = outcome.coverage[: self._num_blocks]
        return sum(bool(byte) and i not in self.seen for i, byte in enumerate(marks))

    def _note(self, given: Input, outcome: Outcome, ran: set[int]) -> None:
        """Remember what an input's run compared, of comparisons that lead to unseen blocks."""
        if outcome.kind == HUNG or not outcome.coverage:
            return
        for number in self._open_branchings():
            branching = self._branchings[number]
            sides = outcome.coverage[branching.offset : branching.offset + 16]
            # A run that crashed in the block may have done so before its comparison.
            if branching.block in ran and (outcome.is_complete or any(sides)):
                kept = self._compared.setdefault(number, [])
                kept.append((given, sides_of(branching, outcome.coverage)))
                if len(kept) > _NOTED:
                    del kept[self._chance.randrange(_NOTED)]

    def _open_branchings(self) -> list[int]:
        """Return the comparisons that lead, or may lead, to blocks that no input has run."""
        if len(self.seen) == self._num_blocks:
            return []
        return [
            number
            for number, branching in enumerate(self._branchings)
            if not branching.leads_to or not branching.leads_to <= self.seen
        ]

    def _steer(self, number: int) -> None:
        """Run inputs on which comparisons that lead to unseen blocks may go the other way."""
        for _ in range(_STEERINGS):
            if self._clock.is_over:
                return
            batch = []
            for open_number in self._open_branchings():
                for given, sides in self._compared.get(open_number, ()):
                    branching = self._branchings[open_number]
                    for _ in range(2):
                        other = steered(
                            given, branching, sides, self._constants, self._chance, self._fields
                        )
                        if other is not None:
                            batch.append(other)
            if not batch:
                return
            if len(batch) > PIECE:
                batch = self._chance.sample(batch, PIECE)
            before = len(self.seen), len(self._begun)
            self._take(batch, number)
            self._repair(number)
            if (len(self.seen), len(self._begun)) == before:
                return


def _solver(
    lift: str, programs: Programs, name: str, world: World, signature: Signature, frame: Frame
) -> InputSolver | None:
    """Return what solves for inputs by a lift; None: it is not interpreted, or nothing solves."""
    if find_spec("bitwuzla") is None:
        return None
    from llm_compiler.verify.solving.solver import make_solver
    from llm_compiler.verify.solving.surroundings import Surroundings

    addresses = {each: stub_address(index) for index, each in enumerate(world.functions)}
    for index, each in enumerate(world.data):
        addresses[each] = buffer_address(NUM_BUFFERS + index)
    return make_solver(
        lift,
        Surroundings(
            name=name,
            signature=signature,
            frame=frame,
            architecture=programs.target.architecture,
            world=world,
            stubs=tuple(programs.stubs(world)),
            addresses=addresses,
        ),
    )


def _probed(
    programs: Programs, text: str, name: str, world: World
) -> tuple[Executable | None, Probed]:
    """Return the original with probes; None where these do not fit into its code."""
    target = programs.target
    probed = with_probes(text, name, target.architecture, notes=True)
    if probed.num_bytes > COVERAGE_BYTES:
        probed = with_probes(text, name, target.architecture)
    output = programs.folder / "probed.o"
    for attempt in (probed, with_probes(text, name, target.architecture)):
        try:
            assemble(attempt.text, target.architecture, target.toolchain, output, name=name)
            return programs.link(output, name, world, "probed"), attempt
        except CompileFailed:
            continue
    return None, probed
