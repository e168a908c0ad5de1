"""Try pass lists under attributes and options of code generation, at the same evaluations.

A strategy of pass lists is carried out under one group of settings. Which one is found out by a
single evaluation each of a list that is known without settings already (default<Oz>, which clang
itself has compiled); in the end the best list is tried under the others. The inner strategy sees a
trial of its own, in which a pass list has the measurement that it had under the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from llm_compiler.records import OZ, PassList, Recipe
from llm_compiler.search.trial import Batch, Strategy, Trial

__all__ = ["Shares", "shares_of", "under_settings"]

_MIN_LISTS_TO_PROBE = 4
"""With fewer evaluations none is spent on asking which settings are the better."""
_MIN_LISTS_TO_CROSS = 12
"""With fewer evaluations none is spent on trying the best list under other settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What the evaluations are spent on."""

    probes: tuple[Recipe, ...]
    """default<Oz> under each settings."""
    whole: tuple[Recipe, ...]
    """Whole recipes."""
    num_crossed: int
    """The best list under other settings."""
    num_lists: int


def shares_of(
    settings: Sequence[Recipe],
    extras: Sequence[Recipe],
    passed: Callable[[Recipe], bool],
    num_evaluations: int,
    extras_share: float = 1.0,
) -> Shares:
    """Say what a number of evaluations is spent on; the arguments as in `under_settings`."""
    probes = [OZ.with_settings_of(setting) for setting in settings if setting.settings]
    probes = [probe for probe in probes if passed(probe)]
    whole: list[Recipe] = []
    if num_evaluations < _MIN_LISTS_TO_PROBE:
        probes = []
    else:
        usable = [extra for extra in extras if passed(extra) and extra not in probes]
        if usable:
            # They have settings of their own: the likely ones are asked about for the lists' sake.
            probes = probes[:1]
        whole = usable[: round(extras_share * (num_evaluations - len(probes)))]
    left = num_evaluations - len(probes) - len(whole)
    crossed = len(probes) if left and num_evaluations >= _MIN_LISTS_TO_CROSS else 0
    crossed = min(crossed, left)
    return Shares(
        probes=tuple(probes),
        whole=tuple(whole),
        num_crossed=crossed,
        num_lists=left - crossed,
    )


def under_settings(
    inner: Strategy,
    settings: Sequence[Recipe],
    *,
    num_evaluations: int,
    plain_value: int,
    passed: Callable[[Recipe], bool],
    extras: Sequence[Recipe] = (),
    extras_share: float = 1.0,
    on_probe: Callable[[Recipe, int], None] = lambda settings, value: None,
) -> Strategy:
    """Carry out a strategy of pass lists under the settings that suit the module.

    Args:
        inner: yields pass lists.
        settings: recipes without passes, the likely best first, the plain one among them.
        num_evaluations: at most, whatever they are spent on.
        plain_value: the objective of default<Oz> without settings.
        passed: whether a recipe may be handed out; else its pass list is tried plainly.
        extras: whole recipes, tried where there are evaluations enough; the lists get what is left.
        extras_share: of the evaluations after the probes, at most this share is for those.
        on_probe: called with the settings chosen and the objective of default<Oz> under them.
    """

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        chosen, value = settings[0], plain_value
        shares = shares_of(settings, extras, passed, num_evaluations, extras_share)
        if shares.probes:
            yield list(shares.probes)
            found = [trial.value(probe) for probe in shares.probes]
            values = [(index, at) for at, index in enumerate(found) if index is not None]
            best, at = min(values, default=(plain_value, 0))
            # Among equals without: what needs no settings needs none.
            better = best < plain_value
            chosen = Recipe().with_settings_of(shares.probes[at]) if better else Recipe()
            value = best if better else plain_value
        on_probe(chosen, value)
        yield list(shares.whole)
        seen = Trial(
            bitcode=b"",
            module_hash=trial.module_hash,
            budget=shares.num_lists,
            objective=trial.objective,
            name=trial.name,
        )
        for batch in inner(seen):
            lists = [
                each_recipe for each_recipe in dict.fromkeys(batch) if each_recipe not in seen.known
            ][: seen.left]
            recipes = {each_recipe: _under(each_recipe, chosen, passed) for each_recipe in lists}
            yield list(recipes.values())
            for passes, recipe in recipes.items():
                if recipe in trial.known:
                    seen.add(passes, trial.known[recipe])
            if seen.left <= 0:
                break
        if shares.num_crossed and seen.best is not None:
            best_list = seen.best
            rest = [_under(best_list, setting, passed) for setting in settings if setting != chosen]
            yield [recipe for recipe in rest if recipe not in trial.known][: shares.num_crossed]

    return strategy


def _under(passes: PassList, settings: Recipe, passed: Callable[[Recipe], bool]) -> Recipe:
    recipe = passes.with_settings_of(settings)
    return recipe if not recipe.settings or passed(recipe) else passes
