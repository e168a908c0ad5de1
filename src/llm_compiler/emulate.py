"""Predict what a pass list makes of code, and say how good the prediction is.

The model answers with IR or assembly, an instruction count and sizes. With a check, the compiler
makes the true result, and the prediction gets a verdict: the same text, the same code, the same by
tests, only well-formed, different, or no code at all. Importing this loads no LLVM and no model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from llm_compiler import Verb
from llm_compiler.dataset.draws import Draw, DrawJob, Made
from llm_compiler.dataset.lifting.emulation import same_bodies
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.reassemble import reassemble
from llm_compiler.errors import (
    CompileFailed,
    CompilerError,
    InputError,
    IrParseError,
    ResourceError,
    ToolchainNotFound,
)
from llm_compiler.llvm.module_jobs import EmitJob, Emitted, ExtractJob, Inspection, InspectJob
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, Stock, parse_clang_flags
from llm_compiler.llvm.targets import architecture_of, canonical_triple
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import public_name
from llm_compiler.model.engines.requests import CodeAnswer, Emulate
from llm_compiler.notebook import card
from llm_compiler.option_values import adopt_values
from llm_compiler.records import PassList, Status
from llm_compiler.verify.architectures import find_architecture
from llm_compiler.verify.execute import ExecuteOptions, Executor
from llm_compiler.verify.lifted import InspectLiftJob, LiftInspection, LiftVerdict
from llm_compiler.verify.round_trip import CodeObject, difference, lower
from llm_compiler.verify.target import find_target
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "NO_ANSWER",
    "EmulateOptions",
    "Emulated",
    "EmulationCheck",
    "EmulationVerdict",
    "emulate",
]

NO_ANSWER = "the code exceeds the model's context, or no text of the model's comes to an end"
_MAX_INSTRUCTIONS = 1_000_000
_MAX_CHARACTERS = 50_000_000


class EmulationVerdict(StrEnum):
    """What a prediction is worth, best first."""

    EXACT = "exact"
    """The text that the compiler makes, in normal form; of IR, but for attributes and metadata, as
    long as every function lowers to the same code."""
    SAME_CODE = "same_code"
    """Other text, which lowers to the same code."""
    TESTS_PASSED = "tests_passed"
    COMPILES = "compiles"
    """Well-formed; neither shown to be right nor wrong."""
    DIFFERS = "differs"
    """Some function does something else, on an input that is shown."""
    BROKEN = "broken"
    """Not well-formed."""
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulateOptions:
    """How to emulate; the defaults are the command line's."""

    assembly: bool = False
    lower_ir: bool = False
    """The assembly is what the compiler makes of the predicted IR, and its numbers those of that
    code; else the model writes it."""
    check: bool = False
    target_triple: str = ""
    clang_flags: tuple[str, ...] = ()
    timeout_s: float = 60.0
    execute: ExecuteOptions = field(default_factory=ExecuteOptions)

    def __post_init__(self) -> None:
        adopt_values(self)
        object.__setattr__(self, "target_triple", canonical_triple(self.target_triple))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationCheck:
    """The compiler's own result, and what the prediction is worth."""

    verdict: EmulationVerdict
    reason: str = ""
    functions: dict[str, str]
    """By name: the verdict of each function that the true result defines."""
    code: str = field(repr=False)
    num_instructions: int
    size_bytes: int
    text_data_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """A prediction; numbers are None where the model does not say."""

    input: str
    passes: str
    target_triple: str
    assembly: bool
    model: str
    num_instructions_before: int
    size_bytes_before: int
    text_data_bytes_before: int
    code: str | None = field(repr=False)
    """None where prompt or answer exceed the model's context, or the answer is `broken`."""
    num_instructions: int | None
    size_bytes: int | None
    text_data_bytes: int | None
    check: EmulationCheck | None
    broken: str = ""
    """Why there is no code although the model answered."""
    question: str = field(default="", repr=False)
    """The code before the list, as the model was asked about it."""
    seconds: float

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        check = self.check
        said = check.verdict.value if check is not None else "not checked"
        names = ("instructions", "size_bytes", "text_data_bytes")
        rows = [
            [name, *(_shown(getattr(self, word)) for word in (f"num_{name}_before", f"num_{name}"))]
            for name in names[:1]
        ]
        rows += [
            [name, *(_shown(getattr(self, word)) for word in (f"{name}_before", name))]
            for name in names[1:]
        ]
        if check is not None:
            truth = (check.num_instructions, check.size_bytes, check.text_data_bytes)
            rows = [[*row, str(value)] for row, value in zip(rows, truth, strict=True)]
        return card(
            f"prediction: {said}",
            {
                "input": self.input,
                "passes": self.passes,
                "model": public_name(self.model),
                "reason": (check.reason if check is not None else "") or self.broken,
            },
            header=("", "before", "predicted", *(("true",) if check is not None else ())),
            rows=rows,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        check = self.check
        return {
            "input": self.input,
            "passes": self.passes,
            "target_triple": self.target_triple,
            "assembly": self.assembly,
            "model": public_name(self.model),
            "num_instructions_before": self.num_instructions_before,
            "size_bytes_before": self.size_bytes_before,
            "text_data_bytes_before": self.text_data_bytes_before,
            "code": self.code,
            "num_instructions": self.num_instructions,
            "size_bytes": self.size_bytes,
            "text_data_bytes": self.text_data_bytes,
            "check": None
            if check is None
            else {
                "verdict": check.verdict.value,
                "reason": check.reason,
                "functions": check.functions,
                "code": check.code,
                "num_instructions": check.num_instructions,
                "size_bytes": check.size_bytes,
                "text_data_bytes": check.text_data_bytes,
            },
            "broken": self.broken,
            "seconds": round(self.seconds, 3),
        }


def _shown(number: int | None) -> str:
    return "?" if number is None else str(number)


def emulate(
    source: Path,
    passes: PassList,
    engine: Engine,
    options: EmulateOptions | None = None,
    *,
    pool: WorkerPool | None = None,
) -> Emulated:
    """Predict what a pass list makes of a C, C++, IR or bitcode file.

    C and C++ are compiled to unoptimised IR first; IR is taken as it is.

    Raises:
        InputError: the input cannot be read.
        CompilerError, ResourceError: the compiler failed on it (with a check: on the list).
        EngineError: the engine failed.
    """
    options = options or EmulateOptions()
    started = time.monotonic()
    toolchain = find_toolchain()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        if pool is None:
            from llm_compiler.workers import LocalPool

            pool = stack.enter_context(LocalPool(1))
        module = _read_module(source, options, pool, toolchain, folder)
        if why := refusal_of(passes, module.constructs):
            raise InputError(f"{source} must not be compiled with this list: {why}")
        task = "emulate-assembly" if options.assembly else "emulate-ir"
        true = _draw(module, passes if options.check else PassList(), task, options, pool, source)
        lower_ir = options.assembly and options.lower_ir
        found = engine.answer(
            Emulate(
                code=true.input_code,
                passes=passes,
                target_triple=module.target_triple,
                assembly=options.assembly and not lower_ir,
                num_instructions=true.num_instructions_before,
                size_bytes=true.size_bytes_before,
                text_data_bytes=true.text_data_bytes_before,
            )
        )
        answer = found[0] if found else None
        broken = ""
        if answer is not None and lower_ir:
            try:
                answer = _lower_answer(answer, options, pool, source)
            except (InputError, CompilerError) as error:
                answer, broken = None, f"the predicted IR is not well-formed: {error}"
        check = None
        if options.check:
            triple = module.target_triple or f"{platform.machine()}-linux-gnu"
            checker = _Checker(triple, options, pool, toolchain, folder)
            ir = true
            if options.assembly:
                ir = _draw(module, passes, "emulate-ir", options, pool, source)
            check = checker.check(answer.code if answer else None, true, ir.output_code)
            if broken:
                check = dataclasses.replace(check, verdict=EmulationVerdict.BROKEN, reason=broken)
    return Emulated(
        input=str(source),
        passes=passes.pipeline,
        target_triple=module.target_triple,
        assembly=options.assembly,
        model=engine.model,
        num_instructions_before=true.num_instructions_before,
        size_bytes_before=true.size_bytes_before,
        text_data_bytes_before=true.text_data_bytes_before,
        code=answer.code if answer else None,
        num_instructions=answer.num_instructions if answer else None,
        size_bytes=answer.size_bytes if answer else None,
        text_data_bytes=answer.text_data_bytes if answer else None,
        check=check,
        broken=broken,
        question=true.input_code,
        seconds=time.monotonic() - started,
    )


def _lower_answer(
    answer: CodeAnswer, options: EmulateOptions, pool: WorkerPool, source: Path
) -> CodeAnswer:
    """Return the assembly of predicted IR, in normal form, with the numbers of its object.

    Raises:
        InputError, CompilerError: the IR is not well-formed, or does not lower.
    """
    text = answer.code.encode("utf-8", "surrogateescape")
    job = InspectJob(inputs=(text,), names=("prediction",), timeout_s=options.timeout_s)
    found: Inspection = run_jobs(pool, [job])[0][0]
    if found.status is not Status.OK:
        raise InputError(found.detail)
    made = _draw(found, PassList(), "emulate-assembly", options, pool, source)
    return dataclasses.replace(
        answer,
        code=made.output_code,
        num_instructions=made.num_instructions_after,
        size_bytes=made.size_bytes_after,
        text_data_bytes=made.text_data_bytes_after,
    )


def _read_module(
    source: Path, options: EmulateOptions, pool: WorkerPool, toolchain: Toolchain, folder: Path
) -> Inspection:
    if source.suffix not in (*C_SUFFIXES, *IR_SUFFIXES):
        raise InputError(f"{source} is neither C, C++, LLVM-IR (.ll) nor bitcode (.bc)")
    if not source.is_file():
        raise InputError(f"cannot read {source}: there is no such file")
    path = source
    if source.suffix in C_SUFFIXES:
        path = folder / "unoptimized.bc"
        stock = Stock(
            toolchain=toolchain,
            flags=parse_clang_flags(options.clang_flags),
            target_triple=options.target_triple,
            timeout_s=options.timeout_s,
            scratch=folder,
        )
        stock.compile_source(stock.frontend_command(source, path), source)
    job = InspectJob(inputs=(path.read_bytes(),), names=(str(source),), timeout_s=options.timeout_s)
    found: Inspection = run_jobs(pool, [job])[0][0]
    if found.status is Status.REFUSED:
        raise IrParseError(found.detail, line=found.line, column=found.column)
    if found.status is not Status.OK:
        raise InputError(f"{source}: LLVM {found.status.value} while reading it: {found.detail}")
    return found


def _draw(
    module: Inspection,
    passes: PassList,
    task: str,
    options: EmulateOptions,
    pool: WorkerPool,
    source: Path,
) -> StageSample:
    """Return a module before and after a list, exactly as training sees it."""
    sample = StageSample(
        stage="emulation",
        task=task,
        seed=0,
        index=0,
        draw=0,
        package="",
        split="",
        target_triple=module.target_triple,
        passes=passes.pipeline,
    )
    draw = Draw(
        sample=sample,
        module=module.bitcode,
        passes=passes.elements,
        max_characters=_MAX_CHARACTERS,
        max_instructions=_MAX_INSTRUCTIONS,
    )
    made: Made = run_jobs(pool, [DrawJob(draws=(draw,), timeout_s=options.timeout_s)])[0][0]
    if made.sample is None:
        what = f"'{passes.pipeline[:120]}'" if passes else "reading the module"
        raise CompileFailed(f"the compiler gave no result for {source} ({what}): {made.cause}")
    return made.sample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    """One function of the true result, as its own object."""

    text: FunctionText
    code: CodeObject
    inspection: LiftInspection


class _Checker:
    """Compares a prediction with the true result, function by function."""

    def __init__(
        self,
        target_triple: str,
        options: EmulateOptions,
        pool: WorkerPool,
        toolchain: Toolchain,
        folder: Path,
    ) -> None:
        self._triple, self._options = target_triple, options
        self._pool, self._toolchain, self._folder = pool, toolchain, folder
        self._architecture = architecture_of(target_triple)
        self._executor: Executor | None = None
        with contextlib.suppress(ToolchainNotFound):
            target = find_target(self._architecture, toolchain)
            self._executor = Executor(target, folder, options.execute)

    def check(self, predicted: str | None, true: StageSample, true_ir: str) -> EmulationCheck:
        functions: dict[str, str] = {}
        if predicted is None:
            verdict, reason = EmulationVerdict.NO_ANSWER, NO_ANSWER
        elif _lines(predicted) == _lines(true.output_code):
            verdict, reason = EmulationVerdict.EXACT, ""
        else:
            verdict, reason = self._judge(predicted, true_ir, functions)
            if (
                verdict is EmulationVerdict.SAME_CODE
                and not self._options.assembly
                and same_bodies(predicted, true_ir)
            ):
                verdict = EmulationVerdict.EXACT
        return EmulationCheck(
            verdict=verdict,
            reason=reason,
            functions=functions,
            code=true.output_code,
            num_instructions=true.num_instructions_after,
            size_bytes=true.size_bytes_after,
            text_data_bytes=true.text_data_bytes_after,
        )

    def _judge(
        self, predicted: str, true_ir: str, functions: dict[str, str]
    ) -> tuple[EmulationVerdict, str]:
        try:
            objects = (
                self._assembled(predicted)
                if self._options.assembly
                else self._extracted(predicted, "predicted")
            )
        except (InputError, CompilerError) as error:
            return EmulationVerdict.BROKEN, str(error)
        if find_architecture(self._architecture) is None:
            return EmulationVerdict.COMPILES, f"{self._architecture} code is not compared"
        try:
            truth = self._extracted(true_ir, "true")
        except (InputError, CompilerError, ResourceError) as error:
            return EmulationVerdict.COMPILES, f"the true result does not come apart: {error}"
        for name in truth:
            functions[name] = LiftVerdict.NO_ANSWER.value
        if missing := sorted(set(truth) - set(objects)):
            return EmulationVerdict.DIFFERS, f"the function '{missing[0]}' is missing"
        reasons: dict[EmulationVerdict, str] = {}
        for name, item in truth.items():
            verdict, reason = self._compare(item, objects[name])
            functions[name] = verdict.value
            reasons.setdefault(verdict, f"{name}: {reason}" if reason else "")
        order = list(EmulationVerdict)
        worst = max(reasons, key=order.index, default=EmulationVerdict.COMPILES)
        return worst, reasons.get(worst, "")

    def _compare(
        self, true: _Function | Unreadable, predicted: _Function | Unreadable
    ) -> tuple[EmulationVerdict, str]:
        for item in (true, predicted):
            if isinstance(item, Unreadable):
                return EmulationVerdict.COMPILES, f"the function {item}"
        assert isinstance(true, _Function)
        assert isinstance(predicted, _Function)
        change = difference(true.code, predicted.code, true.text.name)
        if not change:
            return EmulationVerdict.SAME_CODE, ""
        if self._executor is None:
            return EmulationVerdict.COMPILES, change
        claimed = true.inspection if self._options.assembly else predicted.inspection
        found = self._executor.verify(
            true.code, true.text.text, true.text.name, predicted.code, claimed
        )
        match found.verdict:
            case LiftVerdict.TESTS_PASSED:
                return EmulationVerdict.TESTS_PASSED, f"not the same code: {change}"
            case LiftVerdict.REFUTED:
                example = found.counterexample
                given = f", with {', '.join(example.arguments)}" if example else ""
                return EmulationVerdict.DIFFERS, found.reason + given
        return EmulationVerdict.COMPILES, f"{change}; {found.reason}"

    def _extracted(self, text: str, stem: str) -> dict[str, _Function | Unreadable]:
        """Return every function of a module as an object of its own."""
        job = InspectJob(inputs=(text.encode("utf-8", "surrogateescape"),), names=("prediction",))
        module: Inspection = run_jobs(self._pool, [job])[0][0]
        if module.status is not Status.OK:
            raise InputError(module.detail)
        extract = ExtractJob(bitcode=module.bitcode, functions=module.functions)
        parts: Sequence[Emitted] = run_jobs(self._pool, [extract])[0]
        found: dict[str, _Function | Unreadable] = {}
        for number, (name, part) in enumerate(zip(module.functions, parts, strict=True)):
            if part.status is not Status.OK:
                found[name] = Unreadable(f"cannot stand alone: {part.detail}")
                continue
            found[name] = self._lowered(name, part.data, f"{stem}-{number}")
        return found

    def _lowered(self, name: str, bitcode: bytes, stem: str) -> _Function | Unreadable:
        source, output = self._folder / f"{stem}.bc", self._folder / f"{stem}.o"
        source.write_bytes(bitcode)
        try:
            lower(source, output, self._architecture, self._toolchain)
            emit = EmitJob(modules=(bitcode,), passes=PassList(), kind="text")
            text = run_jobs(self._pool, [emit])[0][0].data.decode("utf-8", "surrogateescape")
            inspect = InspectLiftJob(texts=(text,), function=name, target_triple=self._triple)
            inspection: LiftInspection = run_jobs(self._pool, [inspect])[0][0]
            return self._own_object(output, name, f"{stem}-own", inspection)
        except (CompilerError, InputError, ResourceError) as error:
            return Unreadable(f"does not lower: {error}")
        except Unreadable as error:
            return error

    def _assembled(self, text: str) -> dict[str, _Function | Unreadable]:
        path = self._folder / "predicted.s"
        path.write_text(text)
        binary = read_binary(path, self._toolchain, self._folder, target_triple=self._triple)
        found: dict[str, _Function | Unreadable] = {}
        for number, symbol in enumerate(binary.functions()):
            try:
                found[symbol.name] = self._own_object(
                    path, symbol.name, f"predicted-{number}", LiftInspection(status=Status.OK)
                )
            except (Unreadable, InputError) as error:
                found[symbol.name] = Unreadable(str(error))
        return found

    def _own_object(
        self, path: Path, name: str, stem: str, inspection: LiftInspection
    ) -> _Function:
        folder = self._folder / stem
        folder.mkdir(exist_ok=True)
        binary = read_binary(path, self._toolchain, folder, target_triple=self._triple)
        symbol = binary.elf.symbol(name)
        if symbol is None or not symbol.is_defined:
            raise Unreadable("is not defined in its object")
        text = FunctionReader(binary).read(symbol)
        proof = reassemble(binary, symbol, text, self._toolchain, folder / "own.o")
        return _Function(text=text, code=proof.code, inspection=inspection)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


sys.modules[__name__].__class__ = Verb
