"""``llm-compiler passes``: the pass registry, as the LLVM found has it."""

from __future__ import annotations

import argparse

from llm_compiler.console import print_json, print_table
from llm_compiler.llvm.jobs import RegistryJob
from llm_compiler.llvm.registry import all_entries
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.workers import LocalPool, run_jobs

__all__ = ["run"]


def run(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Print one line a pass: name, level, safe or why not."""
    toolchain = find_toolchain()
    with LocalPool(1) as pool:
        available = set(run_jobs(pool, [RegistryJob()])[0][0])
    rows = [
        one
        for one in all_entries()
        if (one.safe and one.element in available) or (not one.safe and options.all)
    ]
    if options.json:
        for one in rows:
            print_json(
                {
                    "pass": one.text,
                    "level": one.level.value,
                    "safe": one.safe,
                    "reason": one.reason,
                    "element": one.element,
                }
            )
        return 0
    print_table(
        ("pass", "level", "safe"),
        [(one.text, one.level.value, "safe" if one.safe else f"no: {one.reason}") for one in rows],
    )
    safe = sum(one.safe for one in rows)
    excluded = sum(not one.safe for one in all_entries())
    print(f"\n{safe} safe passes in LLVM {toolchain.version}; {excluded} excluded", end="")
    print("" if options.all else " ('llm-compiler passes --all' says why)")
    return 0
