"""Verdicts *tests_passed*, *refuted* and *unproved*: run a function and its lift side by side.

Each of the two becomes an executable of its own: the driver (``execute_driver.c``, freestanding),
the function's object, and stubs for all that it refers to. Both get the same inputs. Compared are
how a run ends, result registers, all memory that is reachable, static variables, and the sequence
of calls with their arguments. Where the original crashes, an input says nothing.

*tests_passed* needs `ExecuteOptions.min_inputs` inputs on which the original ran to its end, and
the share `min_coverage` of its basic blocks run by them. Differences that a caller might see, but
that the lifted signature does not name (a result register of a ``void`` function, an argument
register of a call), make *unproved*.

The executables run under resource limits and seccomp where the kernel grants it; AArch64 code on
other machines under qemu-user. Safe to call from several threads, each with an `Executor`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec

from llm_compiler.verify.inputs import CONTENT_BYTES, Frame, Input, assign_locations
from llm_compiler.verify.lifted import LiftInspection, LiftVerdict, Signature
from llm_compiler.verify.probes import computes_numbers, makes_system_calls, reaches_beyond
from llm_compiler.verify.round_trip import CodeObject
from llm_compiler.verify.side_by_side.clock import Budget, Clock
from llm_compiler.verify.side_by_side.comparison import MAY_RETURN, NO_NUMBERS, Comparison
from llm_compiler.verify.side_by_side.comparison_across import ComparisonAcross, moved_input
from llm_compiler.verify.side_by_side.describe import describe_arguments
from llm_compiler.verify.side_by_side.input_search import (
    FIRST_INPUTS,
    PIECE,
    Found,
    search_inputs,
)
from llm_compiler.verify.side_by_side.jump_tables import table_residues
from llm_compiler.verify.side_by_side.options import (
    Counterexample,
    ExecuteOptions,
    Execution,
    Unproved,
)
from llm_compiler.verify.side_by_side.outcomes import HUNG, Outcome
from llm_compiler.verify.side_by_side.programs import Programs
from llm_compiler.verify.side_by_side.throwing import thrown_kinds
from llm_compiler.verify.side_by_side.world import World, foreign_calls, make_world
from llm_compiler.verify.target import Target

__all__ = ["Counterexample", "ExecuteOptions", "Execution", "Executor"]


_REPEATS = 7
"""Of what buffers hold, 14 KiB in all, for code that has to do with large objects."""
_SEEDS = 192
"""Inputs that a search for another lift of the same function starts from."""
_SEARCH_SHARE = 0.65
"""Of the time for a lift, that its search for inputs may take: the rest is for the runs."""
_OUTLINED = "OUTLINED_FUNCTION_"
_Asked = ParamSpec("_Asked")


def _unproved_as_verdict(verify: Callable[_Asked, Execution]) -> Callable[_Asked, Execution]:
    """Make the verdict of what cannot be run that it is unproved."""

    @functools.wraps(verify)
    def verdict(*args: _Asked.args, **kwargs: _Asked.kwargs) -> Execution:
        try:
            return verify(*args, **kwargs)
        except Unproved as error:
            return Execution(verdict=LiftVerdict.UNPROVED, reason=str(error))

    return verdict


class Executor:
    """Runs functions of one target; owns nothing but files in its folder."""

    def __init__(self, target: Target, folder: Path, options: ExecuteOptions | None = None) -> None:
        self._target = target
        self._options = options or ExecuteOptions()
        if target.runner:
            self._options = self._options.emulated()
        self._architecture = target.architecture
        self._programs = Programs(target, folder, self._options.run_timeout_s)
        self._sharers = 1
        self._clocks: list[Clock] = []
        self._inputs_of: tuple[object, object, Found | None] = (None, None, None)
        """What inputs depend on most, what else they depend on, and the inputs: the last ones."""

    def lighter(self, folder: Path) -> Executor:
        """Return one with fewer inputs and less time: to find plain differences only."""
        few = dataclasses.replace(
            self._options,
            num_inputs=min(96, self._options.num_inputs),
            num_rounds=1,
            max_seconds=min(3.0, self._options.max_seconds),
        )
        other = Executor(self._target, folder, few)
        other._sharers = self._sharers
        return other

    def _clock(self, seconds: float) -> Clock:
        self._clocks.append(Clock(seconds, self._sharers))
        return self._clocks[-1]

    def take_was_hurried(self) -> bool:
        """Whether less was tried since the last call than on a machine with nothing else to do."""
        clocks, self._clocks = self._clocks, []
        return any(clock.was_hurried for clock in clocks)

    def moved(self, folder: Path, sharers: int) -> Executor:
        """Return another one with the same options, for one of several threads."""
        other = Executor(self._target, folder)
        other._options, other._sharers = self._options, sharers
        other._programs = Programs(self._target, folder, self._options.run_timeout_s)
        return other

    # -- the way through ---------------------------------------------------------------------------

    @_unproved_as_verdict
    def verify(
        self,
        original: CodeObject,
        text: str,
        name: str,
        lifted: CodeObject,
        lift: LiftInspection,
        *,
        arities: Mapping[str, int] | None = None,
        bounds: Mapping[str, int] | None = None,
        numbers: Mapping[str, int] | None = None,
        ending: frozenset[str] = frozenset(),
        fields: frozenset[int] = frozenset(),
        seconds: float = math.inf,
    ) -> Execution:
        """Compare a function's own object with the object of its lift.

        Args:
            text: the function's assembly, which `original` is the object of.
            arities: how many integer arguments functions take at most that take no others, where
                their own code or everybody knows; what else is in registers is then no argument.
            bounds: how many integer registers functions read at most, whatever else they take.
            numbers: how many numbers functions take at most, where that is known.
            ending: functions that never return, as their own code shows: a run ends there.
            fields: words of objects on the stack, beyond the first two, that are set for callees.
            seconds: of processor time, for the search for inputs and the runs together, if that is
                less than the options say.
        """
        budget = Budget(seconds, self._sharers)
        self._programs.build_driver()
        signature = lift.signature
        frame = self._frame(signature)
        self._refuse(original, text, name)
        world = dataclasses.replace(
            make_world(original.elf, lifted.elf, lift, (self._architecture,) * 2),
            arities=arities or {},
            bounds=bounds or {},
            numbers=numbers or {},
            ending=ending,
            fields=fields,
            thrown=self._thrown(original, lifted, name, lift),
            num_repeats=self._num_repeats(text, name),
        )
        ours = self._programs.link(original.path, name, world, "original")
        theirs = self._programs.link(lifted.path, name, world, "lifted")
        search_s = _SEARCH_SHARE * budget.left
        found = self._inputs(text, name, world, signature, frame, lift.text, search_s)
        evidence = _evidence(found)
        doubts: dict[str, None] = {}
        comparison = Comparison(
            signature,
            world,
            self._architecture,
            computes_numbers=computes_numbers(text, name, self._architecture),
            residues=table_residues(ours.elf, text),
        )

        def run_both(some: Sequence[Input]) -> Iterator[tuple[Outcome, Outcome]]:
            first = self._programs.run(ours, some, world, frame)
            return zip(first, self._programs.run(theirs, some, world, frame), strict=True)

        clock = self._clock(min(self._options.max_seconds, budget.left))
        number = -1
        for number, (given, outcome, other) in enumerate(_in_turn(found.inputs, run_both, clock)):
            completed = evidence.num_completed + outcome.is_complete
            evidence = dataclasses.replace(evidence, num_completed=completed)
            if not outcome.is_complete:
                continue
            if other.kind == HUNG:
                # Slow is not wrong: ask once more, with ten times the limit.
                outcome, other = (
                    self._programs.run(each, [given], world, frame, patience=10)[0]
                    for each in (ours, theirs)
                )
                if not outcome.is_complete:
                    continue
            hard, soft = comparison.compare(given, outcome, other)
            if soft == NO_NUMBERS:
                completed = evidence.num_completed - 1
                evidence = dataclasses.replace(evidence, num_completed=completed)
                continue
            if hard and (foreign := foreign_calls(original.elf, lifted.elf)):
                # The original may have it inlined; a stub in its place shows nothing.
                doubts = {f"it refers to {foreign}, which the original does not": None}
                break
            if hard:
                arguments = describe_arguments(signature, frame, given)
                return self._refuted(evidence, hard, arguments, number)
            doubts[soft] = None
        if comparison.returns_nothing:
            doubts.pop(MAY_RETURN, None)
        doubt = next(filter(None, doubts), "") or _unseen(found, number + 1)
        return self._with_doubts(evidence, doubt)

    @_unproved_as_verdict
    def verify_across(
        self,
        original: CodeObject,
        text: str,
        name: str,
        other: Executor,
        lifted: CodeObject,
        lift: LiftInspection,
        own: LiftInspection,
    ) -> Execution:
        """Compare a function's own object with code of its lift for another target.

        *refuted* needs that both refer to the same functions: where one target has an
        instruction, the other may have a call. Registers that no signature names are not looked
        at; NaN is equal to NaN, in memory too, since their signs differ.

        Args:
            text: the function's assembly, which `original` is the object of.
            other: of the target that `lifted` is for.
            lift: as it is for that target.
            own: as it is for the original's; what it says of extended arguments and results holds
                for the inputs.
        """
        self._programs.build_driver()
        other._programs.build_driver()
        signature = lift.signature
        frame, moved = self._frame(own.signature), other._frame(signature)
        if any(
            parameter.kind == "integer" and parameter.bits > 64
            for parameter in signature.parameters
        ):
            raise Unproved("it takes integers of 128 bits")
        self._refuse(original, text, name)
        world = dataclasses.replace(
            make_world(original.elf, lifted.elf, lift, (self._architecture, other._architecture)),
            extended={
                callee: (each_signature.results[0].bits, each_signature.result_extension == "sign")
                for callee, each_signature in own.declared.items()
                if each_signature.result_extension
            },
            # Which arguments are in registers depends on the target.
            leaves_traces=False,
            thrown=self._thrown(original, lifted, name, lift),
            num_repeats=self._num_repeats(text, name),
        )
        ours = self._programs.link(original.path, name, world, "original")
        theirs = other._programs.link(lifted.path, name, world, "lifted")
        found = self._inputs(text, name, world, own.signature, frame)
        evidence = _evidence(found)
        comparison = ComparisonAcross(signature, world, self._architecture, other._architecture)

        def run_both(some: Sequence[Input]) -> Iterator[tuple[Outcome, Outcome]]:
            there = [moved_input(item, signature, frame, moved) for item in some]
            first = self._programs.run(ours, some, world, frame)
            return zip(first, other._programs.run(theirs, there, world, moved), strict=True)

        clock = self._clock(self._options.max_seconds)
        number = -1
        for number, (given, outcome, two) in enumerate(_in_turn(found.inputs, run_both, clock)):
            completed = evidence.num_completed + outcome.is_complete
            evidence = dataclasses.replace(evidence, num_completed=completed)
            difference = comparison.compare(outcome, two) if outcome.is_complete else ""
            if not difference:
                continue
            if two.kind == HUNG:
                raise Unproved("it takes too long on the other target")
            if foreign := foreign_calls(original.elf, lifted.elf) or foreign_calls(
                lifted.elf, original.elf
            ):
                raise Unproved(f"only one of both targets refers to {foreign}")
            arguments = describe_arguments(signature, frame, given)
            return self._refuted(evidence, difference, arguments, number)
        return self._with_doubts(evidence, _unseen(found, number + 1))

    def lacks_reach(self, execution: Execution) -> bool:
        """Whether no lift of the same signature can pass: its inputs do not run all blocks."""
        wanted = self._options.min_coverage * execution.num_blocks
        is_unproved = execution.verdict is LiftVerdict.UNPROVED
        return is_unproved and execution.num_covered < wanted

    def _frame(self, signature: Signature) -> Frame:
        if signature.unsupported:
            raise Unproved(f"its signature has {signature.unsupported}")
        frame = assign_locations(signature, self._architecture)
        if frame is None:
            raise Unproved("its signature has too many parameters")
        return frame

    def _refuse(self, original: CodeObject, text: str, name: str) -> None:
        if makes_system_calls(text, name, self._architecture):
            raise Unproved("it makes system calls of its own")
        if any(_OUTLINED in symbol.name for symbol in original.elf.symbols if not symbol.section):
            raise Unproved("it calls outlined code, which follows no calling convention")

    def _num_repeats(self, text: str, name: str) -> int:
        is_far = reaches_beyond(text, name, self._architecture, CONTENT_BYTES)
        return _REPEATS if is_far else 1

    def _thrown(
        self, original: CodeObject, lifted: CodeObject, name: str, lift: LiftInspection
    ) -> tuple[str, ...]:
        return thrown_kinds(original.elf, lifted.elf, name, lift.declared, self._architecture)

    def _refuted(
        self, evidence: Execution, difference: str, arguments: tuple[str, ...], number: int
    ) -> Execution:
        """Return what an input shows that makes a difference, the one of a number."""
        example = Counterexample(
            arguments=arguments, difference=difference, seed=self._options.seed, number=number
        )
        return dataclasses.replace(
            evidence, verdict=LiftVerdict.REFUTED, reason=difference, counterexample=example
        )

    def _with_doubts(self, evidence: Execution, doubt: str) -> Execution:
        """Return what inputs without a difference show."""
        found, blocks = evidence.num_completed, evidence.num_blocks
        if not doubt and found < self._options.min_inputs:
            doubt = f"the original ran to its end on {found} of {evidence.num_inputs} inputs"
        if not doubt and (evidence.num_covered < self._options.min_coverage * blocks or not blocks):
            doubt = f"the inputs run {evidence.num_covered} of its {blocks} basic blocks"
        if doubt:
            return dataclasses.replace(evidence, verdict=LiftVerdict.UNPROVED, reason=doubt)
        return evidence

    def _inputs(
        self,
        text: str,
        name: str,
        world: World,
        signature: Signature,
        frame: Frame,
        lift: str = "",
        seconds: float = math.inf,
    ) -> Found:
        """Return the inputs of a function, found once for all of its lifts."""
        base = (
            text,
            signature.parameters,
            world.functions,
            world.data,
            world.variables,
            world.thrown,
        )
        declared = tuple(
            sorted(
                (name, each_signature.parameters) for name, each_signature in world.declared.items()
            )
        )
        last, known, found = self._inputs_of
        if found is not None and (base, declared) == (last, known):
            return found
        # What another lift passes to its callees changes little: the search goes on from there.
        seeds = found.inputs[:_SEEDS] if found is not None and base == last else []
        clock = self._clock(min(seconds, self._options.max_seconds / (4 if seeds else 2)))
        found = search_inputs(
            self._programs, self._options, text, name, world, signature, frame, clock, lift, seeds
        )
        self._inputs_of = base, declared, found
        return found


def _evidence(found: Found) -> Execution:
    """Return what is known before any input has run on both."""
    return Execution(
        verdict=LiftVerdict.TESTS_PASSED,
        num_inputs=found.num_tried,
        num_blocks=found.num_blocks,
        num_covered=found.num_covered,
    )


def _unseen(found: Found, num_run: int) -> str:
    """Return what runs that ended for want of time leave open: blocks that only the search ran."""
    if num_run >= found.num_telling:
        return ""
    return f"there was time for {num_run} of {found.num_telling} inputs that reach its basic blocks"


def _in_turn(
    inputs: Sequence[Input],
    run_both: Callable[[Sequence[Input]], Iterator[tuple[Outcome, Outcome]]],
    clock: Clock,
) -> Iterator[tuple[Input, Outcome, Outcome]]:
    """Yield each input and what both make of it.

    A few inputs run first and more after them: most wrong lifts differ on one of the first, and
    one that never ends costs its time limit on each.
    """
    start, size = 0, FIRST_INPUTS
    while start < len(inputs) and not clock.is_over:
        some = inputs[start : start + size]
        for given, (outcome, other) in zip(some, run_both(some), strict=True):
            yield given, outcome, other
        start, size = start + size, min(size * 4, PIECE)
