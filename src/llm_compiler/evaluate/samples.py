"""Samples of training stages that models are asked about, the same for every model.

Drawn from a split by (seed, index), or made of a suite's modules as the stage of training would.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from llm_compiler.corpus.inputs import SAMPLES_MANIFEST
from llm_compiler.dataset.draws import Draw, DrawJob, Made
from llm_compiler.dataset.engine import make_samples, safe_elements
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import LEVELS, StageOptions, make_stage
from llm_compiler.dataset.texts import TextSet
from llm_compiler.evaluate.document import Heading, Image, Items, Paragraph, Table
from llm_compiler.evaluate.report import HasJson, Report
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.evaluate.task import Facts, Needs, Task, Work, each_in_turn
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.model.engines.engine import Engine
from llm_compiler.records import content_hash
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "SampleItem",
    "SampleOptions",
    "SampleRow",
    "SampleTask",
    "draw_samples",
    "identity_of",
    "sample_report",
    "samples_of_modules",
    "text_samples",
]

_MAX_DRAWS = 5
RowT = TypeVar("RowT")
FigureT = TypeVar("FigureT", bound=HasJson)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """Which samples models are asked about."""

    suites: tuple[Path, ...]
    split: str = "test"
    architecture: str = ""
    samples: int = 200
    """Of each suite."""
    seed: int = 0
    texts: Path | None = None
    """Source code and prose too, from ``llm-compiler dataset texts``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleItem:
    """A sample of a suite."""

    suite: str
    sample: StageSample = field(repr=False)

    @property
    def key(self) -> str:
        """What names it in a run."""
        key = f"{self.suite}|{self.sample.index}"
        return f"{key}|{self.sample.task}" if self.sample.task in ("code", "text") else key


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What every row on a sample begins with: whose answer it is, and to what."""

    suite: str
    model: str
    seed: int
    index: int
    module_hash: str
    program: str
    target_triple: str


@dataclass(frozen=True, slots=True)
class SampleTask(Task[SampleItem, RowT, Report[FigureT]], Generic[RowT, FigureT]):
    """Asks every model about the samples of a stage of training."""

    options: SampleOptions
    stage: ClassVar[str]
    noun: ClassVar[str] = "samples"
    num_texts: ClassVar[int] = 3

    def needs(self) -> Needs:
        """Return modules of suites that hold no samples, and models."""
        _, others = self._parted()
        return Needs(count=self.options.samples, suites=others)

    def items(self, run: Run) -> Work[SampleItem]:
        """Draw samples."""
        how = self.options
        _, others = self._parted()
        settings: dict[str, object] = {
            **run.settings,
            "suites": [path.resolve().name for path in how.suites],
            "split": how.split,
            "architecture": how.architecture,
            "samples": how.samples,
            "seed": how.seed,
        }
        if how.texts is not None:
            settings["texts"] = how.texts.resolve().name
        if others:
            keys = "\n".join(sorted(module.key for module in run.modules))
            settings["modules"] = content_hash(keys.encode())
        return Work(items=list(self._samples(run)), settings=settings)

    def ask(self, items: Sequence[SampleItem], run: Run) -> Iterator[tuple[SampleItem, list[RowT]]]:
        """Ask the models one after the other."""
        for item in each_in_turn(items, run):
            yield item, [self.row_of(model.engine, item, model.row_name) for model in run.models]

    def row_of(self, engine: Engine, item: SampleItem, model: str) -> RowT:
        """Ask one model about one sample."""
        raise NotImplementedError

    def _parted(self) -> tuple[list[Path], list[Path]]:
        """Return the suites that are folders of samples, and the others."""
        folders = [path for path in self.options.suites if (path / SAMPLES_MANIFEST).exists()]
        return folders, [path for path in self.options.suites if path not in folders]

    def _samples(self, run: Run) -> Iterator[SampleItem]:
        how = self.options
        for path in self._parted()[0]:
            for sample in draw_samples(
                path,
                self.stage,
                run.pool,
                split=how.split,
                architecture=how.architecture,
                count=how.samples,
                seed=how.seed,
            ):
                yield SampleItem(suite=path.resolve().name, sample=sample)
        for suite in run.suites:
            for sample in samples_of_modules(
                suite.modules, self.stage, run.pool, count=how.samples, seed=how.seed
            ):
                yield SampleItem(suite=suite.name, sample=sample)
        if how.texts is not None:
            for sample in text_samples(
                how.texts, split=how.split, count=how.samples, seed=how.seed
            ):
                yield SampleItem(suite=how.texts.resolve().name, sample=sample)


_TRACE = Paragraph(
    "Each row of `rows.parquet` is one sample and model; `llm-compiler dataset show` makes the "
    "sample again from seed and index."
)


def sample_report(
    title: str,
    facts: Facts,
    options: SampleOptions,
    said: Sequence[str],
    figures: Sequence[FigureT],
    table: Table,
    image: Image,
) -> Report[FigureT]:
    """Return the report of a task on samples.

    Args:
        said: how it was measured, a sentence each.
    """
    lines = (
        *said,
        f"LLVM {facts.llvm_version}; split '{options.split}', seed {options.seed}; "
        "intervals are 95 %, bootstrap over samples.",
        *(model.described(number) for number, model in enumerate(facts.models, 1)),
    )
    suites = tuple(f"Suite {suite}." for suite in facts.suites)
    return Report(
        facts=replace(facts, notes=(*suites, *facts.notes)),
        figures=tuple(figures),
        blocks=(
            Heading(title, 1),
            Paragraph(f"`{facts.command}`"),
            Items(lines),
            table,
            image,
            _TRACE,
        ),
        table=table,
        names_suites=False,
    )


def draw_samples(
    folder: Path,
    stage: str,
    pool: WorkerPool,
    *,
    split: str,
    architecture: str,
    count: int,
    seed: int,
) -> Iterator[StageSample]:
    """Yield the first samples of a stage on a split: another module each, while there are.

    Raises:
        ManifestMissing, ShardCorrupt, ArtifactError: the folder has no such samples.
    """
    samples = SampleSet(folder, split=split, architecture=architecture)
    options = StageOptions(
        compiler_share=1.0,
        code_share=0.0,
        text_share=0.0,
        assembly_share=0.5 if stage == "pretraining" else 0.0,
    )
    made = make_stage(
        stage,
        samples,
        seed=seed,
        options=options,
        space=safe_elements(pool) if stage == "emulation" else (),
    )
    for result in make_samples(made, range(count), pool):
        yield result.sample


def samples_of_modules(
    modules: Sequence[EvaluationModule], stage: str, pool: WorkerPool, *, count: int, seed: int
) -> Iterator[StageSample]:
    """Yield samples of a training stage on a suite's modules, one each: drawn as that stage draws.

    Targets and programs take turns. A draw that LLVM makes nothing of is drawn again, a few times.

    Args:
        stage: "emulation" or "pretraining" (IR and assembly).
    """
    space = safe_elements(pool) if stage == "emulation" else ()
    ordered = draw_evenly(
        modules,
        lambda module: architecture_of(module.target_triple),
        (lambda module: module.program, lambda module: module.key),
        seed=seed,
    )
    index = 0
    for module in ordered:
        for attempt in range(_MAX_DRAWS):
            rng = random.Random(f"{stage}:{seed}:{module.module_hash}:{attempt}")
            task, passes = _drawn(stage, rng, space)
            sample = StageSample(
                stage=stage,
                task=task,
                seed=seed,
                index=index,
                draw=attempt,
                module_hash=module.module_hash,
                target_triple=module.target_triple,
                package=module.program,
                passes=",".join(passes),
            )
            draw = Draw(
                sample=sample,
                module=module.bitcode,
                passes=passes,
                max_characters=StageOptions().max_characters,
                max_instructions=StageOptions().max_instructions,
            )
            made: Made = run_jobs(pool, [DrawJob(draws=(draw,))])[0][0]
            if made.sample is not None:
                yield made.sample
                index += 1
                break
        if index == count:
            return


def text_samples(folder: Path, *, split: str, count: int, seed: int) -> Iterator[StageSample]:
    """Yield pieces of source code, then of prose, as pretraining reads them: `count` of each.

    Args:
        folder: from ``llm-compiler dataset texts``.

    Raises:
        ManifestMissing, ShardCorrupt, ArtifactError: the folder has no such texts.
    """
    for kind in ("code", "text"):
        texts = TextSet(folder, split=split, kind=kind)
        rng = random.Random(f"{kind}:{seed}")
        for index, position in enumerate(rng.sample(range(len(texts)), min(count, len(texts)))):
            piece = texts[position]
            yield StageSample(
                stage="pretraining",
                task=kind,
                seed=seed,
                index=index,
                draw=0,
                package=piece.package,
                split=piece.split,
                path=piece.path,
                output_code=piece.text,
            )


def _drawn(stage: str, rng: random.Random, space: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return a task and a pass list, as the stage of training weighs them."""
    how = StageOptions()
    if stage == "pretraining":
        level = rng.choice(("", *LEVELS))
        return rng.choice(("ir", "assembly")), (f"default<{level}>",) if level else ()
    kind = rng.random()
    if kind < how.pipeline_share:
        return "emulate-ir", (f"default<{rng.choice(LEVELS)}>",)
    longest = 4 if kind < how.pipeline_share + how.short_share else how.max_passes
    return "emulate-ir", tuple(rng.choice(space) for _ in range(rng.randint(1, longest)))


def identity_of(sample: StageSample, suite: str, model: str) -> dict[str, Any]:
    """Return what rows say of a sample."""
    return {
        "suite": suite,
        "model": model,
        "seed": sample.seed,
        "index": sample.index,
        "module_hash": sample.module_hash,
        "program": sample.package,
        "target_triple": sample.target_triple,
    }
