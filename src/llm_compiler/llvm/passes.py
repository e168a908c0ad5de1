"""Read pass lists as people write them, and write them as `opt` reads them.

Accepted: the nested text of ``opt -passes=``, the paper's ``opt -p``, a whole ``opt`` command line,
flat lists that mix levels (``sroa,globalopt,licm``), and the old ``-sroa -licm`` spelling.
Everything becomes one canonical form, in which each pass stands in adaptors of its own
(`records.PassList`). That flattens ``function(a,b)``, where `opt` finishes both passes on one
function before it takes the next; ours runs each over the whole module. What is measured, verified
and handed out is always the canonical text. Pure functions; no LLVM is loaded.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from llm_compiler.errors import InputError, UnknownPass
from llm_compiler.llvm.registry import (
    UNSTABLE,
    Level,
    PassEntry,
    all_entries,
    base_name,
    entry,
    is_default_pipeline,
    known_names,
    level_of,
)
from llm_compiler.records import PassList

__all__ = ["element_name", "parse_pass_list", "search_space", "unsafe_passes"]

_ADAPTORS = ("module", "cgscc", "function", "loop", "loop-mssa", "loopnest")
_COMMAND = re.compile(r"""^\s*(?:\S*opt(?:-\d+)?\s+)?-{1,2}(?:p|passes)[= ]\s*""")
_OLD_STYLE = re.compile(r"^(?:\S*opt(?:-\d+)?\s+)?(?=-{1,2}[a-zA-Z])")
_LEVEL_OPTION = re.compile(r"^O[0123sz]$")
_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
_ELEMENT = re.compile(r"^(?:cgscc|function|loop|loop-mssa)\((.*)\)$", re.DOTALL)
_MAX_LENGTH = 100_000
_MAX_DEPTH = 50


def parse_pass_list(text: str) -> PassList:
    """Return the canonical form of a pass list; empty text is the empty list.

    Raises:
        UnknownPass: a name that is no pass, with the nearest ones that are.
        InputError: brackets that do not match, or a construct that has no place in a list
            (``repeat``, ``devirt``, ``require``).
    """
    if len(text) > _MAX_LENGTH:
        raise InputError(f"a pass list of {len(text)} characters is too long (limit {_MAX_LENGTH})")
    return PassList(tuple(_flatten(_strip_command(text), None)))


def _strip_command(text: str) -> str:
    text = text.strip()
    text = _COMMAND.sub("", text).strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    if old_style := _OLD_STYLE.match(text):
        names = [word.lstrip("-") for word in text[old_style.end() :].replace(",", " ").split()]
        text = ",".join(name for name in names if name)
    return text


def _split(text: str) -> list[str]:
    """Split at the commas outside all brackets."""
    parts: list[str] = []
    stack: list[str] = []
    start = 0
    for position, character in enumerate(text):
        if character in "(<":
            stack.append(character)
            if len(stack) > _MAX_DEPTH:
                raise InputError(f"pass list: brackets are nested more than {_MAX_DEPTH} deep")
        elif character in ")>":
            if not stack or stack.pop() != {")": "(", ">": "<"}[character]:
                raise InputError(f"pass list: '{character}' without its partner in '{text[:80]}'")
        elif character == "," and not stack:
            parts.append(text[start:position])
            start = position + 1
    if stack:
        raise InputError(f"pass list: '{stack[-1]}' is never closed in '{text[:80]}'")
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _flatten(text: str, level: Level | None) -> list[str]:
    elements: list[str] = []
    for part in _split(text):
        head, bracket, rest = part.partition("(")
        if bracket:
            if not rest.endswith(")"):
                raise InputError(f"pass list: text after the bracket in '{part[:80]}'")
            name = base_name(head.strip())
            if name not in _ADAPTORS:
                raise InputError(
                    f"pass list: '{head.strip()}(...)' cannot be part of a list; "
                    f"only {', '.join(_ADAPTORS)} may hold passes"
                )
            inner = Level(name) if name in tuple(Level) else Level.LOOP
            elements += _flatten(rest[:-1], inner)
        else:
            elements.append(_canonical_element(part, level))
    return elements


def _canonical_element(text: str, level: Level | None) -> str:
    text = re.sub(r"\s+", "", text)
    if _LEVEL_OPTION.match(text):
        text = f"default<{text}>"
    if text.endswith("<>"):
        text = text[:-2]
    name = base_name(text)
    if text == "sroa":
        # LLVM prints and means it with its parameter; one spelling only.
        text = "sroa<modify-cfg>"
    if name == "instcombine" and "verify-fixpoint" not in text:
        # Alone it would make opt abort where one iteration does not reach a fixpoint.
        parameters = text[len("instcombine<") : -1]
        text = f"instcombine<{';'.join(filter(None, (parameters, 'no-verify-fixpoint')))}>"
    if not _NAME.match(name):
        raise InputError(f"pass list: '{text[:80]}' is not a pass name")
    own = level_of(name)
    if own is None:
        near = difflib.get_close_matches(name, known_names(), n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise UnknownPass(f"unknown pass '{name}'{hint} ('llm-compiler passes' lists all)")
    # The same name at two levels (a loop pass asked for under loop-mssa) keeps what was asked.
    if level is Level.LOOP_MSSA and own is Level.LOOP:
        own = Level.LOOP_MSSA
    return own.wrap(text)


def element_name(element: str) -> str:
    """Return the pass of a canonical element without its adaptors.

    >>> element_name("function(loop-mssa(licm<allowspeculation>))")
    'licm<allowspeculation>'
    """
    while match := _ELEMENT.match(element):
        element = match[1]
    return element


def unsafe_passes(passes: PassList) -> tuple[tuple[str, str], ...]:
    """Return (pass, reason) for each element that the registry does not hold to be safe.

    A safe pass with parameters that no entry has is known by its name: parameters tune, they do
    not change what a pass promises.
    """
    return _unsafe_elements(passes.elements)


@lru_cache(maxsize=4096)
def _unsafe_elements(elements: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found = []
    for element in elements:
        text = element_name(element)
        known = entry(text)
        if known is None and (is_default_pipeline(base_name(text)) or _safe_by_name(text)):
            continue
        if known is None:
            found.append((text, "not in the registry"))
        elif known.reason:
            found.append((text, known.reason))
    names = {base_name(element_name(element)) for element in elements}
    for first, second in UNSTABLE:
        if first in names and second in names:
            found.append((first, f"with {second} its result differs from run to run"))
    return tuple(found)


def _safe_by_name(text: str) -> bool:
    name = base_name(text)
    return any(item.safe and base_name(item.text) == name for item in all_entries())


def search_space(available: tuple[PassEntry, ...]) -> tuple[str, ...]:
    """Return the elements that searches draw from: the safe ones of those available."""
    return tuple(item.element for item in available if item.safe)
