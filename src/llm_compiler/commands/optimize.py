"""``llm-compiler optimize``: inputs in, objects and a table (or JSON) out."""

from __future__ import annotations

import argparse
import contextlib
import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llm_compiler.console import (
    Table,
    note,
    percent,
    print_error,
    print_json,
    print_table,
    progress,
    warn,
)
from llm_compiler.errors import (
    ArtifactError,
    ConfigError,
    LlmCompilerError,
    ToolchainNotFound,
)
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.loader import load_engine, require_named_model
from llm_compiler.optimization.explain import Explanation
from llm_compiler.optimize import (
    Effort,
    Optimized,
    OptimizeOptions,
    OutputKind,
    Proposer,
    in_order,
    optimize_each,
)
from llm_compiler.output import check_writable, write_atomically
from llm_compiler.search.objective import objective_named
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

__all__ = ["run"]

_SUFFIX = {
    OutputKind.OBJECT: ".o",
    OutputKind.ASSEMBLY: ".s",
    OutputKind.BITCODE: ".bc",
    OutputKind.TEXT: ".ll",
}


def _kind(options: argparse.Namespace, flags: ClangFlags) -> OutputKind:
    """Return what to write; clang's own flags may say it too.

    Raises:
        ConfigError: both say it, and differ.
    """
    kind = OutputKind(options.kind or flags.kind or OutputKind.OBJECT)
    if options.kind and flags.kind and options.kind != flags.kind:
        raise ConfigError(
            f"the options ask for {kind.value}, and clang's flags for {flags.kind}: say it once"
        )
    if kind is OutputKind.BITCODE and options.output and options.output.suffix == ".ll":
        return OutputKind.TEXT
    return kind


def _output(options: argparse.Namespace, flags: ClangFlags) -> Path | None:
    """Return the output that ``-o`` names, in front of ``--`` or after it.

    Raises:
        ConfigError: both do, and differ.
    """
    output: Path | None = options.output
    if not flags.output:
        return output
    if output is not None and output != Path(flags.output):
        raise ConfigError(f"-o names {output}, and {flags.output} after --: say it once")
    return Path(flags.output)


def _outputs(files: Sequence[Path], output: Path | None, kind: OutputKind) -> list[Path]:
    """Name each input's output, and refuse names that would overwrite something of the user's.

    Raises:
        ConfigError: one -o for several inputs, two inputs with one output, output over an input.
    """
    if output is not None:
        if len(files) > 1:
            raise ConfigError("-o names one output, but there are several inputs")
        outputs = [output]
    elif kind is OutputKind.PASSES:
        return [Path("-") for _ in files]
    else:
        outputs = [Path(file.stem + _SUFFIX[kind]) for file in files]
        outputs = [
            out.with_suffix(".opt" + out.suffix) if out.resolve() == file.resolve() else out
            for out, file in zip(outputs, files, strict=True)
        ]
    inputs = {file.resolve(): file for file in files}
    seen: dict[Path, Path] = {}
    for out, file in zip(outputs, files, strict=True):
        if out.resolve() == file.resolve() and str(out) != "-":
            raise ConfigError(f"the output {out} would overwrite its own input")
        if out.resolve() in inputs and str(out) != "-":
            raise ConfigError(f"the output {out} of {file} would overwrite another input")
        if out.resolve() in seen:
            raise ConfigError(f"{seen[out.resolve()]} and {file} would both be written to {out}")
        seen[out.resolve()] = file
    return outputs


