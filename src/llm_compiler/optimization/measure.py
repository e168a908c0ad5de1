"""The second step of a unit: which lists are tried on it, and the measuring of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from llm_compiler.errors import ArtifactError, InputError
from llm_compiler.llvm.constructs import uncovered
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.object_file import has_sizes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.refusals import never_allowed, refusal_of
from llm_compiler.optimization.assembly import assembly_wanted
from llm_compiler.optimization.choose import Built, outcomes
from llm_compiler.optimization.model_rounds import ModelRounds, ProposingModel, Tried
from llm_compiler.optimization.options import OutputKind, Proposer
from llm_compiler.optimization.settings import extras_for, searched_settings, settings_for
from llm_compiler.optimization.unit import Found, Unit
from llm_compiler.optimization.workplace import Workplace
from llm_compiler.records import OZ, Measurement, PassList, Recipe, VerdictKind, content_hash
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.search.minimize import minimize
from llm_compiler.search.objective import SIZE
from llm_compiler.search.strategies import fixed, in_sequence, local_search, until
from llm_compiler.search.trial import Strategy, Trial, run_trials
from llm_compiler.search.under_settings import shares_of, under_settings
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import PoolInterrupted, run_jobs

__all__ = ["measure"]

_SEARCH_SHARE = 0.85
"""Of the budget, for local search; the rest makes its winner shorter."""
_MIN_LISTS_UNDER_SETTINGS = 32
"""Passed lists that are choice enough for 16 evaluations."""
_EXTRAS_BESIDE_MODEL = 0.6
"""Of the evaluations, for whole recipes where a model chooses among lists too."""
_MAX_STORED = 8
"""Results that are taken from a store, best first: the first that passes counts."""
_INTERRUPTED = "interrupted: this is the best found until then"


def measure(
    unit: Unit, workplace: Workplace, on_progress: Callable[[int], None] = lambda done: None
) -> Found:
    """Return what the lists make of a unit.

    Args:
        on_progress: called with the number of evaluations done.
    """
    options = workplace.options
    budget = options.candidates + options.budget
    if workplace.store is None and budget == 0:
        return Found()
    # Without functions there is nothing that a pass could shrink.
    if unit.stock.flags.baseline_only or not unit.inspection.functions:
        return Found()
    if not has_sizes(unit.baseline):
        return Found()  # nothing that can be measured
    if missing := uncovered(unit.inspection.constructs):
        return Found(
            warnings=(
                f"clang -Oz stands: the module has {missing[0]}, which no self-testing program "
                "covers, so that no pass list is known to keep its meaning",
            )
        )
    bitcode = unit.bitcode_path.read_bytes()
    ground = _ground(unit, workplace)
    stored = () if ground.refused else _stored(unit, content_hash(bitcode), workplace)
    search = _search(unit, workplace, ground, stored, bitcode)
    if search is None:
        return Found(warnings=(*ground.warnings, *_why_nothing(unit, workplace, ground)))
    trial = Trial(
        bitcode=bitcode,
        # What is stored costs nothing: the same lists under settings are evaluations, too.
        budget=budget + 2 * len(stored),
        objective=options.objective,
        name=str(unit.source),
        timeout_s=min(options.timeout_s, max(1.0, options.seconds)),
        seconds=options.seconds,
        with_symbols=assembly_wanted(unit, options),
        constructs=unit.inspection.constructs,
    )
    try:
        for _ in run_trials(
            workplace.pool,
            [(trial, _until_stopped(search.strategy, workplace))],
            store=workplace.store,
            on_progress=lambda trial: on_progress(trial.num_evaluations),
            parts=workplace.parts,
        ):
            on_progress(trial.num_evaluations)
    except PoolInterrupted:
        if not workplace.is_stopped:
            raise
    interrupted = (_INTERRUPTED,) if workplace.is_stopped else ()
    return Found(
        measured=MappingProxyType(trial.known),
        from_model=frozenset(search.rounds.chosen if search.rounds is not None else ()),
        from_store=frozenset(stored),
        searched=True,
        warnings=(*ground.warnings, *search.troubles, *interrupted),
    )


def _until_stopped(strategy: Strategy, workplace: Workplace) -> Strategy:
    def steps(trial: Trial) -> Generator[Sequence[PassList], None, None]:
        for batch in strategy(trial):
            if workplace.is_stopped:
                return
            yield batch

    return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What may be tried on a unit at all."""

    lists: Sequence[PassList] = ()
    """Where searches start from, the best first."""
    space: Sequence[str] = ()
    """Passes that a search may use."""
    weights: Sequence[float] | None = None
    coreset: Coreset | None = None
    novel: bool = False
    """The model may make lists of its own."""
    searches: bool = False
    """Local search may make new lists."""
    refused: str = ""
    """Why no list may be used on this module."""
    warnings: tuple[str, ...] = ()


