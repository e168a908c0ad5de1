"""Which lists are tried on a unit, and the measuring of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.constructs import uncovered
from llm_compiler.llvm.jobs import EvaluateJob
from llm_compiler.llvm.refusals import never_allowed, refusal_of
from llm_compiler.model.engines.engine import Engine
from llm_compiler.optimization.assembly import assembly_wanted
from llm_compiler.optimization.choose import Built
from llm_compiler.optimization.records import OptimizeOptions, Proposer
from llm_compiler.optimization.settings import settings_for
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import OZ, PassList, Recipe, VerdictKind
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.search.minimize import minimize
from llm_compiler.search.objective import SIZE
from llm_compiler.search.strategies import fixed, in_rounds, in_sequence, local_search, until
from llm_compiler.search.trial import MeasurementStore, Strategy, Trial, run_trials
from llm_compiler.search.under_settings import under_settings
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["first_lists", "round_counts", "search_all"]

_SEARCH_SHARE = 0.85
"""Of the budget, for local search; the rest makes its winner shorter."""


def search_all(
    units: Sequence[Unit],
    options: OptimizeOptions,
    pool: WorkerPool,
    checker: Checker,
    coreset: Coreset | None,
    engine: Engine | None,
    store: MeasurementStore | None,
    on_progress: Callable[[Path, int, int], None],
) -> None:
    """Propose and measure lists for every unit; each unit's trial holds what was found.

    Args:
        engine: for `Proposer.MODEL`; None: the coreset proposes.
    """
    pairs: list[tuple[Trial, Strategy]] = []
    sources: dict[int, Path] = {}
    failed: list[ArtifactError] = []
    budget = options.candidates + options.budget
    for unit in units:
        if unit.stock.flags.baseline_only or budget == 0 or unit.inspection is None:
            continue
        if not unit.inspection.functions or unit.object_format != "ELF":
            continue  # nothing that a pass could shrink, or nothing that can be measured
        if missing := uncovered(unit.inspection.constructs):
            unit.warnings.append(
                f"clang -Oz stands: the module has {missing[0]}, which no self-testing program "
                "covers, so that no pass list is known to keep its meaning"
            )
            continue
        trial = Trial(
            bitcode=unit.bitcode_path.read_bytes(),
            budget=budget,
            objective=options.objective,
            name=str(unit.source),
            timeout_s=min(options.timeout_s, max(1.0, options.seconds)),
            seconds=options.seconds,
            with_symbols=assembly_wanted(options),
            constructs=unit.inspection.constructs,
        )
        strategy = _strategy(unit, trial, options, checker, coreset, engine, failed)
        if strategy is None:
            continue
        unit.trial = trial
        sources[id(trial)] = unit.source
        pairs.append((trial, strategy))

    if engine is not None:
        _measure_oz([(unit, unit.trial) for unit in units if unit.trial is not None], pool)

    def progress(trial: Trial) -> None:
        on_progress(sources[id(trial)], trial.num_evaluations, trial.budget)

    for trial in run_trials(pool, pairs, store=store, on_progress=progress):
        progress(trial)


def _measure_oz(trials: Sequence[tuple[Unit, Trial]], pool: WorkerPool) -> None:
    """Measure default<Oz> in process: what the model is told that sizes changed from.

    It is no candidate: clang -Oz's own object is.
    """
    jobs = [
        EvaluateJob(
            bitcode=trial.bitcode,
            pass_lists=(OZ,),
            timeout_s=trial.timeout_s,
            module_hash=trial.module_hash,
        )
        for _, trial in trials
    ]
    for (unit, _), results in zip(trials, run_jobs(pool, jobs), strict=True):
        unit.oz_size_bytes = results[0].size_bytes if results[0].ok else 0


def _strategy(
    unit: Unit,
    trial: Trial,
    options: OptimizeOptions,
    checker: Checker,
    coreset: Coreset | None,
    engine: Engine | None,
    failed: list[ArtifactError],
) -> Strategy | None:
    assert unit.inspection is not None
    constructs = unit.inspection.constructs
    start: Sequence[PassList] = starting_lists()
    weights = None
    space = [one for one in checker.search_space() if not never_allowed(one, constructs)]
    try:
        coreset = coreset or load_coreset()
        weights = coreset.weights_for(space)
    except ArtifactError as error:
        unit.warnings.append(str(error))
    from_coreset = options.proposer is not Proposer.SEARCH
    if from_coreset and coreset is not None:
        start = [
            passes
            for passes in coreset.lists
            if options.trust or checker.known(passes, unit.triple) is VerdictKind.PASSED
        ]
        allowed = [passes for passes in start if not refusal_of(passes, constructs)]
        if start and not allowed and not options.budget and not options.novel:
            unit.warnings.append(f"clang -Oz stands: {refusal_of(start[0], constructs)}")
            return None
        start = allowed
    novel, search = options.novel, options.budget > 0 or not from_coreset
    if (novel or search) and not options.trust:
        reason = checker.not_checkable(unit.triple)
        if reason and start and from_coreset:
            unit.warnings.append(f"only lists that have passed before are tried: {reason}")
        elif reason:
            start = ()
        novel, search = novel and not reason, search and not reason
    if not search and not (from_coreset and (start or novel)):
        unit.warnings.append(checker.why_unchecked(unit.triple))
        return None
    rng = module_rng(options.seed, trial.module_hash)
    settings = settings_for(unit, options, coreset)

    def passed(recipe: Recipe) -> bool:
        return options.trust or checker.known(recipe, unit.triple) is VerdictKind.PASSED

    if engine is not None:
        lists = _led_by_model(unit, replace(options, novel=novel), engine, start, failed)
    else:
        lists = fixed(start[: options.candidates])

    def probed(chosen: Recipe, value: int) -> None:
        # What the model is told that sizes changed from.
        if chosen.settings and options.objective is SIZE:
            unit.oz_size_bytes = value

    proposed = under_settings(
        lists,
        settings,
        num_evaluations=options.candidates,
        plain_value=options.objective.of(Built.of(unit.baseline_sizes)),
        passed=passed,
        on_probe=probed,
    )
    if from_coreset and not search:
        return proposed
    donors = start if from_coreset else ()
    # Short lists are often known already, and what is new is checked faster: the rest goes there.
    search = until(local_search(space, rng, weights=weights, donors=donors), _SEARCH_SHARE)
    return in_sequence(proposed, search, minimize(insertion=False))


def _led_by_model(
    unit: Unit,
    options: OptimizeOptions,
    engine: Engine,
    lists: Sequence[PassList],
    failed: list[ArtifactError],
) -> Strategy:
    """Return the coreset's first lists, then the model's choices among all passed ones.

    What the compiler made of the first ones tells the model more than the code does.

    Args:
        failed: what the engine failed with, for any unit; it is not asked again.
    """
    num_first = first_lists(options.candidates)

    def choose(trial: Trial, count: int) -> Sequence[PassList]:
        tried = [
            (passes, found.size_bytes if found.ok else -1) for passes, found in trial.known.items()
        ]
        chosen: list[PassList] = []
        if not failed:
            try:
                proposals = engine.propose(
                    unit.text,
                    unit.triple,
                    num_candidates=count,
                    lists=None if options.novel else lists,
                    oz_size_bytes=unit.oz_size_bytes,
                    tried=tried,
                    seed=options.seed,
                )
                chosen = [one.passes for one in proposals]
            except ArtifactError as error:
                # One time-out is enough: the other units do not ask again.
                failed.append(error)
                unit.warnings.append(f"the coreset chooses, since the model failed: {error}")
        unit.from_model.update(chosen)
        # Where the model names fewer lists, or none, the coreset's next ones are tried.
        known = {*trial.known, *chosen}
        rest = [one for one in lists if one not in known]
        return [*chosen, *rest[: count - len(chosen)]]

    rounds = in_rounds(choose, round_counts(options.candidates - num_first))
    return in_sequence(fixed(lists[:num_first]), rounds)


def first_lists(num_candidates: int) -> int:
    """Return how many of the candidates are the coreset's first lists, before the model chooses.

    Half of them, measured on packages held out of training (`EXPERIMENTS.md`): fewer tell the model
    less. A single candidate is the model's, which does better there than the coreset's first list.
    """
    return num_candidates // 2


def round_counts(num_candidates: int) -> list[int]:
    """Return how many lists each round of the model chooses.

    All at once: rounds of one, two or four lists saved no more, and each takes a forward pass.
    """
    return [num_candidates] if num_candidates else []
