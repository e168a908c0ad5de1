"""One function: propose, inspect, lower, compare, run; the best verdict wins.

The engine is not trusted: an answer counts only for what is shown of it here. Not safe to share
between threads (the engine is not, nor the pool).
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.disassembly.binary import Binary, Origin
from llm_compiler.disassembly.disassembled import DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.finishing import ShortDraftJob
from llm_compiler.disassembly.inline_assembly import needless_assembly
from llm_compiler.disassembly.left_open import rank_of
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.disassembly.lift_records import AnswerVerdict, Lift, Question, bleu_of
from llm_compiler.disassembly.outlined_code import without_outlined
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.reassemble import Reassembled, reassemble
from llm_compiler.disassembly.rules.known_functions import Program
from llm_compiler.disassembly.rules.lifter import NO_LIMITS, RulesLifter
from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.errors import CompilerError, InputError, ResourceError
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.requests import Capability, CodeAnswer
from llm_compiler.model.engines.requests import Lift as LiftRequest
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
from llm_compiler.verify.variants import OWN, Match, MatchJob, Variant, function_bytes, variants_of
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["AnswerVerdict", "Lift", "Lifter", "Question"]

_NOT_RUN = "not run: enough of this function's answers were"
_CANNOT_RUN = "code for this target cannot be run here"
_MORE_EXECUTED = 5
"""Answers that are run where those before leave something open."""
MODEL_REACH = 32
"""Instructions beyond which the shipped model has made nothing exact that rules had not."""


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
        self._needed: Counter[Variant] = Counter()
        """What attributes other functions were exact with: files are compiled with one setting."""

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
        found = self._verify_answers(question, answers, run=run)
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
            wrong = self._wrong_when_optimised(text, original, ir, folder)
            if not wrong:
                return dataclasses.replace(lift, outcome=dataclasses.replace(lift.outcome, ir=ir))
            ir = lift.bare
        proof = Reassembled(code=original, is_reencoded=lift.outcome.is_reencoded)
        question = Question(text=text, proof=proof, folder=folder)
        found = self._verify_answers(question, [CodeAnswer(code=ir)])
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

    def _wrong_when_optimised(
        self, text: FunctionText, original: CodeObject, ir: str, folder: Path
    ) -> bool:
        """Whether the optimised function differs from the original on an input."""
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

    def _ask_and_verify(self, question: Question) -> Lift:
        """Return the best of what the rules and the model answer."""
        by_rules: Lift | None = None
        lacking = ""
        drafts: Sequence[str] = ()
        if self._rules is not None:
            found = self._rules.drafts(question.text)
            lacking, drafts = found.cause, found.texts
            answers = [CodeAnswer(code=draft) for draft in drafts]
            if answers:
                by_rules = _from(self._verify_answers(question, answers), "rules")
                if _is_enough(by_rules, question.text):
                    return by_rules
        answers = self.answers(question, drafts)
        if not answers and by_rules is not None:
            return by_rules
        if not answers and lacking:
            return _no_answer(question.text, f"{lacking}, and the model gives no answer", ())
        by_model = _from(self._verify_answers(question, answers), "model")
        if by_rules is None:
            return by_model
        ranks = [lift.outcome.verdict.rank for lift in (by_rules, by_model)]
        better = by_model if ranks[1] < ranks[0] else by_rules
        return dataclasses.replace(better, verdicts=(*by_rules.verdicts, *by_model.verdicts))

    def _verify_answers(
        self, question: Question, answers: Sequence[CodeAnswer], *, run: bool = True
    ) -> Lift:
        """Return the best of some answers: the first that is exact, else the best of those run."""
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
            return _no_answer(text, reason, _every(verdicts, ()))
        lift = self._execute(question, found, verdicts, len(answers), run=run)
        return dataclasses.replace(lift, verdicts=_every(verdicts, found))

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
            most = _MORE_EXECUTED if best_rank[1] else 0
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
            else:
                result = self._executor.verify(
                    proof.code,
                    text.text,
                    text.name,
                    lowered.code,
                    candidate.inspection,
                    **(self._rules.limits(text) if self._rules is not None else NO_LIMITS),
                )
            verdicts[candidate.number] = AnswerVerdict(
                answer=candidate.answer, verdict=result.verdict, reason=result.reason
            )
            if self._executor is not None and self._executor.lacks_reach(result):
                unreached[parameters] = result
            if best is None or rank_of(candidate.inspection, result) < best_rank:
                best = candidate, lowered, result
                best_rank = rank_of(candidate.inspection, result)
            if result.verdict is LiftVerdict.TESTS_PASSED:
                break
        if best is None:
            return _no_answer(text, reason, _every(verdicts, found))
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


def _is_enough(lift: Lift, text: FunctionText) -> bool:
    """Whether the model need not be asked: the rules' answer stands, or is beyond it."""
    if lift.outcome.verdict is LiftVerdict.EXACT:
        return True
    return lift.outcome.verdict.is_accepted and text.num_instructions > MODEL_REACH


def _from(lift: Lift, source: str) -> Lift:
    """Note who answered."""
    return dataclasses.replace(lift, outcome=dataclasses.replace(lift.outcome, source=source))


def _no_answer(text: FunctionText, reason: str, verdicts: tuple[AnswerVerdict, ...]) -> Lift:
    outcome = LiftedFunction(
        name=text.name,
        verdict=LiftVerdict.NO_ANSWER,
        reason=reason,
        num_candidates=len(verdicts),
    )
    return Lift(outcome=outcome, verdicts=verdicts)


def _refused(answer: CodeAnswer, reason: str) -> AnswerVerdict:
    return AnswerVerdict(answer=answer, verdict=LiftVerdict.NO_ANSWER, reason=reason)


def _every(
    verdicts: Mapping[int, AnswerVerdict], found: Sequence[_Candidate]
) -> tuple[AnswerVerdict, ...]:
    """Return what is known of each answer, in their order; what was not run is unproved."""
    rest = {
        candidate.number: AnswerVerdict(
            answer=candidate.answer, verdict=LiftVerdict.UNPROVED, reason=_NOT_RUN
        )
        for candidate in found
        if candidate.number not in verdicts
    }
    return tuple(
        answer_verdict
        for _, answer_verdict in sorted({**verdicts, **rest}.items(), key=lambda pair: pair[0])
    )


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
