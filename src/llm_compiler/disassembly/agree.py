"""One prototype a function, agreed between its definition and all its calls (docs/decisions/0006).

Functions are lifted one by one: a definition may return nothing where a caller uses its result, or
take another number of arguments than it is passed. Each is exact alone; together they mean nothing,
and an optimiser shows it. `agree` edits the texts until every name has one prototype. An edit that
keeps the code keeps the verdict; where only others are possible, the text is named in
`Agreed.changed`, for the caller to verify anew.

Not safe to share between threads (the pool is not).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from llm_compiler.disassembly.prototypes import (
    CallSite,
    Prototype,
    Shape,
    Survey,
    SurveyJob,
    candidates,
)
from llm_compiler.disassembly.rewrite import Rewrite, RewriteJob, Rewritten
from llm_compiler.records import Status
from llm_compiler.verify.library import KNOWN_RESULTS
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Agreed", "agree"]

_MAX_ROUNDS: Final = 8
_FIRST: Final = 3
"""Prototypes tried before the others: one of them nearly always fits."""
_CONSTRUCTOR: Final = re.compile(r"^_ZN\w*?(?:[CD][012]E|D[012]Ev)")
_OPEN_RESULT: Final = "i64"
"""What a function returns of which only the register is known."""


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """Texts that agree.

    `changed`: functions whose text lowers to other code now. `refused`: functions that could not be
    made to agree, and why.
    """

    texts: dict[str, str] = field(repr=False)
    changed: frozenset[str]
    refused: dict[str, str]


def agree(
    texts: Mapping[str, str],
    pool: WorkerPool,
    *,
    aliases: Mapping[str, str] | None = None,
    known: Callable[[str], Shape | None] = lambda name: None,
    max_edits: int = 3_000,
) -> Agreed:
    """Make the functions of one module agree on how they call each other.

    Args:
        texts: by function, a module that defines it alone.
        aliases: further names of functions, and of which.
        known: what other files show of functions that these call.
        max_edits: tries, of some milliseconds each; what does not agree after them is refused.
            Time would let a busy machine decide.
    """
    return _Agreement(dict(texts), pool, dict(aliases or {}), known, max_edits).run()


class _Agreement:
    def __init__(
        self,
        texts: dict[str, str],
        pool: WorkerPool,
        aliases: dict[str, str],
        known: Callable[[str], Shape | None],
        max_edits: int,
    ) -> None:
        self._texts, self._pool, self._aliases = texts, pool, aliases
        self._known = known
        self._surveys: dict[str, Survey] = {}
        self._changed: set[str] = set()
        self._refused: dict[str, str] = {}
        self._opened: set[tuple[str, str]] = set()
        """Functions and results that were tried for what a last call leaves."""
        self._edits_left = max_edits

    def run(self) -> Agreed:
        self._survey(list(self._texts))
        for _ in range(_MAX_ROUNDS):
            self._return_last_calls()
            names = [name for name in self._callees_first() if self._disagreement(name)]
            if not names or self._edits_left <= 0:
                break
            for name in names:
                self._settle(name)
        for name in self._names():
            if why := self._disagreement(name):
                for caller, _ in self._calls(name):
                    self._refused.setdefault(caller, why)
        live = {name: text for name, text in self._texts.items() if name not in self._refused}
        return Agreed(
            texts=live, changed=frozenset(self._changed & set(live)), refused=self._refused
        )

    def _survey(self, names: list[str]) -> None:
        job = SurveyJob(texts=tuple(self._texts[word] for word in names), functions=tuple(names))
        found: list[Survey] = run_jobs(self._pool, [job])[0] if names else []
        for name, survey in zip(names, found, strict=True):
            self._surveys[name] = survey
            if survey.status is not Status.OK:
                self._refused[name] = f"its prototypes cannot be read: {survey.detail}"

    def _live(self) -> list[str]:
        return [name for name in self._texts if name not in self._refused]

    def _names(self) -> list[str]:
        """Return every function that is defined or called here."""
        names: dict[str, None] = {}
        for name in self._live():
            names[name] = None
            names |= dict.fromkeys(self._real(call.callee) for call in self._surveys[name].calls)
        return list(names)

    def _callees_first(self) -> list[str]:
        """Return the same names, as far as possible each after those that it calls.

        A function that passes all registers on takes fewer once its callee does.
        """
        found: dict[str, None] = {}
        seen: set[str] = set()
        live = set(self._live())
        for start in self._names():
            pending = [(start, False)]
            while pending:
                name, is_done = pending.pop()
                if is_done:
                    found[name] = None
                elif name not in seen:
                    seen.add(name)
                    pending.append((name, True))
                    if name in live:
                        calls = self._surveys[name].calls
                        pending += [(self._real(call.callee), False) for call in calls]
        return list(found)

    def _real(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _own(self, name: str) -> Prototype | None:
        return self._surveys[name].own if name in self._live() else None

    def _calls(self, name: str) -> list[tuple[str, CallSite]]:
        return [
            (caller, call)
            for caller in self._live()
            for call in self._surveys[caller].calls
            if self._real(call.callee) == name
        ]

    def _disagreement(self, name: str) -> str:
        own = self._own(name)
        claims = {call_site.prototype for _, call_site in self._calls(name)}
        is_declared = all(call_site.is_declared for _, call_site in self._calls(name))
        if len(claims | ({own} if own is not None else set())) > 1 or not is_declared:
            return f"'{name}' is called as another kind of function than it is"
        uses = any(call_site.uses_result for _, call_site in self._calls(name))
        if own is not None and uses and self._surveys[name].returns_undefined:
            return f"the result of '{name}' is used, and left open"
        return ""

    # -- what a last call leaves in the result's register ---

    def _return_last_calls(self) -> None:
        """Let functions that return nothing return what their last call does.

        Their code cannot show which of the two it is; a caller in another file may use the result.
        """
        pending = True
        while pending and self._edits_left > 0:
            pending = False
            for name in self._live():
                own = self._own(name)
                if own is None or own.result != "void":
                    continue
                result = self._last_result(name)
                if not result or (name, result) in self._opened:
                    continue
                self._opened.add((name, result))
                self._edits_left -= 1
                edit = Rewrite(
                    prototypes=((name, replace(own, result=result)),), returns_last_call=True
                )
                job = RewriteJob(text=self._texts[name], function=name, edits=(edit,))
                found: Rewritten = run_jobs(self._pool, [job])[0][0]
                if found.is_same:
                    self._texts[name] = found.text
                    self._survey([name])
                    pending = True

    def _last_result(self, name: str) -> str:
        """Return the type that a function's last calls return; empty if there are none."""
        found = set()
        for callee, result in self._surveys[name].last_calls:
            own = self._own(self._real(callee))
            if own is not None:
                found.add(own.result)
            elif result != "void":
                found.add(result)
            elif callee in KNOWN_RESULTS:
                found.add(KNOWN_RESULTS[callee])
            elif _CONSTRUCTOR.match(callee):
                return ""
            else:
                used = [
                    call_site.prototype.result
                    for _, call_site in self._calls(callee)
                    if call_site.prototype.result != "void"
                ]
                found.add(used[0] if used else _OPEN_RESULT)
        if len(found) != 1 or "void" in found:
            return ""
        return found.pop()

    def _ends_in_nothing(self, name: str) -> bool:
        """Whether a function's last call is of one of these, which returns nothing."""
        callees = [self._own(self._real(callee)) for callee, _ in self._surveys[name].last_calls]
        return any(own is not None and own.result == "void" for own in callees)

    # -- disagreements ---

    def _settle(self, name: str) -> None:
        """Give a function the prototype that fits most of the texts that name it."""
        own = self._own(name)
        calls = [call_site for _, call_site in self._calls(name)]
        if own is not None and self._surveys[name].returns_undefined:
            own = replace(own, result="void", result_attributes="")
        found = candidates(own, calls, known=self._known(name) if own is None else None)
        if own is not None and own.result == "void" and self._ends_in_nothing(name):
            # Else the two would be changed in turn, each for the other.
            found.sort(key=lambda prototype: prototype.result != "void")
        involved = list(
            dict.fromkeys(
                [*([name] if own is not None else []), *(c for c, _ in self._calls(name))]
            )
        )
        best: tuple[tuple[int, int, int], dict[str, Rewritten]] | None = None
        for group in (found[:_FIRST], found[_FIRST:]):
            if best is not None and not any(best[0]):
                break
            if not group or (best is not None and self._edits_left <= 0):
                continue
            for results in self._try(name, involved, group):
                refused = sum(rewritten.status is not Status.OK for rewritten in results.values())
                guessed = sum(rewritten.is_guessed for rewritten in results.values())
                other = sum(not rewritten.is_same for rewritten in results.values())
                if best is None or (refused, guessed, other) < best[0]:
                    best = (refused, guessed, other), results
        if best is None:
            return
        for word, result in best[1].items():
            if result.status is not Status.OK:
                self._refused[word] = (
                    f"it cannot be made to agree with the others on '{name}': {result.detail}"
                )
                continue
            if result.text:
                self._texts[word] = result.text
                if not result.is_same:
                    self._changed.add(word)
        self._survey([text for text in involved if text not in self._refused])

    def _try(
        self, name: str, involved: list[str], prototypes: list[Prototype]
    ) -> list[dict[str, Rewritten]]:
        """Return for each prototype what becomes of the texts that name a function."""
        jobs, owners = [], []
        for text in involved:
            ways = [
                (index, Rewrite(prototypes=each))
                for index, prototype in enumerate(prototypes)
                for each in self._ways(text, name, prototype)
            ]
            owners.append([index for index, _ in ways])
            edits = tuple(edit for _, edit in ways)
            self._edits_left -= len(edits)
            jobs.append(RewriteJob(text=self._texts[text], function=text, edits=edits))
        rows: list[list[Rewritten]] = run_jobs(self._pool, jobs)
        found: list[dict[str, Rewritten]] = [{} for _ in prototypes]
        for text, row, positions in zip(involved, rows, owners, strict=True):
            for index, result in zip(positions, row, strict=True):
                known = found[index].get(text)
                if known is None or _rank(result) < _rank(known):
                    found[index][text] = result
        return found

    def _ways(
        self, text: str, name: str, prototype: Prototype
    ) -> list[tuple[tuple[str, Prototype], ...]]:
        """Return edits that bring a prototype into a text.

        A caller that only passes on what it was given may have to be given more itself.
        """
        names = [name, *(alias for alias, real in self._aliases.items() if real == name)]
        plain = tuple((word, prototype) for word in names)
        if text == name:
            return [plain]
        own = self._own(text)
        wider = own
        for call in self._surveys[text].calls:
            if self._real(call.callee) == name and wider is not None:
                wider = _widened(wider, call, prototype)
        if wider is None or wider == own:
            return [plain]
        return [plain, ((text, wider), *plain)]


def _rank(result: Rewritten) -> tuple[bool, bool, bool]:
    return result.status is not Status.OK, result.is_guessed, not result.is_same


def _widened(own: Prototype, call: CallSite, prototype: Prototype) -> Prototype:
    """Return what a caller has to be if it passes on what it was given, and returns what it got."""
    parameters = list(own.parameters)
    attributes = [*own.parameter_attributes, *[""] * len(parameters)][: len(parameters)]
    for index, type_ in enumerate(prototype.parameters):
        position = call.from_parameters[index] if index < len(call.from_parameters) else -1
        if position >= 0 and parameters[position] != type_:
            parameters[position], attributes[position] = type_, ""
        while index >= call.num_arguments and len(parameters) <= index and not own.is_variadic:
            parameters.append(prototype.parameters[len(parameters)])
            attributes.append("")
    result = own.result
    if call.is_returned:
        result = prototype.result
    return replace(
        own,
        parameters=tuple(parameters),
        parameter_attributes=tuple(attributes),
        result=result,
        result_attributes=own.result_attributes if result == own.result else "",
    )
