"""``llm-compiler optimize --whole-program``: all files in, one object to link out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from llm_compiler.commands.options.optimize import OptimizeArguments
from llm_compiler.console import note, percent, print_json, warn
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.sources import Source
from llm_compiler.optimize import OptimizeOptions
from llm_compiler.optimize_program import optimize_program
from llm_compiler.output import check_writable, write_atomically
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

__all__ = ["run_whole_program"]


def run_whole_program(
    options: OptimizeArguments,
    settings: OptimizeOptions,
    sources: Sequence[Source],
    output: Path | None,
) -> int:
    """Optimise the files as one program and say what was saved; return the exit code."""
    if output is None:
        raise ConfigError("--whole-program makes one object of all files: name it with -o OUT.o")
    if options.json and str(output) == "-":
        raise ConfigError("--json and -o - would both be written to standard output")
    if any(output.resolve() == source.file.resolve() for source in sources):
        raise ConfigError(f"the output {output} would overwrite an input")
    check_writable(output)
    with (
        LocalPool(options.jobs) as pool,
        Checker(toolchain=find_toolchain(), pool=pool, notify=note) as checker,
    ):
        result = optimize_program(
            sources,
            options.export or ("main",),
            settings,
            pool=pool,
            checker=checker,
            output=Path("program.o") if str(output) == "-" else output,
            notify=note,
        )
    sys.stderr.write(result.diagnostics)
    for message in result.warnings:
        warn(message)
    write_atomically(output, result.output)
    if options.json:
        print_json(result.to_json())
    elif str(output) != "-":
        saved = percent(result.baseline_value - result.optimized_value, result.baseline_value)
        print(
            f"{output}: {result.optimized_value} {settings.objective.unit} after linking, where "
            f"clang -Oz -flto has {result.baseline_value} ({saved} saved)"
        )
    return 0
