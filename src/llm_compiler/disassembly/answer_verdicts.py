"""What answers for one function are worth: inspect, lower, compare, run; the best verdict wins.

All of it has one budget of processor time (`DisassembleOptions.function_s`), which is spent in the
order of the answers: the nearest first. Not safe to share between threads.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.disassembly.binary import Binary, Origin
from llm_compiler.disassembly.disassembled import DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.inline_assembly import needless_assembly
from llm_compiler.disassembly.left_open import guesses_of, has_own_doubt, rank_of
from llm_compiler.disassembly.lift_records import AnswerVerdict, Lift, Question, bleu_of
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.rules.lifter import Limits
from llm_compiler.errors import CompilerError, InputError, ResourceError
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.requests import CodeAnswer
from llm_compiler.records import Status
from llm_compiler.verify.execute import Execution, Executor
from llm_compiler.verify.lifted import InspectLiftJob, LiftInspection, LiftVerdict, Scalar
from llm_compiler.verify.round_trip import (
    LOWER_FLAGS,
    CodeObject,
    difference,
    foreign_definitions,
    lower,
    lower_flags,
    read_code_object,
)
from llm_compiler.verify.side_by_side.clock import Budget
from llm_compiler.verify.variants import OWN, Match, MatchJob, Variant, function_bytes, variants_of
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["AnswerJudge", "no_answer"]

_NOT_RUN = "not run: enough of this function's answers were"
_NO_TIME = "not run: the time for this function was used by answers before"
_CANNOT_RUN = "code for this target cannot be run here"
_MORE_EXECUTED = 5
"""Answers that are run where those before leave something open."""
_LEAST_S = 0.3
"""With less than that left, another answer is not run: it would show nothing."""
_FIRST_S = 1.0
"""The first one gets that, whatever was spent before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """An answer that lowers to other code than the original."""

    inspection: LiftInspection
    answer: CodeAnswer
    number: int
    """Its place among the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lowered:
    """What clang makes of an answer. `change`: how that differs from the original, if it does."""

    code: CodeObject
    change: str


class _Refused(Exception):
    """An answer that is none, in words."""


class AnswerJudge:
    """Judges answers for the functions of one binary.

    Args:
        limits: what is known of the functions that one calls.
    """

    def __init__(
        self,
        binary: Binary,
        options: DisassembleOptions,
        *,
        pool: WorkerPool,
        toolchain: Toolchain,
        executor: Executor | None,
        limits: Callable[[FunctionText], Limits],
    ) -> None:
        self._binary, self._options, self._limits = binary, options, limits
        self._pool, self._toolchain, self._executor = pool, toolchain, executor
        self._needed: Counter[Variant] = Counter()
        """What attributes other functions were exact with: files are compiled with one setting."""

    def verify(
        self,
        question: Question,
        answers: Sequence[CodeAnswer],
        budget: Budget,
        *,
        run: bool = True,
    ) -> Lift:
        """Return the best of some answers: the first that is exact, else the best of those run.

        Args:
            budget: of the function; what is done here is part of it.
            run: run what is not exact beside the original; else it is unproved.
        """
        text = question.text
        found: list[_Candidate] = []
        verdicts: dict[int, AnswerVerdict] = {}
        reason = "the engine gives no answer (the function may exceed its context)"
        for number, answer in enumerate(answers):
            try:
                candidate = self._inspect(text, answer, number)
                exact = self._exact(text, candidate, question.folder, question.proof.code)
            except _Refused as error:
                reason = str(error)
                verdicts[number] = _refused(answer, reason)
                continue
            if exact is not None:
                verdicts[number] = AnswerVerdict(answer=answer, verdict=LiftVerdict.EXACT)
                lift = _exact_lift(text, *exact, number + 1)
                return dataclasses.replace(lift, verdicts=_every(verdicts, found))
            found.append(candidate)
        if not found:
            return no_answer(text, reason, _every(verdicts, ()))
        lift = self._execute(question, found, verdicts, len(answers), budget, run=run)
        return dataclasses.replace(lift, verdicts=_every(verdicts, found))

    def differs_when_optimised(
        self, text: FunctionText, original: CodeObject, ir: str, folder: Path
    ) -> bool:
        """Return whether the optimised function differs from the original on an input."""
        if self._executor is None:
            return False
        try:
            candidate = self._inspect(text, CodeAnswer(code=ir), 0)
            source, output = folder / "optimised.ll", folder / "optimised.o"
            source.write_text(candidate.inspection.text, "utf-8", "surrogateescape")
            code = self._lowered_object(source, output, ("-O2",))
        except (_Refused, CompilerError, ResourceError, InputError):
            return True
        result = self._executor.lighter(folder).verify(
            original, text.text, text.name, code, candidate.inspection
        )
        return result.verdict is LiftVerdict.REFUTED

    def _inspect(self, text: FunctionText, answer: CodeAnswer, number: int) -> _Candidate:
        """Return an answer that is the function and nothing else.

        Raises:
            _Refused: it is no such module.
        """
        job = InspectLiftJob(
            texts=(answer.code,),
            function=text.name,
            target_triple=self._binary.target_triple,
            timeout_s=self._options.timeout_s,
        )
        inspection: LiftInspection = run_jobs(self._pool, [job])[0][0]
        if inspection.status is not Status.OK:
            raise _Refused(f"the answer is no module: {inspection.detail}")
        if others := [name for name in inspection.functions if name != text.name]:
            raise _Refused(f"the answer defines other functions too ({', '.join(others[:3])})")
        if refused := needless_assembly(inspection, text):
            raise _Refused(refused)
        return _Candidate(inspection=inspection, answer=answer, number=number)

    def _exact(
        self, text: FunctionText, candidate: _Candidate, folder: Path, original: CodeObject
    ) -> tuple[_Candidate, _Lowered, str] | None:
        """Return an answer that is exact: with its own attributes or others, and their name.

        In process it is only guessed: what clang lowers decides.

        Raises:
            _Refused: the answer does not lower, or is more than the function.
        """
        if lower_flags(candidate.inspection.text) != LOWER_FLAGS:
            # Attributes tell all of code that was not optimised.
            lowered = self._lower(text, candidate, folder, original)
            return None if lowered.change else (candidate, lowered, "")
        ordered = sorted(
            variants_of(text.text, self._binary.elf.architecture),
            key=lambda each_variant: -self._needed[each_variant],
        )
        rest = [OWN, *ordered]
        while rest:
            job = MatchJob(
                text=candidate.inspection.text,
                function=text.name,
                code=function_bytes(original.elf, text.name),
                variants=tuple(rest),
                timeout_s=self._options.timeout_s,
            )
            match: Match = run_jobs(self._pool, [job])[0][0]
            if match.status is not Status.OK:
                raise _Refused(f"the answer does not lower: {match.detail}")
            if match.place < 0:
                return None
            variant = rest[match.place]
            inspection = dataclasses.replace(candidate.inspection, text=match.text)
            tried = dataclasses.replace(candidate, inspection=inspection)
            lowered = self._lower(text, tried, folder, original)
            if not lowered.change:
                self._needed[variant] += 1
                return tried, lowered, variant.name
            del rest[: match.place + 1]
        return None

    def _lowered_object(self, source: Path, output: Path, flags: tuple[str, ...]) -> CodeObject:
        """Return what clang makes of IR.

        Raises:
            CompilerError, ResourceError, InputError: nothing, or what cannot be read.
        """
        architecture, timeout_s = self._binary.elf.architecture, self._options.timeout_s
        lower(source, output, architecture, self._toolchain, timeout_s=timeout_s, flags=flags)
        return read_code_object(output, self._toolchain)

    def _lower(
        self, text: FunctionText, candidate: _Candidate, folder: Path, original: CodeObject
    ) -> _Lowered:
        """Return what clang makes of an answer.

        Raises:
            _Refused: it does not lower, or is more than the function.
        """
        stem = f"lifted-{candidate.number}"
        source, output = folder / f"{stem}.ll", folder / f"{stem}.o"
        source.write_text(candidate.inspection.text)
        try:
            code = self._lowered_object(source, output, lower_flags(candidate.inspection.text))
        except (CompilerError, ResourceError, InputError) as error:
            raise _Refused(f"the answer does not lower: {error}") from error
        if foreign := foreign_definitions(original, code, text.name):
            raise _Refused(f"the answer is more than the function: {foreign}")
        return _Lowered(code=code, change=difference(original, code, text.name))

    def _execute(
        self,
        question: Question,
        found: list[_Candidate],
        verdicts: dict[int, AnswerVerdict],
        looked_at: int,
        budget: Budget,
        *,
        run: bool,
    ) -> Lift:
        """Run answers that are not exact; return the one with the best verdict.

        Args:
            verdicts: by the answers' numbers; what is found out is added.
        """
        text, proof = question.text, question.proof
        best: tuple[_Candidate, _Lowered, Execution] | None = None
        best_rank = 0, False
        reason = ""
        num_executed = 0
        unreached: dict[tuple[Scalar, ...], Execution] = {}
        for candidate in found:
            is_open = best_rank[1] or (best is not None and self._options.accept_unproved)
            most = _MORE_EXECUTED if is_open else 0
            if num_executed >= max(most, self._options.max_executed):
                continue
            try:
                lowered = self._lower(text, candidate, question.folder, proof.code)
            except _Refused as error:
                reason = str(error)
                verdicts[candidate.number] = _refused(candidate.answer, reason)
                continue
            if not lowered.change:
                # Clang's code generator decides, where LLVM's in process makes other code.
                verdicts[candidate.number] = AnswerVerdict(
                    answer=candidate.answer, verdict=LiftVerdict.EXACT
                )
                return _exact_lift(text, candidate, lowered, "", looked_at)
            num_executed += 1
            parameters = candidate.inspection.signature.parameters
            if parameters in unreached:
                # It would get the same inputs, which do not run all of the original.
                result = unreached[parameters]
            elif not run or self._executor is None:
                reason = _NOT_RUN if self._executor is not None else _CANNOT_RUN
                result = Execution(verdict=LiftVerdict.UNPROVED, reason=reason)
            elif best is not None and budget.left < _LEAST_S:
                verdicts[candidate.number] = _unproved(candidate.answer, _NO_TIME)
                continue
            else:
                result = self._executor.verify(
                    proof.code,
                    text.text,
                    text.name,
                    lowered.code,
                    candidate.inspection,
                    # The nearest answer is run whatever was spent on finding it.
                    seconds=max(budget.left, 0.0 if best is not None else _FIRST_S),
                    **self._limits(text),
                )
            verdicts[candidate.number] = AnswerVerdict(
                answer=candidate.answer, verdict=result.verdict, reason=result.reason
            )
            is_short = self._executor is not None and self._executor.lacks_reach(result)
            if is_short and not has_own_doubt(result):
                unreached[parameters] = result
            rank = rank_of(candidate.inspection, result)
            # What is linked though it is unproved is to work; what is read is to look alike.
            is_safer = (
                self._options.accept_unproved
                and best is not None
                and rank == best_rank
                and result.verdict is LiftVerdict.UNPROVED
                and guesses_of(candidate.inspection) < guesses_of(best[0].inspection)
            )
            if best is None or rank < best_rank or is_safer:
                best = candidate, lowered, result
                best_rank = rank
            if result.verdict is LiftVerdict.TESTS_PASSED:
                break
        if best is None:
            return no_answer(text, reason, _every(verdicts, found))
        candidate, compiled, result = best
        assembly = _text_of(compiled.code, text.name, self._binary.called_through_plt)
        reason = result.reason
        if result.verdict is LiftVerdict.TESTS_PASSED:
            reason = f"not exact: {compiled.change}"
        elif result.verdict is LiftVerdict.UNPROVED:
            reason = f"not exact ({compiled.change}), and not tested enough: {result.reason}"
        outcome = LiftedFunction(
            name=text.name,
            verdict=result.verdict,
            reason=reason,
            num_candidates=looked_at,
            bleu=bleu_of(assembly, text.text),
            num_inputs=result.num_inputs,
            num_completed=result.num_completed,
            num_blocks=result.num_blocks,
            num_covered=result.num_covered,
            counterexample=result.counterexample,
            lowered=assembly,
            ir=candidate.inspection.text,
        )
        return Lift(outcome=outcome, lowered=compiled.code)


def _text_of(code: CodeObject, name: str, called_through_plt: frozenset[str] | None) -> str:
    """Return the normal form of what an answer lowers to; empty where there is none."""
    symbol = code.elf.symbol(name)
    own = Binary(
        path=code.path,
        origin=Origin.OBJECT,
        data=b"",
        elf=code.elf,
        listing=code.listing,
        called_through_plt=called_through_plt,
    )
    try:
        return FunctionReader(own).read(symbol).text if symbol else ""
    except Unreadable:
        return ""


def _exact_lift(
    text: FunctionText,
    candidate: _Candidate,
    lowered: _Lowered,
    attributes: str,
    looked_at: int,
) -> Lift:
    outcome = LiftedFunction(
        name=text.name,
        verdict=LiftVerdict.EXACT,
        num_candidates=looked_at,
        attributes=attributes,
        bleu=1.0,
        lowered=text.text,
        ir=candidate.inspection.text,
    )
    return Lift(outcome=outcome, lowered=lowered.code)


def no_answer(text: FunctionText, reason: str, verdicts: tuple[AnswerVerdict, ...]) -> Lift:
    """Return that there is no answer, and why."""
    outcome = LiftedFunction(
        name=text.name,
        verdict=LiftVerdict.NO_ANSWER,
        reason=reason,
        num_candidates=len(verdicts),
    )
    return Lift(outcome=outcome, verdicts=verdicts)


def _unproved(answer: CodeAnswer, reason: str) -> AnswerVerdict:
    return AnswerVerdict(answer=answer, verdict=LiftVerdict.UNPROVED, reason=reason)


def _refused(answer: CodeAnswer, reason: str) -> AnswerVerdict:
    return AnswerVerdict(answer=answer, verdict=LiftVerdict.NO_ANSWER, reason=reason)


def _every(
    verdicts: Mapping[int, AnswerVerdict], found: Sequence[_Candidate]
) -> tuple[AnswerVerdict, ...]:
    """Return what is known of each answer, in their order; what was not run is unproved."""
    rest = {
        candidate.number: _unproved(candidate.answer, _NOT_RUN)
        for candidate in found
        if candidate.number not in verdicts
    }
    return tuple(
        answer_verdict
        for _, answer_verdict in sorted({**verdicts, **rest}.items(), key=lambda pair: pair[0])
    )
