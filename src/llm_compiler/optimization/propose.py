"""Which lists are tried on a unit, and the measuring of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from llm_compiler.errors import ArtifactError, InputError
from llm_compiler.llvm.constructs import uncovered
from llm_compiler.llvm.jobs import EvaluateJob
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.refusals import never_allowed, refusal_of
from llm_compiler.model.engines.engine import Engine
from llm_compiler.optimization.assembly import assembly_wanted
from llm_compiler.optimization.choose import Built, outcomes
from llm_compiler.optimization.records import OptimizeOptions, OutputKind, Proposer
from llm_compiler.optimization.settings import extras_for, searched_settings, settings_for
from llm_compiler.optimization.unit import Found, Unit
from llm_compiler.records import OZ, Measurement, PassList, Recipe, VerdictKind
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.search.minimize import minimize
from llm_compiler.search.objective import SIZE
from llm_compiler.search.strategies import fixed, in_rounds, in_sequence, local_search, until
from llm_compiler.search.trial import MeasurementStore, Strategy, Trial, run_trials
from llm_compiler.search.under_settings import under_settings
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import PoolInterrupted, WorkerPool, run_jobs

__all__ = ["ProposingModel", "Searcher", "first_lists", "round_counts"]

_SEARCH_SHARE = 0.85
"""Of the budget, for local search; the rest makes its winner shorter."""
_MIN_LISTS_UNDER_SETTINGS = 32
"""So many passed lists are choice enough for 16 evaluations."""
_MAX_STORED = 8
"""Results that are taken from a store, best first: the first that passes counts."""
_INTERRUPTED = "interrupted: this is the best found until then"


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What is known of recipes for a target."""

    checker: Checker
    triple: str

    def known(self, recipe: Recipe) -> VerdictKind:
        """Return the verdict, without running anything."""
        return self.checker.known(recipe, self.triple)


