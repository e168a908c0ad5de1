"""The task ``finish``: what the rules make of a function in, the IR that it came from out.

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
from llm_compiler.dataset.engine import Result
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.strip import body_of, strip_module
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stored import open_stored_stage, read_own_samples
from llm_compiler.disassembly.rules.lifter import attributes_of
from llm_compiler.disassembly.rules.search import SearchJob
from llm_compiler.errors import ArtifactError, CompilerError, InputError
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.records import Status, content_hash
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["DraftBodyJob", "DraftedBody", "FinishStage", "ShortDraftJob", "short_draft"]

_A_JOB: Final = 16
"""Functions a job."""
_A_BLOCK: Final = 64
"""Samples a block."""


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
        architecture = architecture_of(triple)
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
        return DraftedBody(body=short_draft(nearest.text, assembly, triple))

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> DraftedBody:
        """Return what became of a draft that LLVM died of."""
        return DraftedBody(cause=status.value)


def short_draft(text: str, assembly: str, target_triple: str) -> str:
    """Return the body of a draft in short form, its symbols named as in that of the assembly.

    Args:
        text: a module of one function.
        assembly: that it was made of, in normal form.

    Raises:
        InputError: one of them has no short form, or the draft is no IR.
    """
    short = shorten_assembly(assembly, target_triple)
    with Context() as context:
        bitcode = context.parse(text.encode("utf-8", "surrogateescape"), "draft").to_bitcode()
        normal = normalize(bitcode, library=context.library).text
    return body_of(strip_module(normal), dict(short.symbols))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortDraftJob:
    """Bring drafts of one function into short form, one a step; empty where there is none."""

    drafts: tuple[str, ...] = field(repr=False)
    """Modules."""
    assembly: str = field(repr=False)
    target_triple: str
    timeout_s: float = 30.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each draft."""
        return len(self.drafts)

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        """Yield each draft's body."""
        for text in self.drafts[first_step:]:
            try:
                yield short_draft(text, self.assembly, self.target_triple)
            except (CompilerError, InputError):
                yield ""

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        """Return nothing."""
        return ""


class FinishStage:
    """Drafts of stage data's functions; what `dataset.build_dataset` writes.

    A block of the data's functions gives `_A_BLOCK` samples, the first of its functions whose
    drafts are other code; where a block has fewer, those are repeated. So any part of the samples
    can be made without the others, and no function is in two blocks.

    Args:
        data: a folder of stage data of the stage disassembly.
        max_variants: of the rules, tried for each function.
        functions_each: functions of a block for each of its samples.

    Raises:
        ArtifactError: the data is missing, damaged, empty or of another stage.
    """

    name = "disassembly"

    def __init__(
        self, data: Path, *, max_variants: int = 12, functions_each: int = 4, seed: int = 0
    ) -> None:
        stored = open_stored_stage(data)
        self._samples = read_own_samples(data, stored, self.name)
        self._data, self._seed = data, seed
        self._max_variants, self._functions_each = max_variants, functions_each
        settings = f"finish 2 {stored.identity} {max_variants} {functions_each} {seed}"
        self.fingerprint = content_hash(settings.encode())

    def make(self, indexes: Iterable[int], pool: WorkerPool) -> Iterator[Result]:
        """Yield the sample of each index, in their order.

        Raises:
            ArtifactError: the data has no functions for an index, or a block has no drafts.
        """
        at_hand = -1
        kept: list[tuple[int, DraftedBody]] = []
        rest: Iterator[tuple[int, DraftedBody]] = iter(())
        causes: list[str] = []
        for index in indexes:
            block, position = divmod(index, _A_BLOCK)
            if block != at_hand:
                at_hand, kept, rest = block, [], self._drafted(block, pool)
            while len(kept) <= position:
                found = next(rest, None)
                if found is None:
                    break
                if found[1].body:
                    kept.append(found)
                else:
                    causes.append(found[1].cause or "draft is the same code")
            if not kept:
                raise ArtifactError(f"no draft of a block of {self._data} is other code")
            if position >= len(kept):
                causes.append("repeated")
            function, drafted = kept[position % len(kept)]
            yield Result(
                sample=dataclasses.replace(
                    self._samples[function],
                    task="finish",
                    seed=self._seed,
                    index=index,
                    attempt=drafted.body,
                ),
                causes=tuple(causes),
            )
            causes = []

    def _drafted(self, block: int, pool: WorkerPool) -> Iterator[tuple[int, DraftedBody]]:
        """Yield the places of a block's functions, and their drafts."""
        size = _A_BLOCK * self._functions_each
        positions = range(block * size, min((block + 1) * size, len(self._samples)))
        if not positions:
            raise ArtifactError(
                f"{self._data} holds {len(self._samples)} functions, which give "
                f"{block * _A_BLOCK} samples: ask for fewer, or for fewer functions each"
            )
        for first in range(positions.start, positions.stop, _A_JOB):
            part = range(first, min(first + _A_JOB, positions.stop))
            samples: list[StageSample] = [self._samples[place] for place in part]
            job = DraftBodyJob(
                functions=tuple((sample.input_code, sample.target_triple) for sample in samples),
                max_variants=self._max_variants,
            )
            yield from zip(part, run_jobs(pool, [job])[0], strict=True)
