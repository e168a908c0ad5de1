"""Disassembly, evaluated: functions of a suite, compiled, lifted by models, and put to the test.

Each answer of a model is judged alone, by the `Lifter` that `disassemble` uses, so that the rows
tell what the first K answers are worth for every K. An item is one function at one level; its rows
are those of all models.
"""

from __future__ import annotations

import dataclasses
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.dataset.records import StageSample
from llm_compiler.disassembly.binary import Binary, read_binary
from llm_compiler.disassembly.lift import Lifter
from llm_compiler.disassembly.read_function import Unreadable
from llm_compiler.disassembly.records import DisassembleOptions, LiftedFunction
from llm_compiler.errors import (
    CompilerError,
    ConfigError,
    InputError,
    TimedOut,
    ToolchainNotFound,
)
from llm_compiler.evaluate.rows import Journal
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import EvaluationModule, Excluded
from llm_compiler.evaluate.text_distance import bleu
from llm_compiler.evaluate.threads import ThreadTools, work_through
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.jobs import EmitJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.model.engines.questions import disassembly_question
from llm_compiler.model.engines.requests import Capability, CodeAnswer
from llm_compiler.model.engines.shared import SharedEngine
from llm_compiler.records import Status, content_hash
from llm_compiler.verify.execute import ExecuteOptions, Executor
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.verify.target import architecture_of, find_target
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "BEYOND_CONTEXT",
    "LEVELS",
    "NO_ANSWER",
    "UNREADABLE",
    "LiftItem",
    "LiftOptions",
    "LiftRow",
    "evaluate_lifting",
    "lift_items",
]

