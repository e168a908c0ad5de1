"""Do the shipped pass lists keep the meaning of programs that nobody here wrote? GCC's own tests.

    apt-get source gcc-12   # and unpack gcc/testsuite out of the archive in it
    python benchmarks/gcc_torture.py TESTSUITE -o results.jsonl [--c-programs 300] [--lists 128]
        [--architecture x86_64] [--suites c coroutines eh template torture] [--seed S]
        [--function-wise N]

Run-time tests of ``gcc.c-torture/execute`` (a random draw) and of ``g++.dg`` (all) are compiled
with each list, linked into few executables and run beside their clang -O0 builds; a test that does
not do right at clang -Oz, or that clang does not accept, is left out. Objects that were seen before
need no run. With --function-wise, every test is instead assembled N times, each time from functions
that have lists and recipes drawn at random. What was done is one line of the results: a run that
was stopped goes on. GCC's tests are not part of this package.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.records import OZ, PassList, Recipe
from llm_compiler.search.coreset import load_coreset
from llm_compiler.user_folders import cache_folder
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import Program, Suite
from llm_compiler.workers import LocalPool

_OLD = re.compile(r"\)\s*throw\s*\(")
_RUNS = re.compile(r"dg-do\s+run")
_OPTIONS = re.compile(r'dg-(?:additional-)?options\s+"([^"]*)"')
_KEPT = re.compile(
    r"-f(?:no-)?(?:wrapv|strict-aliasing|signed-char|unsigned-char|common|exceptions)$"
)
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Where the tests of one kind are, and how they are compiled."""

    folder: str
    language: str
    flags: tuple[str, ...]
    only_marked: bool = True
    """Only files that say that they are to be run; in the others, running is the rule."""
    old: bool | None = None
    """Only the tests with dynamic exception specifications, which C++17 has no more, or only those
    without; None: all."""


KINDS = {
    "c": Kind(
        folder="gcc.c-torture/execute",
        language="c",
        flags=("-std=gnu89", "-fno-strict-return"),
        only_marked=False,
    ),
    "coroutines": Kind(folder="g++.dg/coroutines/torture", language="c++", flags=("-std=c++20",)),
    "eh": Kind(folder="g++.dg/eh", language="c++", flags=("-std=c++17",), old=False),
    "eh98": Kind(folder="g++.dg/eh", language="c++", flags=("-std=gnu++98",), old=True),
    "template": Kind(folder="g++.dg/template", language="c++", flags=("-std=c++17",)),
    "torture": Kind(folder="g++.dg/torture", language="c++", flags=("-std=c++17",)),
}


@dataclass(slots=True)
class Tally:
    """What became of one suite."""

    num_programs: int = 0
    num_lists: int = 0
    broken: Counter[str] = field(default_factory=Counter)


def tests_of(name: str, testsuite: Path, limit: int, seed: int) -> Suite:
    """Return the run-time tests of one kind, at most `limit` (0: all), drawn by `seed`."""
    kind = KINDS[name]
    folder = (testsuite / kind.folder).resolve()
    programs = []
    for path in sorted(folder.glob("*.[cC]")):
        source = path.read_bytes().decode("latin-1")
        if kind.only_marked and not _RUNS.search(source):
            continue
        if kind.old not in (None, bool(_OLD.search(source))):
            continue
        options = [word for text in _OPTIONS.findall(source) for word in text.split()]
        programs.append(
            Program(
                name=f"{name}_{_NOT_A_NAME.sub('_', path.stem)}",
                source=source,
                language=kind.language,
                flags=(*kind.flags, "-I", str(folder), *(w for w in options if _KEPT.match(w))),
            )
        )
    if limit and len(programs) > limit:
        programs = random.Random(seed).sample(programs, limit)
    return Suite(name=name, programs=tuple(sorted(programs, key=lambda program: program.name)))


