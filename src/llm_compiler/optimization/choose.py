"""From measured lists to the one that is handed out: the only place where that is decided.

`choose` is a pure function of what its `Bench` answers: `optimize` and the evaluations call it,
with benches of their own. It runs nothing itself and knows nothing of files or processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.records import Measurement, PassList, VerdictKind
from llm_compiler.search.objective import Measured, Objective

__all__ = [
    "Bench",
    "Built",
    "Decision",
    "Outcome",
    "Step",
    "Verdicts",
    "choose",
    "outcomes",
    "wins",
]

_MAX_FINALISTS = 3
"""Outcomes that are rebuilt with the stock tools where sizes in process and stock differ."""
_MAX_CHECKS = 6
"""New lists that are put to PassListEval for one input, best first."""

_PREFERENCE = {VerdictKind.PASSED: 0, VerdictKind.UNCHECKED: 1, VerdictKind.REJECTED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What the stock tools made of a module, as far as objectives ask."""

    size_bytes: int
    text_data_bytes: int
    merged_bytes: int = 0
    ram_bytes: int = 0
    num_instructions: int = 0
    """Only where the objective needs it."""
    data: bytes = field(default=b"", repr=False)
    """The object."""
    dangling: tuple[str, ...] = ()
    """Inline functions that it calls, that exist nowhere, and that clang -Oz does not call."""

    @classmethod
    def of(cls, sizes: ObjectSizes, num_instructions: int = 0) -> Built:
        """Return what has these sizes."""
        return cls(
            size_bytes=sizes.size_bytes,
            text_data_bytes=sizes.text_data_bytes,
            merged_bytes=sizes.merged_bytes,
            ram_bytes=sizes.ram_bytes,
            num_instructions=num_instructions,
        )

    @property
    def sizes(self) -> ObjectSizes:
        """The object's sizes."""
        return ObjectSizes(
            size_bytes=self.size_bytes,
            text_data_bytes=self.text_data_bytes,
            merged_bytes=self.merged_bytes,
            ram_bytes=self.ram_bytes,
        )

    @property
    def flash_bytes(self) -> int:
        """What a linker map of firmware counts in flash."""
        return self.sizes.flash_bytes


class Verdicts(Protocol):
    """What is known of lists for one module."""

    def known(self, passes: PassList) -> VerdictKind:
        """Return what is known of a list without running anything."""
        ...


class Bench(Verdicts, Protocol):
    """What `choose` asks about lists of one module."""

    def check(self, passes: PassList) -> VerdictKind:
        """Find out; UNCHECKED where that cannot be."""
        ...

    def build(self, passes: PassList, measured: Measurement) -> Built | str:
        """Return what the stock tools make of it, or why they make nothing."""
        ...


class Outcome(StrEnum):
    """What became of one list."""

    WON = "won"
    """It is handed out."""
    BEATEN = "beaten"
    """Good, but a later one is better."""
    NOT_BETTER = "not-better"
    """No better than the best before it, or than clang -Oz."""
    LARGER = "larger"
    """Better by the objective, but larger in all than clang -Oz."""
    DANGLING = "dangling"
    """Calls inline functions that exist nowhere."""
    BUILD_FAILED = "build-failed"
    REJECTED = "rejected"
    """PassListEval rejects it."""
    UNVERIFIED = "unverified"
    """It would win, but nothing here can check it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One list on its way through `choose`."""

    passes: PassList
    measured: Measurement
    outcome: Outcome
    verdict: VerdictKind
    built: Built | None = None
    detail: str = ""
    """Why it could not be built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The winner, and what became of every list that was looked at, in order."""

    objective: Objective
    winner: Step | None
    trace: tuple[Step, ...]

    def with_outcome(self, outcome: Outcome) -> tuple[Step, ...]:
        """Return the steps that ended so."""
        return tuple(step for step in self.trace if step.outcome is outcome)

    @property
    def best_built(self) -> Step | None:
        """The winner, or without any the best sound object there is, were clang -Oz no fallback."""
        if self.winner is not None:
            return self.winner
        sound = [
            (self.objective.rank(step.built), len(step.passes), number, step)
            for number, step in enumerate(self.trace)
            if step.built is not None and step.outcome in (Outcome.NOT_BETTER, Outcome.LARGER)
        ]
        return min(sound)[-1] if sound else None


