"""From recipes by function to the parts of an assembly. Pure; no LLVM is loaded.

A *part* is a module in which the functions of one recipe are defined; bodies that they may inline
are there as ``available_externally``: LLVM may look inside, but infers nothing from them, since
they are not the definitions that count (another part's recipe makes those). So signatures, calling
conventions and inferred attributes agree by construction. The first part, the *base*, owns the
variables, constructors, module assembly, ifuncs, and the functions that must be with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llm_compiler.llvm.function_wise.structure import FORBIDDEN, Structure
from llm_compiler.records import Recipe

__all__ = ["SUFFIXES", "AssemblyPlan", "Part", "make_plan"]

SUFFIXES = (
    "globalopt,globaldce,constmerge",
    "ipsccp,globalopt,deadargelim,globaldce,constmerge",
)
"""What runs on the whole after everything is static again that was."""
_MAX_IMPORTED_INSTRUCTIONS = 400
"""Of a body before any pass; larger ones are not inlined where size counts."""
_MAX_DEPTH = 4
"""Calls from a part's own functions to a body that is imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One module of an assembly: names are those of the IR, in the unit's order."""

    recipe: Recipe
    functions: tuple[str, ...]
    """Defined here."""
    is_base: bool = False
    aliases: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    """Functions of other parts that may be inlined here."""
    internal_functions: tuple[str, ...] = ()
    internal_variables: tuple[str, ...] = ()
    """Static ones that nothing outside this part uses: they stay static while its list runs."""
    absent_variables: tuple[str, ...] = ()
    """Of the base: the variables that are in other parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyPlan:
    """The parts, the base first, and what runs on the whole."""

    parts: tuple[Part, ...]
    suffix: str = SUFFIXES[0]
    options: tuple[str, ...] = ()
    """Of code generation, as in a recipe."""

    @property
    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each function."""
        return {name: part.recipe for part in self.parts for name in part.functions}


def make_plan(
    structure: Structure,
    recipes: Mapping[str, Recipe],
    *,
    default: Recipe | None = None,
    options: tuple[str, ...] = (),
    keep_internal: bool = False,
    suffix: str = SUFFIXES[0],
) -> AssemblyPlan:
    """Return the parts of a unit for recipes by function.

    Args:
        recipes: by name of the IR; what has none gets `default` (none: the most frequent recipe).
            Functions that are tied to each other all get the recipe of the first of them. Options
            of code generation in them do not count: one object has one set of them.
        options: those of the whole.
        keep_internal: static functions and variables whose users all lie in one part stay static
            there; no other part may then see their users.
    """
    assert not structure.refusal
    chosen = _resolve(structure, recipes, default)
    groups: dict[Recipe, list[str]] = defaultdict(list)
    for name in structure.functions:
        groups[chosen[name]].append(name)
    base = _base_recipe(structure, groups, chosen)
    home = {
        name: base if name in structure.pinned else chosen[name] for name in structure.functions
    }
    order = [base, *(group for group in groups if group != base)]
    internal = _internal(structure, home, base) if keep_internal else {}
    closed = {
        user
        for user, used in structure.references.items()
        if any(name in internal for name in used)
    }
    closed |= set(internal)
    variables = {n: at for n, at in internal.items() if n in structure.local_variables}
    parts = []
    for recipe in order:
        own = tuple(name for name in structure.functions if home[name] == recipe)
        if not own and recipe != base:
            continue
        parts.append(
            Part(
                recipe=recipe,
                functions=own,
                is_base=recipe == base,
                aliases=tuple(a for a, f in structure.aliases if f and home.get(f) == recipe),
                imported=_imported(structure, own, closed),
                internal_functions=tuple(
                    n for n in own if n in internal and n in structure.local_functions
                ),
                internal_variables=tuple(sorted(n for n, at in variables.items() if at == recipe)),
                absent_variables=tuple(
                    sorted(n for n, at in variables.items() if recipe == base != at)
                ),
            )
        )
    return AssemblyPlan(parts=tuple(parts), suffix=suffix, options=options)


def _resolve(
    structure: Structure, recipes: Mapping[str, Recipe], default: Recipe | None
) -> dict[str, Recipe]:
    given = {
        name: replace(recipes[name], options=(), functions=())
        for name in structure.functions
        if name in recipes
    }
    if default is None:
        counts: dict[Recipe, int] = defaultdict(int)
        for recipe in given.values():
            counts[recipe] += 1
        default = max(counts, key=counts.__getitem__) if counts else Recipe()
    chosen = {name: given.get(name, default) for name in structure.functions}
    for tied in structure.ties:
        for name in tied[1:]:
            chosen[name] = chosen[tied[0]]
    return chosen


def _base_recipe(
    structure: Structure, groups: Mapping[Recipe, list[str]], chosen: Mapping[str, Recipe]
) -> Recipe:
    """Return the recipe of the base: that of most pinned functions, else that of most functions."""
    counts: dict[Recipe, int] = defaultdict(int)
    for name in structure.functions:
        if name in structure.pinned:
            counts[chosen[name]] += 1
    if counts:
        return max(counts, key=counts.__getitem__)
    if groups:
        return max(groups, key=lambda group: len(groups[group]))
    return Recipe()


def _imported(structure: Structure, own: tuple[str, ...], closed: set[str]) -> tuple[str, ...]:
    """Return what a part may inline: what its functions use, and what that uses in turn."""
    found: set[str] = set()
    level = set(own)
    seen = set(own)
    for _ in range(_MAX_DEPTH):
        used = {word for name in level for word in structure.references.get(name, ())} - seen
        # Through variables too: a table of functions that folds to one of them.
        seen |= used
        level = {
            word
            for word in used
            if word not in closed
            and (
                word in structure.importable_constants
                or (
                    word in structure.importable_functions
                    and structure.num_instructions[word] <= _MAX_IMPORTED_INSTRUCTIONS
                )
            )
        }
        found |= level & structure.importable_functions
    return tuple(name for name in structure.num_instructions if name in found)


def _internal(structure: Structure, home: Mapping[str, Recipe], base: Recipe) -> dict[str, Recipe]:
    """Return the static functions and variables that one part alone uses, with its recipe."""
    users: dict[str, set[str]] = defaultdict(set)
    for user, used in structure.references.items():
        for name in used:
            users[name].add(user)
    aliased = {function for _, function in structure.aliases}
    position: dict[str, Recipe | None] = dict(home)
    # A variable lies where all its users lie; all others stay in the base.
    changed = True
    while changed:
        changed = False
        for name in structure.local_variables:
            if name in position or name in structure.opaque_constants or not users[name]:
                continue
            homes = {position.get(user) for user in users[name]}
            if len(homes) == 1 and (only := homes.pop()) is not None:
                position[name] = only
                changed = True
    if any(FORBIDDEN & set(n) for n in (*structure.local_functions, *structure.local_variables)):
        return {}
    found = {}
    for name in (*structure.local_functions, *structure.local_variables):
        if name in structure.pinned or name in aliased or not users[name]:
            continue
        at = position.get(name)
        if at is not None and all(position.get(user) == at for user in users[name]):
            found[name] = at
    return found
