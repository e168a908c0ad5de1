"""What a caller of `disassemble` says and gets: options, a verdict a function, the module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llm_compiler.errors import ConfigError
from llm_compiler.llvm.targets import canonical_triple
from llm_compiler.notebook import card
from llm_compiler.option_values import adopt_values
from llm_compiler.verify.lift_verdict import LiftVerdict
from llm_compiler.verify.side_by_side.options import Counterexample, ExecuteOptions

__all__ = [
    "DisassembleOptions",
    "Disassembled",
    "LiftedFunction",
    "Retargeted",
    "RetargetedFunction",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisassembleOptions:
    """How to disassemble; the defaults are the command line's."""

    functions: tuple[str, ...] = ()
    """Only these; empty: all."""
    candidates: int = 8
    """Answers that the engine is asked for; the first that is exact ends the search."""
    rules: bool | None = None
    """Rules lift first; the model is asked for what they do not make exact. None: so it is, unless
    the engine replays answers that somebody wants verdicts on."""
    search_s: float = 2.0
    """Of processor time: so long each function's draft is varied until it is the same code."""
    function_s: float = 9.0
    """Of processor time: so long a function is looked at, all of its answers together. The nearest
    is run first; others are, as long as time is left. 0: no limit."""
    max_executed: int = 5
    """The number of answers, of those that are not exact, that are run against the original."""
    temperature: float = 0.0
    answer_s: float = 0.0
    """For all of the engine's answers to one function; 0: no limit."""
    target_triple: str = ""
    """Of assembly; empty: x86-64 or AArch64, whichever it assembles for."""
    execute: ExecuteOptions = field(default_factory=ExecuteOptions)
    relink: bool = False
    """Make the input's object again, with lifted functions in place of the originals."""
    jobs: int = 1
    """Functions looked at side by side; the engine answers one after the other."""
    keep_unproved: bool = True
    """The module also holds the best answer of what it does not define: marked, and internal under
    another name, so that nothing is ever linked against it."""
    accept_unproved: bool = False
    """Lifts that are neither shown right nor wrong take the originals' place, too: the caller has
    tests of his own."""
    annotate: bool = False
    """Comments above each function: where it stood, its strings, instructions, lines of source."""
    retarget: str = ""
    """A triple: also make the module for this target, of what means the same there."""
    timeout_s: float = 60.0
    """Limit of each run of clang, and of each answer in a worker."""
    seed: int = 0

    def __post_init__(self) -> None:
        adopt_values(self)
        object.__setattr__(self, "target_triple", canonical_triple(self.target_triple))
        if self.candidates < 1:
            raise ConfigError("--candidates starts at 1")
        if self.jobs < 1:
            raise ConfigError("--jobs starts at 1")
        if self.search_s < 0:
            raise ConfigError("--search-s must not be negative")
        if self.function_s < 0:
            raise ConfigError("--function-s must not be negative")
        if self.timeout_s <= 0:
            raise ConfigError("--timeout-s must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedFunction:
    """One function and what is known of its lift."""

    name: str
    verdict: LiftVerdict
    reason: str = ""
    """Why it is no better, in words; empty for exact."""
    alias_of: str = ""
    """The function of the same code that was lifted: all that is said here is said of that one."""
    is_ifunc: bool = False
    """`alias_of` chooses at load time what this name stands for."""
    num_candidates: int = 0
    """Answers that were looked at."""
    num_instructions: int = 0
    source: str = ""
    """Who gave the answer that counts: ``rules`` or ``model``; empty where there is none."""
    attributes: str = ""
    """Of exact lifts: the function attributes that took the place of the answer's own."""
    claims: tuple[str, ...] = ()
    """What its IR claims beyond its code, since the code is another without it: `nsw`, ...; each
    was tested on the optimised function."""
    bleu: float | None = None
    """Of the lowered lift's assembly against the original's, 0 to 1; needs sacrebleu."""
    is_reencoded: bool = False
    """The input's assembler encoded an instruction differently from LLVM's."""
    has_outlined_code: bool = False
    """AArch64: parts of it are functions of their own, which other functions call, too. The verdict
    is about the function with these parts back in their places."""
    num_inputs: int = 0
    num_completed: int = 0
    num_blocks: int = 0
    num_covered: int = 0
    counterexample: Counterexample | None = None
    seconds: float = 0.0
    is_taken_unproved: bool = False
    """It is not shown right, and takes the original's place all the same: that was asked for."""
    is_cached: bool = False
    """It was found in the cache: another run had lifted the same code."""
    assembly: str = field(default="", repr=False)
    """The original, in normal form; empty where it cannot be read."""
    lowered: str = field(default="", repr=False)
    """What the lift lowers to."""
    ir: str = field(default="", repr=False)
    """The best answer that is well-formed, whatever its verdict."""

    @property
    def is_accepted(self) -> bool:
        """Whether it takes the original's place."""
        return self.verdict.is_accepted or self.is_taken_unproved

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "alias_of": self.alias_of,
            "is_ifunc": self.is_ifunc,
            "num_candidates": self.num_candidates,
            "num_instructions": self.num_instructions,
            "source": self.source if self.verdict is not LiftVerdict.NO_ANSWER else "",
            "attributes": self.attributes,
            "claims": list(self.claims),
            "bleu": self.bleu,
            "is_reencoded": self.is_reencoded,
            "has_outlined_code": self.has_outlined_code,
            "num_inputs": self.num_inputs,
            "num_completed": self.num_completed,
            "num_blocks": self.num_blocks,
            "num_covered": self.num_covered,
            "counterexample": _example_json(self.counterexample),
            "seconds": round(self.seconds, 3),
            "is_taken_unproved": self.is_taken_unproved,
            "is_cached": self.is_cached,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RetargetedFunction:
    """What is shown of a lifted function on another target.

    `verdict`: tests_passed: it agrees there with the original here; unproved: not on enough inputs;
    refuted: it does not; no_answer: something keeps it from the other target.
    """

    name: str
    verdict: LiftVerdict
    reason: str = ""
    is_defined: bool = False
    """The module defines it."""
    num_inputs: int = 0
    num_completed: int = 0
    counterexample: Counterexample | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "is_defined": self.is_defined,
            "num_inputs": self.num_inputs,
            "num_completed": self.num_completed,
            "counterexample": _example_json(self.counterexample),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Retargeted:
    """A lifted file as a module for another target."""

    target_triple: str
    module: str = field(repr=False)
    functions: tuple[RetargetedFunction, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the module defines every function."""
        return all(function.is_defined for function in self.functions)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {
            "target_triple": self.target_triple,
            "functions": [function.to_json() for function in self.functions],
        }


def _example_json(example: Counterexample | None) -> dict[str, Any] | None:
    if example is None:
        return None
    return {
        "arguments": list(example.arguments),
        "difference": example.difference,
        "seed": example.seed,
        "number": example.number,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Disassembled:
    """A lifted file."""

    input: str
    target_triple: str
    functions: tuple[LiftedFunction, ...]
    module: str = field(repr=False)
    """Textual IR: accepted functions defined, the others declared."""
    is_whole: bool = False
    """The module defines all that the input does, its variables too: it can take its place."""
    obstacle: str = ""
    """What keeps it from that."""
    relinked: bytes = field(default=b"", repr=False)
    """An object, where it was asked for and any function was lifted."""
    retargeted: Retargeted | None = None
    """For another target, where it was asked for."""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether every function is at least tests_passed, and none is lost on another target."""
        complete = all(function.verdict.is_accepted for function in self.functions)
        return complete and (self.retargeted is None or self.retargeted.is_complete)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        accepted = sum(function.verdict.is_accepted for function in self.functions)
        return card(
            f"{accepted} of {len(self.functions)} functions lifted",
            {
                "input": self.input,
                "target": self.target_triple,
                "whole": "the module can take the input's place"
                if self.is_whole
                else self.obstacle,
                "warnings": "; ".join(self.warnings),
            },
            header=("function", "verdict", "by", "reason"),
            rows=[
                (function.name, function.verdict.value, function.source, function.reason)
                for function in self.functions
            ],
        )

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "input": self.input,
            "target_triple": self.target_triple,
            "functions": [function.to_json() for function in self.functions],
            "is_whole": self.is_whole,
            "obstacle": self.obstacle,
            "retargeted": self.retargeted.to_json() if self.retargeted else None,
            "seconds": round(self.seconds, 3),
        }
