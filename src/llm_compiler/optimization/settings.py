"""Which attributes and options the recipes of a unit are tried with.

The coreset names them for each architecture, the likely best first. Left out is what would not
serve the objective, what the user's own flags decide, and what this module's code cannot have. The
plain pass list is always among them, so that each unit keeps the better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.llvm.settings import (
    Setting,
    SettingKind,
    all_settings,
    find_setting,
    search_settings,
)
from llm_compiler.llvm.stock import ClangFlags
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.optimization.options import OptimizeOptions, OutputKind
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import Recipe
from llm_compiler.search.coreset import Coreset

__all__ = ["decided_by_flags", "extras_for", "may_have", "searched_settings", "settings_for"]

_PLAIN = Recipe()
_FRAME_FLAG = re.compile(r"^-f(no-)?omit-frame-pointer$|^-m(no-)?omit-leaf-frame-pointer$")
_NO_TABLES = re.compile(r"^-fno-(asynchronous-)?unwind-tables$")


def settings_for(
    unit: Unit, options: OptimizeOptions, coreset: Coreset | None
) -> tuple[Recipe, ...]:
    """Return recipes without passes, the likely best first; the plain one is always there."""
    if coreset is None or options.pass_lists_only or options.kind is OutputKind.PASSES:
        return (_PLAIN,)
    named = list(coreset.settings_for(architecture_of(unit.triple)))
    # What the user allows takes the place of what is like it but for that.
    named = [*(_with_allowed(recipe, options.allow) for recipe in (*named, _PLAIN)), *named]
    usable = [recipe for recipe in named if _serves(recipe, unit, options)]
    return tuple(dict.fromkeys([*usable, _PLAIN]))


def _with_allowed(settings: Recipe, allow: Sequence[str]) -> Recipe:
    """Return settings with the attributes that change the contract, as far as allowed."""
    contract = [
        f"{setting.name}={setting.values[0]}"
        for setting in all_settings()
        if setting.contract and setting.name in allow and setting.kind is SettingKind.ATTRIBUTE
    ]
    return replace(settings, attributes=tuple(sorted({*settings.attributes, *contract})))


def extras_for(unit: Unit, options: OptimizeOptions, coreset: Coreset | None) -> tuple[Recipe, ...]:
    """Return the whole recipes that are tried beside the lists."""
    if coreset is None or options.pass_lists_only or options.kind is OutputKind.PASSES:
        return ()
    return tuple(
        recipe
        for recipe in coreset.extras_for(architecture_of(unit.triple))
        if _serves(recipe, unit, options) and not refusal_of(recipe, unit.inspection.constructs)
    )


def searched_settings(
    unit: Unit, options: OptimizeOptions, tried: Sequence[Recipe]
) -> list[Recipe]:
    """Return what a search may change settings to: those tried, each with one more of the registry.

    None where only pass lists are asked for.
    """
    known = list(dict.fromkeys(Recipe().with_settings_of(recipe) for recipe in tried))
    if known == [_PLAIN]:
        return []
    more = [
        setting
        for setting in search_settings(architecture_of(unit.triple))
        if _serves(setting, unit, options)
    ]
    joined = [_joined(known[0], recipe) for recipe in more]
    return list(dict.fromkeys([*known, *joined]))


def _joined(recipe: Recipe, other: Recipe) -> Recipe:
    """Return settings with those of another, which count where both have a value."""

    def join(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
        values = dict(text.split("=", 1) for text in (*first, *second))
        return tuple(sorted(f"{name}={value}" for name, value in values.items()))

    return Recipe(
        attributes=join(recipe.attributes, other.attributes),
        options=join(recipe.options, other.options),
    )


def may_have(recipe: Recipe, unit: Unit, options: OptimizeOptions) -> bool:
    """Whether a unit's code, the user's flags and what the user allows admit all settings."""
    for known, name in _entries(recipe):
        if known is None or known.reason or (known.contract and name not in options.allow):
            return False
        if name in unit.inspection.unfit_settings or decided_by_flags(name, unit.stock.flags):
            return False
    return True


def _serves(recipe: Recipe, unit: Unit, options: OptimizeOptions) -> bool:
    # Bitcode and text hold attributes, but not what code is to be generated with.
    if recipe.options and options.kind in (OutputKind.BITCODE, OutputKind.TEXT):
        return False
    objective = options.objective.name
    return may_have(recipe, unit, options) and all(
        known is not None and objective in known.objectives for known, _ in _entries(recipe)
    )


def _entries(recipe: Recipe) -> Iterator[tuple[Setting | None, str]]:
    for kind, texts in (
        (SettingKind.ATTRIBUTE, recipe.attributes),
        (SettingKind.OPTION, recipe.options),
    ):
        for text in texts:
            name = text.partition("=")[0]
            yield find_setting(kind, name), name


def decided_by_flags(name: str, flags: ClangFlags) -> bool:
    """Whether the user's own flags say what a setting would say otherwise."""
    words = flags.kept
    if any(word.lstrip("-").partition("=")[0] == name for word in words):
        return True  # after -mllvm
    if name == "frame-pointer":
        # Without unwind tables a frame pointer only costs.
        return any(_FRAME_FLAG.match(word) or _NO_TABLES.match(word) for word in words)
    return False
