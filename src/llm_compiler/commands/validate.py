"""``llm-compiler validate``: put pass lists to PassListEval, and keep the verdicts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from llm_compiler.commands.options.validate import ValidateArguments
from llm_compiler.commands.pools import open_pool
from llm_compiler.console import print_json, progress, warn
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.capi import load
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.refusals import kinds_refused
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.records import PassList, Verdict, VerdictKind, content_hash
from llm_compiler.search.coreset import load_coreset
from llm_compiler.user_folders import cache_folder, data_folder
from llm_compiler.verify.accepted import refuse_unreadable
from llm_compiler.verify.csmith import csmith_suite
from llm_compiler.verify.pass_list_eval import AssemblyCheck, PassListEval
from llm_compiler.verify.reproducer import minimize
from llm_compiler.verify.suite import Suite, built_in_suite, join_suites, load_suite
from llm_compiler.verify.sweep import sweep, sweep_entries
from llm_compiler.verify.target import ARCHITECTURES
from llm_compiler.verify.verdicts import VerdictBook
from llm_compiler.workers.pool import WorkerPool

__all__ = ["run", "unknown_recipes"]


def _suite(options: ValidateArguments, toolchain: Toolchain) -> Suite:
    suites = [load_suite(options.suite) if options.suite else built_in_suite()]
    if options.csmith:
        suites.append(
            csmith_suite(
                options.csmith,
                first_seed=options.seed or 1,
                toolchain=toolchain,
                cache_dir=cache_folder(),
            )
        )
    return join_suites(suites)


def run(options: ValidateArguments) -> int:
    """Check the lists; exit code 1 if a list is rejected, 0 if all pass."""
    if not (options.pass_lists or options.coreset or options.sweep or options.function_wise):
        raise ConfigError("name a pass list, --coreset, --sweep or --function-wise N")
    if options.recipes and not options.coreset:
        raise ConfigError("--recipes are those of --coreset")
    if options.minimize and not options.reproducer:
        raise ConfigError("--minimize needs --reproducer DIR to write to")
    lists = [parse_recipe(text) for text in options.pass_lists]
    if options.coreset:
        lists += load_coreset().lists
    toolchain = find_toolchain()
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(open_pool(options, options.jobs))
        refuse_unreadable(pool, lists)
        # The first time this takes a minute.
        with progress(None, "preparing the programs"):
            evaluation = stack.enter_context(
                PassListEval(
                    _suite(options, toolchain),
                    architectures=options.architectures or ARCHITECTURES,
                    pool=pool,
                    toolchain=toolchain,
                )
            )
        for architecture, reason in evaluation.not_checkable.items():
            warn(f"{architecture} is not checked: {reason}")
        if options.sweep:
            return _sweep(evaluation, options)
        if options.function_wise:
            return _assemble(evaluation, lists or load_coreset().lists, options)
        code = _check(evaluation, lists, options)
        if options.recipes:
            code = max(code, _check_recipes(pool, toolchain, options))
        return code


def _check_recipes(pool: WorkerPool, toolchain: Toolchain, options: ValidateArguments) -> int:
    """Check the coreset's recipes with attributes and options, each for its architecture only."""
    code = 0
    coreset = load_coreset()
    for architecture in options.architectures or ARCHITECTURES:
        recipes = [
            recipe for recipe in coreset.recipes_for(architecture) if not recipe.is_pass_list
        ]
        with PassListEval(
            _suite(options, toolchain),
            architectures=(architecture,),
            pool=pool,
            toolchain=toolchain,
        ) as evaluation:
            code = max(code, _check(evaluation, recipes, options))
    return code


def unknown_recipes(
    evaluation: PassListEval, lists: Sequence[PassList], book: VerdictBook
) -> list[PassList]:
    """Return the recipes that have no verdict yet on some architecture that can be checked."""
    major = evaluation.toolchain.major
    return [
        recipe
        for recipe in lists
        if any(book.lookup(recipe, major, name) is None for name in evaluation.checkable)
    ]


