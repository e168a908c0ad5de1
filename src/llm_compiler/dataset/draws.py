"""Make samples of modules in a worker: run a pass list, print, lower, measure, check.

A `Draw` is all that a sample is made of, so a sample depends on nothing else: every draw gets an
LLVM context of its own. A draw that gives no sample (LLVM refuses or dies, code too long, a round
trip that fails) is a `Made` with a cause; what to draw instead is the caller's business.
Runs in a worker: LLVM may crash.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.corpus.normalize import normalize
from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.lifting.strip import StripLevel, body_of, strip_module
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import CompilerError, InputError
from llm_compiler.llvm.capi import Library
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import BITCODE_MAGIC, Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.records import Status

__all__ = ["Draw", "DrawJob", "Made"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A sample to be made: what is known of it (`sample`), and of which module.

    `sample` holds all fields but the code, counts and sizes. Longer samples than `max_characters`
    (input and output together), and modules that grow beyond `max_instructions` between passes,
    are given up.
    """

    sample: StageSample
    module: bytes = field(repr=False)
    """Bitcode, or the normal form's text."""
    passes: tuple[str, ...]
    max_characters: int
    max_instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A sample, or why there is none: a word or two that can be counted."""

    sample: StageSample | None = None
    cause: str = ""


class _Unsuitable(Exception):
    """A draw that gives no sample; the message is the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawJob:
    """Make several samples, one a step; the result is a `Made`."""

    draws: tuple[Draw, ...] = field(repr=False)
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """A step for each draw."""
        return len(self.draws)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Made]:
        """Yield what became of each draw."""
        for draw in self.draws[first_step:]:
            try:
                yield Made(sample=_make(draw))
            except _Unsuitable as error:
                yield Made(cause=str(error))
            except (CompilerError, InputError):
                yield Made(cause=Status.REFUSED.value)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Made:
        """Return what became of a draw that LLVM died of."""
        return Made(cause=status.value)


def _make(draw: Draw) -> StageSample:
    bitcode = draw.module
    if not bitcode.startswith(BITCODE_MAGIC):
        # Read from text, values have other orders of uses than read from bitcode, which shows.
        with Context() as context:
            bitcode = context.parse(bitcode, "<sample>").to_bitcode()
    with Context() as context:
        module = context.parse(bitcode, "<sample>")
        with TargetMachine.for_module(module) as target_machine:
            maker = _MAKERS[draw.sample.stage]
            sample = maker(draw, module, target_machine)
    if len(sample.input_code) + len(sample.output_code) > draw.max_characters:
        raise _Unsuitable("too long")
    return sample


def _run_passes(draw: Draw, module: Module, target_machine: TargetMachine) -> None:
    for element in draw.passes:
        module.run_passes(element, target_machine.handle)
        # A limit that every machine meets at the same pass, unlike the time limit.
        if module.num_instructions() > draw.max_instructions:
            raise _Unsuitable("grows too large")
    if module.verify():
        raise _Unsuitable("broken module")


def _text(module: Module) -> str:
    """Return the normalised text of a module, which stays as it is."""
    return normalize(module.to_bitcode(), library=module.context.library).text


def _assembly(module: Module, target_machine: TargetMachine) -> str:
    with module.clone() as copy:
        return normalize_assembly(target_machine.emit_assembly(copy), target_machine.triple)


def _sizes(module: Module, target_machine: TargetMachine) -> ObjectSizes:
    with module.clone() as copy:
        return target_machine.sizes(copy)


def _pretraining(draw: Draw, module: Module, target_machine: TargetMachine) -> StageSample:
    _run_passes(draw, module, target_machine)
    assembly = draw.sample.task == "assembly"
    code = _assembly(module, target_machine) if assembly else _text(module)
    return dataclasses.replace(draw.sample, output_code=code)


