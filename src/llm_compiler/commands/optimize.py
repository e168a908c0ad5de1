"""``llm-compiler optimize``: inputs in, objects and a table (or JSON) out."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llm_compiler.commands.inputs import SUFFIX, collect_sources, name_outputs
from llm_compiler.commands.options.optimize import OptimizeArguments
from llm_compiler.commands.whole_program import run_whole_program
from llm_compiler.console import (
    Table,
    name_width,
    note,
    percent,
    print_error,
    print_json,
    print_table,
    progress,
    shorten,
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
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.registry import DEFAULT_ENGINE, engine_kind
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
from llm_compiler.option_fields import values_for
from llm_compiler.output import check_writable, make_folders, write_atomically
from llm_compiler.search.objective import FLASH, SIZE, objective_named
from llm_compiler.search.store import Store
from llm_compiler.signals import guarded
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

__all__ = ["run"]


def _kind(options: OptimizeArguments, flags: ClangFlags) -> OutputKind:
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


def _output(options: OptimizeArguments, flags: ClangFlags) -> Path | None:
    """Return the output that ``-o`` names, in front of ``--`` or after it.

    Raises:
        ConfigError: both do, and differ.
    """
    output = options.output
    if not flags.output:
        return output
    if output is not None and output != Path(flags.output):
        raise ConfigError(f"-o names {output}, and {flags.output} after --: say it once")
    return Path(flags.output)


def run(options: OptimizeArguments) -> int:
    """Optimise the files and print what was saved; return the first failure's exit code."""
    with contextlib.ExitStack() as stack:
        return _run(options, stack)


def _run(options: OptimizeArguments, stack: contextlib.ExitStack) -> int:
    started = time.monotonic()
    flags = parse_clang_flags(options.clang_flags)
    options = replace(options, output=_output(options, flags))
    kind = _kind(options, flags)
    if options.export and not options.whole_program:
        raise ConfigError("--export is of --whole-program: single objects offer what they define")
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
        objective=objective_named(options.objective or SIZE.name),
        objective_by_target=options.objective is None,
        proposer=proposer,
        kind=kind,
        **values_for(
            OptimizeOptions,
            options,
            *("novel", "pass_lists_only", "function_wise", "explain", "allow", "target_triple"),
            *("clang_flags", "timeout_s", "seed", "trust"),
        ),
    )
    sources = collect_sources(options.files, flags, lambda: _temporary_folder(stack))
    if options.whole_program:
        return run_whole_program(options, settings, sources, options.output)
    outputs = name_outputs(sources, kind, output=options.output, out_dir=options.out_dir)
    if options.json and kind is not OutputKind.PASSES and any(str(o) == "-" for o in outputs):
        raise ConfigError("--json and -o - would both be written to standard output")
    if options.out_dir is not None:
        make_folders(options.out_dir, outputs)
    for output in outputs:
        check_writable(output)
    engine_kind(options.engine).check_model(options.model)
    if options.store is not None and not options.store.is_file():
        raise ArtifactError(
            f"there is no store {options.store}: 'llm-compiler autotune --store' makes one"
        )
    for message in flags.notes:
        warn(message)
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
    toolchain = find_toolchain()
    pool = stack.enter_context(LocalPool(options.jobs))
    checker = stack.enter_context(Checker(toolchain=toolchain, pool=pool, notify=note))
    store = None
    if options.store is not None:
        store = stack.enter_context(Store(options.store, llvm_version=toolchain.version))
    total = (settings.candidates + settings.budget) * len(sources)
    bar = stack.enter_context(progress(total, "optimizing"))
    done: dict[Path, int] = {}

    def show(source: Path, evaluations: int, budget: int) -> None:
        done[source] = evaluations
        bar.update(sum(done.values()), source.name)

    results = optimize_each(
        sources,
        settings,
        pool=pool,
        checker=checker,
        engine=engine,
        store=store,
        outputs=[
            # Replay commands make objects, where standard output or a list is asked for.
            Path(each_source.stem + SUFFIX.get(kind, ".o"))
            if str(output) == "-" or kind is OutputKind.PASSES
            else output
            for each_source, output in zip(sources, outputs, strict=True)
        ],
        on_progress=show,
    )
    to_stdout = any(str(output) == "-" for output in outputs)
    if to_stdout:
        results = in_order(results)  # what is written there does not name its file
    shown = None
    if not options.json and not to_stdout:
        shown = _Shown([each_source.shown for each_source in sources], settings, options.verbose)
    warnings = _Warnings(flags.notes)
    stack.callback(warnings.close)
    code = 0
    for index, result in guarded(results):
        output = outputs[index]
        if isinstance(result, LlmCompilerError):
            print_error(result)
            code = code or result.exit_code
            continue
        sys.stderr.write(result.diagnostics)
        warnings.say(result.input, result.warnings)
        try:
            if not (options.json and str(output) == "-"):
                write_atomically(output, result.output)
        except LlmCompilerError as error:
            print_error(error)
            code = code or error.exit_code
            continue
        if shown is not None:
            shown.add(result)
        if kind is OutputKind.PASSES and not options.json:
            _say_how(result, output)
        if options.json:
            elapsed = round(time.monotonic() - started, 3)
            print_json(result.to_json() | {"elapsed_seconds": elapsed})
    if shown is not None:
        shown.total()
    return code


