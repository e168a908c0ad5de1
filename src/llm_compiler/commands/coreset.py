"""``llm-compiler coreset``: build the fixed list of lists from a store, or show it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

from llm_compiler.commands.options.coreset import BuildArguments, ShowArguments
from llm_compiler.commands.pools import open_pool
from llm_compiler.console import print_json, print_table, progress, warn
from llm_compiler.corpus.inputs import NamedModule, Selection, load_modules
from llm_compiler.errors import InputError
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.targets import TARGETS, lifted_targets
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.output import check_writable, write_atomically
from llm_compiler.records import OZ, PassList, Verdict, VerdictKind, content_hash
from llm_compiler.search.coreset import (
    Coreset,
    collect_candidates,
    greedy,
    load_coreset,
    measure_candidates,
    pass_weights,
    refine,
    write_coreset,
)
from llm_compiler.search.objective import Objective, objective_named
from llm_compiler.search.store import Store
from llm_compiler.verify.checker import Checker
from llm_compiler.verify.verdicts import VerdictBook, write_verdicts
from llm_compiler.workers import WorkerPool, num_local_processes

__all__ = ["build", "known_verdicts", "show"]


def show(options: ShowArguments) -> int:
    """Print the lists in their order."""
    coreset = load_coreset(options.coreset)
    if options.json:
        for rank, pick in enumerate(coreset.picks, 1):
            print_json(
                {
                    "rank": rank,
                    "passes": pick.passes.pipeline,
                    "geomean_gain": pick.geomean_gain,
                    "total_gain": pick.total_gain,
                    "num_best": pick.num_best,
                }
            )
        return 0
    rows = [
        (
            str(rank),
            f"{100 * pick.geomean_gain:.2f} %",
            f"{100 * pick.total_gain:.2f} %",
            str(pick.num_best),
            pick.passes.pipeline,
        )
        for rank, pick in enumerate(coreset.picks, 1)
    ]
    header = (
        "#",
        "geomean gain up to here",
        "total gain",
        "modules it is new best on",
        "pass list",
    )
    print_table(header, rows, right="rrrr")
    print(f"\nLLVM {coreset.llvm_major}; gains on training modules over default<Oz> in process")
    for key, value in coreset.provenance.items():
        print(f"{key}: {value}")
    return 0


def build(options: BuildArguments) -> int:
    """Choose lists greedily from a store of measurements."""
    # Now, not after an hour of measuring.
    check_writable(options.output)
    check_writable(options.output.with_name("verdicts.jsonl"))
    toolchain = find_toolchain()
    objective = objective_named(options.objective)
    stock = Stock(toolchain=toolchain)
    with (
        open_pool(options, options.jobs) as pool,
        Store(options.store, llvm_version=toolchain.version) as store,
        Checker(toolchain=toolchain, pool=pool) as checker,
    ):
        known = {row[0] for row in store.modules()}
        selection = Selection(split=options.split)
        modules, _ = load_modules(options.corpus, stock, selection, jobs=num_local_processes(pool))
        tuned = [m for m in modules if content_hash(m.bitcode) in known]
        if not tuned:
            raise InputError(
                f"{options.store} has no measurements of these modules: "
                "run 'llm-compiler autotune' first"
            )
        hashes = [content_hash(module.bitcode) for module in tuned]
        candidates = collect_candidates(store, hashes, limit=options.max_candidates)
        rejected: set[str] = set()

        def accept(passes: PassList) -> bool:
            kinds = [
                checker.check(passes, triple)
                for triple in (each_target.triple for each_target in lifted_targets())
            ]
            if VerdictKind.REJECTED in kinds or VerdictKind.PASSED not in kinds:
                rejected.add(passes.pipeline)
                warn(f"rejected by PassListEval: {passes}")
                return False
            return True

        values, baselines = _measure(pool, store, tuned, candidates, objective)
        if options.refine_steps:
            # Unchecked at first: what is refined is checked when the final order is chosen.
            first = [p.passes for p in greedy(values, baselines, num_lists=options.refine_lists)]
            candidates += _refine(
                pool, store, checker, tuned, candidates, first, objective, options
            )
            values, baselines = _measure(pool, store, tuned, candidates, objective)
        picks = greedy(values, baselines, num_lists=options.num_lists, accept=accept)
    coreset = Coreset(
        llvm_major=toolchain.major,
        picks=tuple(picks),
        pass_weights=pass_weights(candidates),
        provenance={
            "built": datetime.now(UTC).date().isoformat(),
            "llvm_version": toolchain.version,
            "objective": objective.name,
            "num_modules": len(baselines),
            "num_candidates": len(candidates),
            "num_rejected": len(rejected),
            "packages": sorted({module.package for module in tuned if module.package}),
        },
    )
    write_coreset(coreset, options.output)
    verdicts = options.output.with_name("verdicts.jsonl")
    write_atomically(verdicts, write_verdicts(known_verdicts(coreset, toolchain.major)).encode())
    last = picks[-1] if picks else None
    gain = f", geomean gain {100 * last.geomean_gain:.2f} % on training modules" if last else ""
    print(f"{len(picks)} lists from {len(baselines)} modules{gain}: {options.output}")
    return 0


def known_verdicts(coreset: Coreset, llvm_major: int) -> list[Verdict]:
    """Return the verdicts on a coreset's lists, to be shipped beside it."""
    with VerdictBook() as book:
        found = [
            book.lookup(passes, llvm_major, architecture)
            for passes in coreset.lists
            for architecture in (target_record.name for target_record in TARGETS)
        ]
    return [verdict for verdict in found if verdict is not None]


def _measure(
    pool: WorkerPool,
    store: Store,
    modules: Sequence[NamedModule],
    candidates: Sequence[PassList],
    objective: Objective,
) -> tuple[list[dict[PassList, int]], list[int]]:
    """Return for each module what each candidate and default<Oz> make of it."""
    values, baselines = [], []
    with progress(len(modules), "measuring candidates") as bar:
        pairs = [(module.name, module.bitcode) for module in modules]
        trials = measure_candidates(pool, pairs, candidates, store, objective=objective)
        for done, trial in enumerate(trials, 1):
            bar.update(done, trial.name)
            plain = trial.value(OZ)
            if plain is None:
                continue
            baselines.append(plain)
            values.append({p: v for p in candidates if (v := trial.value(p)) is not None})
    return values, baselines


def _refine(
    pool: WorkerPool,
    store: Store,
    checker: Checker,
    modules: Sequence[NamedModule],
    candidates: Sequence[PassList],
    first: Sequence[PassList],
    objective: Objective,
    options: BuildArguments,
) -> list[PassList]:
    """Return the first lists improved over a sample of the modules."""
    rng = random.Random(0)
    sample = rng.sample(list(modules), min(len(modules), options.refine_modules))
    pairs = [(module.name, module.bitcode) for module in sample]
    _, baselines = _measure(pool, store, sample, [], objective)
    space = checker.search_space()
    counts = pass_weights(candidates)
    weights = [1.0 + counts.get(element, 0.0) for element in space]
    refined = []
    with progress(len(first), "refining") as bar:
        steps = refine(
            pool,
            pairs,
            first,
            baselines,
            space,
            rng,
            store=store,
            weights=weights,
            objective=objective,
            num_lists=len(first),
            num_steps=options.refine_steps,
        )
        for rank, passes, gain in steps:
            bar.update(rank + 1, f"geomean gain {100 * gain:.2f} %")
            refined.append(passes)
    return refined
