"""How much of real code the short form of lifting holds, and how much shorter it is.

    python benchmarks/short_form.py SAMPLES [--num N] [--seed S]

Draws functions of the train split, runs default<Oz>, and says for each target how many go to short
form and back with the same instructions, why the others do not, and the mean characters.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import Counter
from pathlib import Path

from llm_compiler.dataset.draws import Draw, DrawJob, Made
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.emulation import shorten_module
from llm_compiler.dataset.lifting.strip import body_of
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import InputError
from llm_compiler.workers import LocalPool, run_jobs


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-characters", type=int, default=12_000)
    arguments = parser.parse_args()
    samples = SampleSet(arguments.samples, kind="function")
    rng = random.Random(arguments.seed)
    counts: Counter[tuple[str, str]] = Counter()
    lengths: list[tuple[int, int, int, int]] = []
    emulated: list[tuple[int, int, int, int]] = []
    with LocalPool(1) as pool:
        for index in rng.sample(range(len(samples)), min(arguments.num, len(samples))):
            packed_sample = samples[index]
            target = packed_sample.target_triple.split("-")[0]
            made = [
                draw(
                    packed_sample.module,
                    packed_sample.target_triple,
                    stage,
                    pool,
                    arguments.max_characters,
                )
                for stage in ("disassembly", "emulation")
            ]
            pair = made[0].sample
            if pair is None:
                counts[target, made[0].cause] += 1
                continue
            try:
                short = shorten_assembly(pair.input_code, packed_sample.target_triple)
                body = body_of(pair.output_code, dict(short.symbols))
            except InputError as error:
                counts[target, str(error)[:60]] += 1
                continue
            counts[target, "in short form and back"] += 1
            whole = made[1].sample
            if whole is None:
                counts[target, f"emulation: {made[1].cause}"] += 1
                continue
            before, after = whole.input_code, whole.output_code
            lengths.append((len(pair.input_code), len(short.text), len(after), len(body)))
            try:
                module = shorten_module(before)
                emulated.append(
                    (len(before), len(module.body), len(after), len(module.shorten(after)))
                )
                counts[target, "emulation in short form"] += 1
            except InputError as error:
                counts[target, f"emulation: {str(error)[:60]}"] += 1
    for (target, what), number in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"{target:8} {number:5}  {what}")
    for name, rows in (("assembly, IR", lengths), ("before, behind the passes", emulated)):
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        print(
            f"{name}: "
            + ", ".join(f"{a:.0f} -> {b:.0f}" for a, b in zip(means[::2], means[1::2], strict=True))
            + " characters"
        )


def draw(module: bytes, triple: str, stage: str, pool: LocalPool, most: int) -> Made:
    """Make one sample of a module, as the stages do."""
    sample = StageSample(
        stage=stage,
        task="emulate-ir" if stage == "emulation" else stage,
        seed=0,
        index=0,
        draw=0,
        target_triple=triple,
        passes="default<Oz>",
    )
    each_draw = Draw(
        sample=sample,
        module=module,
        passes=("default<Oz>",),
        max_characters=most,
        max_instructions=20_000,
    )
    made: Made = run_jobs(pool, [DrawJob(draws=(each_draw,))])[0][0]
    return made


if __name__ == "__main__":
    main()
