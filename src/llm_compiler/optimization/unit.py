"""One input on its way through the steps of `optimize`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.llvm.jobs import Inspection
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.llvm.stock import Stock
from llm_compiler.records import PassList
from llm_compiler.search.trial import Trial

__all__ = ["Unit"]

_NO_SIZES = ObjectSizes(size_bytes=0, text_data_bytes=0)


@dataclass(slots=True)
class Unit:
    """One input on its way through."""

    source: Path
    output: Path
    folder: Path
    started: float
    stock: Stock
    baseline: bytes = b""
    baseline_sizes: ObjectSizes = _NO_SIZES
    inspection: Inspection | None = None
    trial: Trial | None = None
    from_model: set[PassList] = field(default_factory=set)
    """Lists that the model chose."""
    oz_size_bytes: int = 0
    """At default<Oz>, in process, if that was measured."""
    object_format: str = "ELF"
    """Of the target; what is not ELF is not measured."""
    num_assemblies: int = 0
    """Assemblies function by function that were compiled."""
    warnings: list[str] = field(default_factory=list)
    diagnostics: str = ""
    """What clang printed of the input: its warnings."""

    @property
    def bitcode_path(self) -> Path:
        """The unoptimised bitcode, once `prepare` has made it."""
        return self.folder / "unoptimized.bc"

    @property
    def triple(self) -> str:
        """The target triple, empty until the module was looked at."""
        return self.inspection.target_triple if self.inspection else ""

    @property
    def text(self) -> str:
        """The unoptimised module's text, if it was kept."""
        return self.inspection.text if self.inspection else ""
