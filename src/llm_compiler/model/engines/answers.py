"""Reads the answers of the paper's models: pass lists, sizes and code, by grammar, not by phrase.

The wording of their answers is not published, and differs between versions; what counts is what
stands there. Answers may be cut short anywhere. Pure functions on text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.errors import InputError
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.records import PassList

__all__ = ["CODE_ENDS", "CODE_STARTS", "PaperAnswer", "StatedList", "parse_answer_text"]

CODE_STARTS: Final = ("<code>", "[code]")
CODE_ENDS: Final = ("</code>", "[/code]")
_MAX_CANDIDATES: Final = 16
_MAX_ELEMENTS: Final = 200
_MAX_NUMBER: Final = 10**12

# What a list is made of: names, parameters, adaptors; commas, with or without blanks after them.
_STRETCH = re.compile(r"[A-Za-z](?:[\w<>();=.\-]|,\s{0,2}(?=[A-Za-z]))*")
_MARK = re.compile(r"(?:^|[\s`'\"(])-{1,2}p(?:asses)?[= ]\s*(['\"`]?)\s*$")
_OPTION = re.compile(r"p(?:asses)?=")
_COUNT = re.compile(r"instruction\s+count\D{0,24}?(\d+)", re.IGNORECASE)
# Meta's models write "sise" where their training data did.
_SIZE_SENTENCE = re.compile(r"\b(?:si[sz]e|bytes?)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.%@])\d+(?![\w.%])")
_QUOTES = ("'", '"', "`")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedList:
    """A pass list in an answer, and where it stands."""

    passes: PassList
    """What this LLVM has and the registry holds to be safe of it, in order."""
    dropped: tuple[str, ...]
    """Elements that were left out: unknown, unsafe, or cut short."""
    start: int
    end: int
    """Its characters in the answer, without the quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperAnswer:
    """What an answer states; None where it does not say."""

    stated_list: StatedList | None
    """The longest stretch outside the code that reads as a list of known passes."""
    code: str | None = field(default=None, repr=False)
    """Between the tags; None too where it never ends."""
    num_instructions: int | None = None
    """The last one stated."""
    sizes_bytes: tuple[int, ...] = ()
    """In order, of binaries: before and after, or after alone."""


def parse_answer_text(text: str, *, finished: bool = True) -> PaperAnswer:
    """Return what an answer states.

    Args:
        finished: it ended by itself; else its last pass and its last number may be cut short.

    >>> parsed = parse_answer_text("opt -p 'module(globaldce),nonsense': from 100 to 90 bytes")
    >>> parsed.stated_list.passes.pipeline, parsed.stated_list.dropped, parsed.sizes_bytes
    ('globaldce', ('nonsense',), (100, 90))
    """
    start, end, code = _find_code(text)
    # Blanks in the place of the code: positions stay.
    prose = text[:start] + " " * (end - start) + text[end:]
    ended = finished or end < len(text) or code is not None
    stated = _find_list(prose, ended)
    if stated is not None:
        prose = prose[: stated.start] + " " * (stated.end - stated.start) + prose[stated.end :]
    cut = len(prose.rstrip()) if not ended and start == len(text) else -1
    counts = [match for match in _COUNT.finditer(prose) if match.end() != cut]
    for match in counts:
        prose = prose[: match.start()] + " " * len(match[0]) + prose[match.end() :]
    sizes = [
        int(match[0])
        for first, last in _sentences(prose)
        if _SIZE_SENTENCE.search(prose, first, last)
        for match in _NUMBER.finditer(prose, first, last)
        if match.end() != cut and len(match[0]) <= len(str(_MAX_NUMBER))
    ]
    count = counts[-1][1] if counts else ""
    return PaperAnswer(
        stated_list=stated,
        code=code,
        num_instructions=int(count) if count and len(count) <= len(str(_MAX_NUMBER)) else None,
        sizes_bytes=tuple(sizes),
    )


