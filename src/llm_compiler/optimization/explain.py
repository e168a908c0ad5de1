"""What saved what: each element of a recipe left out once, and what the object then takes.

In process, since only differences count. Elements work together, so their bytes need not add up to
what the whole recipe saves; one without which the object is no larger has 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from llm_compiler.llvm.module_jobs import SectionsJob
from llm_compiler.llvm.object_file import section_groups
from llm_compiler.llvm.passes import element_name
from llm_compiler.records import Recipe
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Contribution", "Explanation", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What the object would take more without one element of the recipe, by section."""

    kind: str
    """``pass``, ``attribute``, ``option``, or ``functions``."""
    element: str
    saved_bytes: int
    sections: dict[str, int] = field(default_factory=dict)
    """Sections where that is not 0; negative: the element costs there."""

    def to_json(self) -> dict[str, object]:
        """Return it as ``optimize --json --explain`` prints it."""
        return {
            "kind": self.kind,
            "element": self.element,
            "saved_bytes": self.saved_bytes,
            "sections": self.sections,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The sections of clang -Oz's object and of ours, and what each element brings."""

    baseline: dict[str, int]
    optimized: dict[str, int]
    contributions: tuple[Contribution, ...]

    def to_json(self) -> dict[str, object]:
        """Return it as ``optimize --json --explain`` prints it."""
        return {
            "baseline_sections": self.baseline,
            "optimized_sections": self.optimized,
            "elements": [contribution.to_json() for contribution in self.contributions],
        }


def explain(
    bitcode: bytes,
    recipe: Recipe,
    *,
    baseline: bytes,
    whole: bytes,
    optimized: bytes,
    pool: WorkerPool,
    timeout_s: float,
) -> Explanation:
    """Leave out every element of a recipe once and say what that costs.

    Args:
        recipe: the best one of the whole unit.
        baseline: clang -Oz's object.
        whole: the object of `recipe`.
        optimized: what is handed out; another than `whole` where functions have their own recipes.
    """
    found: list[Contribution] = []
    variants = list(_variants(recipe))
    job = SectionsJob(
        bitcode=bitcode,
        recipes=(recipe, *(each_recipe for _, _, each_recipe in variants)),
        timeout_s=timeout_s,
    )
    with_all, *results = run_jobs(pool, [job])[0]
    for (kind, element, _), sections in zip(variants, results, strict=True):
        if with_all and sections:
            found.append(_contribution(kind, element, sections, with_all))
    found.sort(key=lambda contribution: (-contribution.saved_bytes, contribution.element))
    if whole != optimized:
        found.insert(
            0,
            _contribution(
                "functions",
                "functions with recipes of their own",
                section_groups(whole),
                section_groups(optimized),
            ),
        )
    return Explanation(
        baseline=section_groups(baseline),
        optimized=section_groups(optimized),
        contributions=tuple(found),
    )


def _variants(recipe: Recipe) -> Iterator[tuple[str, str, Recipe]]:
    recipe = replace(recipe, functions=())
    for index, element in enumerate(recipe.elements):
        yield "pass", element_name(element), recipe.without(index)
    for text in recipe.attributes:
        yield "attribute", text, replace(recipe, attributes=_others(recipe.attributes, text))
    for text in recipe.options:
        yield "option", text, replace(recipe, options=_others(recipe.options, text))


def _others(texts: Sequence[str], but: str) -> tuple[str, ...]:
    return tuple(text for text in texts if text != but)


def _contribution(
    kind: str, element: str, without: dict[str, int], having: dict[str, int]
) -> Contribution:
    names = sorted({*without, *having})
    sections = {name: without.get(name, 0) - having.get(name, 0) for name in names}
    return Contribution(
        kind=kind,
        element=element,
        saved_bytes=sum(sections.values()),
        sections={name: count for name, count in sections.items() if count},
    )
