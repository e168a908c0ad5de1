"""Emulation, evaluated: what models say a pass list makes of a module, beside what LLVM makes.

An item is a module, a kind of list and a kind of code; its rows are those of all models. Lists are
drawn by the seed and the module's hash; a list that LLVM itself fails on is drawn again.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_compiler.emulate import Emulated, EmulateOptions, emulate
from llm_compiler.errors import CompilerError, ConfigError, InputError, ResourceError, WorkerLost
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.evaluate.text_distance import bleu
from llm_compiler.evaluate.threads import ThreadTools
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.model.engines.shared import SharedEngine
from llm_compiler.records import OZ, PassList
from llm_compiler.verify.execute import ExecuteOptions

__all__ = [
    "CODES",
    "FAILED",
    "KINDS",
    "EmulationItem",
    "EmulationOptions",
    "EmulationRow",
    "ask_model",
    "emulation_items",
]

KINDS = ("single pass", OZ.pipeline, "random list")
CODES = ("ir", "assembly")
_MAX_DRAWS = 5
_MAX_PASSES = 50
_NUMBERS = ("_before", "_after", "_predicted")
FAILED = "failed"
"""The verdict of a row whose list LLVM fails on, whichever is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationRow:
    """One model's prediction for one module and pass list; -1 where it states no number."""

    suite: str
    module: str
    module_hash: str
    program: str
    target_triple: str
    list_kind: str
    """One of `KINDS`."""
    code: str
    """``ir`` or ``assembly``."""
    passes: str
    model: str
    verdict: str
    """Of `emulate`; ``failed`` where LLVM makes nothing of the module, which counts for nobody."""
    reason: str
    unchanged: int
    """1: the list changes nothing, so that the question is its answer; -1: assembly was asked."""
    bleu: float
    """Of the predicted code against the compiler's, 0 to 1; 0 without answer."""
    num_functions: int
    num_instructions_before: int
    num_instructions_after: int
    num_instructions_predicted: int
    size_bytes_before: int
    size_bytes_after: int
    size_bytes_predicted: int
    text_data_bytes_before: int
    text_data_bytes_after: int
    text_data_bytes_predicted: int
    model_seconds: float
    check_seconds: float
    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationOptions:
    """What is asked, and how it is checked."""

    kinds: tuple[str, ...] = KINDS
    codes: tuple[str, ...] = ("ir",)
    modules: int = 0
    """Drawn per target; 0: all."""
    seed: int = 0
    timeout_s: float = 60.0
    execute: ExecuteOptions = field(default_factory=ExecuteOptions)

    def __post_init__(self) -> None:
        for named, known in ((self.kinds, KINDS), (self.codes, CODES)):
            if unknown := [word for word in named if word not in known]:
                raise ConfigError(
                    f"'{unknown[0]}' cannot be emulated: expected some of {', '.join(known)}"
                )

    def to_json(self) -> dict[str, Any]:
        """Return what makes a run what it is."""
        return {
            "kinds": list(self.kinds),
            "codes": list(self.codes),
            "modules": self.modules,
            "seed": self.seed,
            "timeout_s": self.timeout_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationItem:
    """A module, a kind of list, a kind of code."""

    module: EvaluationModule
    kind: str
    code: str

    @property
    def key(self) -> str:
        """What names it in a run."""
        return f"{self.module.key}|{self.kind}|{self.code}"


def emulation_items(
    modules: Sequence[EvaluationModule], options: EmulationOptions
) -> list[EmulationItem]:
    """Draw modules, and ask for each kind of list and code.

    Any beginning of what is returned is spread over targets and programs.

    Raises:
        InputError: there is no module.
    """
    if not modules:
        raise InputError("no module of the suites can be emulated: there is none")
    chosen = draw_evenly(
        modules,
        lambda module: architecture_of(module.target_triple),
        (lambda module: module.program, lambda module: module.key),
        count=options.modules,
        seed=options.seed,
    )
    return [
        EmulationItem(module=module, kind=kind, code=code)
        for module in chosen
        for kind in options.kinds
        for code in options.codes
    ]


def _draw(item: EmulationItem, seed: int, attempt: int, space: Sequence[str]) -> PassList:
    if item.kind == OZ.pipeline:
        return OZ
    # Seeded by text, which goes through SHA-512: the same on every machine, unlike hash().
    rng = random.Random(f"{seed}:{item.kind}:{item.module.module_hash}:{attempt}")
    count = 1 if item.kind == KINDS[0] else rng.randint(2, _MAX_PASSES)
    return PassList(tuple(rng.choice(list(space)) for _ in range(count)))


def ask_model(
    item: EmulationItem,
    options: EmulationOptions,
    name: str,
    engine: SharedEngine,
    space: Sequence[str],
    tools: ThreadTools,
) -> EmulationRow:
    """Return what a model says of an item, checked."""
    source = tools.folder / "module.bc"
    source.write_bytes(item.module.bitcode)
    how = EmulateOptions(
        assembly=item.code == "assembly",
        check=True,
        timeout_s=options.timeout_s,
        execute=options.execute,
    )
    passes, reason = PassList(), ""
    for attempt in range(1 if item.kind == OZ.pipeline else _MAX_DRAWS):
        passes = _draw(item, options.seed, attempt, space)
        engine.take_seconds()
        try:
            found = emulate(source, passes, engine, how, pool=tools.pool)
        except WorkerLost:
            raise
        except (InputError, CompilerError, ResourceError) as error:
            reason = str(error).replace(str(source), item.module.name)[:500]
            continue
        return _row(item, name, found, engine)
    return _failed(item, name, passes, reason)


def _identity(item: EmulationItem, model: str, passes: PassList) -> dict[str, Any]:
    module = item.module
    return {
        "suite": module.suite,
        "module": module.name,
        "module_hash": module.module_hash,
        "program": module.program,
        "target_triple": module.target_triple,
        "list_kind": item.kind,
        "code": item.code,
        "passes": passes.pipeline,
        "model": model,
        "num_functions": module.num_functions,
    }


def _row(item: EmulationItem, name: str, found: Emulated, engine: SharedEngine) -> EmulationRow:
    check = found.check
    assert check is not None
    model_seconds = engine.take_seconds()
    question = found.question

    def number(value: int | None) -> int:
        return -1 if value is None else value

    unchanged = -1
    if item.code == "ir":
        unchanged = int(_lines(question) == _lines(check.code))
    return EmulationRow(
        **_identity(item, name, parse_pass_list(found.passes)),
        verdict=check.verdict.value,
        reason=check.reason,
        unchanged=unchanged,
        bleu=0.0 if found.code is None else bleu(found.code, check.code),
        num_instructions_before=found.num_instructions_before,
        num_instructions_after=check.num_instructions,
        num_instructions_predicted=number(found.num_instructions),
        size_bytes_before=found.size_bytes_before,
        size_bytes_after=check.size_bytes,
        size_bytes_predicted=number(found.size_bytes),
        text_data_bytes_before=found.text_data_bytes_before,
        text_data_bytes_after=check.text_data_bytes,
        text_data_bytes_predicted=number(found.text_data_bytes),
        model_seconds=round(model_seconds, 4),
        check_seconds=round(found.seconds - model_seconds, 4),
        question=question,
        answer=found.code or "",
    )


def _failed(item: EmulationItem, name: str, passes: PassList, reason: str) -> EmulationRow:
    numbers: dict[str, Any] = {
        each_field.name: -1
        for each_field in dataclasses.fields(EmulationRow)
        if each_field.name.endswith(_NUMBERS)
    }
    return EmulationRow(
        **_identity(item, name, passes),
        **numbers,
        verdict=FAILED,
        reason=reason,
        unchanged=-1,
        bleu=0.0,
        model_seconds=0.0,
        check_seconds=0.0,
        question="",
        answer="",
    )


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
