"""The contest of flag tuning: every contender on every module at equal budgets.

Lists are measured in worker processes (`search.trial`), winners are chosen as `optimize` chooses
them (`winners`). Measurements are kept in a store, so that contenders share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llm_compiler.evaluate.flag_tuning.contenders import (
    PLAIN,
    Attempt,
    Contender,
    ContenderKind,
    contenders_of,
)
from llm_compiler.evaluate.flag_tuning.options import FlagTuningOptions, Protocol
from llm_compiler.evaluate.flag_tuning.prepare import TuningItem
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.flag_tuning.shipped import Product, ShippedOptimizer
from llm_compiler.evaluate.flag_tuning.winners import Chooser
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import (
    CLANG_BASELINE,
    IN_PROCESS_BASELINE,
    EvaluationModule,
)
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.model.engines.engine import Engine
from llm_compiler.records import Measurement, PassList, VerdictKind
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.labels import Ceiling
from llm_compiler.search.store import Store
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = ["Contest", "Fits", "run_contest"]

Fits = Callable[[Engine, EvaluationModule], bool]
_MODULES_PER_WORKER = 4
"""Modules that are done together, between two writes of the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What contenders share: modules' measurements, verdicts, choices.

    Args:
        fits: whether a module fits an engine's context; asked under the paper's protocol only.
        shipped: `optimize` itself, with each engine by its contender's name, where it takes part.
        ceilings: what the autotuner found, by module hash.
        is_late: whether no further modules are to be begun, given whether any were.
        say: shows what is under way.
    """

    options: FlagTuningOptions
    pool: WorkerPool
    checker: Checker
    store: Store
    coreset: Coreset
    engines: Sequence[Engine] = ()
    fits: Fits = lambda engine, module: True
    shipped: Mapping[str, ShippedOptimizer] = field(default_factory=dict)
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict)
    is_late: Callable[[bool], bool] = lambda begun: False
    say: Callable[[str], None] = lambda what: None


def run_contest(
    items: Sequence[TuningItem], contest: Contest
) -> Iterator[tuple[TuningItem, list[Row]]]:
    """Measure every contender on every module; yield each module with its rows.

    Any beginning of what is yielded is spread over targets and programs. What was under way when
    the run is killed is in the store, so that it is quick to do again.
    """
    contenders = contenders_of(
        contest.options.contenders,
        engines=contest.engines,
        coreset=contest.coreset,
        passed=_passed(contest),
        space=contest.checker.search_space(),
        fits=contest.fits
        if contest.options.protocol is Protocol.PAPER
        else lambda engine, module: True,
        seed=contest.options.seed,
    )
    chooser = Chooser(contest.checker, contest.options.objective, check=contest.options.check)
    ordered = draw_evenly(
        items,
        lambda item: architecture_of(item.module.target_triple),
        (lambda item: item.module.program, lambda item: item.key),
        seed=contest.options.seed,
    )
    size = max(1, contest.pool.num_workers * _MODULES_PER_WORKER)
    for start in range(0, len(ordered), size):
        if contest.is_late(start > 0):
            return
        yield from _rows_of(ordered[start : start + size], contenders, contest, chooser)


def _passed(contest: Contest) -> Callable[[EvaluationModule], Sequence[PassList]]:
    """Return which lists of the coreset may be tried on a module."""
    by_architecture: dict[str, tuple[PassList, ...]] = {}

    def passed(module: EvaluationModule) -> Sequence[PassList]:
        architecture = architecture_of(module.target_triple)
        if architecture not in by_architecture:
            by_architecture[architecture] = tuple(
                passes
                for passes in contest.coreset.lists
                if not contest.options.check
                or contest.checker.known(passes, module.target_triple) is VerdictKind.PASSED
            )
        return by_architecture[architecture]

    return passed


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a contender had tried at one budget, under the name of the row."""

    attempt: Attempt
    name: str
    budget: int
    tried: list[tuple[PassList, Measurement]]


def _rows_of(
    items: Sequence[TuningItem],
    contenders: Sequence[Contender],
    contest: Contest,
    chooser: Chooser,
) -> Iterator[tuple[TuningItem, list[Row]]]:
    shipped = _shipped_rows(items, contest)
    attempts: list[Attempt] = []
    for contender in contenders:
        attempts += _try(contender, items, contest)
        contest.say(contender.name)
    readings: dict[str, list[_Reading]] = {}
    for attempt in attempts:
        readings.setdefault(attempt.module.key, []).extend(_readings(attempt, contest.options))
    # The smallest outcomes are rebuilt side by side; `choose` asks for more where need be.
    tried = [
        (reading.attempt.module, reading.tried) for found in readings.values() for reading in found
    ]
    chooser.rebuild(tried, contest.pool.num_workers)
    for item in items:
        ceiling = contest.ceilings.get(item.module.module_hash)
        own = [_row(reading, chooser, ceiling) for reading in readings.get(item.key, ())]
        yield item, [*shipped[item.key], *own]