RULES = "rules"
"""What rows call the contender that has no model."""
UNREADABLE, BEYOND_CONTEXT, NO_ANSWER = "unreadable", "beyond context", "no answer"
_ENOUGH = "enough of this function's answers were"
_NOT_JUDGED = "it cannot be judged"
LEVELS = ("O0", "O1", "O2", "O3", "Os", "Oz")
_FUNCTION = re.compile(
    r'^\s*\.type\s+(?:"((?:[^"\\]|\\.)*)"|([^,\s"]+)),\s*[@%]function$', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRow:
    """One answer of one model for one function; of a function without answers one row."""

    suite: str
    module: str
    module_hash: str
    program: str
    target_triple: str
    level: str
    function: str
    num_instructions: int
    """Of the machine code; 0 where the function cannot be read."""
    model: str
    candidate: int
    """From 1, in the model's order, the greedy one first; 0: there is no answer."""
    verdict: str
    reason: str
    cause: str
    """Of rows without answer: ``unreadable`` (no model was asked), ``beyond context`` (the prompt
    leaves no room for an answer), ``no answer`` (none was finished in the context, or the model's
    form has no words for the function); else empty."""
    attributes: str
    """Of exact answers: the function attributes that took the place of the answer's own."""
    lowers: int
    """1: the answer is well-formed IR of this function, and lowers."""
    bleu: float
    """Of its assembly against the original's, 0 to 1; 0 where it does not lower."""
    num_inputs: int
    num_blocks: int
    num_covered: int
    counterexample: str
    model_seconds: float
    """Of all answers of the model, in the first row."""
    check_seconds: float
    assembly: str
    """The question: the function in normal form, in the first row."""
    answer: str
    """The model's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftOptions:
    """What is asked, and how it is checked."""

    levels: tuple[str, ...] = ("Oz",)
    functions: int = 0
    """Drawn per target and level; 0: all."""
    candidates: int = 8
    max_executed: int = 3
    """Of a function's answers that are not exact, so many are run."""
    temperature: float = 0.0
    seed: int = 0
    timeout_s: float = 60.0
    rules: bool = False
    """Rules alone are a contender too, and so are rules and each model together."""
    search_s: float = 2.0
    """Of processor time, for the rules' search."""
    execute: ExecuteOptions = field(default_factory=ExecuteOptions)

    def __post_init__(self) -> None:
        if unknown := [one for one in self.levels if one not in LEVELS]:
            raise ConfigError(f"'{unknown[0]}' is no level: expected some of {', '.join(LEVELS)}")
        if self.candidates < 1:
            raise ConfigError("--candidates starts at 1")

    def to_json(self) -> dict[str, Any]:
        """Return what makes a run what it is."""
        return {
            "levels": list(self.levels),
            "functions": self.functions,
            "candidates": self.candidates,
            "max_executed": self.max_executed,
            "temperature": self.temperature,
            "seed": self.seed,
            "timeout_s": self.timeout_s,
            "rules": self.rules,
            "search_s": self.search_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftItem:
    """One function at one level."""

    module: EvaluationModule
    level: str
    function: str
    assembly: Path
    """Of the whole module."""

    @property
    def key(self) -> str:
        """What names it in a run."""
        return f"{self.module.key}|{self.level}|{self.function}"


def lift_items(
    modules: Sequence[EvaluationModule], options: LiftOptions, pool: WorkerPool, folder: Path
) -> tuple[list[LiftItem], list[Excluded]]:
    """Compile modules at each level, and draw functions from them.

    Any beginning of what is returned is spread over targets, levels and programs: first one
    function of each module, program by program, then a second one. The order depends on the seed
    and the modules only.

    Args:
        folder: for the assembly files; must live as long as the items.

    Raises:
        InputError: no module has a function.
    """
    excluded: list[Excluded] = []
    found: list[LiftItem] = []
    for level in options.levels:
        passes = parse_pass_list(f"default<{level}>")
        jobs = [
            EmitJob(
                modules=(one.bitcode,), passes=passes, kind="assembly", timeout_s=options.timeout_s
            )
            for one in modules
        ]
        for number, (module, (emitted, *_)) in enumerate(
            zip(modules, run_jobs(pool, jobs), strict=True)
        ):
            if emitted.status is not Status.OK:
                cause = f"LLVM {emitted.status.value} at default<{level}>: {emitted.detail}"
                excluded.append(Excluded(suite=module.suite, name=module.name, cause=cause))
                continue
            path = folder / f"{number}-{level}.s"
            path.write_bytes(emitted.data)
            text = emitted.data.decode("utf-8", "replace")
            names = sorted({match[1] or match[2] for match in _FUNCTION.finditer(text)})
            random.Random(f"{options.seed}:{module.module_hash}").shuffle(names)
            found += [
                LiftItem(module=module, level=level, function=name, assembly=path) for name in names
            ]
    items = draw_evenly(
        found,
        lambda item: f"{architecture_of(item.module.target_triple)} {item.level}",
        (lambda item: item.module.program, lambda item: item.module.key),
        count=options.functions,
        seed=options.seed,
    )
    if not items:
        first = f": {excluded[0].cause}" if excluded else ""
        raise InputError(f"no module of the suites has a function to lift{first}")
    return items, excluded


def evaluate_lifting(
    items: Sequence[LiftItem],
    options: LiftOptions,
    journal: Journal[LiftRow],
    *,
    engines: Sequence[tuple[str, Engine]],
    fits: Callable[[Engine, StageSample], bool] = lambda engine, sample: True,
    toolchain: Toolchain,
    num_threads: int,
    make_pool: Callable[[], AbstractContextManager[WorkerPool]],
    deadline: float | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[LiftRow]:
    """Lift functions and return all rows, those of the journal included.

    Args:
        engines: with the names that rows have for them.
        fits: whether a question leaves an engine room for an answer.
        make_pool, deadline, on_progress: as in `work_through`.

    Raises:
        EngineError: a model failed.
        ToolchainError, WorkerLost: LLVM cannot be used.
    """
    shared = [(name, _Asked(engine, fits)) for name, engine in engines]

    def do(item: LiftItem, tools: ThreadTools) -> list[LiftRow]:
        return list(_lift(item, options, shared, toolchain, tools))

    done = work_through(
        items,
        do,
        journal,
        num_threads=num_threads,
        make_pool=make_pool,
        deadline=deadline,
        on_progress=on_progress,
    )
    return [row for item in done for row in journal.rows(item.key) or ()]


class _Asked(SharedEngine):
    """Knows, too, why there may be no answer."""

    def __init__(self, engine: Engine, fits: Callable[[Engine, StageSample], bool]) -> None:
        super().__init__(engine)
        self._own, self._fits = engine, fits

    def cause(self, assembly: str, target_triple: str) -> str:
        """Return the cause of a row without answer."""
        try:
            with self.turn():
                fits = self._fits(self._own, disassembly_question(assembly, target_triple))
        except InputError:
            fits = True
        return NO_ANSWER if fits else BEYOND_CONTEXT


def _lift(
    item: LiftItem,
    options: LiftOptions,
    engines: Sequence[tuple[str, _Asked]],
    toolchain: Toolchain,
    tools: ThreadTools,
) -> Iterator[LiftRow]:
    try:
        binary = _binary(item, toolchain, tools)
        symbol = binary.elf.symbol(item.function)
    except (InputError, CompilerError, TimedOut) as error:
        yield from (_unread(item, name, str(error)) for name, _ in engines)
        return
    if symbol is None:
        yield from (_unread(item, name, "it has no symbol") for name, _ in engines)
        return
    executor = _executor(binary.elf.architecture, options, toolchain, tools)
    by_rules: LiftRow | None = None
    if options.rules or any(Capability.LIFT not in one.capabilities for _, one in engines):
        by_rules = _by_rules(item, binary, symbol, executor, options, toolchain, tools)
        yield by_rules
    for name, engine in engines:
        if Capability.LIFT not in engine.capabilities:
            continue
        best = by_rules
        lifter = Lifter(
            binary,
            engine,
            DisassembleOptions(
                candidates=options.candidates,
                rules=False,
                temperature=options.temperature,
                execute=options.execute,
                timeout_s=options.timeout_s,
                seed=options.seed,
            ),
            pool=tools.pool,
            toolchain=toolchain,
            executor=executor,
            folder=tools.folder,
        )
        for row in _answers(item, name, engine, lifter, symbol, options):
            yield row
            if best is not None and _rank(row) < _rank(best):
                best = row
        if best is not None:
            yield dataclasses.replace(best, model=f"{RULES} and {name}", candidate=1)


def _answers(
    item: LiftItem,
    name: str,
    engine: _Asked,
    lifter: Lifter,
    symbol: Symbol,
    options: LiftOptions,
) -> Iterator[LiftRow]:
    """Yield what each answer of a model is worth alone, until one is exact."""
    start = time.monotonic()
    try:
        question = lifter.read(symbol)
        answers = lifter.answers(question)
    except Unreadable as error:
        yield _unread(item, name, str(error), seconds=time.monotonic() - start, said="the function")
        return
    except (InputError, CompilerError, TimedOut) as error:
        yield _unread(
            item, name, str(error), seconds=time.monotonic() - start, said=f"{_NOT_JUDGED}:"
        )
        return
    num_executed, proved = 0, False
    for place, answer in enumerate(answers or [CodeAnswer(code="")]):
        if place and not answer.code:
            break
        # After enough runs, or one that agreed, only exact code is news.
        spent = proved or num_executed >= options.max_executed
        try:
            outcome = lifter.judge(question, [answer] if answers else [], run=not spent).outcome
        except (InputError, CompilerError, TimedOut) as error:
            # Of a tool, on this answer: the next may be better.
            outcome = _not_judged(item, error)
        if spent and outcome.verdict is LiftVerdict.UNPROVED:
            outcome = dataclasses.replace(outcome, reason="not exact, and not run: " + _ENOUGH)
        model_seconds = engine.take_seconds()
        yield _values(
            item,
            name,
            outcome,
            cause=engine.cause(question.text.text, item.module.target_triple)
            if not answer.code
            else "",
            candidate=place + 1 if answer.code else 0,
            model_seconds=model_seconds,
            seconds=time.monotonic() - start - model_seconds,
            assembly=outcome.assembly if place == 0 else "",
            answer=answer.code,
        )
        if outcome.verdict is LiftVerdict.EXACT:
            break
        lowered = outcome.verdict is not LiftVerdict.NO_ANSWER
        num_executed += lowered and not spent
        proved = proved or outcome.verdict.is_accepted
        start = time.monotonic()


def _rank(row: LiftRow) -> int:
    return LiftVerdict(row.verdict).rank


def _by_rules(
    item: LiftItem,
    binary: Binary,
    symbol: Symbol,
    executor: Executor | None,
    options: LiftOptions,
    toolchain: Toolchain,
    tools: ThreadTools,
) -> LiftRow:
    """Return what rules alone make of a function."""
    start = time.monotonic()
    lifter = Lifter(
        binary,
        NoEngine(),
        DisassembleOptions(
            rules=True,
            search_s=options.search_s,
            execute=options.execute,
            timeout_s=options.timeout_s,
        ),
        pool=tools.pool,
        toolchain=toolchain,
        executor=executor,
        folder=tools.folder,
    )
    try:
        outcome = lifter.lift(symbol).outcome
    except (InputError, CompilerError, TimedOut) as error:
        outcome = _not_judged(item, error)
    answered = outcome.verdict is not LiftVerdict.NO_ANSWER
    return _values(
        item,
        RULES,
        outcome,
        cause="" if answered else NO_ANSWER if outcome.assembly else UNREADABLE,
        candidate=int(answered),
        seconds=time.monotonic() - start,
        assembly=outcome.assembly,
        answer=outcome.ir,
    )


def _not_judged(item: LiftItem, error: Exception) -> LiftedFunction:
    reason = f"{_NOT_JUDGED}: {error}"[:500]
    return LiftedFunction(name=item.function, verdict=LiftVerdict.NO_ANSWER, reason=reason)


def _unread(
    item: LiftItem, model: str, reason: str, *, seconds: float = 0.0, said: str = "the function:"
) -> LiftRow:
    """Return the row of a function that no model was asked about."""
    outcome = LiftedFunction(
        name=item.function, verdict=LiftVerdict.NO_ANSWER, reason=f"{said} {reason}"[:500]
    )
    return _values(item, model, outcome, cause=UNREADABLE, seconds=seconds)


def _values(
    item: LiftItem,
    model: str,
    outcome: LiftedFunction,
    *,
    cause: str,
    candidate: int = 0,
    model_seconds: float = 0.0,
    seconds: float = 0.0,
    assembly: str = "",
    answer: str = "",
) -> LiftRow:
    lowers = outcome.verdict is not LiftVerdict.NO_ANSWER
    example = outcome.counterexample
    module = item.module
    return LiftRow(
        suite=module.suite,
        module=module.name,
        module_hash=module.module_hash,
        program=module.program,
        target_triple=module.target_triple,
        level=item.level,
        function=item.function,
        num_instructions=outcome.num_instructions,
        model=model,
        candidate=candidate,
        verdict=outcome.verdict.value,
        reason=outcome.reason,
        cause=cause,
        attributes=outcome.attributes,
        lowers=int(lowers),
        bleu=_bleu(outcome) if lowers else 0.0,
        num_inputs=outcome.num_inputs,
        num_blocks=outcome.num_blocks,
        num_covered=outcome.num_covered,
        counterexample=", ".join(example.arguments) if example is not None else "",
        model_seconds=round(model_seconds, 4),
        check_seconds=round(seconds, 4),
        assembly=assembly,
        answer=answer,
    )


def _bleu(outcome: LiftedFunction) -> float:
    if outcome.bleu is not None:
        return outcome.bleu
    return bleu(outcome.lowered, outcome.assembly)


def _binary(item: LiftItem, toolchain: Toolchain, tools: ThreadTools) -> Binary:
    """Read a module's assembly; the last one of a thread is kept for the next function."""
    if tools.kept.get("path") != item.assembly:
        folder = tools.folder / content_hash(str(item.assembly).encode())[:16]
        folder.mkdir(exist_ok=True)
        tools.kept["binary"] = read_binary(
            item.assembly, toolchain, folder, target_triple=item.module.target_triple
        )
        tools.kept["path"] = item.assembly
    found: Binary = tools.kept["binary"]
    return found


def _executor(
    architecture: str, options: LiftOptions, toolchain: Toolchain, tools: ThreadTools
) -> Executor | None:
    """Return how code of a target is run here; None: it cannot be."""
    key = f"executor {architecture}"
    if key not in tools.kept:
        try:
            target = find_target(architecture, toolchain)
            tools.kept[key] = Executor(target, tools.folder, options.execute)
        except ToolchainNotFound:
            tools.kept[key] = None
    found: Executor | None = tools.kept[key]
    return found
