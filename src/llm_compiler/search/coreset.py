"""The coreset: few fixed lists that complement each other, in the order in which to try them.

Greedy: the list that most improves the best so far over the training modules comes next. The first
K lists of the order are thus a good answer for any K, and the baseline that a model must beat. The
candidates are the winners of an autotuned store; each is tried on every module, and a list enters
only if PassListEval passed it. The shipped coreset is `data/coreset.json`.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from llm_compiler.errors import InputError, ShardCorrupt
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.output import write_atomically
from llm_compiler.records import OZ, Measurement, PassList, Recipe
from llm_compiler.search.objective import SIZE, Objective, object_objectives
from llm_compiler.search.store import Store
from llm_compiler.search.strategies import fixed, mutate
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "Coreset",
    "Pick",
    "collect_candidates",
    "greedy",
    "load_coreset",
    "measure_candidates",
    "pass_weights",
    "refine",
    "write_coreset",
]

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One list of a coreset, with what it brought when it was chosen."""

    passes: PassList
    geomean_gain: float
    """Geometric mean gain over the baseline of all lists up to this one, on training modules."""
    total_gain: float
    num_best: int
    """Training modules on which this list alone was better than all before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coreset:
    """Lists in the order to try them, and how often each pass occurs in winners."""

    llvm_major: int
    picks: tuple[Pick, ...]
    pass_weights: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, tuple[Recipe, ...]] = field(default_factory=dict)
    """By architecture: recipes without passes that the lists are tried with, the best first."""

    extras: dict[str, tuple[Recipe, ...]] = field(default_factory=dict)
    """By architecture: whole recipes of another kind than list and settings, the best first."""

    def extras_for(self, architecture: str) -> tuple[Recipe, ...]:
        """Return the whole recipes that are tried beside the lists."""
        return self.extras.get(architecture, ())

    def settings_for(self, architecture: str) -> tuple[Recipe, ...]:
        """Return the settings for an architecture, without the plain pass list."""
        return self.settings.get(architecture, ())

    def recipes_for(self, architecture: str) -> tuple[Recipe, ...]:
        """Return all that may be tried for an architecture: each list plain and with settings."""
        crossed = (
            passes.with_settings_of(settings)
            for settings in (*self.settings_for(architecture), Recipe())
            for passes in self.lists
        )
        probes = (OZ.with_settings_of(settings) for settings in self.settings_for(architecture))
        return tuple(dict.fromkeys([*probes, *self.extras_for(architecture), *crossed]))

    @property
    def lists(self) -> tuple[PassList, ...]:
        """The pass lists in their order."""
        return tuple(pick.passes for pick in self.picks)

    def weights_for(self, space: Sequence[str], *, uniform_share: float = 0.3) -> list[float]:
        """Return how often a search inserts each pass: winners' counts, mixed with uniform."""
        total = sum(self.pass_weights.values()) or 1.0
        return [
            uniform_share / len(space)
            + (1 - uniform_share) * self.pass_weights.get(element, 0.0) / total
            for element in space
        ]


def collect_candidates(
    store: Store, module_hashes: Sequence[str], *, per_module: int = 2, limit: int = 400
) -> list[PassList]:
    """Return the winners of a store, most frequent first.

    A module's winners are its best lists by size and by .text + .data.
    """
    votes: Counter[str] = Counter()
    for module_hash in module_hashes:
        known = {p: m for p, m in store.all_measurements(module_hash).items() if m.ok}
        for objective in object_objectives():
            for pipeline in _winners(known, objective, per_module):
                votes[pipeline] += 1
    # `optimize --store` keeps recipes with settings there, too.
    recipes = (parse_recipe(text) for text, _ in votes.most_common())
    lists = (recipe for recipe in recipes if recipe.is_pass_list)
    # A store may hold lists from before a pass was found to be unsafe.
    return [passes for passes in lists if not unsafe_passes(passes)][:limit]


