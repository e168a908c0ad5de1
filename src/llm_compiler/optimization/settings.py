"""Which attributes and options the recipes of a unit are tried with.

The coreset names them for each architecture, the likely best first. Left out is what would not
serve the objective, what the user's own flags decide, and what this module's code cannot have. The
plain pass list is always among them, so that each unit keeps the better.
"""

from __future__ import annotations

import re

from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.llvm.settings import SettingKind, find_setting
from llm_compiler.llvm.stock import ClangFlags
from llm_compiler.optimization.records import OptimizeOptions, OutputKind
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import Recipe
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.objective import Objective
from llm_compiler.verify.target import architecture_of

__all__ = ["decided_by_flags", "extras_for", "settings_for"]

_PLAIN = Recipe()
_FRAME_FLAG = re.compile(r"^-f(no-)?omit-frame-pointer$|^-m(no-)?omit-leaf-frame-pointer$")
_NO_TABLES = re.compile(r"^-fno-(asynchronous-)?unwind-tables$")


def settings_for(
    unit: Unit, options: OptimizeOptions, coreset: Coreset | None
) -> tuple[Recipe, ...]:
    """Return recipes without passes, the likely best first; the plain one is always there."""
    if coreset is None or options.pass_lists_only or options.kind is OutputKind.PASSES:
        return (_PLAIN,)
    named = coreset.settings_for(architecture_of(unit.triple))
    usable = [
        one
        for one in named
        if _serves(one, unit, options.objective)
        # Bitcode and text hold attributes, but not what code is to be generated with.
        and not (one.options and options.kind in (OutputKind.BITCODE, OutputKind.TEXT))
    ]
    return tuple(dict.fromkeys([*usable, _PLAIN]))


def extras_for(unit: Unit, options: OptimizeOptions, coreset: Coreset | None) -> tuple[Recipe, ...]:
    """Return the whole recipes that are tried beside the lists."""
    if coreset is None or options.pass_lists_only or options.kind is OutputKind.PASSES:
        return ()
    return tuple(
        one
        for one in coreset.extras_for(architecture_of(unit.triple))
        if _serves(one, unit, options.objective) and not refusal_of(one, unit.inspection.constructs)
    )


def _serves(settings: Recipe, unit: Unit, objective: Objective) -> bool:
    for kind, texts in (
        (SettingKind.ATTRIBUTE, settings.attributes),
        (SettingKind.OPTION, settings.options),
    ):
        for text in texts:
            name = text.partition("=")[0]
            known = find_setting(kind, name)
            if known is None or not known.safe or objective.name not in known.objectives:
                return False
            if name in unit.inspection.unfit_settings or decided_by_flags(name, unit.stock.flags):
                return False
    return True


def decided_by_flags(name: str, flags: ClangFlags) -> bool:
    """Whether the user's own flags say what a setting would say otherwise."""
    words = flags.kept
    if any(word.lstrip("-").partition("=")[0] == name for word in words):
        return True  # behind -mllvm
    if name == "frame-pointer":
        # Without unwind tables a frame pointer only costs.
        return any(_FRAME_FLAG.match(word) or _NO_TABLES.match(word) for word in words)
    return False