def _find_code(text: str) -> tuple[int, int, str | None]:
    """Return where the code with its tags begins and ends, and the code itself."""
    found = [
        (text.find(tag), tag, position) for position, tag in enumerate(CODE_STARTS) if tag in text
    ]
    if not found:
        return len(text), len(text), None
    start, tag, position = min(found)
    # The last end: strings in the code may hold tags too.
    end = text.rfind(CODE_ENDS[position])
    if end < start:
        return start, len(text), None
    return start, end + len(CODE_ENDS[position]), text[start + len(tag) : end]


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in re.finditer(r"\n+|(?<=[^\d\s])\.\s+|(?<=\d)\.\s+(?=[A-Z])", text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _find_list(text: str, finished: bool) -> StatedList | None:
    candidates = sorted(
        _candidates(text),
        key=lambda candidate: (not candidate[0], candidate[1] - candidate[2], candidate[1]),
    )
    best: tuple[tuple[int, bool, int], StatedList] | None = None
    for marked, start, end in candidates[:_MAX_CANDIDATES]:
        quote = _quote(text, start)
        closed = text[end : end + 1] == quote if quote else end < len(text)
        passes, dropped = _read_list(text[start:end], cut=not closed and not finished)
        if not passes.elements:
            continue
        found = StatedList(passes=passes, dropped=dropped, start=start, end=end)
        order = (len(passes), marked, -start)
        if best is None or order > best[0]:
            best = order, found
    return None if best is None else best[1]


def _candidates(text: str) -> Iterator[tuple[bool, int, int]]:
    """Return what may be a list: whether it is an option of opt, and where it stands."""
    for match in _STRETCH.finditer(text):
        start, written = match.start(), match[0]
        if (option := _OPTION.match(written)) and text[start - 1 : start] == "-":
            start, written = start + option.end(), written[option.end() :]
        marked = bool(option) or _MARK.search(text, max(0, start - 24), start) is not None
        quoted = bool(_quote(text, start))
        if not quoted:
            written = written.rstrip(".;")
            # "(use sroa,licm)": the bracket is the sentence's.
            while written.endswith(")") and written.count(")") > written.count("("):
                written = written[:-1]
        nested = "(" in written or "<" in written
        # Many passes have names of plain English: "sink, inline" alone are words.
        if marked or quoted or nested or ("," in written and not re.search(r"\s", written)):
            yield marked, start, start + len(written)


def _quote(text: str, start: int) -> str:
    before = text[start - 1] if start else ""
    return before if before in _QUOTES else ""


def _read_list(text: str, *, cut: bool) -> tuple[PassList, tuple[str, ...]]:
    """Return the known and safe elements of a list, and what else is there.

    Args:
        cut: the text may go on after its end.
    """
    elements: list[str] = []
    dropped: list[str] = []
    whole = re.sub(r"\s+", "", text)
    parts, rest = _split(whole)
    if cut and not rest and parts:
        rest = parts.pop()
    if rest:
        dropped.append(rest)
    _read_parts(parts, "{}", elements, dropped)
    return PassList(tuple(elements)), tuple(dropped)


def _split(text: str) -> tuple[list[str], str]:
    """Split at the commas outside all brackets; what follows an open bracket comes by itself."""
    parts: list[str] = []
    depth = start = 0
    for position, character in enumerate(text):
        if character in "(<":
            depth += 1
        elif character in ")>":
            if depth == 0:
                return parts, text[start:]
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    if depth:
        return parts, text[start:]
    parts.append(text[start:])
    return [part for part in parts if part], ""


def _read_parts(parts: list[str], around: str, elements: list[str], dropped: list[str]) -> None:
    for part in parts:
        if len(elements) + len(dropped) >= _MAX_ELEMENTS:
            break
        try:
            found = parse_pass_list(around.format(part)).elements
        except InputError:
            head, bracket, inner = part.partition("(")
            if bracket and inner.endswith(")") and around.count("(") < 4:
                more, rest = _split(inner[:-1])
                if not rest and len(more) > 1:
                    _read_parts(more, around.format(f"{head}({{}})"), elements, dropped)
                    continue
            dropped.append(part)
            continue
        for element in found:
            if unsafe_passes(PassList((element,))):
                dropped.append(element)
            else:
                elements.append(element)
