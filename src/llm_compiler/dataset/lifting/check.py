"""Whether a text may become a function's body in short form, token by token.

`BodyChecker` is a partial parser: fed with pieces of text, it says for each whether what stands
there so far is the beginning of a well-formed body. Checked are opcodes and the form of each
instruction; that values, blocks and symbols exist (what stands further down only where branches and
phi nodes may name it); that the next definition has the next number; types of operands; that
blocks end in a terminator, and that everything is closed.

Not checked: dominance, signatures of calls and intrinsics. What it does not know it lets pass
(inline assembly, constant expressions). Of the short form's bodies 995 of 1,000 are accepted; the
others name values of blocks that stand further down, or a way into a block twice. Pure Python,
some 20 microseconds a piece; LLVM has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

__all__ = ["BodyChecker", "BodyState"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INTEGER_OPS: Final = _words("add sub mul udiv sdiv urem srem shl lshr ashr and or xor")
_FLOAT_OPS: Final = _words("fadd fsub fmul fdiv frem")
_CASTS: Final = _words(
    "trunc zext sext fptrunc fpext fptoui fptosi uitofp sitofp ptrtoint inttoptr bitcast"
)
_TO_FLOAT: Final = frozenset(("fneg", "fptrunc", "fpext", "uitofp", "sitofp"))
_TO_INTEGER: Final = frozenset(("trunc", "zext", "sext", "fptoui", "fptosi", "ptrtoint"))
_DEFINING: Final = (
    _INTEGER_OPS
    | _FLOAT_OPS
    | _CASTS
    | _words(
        "fneg icmp fcmp load getelementptr alloca phi select freeze extractvalue insertvalue "
        "extractelement insertelement shufflevector va_arg cmpxchg atomicrmw landingpad"
    )
)
_CALLS: Final = frozenset(("call", "tail", "musttail", "notail", "invoke"))
_TERMINATORS: Final = frozenset(("ret", "br", "switch", "unreachable", "indirectbr", "resume"))
_VOID: Final = _TERMINATORS | frozenset(("store", "fence"))
_FLAGS: Final = _words(
    "nuw nsw exact nneg disjoint inbounds nusw samesign nnan ninf nsz arcp contract afn "
    "reassoc fast"
)
_INTEGER_PREDICATES: Final = _words("eq ne ugt uge ult ule sgt sge slt sle")
_FLOAT_PREDICATES: Final = _words(
    "false oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno true"
)
_ORDERINGS: Final = _words("unordered monotonic acquire release acq_rel seq_cst")
_RMW: Final = _words(
    "xchg add sub and nand or xor max min umax umin fadd fsub fmax fmin uinc_wrap udec_wrap "
    "usub_cond usub_sat"
)
_SCALARS: Final = ("half", "bfloat", "float", "double", "x86_fp80", "fp128", "ptr")
_FLOATS: Final = frozenset(_SCALARS[:-1])
_CONVENTIONS: Final = _words("fastcc coldcc tailcc preserve_mostcc preserve_allcc")
_RESULT_WORDS: Final = frozenset(("zeroext", "signext", "inreg"))
_ARGUMENT_WORDS: Final = _words("zeroext signext inreg nest swiftself swifterror swiftasync")
_TYPED_WORDS: Final = frozenset(("sret", "byval"))
_TAILS: Final = frozenset(("cold", "returns_twice"))
_CONSTANTS: Final = frozenset(("undef", "poison", "zeroinitializer"))
_EXPRESSIONS: Final = _words(
    "getelementptr ptrtoint inttoptr trunc add sub mul shl xor bitcast addrspacecast splat "
    "blockaddress dso_local_equivalent no_cfi"
)
_WORD: Final = re.compile(r"[a-z_][a-z_0-9]*")
_DIGITS: Final = re.compile(r"\d+")
_NAME: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.$-]+')
_NUMBER: Final = re.compile(r"-?\d+")
_FLOAT: Final = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|0x[KLMHR]?[0-9A-F]+")
_FLOAT_BEGINS: Final = re.compile(r"-?(?:\d+(?:\.\d*(?:e(?:[+-]?\d*)?)?)?)?|0x?[KLMHR]?[0-9A-F]*")
_PADDED: Final = re.compile(r"-?0\d")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_MAX_DIGITS: Final = 40
MAX_VALUES: Final = 3000
"""No function within a context has more values and blocks."""
_MAX_LINE: Final = 2_000


class _Refused(Exception):
    """No well-formed line begins so."""


class _Open(Exception):
    """The text ends where a well-formed line may go on."""


class _Unknown(Exception):
    """What follows on this line is not known here, and passes."""


@dataclass(frozen=True, slots=True)
class _Body:
    """What whole lines have said. Never changed: a line makes a new one."""

    result: str = ""
    """The function's result type; empty: the first line is still to come."""
    entry: int = -1
    types: Mapping[int, str] = field(default_factory=dict)
    """Of values; empty where it is not known."""
    blocks: frozenset[int] = frozenset()
    next: int = 0
    """The number of the next value or block."""
    block: int = -1
    """The one that is written."""
    edges: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Of each block that was named, those that branch to it so far."""
    phis: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Of each block with phi nodes, the blocks that these name."""
    ahead_blocks: frozenset[int] = frozenset()
    ahead_values: Mapping[int, str] = field(default_factory=dict)
    """Named, and not there yet."""
    place: str = "head"
    """``head``; ``phi``: at the beginning of a block; ``block``: further down in it; ``cases``: of
    a switch, `case_type` being its type; ``gap``: behind a terminator; ``label``: behind the empty
    line that follows one; ``done``."""
    case_type: str = ""