def _winners(known: dict[str, Measurement], objective: Objective, count: int) -> list[str]:
    """The best lists with different outcomes, that are better than the default pipelines."""
    outcomes: dict[str, str] = {}
    for pipeline, measurement in known.items():
        before = outcomes.get(measurement.result_hash)
        if before is None or pipeline.count(",") < before.count(","):
            outcomes[measurement.result_hash] = pipeline
    plain = known.get(OZ.pipeline)
    ranked = sorted(outcomes.values(), key=lambda p: (objective.of(known[p]), p.count(","), p))
    bound = objective.of(plain) if plain else math.inf
    return [p for p in ranked[:count] if objective.of(known[p]) < bound]


def measure_candidates(
    pool: WorkerPool,
    modules: Sequence[tuple[str, bytes]],
    candidates: Sequence[PassList],
    store: Store,
    *,
    objective: Objective = SIZE,
    on_progress: Callable[[Trial], None] = lambda trial: None,
) -> Iterator[Trial]:
    """Try every candidate on every (name, bitcode); what the store knows is not measured again."""
    lists = [OZ, *candidates]
    trials = [
        (
            Trial(bitcode=bitcode, budget=len(set(lists)), name=name, objective=objective),
            fixed(sorted(lists, key=lambda passes: passes.elements), batch_size=64),
        )
        for name, bitcode in modules
    ]
    yield from run_trials(pool, trials, store=store, on_progress=on_progress)


def greedy(
    values: Sequence[dict[PassList, int]],
    baselines: Sequence[int],
    *,
    num_lists: int,
    accept: Callable[[PassList], bool] = lambda passes: True,
) -> list[Pick]:
    """Choose lists one after another, each the one that most improves the best so far.

    Args:
        values: for each module, the objective of each candidate that compiled.
        baselines: for each module, the baseline's; it stands in wherever lists are worse.
        accept: asked once for each list about to be chosen (PassListEval); False drops it.

    The measure is the mean logarithm of the relative size: the geometric mean over modules. Once
    no candidate improves any module further, a new round begins with the rest, as if nothing had
    been chosen: what is second best here may be best on modules not seen. Lists that make the
    same of every module as a chosen one are left out.
    """
    best = [float(value) for value in baselines]
    of_round = list(best)
    pool = sorted(
        {passes for entry in values for passes in entry}, key=lambda p: (len(p), p.elements)
    )
    picks: list[Pick] = []
    while pool and len(picks) < num_lists:
        gains = []
        for passes in pool:
            gain = 0.0
            for index, table in enumerate(values):
                value = table.get(passes)
                if value is not None and value < of_round[index]:
                    gain += math.log(of_round[index] / max(value, 1))
            gains.append(gain)
        index = max(range(len(pool)), key=lambda i: gains[i])
        if gains[index] <= 0:
            if of_round == list(baselines):
                break
            of_round = [float(value) for value in baselines]
            continue
        chosen = pool.pop(index)
        if not accept(chosen):
            continue
        # What makes the same of every module is the same list in other words.
        pool = [p for p in pool if any(entry.get(p) != entry.get(chosen) for entry in values)]
        num_best = 0
        for module, table in enumerate(values):
            value = table.get(chosen)
            if value is not None and value < of_round[module]:
                of_round[module] = value
                num_best += 1
                best[module] = min(best[module], value)
        log_ratio = sum(math.log(b / v) for b, v in zip(best, baselines, strict=True))
        picks.append(
            Pick(
                passes=chosen,
                geomean_gain=1 - math.exp(log_ratio / len(baselines)),
                total_gain=1 - sum(best) / sum(baselines),
                num_best=num_best,
            )
        )
    return picks