def _check(
    evaluation: PassListEval,
    lists: Sequence[PassList],
    options: ValidateArguments,
) -> int:
    rejected = 0
    # Only the built-in suite makes verdicts that `optimize` may rely on later.
    keep = options.suite is None
    num_programs = evaluation.num_programs_in_all
    with contextlib.ExitStack() as stack:
        book = stack.enter_context(VerdictBook())
        if options.recipes and keep:
            known = len(lists)
            lists = unknown_recipes(evaluation, lists, book)
            if known := known - len(lists):
                warn(f"{known} have a verdict of this LLVM and are not checked again")
        bar = stack.enter_context(progress(len(lists) * num_programs, "programs"))
        num_done = 0

        def show(what: str, done: int) -> None:
            bar.update(num_done * num_programs + done, f"list {num_done + 1}: {what}")

        evaluation.on_progress = show
        for passes, verdicts in evaluation.check_many(lists):
            num_done += 1
            bar.update(num_done * num_programs)
            for name, reason in unsafe_passes(passes):
                warn(f"'{name}' is not used by searches: {reason}")
            if options.pass_lists and (kinds := kinds_refused(passes)):
                warn(f"never used on modules with {'; '.join(kinds)}: {passes}")
            for verdict in verdicts.values():
                rejected += verdict.kind is VerdictKind.REJECTED
                if keep and verdict.kind is not VerdictKind.UNCHECKED:
                    book.record(verdict)
                _print(verdict, options)
                if verdict.kind is VerdictKind.REJECTED and options.reproducer:
                    _reproduce(evaluation, verdict, options)
    return 1 if rejected else 0


def _assemble(
    evaluation: PassListEval, lists: Sequence[PassList], options: ValidateArguments
) -> int:
    """Assemble all programs from random lists, once for each seed; exit code 1 if one breaks."""
    num_failures = 0
    first = options.seed or 1
    with progress(options.function_wise, "assembling") as bar:
        for done, seed in enumerate(range(first, first + options.function_wise), 1):
            for name, found in evaluation.check_assemblies(lists, seed).items():
                num_failures += len(found.failures)
                _print_assemblies(name, seed, found, options)
            bar.update(done)
    return 1 if num_failures else 0


def _print_assemblies(
    architecture: str, seed: int, found: AssemblyCheck, options: ValidateArguments
) -> None:
    if options.json:
        print_json(
            {
                "architecture": architecture,
                "seed": seed,
                "num_programs": found.num_programs,
                "left": dict(found.left),
                "failures": [
                    {"program": name, "reason": reason, "functions": found.drawn.get(name, "")}
                    for name, reason in found.failures.items()
                ],
            }
        )
        return
    for program, reason in found.failures.items():
        print(f"rejected  {architecture:8} seed {seed}: {program}: {reason}", flush=True)
    left = "; ".join(f"{name}: {reason}" for name, reason in found.left.items())
    print(
        f"{'rejected' if found.failures else 'passed':9} {architecture:8} seed {seed}: "
        f"{found.num_programs - len(found.failures)} of {found.num_programs} programs do right"
        + (f"; {len(found.left)} left whole ({left})" if left else ""),
        flush=True,
    )


def _print(verdict: Verdict, options: ValidateArguments) -> None:
    if options.json:
        print_json(
            {
                "passes": verdict.passes.text,
                "architecture": verdict.architecture,
                "llvm_major": verdict.llvm_major,
                "verdict": verdict.kind.value,
                "program": verdict.program,
                "reason": verdict.reason,
                "num_programs": verdict.num_programs,
            }
        )
        return
    why = f" by {verdict.program}: {verdict.reason}" if verdict.program else ""
    if verdict.kind is VerdictKind.UNCHECKED:
        why = f": {verdict.reason}"
    count = f" ({verdict.num_programs} programs)" if verdict.num_programs else ""
    print(
        f"{verdict.kind.value:9} {verdict.architecture:8} {verdict.passes}{why}{count}", flush=True
    )


def _reproduce(evaluation: PassListEval, verdict: Verdict, options: ValidateArguments) -> None:
    name = f"{verdict.architecture}-{verdict.program}-{content_hash(str(verdict.passes).encode())}"
    assert options.reproducer is not None
    reproducer = evaluation.save_reproducer(verdict, options.reproducer / name)
    warn(f"the program that shows it is in {reproducer.folder}")
    if options.minimize:
        warn(f"reduced to {minimize(reproducer, tool=options.minimize_with)}")


def _sweep(evaluation: PassListEval, options: ValidateArguments) -> int:
    # What was swept counts for these programs and architectures only.
    architectures = "-".join(sorted(options.architectures or ARCHITECTURES))
    path = data_folder() / f"sweep-{evaluation.suite.hash[:12]}-{architectures}.jsonl"
    entries = sweep_entries(load())
    rejected: dict[str, str] = {}
    seen: set[str] = set()
    with progress(len(entries), "sweeping") as bar:
        for row in sweep(evaluation, entries, path):
            seen.add(row.entry)
            bar.update(len(seen), row.entry)
            if row.kind == VerdictKind.REJECTED.value:
                rejected[row.entry] = (
                    f"{row.architecture}, {row.program}: {row.reason} ({row.pipeline})"
                )
            if options.json:
                print_json({"entry": row.entry, "passes": row.pipeline, "verdict": row.kind})
    if not options.json:
        for name, why in sorted(rejected.items()):
            print(f"rejected  {name}: {why}")
        print(f"{len(rejected)} of {len(seen)} passes rejected; every row is in {path}")
    return 1 if rejected else 0
