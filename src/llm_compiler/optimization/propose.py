"""Which lists are tried on a unit, and the measuring of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from llm_compiler.errors import ArtifactError
from llm_compiler.optimization.records import OptimizeOptions, Proposer
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import PassList, VerdictKind
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.search.strategies import fixed, in_sequence, local_search
from llm_compiler.search.trial import MeasurementStore, Strategy, Trial, run_trials
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = ["search_all"]


def search_all(
    units: Sequence[Unit],
    options: OptimizeOptions,
    pool: WorkerPool,
    checker: Checker,
    coreset: Coreset | None,
    store: MeasurementStore | None,
    on_progress: Callable[[Path, int, int], None],
) -> None:
    """Propose and measure lists for every unit; each unit's trial holds what was found."""
    pairs: list[tuple[Trial, Strategy]] = []
    sources: dict[int, Path] = {}
    budget = options.candidates + options.budget
    for unit in units:
        if unit.stock.flags.baseline_only or budget == 0 or unit.inspection is None:
            continue
        if not unit.inspection.functions:
            continue  # nothing that a pass could shrink
        trial = Trial(
            bitcode=unit.bitcode_path.read_bytes(),
            budget=budget,
            objective=options.objective,
            name=str(unit.source),
            timeout_s=options.timeout_s,
        )
        strategy = _strategy(unit, trial, options, checker, coreset)
        if strategy is None:
            continue
        unit.trial = trial
        sources[id(trial)] = unit.source
        pairs.append((trial, strategy))

    def progress(trial: Trial) -> None:
        on_progress(sources[id(trial)], trial.num_evaluations, trial.budget)

    for trial in run_trials(pool, pairs, store=store, on_progress=progress):
        progress(trial)


def _strategy(
    unit: Unit,
    trial: Trial,
    options: OptimizeOptions,
    checker: Checker,
    coreset: Coreset | None,
) -> Strategy | None:
    start: Sequence[PassList] = starting_lists()
    weights = None
    space = checker.search_space()
    try:
        coreset = coreset or load_coreset()
        weights = coreset.weights_for(space)
    except ArtifactError as error:
        unit.warnings.append(str(error))
    if options.proposer is Proposer.CORESET and coreset is not None:
        start = [
            passes
            for passes in coreset.lists
            if options.trust or checker.known(passes, unit.triple) is VerdictKind.PASSED
        ]
        if not start and not options.budget:
            unit.warnings.append(checker.why_unchecked(unit.triple))
            return None
    rng = module_rng(options.seed, trial.module_hash)
    proposed = fixed(start[: options.candidates])
    if options.proposer is Proposer.CORESET and not options.budget:
        return proposed
    donors = start if options.proposer is Proposer.CORESET else ()
    return in_sequence(proposed, local_search(space, rng, weights=weights, donors=donors))
