"""``llm-compiler autotune``: search many modules, keep every measurement, resume after a stop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from llm_compiler.commands.options.autotune import AutotuneArguments
from llm_compiler.commands.pools import open_pool
from llm_compiler.console import (
    name_width,
    percent,
    print_error,
    print_json,
    print_table,
    progress,
    shorten,
    warn,
)
from llm_compiler.corpus.inputs import NamedModule, Selection, load_modules
from llm_compiler.errors import InputError, OutputError
from llm_compiler.llvm.module_jobs import EvaluateJob, RegistryJob
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.stock import Stock, parse_clang_flags
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import OZ, Measurement, content_hash
from llm_compiler.remote_output import local_copy
from llm_compiler.search.autotune import (
    Method,
    autotune_strategy,
    broadcast,
    find_constructs,
    measure_baselines,
    module_rng,
)
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import Objective, objective_named
from llm_compiler.search.store import Store
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.user_folders import data_folder
from llm_compiler.workers import num_local_processes, run_jobs
from llm_compiler.workers.pool import WorkerPool

__all__ = ["run"]


_ROOM_FOR_NUMBERS = 8
"""In a line of the table, where numbers are wider than their headers."""


def default_store() -> Path:
    """Return the user's own store of measurements; makes its folder.

    Raises:
        OutputError: the folder cannot be made.
    """
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    return folder / "measurements.db"


def run(options: AutotuneArguments) -> int:
    """Search, print one line a module; Ctrl-C keeps what was found."""
    toolchain = find_toolchain()
    flags = parse_clang_flags(options.clang_flags)
    for message in flags.notes:
        warn(message)
    stock = Stock(
        toolchain=toolchain,
        flags=flags,
        timeout_s=max(options.timeout_s, 60.0),
    )
    objective = objective_named(options.objective)
    with (
        local_copy(options.store or default_store()) as path,
        open_pool(options, options.jobs) as pool,
        Store(path, llvm_version=toolchain.version) as store,
    ):
        selection = Selection(
            split=options.split,
            limit=options.max_modules,
            max_bytes=options.max_bytes,
            min_size_bytes=options.min_size_bytes,
            max_size_bytes=options.max_size_bytes,
            seed=options.seed,
        )
        modules, failures = load_modules(
            options.inputs, stock, selection, jobs=num_local_processes(pool)
        )
        for _, error in failures:
            print_error(error)
        if not modules:
            raise InputError("none of the inputs compiles: there is nothing to search on")
        if options.replay:
            return _replay(modules, pool, store, objective, options)
        trials, baselines = _search(modules, pool, store, objective, options)
    _print(trials, baselines, objective, options)
    return failures[0][1].exit_code if failures else 0


def _search(
    modules: Sequence[NamedModule],
    pool: WorkerPool,
    store: Store,
    objective: Objective,
    options: AutotuneArguments,
) -> tuple[list[Trial], dict[str, Measurement]]:
    space: tuple[str, ...] = run_jobs(pool, [RegistryJob()])[0][0]
    coreset = load_coreset()
    pairs = []
    for module in modules:
        trial = Trial(
            bitcode=module.bitcode,
            budget=options.budget,
            objective=objective,
            name=module.name,
            timeout_s=options.timeout_s,
        )
        strategy = autotune_strategy(
            Method(options.method),
            space=space,
            budget=options.budget,
            rng=module_rng(options.seed, trial.module_hash),
            start=coreset.lists[: max(1, options.budget // 4)],
            weights=coreset.weights_for(space),
        )
        pairs.append((trial, strategy))
    find_constructs(pool, [trial for trial, _ in pairs])
    baselines = measure_baselines(pool, store, [trial for trial, _ in pairs])
    finished: list[Trial] = []
    counts: dict[int, int] = {}
    try:
        with progress(options.budget * len(modules), "searching") as bar:

            def show(trial: Trial) -> None:
                counts[id(trial)] = trial.num_evaluations
                baseline = baselines[trial.module_hash]
                note = f"{trial.name}: {trial.best_value}"
                if baseline.ok and trial.best_value:
                    saved = objective.of(baseline) - trial.best_value
                    note += f" ({percent(saved, objective.of(baseline))})"
                bar.update(sum(counts.values()), note)

            for trial in run_trials(pool, pairs, store=store, on_progress=show):
                finished.append(trial)
            if options.broadcast:
                for _ in broadcast(pool, finished, store=store, num_lists=options.broadcast):
                    pass
    except KeyboardInterrupt:
        warn("interrupted: what was measured is in the store; the same command goes on from there")
        finished = [trial for trial, _ in pairs if trial.num_evaluations]
    for trial in finished:
        baseline = baselines[trial.module_hash]
        store.describe(
            trial.module_hash,
            name=trial.name,
            target_triple="",
            baseline_size_bytes=baseline.size_bytes,
            baseline_text_data_bytes=baseline.text_data_bytes,
        )
    return finished, baselines


def _print(
    trials: Sequence[Trial],
    baselines: dict[str, Measurement],
    objective: Objective,
    options: AutotuneArguments,
) -> None:
    rows: list[tuple[str, ...]] = []
    lengths: list[int] = []
    lists: list[str] = []
    for trial in sorted(trials, key=lambda each_trial: each_trial.name):
        plain = baselines[trial.module_hash]
        before = objective.of(plain) if plain.ok else None
        after, best = trial.best_value, trial.best
        if before is not None and (after is None or before < after):
            # A small budget may find nothing: the yardstick itself was measured, too.
            after, best = before, OZ
        if options.json:
            print_json(
                {
                    "input": trial.name,
                    "module_hash": trial.module_hash,
                    "objective": options.objective,
                    "default_oz": before,
                    "best": after,
                    "passes": best.pipeline if best is not None else None,
                    "num_evaluations": trial.num_evaluations,
                }
            )
            continue
        saved = percent(before - after, before) if before and after is not None else ""
        cells = (trial.name, str(before or ""), str(after or ""), saved)
        rows.append(
            (
                *cells,
                str(trial.num_evaluations),
                str(len(best)) if best is not None else "",
            )
        )
        if best is not None:
            lengths.append(len(best))
            lists.append(f"{trial.name}: {best.pipeline}")
    if not options.json:
        header = ("module", OZ.pipeline, "best", "saved", "evaluations", "passes")
        room = name_width(sum(map(len, header[1:])) + 2 * len(header[1:]) + _ROOM_FOR_NUMBERS)
        rows = [(shorten(row[0], room), *row[1:]) for row in rows]
        print_table(header, rows, right="lrrrrr")
        if options.verbose:
            print("\n" + "\n".join(lists))
        if lengths:
            print(f"\nmean length of the best lists: {statistics.mean(lengths):.1f} passes")


def _replay(
    modules: Sequence[NamedModule],
    pool: WorkerPool,
    store: Store,
    objective: Objective,
    options: AutotuneArguments,
) -> int:
    """Measure each module's best stored list again; exit code 1 if a size differs."""
    start = time.monotonic()
    expected = []
    for module in modules:
        module_hash = content_hash(module.bitcode)
        known = {p: m for p, m in store.all_measurements(module_hash).items() if m.ok}
        if not known:
            warn(f"{module.name}: the store knows no list for it")
            continue
        best = min(known, key=lambda p: (objective.of(known[p]), len(p)))
        expected.append((module, module_hash, parse_recipe(best), known[best]))
    jobs = [
        EvaluateJob(bitcode=m.bitcode, pass_lists=(p,), module_hash=h) for m, h, p, _ in expected
    ]
    differing = 0
    rows = []
    for (module, _, passes, stored), results in zip(expected, run_jobs(pool, jobs), strict=True):
        now = results[0]
        same = now.ok and now.size_bytes == stored.size_bytes
        differing += not same
        found = str(now.size_bytes) if now.ok else now.status.value
        rows.append((module.name, str(stored.size_bytes), found, "same" if same else "DIFFERS"))
        if options.json:
            print_json(
                {
                    "input": module.name,
                    "stored_bytes": stored.size_bytes,
                    "replayed": found,
                    "same": same,
                    "passes": passes.text,
                }
            )
    if not options.json:
        print_table(("module", "stored", "replayed", ""), rows, right="lrr")
        print(
            f"\n{len(rows) - differing} of {len(rows)} the same, {time.monotonic() - start:.1f} s"
        )
    return 1 if differing else 0
