"""A model's choices against the fixed list of lists, at equal numbers of compilations.

On labelled modules (`llm-compiler labels build --split validation`), every list's size is known, so
nothing is compiled here: the model is asked as `optimize` asks it, in rounds, and gets the sizes
of the lists that it chose. "one shot" asks once, with no rounds; the coreset is tried in its order;
"oracle" tries all lists. All have default<Oz> as backup. Savings are over default<Oz> in process.

    python benchmarks/model_vs_coreset.py work/samples data/labels-validation-x86_64.parquet \
        --model work/runs/tiny-flag-tuning --report docs/reports/model-2026-11
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_compiler.corpus.shards import load_samples
from llm_compiler.evaluate.models import model_fingerprint
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine, shipped_model
from llm_compiler.model.engines.requests import Propose
from llm_compiler.optimization.model_rounds import first_lists, round_counts
from llm_compiler.output import write_atomically
from llm_compiler.records import PassList
from llm_compiler.search.labels import ModuleLabels, read_labels

Known = dict[PassList, int]


def run_rounds(
    engine: Engine,
    text: str,
    module: ModuleLabels,
    lists: Sequence[PassList],
    sizes: Known,
    num: int,
    *,
    one_shot: bool,
) -> list[int]:
    """Return the sizes of the lists tried, in order."""
    oz = module.size_bytes[0]
    tried: list[tuple[PassList, int]] = []
    num_first = 0 if one_shot else first_lists(num)
    tried += [(recipe, sizes[recipe]) for recipe in lists[:num_first]]
    for count in [num] if one_shot else round_counts(num - num_first):
        proposals = engine.answer(
            Propose(
                code=text,
                target_triple=module.target_triple,
                num_candidates=count,
                lists=lists,
                oz_size_bytes=oz,
                tried=tried,
            )
        )
        tried += [(proposal.passes, sizes[proposal.passes]) for proposal in proposals]
    return [size for _, size in tried]


def saving(best: Sequence[int], oz: Sequence[int], seed: int = 0) -> dict[str, float]:
    """Total and geometric mean in percent, each with a 95 % interval (bootstrap over modules)."""

    def total(of: Sequence[int]) -> float:
        return 100 * (1 - sum(best[i] for i in of) / sum(oz[i] for i in of))

    def geomean(of: Sequence[int]) -> float:
        return 100 * (1 - math.exp(sum(math.log(best[i] / oz[i]) for i in of) / len(of)))

    rng = random.Random(seed)
    everything = range(len(best))
    draws = [[rng.randrange(len(best)) for _ in everything] for _ in range(1000)]
    found_figures: dict[str, float] = {}
    figures: tuple[tuple[str, Callable[[Sequence[int]], float]], ...]
    figures = (("total", total), ("geomean", geomean))
    for name, figure in figures:
        found_figures[name] = figure(everything)
        spread = sorted(figure(draw) for draw in draws)
        found_figures[f"{name}_low"], found_figures[f"{name}_high"] = spread[25], spread[974]
    return found_figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--modules", type=int, default=0, help="the first so many; 0: all")
    parser.add_argument("--candidates", default="1,4,8,16,32")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    lists, modules = read_labels(options.labels)
    modules = sorted(modules, key=lambda module_labels: module_labels.module_hash)
    if options.modules:
        modules = modules[: options.modules]
    wanted = {module_labels.module_hash for module_labels in modules}
    texts = {
        sample.module_hash: sample.text
        for sample in load_samples(options.samples, columns=["module_hash", "text"])
        if sample.module_hash in wanted
    }
    modules = [module_labels for module_labels in modules if module_labels.module_hash in texts]
    steps = [int(word) for word in options.candidates.split(",")]
    rows: dict[str, list[list[int]]] = {}
    seconds = 0.0
    with load_engine(options.engine, options.model) as engine:
        for module in modules:
            oz = module.size_bytes[0]
            tried = [oz if size < 0 else size for size in module.size_bytes[1:]]
            known = dict(zip(lists, module.size_bytes[1:], strict=True))
            rows.setdefault("coreset", []).append([min(oz, *tried[:k]) for k in steps])
            rows.setdefault("oracle", []).append([min(oz, *tried)] * len(steps))
            for name, one_shot in (("model, rounds", False), ("model, one shot", True)):
                best = []
                for k in steps:
                    start = time.monotonic()
                    found = run_rounds(
                        engine,
                        texts[module.module_hash],
                        module,
                        lists,
                        known,
                        k,
                        one_shot=one_shot,
                    )
                    if k == 16 and not one_shot:
                        seconds += time.monotonic() - start
                    best.append(min(oz, *(size for size in found if size >= 0), oz))
                rows.setdefault(name, []).append(best)
        fingerprint = model_fingerprint(engine, options.model or shipped_model()).to_json()
    before = [module_labels.size_bytes[0] for module_labels in modules]
    print(f"{len(modules)} modules; {seconds / len(modules):.3f} s a module for 16 in rounds")
    report = []
    for name, sizes in rows.items():
        for position, k in enumerate(steps):
            figures = saving([row[position] for row in sizes], before)
            report.append({"proposer": name, "candidates": k, **figures})
            print(
                f"{name:16} {k:4d}  total {figures['total']:5.2f} % "
                f"[{figures['total_low']:.2f}, {figures['total_high']:.2f}]  geomean "
                f"{figures['geomean']:5.2f} % [{figures['geomean_low']:.2f}, "
                f"{figures['geomean_high']:.2f}]"
            )
    if options.report:
        options.report.mkdir(parents=True, exist_ok=True)
        data = {
            "num_modules": len(modules),
            "labels": options.labels.name,
            **fingerprint,
            "rows": report,
        }
        path = options.report / f"{options.labels.stem}.json"
        write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
