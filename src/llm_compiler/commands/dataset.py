"""``llm-compiler dataset``: samples that training stages learn from, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from llm_compiler.commands.engines import open_engine
from llm_compiler.commands.options.dataset import (
    BuildArguments,
    DraftsArguments,
    PackArguments,
    RepairsArguments,
    ShowArguments,
    StageArguments,
    TextsArguments,
)
from llm_compiler.commands.pools import open_pool, with_nodes
from llm_compiler.console import Progress, print_json, print_table, progress, warn
from llm_compiler.corpus.manifest import MANIFEST_NAME, PARTIAL_NAME, load_manifest, read_units
from llm_compiler.corpus.texts import collect_texts
from llm_compiler.dataset.build import DatasetReport, MakingStage, build_dataset
from llm_compiler.dataset.engine import make_samples, safe_elements
from llm_compiler.dataset.labels import Labels
from llm_compiler.dataset.parts import pack
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import render_paper
from llm_compiler.dataset.stages import Stage, StageOptions, make_stage
from llm_compiler.dataset.texts import TextSet
from llm_compiler.disassembly.finishing import FinishStage
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.registry import DEFAULT_ENGINE
from llm_compiler.model.engines.weights import WEIGHTS_FILE
from llm_compiler.model.repairs import RepairStage
from llm_compiler.output import resumable
from llm_compiler.records import content_hash
from llm_compiler.remote_output import local_copy, shown
from llm_compiler.search.objective import objective_named
from llm_compiler.workers import LocalPool, WorkerPool

__all__ = ["build", "drafts", "pack_parts", "repairs", "show", "texts"]

_WritingArguments = BuildArguments | DraftsArguments | RepairsArguments


@contextmanager
def _open(
    options: StageArguments, opened: Callable[[], WorkerPool]
) -> Iterator[tuple[Stage, WorkerPool]]:
    """Open the samples and what else the stage reads, and a pool."""
    samples = SampleSet(
        options.samples,
        split=options.split,
        kind=options.kind,
        architecture=options.architecture,
    )
    labels = code = text = None
    if options.stage == "flag-tuning" and options.labels is not None:
        labels = Labels(options.labels, metric=objective_named(options.objective).column)
        if unmatched := labels.num_unmatched(samples.hashes):
            warn(f"{unmatched} of {len(labels)} labelled modules are not among the samples")
    if options.stage == "pretraining" and options.texts is not None:
        code, text = (
            TextSet(options.texts, split=options.split, kind=kind) for kind in ("code", "text")
        )
    with opened() as pool:
        stage = make_stage(
            options.stage,
            samples,
            seed=options.seed,
            options=StageOptions(
                max_characters=options.max_characters,
                compiler_share=options.mix[0],
                code_share=options.mix[1],
                text_share=options.mix[2],
                assembly_share=options.assembly_share,
                oz_share=options.oz_share,
            ),
            space=safe_elements(pool) if options.stage == "emulation" else (),
            labels=labels,
            code=code,
            text=text,
        )
        yield stage, pool


@resumable()
def build(options: BuildArguments) -> int:
    """Write a stage's samples."""
    if options.stage == "pretraining" and options.texts is None:
        warn("no --texts: pretraining data is IR and assembly only")
    with (
        local_copy(options.out) as out,
        _open(options, lambda: open_pool(options, options.jobs)) as (stage, pool),
        progress(options.num_samples, with_nodes(options.stage, pool)) as bar,
    ):
        report = _write(stage, out, options, pool, bar)
    _tell(report, options)
    return 0


def _write(
    stage: Stage | MakingStage,
    out: Path,
    options: _WritingArguments,
    pool: WorkerPool,
    bar: Progress,
) -> DatasetReport:
    return build_dataset(
        stage,
        out,
        num_samples=options.num_samples,
        pool=pool,
        llvm_version=find_toolchain().version,
        shard_size=options.shard_size,
        on_progress=bar.update,
    )


