"""The rows of flag tuning, from which every figure is made."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one contender made of one module with one budget.

    `passes` is the winning list (empty: none, the baseline stands) and the sizes are those of its
    object, which may be larger than the baseline's: with -Oz backup the smaller of both counts.
    Sizes are -1 where there is none.
    """

    suite: str
    module: str
    module_hash: str
    program: str
    target_triple: str
    num_functions: int
    num_instructions: int
    baseline: str
    """What the baseline is: ``clang -Oz`` or ``default<Oz> in process``."""
    flags: str
    """clang's flags, as text for a shell; empty for modules of a corpus."""
    baseline_size_bytes: int
    baseline_text_data_bytes: int
    contender: str
    model: str
    budget: int
    num_evaluations: int
    passes: str
    size_bytes: int
    text_data_bytes: int
    in_process_size_bytes: int
    """The winner's size as the search saw it; the stock tools may make another."""
    verdict: str
    """``passed``, ``unchecked``, or ``baseline``: nothing was handed out."""
    num_rejected: int
    """Lists that would have won, but PassListEval rejects them."""
    ceiling_size_bytes: int
    ceiling_text_data_bytes: int
    compile_seconds: float
    """Time of all evaluations, those included that another contender had asked for before."""
    model_seconds: float
    recipe: str = ""
    """By `optimize`: all that the object was compiled with; empty where that is `passes` alone, or
    the baseline stands."""
    num_assemblies: int = 0
    """Assemblies function by function that were compiled beside the evaluations."""
    object_name: str = ""
    """By `optimize`, of the user's own units: the object's name in the folder of objects."""
