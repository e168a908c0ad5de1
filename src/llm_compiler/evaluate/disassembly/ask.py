"""Disassembly, evaluated: functions of a suite, compiled, lifted by models, and put to the test.

Each answer of a model is judged alone, by the `Lifter` that `disassemble` uses, so that the rows
tell what the first K answers are worth for every K. An item is one function at one level; its rows
are those of all models.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.disassembly.binary import Binary, read_binary
from llm_compiler.disassembly.disassembled import DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.lift import Lifter
from llm_compiler.disassembly.read_function import Unreadable
from llm_compiler.errors import (
    CompilerError,
    InputError,
    TimedOut,
    ToolchainNotFound,
)
from llm_compiler.evaluate.disassembly.items import LiftItem
from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.disassembly.rows import BEYOND_CONTEXT, NO_ANSWER, UNREADABLE, LiftRow
from llm_compiler.evaluate.text_distance import bleu
from llm_compiler.evaluate.threads import ThreadTools
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.model.engines.questions import disassembly_question
from llm_compiler.model.engines.requests import Capability, CodeAnswer
from llm_compiler.model.engines.shared import SharedEngine
from llm_compiler.records import content_hash
from llm_compiler.verify.execute import Executor
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.verify.target import find_target

__all__ = ["AskedModel", "lift_rows"]

RULES = "rules"
"""What rows call the contender that has no model."""
_ENOUGH = "enough of this function's answers were"
_NOT_JUDGED = "it cannot be judged"


class AskedModel(SharedEngine):
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


def lift_rows(
    item: LiftItem,
    options: LiftOptions,
    engines: Sequence[tuple[str, AskedModel]],
    toolchain: Toolchain,
    tools: ThreadTools,
) -> Iterator[LiftRow]:
    """Yield the rows of one function: of rules, where they are asked for, and of each model."""
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
    by_model = DisassembleOptions(
        candidates=options.candidates,
        rules=False,
        temperature=options.temperature,
        function_s=options.function_s,
        execute=options.execute,
        timeout_s=options.timeout_s,
        seed=options.seed,
    )

    def lifter(engine: Engine, how: DisassembleOptions) -> Lifter:
        return Lifter(
            binary,
            engine,
            how,
            pool=tools.pool,
            toolchain=toolchain,
            executor=executor,
            folder=tools.folder,
        )

    by_rules: LiftRow | None = None
    if options.rules or any(
        Capability.LIFT not in asked_model.capabilities for _, asked_model in engines
    ):
        how = dataclasses.replace(by_model, rules=True, search_s=options.search_s)
        by_rules = _by_rules(item, lifter(NoEngine(), how), symbol)
        yield by_rules
    for name, engine in engines:
        if Capability.LIFT not in engine.capabilities:
            continue
        best = by_rules
        for row in _answers(item, name, engine, lifter(engine, by_model), symbol, options):
            yield row
            if best is not None and _rank(row) < _rank(best):
                best = row
        if best is not None:
            yield dataclasses.replace(best, model=f"{RULES} and {name}", candidate=1)


def _answers(
    item: LiftItem,
    name: str,
    engine: AskedModel,
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
    for position, answer in enumerate(answers or [CodeAnswer(code="")]):
        if position and not answer.code:
            break
        # After enough runs, or one that agreed, only exact code is news.
        spent = proved or num_executed >= options.max_executed
        try:
            outcome = lifter.verify(question, [answer] if answers else [], run=not spent).outcome
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
            candidate=position + 1 if answer.code else 0,
            model_seconds=model_seconds,
            seconds=time.monotonic() - start - model_seconds,
            assembly=outcome.assembly if position == 0 else "",
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


def _by_rules(item: LiftItem, lifter: Lifter, symbol: Symbol) -> LiftRow:
    """Return what rules alone make of a function."""
    start = time.monotonic()
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