def _ground(unit: Unit, workplace: Workplace) -> _Ground:
    options, checker, coreset = workplace.options, workplace.checker, workplace.coreset
    constructs = unit.inspection.constructs
    space = [word for word in checker.search_space() if not never_allowed(word, constructs)]
    start: Sequence[PassList] = starting_lists()
    weights = None
    warnings: list[str] = []
    try:
        coreset = coreset or load_coreset()
        weights = coreset.weights_for(space)
    except ArtifactError as error:
        warnings.append(str(error))
    from_coreset = options.proposer is not Proposer.SEARCH
    if from_coreset and coreset is not None:
        start = [
            passes
            for passes in coreset.lists
            if options.trust or checker.known(passes, unit.triple) is VerdictKind.PASSED
        ]
        allowed = [passes for passes in start if not refusal_of(passes, constructs)]
        if start and not allowed and not options.budget and not options.novel:
            return _Ground(refused=refusal_of(start[0], constructs), warnings=tuple(warnings))
        start = allowed
    novel, searches = options.novel, options.budget > 0 or not from_coreset
    if (novel or searches) and not options.trust:
        reason = checker.not_checkable(unit.triple)
        if reason and start and from_coreset:
            warnings.append(f"only lists that have passed before are tried: {reason}")
        elif reason:
            start = ()
        novel, searches = novel and not reason, searches and not reason
    return _Ground(
        lists=start,
        space=space,
        weights=weights,
        coreset=coreset,
        novel=novel,
        searches=searches,
        warnings=tuple(warnings),
    )


