"""Which functions and units of a corpus become samples: decided before any is extracted.

A function that many units hold (an inline function of a header, a template's instance) is taken
from the first unit of its package; one of namespace std from the first unit of all. First means:
train before validation before test, then by package, target and source, so that the choice depends
on the corpus and the settings only. Pure functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_compiler.corpus.manifest import Unit
from llm_compiler.corpus.samples import SPLITS
from llm_compiler.corpus.sampling_jobs import FunctionInfo
from llm_compiler.errors import ConfigError
from llm_compiler.records import content_hash

__all__ = ["SampleConfig", "UnitPlan", "order_units", "plan_samples"]

# Itanium C++ ABI: std:: is St (or Sa, Sb, Ss, Si, So, Sd for its own classes), maybe qualified.
_STD = re.compile(r"_ZN?[rVK]*(?:S[tabsiod]|9__gnu_cxx)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """What becomes a sample: the mix of functions and units, and what counts as a near duplicate.

    Text bytes and instructions are those of the normal form; `max_package_functions` counts per
    target (0: no limit); `unit_share` of the units are samples as a whole, if they are short
    enough; `threshold` is the Jaccard index of two sets of shingles from which on they are clones.
    """

    max_text_bytes: int = 65_536
    min_instructions: int = 5
    max_instructions: int = 0
    max_package_functions: int = 20_000
    unit_share: float = 1.0
    threshold: float = 0.8

    def __post_init__(self) -> None:
        if not 0 <= self.unit_share <= 1:
            raise ConfigError(f"the share of units is between 0 and 1, not {self.unit_share:g}")
        if not 0.5 <= self.threshold <= 1:
            raise ConfigError(f"the threshold is between 0.5 and 1, not {self.threshold:g}")
        if 0 < self.max_instructions < self.min_instructions:
            raise ConfigError(
                f"at least {self.min_instructions} and at most {self.max_instructions} "
                "instructions: there is no such function"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPlan:
    """What to make of one unit: these functions, and the unit itself if `whole`."""

    unit: Unit
    functions: tuple[str, ...]
    whole: bool


def order_units(units: Sequence[Unit]) -> list[Unit]:
    """Return the units in the order in which they are planned and stored."""
    rank = {split: index for index, split in enumerate(SPLITS)}
    return sorted(
        units,
        key=lambda u: (rank.get(u.split, len(rank)), u.package, u.target_triple, u.source, u.path),
    )


def plan_samples(
    units: Sequence[Unit],
    functions: Mapping[str, Sequence[FunctionInfo]],
    config: SampleConfig,
) -> tuple[list[UnitPlan], Counter[str]]:
    """Choose functions and units.

    Args:
        units: in their order (`order_units`).
        functions: of each unit, by the SHA-256 of its bitcode; none where it could not be read.

    Returns:
        A plan for each unit, and how many functions were left out, by reason.
    """
    counts: Counter[str] = Counter()
    taken: set[tuple[str, str, str]] = set()
    chosen: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    for index, unit in enumerate(units):
        for function in functions.get(unit.sha256, ()):
            if function.num_instructions < config.min_instructions:
                counts["too-small"] += 1
                continue
            if 0 < config.max_instructions < function.num_instructions:
                counts["too-long"] += 1
                continue
            if function.repeated:
                scope = "" if _STD.match(function.name) else unit.package
                key = (unit.target_triple, scope, function.name)
                if key in taken:
                    counts["repeated"] += 1
                    continue
                taken.add(key)
            # Drawn by hash: which functions a limit leaves does not depend on their order.
            lot = content_hash(f"{unit.source}\0{function.name}".encode("utf-8", "surrogateescape"))
            chosen.setdefault((unit.package, unit.target_triple), []).append(
                (lot, index, function.name)
            )
    kept: set[tuple[int, str]] = set()
    for candidates in chosen.values():
        limit = config.max_package_functions or len(candidates)
        counts["over-limit"] += max(0, len(candidates) - limit)
        kept.update((index, name) for _, index, name in sorted(candidates)[:limit])
    return [
        UnitPlan(
            unit=unit,
            functions=tuple(
                function.name
                for function in functions.get(unit.sha256, ())
                if (index, function.name) in kept
            ),
            whole=_is_whole(unit, functions.get(unit.sha256, ()), config),
        )
        for index, unit in enumerate(units)
    ], +counts


def _is_whole(unit: Unit, functions: Sequence[FunctionInfo], config: SampleConfig) -> bool:
    # Text is longer than bitcode: what is too long already need not be printed to be refused.
    if not functions or unit.num_bytes > config.max_text_bytes:
        return False
    lot = int(content_hash(unit.sha256.encode())[:8], 16) / 2**32
    total = sum(function.num_instructions for function in functions)
    return lot < config.unit_share and not 0 < config.max_instructions < total