def run(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Optimise the files and print what was saved; return the first failure's exit code."""
    started = time.monotonic()
    flags = parse_clang_flags(clang_flags)
    options.output = _output(options, flags)
    kind = _kind(options, flags)
    outputs = _outputs(options.files, options.output, kind)
    for message in flags.notes:
        warn(message)
    proposer = _proposer(options)
    effort = Effort(options.effort or Effort.DEFAULT)
    if options.seconds is not None and options.effort is None:
        effort = Effort.MAX  # the seconds end it
    budget = effort.budget if options.budget is None else options.budget
    if options.candidates is not None and options.budget is None and options.effort is None:
        budget = 0
    settings = OptimizeOptions(
        candidates=effort.candidates if options.candidates is None else options.candidates,
        budget=budget,
        seconds=math.inf if options.seconds is None else options.seconds,
        objective=objective_named(options.objective),
        proposer=proposer,
        novel=options.novel,
        pass_lists_only=options.pass_lists_only,
        function_wise=options.function_wise,
        explain=options.explain,
        target_triple=options.target_triple,
        clang_flags=clang_flags,
        kind=kind,
        timeout_s=options.timeout_s,
        seed=options.seed,
        trust=options.trust,
    )
    if options.json and kind is not OutputKind.PASSES and any(str(o) == "-" for o in outputs):
        raise ConfigError("--json and -o - would both be written to standard output")
    for output in outputs:
        check_writable(output)
    require_named_model(options.engine, options.model)
    code = 0
    rows: list[Optimized] = []
    to_stdout = any(str(output) == "-" for output in outputs)
    table = None if options.json or to_stdout else _table(options.files, settings)
    done: dict[Path, int] = {}
    total = (settings.candidates + settings.budget) * len(options.files)
    with contextlib.ExitStack() as stack:
        engine = None
        if proposer is Proposer.MODEL:
            try:
                engine = load_engine(options.engine, options.model)
                stack.callback(engine.close)
            except (ArtifactError, ToolchainNotFound) as error:
                # No build shall fail for want of a model; only options that contradict each other
                # (ConfigError), and a folder that was named and is not there.
                warn(f"the coreset chooses, since the model failed: {error}")
                settings = replace(settings, proposer=Proposer.CORESET, novel=False)
        pool = stack.enter_context(LocalPool(options.jobs))
        checker = stack.enter_context(Checker(toolchain=find_toolchain(), pool=pool, notify=note))
        bar = stack.enter_context(progress(total, "optimizing"))

        def show(source: Path, evaluations: int, budget: int) -> None:
            done[source] = evaluations
            bar.update(sum(done.values()), source.name)

        results = optimize_each(
            options.files,
            settings,
            pool=pool,
            checker=checker,
            engine=engine,
            outputs=[
                # Replay commands make objects, where standard output or a list is asked for.
                Path(file.stem + _SUFFIX.get(kind, ".o"))
                if str(output) == "-" or kind is OutputKind.PASSES
                else output
                for file, output in zip(options.files, outputs, strict=True)
            ],
            on_progress=show,
        )
        if to_stdout:
            results = in_order(results)  # what is written there does not name its file
        for index, result in results:
            output = outputs[index]
            if isinstance(result, LlmCompilerError):
                print_error(result)
                code = code or result.exit_code
                continue
            sys.stderr.write(result.diagnostics)
            for message in result.warnings:
                if message not in flags.notes:
                    warn(f"{result.input}: {message}")
            try:
                if not (options.json and str(output) == "-"):
                    write_atomically(output, result.output)
            except LlmCompilerError as error:
                print_error(error)
                code = code or error.exit_code
                continue
            rows.append(result)
            if table is not None:
                table.add(_cells(result))
            if kind is OutputKind.PASSES and not options.json:
                _say_how(result, output)
            if options.json:
                elapsed = round(time.monotonic() - started, 3)
                print_json(result.to_json() | {"elapsed_seconds": elapsed})
    if table is not None and len(rows) > 1:
        table.add(_total(rows))
    if table is not None:
        for row in rows:
            if row.explanation is not None:
                _print_explanation(row.input, row.explanation)
    return code


def _say_how(result: Optimized, output: Path) -> None:
    """Say on standard error which commands make the promised size of a pass list."""
    assert result.passes is not None
    text = '"$LIST"' if str(output) == "-" else f'"$(cat {shlex.quote(str(output))})"'
    lines = [
        one.replace(shlex.quote(f"-passes={result.passes}"), f"-passes={text}")
        for one in result.replay
    ]
    print(f"llm-compiler: {result.input}: {result.optimized_bytes} bytes, by", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)


def _proposer(options: argparse.Namespace) -> Proposer | None:
    """Return what was asked for; None: the model, if there is one.

    Raises:
        ConfigError: options of a model with another proposer.
    """
    named = options.model is not None or options.engine != "embedded" or options.novel
    if options.proposer is not None:
        if named and options.proposer != Proposer.MODEL:
            raise ConfigError(
                f"--engine, --model and --novel are of --proposer model, not {options.proposer}"
            )
        return Proposer(options.proposer)
    return Proposer.MODEL if named else None


def _table(files: Sequence[Path], settings: OptimizeOptions) -> Table:
    header = ("file", f"-Oz {settings.objective.unit}", "ours", "saved", "evaluations", "pass list")
    name = max((str(file) for file in files), key=len)
    return Table(header, [(name, "12345678", "12345678", "12.3 %", "", "")], right="lrrrr")


def _cells(row: Optimized) -> tuple[str, ...]:
    return (
        row.input,
        str(row.baseline_value),
        str(row.optimized_value),
        percent(row.baseline_value - row.optimized_value, row.baseline_value),
        str(row.num_evaluations),
        _recipe_text(row),
    )


def _total(rows: Sequence[Optimized]) -> tuple[str, ...]:
    before = sum(row.baseline_value for row in rows)
    after = sum(row.optimized_value for row in rows)
    evaluations = sum(row.num_evaluations for row in rows)
    saved = percent(before - after, before)
    return ("total", str(before), str(after), saved, str(evaluations), "")


def _recipe_text(row: Optimized) -> str:
    if row.recipe is None:
        return "(clang -Oz)"
    whole = replace(row.recipe, functions=()).text
    count = len(row.recipe.functions)
    return f"{whole} (another for {count} function{'s'[: count > 1]})" if count else whole


def _print_explanation(name: str, explanation: Explanation) -> None:
    """Print the sections of both objects, and what each element of the recipe brings."""

    def words(sections: dict[str, int]) -> str:
        return ", ".join(f"{section} {count:+d}" for section, count in sections.items())

    names = sorted({*explanation.baseline, *explanation.optimized})
    before, after = explanation.baseline, explanation.optimized
    print(f"\n{name}, by section:")
    print_table(
        ("section", "-Oz bytes", "ours", "saved"),
        [
            (
                one,
                str(before.get(one, 0)),
                str(after.get(one, 0)),
                str(before.get(one, 0) - after.get(one, 0)),
            )
            for one in names
        ],
        right="lrrr",
    )
    print("\nwithout this element the object would take so much more:")
    print_table(
        ("bytes", "element", "of them"),
        [
            (str(one.saved_bytes), f"{one.kind} {one.element}", words(one.sections))
            for one in explanation.contributions
        ],
        right="rll",
    )