def _tell(report: DatasetReport, options: _WritingArguments) -> None:
    if options.json:
        print_json(asdict(report))
        return
    print(
        f"{report.num_samples} samples in {report.num_shards} shards, {report.num_bytes} bytes, "
        f"in {shown(options.out)}"
    )
    rows = [*report.tasks.items(), *((f"drawn again: {c}", n) for c, n in report.rejected.items())]
    print_table(("task", "samples"), [(name, str(count)) for name, count in rows], right="lr")


@resumable()
def repairs(options: RepairsArguments) -> int:
    """Write a model's wrong lifts, and what is wrong with them."""
    with (
        open_engine(DEFAULT_ENGINE, options.model, "disassemble") as engine,
        LocalPool(options.jobs) as pool,
        progress(options.num_samples, "repairs") as bar,
    ):
        stage = RepairStage(
            options.data,
            engine,
            weights=_weights(Path(engine.model)),
            candidates=options.candidates,
            temperature=options.temperature,
            seed=options.seed,
        )
        report = _write(stage, options.out, options, pool, bar)
    _tell(report, options)
    return 0


@resumable()
def drafts(options: DraftsArguments) -> int:
    """Write what the rules make of functions, where it is other code."""
    with LocalPool(options.jobs) as pool, progress(options.num_samples, "drafts") as bar:
        stage = FinishStage(
            options.data,
            max_variants=options.max_variants,
            functions_each=options.functions_each,
            seed=options.seed,
        )
        report = _write(stage, options.out, options, pool, bar)
    _tell(report, options)
    return 0


def _weights(folder: Path) -> str:
    """Name a checkpoint's weights."""
    return content_hash((folder / WEIGHTS_FILE).read_bytes())


@resumable()
def show(options: ShowArguments) -> int:
    """Make one sample again and print it."""
    with _open(options, lambda: LocalPool(1)) as (stage, pool):
        (result,) = make_samples(stage, [options.index], pool)
    sample = result.sample
    if options.json:
        print_json(sample.to_row())
    elif options.paper:
        prompt, answer = render_paper(sample)
        print(f"{prompt}\n\n{answer}".strip())
    else:
        fields = sample.to_row()
        texts = {name: fields.pop(name) for name in ("input_code", "output_code")}
        for name, value in fields.items():
            if value or name in ("seed", "index"):
                print(f"{name}: {value}")
        for name, text in texts.items():
            if text:
                print(f"\n{name}:\n{text.rstrip()}")
    return 0


@resumable()
def pack_parts(options: PackArguments) -> int:
    """Pack modules into parts of a given size."""
    samples = SampleSet(
        options.samples,
        split=options.split,
        kind=options.kind,
        architecture=options.architecture,
        content=options.content,
    )
    report = pack(samples, options.out, part_bytes=options.part_bytes, seed=options.seed)
    if options.json:
        print_json(asdict(report))
        return 0
    print(
        f"{report.num_samples} samples in {report.num_parts} parts, {report.num_bytes} bytes, "
        f"in {options.out}"
    )
    if report.num_too_large:
        warn(f"{report.num_too_large} samples are larger than a part and were left out")
    return 0


@resumable()
def texts(options: TextsArguments) -> int:
    """Collect source code and prose of a corpus."""
    partial = options.corpus / PARTIAL_NAME
    finished = (options.corpus / MANIFEST_NAME).is_file()
    units = read_units(partial) if partial.is_file() and not finished else None
    if units is None:
        units = load_manifest(options.corpus)
    else:
        warn(f"the build of {options.corpus} has not finished: only what is done is read")
    with progress(len({unit.package for unit in units}), "texts") as bar:
        report = collect_texts(options.corpus, units, options.out, on_progress=bar.update)
    if options.json:
        print_json(asdict(report))
        return 0
    rows = [
        (name, str(count), str(report.num_characters[name]))
        for name, count in report.num_texts.items()
    ]
    print_table(("kind and split", "texts", "characters"), rows, right="lrr")
    for cause, count in report.left_out.items():
        print(f"left out: {count} {cause}")
    return 0
