"""Tokens a second of training on a CPU: through transformers' modules and through the lean layers.

Random documents with the lengths of lifts (median 110 tokens, half of each an answer) and random
weights: speed depends on neither. All variants take the same steps by turns, so that a busy machine
slows all of them alike; tokens a second of processor time are what to compare on such a machine,
and tokens a second of the clock on a quiet one.

    python benchmarks/training_speed.py --model configs/model/tiny.toml --vocabularies 16384 4096
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_compiler.console import print_json, print_table
from llm_compiler.model.configs import ModelConfig, load_model_config
from llm_compiler.model.special import TASKS
from llm_compiler.train.packing import Row, pack_rows
from llm_compiler.train.sources import Encoded


def make_rows(model: ModelConfig, row_tokens: int, seed: int) -> list[Row]:
    import numpy

    rng = numpy.random.default_rng(seed)
    documents: list[Encoded] = []
    total = 0
    while total < 2 * row_tokens:
        length = int(numpy.clip(rng.lognormal(numpy.log(110), 0.9), 24, 2000))
        ids = rng.integers(0, model.vocab_size, length).astype(numpy.uint16)
        documents.append(Encoded(ids, length // 2, 0))
        total += length
    return list(pack_rows(documents, row_tokens))[:2]


def make_step(
    model: ModelConfig, rows: list[Row], *, lean: bool, half: bool, threads: int
) -> Callable[[], None]:
    import torch

    from llm_compiler.train.language_model import PackedModel, make_llama
    from llm_compiler.train.optimizers import make_optimizer

    torch.manual_seed(0)
    packed = PackedModel(make_llama(model), num_tasks=len(TASKS), longest=model.context, lean=lean)
    optimizer = make_optimizer(
        packed.named_parameters(),
        name="muon",
        learning_rate=1e-3,
        weight_decay=0.1,
        betas=(0.9, 0.95),
        fused=True,
    )

    def step() -> None:
        torch.set_num_threads(threads)
        for row in rows:
            arrays = (row.ids, row.positions, row.targets, row.tasks)
            autocast: Any = torch.autocast("cpu", dtype=torch.bfloat16)
            with autocast if half else contextlib.nullcontext():
                loss = packed(*(torch.from_numpy(array) for array in arrays), row.lengths)[0]
            (loss / row.num_targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=Path("configs/model/tiny.toml"))
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[16384, 8192, 4096, 2048])
    parser.add_argument("--row-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shape = load_model_config(options.model)
    first, *others = options.vocabularies
    item, *more = options.threads
    variants = [
        ("transformers", first, "bf16", item),
        ("transformers", first, "fp32", item),
        ("lean", first, "bf16", item),
        ("lean", first, "fp32", item),
        *(("lean", size, "bf16", item) for size in others),
        *(("lean", options.vocabularies[-1], "bf16", number) for number in more),
        *(("lean", first, "bf16", number) for number in more),
    ]
    steps, tokens = [], []
    for kind, size, precision, threads in variants:
        model = dataclasses.replace(shape, vocab_size=size)
        rows = make_rows(model, options.row_tokens, seed=0)
        tokens.append(sum(len(row.ids) for row in rows))
        half = precision == "bf16"
        steps.append(make_step(model, rows, lean=kind == "lean", half=half, threads=threads))
    seconds: list[list[tuple[float, float]]] = [[] for _ in variants]
    for step in steps:
        step()
    for _ in range(options.repeats):
        for position, step in enumerate(steps):
            wall, processor = time.perf_counter(), time.process_time()
            step()
            seconds[position].append((time.perf_counter() - wall, time.process_time() - processor))
    found = []
    for variant, count, times in zip(variants, tokens, seconds, strict=True):
        wall, processor = (statistics.median(pair[side] for pair in times) for side in (0, 1))
        found.append((*variant, count / wall, count / processor))
    if options.json:
        for one_found in found:
            print_json(one_found)
        return
    base = found[0]
    print_table(
        ("layers", "vocabulary", "precision", "threads", "tokens/s", "tokens/cpu s", "times"),
        [
            (
                kind,
                f"{size:,}",
                precision,
                str(threads),
                f"{wall:,.0f}",
                f"{cpu:,.0f}",
                f"{cpu / base[5]:.2f}",
            )
            for kind, size, precision, threads, wall, cpu in found
        ],
        right="lrrrrrr",
    )


if __name__ == "__main__":
    main()
