"""Which pass lists make another module from run to run? Every list, several times, by opt.

    python benchmarks/unstable_lists.py MODULE.bc... [--runs 3] [--lists LIST...] [-o rows.jsonl]

Each run is a process of its own, whose addresses differ: what a pass orders by pointers comes out
in another order. A list is stable on a module if all runs print the same bitcode. Finished lists
are lines of the output; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.process import run
from llm_compiler.search.coreset import load_coreset

_TIMEOUT_S = 60.0


def _digest(opt: Path, pipeline: str, module: Path) -> str:
    done = run(
        [opt, f"-passes={pipeline}", "--relocation-model=pic", module, "-o", "-"],
        timeout_s=_TIMEOUT_S,
    )
    return hashlib.blake2b(done.stdout, digest_size=8).hexdigest() if done.ok else "failed"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--containing", nargs="*", default=[], help="lists with one of these passes"
    )
    parser.add_argument("--lists", nargs="*", default=[], help="instead of the coreset's")
    parser.add_argument("-o", "--output", type=Path, default=Path("work/unstable.jsonl"))
    options = parser.parse_args()
    opt = find_toolchain().tool("opt")
    done = set()
    unstable = 0
    if options.output.exists():
        for line in options.output.read_text().splitlines():
            row = json.loads(line)
            done.add(row["list"])
            unstable += bool(row["unstable"])
    named = tuple(parse_pass_list(text) for text in options.lists)
    for number, passes in enumerate(named or load_coreset().lists):
        wanted = options.containing
        if passes.pipeline in done or (wanted and not any(w in passes.pipeline for w in wanted)):
            continue
        found = [
            module.name
            for module in options.modules
            if len({_digest(opt, passes.pipeline, module) for _ in range(options.runs)}) > 1
        ]
        unstable += bool(found)
        done.add(passes.pipeline)
        with options.output.open("a") as stream:
            row = {"number": number, "list": passes.pipeline, "unstable": found}
            stream.write(json.dumps(row) + "\n")
        if found:
            print(f"list {number} differs on {', '.join(found)}: {passes.pipeline}", flush=True)
    print(
        f"{unstable} of {len(done)} lists differ from run to run on {len(options.modules)} modules"
    )


if __name__ == "__main__":
    main()
