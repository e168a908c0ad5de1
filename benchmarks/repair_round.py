"""What the second round of disassembly brings: as many answers, with and without repairs.

Functions of stage data (`llm-compiler dataset build disassembly --split validation`) at -Oz, as
many of each target as come, are lifted with some of the answers as repairs; answers are judged in
process and against the assembly in normal form.

    python benchmarks/repair_round.py work/data/disassembly-validation --functions 60 --repairs 0 3
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from llm_compiler.dataset.judge import JudgeJob
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.records import StageSample
from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples
from llm_compiler.disassembly.repair import RepairingEngine
from llm_compiler.errors import InputError
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.workers import LocalPool, run_jobs


def main() -> None:
    """Print a line a number of repairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", help="default: the shipped weights")
    parser.add_argument("--functions", type=int, default=60)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--repairs", type=int, nargs="+", default=[0, 3])
    options = parser.parse_args()
    samples: list[StageSample] = []
    for path in open_stored_stage(options.data).paths:
        for one in read_stage_samples(path):
            if one.passes != "default<Oz>" or len(samples) == options.functions:
                continue
            try:
                shorten_assembly(one.input_code, one.target_triple)
            except InputError:
                continue
            samples.append(one)
    engine = load_engine("embedded", options.model, threads=1)
    with engine, LocalPool(1) as pool:
        for repairs in options.repairs:
            counts: Counter[str] = Counter()
            start = time.monotonic()
            for one in samples:
                answers = RepairingEngine(engine, pool, repairs=repairs).disassemble(
                    one.input_code, one.target_triple, num_candidates=options.candidates
                )
                bodies = tuple(answer.body for answer in answers)
                job = JudgeJob(
                    assembly=one.input_code, target_triple=one.target_triple, bodies=bodies
                )
                judged = run_jobs(pool, [job])[0] if bodies else []
                exact = [place for place, found in enumerate(judged) if found.is_exact]
                counts["lower"] += any(found.lowers for found in judged)
                counts["exact"] += bool(exact)
                counts["by a repair"] += bool(exact) and answers[exact[0]].is_repair
                counts["repairs"] += sum(answer.is_repair for answer in answers)
            seconds = (time.monotonic() - start) / max(1, len(samples))
            print(
                f"{repairs} of {options.candidates} answers as repairs, {len(samples)} functions: "
                f"{counts['lower']} lower, {counts['exact']} exact ({counts['by a repair']} by one "
                f"of {counts['repairs']} repairs), {seconds:.2f} s each"
            )


if __name__ == "__main__":
    main()
