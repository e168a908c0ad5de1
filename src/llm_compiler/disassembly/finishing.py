"""Samples of the task ``finish``: what the rules make of a function, and the IR that it came from.

Lifting by rules answers for nearly every function, and is seldom far off. A model that reads such
a draft beside the assembly has only to decide what rules cannot: types, arguments, the order of
blocks. The functions are those of stage data (`dataset.build`, stage disassembly); drafts that are
the same code already are left out, since nobody asks a model about them. The samples depend on the
rules, the data, the number of variants and the index.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from llm_compiler.corpus.normalize import normalize
from llm_compiler.dataset.engine import MAX_ATTEMPTS, Result
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.reduce import body_of, reduce_module
from llm_compiler.dataset.records import StageSample
from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples
from llm_compiler.disassembly.rules.lifter import attributes_of
from llm_compiler.disassembly.rules.search import SearchJob
from llm_compiler.errors import ArtifactError, CompilerError, InputError
from llm_compiler.llvm.jobs import WorkerState
from llm_compiler.llvm.module import Context
from llm_compiler.records import Status, content_hash
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["DraftBodyJob", "DraftedBody", "FinishStage"]

_A_JOB: Final = 16
"""Functions a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftedBody:
    """The nearest draft of a function in short form, or why there is none."""

    body: str = field(default="", repr=False)
    is_same: bool = False
    """It is the same code."""
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftBodyJob:
    """Draft functions of stage data by rules, one a step; the result is a `DraftedBody`."""

    functions: tuple[tuple[str, str], ...] = field(repr=False)
    """Assembly in normal form, and its target triple."""
    max_variants: int = 12
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each function."""
        return len(self.functions)

    def run(self, state: WorkerState, first_step: int) -> Iterator[DraftedBody]:
        """Yield the draft of each function."""
        for assembly, triple in self.functions[first_step:]:
            try:
                yield self._draft(assembly, triple, state)
            except (CompilerError, InputError):
                yield DraftedBody(cause="draft has no short form")

    def _draft(self, assembly: str, triple: str, state: WorkerState) -> DraftedBody:
        architecture = "aarch64" if triple.startswith(("aarch64", "arm64")) else "x86_64"
        search = SearchJob(
            text=assembly,
            architecture=architecture,
            signatures={},
            attributes=attributes_of(assembly, architecture, Counter())[:1],
            # Variants end the search, which are the same on every machine, and not the clock.
            seconds=self.timeout_s,
            max_variants=self.max_variants,
        )
        found = next(search.run(state, 0))
        if found.status is not Status.OK:
            return DraftedBody(cause=f"no draft: {found.detail}"[:60])
        nearest = found.drafts[0]
        if nearest.likeness.is_same:
            return DraftedBody(is_same=True)
        short = shorten_assembly(assembly, triple)
        with Context() as context:
            bitcode = context.parse(nearest.text.encode(), "draft").to_bitcode()
            text = normalize(bitcode, library=context.library).text
        return DraftedBody(body=body_of(reduce_module(text), dict(short.symbols)))

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> DraftedBody:
        """Return what became of a draft that LLVM died of."""
        return DraftedBody(cause=status.value)


class FinishStage:
    """Drafts of stage data's functions; what `dataset.build_dataset` writes.

    Args:
        data: a folder of stage data of the stage disassembly.
        max_variants: of the rules, tried for each function.

    Raises:
        ArtifactError: the data is missing, damaged, empty or of another stage.
    """

    name = "disassembly"

    def __init__(self, data: Path, *, max_variants: int = 12, seed: int = 0) -> None:
        stored = open_stored_stage(data)
        if stored.stage != self.name:
            raise ArtifactError(f"{data} holds data of the stage '{stored.stage}', not disassembly")
        self._samples = [
            one
            for path in stored.paths
            for one in read_stage_samples(path)
            if one.task == "disassembly"
        ]
        if not self._samples:
            raise ArtifactError(f"{data} holds no samples")
        self._max_variants, self._seed = max_variants, seed
        told = f"finish 1 {stored.identity} {max_variants} {seed}"
        self.fingerprint = content_hash(told.encode())
        self._found: dict[int, DraftedBody] = {}

    def make(self, indexes: Iterable[int], pool: WorkerPool) -> Iterator[Result]:
        """Yield the sample of each index, in their order.

        An index stands for a part of the data's functions, and takes the first of them whose draft
        is other code.

        Raises:
            ArtifactError: there are no more functions whose draft is other code.
        """
        wanted = list(indexes)
        for place, index in enumerate(wanted):
            ahead = wanted[place : place + _A_JOB]
            causes: list[str] = []
            for attempt in range(MAX_ATTEMPTS):
                self._draft([self._place(one, attempt) for one in ahead], pool)
                drafted = self._found[self._place(index, attempt)]
                if drafted.body:
                    break
                causes.append(drafted.cause or "draft is the same code")
                ahead = [index]
            else:
                raise ArtifactError(f"{MAX_ATTEMPTS} functions have no draft of other code")
            yield Result(
                sample=dataclasses.replace(
                    self._samples[self._place(index, len(causes))],
                    task="finish",
                    seed=self._seed,
                    index=index,
                    draw=len(causes),
                    attempt=drafted.body,
                ),
                causes=tuple(causes),
            )

    def _place(self, index: int, attempt: int) -> int:
        return (index + attempt * 7919) % len(self._samples)

    def _draft(self, places: list[int], pool: WorkerPool) -> None:
        missing = [place for place in dict.fromkeys(places) if place not in self._found]
        if not missing:
            return
        samples: list[StageSample] = [self._samples[place] for place in missing]
        job = DraftBodyJob(
            functions=tuple((one.input_code, one.target_triple) for one in samples),
            max_variants=self._max_variants,
        )
        for place, drafted in zip(missing, run_jobs(pool, [job])[0], strict=True):
            self._found[place] = drafted
