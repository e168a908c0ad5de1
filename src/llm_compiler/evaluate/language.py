"""What a model knows of code: how well it predicts sizes, and the code itself.

Both tasks ask about samples of a training stage (`dataset.stages`) that are drawn from a split by
(seed, index), so that they are the same for every model. *size-prediction*: instruction count and
sizes behind a pass list, as emulation states them before its code. *perplexity*: the probability of
IR and assembly as text, and of source code and prose where texts are given, in bits a byte, which
models with different tokenizers share.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.dataset.engine import make_samples, safe_elements
from llm_compiler.dataset.jobs import Draw, DrawJob, Made
from llm_compiler.dataset.records import StageSample
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stages import LEVELS, StageOptions, make_stage
from llm_compiler.dataset.texts import TextSet
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.decoding import Decoder
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.requests import Emulate
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts
from llm_compiler.verify.target import architecture_of
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "PerplexityRow",
    "SizeRow",
    "draw_samples",
    "nats_of",
    "perplexity_rows",
    "predict_sizes",
    "reader_of",
    "samples_of_modules",
    "size_rows",
    "text_samples",
]

_NUMBERS = ("count", "size", "text-data")
_MAX_NUMBER_TOKENS = 64
_CHUNK = 128
_MAX_DRAWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow:
    """One model's prediction for one module and pass list; -1 where it states nothing."""

    suite: str
    model: str
    seed: int
    index: int
    module_hash: str
    program: str
    target_triple: str
    passes: str
    num_instructions_before: int
    num_instructions_after: int
    num_instructions_predicted: int
    size_bytes_before: int
    size_bytes_after: int
    size_bytes_predicted: int
    text_data_bytes_before: int
    text_data_bytes_after: int
    text_data_bytes_predicted: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityRow:
    """How probable one text is to one model; what exceeds the context is read in pieces."""

    suite: str
    model: str
    seed: int
    index: int
    module_hash: str
    program: str
    target_triple: str
    task: str
    passes: str
    num_bytes: int
    num_tokens: int
    nats: float
    seconds: float


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
    """Yield pieces of source code, then of prose, as pretraining reads them: so many of each.

    Args:
        folder: from ``llm-compiler dataset texts``.

    Raises:
        ManifestMissing, ShardCorrupt, ArtifactError: the folder has no such texts.
    """
    for kind in ("code", "text"):
        texts = TextSet(folder, split=split, kind=kind)
        rng = random.Random(f"{kind}:{seed}")
        for index, place in enumerate(rng.sample(range(len(texts)), min(count, len(texts)))):
            piece = texts[place]
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


def predict_sizes(engine: Engine, sample: StageSample) -> tuple[int, int, int]:
    """Return predicted instruction count, size, and .text + .data; -1 for what is not stated.

    Our own models state them before the code, which is not waited for; others are asked for all.
    """
    found = engine.answer(
        Emulate(
            code=sample.input_code,
            passes=parse_pass_list(sample.passes),
            target_triple=sample.target_triple,
            num_instructions=sample.num_instructions_before,
            size_bytes=sample.size_bytes_before,
            text_data_bytes=sample.text_data_bytes_before,
            only_numbers=True,
        )
    )
    if not found:
        return -1, -1, -1
    stated = found[0].num_instructions, found[0].size_bytes, found[0].text_data_bytes
    count, size, text_data = (-1 if one is None else one for one in stated)
    return count, size, text_data


def reader_of(engine: Engine) -> tuple[Decoder, CompactPrompts | PaperPrompts]:
    """Return what gives the probabilities of a text, and what turns texts into documents.

    Raises:
        ConfigError: the engine has none: it replays, or asks a server.
    """
    if engine.reader is not None:
        return engine.reader.decoder, engine.reader.prompts
    raise ConfigError(
        f"{engine.model}: perplexity needs a model that runs here, by the engine 'embedded' or "
        f"'transformers'; '{engine.name}' does not give the probabilities of a text"
    )


def nats_of(decoder: Decoder, ids: Sequence[int], start: int) -> float:
    """Return minus the log-probability of ``ids[start:]``, in nats, given those before."""
    state = decoder.start(ids[:start])
    total = -float(state.first[ids[start]])
    for first in range(start, len(ids) - 1, _CHUNK):
        part = list(ids[first : min(first + _CHUNK, len(ids) - 1)])
        # A chain: each node's parent is the node before it; the first's is the prompt.
        parents = [first - start - 1 + place for place in range(len(part))]
        rows = state.extend(part, parents)
        for place in range(len(part)):
            total -= float(rows[place, ids[first + place + 1]])
    return total


def size_rows(engine: Engine, sample: StageSample, *, suite: str, model: str) -> list[SizeRow]:
    """Return the row of one emulation sample."""
    start = time.monotonic()
    count, size, text_data = predict_sizes(engine, sample)
    return [
        SizeRow(
            **_identity(sample, suite, model),
            passes=sample.passes,
            num_instructions_before=sample.num_instructions_before,
            num_instructions_after=sample.num_instructions_after,
            num_instructions_predicted=count,
            size_bytes_before=sample.size_bytes_before,
            size_bytes_after=sample.size_bytes_after,
            size_bytes_predicted=size,
            text_data_bytes_before=sample.text_data_bytes_before,
            text_data_bytes_after=sample.text_data_bytes_after,
            text_data_bytes_predicted=text_data,
            seconds=time.monotonic() - start,
        )
    ]


def perplexity_rows(
    engine: Engine, sample: StageSample, *, suite: str, model: str
) -> list[PerplexityRow]:
    """Return the row of one pretraining sample.

    Raises:
        ConfigError: the engine does not give the probabilities of a text.
    """
    decoder, prompts = reader_of(engine)
    start = time.monotonic()
    nats, num_tokens = 0.0, 0
    for piece in prompts.documents(sample, engine.context):
        nats += nats_of(decoder, piece.ids, piece.answer_start)
        num_tokens += len(piece.ids) - piece.answer_start
    return [
        PerplexityRow(
            **_identity(sample, suite, model),
            task=sample.task,
            passes=sample.passes,
            num_bytes=len(sample.output_code.encode()),
            num_tokens=num_tokens,
            nats=nats,
            seconds=time.monotonic() - start,
        )
    ]


def _identity(sample: StageSample, suite: str, model: str) -> dict[str, Any]:
    return {
        "suite": suite,
        "model": model,
        "seed": sample.seed,
        "index": sample.index,
        "module_hash": sample.module_hash,
        "program": sample.package,
        "target_triple": sample.target_triple,
    }