def _shipped_rows(items: Sequence[TuningItem], contest: Contest) -> dict[str, list[Row]]:
    """Return the rows of `optimize` itself, by the module's key."""
    rows: dict[str, list[Row]] = {item.key: [] for item in items}
    by_key = {item.key: item for item in items}
    for name, optimizer in contest.shipped.items():
        for budget in contest.options.budgets:
            contest.say(f"{name} {budget}")
            for module, product in optimizer.optimize([item.module for item in items], budget):
                ceiling = contest.ceilings.get(module.module_hash)
                row = _row_of(by_key[module.key].module, budget, ceiling)
                rows[module.key].append(_of_product(row, name, optimizer, product))
    return rows


def _of_product(row: Row, name: str, optimizer: ShippedOptimizer, product: Product) -> Row:
    return replace(
        row,
        contender=name,
        model=optimizer.model,
        num_evaluations=product.num_evaluations,
        num_assemblies=product.num_assemblies,
        passes=product.passes,
        recipe=product.recipe if not product.passes else "",
        size_bytes=product.sizes.size_bytes,
        text_data_bytes=product.sizes.text_data_bytes,
        verdict=product.verdict,
        compile_seconds=product.seconds,
        object_name=product.object_name,
    )


def _try(contender: Contender, items: Sequence[TuningItem], contest: Contest) -> list[Attempt]:
    budgets = contender.budgets(contest.options.budgets)
    attempts: list[Attempt] = []
    for budget in [max(budgets)] if contender.anytime else budgets:
        now = [
            Attempt(
                module=item.module,
                contender=contender,
                trial=Trial(
                    bitcode=item.module.bitcode,
                    budget=budget,
                    objective=contest.options.objective,
                    name=item.module.name,
                    module_hash=item.module.module_hash,
                    timeout_s=contest.options.timeout_s,
                ),
            )
            for item in items
        ]
        pairs = [
            (attempt.trial, contender.strategy(attempt, item.oz_size_bytes))
            for attempt, item in zip(now, items, strict=True)
        ]
        for trial in run_trials(contest.pool, pairs, store=contest.store):
            contest.say(f"{contender.name} {trial.name}")
        attempts += now
    return attempts


def _readings(attempt: Attempt, options: FlagTuningOptions) -> Iterator[_Reading]:
    tried = list(attempt.trial.known.items())
    contender = attempt.contender
    if contender.kind is ContenderKind.PLAIN:
        for name, passes in PLAIN.items():
            yield _Reading(attempt, name, 1, [(passes, attempt.trial.known[passes])])
        yield _Reading(attempt, "best of -Oz, -Os, -O2", len(PLAIN), tried)
    elif contender.anytime:
        for budget in contender.budgets(options.budgets):
            yield _Reading(attempt, contender.name, budget, tried[:budget])
    else:
        yield _Reading(attempt, contender.name, attempt.trial.budget, tried)


def _row(reading: _Reading, chooser: Chooser, ceiling: Ceiling | None) -> Row:
    choice = chooser.choose(reading.attempt.module, reading.tried)
    return replace(
        _row_of(reading.attempt.module, reading.budget, ceiling),
        contender=reading.name,
        model=reading.attempt.contender.model,
        num_evaluations=len(reading.tried),
        passes=choice.passes.pipeline if choice.passes is not None else "",
        size_bytes=choice.sizes.size_bytes,
        text_data_bytes=choice.sizes.text_data_bytes,
        in_process_size_bytes=choice.in_process_size_bytes,
        verdict=choice.verdict,
        num_rejected=choice.num_rejected,
        compile_seconds=sum(measurement.seconds for _, measurement in reading.tried),
        model_seconds=reading.attempt.model_seconds,
    )


def _row_of(module: EvaluationModule, budget: int, ceiling: Ceiling | None) -> Row:
    """Return the row of a module on which nothing was tried."""
    assert module.baseline is not None
    return Row(
        suite=module.suite,
        module=module.name,
        module_hash=module.module_hash,
        program=module.program,
        target_triple=module.target_triple,
        num_functions=module.num_functions,
        num_instructions=module.num_instructions,
        baseline=CLANG_BASELINE if module.unit is not None else IN_PROCESS_BASELINE,
        flags=module.flags,
        baseline_size_bytes=module.baseline.size_bytes,
        baseline_text_data_bytes=module.baseline.text_data_bytes,
        contender="",
        model="",
        budget=budget,
        num_evaluations=0,
        passes="",
        size_bytes=module.baseline.size_bytes,
        text_data_bytes=module.baseline.text_data_bytes,
        in_process_size_bytes=-1,
        verdict="baseline",
        num_rejected=0,
        ceiling_size_bytes=ceiling.best_size_bytes if ceiling else -1,
        ceiling_text_data_bytes=ceiling.best_text_data_bytes if ceiling else -1,
        compile_seconds=0.0,
        model_seconds=0.0,
    )
