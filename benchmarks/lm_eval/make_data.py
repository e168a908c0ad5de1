"""Write stage data as the JSON lines that the tasks of this folder read, in the paper's prompts.

    python benchmarks/lm_eval/make_data.py --out work/lm-eval --flag-tuning work/data/tuning-test \
        --disassembly work/data/pairs-test --emulation work/data/emulation-test \
        --perplexity work/data/pretraining-test
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_compiler.dataset.stage_sample import StageSample, render_paper
from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples
from llm_compiler.output import write_atomically

TASKS = ("flag-tuning", "disassembly", "emulation", "perplexity")


def samples(folder: Path, limit: int) -> Iterator[StageSample]:
    left = limit
    for path in open_stored_stage(folder).paths:
        for sample in read_stage_samples(path):
            if left:
                left -= 1
                yield sample


def document(task: str, sample: StageSample) -> dict[str, Any]:
    origin = {"package": sample.package, "target_triple": sample.target_triple}
    if task == "perplexity":
        return {"text": sample.output_code, **origin}
    prompt = render_paper(sample)[0]
    found: dict[str, Any] = {"prompt": prompt, "answer": sample.output_code, **origin}
    if task == "flag-tuning":
        found["best"] = [sample.passes]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000, help="samples of each")
    for task in TASKS:
        parser.add_argument(f"--{task}", type=Path, metavar="STAGE_DATA")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        folder = getattr(options, task.replace("-", "_"))
        if folder is None:
            continue
        lines = [json.dumps(document(task, sample)) for sample in samples(folder, options.limit)]
        path = options.out / f"{task.replace('-', '_')}.jsonl"
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        print(f"{path}: {len(lines)} documents")


if __name__ == "__main__":
    main()
