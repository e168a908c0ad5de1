"""What evaluations are about: modules, the suites that they come from, what is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.llvm.module_jobs import Inspection
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import content_hash

__all__ = [
    "CLANG_BASELINE",
    "IN_PROCESS_BASELINE",
    "EvaluationModule",
    "Excluded",
    "Suite",
    "SuiteOptions",
    "module_of_bitcode",
]

CLANG_BASELINE = "clang -Oz"
IN_PROCESS_BASELINE = "default<Oz> in process"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """How modules are chosen and compiled.

    The first five are of samples, `split` and `modules` of corpora too: modules per target,
    of that size after default<Oz> (0: no limit); `architecture` is empty for all.
    """

    split: str = "test"
    architecture: str = ""
    modules: int = 0
    min_size_bytes: int = 200
    max_size_bytes: int = 0
    seed: int = 0
    clang_flags: tuple[str, ...] = ()
    target_triple: str = ""
    timeout_s: float = 60.0
    kind: str = ""
    """Of samples: "function" or "unit", if the folder has any of that kind; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationModule:
    """One module to be measured. `unit` is there where it was compiled from the user's files."""

    suite: str
    name: str
    program: str
    bitcode: bytes = field(repr=False)
    target_triple: str
    num_functions: int
    num_instructions: int
    module_hash: str = ""
    text: str = field(default="", repr=False)
    """In normal form, for models to read; made on demand."""
    flags: str = ""
    unit: Unit | None = field(default=None, repr=False)
    baseline: ObjectSizes | None = None
    """None: default<Oz> in process, which is yet to be measured."""

    def __post_init__(self) -> None:
        if not self.module_hash:
            object.__setattr__(self, "module_hash", content_hash(self.bitcode))

    @property
    def key(self) -> str:
        """What names this module in a run."""
        return f"{self.suite}|{self.name}|{self.module_hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A unit that is not measured, and why."""

    suite: str
    name: str
    cause: str


@dataclass(slots=True, kw_only=True)
class Suite:
    """The modules of one thing that the user named."""

    name: str
    what: str
    """One sentence: how they were chosen or compiled, and against what they are measured."""
    modules: list[EvaluationModule]
    excluded: list[Excluded]
    notes: list[str] = field(default_factory=list)
    """What it took to compile some of them."""
    units: dict[Path, Unit] = field(default_factory=dict, repr=False)
    """Of the user's files, by source: all that compile, those without a function too."""


def module_of_bitcode(
    suite: str, name: str, program: str, bitcode: bytes, inspection: Inspection
) -> EvaluationModule | Excluded:
    """Return a module that is measured in process, by what LLVM says of it."""
    if not inspection.functions:
        return Excluded(suite=suite, name=name, cause=inspection.detail or "it has no function")
    return EvaluationModule(
        suite=suite,
        name=name,
        program=program,
        bitcode=bitcode,
        target_triple=inspection.target_triple,
        num_functions=len(inspection.functions),
        num_instructions=inspection.num_instructions,
    )