def run_suite(
    suite: Suite,
    lists: Sequence[PassList],
    options: argparse.Namespace,
    done: dict[tuple[str, str, str], dict[str, str]],
) -> Tally:
    """Put all lists to one suite; append a line to the results for each."""
    tally = Tally()
    architecture = options.architecture
    with (
        LocalPool(options.jobs) as pool,
        PassListEval(
            suite,
            architectures=[architecture],
            pool=pool,
            cache_dir=options.cache,
            refusals=not options.without_refusals,
        ) as evaluation,
    ):
        unfit = (
            evaluation.skipped[architecture].keys() | evaluation.failures(OZ)[architecture].keys()
        )
        tally.num_programs = len(suite) - len(unfit)
        print(f"{suite.name}: {tally.num_programs} of {len(suite)} tests can serve", flush=True)
        for number, passes in enumerate(lists):
            key = (suite.name, architecture, passes.text)
            start = time.monotonic()
            if key not in done:
                found = evaluation.failures(passes)[architecture]
                done[key] = {name: why for name, why in found.items() if name not in unfit}
                row = {
                    "suite": suite.name,
                    "architecture": architecture,
                    "number": number,
                    "list": passes.text,
                    "programs": tally.num_programs,
                    "failures": done[key],
                    "seconds": round(time.monotonic() - start, 1),
                }
                with options.output.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
            tally.num_lists += 1
            for name, why in done[key].items():
                tally.broken[f"{name}: {why[:90]}"] += 1
                print(f"  list {number} breaks {name}: {why}", flush=True)
    return tally


def assemble_suite(
    suite: Suite,
    recipes: Sequence[Recipe],
    options: argparse.Namespace,
    done: dict[tuple[str, str, str], dict[str, str]],
) -> None:
    """Assemble all programs of one suite from random recipes, once for each seed; run them."""
    architecture = options.architecture
    with (
        LocalPool(options.jobs) as pool,
        PassListEval(
            suite, architectures=[architecture], pool=pool, cache_dir=options.cache
        ) as evaluation,
    ):
        unfit = (
            evaluation.skipped[architecture].keys() | evaluation.failures(OZ)[architecture].keys()
        )
        print(
            f"{suite.name}: {len(suite) - len(unfit)} of {len(suite)} tests can serve", flush=True
        )
        for seed in range(options.seed, options.seed + options.function_wise):
            key = (suite.name, architecture, f"function-wise {seed}")
            if key in done:
                continue
            found = evaluation.check_assemblies(recipes, seed)[architecture]
            failures = {name: why for name, why in found.failures.items() if name not in unfit}
            left = [name for name in found.left if name not in unfit]
            row = {
                "suite": suite.name,
                "architecture": architecture,
                "list": key[2],
                "programs": len(suite) - len(unfit) - len(left),
                "left_whole": len(left),
                "failures": failures,
                "drawn": {name: found.drawn[name] for name in failures},
            }
            with options.output.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(
                f"{suite.name}, {architecture}, seed {seed}: {row['programs']} assembled, "
                f"{len(left)} left whole, {len(failures)} failures",
                flush=True,
            )
            for name, why in failures.items():
                print(f"  {name}: {why}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("testsuite", type=Path, help="gcc/testsuite")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--suites", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--c-programs", type=int, default=300)
    parser.add_argument("--lists", type=int, default=0, help="the first so many; 0: all")
    parser.add_argument("--architecture", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--function-wise", type=int, default=0, metavar="N")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument(
        "--without-refusals",
        action="store_true",
        help="lists that are refused for a kind of module are tried on it too",
    )
    options = parser.parse_args()
    lists = load_coreset().lists
    lists = lists[: options.lists] if options.lists else lists
    done: dict[tuple[str, str, str], dict[str, str]] = {}
    if options.output.exists():
        for line in options.output.read_text().splitlines():
            row = json.loads(line)
            done[row["suite"], row["architecture"], row["list"]] = row["failures"]
    for name in options.suites:
        limit = options.c_programs if name == "c" else 0
        suite = tests_of(name, options.testsuite, limit, options.seed)
        if options.function_wise:
            # Code is generated with one set of options, so attributes alone differ by function.
            recipes = load_coreset().recipes_for(options.architecture)
            assemble_suite(
                suite, [recipe for recipe in recipes if not recipe.options], options, done
            )
            continue
        tally = run_suite(suite, lists, options, done)
        print(
            f"{name}, {options.architecture}: {tally.num_programs} programs x {tally.num_lists} "
            f"lists, {sum(tally.broken.values())} failures"
        )
        for why, count in tally.broken.most_common():
            print(f"  {count:4} lists: {why}")


if __name__ == "__main__":
    main()
