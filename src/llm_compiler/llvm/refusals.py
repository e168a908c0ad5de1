"""Which passes are refused for which kind of module, although they are safe elsewhere.

A pass of the registry keeps the meaning of ordinary modules. Some of them do not know some
construct (`llvm.constructs`): `loop-extract` moves a loop with a call of ``setjmp`` into a function
whose frame is dead when ``longjmp`` comes back. Such a pass is refused for modules with that
construct, and for no other. Every evaluation in process asks here (`llvm.evaluator`), and so does
`optimize` before it hands an object out. Data and pure functions; no LLVM is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llm_compiler.llvm.constructs import describe, uncovered
from llm_compiler.llvm.passes import element_name
from llm_compiler.llvm.registry import base_name
from llm_compiler.records import Recipe

__all__ = ["REFUSALS", "Refusal", "kinds_refused", "never_allowed", "refusal_of", "refused_for"]

_ANY = "*"
_MOVES_CODE = ("loop-extract", "hotcoldsplit", "partial-inliner", "iroutliner")
"""Passes that make functions of parts of functions."""
_WHOLE = ("default",)
"""Pipelines that clang itself runs, in the order that the front end's IR was made for."""
_NOTHING = "no pass at all"
"""What the empty list is called: it takes no construct away either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Passes that are refused where a module has a construct."""

    construct: str
    passes: tuple[str, ...]
    """Names without parameters, or texts with them; ``*``: all."""
    reason: str
    unless_after: tuple[str, ...] = ()
    """They may be used after a pass of these names, which takes the construct away."""


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        construct="returns-twice",
        passes=_MOVES_CODE,
        reason="moves code into a function whose frame is dead when the call returns again",
    ),
    Refusal(
        construct="frame-introspection",
        passes=_MOVES_CODE,
        reason="moves code into another function, whose frame is another one",
    ),
    Refusal(
        construct="coroutine",
        passes=(_ANY, _NOTHING),
        unless_after=_WHOLE,
        reason="must not see a coroutine before it is split",
    ),
    Refusal(
        construct="musttail",
        passes=("mergereturn",),
        reason="puts a branch between a call and its return",
    ),
    Refusal(
        construct="expected-probability",
        passes=(_ANY, _NOTHING),
        unless_after=(*_WHOLE, "lower-expect"),
        reason="leaves a stated probability to the code generator, which refuses it",
    ),
)


def refusal_of(recipe: Recipe, constructs: Iterable[str]) -> str:
    """Return why a list must not be used on a module with these constructs; empty if it may.

    The single default pipelines are LLVM's own and never refused.

    >>> refusal_of(Recipe(("loop-extract", "default<Oz>")), ["returns-twice"])
    'loop-extract moves code into a function whose frame is dead when the call returns again \
(the module has calls of functions that return twice (setjmp, vfork, getcontext))'
    >>> refusal_of(Recipe(("loop-extract", "default<Oz>")), ["musttail"])
    ''
    >>> refusal_of(Recipe(()), ["expected-probability"])
    'no pass at all leaves a stated probability to the code generator, which refuses it \
(the module has branches with a stated probability)'
    """
    constructs = tuple(constructs)
    if not constructs:
        return ""
    texts = [element_name(element) for element in recipe.elements]
    if recipe.is_pass_list and not texts:
        texts = [_NOTHING]
    own = recipe.is_pass_list and texts[1:] == [] and base_name(texts[0]) in _WHOLE
    if not own and texts != [_NOTHING] and (missing := uncovered(constructs)):
        return f"no self-testing program covers {missing[0]}"
    for refusal in () if own else REFUSALS:
        if refusal.construct in constructs and (text := _first_refused(texts, refusal)):
            return f"{text} {refusal.reason} (the module has {describe(refusal.construct)})"
    for _, inner in recipe.functions:
        if why := refusal_of(inner, constructs):
            return why
    return ""


def _first_refused(texts: Sequence[str], refusal: Refusal) -> str:
    for text in texts:
        name = base_name(text)
        if name in refusal.unless_after:
            return ""
        if (
            (_ANY in refusal.passes and text != _NOTHING)
            or name in refusal.passes
            or text in refusal.passes
        ):
            return text
    return ""


def never_allowed(element: str, constructs: Iterable[str]) -> bool:
    """Whether a pass is refused for such modules wherever it stands: searches need not draw it."""
    text = element_name(element)
    return any(
        refusal.construct in constructs
        and not refusal.unless_after
        and _first_refused([text], refusal)
        for refusal in REFUSALS
    )


def kinds_refused(recipe: Recipe) -> tuple[str, ...]:
    """Return the kinds of module that a list is refused for, as words; for messages."""
    return tuple(
        describe(refusal.construct)
        for refusal in REFUSALS
        if refusal_of(recipe, [refusal.construct])
    )


def refused_for(text: str) -> tuple[str, ...]:
    """Return the kinds of module that a pass by name is refused for wherever it stands, as words.

    What only must not come too early (`Refusal.unless_after`) is left out.
    """
    return tuple(
        describe(refusal.construct)
        for refusal in REFUSALS
        if not refusal.unless_after and _first_refused([text], refusal)
    )