@dataclass(frozen=True, slots=True)
class BodyState:
    """What stands there so far."""

    body: _Body
    partial: str
    """Of the line that is not whole."""

    @property
    def is_complete(self) -> bool:
        """Whether the body may end here."""
        return self.body.place == "done" and not self.partial


class BodyChecker:
    """Checks bodies that may name certain symbols.

    Args:
        symbols: what follows ``@``: the short names of the assembly's symbols. Intrinsics may
            always be named. None: any name.
        max_values: values and blocks that a body may have; what is further ahead is not named.
        max_blocks: behind the first.
    """

    def __init__(
        self,
        symbols: Collection[str] | None,
        max_values: int = MAX_VALUES,
        max_blocks: int = MAX_VALUES,
    ) -> None:
        self._symbols = None if symbols is None else frozenset((*symbols, "f0"))
        self._max_values, self._max_blocks = max_values, max_blocks

    def start(self) -> BodyState:
        """Return the state before the first character."""
        return BodyState(_Body(), "")

    def feed(self, state: BodyState, text: str) -> BodyState | None:
        """Return the state behind a piece of text; None if nothing well-formed begins so."""
        body = state.body
        *whole, partial = (state.partial + text).split("\n")
        try:
            for line in whole:
                body = self._line(line, True, body).read()
            if len(partial) > _MAX_LINE:
                return None
            if partial or body.place != "done":
                self._line(partial, False, body).read()
        except _Open:
            pass
        except _Refused:
            return None
        return BodyState(body, partial)

    def _line(self, text: str, whole: bool, body: _Body) -> _Line:
        return _Line(text, whole, body, self._symbols, self._max_values, self._max_blocks)

    def refused_line(self, text: str) -> int:
        """Return the number, from 1, of the first line that is refused; 0 if none is.

        The number behind the last line: the body is not whole.
        """
        state: BodyState | None = self.start()
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            assert state is not None
            state = self.feed(state, line + "\n")
            if state is None:
                return number
        return 0 if state is not None and state.is_complete else len(lines) + 1


