"""Drafts for the functions of one file: what the whole file knows goes into each of them.

The signatures of functions that a function calls are read from their own code, once, also from
that of other files of the same program (`known_functions`). What attributes other functions were
exact with is tried first. Not safe to share between threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict

from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.rules.call_sites import CallSites, most_passed
from llm_compiler.disassembly.rules.calls import Signature
from llm_compiler.disassembly.rules.code import Unliftable, parse_code
from llm_compiler.disassembly.rules.frame import written_fields
from llm_compiler.disassembly.rules.known_functions import KnownFunctions, Program, called_by
from llm_compiler.disassembly.rules.nodes import Graph
from llm_compiler.disassembly.rules.outlined import inline_outlined
from llm_compiler.disassembly.rules.prototypes import NO_RETURN, PROTOTYPES
from llm_compiler.disassembly.rules.search import FoundDraft, SearchJob, SearchResult
from llm_compiler.disassembly.rules.target import Target
from llm_compiler.disassembly.rules.targets import TARGETS
from llm_compiler.disassembly.rules.translate import translate
from llm_compiler.disassembly.rules.unoptimised import UNOPTIMISED
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.elf import Symbol
from llm_compiler.records import Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["NO_LIMITS", "Drafts", "RulesLifter", "attributes_of", "worth_running"]

_SIZES: Final = ("minsize optsize", "optsize", "")
_PLAIN_ARITIES: Final = {
    name: len(prototype.parameters)
    for name, prototype in PROTOTYPES.items()
    if not prototype.is_variadic and not set(prototype.parameters) & set("df")
}
_DRAFTS: Final = 4
"""That are worth running, of those that are not the same code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """Drafts of one function, the nearest first; empty with a cause."""

    drafts: tuple[FoundDraft, ...] = field(default=(), repr=False)
    cause: str = ""
    """What the rules lack, in words that can be counted."""
    instruction: str = ""
    num_tried: int = 0
    seconds: float = 0.0
    """Of a worker's processor time."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The modules."""
        return tuple(draft.text for draft in self.drafts)


class Limits(TypedDict):
    """What a file says of the functions that one calls, by name."""

    arities: dict[str, int]
    bounds: dict[str, int]
    numbers: dict[str, int]
    ending: frozenset[str]
    fields: frozenset[int]


NO_LIMITS: Final[Limits] = {
    "arities": {},
    "bounds": {},
    "numbers": {},
    "ending": frozenset(),
    "fields": frozenset(),
}


class RulesLifter:
    """Makes drafts for functions of one binary."""

    def __init__(
        self,
        binary: Binary,
        reader: FunctionReader,
        pool: WorkerPool,
        *,
        seconds: float = 2.0,
        timeout_s: float = 60.0,
        program: Program | None = None,
    ) -> None:
        """Start without having read anything.

        Args:
            seconds: of processor time, for the search of each function.
            program: that the file is part of.
        """
        self._pool, self._seconds, self._timeout_s = pool, seconds, timeout_s
        self._architecture = binary.elf.architecture
        self._known = KnownFunctions(binary, reader, program)
        self._sizes: Counter[str] = Counter()
        is_known = self._architecture in TARGETS
        says_ellipsis = is_known and TARGETS[self._architecture]().convention.calls_show_ellipsis
        self._sites = CallSites(binary, says_ellipsis, self._read_passed)

    def drafts(self, text: FunctionText) -> Drafts:
        """Return what the rules make of a function."""
        if self._architecture not in TARGETS:
            return Drafts(cause=f"there are no rules for {self._architecture}")
        try:
            lifted = inline_outlined(text.text, self._known.outlined)
            code = parse_code(lifted)
            signatures = self._known.callees_with_most(code)
        except Unliftable as error:
            return Drafts(cause=error.cause, instruction=error.instruction)
        job = SearchJob(
            text=lifted,
            architecture=self._architecture,
            signatures=signatures,
            named=self._known.named(code),
            attributes=attributes_of(text.text, self._architecture, self._sizes),
            seconds=self._seconds,
            timeout_s=self._timeout_s,
        )
        try:
            found: SearchResult = run_jobs(self._pool, [job])[0][0]
        except LlmCompilerError:
            raise
        except Exception as error:  # A fault of ours takes one function's answer, not the file's.
            return Drafts(cause=f"a fault of the rules ({type(error).__name__}: {error})")
        if found.status is not Status.OK:
            return Drafts(cause=found.detail, instruction=found.instruction, seconds=found.seconds)
        drafts = found.drafts
        if drafts[0].likeness.is_same:
            self._sizes[_size_words(drafts[0].attributes)] += 1
        kept = worth_running(drafts)
        return Drafts(drafts=tuple(kept), num_tried=found.num_tried, seconds=found.seconds)

    def arities(self, text: FunctionText) -> dict[str, int]:
        """Return how many integer arguments the functions that one calls take at most.

        Of those that everybody knows, and of those of the same program whose code reads no other
        register even if all that its own calls may read counts. None of them takes numbers.
        """
        found = dict(_PLAIN_ARITIES)
        try:
            code = parse_code(inline_outlined(text.text, self._known.outlined))
            names = called_by(code, self._architecture)
        except Unliftable:
            return found
        for name in names:
            if (most := self._known.most_arguments(name)) is not None:
                found[name] = most
        return found

    def limits(self, text: FunctionText) -> Limits:
        """Return what is known of the functions that one calls, as `Executor.verify` takes it."""
        return {
            "arities": self.arities(text),
            "bounds": self.bounds(text),
            "numbers": self.numbers(text),
            "ending": self.ending(text),
            "fields": self._fields(text),
        }

    def _fields(self, text: FunctionText) -> frozenset[int]:
        """Return the words of objects on the stack that a function writes and does not read."""
        target = TARGETS[self._architecture]()
        try:
            code = parse_code(inline_outlined(text.text, self._known.outlined))
            graph = translate(code, target, NO_RETURN)
        except Unliftable:
            return frozenset()
        if target.unoptimised_start.search(text.text) and _keeps_arguments(graph, target):
            # Code that was not optimised also writes what nobody reads.
            return frozenset()
        return written_fields(graph, target.convention.first_stack_argument)

    def ending(self, text: FunctionText) -> frozenset[str]:
        """Return the functions of this program that one calls and that never return."""
        try:
            code = parse_code(inline_outlined(text.text, self._known.outlined))
        except Unliftable:
            return frozenset()
        callees = self._known.callees(code)
        return frozenset(name for name, known in callees.items() if known.never_returns)

    def bounds(self, text: FunctionText) -> dict[str, int]:
        """Return how many integer registers the functions that one calls read at most, as their
        calls in this file show, their own code, or their names."""
        try:
            code = parse_code(inline_outlined(text.text, self._known.outlined))
        except Unliftable:
            return {}
        names = called_by(code, self._architecture)
        found = {name: parameters.most for name, parameters in self._known.named(code).items()}
        for name in names:
            for most in (self._sites.most(name), self._known.most_integers(name)):
                if most is not None:
                    found[name] = min(most, found.get(name, most))
        return found

    def numbers(self, text: FunctionText) -> dict[str, int]:
        """Return how many numbers the functions that one calls take, as their names say."""
        try:
            code = parse_code(inline_outlined(text.text, self._known.outlined))
        except Unliftable:
            return {}
        return {name: found.vectors for name, found in self._known.named(code).items()}

    def known_of_callees(
        self, text: FunctionText
    ) -> dict[str, tuple[Signature | None, int | None, int | None]]:
        """Return what the program says of the functions that one calls: all that drafts and
        verdicts depend on besides the text."""
        try:
            code = parse_code(inline_outlined(text.text, self._known.outlined))
        except Unliftable:
            return {}
        arities, bounds = self.arities(text), self.bounds(text)
        return {
            name: (self._known.signature(name), arities.get(name), bounds.get(name))
            for name in called_by(code, self._architecture)
            if self._known.is_known(name) or name in bounds
        }

    def _read_passed(self, symbol: Symbol) -> dict[str, int | None]:
        """Return what a function's calls show of those that it calls."""
        try:
            code = self._known.code(symbol)
            target = TARGETS[self._architecture]()
            graph = translate(code, target, NO_RETURN)
            return most_passed(graph, target.convention)
        except (Unliftable, Unreadable):
            return {}


