"""From one draft to many: variants, lowered in process and compared, the nearest first.

`SearchJob` runs in a worker, since drafts are compiled there: one function, many variants, a time
limit. It says what is likely the same code; clang and `verify.round_trip` decide.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llm_compiler.disassembly.rules.calls import Signature
from llm_compiler.disassembly.rules.code import Unliftable, parse_code
from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.emit import emit
from llm_compiler.disassembly.rules.likeness import CodeLines, Likeness, code_lines, compare
from llm_compiler.disassembly.rules.mangled_names import NamedParameters
from llm_compiler.disassembly.rules.module import ModuleFrame
from llm_compiler.disassembly.rules.moves import (
    changes_for,
    first_variants,
    keeps_loads_apart,
    kind_of,
)
from llm_compiler.disassembly.rules.polish import Edit, edits_of
from llm_compiler.disassembly.rules.prototypes import NO_RETURN, PROTOTYPES
from llm_compiler.disassembly.rules.selectors import with_types
from llm_compiler.disassembly.rules.targets import TARGETS
from llm_compiler.disassembly.rules.translate import translate
from llm_compiler.disassembly.rules.unoptimised import (
    UNOPTIMISED,
    UNOPTIMISED_PIPELINES,
    as_optimised,
    as_unoptimised,
    with_frame,
)
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.errors import CompilerError, InputError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import OZ, Status

__all__ = ["PIPELINES", "FoundDraft", "SearchJob", "SearchResult"]

_COMBINE: Final = "instcombine<no-verify-fixpoint>"
PIPELINES: Final = (
    f"function(sroa,{_COMBINE},simplifycfg)",
    "function(sroa)",
    f"function(sroa,{_COMBINE})",
    f"function(sroa,early-cse<memssa>,simplifycfg,{_COMBINE},simplifycfg)",
    "function(sroa,simplifycfg)",
    f"function(sroa,early-cse<memssa>,simplifycfg,{_COMBINE},correlated-propagation,"
    f"aggressive-instcombine,simplifycfg,reassociate,loop-mssa(loop-rotate,licm),simplifycfg,"
    f"{_COMBINE},loop(indvars),gvn,{_COMBINE},dse,adce,simplifycfg,{_COMBINE})",
    OZ.pipeline,
)
"""What cleans a draft: `Variant.pipeline` says which."""
_PATIENCE: Final = 4
"""On a busy machine, a search may take this multiple of its processor time."""
_LEAST_S: Final = 2.0
"""For the first draft, however little a search may take."""
_NEAR_ENOUGH: Final = 0.7
"""So alike is a draft that is worth editing."""
_EDITS: Final = 24
"""That are tried in turn with as many changes of variants."""
_FRUITLESS: Final = 120
"""Tries without a nearer draft after which a search ends: later ones hardly ever find it."""
_KEPT: Final = 6
"""The number of drafts that are changed further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDraft:
    """A draft as a module, and how near its code is."""

    text: str = field(repr=False)
    variant: Variant
    attributes: str
    likeness: Likeness
    result: str = "void"
    """The type of its result."""
    is_narrow: bool = False
    """It returns fewer bits than the code computes: callers may use the rest."""

    @property
    def returns(self) -> bool:
        """Whether it has a result."""
        return self.result != "void"

    @property
    def returns_integer(self) -> bool:
        """Whether its result is an integer or an address, all that the code computes of it."""
        return self.result.startswith(("i", "ptr")) and not self.is_narrow


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found: the nearest draft, and the default one."""

    status: Status
    detail: str = ""
    """LLVM's words, or what the rules lack."""
    instruction: str = ""
    """That the rules have no words for."""
    drafts: tuple[FoundDraft, ...] = field(default=(), repr=False)
    """The nearest first; one that claims nothing that the code does not show is among them, and one
    of these that returns a value, if the code may."""
    num_tried: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob(OneStepJob):
    """Lift one function, and search for the variant that is the same code. One step."""

    text: str = field(repr=False)
    """In normal form."""
    architecture: str
    signatures: Mapping[str, Signature] = field(repr=False)
    """Of functions of the same file."""
    named: Mapping[str, NamedParameters] = field(default_factory=dict, repr=False)
    """What the names of functions say that they take."""
    attributes: tuple[str, ...] = ("",)
    """Of the function, in LLVM's words, the likeliest first."""
    seconds: float = 2.0
    """Of processor time: the search ends then, at the latest."""
    max_variants: int = 400
    seed: int = 0

    def run(self, state: WorkerState, first_step: int) -> Iterator[SearchResult]:
        """Yield what was found."""
        try:
            yield _Search(self).run()
        except Unliftable as error:
            yield SearchResult(
                status=Status.REFUSED, detail=error.cause, instruction=error.instruction
            )
        except RecursionError:
            yield SearchResult(status=Status.REFUSED, detail="code nested too deep")

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> SearchResult:
        """Return the result of a search that LLVM died in."""
        return SearchResult(status=status, detail=detail, seconds=seconds)