class _Line:
    """Reads one line, or the beginning of one."""

    __slots__ = (
        "ahead_blocks",
        "ahead_values",
        "body",
        "expected",
        "incoming",
        "limit",
        "max_blocks",
        "owed",
        "place",
        "symbols",
        "targets",
        "text",
        "whole",
    )

    def __init__(
        self,
        text: str,
        whole: bool,
        body: _Body,
        symbols: frozenset[str] | None,
        max_values: int,
        max_blocks: int,
    ) -> None:
        self.text, self.whole, self.body, self.symbols = text, whole, body, symbols
        self.place = 0
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

    # The text

    def at_end(self) -> bool:
        """Say whether nothing is left; of a line that goes on, that says nothing."""
        if self.place < len(self.text):
            return False
        if not self.whole:
            raise _Open
        return True

    def literal(self, wanted: str) -> None:
        rest = self.text[self.place : self.place + len(wanted)]
        if rest == wanted:
            self.place += len(wanted)
        elif not self.whole and wanted.startswith(rest) and self.ends_with(rest):
            raise _Open
        else:
            raise _Refused

    def ends_with(self, rest: str) -> bool:
        return self.place + len(rest) == len(self.text)

    def has(self, wanted: str) -> bool:
        """Go behind a text if it stands here; undecided where the text ends."""
        rest = self.text[self.place : self.place + len(wanted)]
        if rest == wanted:
            self.place += len(wanted)
            return True
        if not self.whole and wanted.startswith(rest) and self.ends_with(rest):
            raise _Open
        return False

    def word(self, *choices: Iterable[str]) -> str:
        """Read one of some words."""
        match = _WORD.match(self.text, self.place)
        found = match[0] if match else ""
        if self.place + len(found) == len(self.text) and not self.whole:
            if any(one.startswith(found) for group in choices for one in group):
                raise _Open
            raise _Refused
        if not found or not any(found in group for group in choices):
            raise _Refused
        self.place += len(found)
        return found

    def words(self, choices: Collection[str]) -> None:
        """Go behind any number of some words, each with a blank behind it."""
        while True:
            match = _WORD.match(self.text, self.place)
            if match is None:
                return
            if match.end() == len(self.text) and not self.whole:
                raise _Open  # may become anything: who reads on here decides
            if match[0] not in choices:
                return
            self.place = match.end()
            self.literal(" ")

    def digits(self) -> tuple[str, bool]:
        """Read digits; and say whether more may follow."""
        match = _DIGITS.match(self.text, self.place)
        found = match[0] if match else ""
        self.place += len(found)
        is_open = self.place == len(self.text) and not self.whole
        if (not found and not is_open) or (len(found) > 1 and found[0] == "0"):
            raise _Refused
        return found, is_open

    def balanced(self) -> None:
        """Go behind the bracket that closes the one that stands here."""
        stack: list[str] = []
        while True:
            if self.at_end():
                raise _Refused
            character = self.text[self.place]
            if character == '"':
                end = self.text.find('"', self.place + 1)
                if end < 0:
                    self.place = len(self.text)
                    continue
                self.place = end
            elif character in _PAIRS:
                stack.append(_PAIRS[character])
            elif character == stack[-1]:
                stack.pop()
            elif character in ")]}>":
                raise _Refused
            self.place += 1
            if not stack:
                return

    # Types

    def type_(self) -> str:
        """Read a type of a value."""
        if self.at_end():
            raise _Refused
        start = self.place
        character = self.text[start]
        if character == "i":
            if self.place + 1 == len(self.text) and not self.whole:
                raise _Open
            self.place += 1
            found, is_open = self.digits()
            if not found or found[0] == "0" or len(found) > 5:
                if is_open and not found:
                    raise _Open
                raise _Refused
        elif character == "[":
            self.place += 1
            self._elements("]")
        elif character == "{":
            self._fields("{", "}")
        elif character == "<":
            if self.place + 1 == len(self.text) and not self.whole:
                raise _Open
            if self.text[self.place + 1 : self.place + 2] == "{":
                self._fields("<{", "}>")
            else:
                self.place += 1
                self._elements(">")
        else:
            self.word(_SCALARS)
        return self.text[start : self.place]

    def _elements(self, close: str) -> None:
        found, is_open = self.digits()
        if is_open:
            raise _Open
        if close == ">" and found == "0":
            raise _Refused
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

    # Values, blocks and symbols

    def value(self, type_: str, *, ahead: bool = False) -> None:
        """Read an operand of a type.

        Args:
            ahead: it may stand further down.
        """
        if self.at_end():
            raise _Refused
        character = self.text[self.place]
        if character == "%":
            self.place += 1
            self._number(type_, ahead)
        elif character == "@":
            if type_ not in ("ptr", ""):
                raise _Refused
            self.symbol()
        elif character in "[{<":
            if type_[:1] != character and type_:
                raise _Refused
            self.balanced()
        elif character == "c" and self.text[self.place : self.place + 2] == 'c"':
            self.place += 1
            end = self.text.find('"', self.place + 1)
            if end < 0:
                self.place = len(self.text)
                self.at_end()
                raise _Refused
            self.place = end + 1
        elif character == "-" or character.isdigit():
            self._constant(type_)
        else:
            special = ["true", "false"] if type_ == "i1" else ["null"] if type_ == "ptr" else []
            word = self.word(special, _CONSTANTS, _EXPRESSIONS)
            if word in _EXPRESSIONS:
                self._expression()

    def _expression(self) -> None:
        """Go behind a constant expression, which is not looked into."""
        while not self.at_end() and self.text[self.place] != "(":
            match = _WORD.match(self.text, self.place)
            if match is not None:
                self.place = match.end()
            elif self.text[self.place] == " ":
                self.place += 1
            else:
                raise _Refused
        if self.at_end():
            raise _Refused
        self.balanced()

    def _constant(self, type_: str) -> None:
        is_float = type_ in _FLOATS
        if not is_float and type_ and not re.fullmatch(r"i\d+", type_):
            raise _Refused
        rest = self.text[self.place :]
        if not self.whole and (_FLOAT_BEGINS if is_float else re.compile(r"-?\d*")).fullmatch(rest):
            if len(rest) > _MAX_DIGITS or _PADDED.match(rest):
                raise _Refused
            raise _Open
        match = (_FLOAT if is_float else _NUMBER).match(rest)
        if match is None or len(match[0]) > _MAX_DIGITS or _PADDED.match(match[0]):
            raise _Refused
        if not type_ and (longer := _FLOAT.match(rest)):
            match = longer
        self.place += match.end()

    def _number(self, type_: str, ahead: bool) -> None:
        """Read the number of a value of a type."""
        found, is_open = self.digits()
        body = self.body
        types = body.types
        if is_open:
            if ahead:
                taken = {*body.ahead_blocks, *self.ahead_blocks}
                for named in (body.ahead_values, self.ahead_values):
                    taken |= {one for one, own in named.items() if own and type_ and own != type_}
                if self._may_become(found, taken):
                    raise _Open
            for number, own in types.items():
                if (own == type_ or not own or not type_) and str(number).startswith(found):
                    raise _Open
            raise _Refused
        number = int(found)
        known = types.get(number)
        if known is not None:
            if known and type_ and known != type_:
                raise _Refused
            return
        if not ahead or not body.next <= number < self.limit:
            raise _Refused
        if number in body.ahead_blocks or number in self.ahead_blocks:
            raise _Refused
        for named in (body.ahead_values, self.ahead_values):
            if (before := named.get(number)) and type_ and before != type_:
                raise _Refused
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
            if any(one not in taken for one in range(max(low, start), min(high + 1, stop))):
                return True
            low, high = 10 * low, 10 * high + 9
        return False

    def block(
        self, known: Collection[int], *, ahead: bool = True, taken: Collection[int] = ()
    ) -> int:
        """Read ``%N`` of a block: one of `known`, or one that stands further down.

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
                raise _Open
            if any(str(one).startswith(found) for one in known):
                raise _Open
            raise _Refused
        number = int(found)
        if number in known:
            return number
        if not ahead or number in taken or not body.next <= number < self.limit:
            raise _Refused
        self.ahead_blocks.add(number)
        return number

    def target(self, *, last: bool = True) -> None:
        """Read a block that this one branches to.

        Args:
            last: no other follows: what phi nodes say of this block must have come true.
        """
        body = self.body
        # A block whose phi nodes do not name this one is none to branch to.
        known = [
            one
            for one in body.blocks
            if (named := body.phis.get(one)) is None or body.block in named
        ]
        if last and len(self.owed) > 1:
            raise _Refused
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
        match = _NAME.match(self.text, self.place)
        found = match[0] if match else ""
        if self.place + len(found) == len(self.text) and not self.whole:
            known = self.symbols
            if known is None or found.startswith("llvm.") or "llvm.".startswith(found):
                raise _Open
            if any(one.startswith(found) for one in known):
                raise _Open
            raise _Refused
        if not found:
            raise _Refused
        named = self.symbols is None or found in self.symbols
        if not named and not re.match(r"llvm\.[a-z]", found):
            raise _Refused
        self.place += len(found)
        return found

    def typed(self, *, ahead: bool = False) -> str:
        """Read a type and a value of it."""
        type_ = self.type_()
        self.literal(" ")
        self.value(type_, ahead=ahead)
        return type_

    def pointer(self) -> None:
        self.literal("ptr ")
        self.value("ptr")

    # Lines

    def read(self) -> _Body:
        """Return what is known behind this line."""
        body = self.body
        place = body.place
        if place == "head":
            return self._head()
        if place == "done":
            raise _Refused
        if place == "cases":
            return self._case()
        if place in ("gap", "label"):
            return self._between()
        if place == "phi" or place == "block":
            self.literal("  ")
            return self._instruction()
        raise AssertionError(place)

    def _head(self) -> _Body:
        self.literal("define ")
        self.words(_CONVENTIONS | _RESULT_WORDS)
        result = "void" if self._is_void() else self.type_()
        self.literal(" @f0(")
        types: dict[int, str] = {}
        if not self.has(")"):
            while True:
                if self.has("..."):
                    self.literal(")")
                    break
                types[len(types)] = self._parameter(len(types))
                if not self.has(", "):
                    self.literal(")")
                    break
        if not self.has(" {"):
            self.literal(" personality ptr ")
            self.symbol()
            self.literal(" {")
        if not self.at_end():
            raise _Refused
        entry = len(types)
        return _Body(
            result=result, entry=entry, block=entry, types=types, next=entry + 1, place="phi"
        )

    def _is_void(self) -> bool:
        return self.has("void")

    def _parameter(self, number: int) -> str:
        type_ = self.type_()
        self.literal(" ")
        self._attributes()
        self.literal(f"%{number}")
        return type_

    def _attributes(self) -> None:
        """Go behind the attributes of an argument or parameter."""
        while True:
            match = _WORD.match(self.text, self.place)
            if match is None:
                return
            if match.end() == len(self.text) and not self.whole:
                raise _Open
            if match[0] in _ARGUMENT_WORDS:
                self.place = match.end()
            elif match[0] in _TYPED_WORDS:
                self.place = match.end()
                self.literal("(")
                self.type_()
                self.literal(")")
            elif match[0] == "align":
                self.place = match.end()
                self.literal(" ")
                if self.digits()[1]:
                    raise _Open
            else:
                return
            self.literal(" ")

    def _between(self) -> _Body:
        """Read what follows a terminator: the end, or an empty line and a block's label."""
        body = self.body
        resolved = not body.ahead_blocks and not body.ahead_values
        if body.place == "gap":
            if not self.text:
                if not self.whole:
                    raise _Open
                if body.next in body.ahead_values or body.next >= self.limit:
                    raise _Refused
                return replace(body, place="label")
            if not resolved:
                raise _Refused
            self.literal("}")
            if not self.at_end():
                raise _Refused
            return replace(body, place="done")
        self.literal(f"{body.next}:")
        if not self.at_end():
            raise _Refused
        return replace(
            body,
            place="phi",
            block=body.next,
            blocks=body.blocks | {body.next},
            ahead_blocks=body.ahead_blocks - {body.next},
            next=body.next + 1,
        )

    def _owed(self) -> set[int]:
        """Return the blocks whose phi nodes name this one, and that it has not branched to yet."""
        body = self.body
        return {
            target
            for target, named in body.phis.items()
            if body.block in named and body.block not in body.edges.get(target, ())
        }

    def _with_edges(self) -> dict[int, frozenset[int]]:
        edges = dict(self.body.edges)
        for target in self.targets:
            edges[target] = edges.get(target, frozenset()) | {self.body.block}
        return edges

    def _case(self) -> _Body:
        body = self.body
        self.owed = self._owed()
        if not self.owed and self.has("  ]"):
            if not self.at_end():
                raise _Refused
            return replace(body, place="gap", case_type="")
        self.literal(f"  {body.case_type} ")
        if self.at_end():
            raise _Refused
        if self.text[self.place] == "%":
            raise _Refused
        self.value(body.case_type)
        self.literal(", label ")
        self.target(last=False)
        if not self.at_end():
            raise _Refused
        return replace(
            body, ahead_blocks=body.ahead_blocks | self.ahead_blocks, edges=self._with_edges()
        )

    def _instruction(self) -> _Body:
        body = self.body
        defines = self.has("%")
        if defines:
            number = body.next
            if number in body.ahead_blocks or number >= self.limit:
                raise _Refused
            self.literal(f"{number} = ")
            self.expected = body.ahead_values.get(number, "")
            opcode = self.word(self._defining(), _CALLS)
        else:
            self.owed = self._owed()
            opcode = self.word(_VOID - {"ret", "unreachable"} if self.owed else _VOID, _CALLS)
        try:
            type_ = self._operands(opcode, defines)
            if not self.at_end():
                raise _Refused
        except _Unknown:
            if not self.whole:
                raise _Open from None
            type_ = ""
        place = "block"
        phis = body.phis
        if opcode == "phi":
            place = "phi"
            phis = {**phis, body.block: frozenset(self.incoming)}
        elif opcode == "switch":
            place = "cases"
        elif opcode in _TERMINATORS or opcode == "invoke":
            place = "gap"
        types, ahead_values = body.types, body.ahead_values
        if self.ahead_values:
            ahead_values = {**ahead_values, **self.ahead_values}
        if defines:
            if self.expected and type_ and self.expected != type_:
                raise _Refused
            if body.next in ahead_values:
                ahead_values = {key: one for key, one in ahead_values.items() if key != body.next}
            types = {**types, body.next: type_ or self.expected}
        return replace(
            body,
            types=types,
            next=body.next + defines,
            ahead_blocks=body.ahead_blocks | self.ahead_blocks,
            ahead_values=ahead_values,
            edges=self._with_edges() if self.targets else body.edges,
            phis=phis,
            place=place,
            case_type=type_ if opcode == "switch" else "",
        )

    def _defining(self) -> Collection[str]:
        """Return the opcodes that the next value may come from."""
        expected = self.expected
        left = _DEFINING
        if self.body.place != "phi":
            left = left - {"phi"}
        if expected and expected[0] != "<":
            if expected != "i1":
                left = left - {"icmp", "fcmp"}
            if expected != "ptr":
                left = left - {"getelementptr", "alloca", "inttoptr"}
            if expected not in _FLOATS:
                left = left - _FLOAT_OPS - _TO_FLOAT
            if expected[0] != "i":
                left = left - _INTEGER_OPS - _TO_INTEGER
        return left

    def result_type(self) -> str:
        """Read the type of the value that is defined."""
        if self.expected:
            self.literal(self.expected)
            return self.expected
        return self.type_()

    # Instructions

    def _operands(self, opcode: str, defines: bool) -> str:
        """Read what follows an opcode; return the type of the result, of a switch its type."""
        if opcode == "unreachable":
            return ""
        if opcode in ("fence", "landingpad", "resume", "indirectbr", "invoke"):
            raise _Unknown
        self.literal(" ")
        if opcode in _CALLS:
            return self._call(opcode, defines)
        if opcode in _INTEGER_OPS or opcode in _FLOAT_OPS:
            self.words(_FLAGS)
            type_ = self.result_type()
            self._class_of(type_, opcode in _FLOAT_OPS)
            self._two(type_)
            return type_
        if opcode in _CASTS:
            return self._cast(opcode)
        return _READERS[opcode](self)

    def _class_of(self, type_: str, is_float: bool) -> None:
        """Refuse a type that is no integer, or no float, nor a vector of them."""
        scalar = type_[1:-1].partition(" x ")[2] if type_[0] == "<" and type_[1] != "{" else type_
        if is_float != (scalar in _FLOATS) or not (is_float or re.fullmatch(r"i\d+", scalar)):
            raise _Refused

    def _two(self, type_: str) -> None:
        self.literal(" ")
        self.value(type_)
        self.literal(", ")
        self.value(type_)

    def _cast(self, opcode: str) -> str:
        self.words(_FLAGS)
        before = self.typed()
        self.literal(" to ")
        after = self.result_type()
        for kind, compare in (("trunc", 1), ("zext", -1), ("sext", -1)):
            if opcode == kind:
                widths = [re.fullmatch(r"i(\d+)", one) for one in (before, after)]
                if widths[0] and widths[1]:
                    order = int(widths[0][1]) - int(widths[1][1])
                    # A number that is not whole may still grow.
                    if order * compare <= 0 and (compare > 0 or self.whole):
                        raise _Refused
        return after

    def _fneg(self) -> str:
        self.words(_FLAGS)
        type_ = self.typed()
        self._class_of(type_, True)
        return type_

    def _icmp(self) -> str:
        self.words(_FLAGS)
        self.word(_INTEGER_PREDICATES)
        self.literal(" ")
        type_ = self.type_()
        self._two(type_)
        return _like_bool(type_)

    def _fcmp(self) -> str:
        self.words(_FLAGS)
        self.word(_FLOAT_PREDICATES)
        self.literal(" ")
        type_ = self.type_()
        self._class_of(type_, True)
        self._two(type_)
        return _like_bool(type_)

    def _load(self) -> str:
        is_atomic = self.has("atomic ")
        self.has("volatile ")
        if not is_atomic and self.expected in ("", "i8") and self.has("bool"):
            type_ = "i8"
        else:
            type_ = self.result_type()
        self.literal(", ")
        self.pointer()
        self._access_end(is_atomic)
        return type_

    def _store(self) -> str:
        is_atomic = self.has("atomic ")
        self.has("volatile ")
        self.typed()
        self.literal(", ")
        self.pointer()
        self._access_end(is_atomic)
        return ""

    def _access_end(self, is_atomic: bool) -> None:
        if is_atomic:
            raise _Unknown
        self._alignment()

    def _alignment(self) -> None:
        """Read ``, align N``, if more follows."""
        if self.at_end():
            return
        self.literal(", align ")
        found, is_open = self.digits()
        if is_open:
            if found and not any(str(1 << k).startswith(found) for k in range(33)):
                raise _Refused
            raise _Open
        if int(found) & (int(found) - 1) or found == "0":
            raise _Refused

    def _getelementptr(self) -> str:
        self.words(_FLAGS)
        self.type_()
        self.literal(", ")
        base = self.typed()
        result = base
        while not self.at_end():
            self.literal(", ")
            index = self.typed()
            if index[0] == "<":
                result = ""
        return result if base == "ptr" else ""

    def _alloca(self) -> str:
        self.type_()
        if not self.at_end() and not self.text.startswith(", align", self.place):
            if ", align".startswith(self.text[self.place :]) and not self.whole:
                raise _Open
            self.literal(", ")
            self.typed()
        self._alignment()
        return "ptr"

    def _phi(self) -> str:
        self.words(_FLAGS)
        type_ = self.result_type()
        body = self.body
        # All phi nodes of a block name the same blocks: those that branch here, now or later.
        before = body.edges.get(body.block, frozenset())
        named = body.phis.get(body.block)
        separator = " "
        while True:
            self.literal(f"{separator}[ ")
            self.value(type_, ahead=True)
            self.literal(", ")
            known = before | {body.block} if named is None else named
            left = [one for one in known if one not in self.incoming]
            number = self.block(left, ahead=named is None, taken=self.incoming)
            self.incoming.add(number)
            self.literal(" ]")
            separator = ", "
            wanted = before if named is None else named
            if wanted <= self.incoming:
                if self.at_end():
                    return type_
            elif self.place == len(self.text) and self.whole:
                raise _Refused

    def _select(self) -> str:
        self.words(_FLAGS)
        condition = self.typed()
        if condition != "i1" and condition[0] != "<":
            raise _Refused
        self.literal(", ")
        first = self.result_type()
        self.literal(" ")
        self.value(first)
        self.literal(f", {first} ")
        self.value(first)
        return first

    def _freeze(self) -> str:
        return self.typed()

    def _extractvalue(self) -> str:
        type_ = self.typed()
        while True:
            self.literal(", ")
            type_ = self._element(type_)
            if self.at_end():
                return type_

    def _insertvalue(self) -> str:
        whole = type_ = self.typed()
        self.literal(", ")
        inserted = self.typed()
        while True:
            self.literal(", ")
            type_ = self._element(type_)
            if self.at_end():
                break
        if type_ != inserted:
            raise _Refused
        return whole

    def _element(self, type_: str) -> str:
        """Read the index of an element of a struct or an array; return the element's type."""
        found, is_open = self.digits()
        if is_open:
            raise _Open
        if type_[:1] == "[":
            number, _, element = type_[1:-1].partition(" x ")
            if int(found) >= int(number):
                raise _Refused
            return element
        if type_[:1] == "{" or type_[:2] == "<{":
            fields = _split(type_.strip("<>")[1:-1])
            if int(found) >= len(fields):
                raise _Refused
            return fields[int(found)]
        raise _Refused

    def _extractelement(self) -> str:
        type_ = self.typed()
        if type_[0] != "<":
            raise _Refused
        self.literal(", ")
        self.typed()
        return type_[1:-1].partition(" x ")[2]

    def _insertelement(self) -> str:
        type_ = self.typed()
        if type_[0] != "<":
            raise _Refused
        self.literal(f", {type_[1:-1].partition(' x ')[2]} ")
        self.value(type_[1:-1].partition(" x ")[2])
        self.literal(", ")
        self.typed()
        return type_

    def _shufflevector(self) -> str:
        type_ = self.typed()
        if type_[0] != "<":
            raise _Refused
        self.literal(f", {type_} ")
        self.value(type_)
        self.literal(", ")
        mask = self.typed()
        if mask[0] != "<":
            raise _Refused
        return f"<{mask[1:-1].partition(' x ')[0]} x {type_[1:-1].partition(' x ')[2]}>"

    def _va_arg(self) -> str:
        self.pointer()
        self.literal(", ")
        return self.type_()

    def _cmpxchg(self) -> str:
        self.words(("weak", "volatile"))
        self.pointer()
        self.literal(", ")
        type_ = self.typed()
        self.literal(f", {type_} ")
        self.value(type_)
        self.literal(" ")
        self.word(_ORDERINGS)
        self.literal(" ")
        self.word(_ORDERINGS)
        self._alignment()
        return f"{{ {type_}, i1 }}"

    def _atomicrmw(self) -> str:
        self.has("volatile ")
        self.word(_RMW)
        self.literal(" ")
        self.pointer()
        self.literal(", ")
        type_ = self.typed()
        self.literal(" ")
        self.word(_ORDERINGS)
        self._alignment()
        return type_

    def _ret(self) -> str:
        result = self.body.result
        if result == "void":
            self.literal("void")
        else:
            self.literal(f"{result} ")
            self.value(result)
        return ""

    def _br(self) -> str:
        if len(self.owed) < 2 and self.has("label "):
            self.target()
            return ""
        self.literal("i1 ")
        self.value("i1")
        self.literal(", label ")
        self.target(last=False)
        self.literal(", label ")
        self.target()
        return ""

    def _switch(self) -> str:
        type_ = self.typed()
        self.literal(", label ")
        self.target(last=False)
        self.literal(" [")
        return type_

    def _call(self, opcode: str, defines: bool) -> str:
        if opcode != "call":
            self.literal("call ")
        self.words(_FLAGS | _CONVENTIONS | _RESULT_WORDS)
        type_ = self._result(defines)
        self.literal(" ")
        if self.at_end():
            raise _Refused
        if self.text[self.place] == "(":
            self.balanced()
            self.literal(" ")
            if self.at_end():
                raise _Refused
        character = self.text[self.place]
        if character == "%":
            self.place += 1
            self._number("ptr", ahead=False)
        elif character == "@":
            self.symbol()
        elif "asm ".startswith(self.text[self.place : self.place + 4]):
            raise _Unknown
        else:
            raise _Refused
        self.literal("(")
        if not self.has(")"):
            while True:
                self._argument()
                if not self.has(", "):
                    self.literal(")")
                    break
        while not self.at_end():
            self.literal(" ")
            if not self.at_end() and self.text[self.place] == "[":
                raise _Unknown
            self.word(_TAILS)
        return type_

    def _result(self, defines: bool) -> str:
        if defines:
            return self.result_type()
        self.literal("void")
        return ""

    def _argument(self) -> None:
        if self.text.startswith("metadata", self.place):
            raise _Unknown
        if not self.whole and "metadata".startswith(self.text[self.place :]):
            raise _Open
        type_ = self.type_()
        self.literal(" ")
        # An attribute or a constant: both are words.
        match = _WORD.match(self.text, self.place)
        if match is not None and (
            match[0] in _ARGUMENT_WORDS | _TYPED_WORDS | {"align"}
            or (match.end() == len(self.text) and not self.whole)
        ):
            self._attributes()
        self.value(type_)