def _why_nothing(unit: Unit, workplace: Workplace, ground: _Ground) -> tuple[str, ...]:
    if ground.refused:
        return (f"clang -Oz stands: {ground.refused}",)
    return (workplace.checker.why_unchecked(unit.triple),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What to try, in which order."""

    strategy: Strategy
    rounds: ModelRounds | None
    """The model's part, which remembers what it chose."""
    troubles: list[str]
    """Of the model, while the search goes on."""


def _search(
    unit: Unit, workplace: Workplace, ground: _Ground, stored: Sequence[Recipe], bitcode: bytes
) -> _Search | None:
    """Return how to search; None where no list is allowed."""
    options = workplace.options
    from_coreset = options.proposer is not Proposer.SEARCH
    extras = extras_for(unit, options, ground.coreset)
    verdicts = _Verdicts(workplace.checker, unit.triple)

    def passed(recipe: Recipe) -> bool:
        if options.trust:
            return True
        # What the user allows changes no meaning; if it wins it is checked with it.
        allowed = {f"{name}=none" for name in options.allow}
        kept = tuple(attribute for attribute in recipe.attributes if attribute not in allowed)
        return verdicts.known(replace(recipe, attributes=kept)) is VerdictKind.PASSED

    # Where no list has passed, a target's whole recipes may have.
    proposes = from_coreset and (ground.lists or ground.novel or any(map(passed, extras)))
    if ground.refused or not (ground.searches or stored or proposes):
        return None
    settings = settings_for(unit, options, ground.coreset)
    # A list that may not have the likely settings would be tried without: others save more.
    lists = ground.lists
    for likely in settings:
        under = [
            each_recipe for each_recipe in lists if passed(each_recipe.with_settings_of(likely))
        ]
        if len(under) >= _MIN_LISTS_UNDER_SETTINGS:
            lists = under
            break
    troubles: list[str] = []
    share = 1.0 if workplace.model is None else _EXTRAS_BESIDE_MODEL
    num_evaluations = options.candidates + len(stored)
    rounds: ModelRounds | None = None
    if workplace.model is not None:
        rounds = ModelRounds(
            ask=_asking(
                workplace.model, unit, workplace, None if ground.novel else lists, troubles
            ),
            lists=lists,
            oz_size_bytes=_size_at_oz(bitcode, workplace),
        )
        led = rounds.strategy(shares_of(settings, extras, passed, num_evaluations, share).num_lists)
    else:
        led = fixed(lists[: options.candidates])

    def probed(chosen: Recipe, value: int) -> None:
        # What the model is shown that sizes changed from.
        if rounds is not None and chosen.settings and options.objective is SIZE:
            rounds.oz_size_bytes = value

    proposed = under_settings(
        in_sequence(fixed([each_recipe.pass_list for each_recipe in stored]), led),
        settings,
        num_evaluations=num_evaluations,
        plain_value=options.objective.of(Built.of(unit.baseline_sizes)),
        passed=passed,
        extras=extras,
        extras_share=share,
        on_probe=probed,
    )
    strategy = in_sequence(fixed(stored), proposed)
    if ground.searches or not from_coreset:
        # Short lists are often known already, and what is new is checked faster: the rest goes
        # there.
        local = local_search(
            ground.space,
            module_rng(options.seed, content_hash(bitcode)),
            weights=ground.weights,
            donors=lists if from_coreset else (),
            settings=searched_settings(unit, options, [*settings, *extras]),
        )
        strategy = in_sequence(
            strategy, fixed(extras), until(local, _SEARCH_SHARE), minimize(insertion=False)
        )
    return _Search(strategy=strategy, rounds=rounds, troubles=troubles)


def _asking(
    model: ProposingModel,
    unit: Unit,
    workplace: Workplace,
    lists: Sequence[PassList] | None,
    troubles: list[str],
) -> Callable[[int, Tried, int], list[PassList]]:
    """Return how a model is asked about a unit; where it fails the coreset chooses."""

    def ask(count: int, tried: Tried, oz_size_bytes: int) -> list[PassList]:
        try:
            return model.propose(
                unit.text,
                unit.triple,
                count,
                lists=lists,
                oz_size_bytes=oz_size_bytes,
                tried=tried,
                seed=workplace.options.seed,
            )
        except ArtifactError as error:
            troubles.append(f"the coreset chooses, since the model failed: {error}")
            return []

    return ask


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What is known of recipes for a target."""

    checker: Checker
    triple: str

    def known(self, recipe: Recipe) -> VerdictKind:
        """Return the verdict, without running anything."""
        return self.checker.known(recipe, self.triple)


def _stored(unit: Unit, module_hash: str, workplace: Workplace) -> tuple[Recipe, ...]:
    """Return the best recipes that the store knows for this very module, best first."""
    store, options = workplace.store, workplace.options
    if store is None:
        return ()
    tried: list[tuple[Recipe, Measurement]] = []
    for text, measured in store.all_measurements(module_hash).items():
        try:
            recipe = parse_recipe(text)
        except InputError:
            continue  # of another version of this package
        if not refusal_of(recipe, unit.inspection.constructs):
            tried.append((recipe, measured))
    verdicts = _Verdicts(workplace.checker, unit.triple)
    good = [
        each_recipe
        for each_recipe, _ in outcomes(tried, options.objective, verdicts)
        if verdicts.known(each_recipe) is not VerdictKind.REJECTED
        and (options.kind is not OutputKind.PASSES or each_recipe.is_pass_list)
    ]
    return tuple(good[:_MAX_STORED])


def _size_at_oz(bitcode: bytes, workplace: Workplace) -> int:
    """Measure default<Oz> in process, which sizes are compared with; 0 where it fails.

    It is no candidate: clang -Oz's own object is.
    """
    options = workplace.options
    job = EvaluateJob(
        bitcode=bitcode,
        pass_lists=(OZ,),
        timeout_s=min(options.timeout_s, max(1.0, options.seconds)),
        module_hash=content_hash(bitcode),
    )
    found = run_jobs(workplace.pool, [job])[0][0]
    return int(found.size_bytes) if found.ok else 0
