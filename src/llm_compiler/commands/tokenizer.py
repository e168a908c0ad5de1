"""``llm-compiler tokenizer``: train, show, and encode stage data with it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

from llm_compiler.commands.options.tokenizer import PackArguments, ShowArguments, TrainArguments
from llm_compiler.console import print_json, print_table, progress, warn
from llm_compiler.dataset.engine import make_samples
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import make_stage
from llm_compiler.dataset.stored import is_stored_stage, open_stored_stage, read_stage_samples
from llm_compiler.dataset.texts import TextSet
from llm_compiler.errors import InputError
from llm_compiler.model.prompts import encoded_texts
from llm_compiler.model.sketch import sketch
from llm_compiler.model.special import pass_vocabulary_version
from llm_compiler.model.token_shards import pack_tokens
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.workers import LocalPool

__all__ = ["pack", "show", "train"]


def _samples(options: TrainArguments) -> Iterator[StageSample]:
    """Yield samples of several folders by turns, until all have ended."""
    with contextlib.ExitStack() as stack:
        sources = [
            stack.enter_context(contextlib.closing(_of_folder(folder, options)))
            for folder in options.samples
        ]
        while sources:
            for source in list(sources):
                sample = next(source, None)
                if sample is None:
                    sources.remove(source)
                else:
                    yield sample


def _of_folder(folder: Path, options: TrainArguments) -> Generator[StageSample, None, None]:
    """Yield samples of stage data, or pretraining samples made now, endlessly."""
    if is_stored_stage(folder):
        if options.texts is not None:
            warn(f"{folder} is stage data: --texts is not read")
        for path in open_stored_stage(folder).paths:
            yield from read_stage_samples(path)
        return
    samples = SampleSet(folder)
    code = text = None
    if options.texts is not None:
        code, text = (TextSet(options.texts, split="train", kind=kind) for kind in ("code", "text"))
    else:
        warn("no --texts: the tokenizer learns from IR and assembly only")
    stage = make_stage("pretraining", samples, seed=options.seed, code=code, text=text)
    with LocalPool(options.jobs) as pool:
        for result in make_samples(stage, count(), pool):
            yield result.sample


def train(options: TrainArguments) -> int:
    """Learn merges."""
    characters: Counter[str] = Counter()

    def texts() -> Iterator[str]:
        with progress(options.max_characters, "characters") as bar:
            for sample in _samples(options):
                for text in encoded_texts(sample):
                    characters[sample.task] += len(text)
                    yield text
                if sample.task == "ir":
                    # Flag-tuning prompts are sketches of such modules.
                    short = sketch(sample.output_code)
                    characters["sketch"] += len(short)
                    yield short
                bar.update(characters.total())
                if characters.total() >= options.max_characters:
                    return

    trained_on = {"seed": options.seed, "max_characters": options.max_characters}
    tokenizer = train_tokenizer(
        texts(),
        options.out,
        vocab_size=options.vocab_size,
        pre_tokenizer=options.pre_tokenizer,
        trained_on=trained_on,
    )
    report = {
        "vocab_size": tokenizer.vocab_size,
        "pre_tokenizer": tokenizer.pre_tokenizer,
        "characters": dict(sorted(characters.items())),
        "fingerprint": tokenizer.fingerprint,
    }
    if options.json:
        print_json(report)
    else:
        total = characters.total()
        print(f"{tokenizer.vocab_size} tokens from {total} characters, in {options.out}")
    return 0


def show(options: ShowArguments) -> int:
    """Print what a tokenizer holds, or what it makes of a file."""
    tokenizer = IrTokenizer(options.tokenizer)
    if options.file is not None:
        try:
            data = options.file.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {options.file}: {error.strerror}") from error
        ids = tokenizer.encode_bytes(data)
        if options.json:
            print_json({"num_bytes": len(data), "num_tokens": len(ids), "ids": ids})
            return 0
        for id_ in ids:
            print(f"{id_}\t{tokenizer.decode_bytes([id_])!r}")
        return 0
    facts = {
        "vocab_size": tokenizer.vocab_size,
        "pre_tokenizer": tokenizer.pre_tokenizer,
        "num_special_tokens": tokenizer.num_specials,
        "num_passes": len(tokenizer.passes),
        "passes_version": pass_vocabulary_version(tokenizer.passes),
        "fingerprint": tokenizer.fingerprint,
        "trained_on": tokenizer.trained_on,
        "passes_without_a_token": list(tokenizer.new_passes),
    }
    if options.json:
        print_json(facts)
    else:
        print_table(("field", "value"), [(name, str(value)) for name, value in facts.items()])
    return 0


def pack(options: PackArguments) -> int:
    """Encode stage data as token shards."""
    num_shards = len(open_stored_stage(options.data).paths)
    with progress(num_shards, "shards") as bar:
        report = pack_tokens(
            options.data,
            options.tokenizer,
            options.out,
            context=options.context,
            compress=options.compress,
            num_workers=0 if options.jobs in (None, 1) else options.jobs,
            on_progress=bar.update,
        )
    if options.json:
        print_json(asdict(report))
        return 0
    print(
        f"{report.num_documents} documents, {report.num_tokens} tokens "
        f"({report.num_answer_tokens} with a loss), in {options.out}; "
        f"{report.num_too_long} of {report.num_samples} samples are longer than the context"
    )
    return 0