_READERS: Final = {
    "fneg": _Line._fneg,
    "icmp": _Line._icmp,
    "fcmp": _Line._fcmp,
    "load": _Line._load,
    "store": _Line._store,
    "getelementptr": _Line._getelementptr,
    "alloca": _Line._alloca,
    "phi": _Line._phi,
    "select": _Line._select,
    "freeze": _Line._freeze,
    "extractvalue": _Line._extractvalue,
    "insertvalue": _Line._insertvalue,
    "extractelement": _Line._extractelement,
    "insertelement": _Line._insertelement,
    "shufflevector": _Line._shufflevector,
    "va_arg": _Line._va_arg,
    "cmpxchg": _Line._cmpxchg,
    "atomicrmw": _Line._atomicrmw,
    "ret": _Line._ret,
    "br": _Line._br,
    "switch": _Line._switch,
}


def _like_bool(type_: str) -> str:
    """Return the type of a comparison."""
    if type_[0] == "<" and type_[1] != "{":
        return f"<{type_[1:-1].partition(' x ')[0]} x i1>"
    return "i1"


def _split(text: str) -> list[str]:
    """Split a struct's fields."""
    fields, depth, start = [], 0, 0
    for place, character in enumerate(text):
        if character in "[{<":
            depth += 1
        elif character in "]}>":
            depth -= 1
        elif character == "," and not depth:
            fields.append(text[start:place].strip())
            start = place + 1
    return [*fields, text[start:].strip()]