def outcomes(
    tried: Iterable[tuple[PassList, Measurement]], objective: Objective, bench: Verdicts
) -> list[tuple[PassList, Measurement]]:
    """Return one list for each different result, best first; of equals a passed, short one."""

    def rank(entry: tuple[PassList, Measurement]) -> tuple[int, int, int, int, tuple[str, ...]]:
        passes, measured = entry
        preference = _PREFERENCE[_known(passes, bench)]
        return (*objective.rank(measured), preference, len(passes), passes.elements)

    found: dict[str, tuple[PassList, Measurement]] = {}
    for pair in sorted((item for item in tried if item[1].ok), key=rank):
        found.setdefault(pair[1].result_hash, pair)
    return list(found.values())


def _known(passes: PassList, bench: Verdicts) -> VerdictKind:
    # Whatever was believed of a list before one of its passes was found to be unsafe.
    return VerdictKind.REJECTED if unsafe_passes(passes) else bench.known(passes)


def wins(found: Measured, baseline: Measured, objective: Objective) -> bool:
    """Whether an object may take the place of clang -Oz's: better, and not larger in all."""
    return objective.beats(found, baseline) and found.size_bytes <= baseline.size_bytes


def choose(
    tried: Iterable[tuple[PassList, Measurement]],
    baseline: Measured,
    objective: Objective,
    bench: Bench,
    *,
    trust: bool = False,
) -> Decision:
    """Rebuild the best results with the stock tools and return the best verified one.

    A winner is better than clang -Oz by the objective, not larger in all than clang -Oz's object,
    and has passed PassListEval.

    Args:
        baseline: clang -Oz's own object.
        trust: lists that nobody has checked may win.
    """
    found = outcomes(tried, objective, bench)
    # What is too large in process is too large with the stock tools, but for rare accidents.
    found.sort(key=lambda pair: pair[1].size_bytes > baseline.size_bytes)
    trace: list[Step] = []
    best: Step | None = None
    num_checks = num_built = 0
    for passes, measured in found:
        bound = best.built if best is not None and best.built is not None else baseline
        verdict = _known(passes, bench)
        step = Step(passes=passes, measured=measured, outcome=Outcome.NOT_BETTER, verdict=verdict)
        if verdict is VerdictKind.REJECTED:
            if objective.beats(measured, bound):
                trace.append(replace(step, outcome=Outcome.REJECTED))
            continue
        if verdict is VerdictKind.UNCHECKED and not trust and num_checks >= _MAX_CHECKS:
            continue
        if num_built >= (_MAX_FINALISTS if best is not None else _MAX_FINALISTS + _MAX_CHECKS):
            break
        num_built += 1
        built = bench.build(passes, measured)
        if isinstance(built, str):
            trace.append(replace(step, outcome=Outcome.BUILD_FAILED, detail=built))
            continue
        step = replace(step, built=built)
        if built.dangling:
            trace.append(replace(step, outcome=Outcome.DANGLING))
            continue
        if objective.beats(built, bound):
            if not wins(built, baseline, objective):
                trace.append(replace(step, outcome=Outcome.LARGER))
                continue
            if verdict is VerdictKind.UNCHECKED and not trust:
                num_checks += 1
                verdict = bench.check(passes)
                step = replace(step, verdict=verdict)
                if verdict is not VerdictKind.PASSED:
                    num_built -= 1
                    unknown = verdict is VerdictKind.UNCHECKED
                    outcome = Outcome.UNVERIFIED if unknown else Outcome.REJECTED
                    trace.append(replace(step, outcome=outcome))
                    continue
            if best is not None:
                trace[trace.index(best)] = replace(best, outcome=Outcome.BEATEN)
            step = best = replace(step, outcome=Outcome.WON)
        trace.append(step)
        if built.size_bytes == measured.size_bytes and (best is None or best is step):
            break  # in process and stock agree: the ranking holds
    return Decision(objective=objective, winner=best, trace=tuple(trace))
