"""Which share of single wrong edits does the suite notice? Mutation testing of PassListEval.

    python benchmarks/wrong_edits.py [-o edits.jsonl] [--rounds 1] [--programs NAME...]

In every program one random place is made wrong as each kind of mistake would
(`llm_compiler.verify.wrong_edits`); default<Oz> follows, as after a wrong pass. A mutant whose
optimised module is one that is known to do right changes nothing and counts for nothing. One that
does not compile counts for nothing either: the compiler notices it. Of the rest, the share that the
program itself notices is the score. Where it notices nothing, a trap in the same place tells
whether any run comes there (`unreached`: mostly the library's error paths, and what a failed check
would do). The seeds are fixed; each edit done is one line of the output, and a run that was stopped
goes on.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from llm_compiler.llvm.module_jobs import EmitJob
from llm_compiler.records import OZ, PassList
from llm_compiler.user_folders import cache_folder
from llm_compiler.verify.pass_list_eval import PASSED, SAME, PassListEval
from llm_compiler.verify.suite import Suite, built_in_suite
from llm_compiler.verify.wrong_edits import WRONG_EDITS, edit_at_one_place, trap_at_the_place
from llm_compiler.workers import LocalPool, run_jobs

_ARCHITECTURE = "x86_64"


def texts_of(suite: Suite, pool: LocalPool, cache: Path) -> dict[str, str]:
    """Return the programs' modules as text, and see to it that what -Oz makes of them is known."""
    with PassListEval(suite, architectures=[_ARCHITECTURE], pool=pool, cache_dir=cache) as plain:
        unfit = {**plain.skipped[_ARCHITECTURE], **plain.failures(OZ)[_ARCHITECTURE]}
        for name, why in unfit.items():
            print(f"left out, since it fails at -Oz: {name}: {why}")
        names = [program.name for program in suite.programs if program.name not in unfit]
        modules = tuple(plain.prepared(_ARCHITECTURE, name)[1].bitcode for name in names)
    emitted = run_jobs(pool, [EmitJob(modules=modules, passes=PassList(), kind="text")])[0]
    return {name: item.data.decode() for name, item in zip(names, emitted, strict=True)}


def _round(
    suite: Suite,
    wrong: dict[str, str],
    pool: LocalPool,
    cache: Path,
) -> dict[str, str]:
    """Return what became of one mutant of each program."""
    with PassListEval(
        suite.subset(wrong),
        architectures=[_ARCHITECTURE],
        pool=pool,
        cache_dir=cache,
        transform=lambda name, _: wrong[name].encode(),
        program_timeout_s=1,
    ) as evaluation:
        return evaluation.outcomes(OZ)[_ARCHITECTURE]


def _class_of(outcome: str) -> str:
    if outcome in (SAME, PASSED):
        return {SAME: "same", PASSED: "missed"}[outcome]
    return "invalid" if outcome.startswith("compiler") else "noticed"


def _share(counts: Counter[str]) -> str:
    changed = counts["noticed"] + counts["missed"]
    return f"{counts['noticed']:5} of {changed:5} ({counts['noticed'] / max(1, changed):4.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("work/wrong_edits.jsonl"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--programs", nargs="+", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=cache_folder())
    options = parser.parse_args()
    suite = built_in_suite()
    if options.programs:
        suite = suite.subset(options.programs)
    hashes = {
        each_program.name: Suite(name="", programs=(each_program,)).hash[:12]
        for each_program in suite.programs
    }
    rows = []
    if options.output.exists():
        rows = [json.loads(line) for line in options.output.read_text().splitlines()]
    known = {(row["edit"], row["seed"], row["program"], row["hash"]): row for row in rows}
    found = []
    with LocalPool(options.jobs) as pool:
        texts: dict[str, str] | None = None
        for seed in range(options.rounds):
            for edit in WRONG_EDITS:
                todo = []
                for program, digest in hashes.items():
                    if row := known.get((edit.name, seed, program, digest)):
                        found.append(row)
                    else:
                        todo.append(program)
                if not todo:
                    continue
                texts = texts or texts_of(suite, pool, options.cache)
                mutants = {
                    name: edit_at_one_place(text, edit, seed=f"{seed}:{edit.name}:{name}")
                    for name, text in texts.items()
                    if name in todo
                }
                wrong = {name: text for name, text in mutants.items() if text != texts[name]}
                outcomes = _round(suite, wrong, pool, options.cache) if wrong else {}
                classes = {name: _class_of(outcome) for name, outcome in outcomes.items()}
                traps = {
                    name: trap_at_the_place(texts[name], edit, f"{seed}:{edit.name}:{name}")
                    for name, found_class in classes.items()
                    if found_class == "missed"
                }
                traps = {name: text for name, text in traps.items() if text != texts[name]}
                reached = _round(suite, traps, pool, options.cache) if traps else {}
                for name, outcome in reached.items():
                    if _class_of(outcome) in ("missed", "same"):
                        classes[name] = "unreached"
                for name in (name for name in todo if name in texts):
                    row = {
                        "edit": edit.name,
                        "seed": seed,
                        "program": name,
                        "hash": hashes[name],
                        "class": classes.get(name, "no place"),
                        "outcome": outcomes.get(name, ""),
                    }
                    found.append(row)
                    options.output.parent.mkdir(parents=True, exist_ok=True)
                    with options.output.open("a") as stream:
                        stream.write(json.dumps(row) + "\n")
                print(f"{edit.name}: {dict(Counter(classes.values()))}", flush=True)
    for heading in ("edit", "program"):
        print(f"\nnoticed, by {heading}")
        groups: dict[str, Counter[str]] = {}
        for row in found:
            groups.setdefault(row[heading], Counter())[row["class"]] += 1
        for name, counts in sorted(groups.items(), key=lambda key: key[0]):
            print(f"  {_share(counts)}  {name}")
    total = Counter(row["class"] for row in found)
    print(f"\n{_share(total)} of the edits that change what some run reaches are noticed")
    anywhere = Counter(noticed=total["noticed"], missed=total["missed"] + total["unreached"])
    print(f"{_share(anywhere)} of those that change the optimised module; {dict(total)}")


if __name__ == "__main__":
    main()
