"""Take out of lifted IR what it claims beyond its code (docs/decisions/0006).

A lift that lowers to the very same code may still mean less than the code does: ``nsw`` where the
addition wraps, ``align 8`` where a pointer is odd, ``memory(none)``, ``noreturn``, ``nonnull``,
``!tbaa`` that somebody guessed. Nothing of it shows until the module is optimised. So every claim
goes, unless the function lowers to other code without it; those are named, and what keeps one is
for the caller to test.

Flags, metadata and alignments are taken out of LLVM's own canonical text, attributes through its
API. Jobs run in a worker: LLVM may crash.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.disassembly.attributes import (
    CLAIMS,
    CONTROL_CLAIMS,
    move_to_calls,
    not_throwing,
    strip_attributes,
)
from llm_compiler.errors import CompilerError, InputError, LlmCompilerError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.job_steps import TextsJob
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status
from llm_compiler.verify.fingerprint import Fingerprint, fingerprint

__all__ = ["ClaimsJob", "Modest", "claim_sites"]

_NAME = r'%(?:"[^"]*"|[-\w.$]+)'
_HEAD = rf"^(\s+(?:{_NAME} = )?)"
_FAST = r"(?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)"
_METADATA = (
    "tbaa|tbaa\\.struct|range|nonnull|noundef|align|dereferenceable|dereferenceable_or_null|"
    "alias\\.scope|noalias|invariant\\.load|invariant\\.group|llvm\\.loop|llvm\\.access\\.group|"
    "llvm\\.mem\\.parallel_loop_access|fpmath|callees|heapallocsite"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A kind of claim: where it stands in a line, and what the line is without it."""

    name: str
    pattern: re.Pattern[str]
    replacement: str


def _rule(name: str, pattern: str, replacement: str) -> _Rule:
    return _Rule(name, re.compile(pattern), replacement)


_RULES: Final = (
    _rule(
        "nsw and nuw", _HEAD + r"((?:add|sub|mul|shl|trunc) )((?:nuw |nsw )+)(?=[\w<{%\[])", r"\1\2"
    ),
    _rule("exact", _HEAD + r"((?:s|u)div |[al]shr )exact ", r"\1\2"),
    _rule("nneg, disjoint, samesign", _HEAD + r"(zext |uitofp )nneg ", r"\1\2"),
    _rule("nneg, disjoint, samesign", _HEAD + r"(or )disjoint ", r"\1\2"),
    _rule("nneg, disjoint, samesign", _HEAD + r"(icmp )samesign ", r"\1\2"),
    _rule("inbounds", r"(getelementptr )((?:inbounds |nusw |nuw |inrange\([^)]*\) )+)", r"\1"),
    _rule(
        "fast arithmetic",
        _HEAD + rf"((?:f\w+|select|phi|(?:tail |musttail |notail )?call) )(?:{_FAST} )+",
        r"\1\2",
    ),
    _rule("metadata", rf"(?:, !(?:{_METADATA}) !\d+)+", ""),
    _rule(
        "alignment",
        _HEAD + r"((?:load|store) (?!atomic).*), align (?!1\b)\d+(?=$|, !)",
        r"\1\2, align 1",
    ),
    _rule("tail", _HEAD + r"tail (call )", r"\1\2"),
    _rule("zero and minimum", r"(@llvm\.(?:ctlz|cttz|abs)\.[^(]*\(.*, i1 )true\)", r"\1false)"),
    _rule("constant variables", r"^(@\S+ = .*?external .*?)\bconstant (.*)$", r"\1global \2"),
    _rule(
        "types of variables",
        r"^(@\S+ = (?:external|extern_weak) .*?\b(?:global|constant) )(?!i8, align 1$).*$",
        r"\1i8, align 1",
    ),
)
_OF_VARIABLES: Final = ("constant variables", "types of variables")
_ASSUMED: Final = re.compile(
    r"^\s+(?:tail )?call void @llvm\.(?:assume|lifetime\.\w+|experimental\.noalias\.scope\.decl|"
    r"invariant\.\w+)[\w.]*\("
)
_SHIFT: Final = re.compile(rf"^(\s+){_NAME} = (?:shl|lshr|ashr)(?: nuw| nsw| exact)* i(32|64) .*, ")
_SHIFTED_BY: Final = re.compile(rf"({_NAME})(?=$|, !)")
_RETURN: Final = re.compile(r"^\s+(?:ret |resume |unreachable)")
_ATTRIBUTES: Final = "attributes"
_NO_RETURN: Final = "noreturn and nounwind"
_STATEMENTS: Final = "assumptions"
_SHIFTS: Final = "shift amounts"
_BUDGET: Final = 48
"""Times that one function is lowered at most."""


@dataclass(frozen=True, slots=True)
class _Site:
    """A place that can be made modest: its line (below 0: attributes) and the kind of claim."""

    line: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Modest:
    """A text with as few claims as its code allows.

    `kept`: kinds of claims that it still makes, since it lowers to other code without them.
    """

    status: Status
    text: str = field(default="", repr=False)
    kept: tuple[str, ...] = ()
    bare: str = field(default="", repr=False)
    """The text without any claim, where it lowers to other code than with those kept."""
    nothrow: tuple[str, ...] = ()
    """Declared functions of which its exception table needs that they do not throw."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsJob(TextsJob):
    """Make texts modest; each step's result is a `Modest`."""

    search_s: float = 2.0
    """Time for one text, after which what was not tried stays."""

    def run(self, state: WorkerState, first_step: int) -> Iterator[Modest]:
        """Yield each text with fewer claims."""
        for text in self.texts[first_step:]:
            try:
                yield _Search(text, self.search_s).run()
            except LlmCompilerError as error:
                yield Modest(status=Status.REFUSED, text=text, detail=str(error)[:500])

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Modest:
        """Return the text as it was."""
        return Modest(status=status, text=self.texts[step], detail=detail)


