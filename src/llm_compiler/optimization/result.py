"""What `optimize` gives for one input: sizes, the recipe, its verdict, and the object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_compiler.notebook import card
from llm_compiler.records import Recipe
from llm_compiler.search.objective import SIZE, Objective

if TYPE_CHECKING:  # results are read without what measures
    from llm_compiler.optimization.explain import Explanation

__all__ = ["FROM_STORE", "Optimized"]

FROM_STORE: Final = "store"
"""What `Optimized.proposer` says of a recipe that an earlier search of the user's had found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """What became of one input.

    Sizes are those of the objects that clang itself made; `passes` is None where clang -Oz's
    stands. `output` are the bytes of the kind asked for.
    """

    input: str
    target_triple: str
    llvm_version: str
    baseline_bytes: int
    optimized_bytes: int
    baseline_text_data_bytes: int
    optimized_text_data_bytes: int
    baseline_ram_bytes: int = 0
    """.data and .bss, as a linker map of firmware counts them."""
    optimized_ram_bytes: int = 0
    objective: Objective = SIZE
    baseline_value: int
    """Of clang -Oz's object, by the objective."""
    optimized_value: int
    passes: str | None
    recipe: Recipe | None
    """The passes and what else the object was compiled with."""
    replay: tuple[str, ...]
    proposer: str
    verdict: str
    num_evaluations: int
    num_assemblies: int
    """Assemblies function by function that were compiled beside them."""
    seconds: float
    """From the start of this input's own work, not of the run's."""
    explanation: Explanation | None = None
    """Where that was asked for, and a recipe won."""
    warnings: tuple[str, ...] = ()
    diagnostics: str = field(default="", repr=False)
    """clang's own warnings about the input, as it printed them."""
    output: bytes = field(default=b"", repr=False)

    @property
    def saved_bytes(self) -> int:
        """Bytes saved over clang -Oz; never negative."""
        return self.baseline_bytes - self.optimized_bytes

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        share = 100 * self.saved_bytes / max(1, self.baseline_bytes)
        elements = self.explanation.contributions if self.explanation is not None else ()
        return card(
            f"-{share:.1f} % of clang -Oz" if self.saved_bytes else "as small as clang -Oz",
            {
                "input": self.input,
                "bytes": f"{self.baseline_bytes} -> {self.optimized_bytes}",
                ".text + .data": f"{self.baseline_text_data_bytes} -> "
                f"{self.optimized_text_data_bytes}",
                "recipe": self.recipe.text[:2000] if self.recipe is not None else "clang -Oz's own",
                "from": f"{self.proposer}, {self.verdict}",
                "target": f"{self.target_triple}, LLVM {self.llvm_version}",
                "warnings": "; ".join(self.warnings),
            },
            header=("element", "kind", "bytes saved"),
            rows=[
                (element.element, element.kind, str(element.saved_bytes)) for element in elements
            ],
        )

    def to_json(self) -> dict[str, object]:
        """Return the object that ``optimize --json`` prints (docs/json.md)."""
        found: dict[str, object] = {
            "input": self.input,
            "target_triple": self.target_triple,
            "llvm_version": self.llvm_version,
            "baseline_bytes": self.baseline_bytes,
            "optimized_bytes": self.optimized_bytes,
            "baseline_text_data_bytes": self.baseline_text_data_bytes,
            "optimized_text_data_bytes": self.optimized_text_data_bytes,
            "baseline_ram_bytes": self.baseline_ram_bytes,
            "optimized_ram_bytes": self.optimized_ram_bytes,
            "objective": self.objective.name,
            "baseline_value": self.baseline_value,
            "optimized_value": self.optimized_value,
            "passes": self.passes,
            "recipe": self.recipe.to_json() if self.recipe is not None else None,
            "replay": list(self.replay),
            "proposer": self.proposer,
            "verdict": self.verdict,
            "num_evaluations": self.num_evaluations,
            "num_assemblies": self.num_assemblies,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
        }
        if self.explanation is not None:
            found["explain"] = self.explanation.to_json()
        return found