def refine(
    pool: WorkerPool,
    modules: Sequence[tuple[str, bytes]],
    start: Sequence[PassList],
    baselines: Sequence[int],
    space: Sequence[str],
    rng: random.Random,
    *,
    store: Store,
    weights: Sequence[float] | None = None,
    num_lists: int = 16,
    num_steps: int = 60,
    objective: Objective = SIZE,
    deadline: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, PassList, float]]:
    """Improve the first lists of a coreset one after another by hill climbing over all modules.

    The greedy order takes lists that were found for single modules. Here list k is changed a
    little (as local search does), measured on *every* module, and kept if it lowers the mean
    logarithm of the best size so far together with the lists before it. Yields (k, the improved
    list, geometric mean gain up to it); everything measured is in the store.

    Args:
        start: the lists to improve, in their order.
        num_steps: mutants that each list is given, in batches of four.
        deadline: asked between batches; True ends the refinement.
    """
    best = [float(value) for value in baselines]

    def values_of(lists: Sequence[PassList]) -> list[list[int | None]]:
        trials = [
            Trial(bitcode=bitcode, budget=len(lists), name=name, objective=objective)
            for name, bitcode in modules
        ]
        pairs = [(trial, fixed(lists, batch_size=len(lists))) for trial in trials]
        for _ in run_trials(pool, pairs, store=store):
            pass
        return [[trial.value(passes) for passes in lists] for trial in trials]

    def gain(column: Sequence[int | None]) -> float:
        return sum(
            math.log(before / max(value, 1))
            for before, value in zip(best, column, strict=True)
            if value is not None and value < before
        )

    for rank in range(min(num_lists, len(start))):
        current = start[rank]
        column = [row[0] for row in values_of([current])]
        score = gain(column)
        for _ in range(num_steps // 4):
            if deadline():
                break
            batch = {mutate(current, start, space, rng, weights) for _ in range(4)} - {current}
            children = sorted(batch, key=lambda passes: passes.elements)
            table = values_of(children)
            for index, child in enumerate(children):
                child_column = [row[index] for row in table]
                child_score = gain(child_column)
                if child_score > score or (child_score == score and len(child) <= len(current)):
                    current, column, score = child, child_column, child_score
        best = [
            min(before, value) if value is not None else before
            for before, value in zip(best, column, strict=True)
        ]
        log_ratio = sum(math.log(b / v) for b, v in zip(best, baselines, strict=True))
        yield rank, current, 1 - math.exp(log_ratio / len(baselines))


def pass_weights(lists: Sequence[PassList]) -> dict[str, float]:
    """Return how often each element occurs in winning lists."""
    counts = Counter(element for passes in lists for element in passes.elements)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_coreset(coreset: Coreset, path: Path) -> None:
    """Write a coreset as JSON, atomically."""
    data = {
        "format": _FORMAT,
        "llvm_major": coreset.llvm_major,
        "provenance": coreset.provenance,
        "lists": [{**asdict(pick), "passes": pick.passes.pipeline} for pick in coreset.picks],
        "settings": _texts(coreset.settings),
        "extras": _texts(coreset.extras),
        "pass_weights": coreset.pass_weights,
    }
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())


def _texts(by_architecture: dict[str, tuple[Recipe, ...]]) -> dict[str, list[str]]:
    return {name: [recipe.text for recipe in recipes] for name, recipes in by_architecture.items()}


def _recipes(by_architecture: dict[str, list[str]]) -> dict[str, tuple[Recipe, ...]]:
    return {
        name: tuple(parse_recipe(text) for text in texts) for name, texts in by_architecture.items()
    }


def load_coreset(path: Path | None = None) -> Coreset:
    """Load a coreset; default: the shipped one.

    Raises:
        ShardCorrupt: the file is not a coreset.
    """
    return _shipped_coreset() if path is None else _read_coreset(path)


@cache
def _shipped_coreset() -> Coreset:
    return _read_coreset(resources.files("llm_compiler").joinpath("data/coreset.json"))


def _read_coreset(source: Path | Traversable) -> Coreset:
    try:
        data = json.loads(source.read_text("utf-8"))
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']}, expected {_FORMAT}")
        picks = tuple(
            Pick(**{**pick, "passes": parse_pass_list(pick["passes"])}) for pick in data["lists"]
        )
        return Coreset(
            llvm_major=data["llvm_major"],
            picks=picks,
            pass_weights=data["pass_weights"],
            provenance=data["provenance"],
            settings=_recipes(data.get("settings", {})),
            extras=_recipes(data.get("extras", {})),
        )
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise ShardCorrupt(f"{source} is not a coreset: {error}") from error