def _optimized(draw: Draw, module: Module, target_machine: TargetMachine) -> StageSample:
    """Emulation and flag tuning: code, counts and sizes before and after a pass list."""
    code = _text(module)
    if len(code) > draw.max_characters:
        raise _Unsuitable("too long")
    count, sizes = module.num_instructions(), _sizes(module, target_machine)
    sample = dataclasses.replace(
        draw.sample,
        input_code=code,
        num_instructions_before=count,
        size_bytes_before=sizes.size_bytes,
        text_data_bytes_before=sizes.text_data_bytes,
    )
    if not sample.improves:
        return sample
    _run_passes(draw, module, target_machine)
    sizes = _sizes(module, target_machine)
    to_assembly = sample.task == "emulate-assembly"
    return dataclasses.replace(
        sample,
        output_code=_assembly(module, target_machine) if to_assembly else _text(module),
        num_instructions_after=module.num_instructions(),
        size_bytes_after=sizes.size_bytes,
        text_data_bytes_after=sizes.text_data_bytes,
    )


def _disassembly(draw: Draw, module: Module, target_machine: TargetMachine) -> StageSample:
    _run_passes(draw, module, target_machine)
    text = _text(module)
    assembly = _assembly(module, target_machine)
    if len(text) + len(assembly) > draw.max_characters:
        raise _Unsuitable("too long")
    code, num_instructions = _lifted(text, assembly, module.context.library)
    sizes = _sizes(module, target_machine)
    return dataclasses.replace(
        draw.sample,
        input_code=assembly,
        output_code=code,
        num_instructions_after=num_instructions,
        size_bytes_after=sizes.size_bytes,
        text_data_bytes_after=sizes.text_data_bytes,
    )


def _lifted(text: str, assembly: str, library: Library) -> tuple[str, int]:
    """Return the plainest IR that lowers to exactly this assembly, and its instructions.

    Of single functions that is the stripped form (`dataset.lifting`); what the short form makes of
    it lowers to the same instructions, too. Of anything else it is the text as it is.
    """
    try:
        triple = _triple_of(text)
        short = shorten_assembly(assembly, triple)
    except InputError:
        return _proved(text, assembly, library)
    for level in (StripLevel.ALL, StripLevel.KEEP_FLAGS):
        try:
            code, num_instructions = _proved(strip_module(text, level), assembly, library)
            body = body_of(code, dict(short.symbols))
            rebuilt = build_module_text(body, short, attributes=_attributes_of(code))
            lowered, _, _ = _lower(rebuilt, library)
            if shorten_assembly(lowered, triple).text == short.text:
                return code, num_instructions
        except _Unsuitable:
            continue
        except InputError:
            raise _Unsuitable("no short form") from None
    raise _Unsuitable("reduced, lowers to other assembly")


def _triple_of(text: str) -> str:
    match = re.search(r'^target triple = "([^"]*)"$', text, re.MULTILINE)
    return match[1] if match else ""


def _attributes_of(text: str) -> str:
    """Return the attributes of the function that a module defines."""
    define = re.search(r"^define .* (#\d+) ", text, re.MULTILINE)
    if define is None:
        return "nounwind"
    group = re.search(rf"^attributes {define[1]} = \{{ (.*) \}}$", text, re.MULTILINE)
    return group[1] if group else "nounwind"


def _lower(text: str, library: Library) -> tuple[str, str, int]:
    """Return assembly, normal form and number of instructions of IR, from the text alone."""
    with Context(library) as fresh:
        module = fresh.parse(text.encode(), "<answer>")
        if module.verify():
            raise _Unsuitable("broken module")
        normal, num_instructions = _text(module), module.num_instructions()
        with TargetMachine.for_module(module) as target_machine:
            assembly = target_machine.emit_assembly(module)
            return normalize_assembly(assembly, target_machine.triple), normal, num_instructions


def _proved(text: str, assembly: str, library: Library) -> tuple[str, int]:
    """Return the normal form of IR and its instructions, if it lowers to exactly this assembly."""
    lowered, normal, num_instructions = _lower(text, library)
    if lowered != assembly:
        raise _Unsuitable("lowers to other assembly")
    # As a reader of the sample would lower it.
    if normal != text and _lower(normal, library)[0] != assembly:
        raise _Unsuitable("lowers to other assembly")
    return normal, num_instructions


_MAKERS = {
    "pretraining": _pretraining,
    "emulation": _optimized,
    "flag-tuning": _optimized,
    "disassembly": _disassembly,
}
