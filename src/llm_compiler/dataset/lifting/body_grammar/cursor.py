"""A line of a body as text that is read from left to right, and the types in it.

A line may be the beginning of a body: what nothing well-formed begins with raises `Refused`, what
may go on well `Open`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from llm_compiler.dataset.lifting.body_grammar.words import SCALARS

__all__ = ["WORD", "Cursor", "Open", "Refused", "Unknown"]

WORD: Final = re.compile(r"[a-z_][a-z_0-9]*")
DIGITS: Final = re.compile(r"\d+")
PAIRS: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}


class Refused(Exception):
    """No well-formed line begins so."""


class Open(Exception):
    """The text ends where a well-formed line may go on."""


class Unknown(Exception):
    """What follows on this line is not known here, and passes."""


class Cursor:
    """Text, how far it is read, and whether its line is whole."""

    __slots__ = ("place", "text", "whole")

    def __init__(self, text: str, whole: bool) -> None:
        self.text, self.whole = text, whole
        self.place = 0

    def at_end(self) -> bool:
        """Say whether nothing is left; of a line that goes on, that says nothing."""
        if self.place < len(self.text):
            return False
        if not self.whole:
            raise Open
        return True

    def literal(self, wanted: str) -> None:
        """Go past a text that must stand here."""
        rest = self.text[self.place : self.place + len(wanted)]
        if rest == wanted:
            self.place += len(wanted)
        elif not self.whole and wanted.startswith(rest) and self.ends_with(rest):
            raise Open
        else:
            raise Refused

    def ends_with(self, rest: str) -> bool:
        """Say whether a text that stands here is the last."""
        return self.place + len(rest) == len(self.text)

    def has(self, wanted: str) -> bool:
        """Go past a text if it stands here; undecided where the text ends."""
        rest = self.text[self.place : self.place + len(wanted)]
        if rest == wanted:
            self.place += len(wanted)
            return True
        if not self.whole and wanted.startswith(rest) and self.ends_with(rest):
            raise Open
        return False

    def word(self, *choices: Iterable[str]) -> str:
        """Read one of some words."""
        match = WORD.match(self.text, self.place)
        found = match[0] if match else ""
        if self.place + len(found) == len(self.text) and not self.whole:
            if any(text.startswith(found) for group in choices for text in group):
                raise Open
            raise Refused
        if not found or not any(found in group for group in choices):
            raise Refused
        self.place += len(found)
        return found

    def words(self, choices: Collection[str]) -> None:
        """Go past any number of some words, each followed by a blank."""
        while True:
            match = WORD.match(self.text, self.place)
            if match is None:
                return
            if match.end() == len(self.text) and not self.whole:
                raise Open  # may become anything: who reads on here decides
            if match[0] not in choices:
                return
            self.place = match.end()
            self.literal(" ")

    def digits(self) -> tuple[str, bool]:
        """Read digits; and say whether more may follow."""
        match = DIGITS.match(self.text, self.place)
        found = match[0] if match else ""
        self.place += len(found)
        is_open = self.place == len(self.text) and not self.whole
        if (not found and not is_open) or (len(found) > 1 and found[0] == "0"):
            raise Refused
        return found, is_open

    def balanced(self) -> None:
        """Go past the bracket that closes the opening bracket here."""
        stack: list[str] = []
        while True:
            if self.at_end():
                raise Refused
            character = self.text[self.place]
            if character == '"':
                end = self.text.find('"', self.place + 1)
                if end < 0:
                    self.place = len(self.text)
                    continue
                self.place = end
            elif character in PAIRS:
                stack.append(PAIRS[character])
            elif character == stack[-1]:
                stack.pop()
            elif character in ")]}>":
                raise Refused
            self.place += 1
            if not stack:
                return

    # Types

    def type_(self) -> str:
        """Read a type of a value."""
        if self.at_end():
            raise Refused
        start = self.place
        character = self.text[start]
        if character == "i":
            if self.place + 1 == len(self.text) and not self.whole:
                raise Open
            self.place += 1
            found, is_open = self.digits()
            if not found or found[0] == "0" or len(found) > 5:
                if is_open and not found:
                    raise Open
                raise Refused
        elif character == "[":
            self.place += 1
            self._elements("]")
        elif character == "{":
            self._fields("{", "}")
        elif character == "<":
            if self.place + 1 == len(self.text) and not self.whole:
                raise Open
            if self.text[self.place + 1 : self.place + 2] == "{":
                self._fields("<{", "}>")
            else:
                self.place += 1
                self._elements(">")
        else:
            self.word(SCALARS)
        return self.text[start : self.place]

    def _elements(self, close: str) -> None:
        found, is_open = self.digits()
        if is_open:
            raise Open
        if close == ">" and found == "0":
            raise Refused
        self.literal(" x ")
        self.type_()
        self.literal(close)

    def _fields(self, opening: str, close: str) -> None:
        self.literal(f"{opening} ")
        while True:
            self.type_()
            if not self.has(", "):
                break
        self.literal(f" {close}")