class _Search:
    """Finds the sites of one text that may go."""

    def __init__(self, text: str, search_s: float) -> None:
        with Context() as context:
            module = context.parse(text.encode("utf-8", "surrogateescape"), "answer")
            context.library.LLVMStripModuleDebugInfo(module.handle)
            module.run_passes("instnamer")
            with TargetMachine.for_module(module) as machine:
                before = fingerprint(module, machine)
                moved = module.clone()
                move_to_calls(moved)
                if fingerprint(moved, machine) == before:
                    module = moved
            self._lines = module.to_text().splitlines()
            with TargetMachine.for_module(module) as machine:
                self._wanted: Fingerprint = fingerprint(module, machine)
        self._end = time.monotonic() + search_s
        self._tries = 0

    def run(self) -> Modest:
        sites = [*claim_sites(self._lines), _Site(-1, _ATTRIBUTES), _Site(-2, _NO_RETURN)]
        gone = self._without(sites)
        text = self._text(gone)
        kept = sorted({site.kind for site in sites if site not in gone})
        bare = self._text(sites) if kept else ""
        with Context() as context:
            module = context.parse(text.encode("utf-8", "surrogateescape"), "answer")
            nothrow = tuple(not_throwing(module))
        return Modest(status=Status.OK, text=text, kept=tuple(kept), bare=bare, nothrow=nothrow)

    def _without(self, sites: list[_Site]) -> list[_Site]:
        """Return sites that can go together: all, or those of as many kinds as possible."""
        if self._is_same(sites):
            return sites
        # Claims that one kind alone needs are the usual case.
        kinds = sorted({site.kind for site in sites}, key=_order)
        for kind in kinds:
            rest = [site for site in sites if site.kind != kind]
            if self._is_same(rest):
                return rest + self._some(rest, [site for site in sites if site.kind == kind])
        gone: list[_Site] = []
        for kind in kinds:
            mine = [site for site in sites if site.kind == kind]
            gone += self._some(gone, mine)
        return gone

    def _some(self, gone: list[_Site], sites: list[_Site]) -> list[_Site]:
        """Return those of `sites` that can go as well, by halves."""
        if not sites or self._tries >= _BUDGET or time.monotonic() > self._end:
            return []
        if self._is_same([*gone, *sites]):
            return sites
        if len(sites) == 1:
            return []
        middle = len(sites) // 2
        first = self._some(gone, sites[:middle])
        return first + self._some([*gone, *first], sites[middle:])

    def _is_same(self, sites: Sequence[_Site]) -> bool:
        self._tries += 1
        with Context() as context:
            try:
                module = context.parse(self._text(sites).encode("utf-8", "surrogateescape"))
                if module.verify():
                    return False
                with TargetMachine.for_module(module) as machine:
                    return fingerprint(module, machine) == self._wanted
            except (CompilerError, InputError):
                return False

    def _text(self, sites: Sequence[_Site]) -> str:
        by_line: dict[int, set[str]] = {}
        for site in sites:
            by_line.setdefault(site.line, set()).add(site.kind)
        lines: list[str] = []
        for number, line in enumerate(self._lines):
            kinds = by_line.get(number, set())
            if _STATEMENTS in kinds:
                continue
            for rule in _RULES:
                if rule.name in kinds:
                    line = rule.pattern.sub(rule.replacement, line)
            if _SHIFTS in kinds:
                lines.append(_mask(line, number))
                line = _SHIFTED_BY.sub(f"%shift.amount.{number}", line)
            lines.append(line)
        text = "\n".join(lines) + "\n"
        with Context() as context:
            module = context.parse(text.encode("utf-8", "surrogateescape"), "answer")
            names = (CLAIMS if -1 in by_line else ()), (CONTROL_CLAIMS if -2 in by_line else ())
            strip_attributes(module, frozenset().union(*names))
            return module.to_text()


def claim_sites(lines: Sequence[str]) -> list[_Site]:
    """Return the claims of a module's text as LLVM prints it, attributes apart.

    A tail call in front of a return stays: the code shows that the frame is gone by then.
    """
    found: list[_Site] = []
    for number, line in enumerate(lines):
        if line.startswith("@"):
            rules = [each_rule for each_rule in _RULES if each_rule.name in _OF_VARIABLES]
        elif line.startswith(" "):
            rules = [each_rule for each_rule in _RULES if each_rule.name not in _OF_VARIABLES]
        else:
            continue
        if _ASSUMED.match(line):
            found.append(_Site(number, _STATEMENTS))
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        for rule in rules:
            if rule.name == "tail" and _RETURN.match(following):
                continue
            if rule.pattern.search(line):
                found.append(_Site(number, rule.name))
        if _SHIFT.match(line) and _SHIFTED_BY.search(line.rsplit(", ", 1)[-1]):
            found.append(_Site(number, _SHIFTS))
    return list(dict.fromkeys(found))


def _mask(line: str, number: int) -> str:
    """Return the line that cuts a shift's amount to the width, as both processors do."""
    shift = _SHIFT.match(line)
    assert shift is not None
    amounts = _SHIFTED_BY.findall(line)
    bits = int(shift[2])
    return f"{shift[1]}%shift.amount.{number} = and i{bits} {amounts[-1]}, {bits - 1}"


def _order(kind: str) -> tuple[int, str]:
    """Sort kinds: first those that code generation depends on most often."""
    usual = ["tail", "nsw and nuw", "fast arithmetic", _ATTRIBUTES, _STATEMENTS, "inbounds"]
    return (usual.index(kind) if kind in usual else len(usual)), kind
