"""One function: propose, inspect, lower, compare, run; the best verdict wins.

The engine is not trusted: an answer counts only for what is shown of it here. Not safe to share
between threads (the engine is not, nor the pool).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path

from llm_compiler.disassembly.answer_verdicts import AnswerJudge, no_answer
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.disassembled import DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.finishing import ShortDraftJob
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.disassembly.lift_records import AnswerVerdict, Lift, Question
from llm_compiler.disassembly.outlined_code import without_outlined
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.reassemble import Reassembled, reassemble
from llm_compiler.disassembly.rules.known_functions import Program
from llm_compiler.disassembly.rules.lifter import NO_LIMITS, RulesLifter
from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.requests import Capability, CodeAnswer
from llm_compiler.model.engines.requests import Lift as LiftRequest
from llm_compiler.verify.execute import Executor
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.verify.side_by_side.clock import Budget
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["AnswerVerdict", "Lift", "Lifter", "Question"]

MODEL_REACH = 32
"""Instructions beyond which the shipped model has made nothing exact that rules had not."""


class Lifter:
    """Lifts functions of one binary."""

    def __init__(
        self,
        binary: Binary,
        engine: Engine,
        options: DisassembleOptions,
        *,
        pool: WorkerPool,
        toolchain: Toolchain,
        executor: Executor | None,
        folder: Path,
        cache: LiftCache | None = None,
        program: Program | None = None,
    ) -> None:
        self._cache = cache
        self._binary, self._options = binary, options
        self._engine = engine
        self._pool, self._toolchain, self._executor = pool, toolchain, executor
        self._folder = folder
        self._reader = FunctionReader(binary)
        self._rules = _rules_lifter(binary, self._reader, pool, engine, options, program)
        self._judge = AnswerJudge(
            binary,
            options,
            pool=pool,
            toolchain=toolchain,
            executor=executor,
            limits=self._rules.limits if self._rules is not None else lambda _text: NO_LIMITS,
        )

    def lift(self, symbol: Symbol) -> Lift:
        """Return the best that the answers of rules and engine to one function are worth."""
        started = time.monotonic()
        try:
            question = self.read(symbol)
        except Unreadable as error:
            outcome = LiftedFunction(
                name=symbol.name,
                verdict=LiftVerdict.NO_ANSWER,
                reason=f"the function {error}",
                seconds=time.monotonic() - started,
            )
            return Lift(outcome=outcome)
        return _of(question, self._found_or_made(question), started)

    def _found_or_made(self, question: Question) -> Lift:
        """Return what an earlier run made of a function, or what this one does."""
        if self._cache is None:
            return self._ask_and_verify(question)
        key = self._cache.key(
            question,
            self._options,
            self._binary.elf.architecture,
            can_run=self._executor is not None,
            callees=self._rules.known_of_callees(question.text) if self._rules else {},
        )
        found = self._cache.get(key, question, self._toolchain)
        if found is None:
            found = self._ask_and_verify(question)
            was_hurried = self._executor is not None and self._executor.take_was_hurried()
            self._cache.put(key, found, was_hurried=was_hurried)
        return found

    def read(self, symbol: Symbol) -> Question:
        """Return what is asked about a function.

        Raises:
            Unreadable: its machine code cannot be read, or would not be made again.
        """
        folder = self._folder / f"function-{symbol.section}-{symbol.index}"
        folder.mkdir(exist_ok=True)
        text = self._reader.read(symbol)
        proof = reassemble(self._binary, symbol, text, self._toolchain, folder / "original.o")
        has_outlined_code = PREFIX in text.text
        if has_outlined_code:
            text, proof = without_outlined(
                self._binary, self._reader, self._toolchain, text, proof, folder / "whole.o"
            )
        return Question(text=text, proof=proof, folder=folder, has_outlined_code=has_outlined_code)

    def answers(self, question: Question, drafts: Sequence[str] = ()) -> list[CodeAnswer]:
        """Return the engine's answers, at most as many as the options say.

        Args:
            drafts: of the rules, the nearest first; half of the answers are in view of it, where
                the engine can do that.
        """
        options, triple = self._options, self._binary.target_triple
        text = question.text
        plain = LiftRequest(
            assembly=text.text,
            target_triple=triple,
            num_candidates=options.candidates,
            temperature=options.temperature,
            seed=options.seed,
            seconds=options.answer_s,
        )
        answers: list[CodeAnswer] = []
        if drafts and Capability.FINISH in self._engine.capabilities:
            job = ShortDraftJob(drafts=tuple(drafts[:1]), assembly=text.text, target_triple=triple)
            if body := run_jobs(self._pool, [job])[0][0]:
                half = -(-options.candidates // 2)
                answers = self._engine.answer(
                    dataclasses.replace(plain, draft=body, num_candidates=half)
                )
        if len(answers) < options.candidates:
            known = {answer.code for answer in answers}
            answers += [
                code_answer
                for code_answer in self._engine.answer(plain)
                if code_answer.code not in known
            ]
        return answers[: options.candidates]

    def verify(
        self, question: Question, answers: Sequence[CodeAnswer], *, run: bool = True
    ) -> Lift:
        """Return the best that some answers are worth.

        Args:
            run: run what is not exact beside the original; else it is unproved.
        """
        started = time.monotonic()
        found = self._judge.verify(question, answers, self._budget(), run=run)
        return _of(question, _from(found, "model"), started)

    def verify_again(self, lift: Lift, ir: str) -> Lift:
        """Return what a function's IR is worth after an edit.

        IR that still lowers to the original's code, but keeps claims for it, is optimised and run:
        if the claims are wrong, the verdict is that of the IR without them.
        """
        text, original = lift.text, lift.original
        assert text is not None
        assert original is not None
        folder = self._folder / f"again-{text.name.replace('/', '_')[:80]}"
        folder.mkdir(exist_ok=True)
        if not lift.is_changed:
            wrong = self._judge.differs_when_optimised(text, original, ir, folder)
            if not wrong:
                return dataclasses.replace(lift, outcome=dataclasses.replace(lift.outcome, ir=ir))
            ir = lift.bare
        proof = Reassembled(code=original, is_reencoded=lift.outcome.is_reencoded)
        question = Question(text=text, proof=proof, folder=folder)
        found = self._judge.verify(question, [CodeAnswer(code=ir)], self._budget())
        outcome = dataclasses.replace(
            found.outcome,
            num_candidates=lift.outcome.num_candidates,
            num_instructions=lift.outcome.num_instructions,
            is_reencoded=lift.outcome.is_reencoded,
            assembly=text.text,
            seconds=lift.outcome.seconds,
            claims=(),
        )
        return Lift(outcome=outcome, text=text, original=original, lowered=found.lowered)

    def _budget(self) -> Budget:
        return Budget(self._options.function_s or math.inf, self._options.jobs)

    def _ask_and_verify(self, question: Question) -> Lift:
        """Return the best of what the rules and the model answer."""
        budget = self._budget()
        by_rules: Lift | None = None
        lacking = ""
        drafts: Sequence[str] = ()
        if self._rules is not None:
            found = self._rules.drafts(question.text)
            budget.spend(found.seconds)
            lacking, drafts = found.cause, found.texts
            answers = [CodeAnswer(code=draft) for draft in drafts]
            if answers:
                by_rules = _from(self._judge.verify(question, answers, budget), "rules")
                if _is_enough(by_rules, question.text):
                    return by_rules
        answers = self.answers(question, drafts)
        if not answers and by_rules is not None:
            return by_rules
        if not answers and lacking:
            return no_answer(question.text, f"{lacking}, and the model gives no answer", ())
        by_model = _from(self._judge.verify(question, answers, budget), "model")
        if by_rules is None:
            return by_model
        ranks = [lift.outcome.verdict.rank for lift in (by_rules, by_model)]
        better = by_model if ranks[1] < ranks[0] else by_rules
        return dataclasses.replace(better, verdicts=(*by_rules.verdicts, *by_model.verdicts))


def _rules_lifter(
    binary: Binary,
    reader: FunctionReader,
    pool: WorkerPool,
    engine: Engine,
    options: DisassembleOptions,
    program: Program | None,
) -> RulesLifter | None:
    verbatim = Capability.VERBATIM in engine.capabilities
    if options.rules or (options.rules is None and not verbatim):
        return RulesLifter(
            binary,
            reader,
            pool,
            seconds=options.search_s,
            timeout_s=options.timeout_s,
            program=program,
        )
    return None


def _is_enough(lift: Lift, text: FunctionText) -> bool:
    """Whether the model need not be asked: the rules' answer stands, or is beyond it."""
    if lift.outcome.verdict is LiftVerdict.EXACT:
        return True
    return lift.outcome.verdict.is_accepted and text.num_instructions > MODEL_REACH


def _from(lift: Lift, source: str) -> Lift:
    """Note who answered."""
    return dataclasses.replace(lift, outcome=dataclasses.replace(lift.outcome, source=source))


def _of(question: Question, lift: Lift, started: float) -> Lift:
    """Return a lift with what is known of its function."""
    outcome = dataclasses.replace(
        lift.outcome,
        num_instructions=question.text.num_instructions,
        is_reencoded=question.proof.is_reencoded,
        has_outlined_code=question.has_outlined_code,
        assembly=question.text.text,
        seconds=time.monotonic() - started,
    )
    return dataclasses.replace(
        lift, outcome=outcome, text=question.text, original=question.proof.code
    )