def _temporary_folder(stack: contextlib.ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))


class _Warnings:
    """Prints each warning once with its file; of how many more files it is true comes last."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = frozenset(known)
        self._counts: Counter[str] = Counter()

    def say(self, name: str, warnings: Sequence[str]) -> None:
        """Print the warnings of a file that were not printed before."""
        for message in warnings:
            if message in self._known:
                continue
            if not self._counts[message]:
                warn(f"{name}: {message}")
            self._counts[message] += 1

    def close(self) -> None:
        """Print what was left out."""
        for message, count in self._counts.items():
            if count > 1:
                warn(f"{count - 1} more files: {message}")


def _say_how(result: Optimized, output: Path) -> None:
    """Say on standard error which commands make the promised size of a pass list."""
    assert result.passes is not None
    text = '"$LIST"' if str(output) == "-" else f'"$(cat {shlex.quote(str(output))})"'
    lines = [
        word.replace(shlex.quote(f"-passes={result.passes}"), f"-passes={text}")
        for word in result.replay
    ]
    print(f"llm-compiler: {result.input}: {result.optimized_bytes} bytes, by", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)


def _proposer(options: OptimizeArguments) -> Proposer | None:
    """Return what was asked for; None: the model, if there is one.

    Raises:
        ConfigError: options of a model with another proposer.
    """
    named = options.model is not None or options.engine != DEFAULT_ENGINE or options.novel
    if options.proposer is not None:
        if named and options.proposer != Proposer.MODEL:
            raise ConfigError(
                f"--engine, --model and --novel are of --proposer model, not {options.proposer}"
            )
        return Proposer(options.proposer)
    return Proposer.MODEL if named else None


class _Shown:
    """The table that people see, a row at a time; recipes only if they are wanted.

    Of results only numbers are kept: there may be thousands.

    Args:
        names: of all files that will come.
    """

    def __init__(self, names: Sequence[str], settings: OptimizeOptions, verbose: bool) -> None:
        self._count = 0
        self._sums = [0, 0, 0]
        self._ram_bytes: list[int] = []
        self._explanations: list[tuple[str, Explanation]] = []
        self._verbose = verbose
        header = ("file", f"-Oz {settings.objective.unit}", "ours", "saved", "evaluations", "by")
        wide = ("total", "12345678", "12345678", "12.3 %", "evaluations", "clang -Oz")
        widths = [max(map(len, pair)) for pair in zip(header, wide, strict=True)]
        self._room = name_width(sum(widths[1:]) + 2 * len(widths[1:]))
        widest = max((shorten(name, self._room) for name in (*names, "total")), key=len)
        self._table = Table(header, [(widest, *wide[1:])], right="lrrrr")

    def add(self, row: Optimized) -> None:
        """Print a result."""
        self._count += 1
        numbers = (row.baseline_value, row.optimized_value, row.num_evaluations)
        self._sums = [total + number for total, number in zip(self._sums, numbers, strict=True)]
        if row.explanation is not None:
            self._explanations.append((row.input, row.explanation))
        if row.objective is FLASH:
            before, after = self._ram_bytes or (0, 0)
            self._ram_bytes = [before + row.baseline_ram_bytes, after + row.optimized_ram_bytes]
        by = "clang -Oz" if row.verdict == "baseline" else row.proposer
        self._line(row.input, *numbers, by)
        if self._verbose and row.recipe is not None:
            print(f"  {row.recipe.text}", flush=True)

    def total(self) -> None:
        """Print the sum of several results, and the explanations that were asked for."""
        if self._count > 1:
            before, after, evaluations = self._sums
            self._line("total", before, after, evaluations, "")
        if self._ram_bytes:
            before, after = self._ram_bytes
            print(f"flash above; RAM (.data + .bss): {before} bytes by clang -Oz, {after} ours")
        for name, explanation in self._explanations:
            _print_explanation(name, explanation)

    def _line(self, name: str, before: int, after: int, evaluations: int, by: str) -> None:
        numbers = (str(before), str(after), percent(before - after, before), str(evaluations))
        self._table.add((shorten(name, self._room), *numbers, by))


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
                word,
                str(before.get(word, 0)),
                str(after.get(word, 0)),
                str(before.get(word, 0) - after.get(word, 0)),
            )
            for word in names
        ],
        right="lrrr",
    )
    print("\nwithout this element the object would take so much more:")
    print_table(
        ("bytes", "element", "of them"),
        [
            (
                str(contribution.saved_bytes),
                f"{contribution.kind} {contribution.element}",
                words(contribution.sections),
            )
            for contribution in explanation.contributions
        ],
        right="rll",
    )