def _keeps_arguments(graph: Graph, target: Target) -> bool:
    """Whether a function begins by storing what it is passed to its frame."""
    passed = {*target.convention.integer_arguments, *target.convention.vector_arguments}
    return any(
        node.op == "store"
        and node.args[0].op == "read"
        and node.args[0].data in passed
        and node.args[1].op == "frame"
        for node in graph.blocks[graph.order[0]].nodes
    )


def worth_running(drafts: Sequence[FoundDraft]) -> list[FoundDraft]:
    """Return the nearest draft, and sound ones that leave the least open: what a scan without a
    bit leaves, what is returned, what calls are passed."""
    nearest = drafts[0]
    sound = [draft for draft in drafts if draft.variant.is_sound]
    chosen: list[FoundDraft] = []
    for kind in (
        [found_draft for found_draft in sound if found_draft.variant.keeps_scanned],
        [found_draft for found_draft in sound if found_draft.variant.result == "i8"],
        [found_draft for found_draft in sound if found_draft.variant.frame == "whole"],
        [found_draft for found_draft in sound if found_draft.returns_integer],
        [found_draft for found_draft in sound if found_draft.returns and not found_draft.is_narrow],
        [found_draft for found_draft in sound if found_draft.variant.arguments == "all"],
        [found_draft for found_draft in sound if found_draft.variant.arguments == "every"],
        [found_draft for found_draft in sound if not found_draft.variant.counts],
        sound,
    ):
        if kind and nearest not in kind and not any(found_draft in kind for found_draft in chosen):
            chosen.append(kind[0])
    by_text: dict[str, FoundDraft] = {}
    for draft in (nearest, *chosen, *sound):
        by_text.setdefault(draft.text, draft)
    return list(by_text.values())[: 1 + _DRAFTS]


def attributes_of(text: str, architecture: str, sizes: Counter[str]) -> tuple[str, ...]:
    """Return the attributes that a function may have, the likeliest first.

    Args:
        text: in normal form: prologue and pushed constants tell of some.
        sizes: how often which size attributes were right in the same file.
    """
    target = TARGETS[architecture]()
    order = list(_SIZES)
    if target.smallest_sign is not None and target.smallest_sign.search(text):
        order = ["minsize optsize"]
    elif sizes:
        order.sort(key=lambda word: -sizes[word])
    rest = f"uwtable {target.attributes(text)}"
    if target.unoptimised_start.search(text):
        order.insert(0, UNOPTIMISED)
    if ".cfi_personality" in text:
        return tuple(f"{word} {rest}".strip() for word in order)
    # Of C++, few functions are known not to throw.
    quiet = [f"{word} nounwind {rest}".strip() for word in order]
    loud = [f"{word} {rest}".strip() for word in order]
    return tuple(loud + quiet if "\n_Z" in text else quiet + loud[:1])


def _size_words(attributes: str) -> str:
    return " ".join(word for word in attributes.split() if word in ("minsize", "optsize"))
