"""What the embedded engine costs by precision of its matrices, and whether integers change answers.

For each precision: seconds to make the graphs, and to load them from the cache; tokens a second of
reading prompts; ranking a table of lists behind a module's prompt; writing K texts at once. Then
the agreement with fp32 of the ranking, on real modules. Wall seconds, and processor seconds (of all
threads together), which other jobs on the machine change less. The best of some repetitions.

    python benchmarks/engines.py MODEL --samples work/samples
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from llm_compiler.console import print_json, print_table
from llm_compiler.corpus.shards import load_samples
from llm_compiler.model.engines.compact import CompactEngine, pass_trie
from llm_compiler.model.engines.embedded import load_embedded
from llm_compiler.model.engines.onnx_graph import WeightKind
from llm_compiler.model.engines.requests import Propose
from llm_compiler.model.generation import generate
from llm_compiler.model.ranking import most_probable
from llm_compiler.search.coreset import load_coreset

RANKED_PROMPT = 700
WRITTEN_PROMPT = 300


def best_of(num: int, run: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    found = []
    for _ in range(num):
        wall, processor = time.perf_counter(), time.process_time()
        run()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(pair[0] for pair in found), min(pair[1] for pair in found)


def measure(options: argparse.Namespace, precision: str, cache: Path) -> dict[str, float]:
    def load() -> CompactEngine:
        return load_embedded(
            options.model, precision=precision, threads=options.threads, cache=cache
        )

    figures: dict[str, float] = {}

    def note(name: str, num: int, run: Callable[[], object], *, per: int = 0) -> None:
        wall, processor = best_of(num, run)
        figures[name] = per / wall if per else wall
        figures[f"{name}, processor"] = per / processor if per else processor

    note("make graphs and load (s)", 1, load)
    note("load from the cache (s)", options.repeat, load)
    figures["cache (MB)"] = sum(path.stat().st_size for path in cache.glob(f"{precision}-*")) / 1e6
    engine = load()
    decoder, tokenizer = engine.decoder, engine.prompts.tokenizer
    random = np.random.default_rng(1)

    def fresh(num: int) -> list[int]:
        ids: list[int] = random.integers(tokenizer.num_specials, tokenizer.vocab_size, num).tolist()
        return ids

    for num in (256, 1024, min(4096, engine.context)):
        read = partial(lambda num: decoder.start(fresh(num)), num)
        note(f"read {num} tokens (1/s)", 3, read, per=num)
    trie = pass_trie(load_coreset().lists, engine.prompts)
    note(
        f"rank {len(trie.place)} lists behind {RANKED_PROMPT} tokens (s)",
        options.repeat,
        lambda: most_probable(decoder.start(fresh(RANKED_PROMPT)), trie, 16),
    )
    for num in (1, 16):
        # No token ends a text: all are written to the limit.
        note(
            f"write {num} x {options.written} tokens (1/s)",
            1,
            partial(
                lambda num: generate(
                    decoder.start(fresh(WRITTEN_PROMPT)),
                    num,
                    end=-1,
                    max_tokens=options.written,
                    temperature=1.0,
                ),
                num,
            ),
            per=num * options.written,
        )
    engine.close()
    return figures


def agreement(options: argparse.Namespace, precision: str, cache: Path) -> dict[str, float]:
    """Compare rankings with those at full precision."""
    lists = load_coreset().lists
    samples = itertools.islice(load_samples(options.samples), 0, options.modules * 50, 50)
    exact, quick = (
        load_embedded(options.model, precision=word, threads=options.threads, cache=cache)
        for word in ("fp32", precision)
    )
    same_first, shared, differences = [], [], []
    for sample in samples:
        rankings = [
            engine.answer(
                Propose(
                    code=sample.text,
                    target_triple=sample.target_triple,
                    num_candidates=len(lists),
                    lists=lists,
                )
            )
            for engine in (exact, quick)
        ]
        first, second = rankings
        same_first.append(first[0].passes == second[0].passes)
        shared.append(len({o.passes for o in first[:16]} & {o.passes for o in second[:16]}) / 16)
        expected = {proposal.passes: proposal.log_probability for proposal in second}
        differences += [
            abs(proposal.log_probability - expected[proposal.passes]) for proposal in first
        ]
    return {
        "same first list": statistics.fmean(same_first),
        "same first 16 lists": statistics.fmean(shared),
        "difference (nats)": statistics.fmean(differences),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--samples", type=Path, help="samples, to compare rankings on")
    parser.add_argument("--modules", type=int, default=40)
    parser.add_argument("--precisions", nargs="+", default=[kind.value for kind in WeightKind])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--written", type=int, default=200, help="tokens a text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in options.precisions:
            results[precision] = measure(options, precision, Path(folder))
            if options.samples:
                results[precision] |= agreement(options, precision, Path(folder))
    if options.json:
        print_json(results)
        return
    rows = [
        (name, *(f"{result[name]:.4g}" for result in results.values()))
        for name in next(iter(results.values()))
    ]
    print_table(("", *results), rows, right="l" + "r" * len(results))


if __name__ == "__main__":
    main()
