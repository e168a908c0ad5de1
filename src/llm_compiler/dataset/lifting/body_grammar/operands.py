"""Operands in a body: constants, and values, blocks and symbols that must be there.

Blocks that only branches and phi nodes name, and values that only phi nodes name, may stand further
down.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from llm_compiler.dataset.lifting.body_grammar.cursor import WORD, Cursor, Open, Refused
from llm_compiler.dataset.lifting.body_grammar.state import Body
from llm_compiler.dataset.lifting.body_grammar.words import (
    CONSTANTS,
    EXPRESSIONS,
    FLOATS,
)

__all__ = ["Operands"]

NAME: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.$-]+')
NUMBER: Final = re.compile(r"-?\d+")
FLOAT: Final = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|0x[KLMHR]?[0-9A-F]+")
FLOAT_BEGINS: Final = re.compile(r"-?(?:\d+(?:\.\d*(?:e(?:[+-]?\d*)?)?)?)?|0x?[KLMHR]?[0-9A-F]*")
PADDED: Final = re.compile(r"-?0\d")
MAX_DIGITS: Final = 40


class Operands(Cursor):
    """Reads the operands of one line.

    Args:
        body: what the lines before have said.
        symbols: those that may be named; None: any.
        max_values: values and blocks ahead that may be named.
        max_blocks: after the first.
    """

    __slots__ = (
        "ahead_blocks",
        "ahead_values",
        "body",
        "expected",
        "incoming",
        "limit",
        "max_blocks",
        "owed",
        "symbols",
        "targets",
    )

    def __init__(
        self,
        text: str,
        whole: bool,
        body: Body,
        symbols: frozenset[str] | None,
        max_values: int,
        max_blocks: int,
    ) -> None:
        super().__init__(text, whole)
        self.body, self.symbols = body, symbols
        self.limit = max(body.entry, 0) + max_values
        self.max_blocks = max_blocks
        self.expected = ""
        """The type that the defined value must have; empty: any."""
        self.targets: set[int] = set()
        self.incoming: set[int] = set()
        self.owed: set[int] = set()
        """Blocks whose phi nodes say that this block branches to them."""
        self.ahead_blocks: set[int] = set()
        self.ahead_values: dict[int, str] = {}

    def value(self, type_: str, *, ahead: bool = False) -> None:
        """Read an operand of a type.

        Args:
            ahead: it may stand further down.
        """
        if self.at_end():
            raise Refused
        character = self.text[self.place]
        if character == "%":
            self.place += 1
            self.number_of(type_, ahead)
        elif character == "@":
            if type_ not in ("ptr", ""):
                raise Refused
            self.symbol()
        elif character in "[{<":
            if type_[:1] != character and type_:
                raise Refused
            self.balanced()
        elif character == "c" and self.text[self.place : self.place + 2] == 'c"':
            self.place += 1
            end = self.text.find('"', self.place + 1)
            if end < 0:
                self.place = len(self.text)
                self.at_end()
                raise Refused
            self.place = end + 1
        elif character == "-" or character.isdigit():
            self._constant(type_)
        else:
            special = ["true", "false"] if type_ == "i1" else ["null"] if type_ == "ptr" else []
            word = self.word(special, CONSTANTS, EXPRESSIONS)
            if word in EXPRESSIONS:
                self._expression()

    def _expression(self) -> None:
        """Go past a constant expression, which is not looked into."""
        while not self.at_end() and self.text[self.place] != "(":
            match = WORD.match(self.text, self.place)
            if match is not None:
                self.place = match.end()
            elif self.text[self.place] == " ":
                self.place += 1
            else:
                raise Refused
        if self.at_end():
            raise Refused
        self.balanced()

    def _constant(self, type_: str) -> None:
        is_float = type_ in FLOATS
        if not is_float and type_ and not re.fullmatch(r"i\d+", type_):
            raise Refused
        rest = self.text[self.place :]
        if not self.whole and (FLOAT_BEGINS if is_float else re.compile(r"-?\d*")).fullmatch(rest):
            if len(rest) > MAX_DIGITS or PADDED.match(rest):
                raise Refused
            raise Open
        match = (FLOAT if is_float else NUMBER).match(rest)
        if match is None or len(match[0]) > MAX_DIGITS or PADDED.match(match[0]):
            raise Refused
        if not type_ and (longer := FLOAT.match(rest)):
            match = longer
        self.place += match.end()

    def number_of(self, type_: str, ahead: bool) -> None:
        """Read the number of a value of a type."""
        found, is_open = self.digits()
        body = self.body
        types = body.types
        if is_open:
            if ahead:
                taken = {*body.ahead_blocks, *self.ahead_blocks}
                for named in (body.ahead_values, self.ahead_values):
                    taken |= {
                        index for index, own in named.items() if own and type_ and own != type_
                    }
                if self._may_become(found, taken):
                    raise Open
            for number, own in types.items():
                if (own == type_ or not own or not type_) and str(number).startswith(found):
                    raise Open
            raise Refused
        number = int(found)
        known = types.get(number)
        if known is not None:
            if known and type_ and known != type_:
                raise Refused
            return
        if not ahead or not body.next <= number < self.limit:
            raise Refused
        if number in body.ahead_blocks or number in self.ahead_blocks:
            raise Refused
        for named in (body.ahead_values, self.ahead_values):
            if (before := named.get(number)) and type_ and before != type_:
                raise Refused
        self.ahead_values[number] = type_

    def _may_become(self, digits: str, taken: Collection[int]) -> bool:
        """Say whether digits begin a number that is still to come, and not taken."""
        start, stop = self.body.next, self.limit
        if not digits:
            return start < stop
        low = high = int(digits)
        if not low:
            return False  # the entry block or the first parameter has it
        while low < stop:
            if any(index not in taken for index in range(max(low, start), min(high + 1, stop))):
                return True
            low, high = 10 * low, 10 * high + 9
        return False

    def block(
        self, known: Collection[int], *, ahead: bool = True, taken: Collection[int] = ()
    ) -> int:
        """Read ``%N`` of a block: one of `known`, or a value that stands further down.

        Args:
            ahead: it may stand further down.
            taken: it may be none of these.
        """
        self.literal("%")
        found, is_open = self.digits()
        body = self.body
        taken = {*taken, *body.ahead_values, *self.ahead_values}
        coming = {*body.ahead_blocks, *self.ahead_blocks}
        if len(body.blocks) + len(coming) >= self.max_blocks:
            known = {*known, *(coming.difference(taken) if ahead else ())}
            ahead = False
        if is_open:
            if ahead and self._may_become(found, taken):
                raise Open
            if any(str(index).startswith(found) for index in known):
                raise Open
            raise Refused
        number = int(found)
        if number in known:
            return number
        if not ahead or number in taken or not body.next <= number < self.limit:
            raise Refused
        self.ahead_blocks.add(number)
        return number

    def target(self, *, last: bool = True) -> None:
        """Read a block that this block branches to.

        Args:
            last: no other follows: what phi nodes say of this block must have come true.
        """
        body = self.body
        # A block whose phi nodes do not name this one is none to branch to.
        known = [
            block
            for block in body.blocks
            if (named := body.phis.get(block)) is None or body.block in named
        ]
        if last and len(self.owed) > 1:
            raise Refused
        if last and self.owed:
            (owed,) = self.owed
            self.literal(f"%{owed}")
            number = owed
        else:
            number = self.block(known)
        self.targets.add(number)
        self.owed.discard(number)

    def symbol(self) -> str:
        """Read ``@NAME``."""
        self.literal("@")
        match = NAME.match(self.text, self.place)
        found = match[0] if match else ""
        if self.place + len(found) == len(self.text) and not self.whole:
            known = self.symbols
            if known is None or found.startswith("llvm.") or "llvm.".startswith(found):
                raise Open
            if any(word.startswith(found) for word in known):
                raise Open
            raise Refused
        if not found:
            raise Refused
        named = self.symbols is None or found in self.symbols
        if not named and not re.match(r"llvm\.[a-z]", found):
            raise Refused
        self.place += len(found)
        return found

    def typed(self, *, ahead: bool = False) -> str:
        """Read a type and a value of it."""
        type_ = self.type_()
        self.literal(" ")
        self.value(type_, ahead=ahead)
        return type_

    def pointer(self) -> None:
        """Read a pointer with its type."""
        self.literal("ptr ")
        self.value("ptr")

    def result_type(self) -> str:
        """Read the type of the value that is defined."""
        if self.expected:
            self.literal(self.expected)
            return self.expected
        return self.type_()