class ProposingModel:
    """An engine that threads share: one question at a time, and none after it has failed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._failed = False

    def propose(
        self,
        unit: Unit,
        trial: Trial,
        count: int,
        *,
        lists: Sequence[PassList] | None,
        oz_size_bytes: int,
        seed: int,
    ) -> list[PassList]:
        """Return the lists that the model chooses; none where it has failed before.

        Raises:
            ArtifactError: it fails now.
        """
        tried = [
            (passes, found.size_bytes if found.ok else -1) for passes, found in trial.known.items()
        ]
        with self._turn:
            if self._failed:
                return []  # one time-out is enough
            try:
                proposals = self._engine.propose(
                    unit.text,
                    unit.triple,
                    num_candidates=count,
                    lists=lists,
                    oz_size_bytes=oz_size_bytes,
                    tried=tried,
                    seed=seed,
                )
            except ArtifactError:
                self._failed = True
                raise
        return [one.passes for one in proposals]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher:
    """Proposes and measures lists, one unit at a time; threads may share it.

    Args:
        model: for `Proposer.MODEL`; None: the coreset proposes.
        stop: ends every search at its next batch, with what it has.
        parts: in how many jobs a batch is measured side by side.
    """

    options: OptimizeOptions
    pool: WorkerPool
    checker: Checker
    coreset: Coreset | None = None
    model: ProposingModel | None = None
    store: MeasurementStore | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    parts: int = 1

    def search(self, unit: Unit, on_progress: Callable[[int], None] = lambda done: None) -> Found:
        """Return what the lists make of a unit.

        Args:
            on_progress: called with the number of evaluations done.
        """
        options = self.options
        budget = options.candidates + options.budget
        if self.store is None and budget == 0:
            return Found()
        # Without functions there is nothing that a pass could shrink.
        if unit.stock.flags.baseline_only or not unit.inspection.functions:
            return Found()
        if unit.object_format != "ELF":
            return Found()  # nothing that can be measured
        if missing := uncovered(unit.inspection.constructs):
            return Found(
                warnings=(
                    f"clang -Oz stands: the module has {missing[0]}, which no self-testing program "
                    "covers, so that no pass list is known to keep its meaning",
                )
            )
        trial = Trial(
            bitcode=unit.bitcode_path.read_bytes(),
            budget=budget,
            objective=options.objective,
            name=str(unit.source),
            timeout_s=min(options.timeout_s, max(1.0, options.seconds)),
            seconds=options.seconds,
            with_symbols=assembly_wanted(unit, options),
            constructs=unit.inspection.constructs,
        )
        asked = _Search(searcher=self, unit=unit, trial=trial)
        strategy = asked.strategy()
        if strategy is None:
            return Found(warnings=tuple(asked.warnings))
        try:
            for _ in run_trials(
                self.pool,
                [(trial, self._until_stopped(strategy))],
                store=self.store,
                on_progress=lambda trial: on_progress(trial.num_evaluations),
                parts=self.parts,
            ):
                on_progress(trial.num_evaluations)
        except PoolInterrupted:
            if not self.stop.is_set():
                raise
        if self.stop.is_set():
            asked.warnings.append(_INTERRUPTED)
        return Found(
            measured=MappingProxyType(trial.known),
            from_model=frozenset(asked.from_model),
            from_store=frozenset(asked.stored),
            searched=True,
            warnings=tuple(asked.warnings),
        )

    def _until_stopped(self, strategy: Strategy) -> Strategy:
        def steps(trial: Trial) -> Generator[Sequence[PassList], None, None]:
            for batch in strategy(trial):
                if self.stop.is_set():
                    return
                yield batch

        return steps


@dataclass(slots=True, kw_only=True)
class _Search:
    """The search on one unit: what it says and which lists came from the model."""

    searcher: Searcher
    unit: Unit
    trial: Trial
    warnings: list[str] = field(default_factory=list)
    from_model: set[PassList] = field(default_factory=set)
    stored: Sequence[Recipe] = ()
    """What the store knows to be good for this unit."""
    oz_size_bytes: int = 0
    """At default<Oz>, in process, if that was measured."""

    def strategy(self) -> Strategy | None:
        """Return what to try, in which order; None where no list is allowed."""
        options, checker = self.searcher.options, self.searcher.checker
        coreset = self.searcher.coreset
        start: Sequence[PassList] = starting_lists()
        weights = None
        constructs = self.unit.inspection.constructs
        space = [one for one in checker.search_space() if not never_allowed(one, constructs)]
        try:
            coreset = coreset or load_coreset()
            weights = coreset.weights_for(space)
        except ArtifactError as error:
            self.warnings.append(str(error))
        from_coreset = options.proposer is not Proposer.SEARCH
        if from_coreset and coreset is not None:
            start = [
                passes
                for passes in coreset.lists
                if options.trust or checker.known(passes, self.unit.triple) is VerdictKind.PASSED
            ]
            allowed = [passes for passes in start if not refusal_of(passes, constructs)]
            if start and not allowed and not options.budget and not options.novel:
                self.warnings.append(f"clang -Oz stands: {refusal_of(start[0], constructs)}")
                return None
            start = allowed
        novel, search = options.novel, options.budget > 0 or not from_coreset
        if (novel or search) and not options.trust:
            reason = checker.not_checkable(self.unit.triple)
            if reason and start and from_coreset:
                self.warnings.append(f"only lists that have passed before are tried: {reason}")
            elif reason:
                start = ()
            novel, search = novel and not reason, search and not reason
        self.stored = self._from_store()
        if not search and not self.stored and not (from_coreset and (start or novel)):
            self.warnings.append(checker.why_unchecked(self.unit.triple))
            return None
        rng = module_rng(options.seed, self.trial.module_hash)
        settings = settings_for(self.unit, options, coreset)
        extras = extras_for(self.unit, options, coreset)
        # A list that may not have the likely settings would be tried without: others save more.
        under = [one for one in start if self._passed(one.with_settings_of(settings[0]))]
        if len(under) >= _MIN_LISTS_UNDER_SETTINGS:
            start = under
        if self.searcher.model is not None:
            lists = self._led_by(self.searcher.model, start, novel=novel)
        else:
            lists = fixed(start[: options.candidates])
        proposed = under_settings(
            in_sequence(fixed([one.pass_list for one in self.stored]), lists),
            settings,
            num_evaluations=options.candidates + len(self.stored),
            plain_value=options.objective.of(Built.of(self.unit.baseline_sizes)),
            passed=self._passed,
            extras=extras,
            on_probe=self._probed,
        )
        # What is stored costs nothing: the same lists under settings are evaluations, too.
        self.trial.budget += 2 * len(self.stored)
        proposed = in_sequence(fixed(self.stored), proposed)
        if from_coreset and not search:
            return proposed
        donors = start if from_coreset else ()
        # Short lists are often known already, and what is new is checked faster: the rest goes
        # there.
        local = local_search(
            space,
            rng,
            weights=weights,
            donors=donors,
            settings=searched_settings(self.unit, options, [*settings, *extras]),
        )
        return in_sequence(
            proposed, fixed(extras), until(local, _SEARCH_SHARE), minimize(insertion=False)
        )

    def _from_store(self) -> list[Recipe]:
        """Return the best recipes that the store knows for this very module, best first."""
        store, options = self.searcher.store, self.searcher.options
        if store is None:
            return []
        tried: list[tuple[Recipe, Measurement]] = []
        for text, measured in store.all_measurements(self.trial.module_hash).items():
            try:
                recipe = parse_recipe(text)
            except InputError:
                continue  # of another version of this package
            if not refusal_of(recipe, self.unit.inspection.constructs):
                tried.append((recipe, measured))
        bench = _Verdicts(self.searcher.checker, self.unit.triple)
        best = outcomes(tried, options.objective, bench)
        return [
            one
            for one, _ in best
            if bench.known(one) is not VerdictKind.REJECTED
            and (options.kind is not OutputKind.PASSES or one.is_pass_list)
        ][:_MAX_STORED]

    def _passed(self, recipe: Recipe) -> bool:
        if self.searcher.options.trust:
            return True
        # What the user allows changes no meaning; if it wins it is checked with it.
        allowed = {f"{name}=none" for name in self.searcher.options.allow}
        kept = tuple(one for one in recipe.attributes if one not in allowed)
        recipe = replace(recipe, attributes=kept)
        return self.searcher.checker.known(recipe, self.unit.triple) is VerdictKind.PASSED

    def _probed(self, chosen: Recipe, value: int) -> None:
        # What the model is told that sizes changed from.
        if chosen.settings and self.searcher.options.objective is SIZE:
            self.oz_size_bytes = value

    def _led_by(self, model: ProposingModel, lists: Sequence[PassList], *, novel: bool) -> Strategy:
        """Return the coreset's first lists, then the model's choices among all passed ones.

        What the compiler made of the first ones tells the model more than the code does.
        """
        options = self.searcher.options
        num_first = first_lists(options.candidates)
        self.oz_size_bytes = self._measure_oz()

        def choose(trial: Trial, count: int) -> Sequence[PassList]:
            chosen: list[PassList] = []
            try:
                chosen = model.propose(
                    self.unit,
                    trial,
                    count,
                    lists=None if novel else lists,
                    oz_size_bytes=self.oz_size_bytes,
                    seed=options.seed,
                )
            except ArtifactError as error:
                self.warnings.append(f"the coreset chooses, since the model failed: {error}")
            self.from_model.update(chosen)
            # Where the model names fewer lists, or none, the coreset's next ones are tried.
            known = {*trial.known, *chosen}
            rest = [one for one in lists if one not in known]
            return [*chosen, *rest[: count - len(chosen)]]

        rounds = in_rounds(choose, round_counts(options.candidates - num_first))
        return in_sequence(fixed(lists[:num_first]), rounds)

    def _measure_oz(self) -> int:
        """Measure default<Oz> in process, which sizes are compared with; 0 where it fails.

        It is no candidate: clang -Oz's own object is.
        """
        job = EvaluateJob(
            bitcode=self.trial.bitcode,
            pass_lists=(OZ,),
            timeout_s=self.trial.timeout_s,
            module_hash=self.trial.module_hash,
        )
        found = run_jobs(self.searcher.pool, [job])[0][0]
        return int(found.size_bytes) if found.ok else 0


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
