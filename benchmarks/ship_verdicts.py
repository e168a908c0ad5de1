"""Add the verdicts on recipes that ship, from a user's own book, to those that ship with them.

    llm-compiler validate --coreset --recipes --architecture riscv64
    python benchmarks/ship_verdicts.py

The book is the one that `validate` writes into, in the user's data folder. A verdict that ships
already is replaced; verdicts on recipes that do not ship are left out. Prints how many of each
target's recipes are judged now.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import llm_compiler
from llm_compiler.llvm.targets import TARGETS
from llm_compiler.output import write_atomically
from llm_compiler.records import Verdict, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.user_folders import data_folder
from llm_compiler.verify.verdicts import VerdictBook, read_verdicts, write_verdicts

SHIPPED = Path(llm_compiler.__file__).parent / "data" / "verdicts.jsonl"


def key(verdict: Verdict) -> tuple[str, int, str]:
    """Return what there is one verdict for."""
    return verdict.passes.text, verdict.llvm_major, verdict.architecture


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--book", type=Path, default=data_folder() / "verdicts.db")
    parser.add_argument("--file", type=Path, default=SHIPPED, help="the verdicts that ship")
    options = parser.parse_args()
    coreset = load_coreset()
    wanted = {
        target.name: {recipe.text for recipe in coreset.recipes_for(target.name)}
        for target in TARGETS
    }
    known = {key(v): v for v in read_verdicts(options.file.read_text(), options.file.name)}
    before = len(known)
    with VerdictBook(options.book, shipped="") as book:
        for verdict in book.own():
            is_wanted = verdict.passes.text in wanted.get(verdict.architecture, ())
            if is_wanted and verdict.llvm_major == coreset.llvm_major:
                known[key(verdict)] = verdict
    write_atomically(options.file, write_verdicts(known.values()).encode())
    print(f"{len(known) - before} verdicts added, {len(known)} in {options.file.name}")
    for name, recipes in wanted.items():
        judged = [v for v in known.values() if v.architecture == name and v.passes.text in recipes]
        passed = sum(v.kind is VerdictKind.PASSED for v in judged)
        programs = {v.num_programs for v in judged}
        print(f"{name:14} {passed} passed of {len(judged)} judged of {len(recipes)}; {programs}")


if __name__ == "__main__":
    main()
