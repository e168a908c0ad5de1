"""Which pre-tokenisation serves a small model best: characters a token, and loss a character.

For each one: trains a tokenizer on stage data of the pretraining stage, then a small model from
random weights for the same wall time (`--minutes`) or on as many characters (`--characters`), and
measures both on validation data. Fewer tokens let a model see more characters in the same time and
context; longer tokens are harder to learn. The loss is summed over all tokens (and the end of each
text) and divided by characters, so tokenizers can be compared.

    python benchmarks/compare_tokenizers.py work/data/pretraining work/data/pretraining-validation \
        --minutes 10 --work work/tokenizers
    ... --minutes 0 --characters 10 --work work/tokenizers-10M

A tokenizer or a model that the folder of work holds already is taken as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from llm_compiler.console import print_json, print_table
from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.token_shards import pack_tokens
from llm_compiler.model.tokenizer import (
    PRE_TOKENIZERS,
    TOKENIZER_FILE,
    IrTokenizer,
    train_tokenizer,
)
from llm_compiler.train.configs import DataConfig, TrainConfig

CONTEXT = 4096


def texts(folder: Path, max_characters: int) -> Iterator[str]:
    read = 0
    for path in open_stored_stage(folder).paths:
        for sample in read_stage_samples(path):
            yield sample.output_code
            read += len(sample.output_code)
            if read >= max_characters:
                return


def characters(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in open_stored_stage(folder).paths:
        for sample in read_stage_samples(path):
            found[sample.task] += len(sample.output_code)
    return found


def make_tokenizer(options: argparse.Namespace, name: str, size: int) -> tuple[IrTokenizer, float]:
    folder = options.work / f"{name}-{size}"
    if (folder / TOKENIZER_FILE).is_file():
        return IrTokenizer(folder), 0.0
    started = time.monotonic()
    tokenizer = train_tokenizer(
        texts(options.train, options.max_characters), folder, vocab_size=size, pre_tokenizer=name
    )
    return tokenizer, time.monotonic() - started


def train_model(
    options: argparse.Namespace, tokenizer: IrTokenizer, folder: Path, characters_a_token: float
) -> None:
    from llm_compiler.train.loop import train

    step = options.row_tokens * options.rows_per_step * characters_a_token
    steps = math.ceil(options.characters * 1e6 / step) if options.characters else 10**6
    model = ModelConfig(
        name="benchmark",
        vocab_size=tokenizer.vocab_size,
        hidden_size=options.width,
        intermediate_size=options.width * 5 // 2,
        num_layers=options.layers,
        num_heads=options.width // 64,
        num_kv_heads=max(1, options.width // 128),
        context=CONTEXT,
        tie_embeddings=True,
    )
    config = TrainConfig(
        stage="pretraining",
        model=model,
        tokenizer=tokenizer.folder,
        out=folder / "run",
        data={"pretraining": DataConfig(path=options.train)},
        validation_documents=10**9,
        row_tokens=options.row_tokens,
        rows_per_step=options.rows_per_step,
        max_steps=steps,
        learning_rate=options.learning_rate,
        min_learning_rate_ratio=0.05,
        warmup_steps=20,
        log_every=10,
        optimizer=options.optimizer,
        precision=options.precision,
        num_threads=options.threads,
        checkpoint_every_minutes=1e9,
        seed=options.seed,
    )
    train(config, resume=True, max_minutes=options.minutes or None)
    # The run is over: going on with it only validates, which is not part of its minutes.
    validation = {"pretraining": DataConfig(path=folder / "validation")}
    outcome = train(dataclasses.replace(config, validation=validation), resume=True)
    (folder / "outcome.json").write_text(
        json.dumps({"validation": outcome.validation, "tokens": outcome.tokens})
    )


def measure(options: argparse.Namespace, name: str, size: int) -> dict[str, object]:
    folder = options.work / f"{name}-{size}-model"
    tokenizer, seconds = make_tokenizer(options, name, size)
    packed = pack_tokens(
        options.validation, tokenizer.folder, folder / "validation", context=CONTEXT
    )
    per_task = characters(options.validation)
    tokens = packed.tokens_by_task
    report: dict[str, object] = {
        "pre_tokenizer": name,
        "vocab_size": tokenizer.vocab_size,
        "training_s": round(seconds, 1),
        "characters_a_token": {
            task: round(count / tokens[task], 3) for task, count in sorted(per_task.items())
        },
    }
    if options.minutes or options.characters:
        done = folder / "outcome.json"
        if not done.exists():
            ratio = per_task.total() / packed.num_tokens
            train_model(options, tokenizer, folder, ratio)
        outcome = json.loads(done.read_text())
        nats = {t: item["loss"] * item["num_tokens"] for t, item in outcome["validation"].items()}
        assert sum(item["num_tokens"] for item in outcome["validation"].values()) == (
            packed.num_answer_tokens
        )
        report["loss_a_character"] = {t: round(nats[t] / per_task[t], 4) for t in sorted(nats)}
        report["all"] = round(sum(nats.values()) / per_task.total(), 4)
        report["million_tokens"] = round(outcome["tokens"] / 1e6, 2)
        report["million_characters"] = round(
            outcome["tokens"] * per_task.total() / packed.num_tokens / 1e6, 2
        )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each model; 0: no limit")
    parser.add_argument("--characters", type=float, default=0, help="millions, of each model")
    parser.add_argument("--vocab-size", type=int, nargs="+", default=[16_384])
    parser.add_argument("--pre-tokenizer", nargs="+", default=list(PRE_TOKENIZERS))
    parser.add_argument("--max-characters", type=int, default=60_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--row-tokens", type=int, default=4096)
    parser.add_argument("--rows-per-step", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--optimizer", default="muon", help="muon or adamw")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in options.vocab_size:
        for name in options.pre_tokenizer:
            report = measure(options, name, size)
            print_json(report)
            rows.append([str(value) for value in report.values()])
    print_table(tuple(report), rows)


if __name__ == "__main__":
    main()
