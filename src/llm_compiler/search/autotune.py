"""The autotuners: the paper's, and the better local search, as strategies of one budget each.

`paper`: random search, then minimisation with insertion search on the winner; the most frequent
winners are afterwards tried on every module (`broadcast`). `local`: a coreset (or the default
pipelines) first, local search from its best, then minimisation. `mixed`: `local` with random search
between the coreset and local search, for lists that lie far from the coreset. All see the same
modules, the same space of passes and the same count of evaluations.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from enum import StrEnum

from llm_compiler.llvm.module_jobs import EvaluateJob, InspectJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.records import OZ, Measurement, PassList
from llm_compiler.search.minimize import minimize
from llm_compiler.search.strategies import fixed, in_sequence, local_search, random_search
from llm_compiler.search.trial import Batch, MeasurementStore, Strategy, Trial, run_trials
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "Method",
    "autotune_strategy",
    "broadcast",
    "find_constructs",
    "first_part",
    "measure_baselines",
    "module_rng",
    "starting_lists",
]

_RANDOM_SHARE = 0.4
_MIXED_RANDOM_SHARE = 0.25
_MINIMIZE_SHARE = 0.2


class Method(StrEnum):
    """Which autotuner."""

    PAPER = "paper"
    LOCAL = "local"
    MIXED = "mixed"


def module_rng(seed: int, module_hash: str) -> random.Random:
    """Return the random numbers of one module's search: they depend on nothing else."""
    return random.Random(f"{seed}:{module_hash}")


def starting_lists() -> tuple[PassList, ...]:
    """Return the default pipelines that local search starts from where there is no coreset."""
    texts = (
        OZ.pipeline,
        "default<Os>",
        "lto-pre-link<Oz>",
        "thinlto-pre-link<Oz>",
        f"sroa,simplifycfg,instcombine,{OZ.pipeline}",
        f"{OZ.pipeline},simplifycfg<hoist-common-insts;sink-common-insts>,instcombine",
    )
    return tuple(parse_pass_list(text) for text in texts)


def first_part(strategy: Strategy, budget: int) -> Strategy:
    """Stop a strategy once the trial has used `budget` evaluations in all."""

    def limited(trial: Trial) -> Generator[Batch, None, None]:
        for batch in strategy(trial):
            room = budget - trial.num_evaluations
            if room <= 0:
                return
            yield batch[:room]

    return limited


def autotune_strategy(
    method: Method,
    *,
    space: Sequence[str],
    budget: int,
    rng: random.Random,
    start: Sequence[PassList] = (),
    weights: Sequence[float] | None = None,
) -> Strategy:
    """Return an autotuner's strategy for one module.

    Args:
        budget: evaluations in all, as the trial's; it is divided among the steps.
        start: the lists that `local` and `mixed` begin with; default: `starting_lists`.
    """
    if method is Method.PAPER:
        return in_sequence(
            first_part(random_search(space, rng), round(_RANDOM_SHARE * budget)),
            minimize(space, rng),
        )
    reserve = round(_MINIMIZE_SHARE * budget)
    first = tuple(dict.fromkeys(start or starting_lists()))
    parts = [fixed(first)]
    if method is Method.MIXED:
        num_random = round(_MIXED_RANDOM_SHARE * budget)
        parts.append(first_part(random_search(space, rng), len(first) + num_random))
    return in_sequence(
        *parts,
        first_part(local_search(space, rng, weights=weights, donors=start), budget - reserve),
        minimize(insertion=False),
        local_search(space, rng, weights=weights, donors=start),
    )


def find_constructs(pool: WorkerPool, trials: Sequence[Trial]) -> None:
    """Let trials know what their modules are made of (`Trial.constructs`)."""
    jobs = [InspectJob(inputs=(trial.bitcode,)) for trial in trials]
    for trial, (inspection, *_) in zip(trials, run_jobs(pool, jobs), strict=True):
        trial.constructs = inspection.constructs


def measure_baselines(
    pool: WorkerPool, store: MeasurementStore, trials: Sequence[Trial]
) -> dict[str, Measurement]:
    """Return what default<Oz> makes of each module, in process: the yardstick of a search.

    By module hash; asks the store first and tells it what is new.
    """
    found = {trial.module_hash: store.lookup(trial.module_hash, [OZ]) for trial in trials}
    missing = [trial for trial in trials if not found[trial.module_hash]]
    jobs = [
        EvaluateJob(
            bitcode=t.bitcode, pass_lists=(OZ,), module_hash=t.module_hash, timeout_s=t.timeout_s
        )
        for t in missing
    ]
    for trial, results in zip(missing, run_jobs(pool, jobs), strict=True):
        found[trial.module_hash] = {OZ: results[0]}
        store.record(trial.module_hash, found[trial.module_hash])
    return {module_hash: known[OZ] for module_hash, known in found.items()}


def broadcast(
    pool: WorkerPool,
    trials: Iterable[Trial],
    *,
    store: MeasurementStore | None = None,
    num_lists: int = 100,
) -> Iterator[Trial]:
    """Try the most frequent winners of finished trials on every one of them (the paper's step 4).

    Each trial's budget grows by what this costs; yields the trials again as they end.
    """
    trials = list(trials)
    winners = Counter(trial.best for trial in trials if trial.best is not None)
    lists = [passes for passes, _ in winners.most_common(num_lists)]
    for trial in trials:
        trial.budget = trial.num_evaluations + len(lists)
    yield from run_trials(pool, [(trial, fixed(lists)) for trial in trials], store=store)
