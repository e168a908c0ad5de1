"""One input on its way through `optimize`: each step makes a new value of the one before.

`Request` is what is asked for; `prepare` makes a `Unit` of it, `measure` finds `Found` for the
unit, `decide` makes `Chosen` of both, and `finish` what is handed out. None of them is changed by a
later step; what the steps work with is a `Workplace`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from llm_compiler.llvm.module_jobs import Inspection
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.llvm.stock import Stock
from llm_compiler.records import Measurement, PassList

__all__ = ["Found", "Request", "Unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An input, and how clang is to compile it.

    `folder` is the unit's own, for temporary files; `output` is what replay commands write to.
    """

    source: Path
    output: Path
    folder: Path
    stock: Stock

    @property
    def file(self) -> Path:
        """The source, from where we are; `source` is as clang sees it."""
        return self.source if self.stock.cwd is None else self.stock.cwd / self.source

    @property
    def bitcode_path(self) -> Path:
        """Where `prepare` leaves the unoptimised bitcode."""
        return self.folder / "unoptimized.bc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit(Request):
    """An input with its baseline object and its unoptimised module."""

    baseline: bytes = field(repr=False)
    """clang -Oz's own object."""
    baseline_sizes: ObjectSizes
    object_format: str = "ELF"
    """Of the baseline, for people (`llvm.object_file`)."""
    """Of the target; what is not ELF is not measured."""
    inspection: Inspection = field(repr=False)
    warnings: tuple[str, ...] = ()
    diagnostics: str = ""
    """What clang printed of the input: its warnings."""

    @property
    def triple(self) -> str:
        """The target triple."""
        return self.inspection.target_triple

    @property
    def text(self) -> str:
        """The unoptimised module's text, if it was kept."""
        return self.inspection.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found for a unit."""

    measured: Mapping[PassList, Measurement] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    from_model: frozenset[PassList] = frozenset()
    """Lists that the model chose."""
    from_store: frozenset[PassList] = frozenset()
    """Lists that the user's store knew for this unit."""
    searched: bool = False
    """False where nothing was tried: no list is allowed, or there is nothing to shrink."""
    warnings: tuple[str, ...] = ()
