"""Mutated IR and bitcode through the workers: does the front ever die or hang, and how do they end?

    python benchmarks/fuzz_inputs.py [--inputs 10000] [--seed 0]

Real modules are mutated by a seeded generator (bytes, lines, tokens, cuts), read and verified
(`InspectJob`), and what LLVM accepts is compiled (`EvaluateJob`). Prints the counts by outcome, the
seconds and the slowest step. tests/fuzz runs a smaller number of the same inputs.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import llm_compiler
from llm_compiler.console import print_table
from llm_compiler.llvm.module_jobs import EmitJob, EvaluateJob, Inspection, InspectJob
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import Measurement, PassList, Status
from llm_compiler.workers import LocalPool, run_jobs
from llm_compiler.workers.pool import WorkerPool

PROGRAMS = Path(llm_compiler.__file__).parent / "verify" / "programs"
UNITS = ("switch_dense.c", "recursion_mutual.c", "vectors_ext.c", "pointer_to_member.cpp")
LISTS = (
    PassList(("default<Oz>",)),
    PassList(("function(sroa<modify-cfg>)", "function(simplifycfg)", "cgscc(inline)")),
)
TIMEOUT_S = 5.0
_BATCH = 50
_TOKEN = re.compile(rb"[%@#!]?[A-Za-z0-9_.$]+|[^\sA-Za-z0-9]")
_WORDS = (
    *(b"i1", b"i7", b"i128", b"i8388607", b"ptr", b"undef", b"poison", b"zeroinitializer", b"0"),
    *(b"-1", b"4294967296", b"<4 x i32>", b"<vscale x 2 x i64>", b"float", b"x86_fp80", b"label"),
    *(b"void", b"token", b"metadata", b"null", b"volatile", b"atomic", b"musttail", b"inreg"),
    *(
        b"add",
        b"switch",
        b"phi",
        b"invoke",
        b"landingpad",
        b"indirectbr",
        b"call",
        b"getelementptr",
    ),
    *(b"byval(i32)", b"sret(i8)", b"addrspace(7)", b"align 4294967296", b"nounwind", b"@f", b"%0"),
)


def seed_modules(pool: WorkerPool) -> tuple[list[bytes], list[bytes]]:
    """Return the unmutated modules as text and as bitcode."""
    stock = Stock(toolchain=find_toolchain())
    bitcodes = []
    with tempfile.TemporaryDirectory() as folder:
        for name in UNITS:
            output = Path(folder) / (name + ".bc")
            source = PROGRAMS / name
            stock.compile_source(stock.frontend_command(source, output), source)
            bitcodes.append(output.read_bytes())
    job = EmitJob(modules=tuple(bitcodes), passes=PassList(), kind="text")
    return [item.data for item in run_jobs(pool, [job])[0]], bitcodes


def _mutate_text(text: bytes, rng: random.Random) -> bytes:
    lines = text.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        index = rng.randrange(len(lines))
        tokens = list(_TOKEN.finditer(lines[index]))
        kind = rng.random()
        if kind < 0.15:
            del lines[index]
            lines = lines or [b""]
        elif kind < 0.30:
            lines.insert(index, rng.choice(lines))
        elif kind < 0.40:
            other = rng.randrange(len(lines))
            lines[index], lines[other] = lines[other], lines[index]
        elif kind < 0.85 and tokens:
            # Exchange a token for one of the same file or for a word that LLVM knows.
            token = rng.choice(tokens)
            donors = list(_TOKEN.finditer(rng.choice(lines)))
            word = rng.choice(donors)[0] if donors and rng.random() < 0.6 else rng.choice(_WORDS)
            line = lines[index]
            lines[index] = line[: token.start()] + word + line[token.end() :]
        elif kind < 0.95:
            changed = bytearray(lines[index] or b" ")
            changed[rng.randrange(len(changed))] = rng.randrange(256)
            lines[index] = bytes(changed)
        else:
            lines = lines[: max(1, index)]
    return b"\n".join(lines)


def _mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    kind = rng.random()
    if kind < 0.1:
        return bytes(changed[: rng.randrange(4, len(changed))])
    if kind < 0.2:
        start = rng.randrange(4, len(changed))
        length = rng.randint(1, 64)
        return bytes(changed[:start] + changed[start + length :])
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        index = rng.randrange(4, len(changed))
        if rng.random() < 0.5:
            changed[index] ^= 1 << rng.randrange(8)
        else:
            changed[index] = rng.randrange(256)
    return bytes(changed)


def mutated_inputs(
    texts: Sequence[bytes], bitcodes: Sequence[bytes], count: int, seed: int
) -> Iterator[bytes]:
    """Yield inputs, text and bitcode in turn; the same for the same seed."""
    rng = random.Random(seed)
    for index in range(count):
        if index % 2:
            yield _mutate_bytes(rng.choice(bitcodes), rng)
        else:
            yield _mutate_text(rng.choice(texts), rng)


def run_inputs(pool: WorkerPool, inputs: Sequence[bytes]) -> tuple[Counter[str], float]:
    """Return how the inputs ended, and the seconds of the slowest evaluation.

    Each input counts once: ``inspect STATUS`` where LLVM does not accept it, ``compile STATUS`` for
    each list where it does.
    """
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    accepted: list[bytes] = []
    jobs = [
        InspectJob(inputs=tuple(inputs[start : start + _BATCH]), timeout_s=TIMEOUT_S)
        for start in range(0, len(inputs), _BATCH)
    ]
    for job, results in zip(jobs, run_jobs(pool, jobs), strict=True):
        found: Inspection
        for data, found in zip(job.inputs, results, strict=True):
            if found.status is Status.OK:
                accepted.append(data)
            else:
                outcomes[f"inspect {found.status}"] += 1
    evaluations = [
        EvaluateJob(bitcode=data, pass_lists=LISTS, timeout_s=TIMEOUT_S) for data in accepted
    ]
    results_of: dict[int, list[Measurement]] = {}
    tickets = {pool.submit(job): index for index, job in enumerate(evaluations)}
    for result in pool.results():
        index = tickets[result.ticket]
        if result.error is not None:
            # Accepted as a module, but for no target that there is: an error of its own.
            outcomes[f"compile {type(result.error).__name__}"] += 1
        elif not result.last:
            results_of.setdefault(index, []).append(result.value)
    for measurements in results_of.values():
        for measurement in measurements:
            outcomes[f"compile {measurement.status}"] += 1
            slowest = max(slowest, measurement.seconds)
    return outcomes, slowest


def main() -> None:
    """Run the inputs and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=None)
    options = parser.parse_args()
    start = time.monotonic()
    with LocalPool(options.jobs) as pool:
        inputs = list(mutated_inputs(*seed_modules(pool), options.inputs, options.seed))
        outcomes, slowest = run_inputs(pool, inputs)
    seconds = time.monotonic() - start
    rows = [(name, str(count)) for name, count in sorted(outcomes.items())]
    print_table(("outcome", "number"), rows, right="lr")
    print(
        f"\n{options.inputs} inputs in {seconds:.0f} s ({options.inputs / seconds:.0f}/s), slowest "
        f"compilation {slowest:.1f} s (limit {TIMEOUT_S:g} s); the front process is alive"
    )


if __name__ == "__main__":
    main()
