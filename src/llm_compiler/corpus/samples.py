"""A sample: one module of a corpus in normal form, with where it comes from and its size.

Rows of the Parquet shards (`corpus.shards`) are of this shape; docs/data.md explains each column.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_compiler.llvm.targets import architecture_of, lifted_targets

__all__ = ["ARCHITECTURES", "KINDS", "SPLITS", "Sample"]

SPLITS = ("train", "validation", "test")
"""In order of precedence: of near duplicates, the one in the first of these is kept."""
KINDS = ("function", "unit")
ARCHITECTURES = tuple(target_record.name for target_record in lifted_targets())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One module in normal form (`corpus.normalize`); every field is a column.

    `module_hash` is the content hash of `bitcode`, the key that labels use; `text` is the same
    module. `kind` is "function" (`function` is its symbol) or "unit". The sizes are those of the
    object after ``default<Oz>``, made in process. `cluster` names the near duplicates that this
    sample stands for: it is the `module_hash` of their first representative.
    """

    module_hash: str = ""
    kind: str = ""
    function: str = ""
    package: str = ""
    version: str = ""
    license: str = ""
    split: str = ""
    language: str = ""
    target_triple: str = ""
    source: str = ""
    num_functions: int = 0
    num_instructions: int = 0
    bitcode: bytes = field(default=b"", repr=False)
    text: str = field(default="", repr=False)
    size_bytes: int = 0
    text_data_bytes: int = 0
    cluster: str = ""

    @property
    def architecture(self) -> str:
        """The first component of the target triple: ``x86_64``."""
        return architecture_of(self.target_triple)
