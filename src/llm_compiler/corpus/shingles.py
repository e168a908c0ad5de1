"""What two modules are compared by: the set of short runs of opcodes, types and constants.

Names of symbols, types and metadata, numbers of values and blocks, attributes and punctuation are
left out, so that a function and its copy under other names have one and the same set. Works on the
normaliser's text; knows no LLVM; pure functions.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterator

__all__ = ["SHINGLE_TOKENS", "anonymous_text", "shingles", "tokens"]

SHINGLE_TOKENS = 5

_FUNCTION = re.compile(r"^define .*?^}", re.MULTILINE | re.DOTALL)
_NOISE = re.compile(
    r"""(?:,\ )?!(?:[\w.]+|"[^"]*")(?:\ !\d+)?  # attached metadata
    | [%@$](?:[\w.$-]+|"[^"]*")                 # names and numbers of values
    | \#\d+                                     # attribute groups
    | ^\d+:.*$                                  # labels
    """,
    re.VERBOSE | re.MULTILINE,
)
_TOKEN = re.compile(r'c?"[^"]*"|[A-Za-z_][\w.]*|[-\d][\w.+-]*|\[|\{|<')
_SYMBOL = re.compile(r'[@$](?:[\w.$-]+|"[^"]*")')


def tokens(text: str) -> Iterator[list[str]]:
    """Yield the tokens of each function of a module's text."""
    for match in _FUNCTION.finditer(text):
        yield _TOKEN.findall(_NOISE.sub("", match.group()))


def shingles(text: str) -> array[int]:
    """Return the sorted, distinct 32-bit hashes of a module's shingles (`SHINGLE_TOKENS` each).

    A function with fewer tokens is one shingle.
    """
    found: set[int] = set()
    for words in tokens(text):
        encoded = [word.encode("utf-8", "surrogateescape") for word in words]
        for start in range(max(1, len(encoded) - SHINGLE_TOKENS + 1)):
            found.add(zlib.crc32(b" ".join(encoded[start : start + SHINGLE_TOKENS])))
    return array("I", sorted(found))


def anonymous_text(text: str) -> str:
    """Return a module's text with its symbols numbered in the order in which they appear."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match.group(), f"@{len(numbers)}")

    return _SYMBOL.sub(number, text)
