"""What a constant format string says of a call: how many numbers and words follow it."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["FORMATS", "arguments_of_format", "text_of"]

FORMATS: Final = {
    **dict.fromkeys(("printf", "scanf", "warn", "warnx", "g_print", "__isoc99_scanf"), 0),
    **dict.fromkeys(
        ("fprintf", "sprintf", "fscanf", "sscanf", "dprintf", "syslog", "asprintf", "err", "errx"),
        1,
    ),
    **dict.fromkeys(("__isoc99_sscanf", "__isoc99_fscanf", "__isoc23_sscanf"), 1),
    **dict.fromkeys(("__printf_chk",), 1),
    **dict.fromkeys(("snprintf", "__fprintf_chk", "error"), 2),
    "__sprintf_chk": 3,
    "__snprintf_chk": 4,
}
"""Which argument of well-known functions is the format, from 0."""
_SCANS: Final = "scanf"
_CONVERSION: Final = re.compile(
    r"%(?P<flags>[-+ #0'I]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?"
    r"(?P<length>hh|h|ll|l|L|q|j|z|t|w\d+)?(?P<kind>\[\^?\]?[^\]]*\]|[a-zA-Z%])"
)
_ESCAPE: Final = re.compile(r"\\(?:([0-7]{1,3})|(.))")
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def text_of(literal: str) -> str:
    """Return the characters of a string as an assembler's file has it, between its quotes."""

    def plain(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 8) & 255)
        return _LETTERS.get(match[2], match[2])

    return _ESCAPE.sub(plain, literal)


def arguments_of_format(function: str, text: str) -> tuple[int, int] | None:
    """Return how many integers or pointers, and how many doubles, a format asks for.

    None: it asks for something else, such as a long double, or names arguments by number.
    """
    integers = floats = 0
    is_scan = function.rpartition("_")[2].endswith(_SCANS)
    rest = _CONVERSION.sub("", text)
    if "%" in rest:
        return None
    for match in _CONVERSION.finditer(text):
        kind = match["kind"]
        if kind in ("%", "m"):
            continue
        if is_scan:
            integers += match["width"] != "*"
            continue
        integers += (match["width"] == "*") + (match["precision"] == "*")
        if kind in "aAeEfFgG":
            if match["length"] == "L":
                return None
            floats += 1
        elif kind in "diouxXcCsSpn":
            integers += 1
        else:
            return None
    return integers, floats