class _Search:
    def __init__(self, job: SearchJob) -> None:
        self._job = job
        self._started, self._clock = time.process_time(), time.monotonic()
        target = TARGETS[job.architecture]()
        self._triple = target.triple
        code = parse_code(job.text)
        ending = {name for name, signature in job.signatures.items() if signature.never_returns}
        graph = translate(code, target, NO_RETURN | ending)
        self._function = Function(code, graph, target, job.signatures, job.named)
        self._scanning: Function | None = None
        if any(line.mnemonic in target.open_scans for line in code.lines):
            kept = translate(code, target, NO_RETURN | ending, keeps_scanned=True)
            self._scanning = Function(code, kept, target, job.signatures, job.named)
        self._frame = ModuleFrame(code, target.triple)
        self._original: CodeLines = code_lines(job.text, target.triple, is_normal=True)
        self._random = random.Random(job.seed)
        self._seen: set[tuple[str, str, int]] = set()
        self._edits: dict[str, list[Edit]] = {}
        """What is left to try of drafts, by their texts."""
        self._found: list[FoundDraft] = []
        self._default: FoundDraft | None = None
        self._returning: FoundDraft | None = None
        self._extra: list[FoundDraft] = []
        self._cause: Unliftable | None = None
        self._detail = ""
        self._tried = 0
        self._improved = 0
        """The number of the try that the nearest draft came from."""
        self._machine: TargetMachine | None = None
        self._plain_machine: TargetMachine | None = None

    def _is_over(self) -> bool:
        if self._found and self._found[0].likeness.is_same:
            return True
        # Where the first choices do not lower, others may: that is no luxury.
        seconds = self._job.seconds if self._found else max(self._job.seconds, _LEAST_S)
        late = time.process_time() - self._started > seconds
        late |= time.monotonic() - self._clock > _PATIENCE * seconds
        is_stuck = self._tried - self._improved > _FRUITLESS
        return late or is_stuck or self._tried >= self._job.max_variants

    def run(self) -> SearchResult:
        with Context() as context:
            self._context = context
            try:
                self._search()
                self._search_result()
            finally:
                for machine in (self._machine, self._plain_machine):
                    if machine is not None:
                        machine.close()
        drafts = self._found
        for found_draft in (*self._extra, self._returning, self._default):
            if found_draft is not None and found_draft not in drafts:
                drafts = [*drafts, found_draft]
        if not drafts:
            if self._cause is not None:
                raise self._cause
            return SearchResult(status=Status.REFUSED, detail=self._detail or "no draft lowers")
        return SearchResult(
            status=Status.OK,
            drafts=tuple(drafts),
            num_tried=self._tried,
            seconds=time.process_time() - self._started,
        )

    def _search(self) -> None:
        attributes = self._job.attributes
        if UNOPTIMISED in attributes[0]:
            self._search_unoptimised(attributes[0])
            attributes = attributes[1:]
            if self._is_over():
                return
        for attribute in attributes:
            self._try(Variant(), attribute)
            if self._is_over():
                return
        for pipeline in range(1, len(PIPELINES)):
            self._try(Variant(pipeline=pipeline), self._best_attributes())
            if self._is_over():
                return
        base = self._best_pipeline()
        for variant in first_variants(self._function, self._lead()):
            self._try(dataclasses.replace(variant, pipeline=base), self._best_attributes())
            if self._is_over():
                return
        while not self._is_over():
            if not self._found:
                return
            before = self._tried
            self._polish()
            for _ in range(16):
                if self._is_over():
                    return
                self._change()
            if self._tried == before:
                return

    def _polish(self) -> None:
        """Try some edits of the nearest draft's text that keep its meaning."""
        tried = 0
        while tried < _EDITS and not self._is_over():
            draft = self._found[0]
            if draft.likeness.value < _NEAR_ENOUGH:
                return
            if draft.text not in self._edits:
                lead = draft.likeness.changed
                first = "branch" if kind_of(lead) == "branch" else "order"
                first = "volatile" if keeps_loads_apart(lead) else first
                self._edits[draft.text] = edits_of(draft.text, self._random, first)
            edits = self._edits[draft.text]
            if not edits:
                return
            self._try_edit(draft, edits.pop(0))
            tried += 1

    def _try_edit(self, draft: FoundDraft, edit: Edit) -> None:
        """Lower an edited draft; keep it if its code is nearer."""
        text = edit.make()
        key = text, draft.attributes, -1
        if key in self._seen:
            return
        self._seen.add(key)
        self._tried += 1
        is_plain = UNOPTIMISED in draft.attributes
        machine = self._plain_machine if is_plain else self._machine
        assert machine is not None
        try:
            with self._context.parse(text.encode("utf-8", "surrogateescape"), "edited") as module:
                if broken := module.verify():
                    raise InputError(broken)
                lines = code_lines(machine.emit_assembly(module), self._triple)
        except (CompilerError, InputError):
            return
        likeness = compare(self._original, lines)
        if likeness.value > draft.likeness.value or likeness.is_same:
            self._keep(dataclasses.replace(draft, text=text, likeness=likeness))

    def _search_unoptimised(self, attributes: str) -> None:
        """Try the few choices that code which was not optimised leaves open."""
        plain = Variant(frame="slots", placement=0, branches="as is", cold=0, masks=False)
        results = self._function.result_types()
        changes: list[dict[str, Any]] = [
            {},
            {"natural_bits": 8},
            {"has_pointers": False},
            {"is_wide": True},
            {"sums_first": True},
            {"keeps_switch": True},
            {"frame": "parts"},
            {"arguments": "near"},
            {"wide_constants": 1},
            *({"result": result} for result in results[1:]),
        ]
        for change in changes:
            for pipeline in (0, 4, 1, 5, 2, 6, 3):
                variant = dataclasses.replace(plain, pipeline=pipeline, **change)
                self._try(variant, attributes)
                if self._is_over():
                    return

    def _search_result(self) -> None:
        """Try what callers and callees may read though the nearest drafts drop it: results,
        arguments, and what a scan leaves where there is no bit."""
        if not self._found or self._found[0].likeness.is_same:
            return
        base = self._sound_variant()
        if self._scanning is not None:
            base = dataclasses.replace(base, keeps_scanned=True)
            self._try_extra(base)
        if len(self._function.plan(base).objects) > 1:
            # Where objects end is guessed; one for the whole frame is always right.
            self._try_extra(dataclasses.replace(base, frame="whole", counts=()))
        if self._function.leaves_low_byte():
            self._try_extra(dataclasses.replace(base, result="i8"))
        results = self._function.returned_types()
        for result in results:
            if self._returns():
                break
            self._try(dataclasses.replace(base, result=result), self._best_attributes())
        if self._returning is not None and not self._returning.returns_integer:
            # Both kinds of registers are set: one of them is no result, or both are none.
            for result in (word for word in results if word.startswith(("i", "ptr"))):
                self._try_extra(dataclasses.replace(base, result=result))
                break
        calls = [node.data.symbol for node in self._function.calls()]
        if any(symbol not in PROTOTYPES for symbol in calls):
            # What the code of a callee in the same file is seen to read may not be all.
            if self._returning is not None:
                base = dataclasses.replace(base, result=self._returning.variant.result)
            self._try_extra(dataclasses.replace(base, arguments="all", counts=()))
            # What leaves nothing out at all: each of these alone may not do.
            careful = dataclasses.replace(base, arguments="every", counts=(), frame="whole")
            self._try_extra(careful)

    def _try_extra(self, variant: Variant) -> None:
        if (draft := self._try(variant, self._best_attributes(), again=True)) is not None:
            self._extra.append(draft)

    def _returns(self) -> bool:
        return self._returning is not None

    def _sound_variant(self) -> Variant:
        """Return the nearest sound draft's variant."""
        return next(
            (found_draft.variant for found_draft in self._found if found_draft.variant.is_sound),
            Variant(),
        )

    def _best_attributes(self) -> str:
        return self._found[0].attributes if self._found else self._job.attributes[0]

    def _best_pipeline(self) -> int:
        return self._found[0].variant.pipeline if self._found else 0

    def _lead(self) -> tuple[str, ...]:
        return self._found[0].likeness.changed if self._found else ()

    def _change(self) -> None:
        """Try a change of one of the nearest drafts."""
        ranks = range(len(self._found))
        weights = [2.0**-rank for rank in ranks]
        draft = self._found[self._random.choices(ranks, weights)[0]]
        variant = draft.variant
        for _ in range(self._random.choice((1, 1, 2, 3))):
            variant = self._random.choice(
                changes_for(self._function, variant, draft.likeness.changed, self._random)
            )
        self._try(variant, draft.attributes)

    def _try(self, variant: Variant, attributes: str, *, again: bool = False) -> FoundDraft | None:
        """Lower a variant and compare; none where it does not lower, or was tried before.

        Args:
            again: return it though it was tried before: it may have been dropped since.
        """
        try:
            function = self._function
            if variant.keeps_scanned and self._scanning is not None:
                function = self._scanning
            body = with_types(emit(function, variant), function.code.caught_types)
            if UNOPTIMISED in attributes:
                body = with_frame(
                    body,
                    function.plan(variant).objects,
                    function.graph,
                    has_spills=variant.pipeline >= len(UNOPTIMISED_PIPELINES),
                )
            key = body, attributes, variant.pipeline
            if key in self._seen and not again:
                return None
            self._seen.add(key)
            text = self._frame.module(body, as_optimised(attributes))
        except Unliftable as error:
            self._cause = self._cause or error
            return None
        self._tried += 1
        try:
            if UNOPTIMISED in attributes:
                cleaned, lines = self._lower_unoptimised(text, variant.pipeline)
            else:
                cleaned, lines = self._lower(text, variant.pipeline)
        except (CompilerError, InputError) as error:
            self._detail = str(error)
            return None
        draft = FoundDraft(
            text=cleaned,
            variant=variant,
            attributes=attributes,
            likeness=compare(self._original, lines),
            result=function.plan(variant).result,
            is_narrow=function.is_narrow(function.plan(variant).result),
        )
        if draft.returns and variant.is_sound and not draft.is_narrow:
            nearest = self._returning
            if nearest is None or nearest.likeness.value < draft.likeness.value:
                self._returning = draft
        if self._default is None and variant.is_sound:
            self._default = draft
        self._keep(draft)
        return draft

    def _keep(self, draft: FoundDraft) -> None:
        if not self._found or draft.likeness.value > self._found[0].likeness.value:
            self._improved = self._tried
        self._found.append(draft)
        # Of drafts that are as near, the sound ones and those with fewer claims first.
        self._found.sort(
            key=lambda found_draft: (
                -found_draft.likeness.value,
                not found_draft.variant.is_sound,
                len(found_draft.variant.changes),
            )
        )
        del self._found[_KEPT:]

    def _lower(self, text: str, pipeline: int) -> tuple[str, CodeLines]:
        with self._context.parse(text.encode("utf-8", "surrogateescape"), "draft") as module:
            if broken := module.verify():
                raise InputError(broken)
            if self._machine is None:
                self._machine = TargetMachine.for_module(module)
            module.run_passes(PIPELINES[pipeline], self._machine.handle)
            cleaned = module.to_text()
            return cleaned, self._code_of(module)

    def _lower_unoptimised(self, text: str, pipeline: int) -> tuple[str, CodeLines]:
        with self._context.parse(text.encode("utf-8", "surrogateescape"), "draft") as module:
            if broken := module.verify():
                raise InputError(broken)
            if self._plain_machine is None:
                self._plain_machine = TargetMachine.for_module(module, is_optimising=False)
            passes = UNOPTIMISED_PIPELINES[pipeline % len(UNOPTIMISED_PIPELINES)]
            module.run_passes(passes, self._plain_machine.handle)
            cleaned = as_unoptimised(module.to_text())
        with self._context.parse(cleaned.encode("utf-8", "surrogateescape"), "draft") as module:
            assembly = self._plain_machine.emit_assembly(module)
            return cleaned, code_lines(assembly, self._triple)

    def _code_of(self, module: Module) -> CodeLines:
        assert self._machine is not None
        return code_lines(self._machine.emit_assembly(module), self._triple)
