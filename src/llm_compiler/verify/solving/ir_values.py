"""Reads types and values in the text that LLVM prints, a line at a time.

Flags, attributes and metadata, which say more than a value needs, are passed over.
"""

from __future__ import annotations

import re
import struct

from llm_compiler.verify.solving.ir import (
    Address,
    Expression,
    Local,
    Many,
    Number,
    Operand,
    Undefined,
    Unreadable,
)
from llm_compiler.verify.solving.ir_types import Type

__all__ = ["CASTS", "TWO", "ValueReader"]

_TOKEN = re.compile(
    r'c?"(?:[^"\\]|\\.)*"|[%@$](?:[-\w.$]+|"[^"]*")|![\w.]*|#\d+'
    r"|-?\d+\.\d+(?:e[+-]?\d+)?|0x[KLMHR]?[0-9A-Fa-f]+|-?\d+|[A-Za-z_][\w.]*|\.\.\.|[(){}\[\]<>,=*:|]"
)
_FLOATS = {"half": 16, "bfloat": 16, "float": 32, "double": 64, "x86_fp80": 80, "fp128": 128}
_PLAIN = {
    "void": Type("void"),
    "label": Type("void"),
    "token": Type("void"),
    "ptr": Type("pointer"),
}
_INTEGER = re.compile(r"i(\d+)")
_FLAG_WORDS = (
    "nuw nsw exact inbounds nusw disjoint nneg samesign fast nnan ninf nsz arcp contract afn "
    "reassoc volatile atomic inrange weak"
)
_FLAGS = frozenset(_FLAG_WORDS.split())
_TWO_WORDS = "add sub mul udiv sdiv urem srem shl lshr ashr and or xor fadd fsub fmul fdiv frem"
TWO = frozenset(_TWO_WORDS.split())
"""Operations on two values."""
_CAST_WORDS = "trunc zext sext fptrunc fpext fptoui fptosi uitofp sitofp ptrtoint inttoptr bitcast"
CASTS = frozenset(_CAST_WORDS.split())
_LITERALS = frozenset({"undef", "poison", "zeroinitializer", "none"})


class ValueReader:
    """Reads the words of one line: types, values and labels."""

    def __init__(self, text: str, named: dict[str, Type]) -> None:
        self._words = _TOKEN.findall(text)
        self._place = 0
        self._named = named

    # -- words -------------------------------------------------------------------------------------

    def peek(self) -> str:
        """Return the next word; empty at the end."""
        return self._words[self._place] if self._place < len(self._words) else ""

    def next(self) -> str:
        """Take the next word."""
        word = self.peek()
        self._place += 1
        return word

    def accept(self, word: str) -> bool:
        """Take the next word if it is this one."""
        if self.peek() == word:
            self._place += 1
            return True
        return False

    def expect(self, word: str) -> None:
        """Take the next word, which has to be this one."""
        if not self.accept(word):
            raise Unreadable(f"'{self.peek()}' where '{word}' is due")

    def skip_flags(self) -> None:
        """Pass over flags of an instruction."""
        while self.peek() in _FLAGS:
            self._place += 1

    def skip_parentheses(self) -> None:
        """Pass over a group in parentheses, if one begins here."""
        if not self.accept("("):
            return
        depth = 1
        while depth and self._place < len(self._words):
            word = self.next()
            depth += (word == "(") - (word == ")")

    # -- types and values --------------------------------------------------------------------------

    def is_type(self) -> bool:
        """Whether a type begins here."""
        word = self.peek()
        return (
            word in _PLAIN
            or word in _FLOATS
            or word in ("{", "[", "<")
            or word in self._named
            or _INTEGER.fullmatch(word) is not None
        )

    def type(self) -> Type:
        """Read a type."""
        word = self.next()
        if word in _PLAIN:
            if self.peek() == "addrspace":
                raise Unreadable("an address space")
            return _PLAIN[word]
        if match := _INTEGER.fullmatch(word):
            return Type("integer", bits=int(match[1]))
        if word in _FLOATS:
            return Type("float", bits=_FLOATS[word])
        if word in self._named:
            return self._named[word]
        if word == "[":
            return self._sequence("array", "]")
        if word == "<" and self.peek() != "{":
            return self._sequence("vector", ">")
        is_packed = word == "<"
        if is_packed:
            word = self.next()
        if word != "{":
            raise Unreadable(f"the type '{word}'")
        parts = []
        while not self.accept("}"):
            parts.append(self.type())
            self.accept(",")
        if is_packed:
            self.expect(">")
        return Type("struct", parts=tuple(parts), is_packed=is_packed)

    def _sequence(self, kind: str, end: str) -> Type:
        count = self.next()
        if not count.isdigit():
            raise Unreadable(f"a {kind} of '{count}'")
        self.expect("x")
        element = self.type()
        self.expect(end)
        return Type(kind, count=int(count), parts=(element,))

    def typed(self) -> tuple[Type, Operand]:
        """Read a type and a value of it."""
        kind = self.type()
        return kind, self.value(kind)

    def argument(self) -> tuple[Type, Operand]:
        """Read a call's argument, with its attributes."""
        kind = self.type()
        self.skip_attributes()
        return kind, self.value(kind)

    def skip_attributes(self) -> Type | None:
        """Pass over a parameter's attributes; return what it is passed in memory as."""
        by_value = None
        while True:
            word = self.peek()
            if not re.fullmatch(r"[a-z_]\w*", word) or self._is_value(word):
                return by_value
            self.next()
            if word == "byval":
                self.expect("(")
                by_value = self.type()
                self.expect(")")
            elif word == "align" and self.peek() != "(":
                self.next()
            else:
                self.skip_parentheses()

    def _is_value(self, word: str) -> bool:
        return (
            word in _LITERALS
            or word in ("true", "false", "null", "splat", "getelementptr", "blockaddress", "asm")
            or word in TWO
            or word in CASTS
        )

    def value(self, kind: Type) -> Operand:
        """Read a value of a type."""
        word = self.next()
        if word.startswith("%"):
            return Local(word[1:])
        if word.startswith("@"):
            return Address(word[1:].strip('"'))
        if word in _LITERALS:
            return Undefined()
        if word in ("true", "false"):
            return Number(int(word == "true"))
        if word == "null":
            return Number(0)
        if word == "splat":
            self.expect("(")
            each = self.typed()
            self.expect(")")
            return Many((each,) * kind.count)
        if word.startswith('c"'):
            element = kind.parts[0]
            return Many(tuple((element, Number(byte)) for byte in _unescaped(word[2:-1])))
        if word in ("[", "{") or (word == "<"):
            return self._constant_of_many(word)
        if word in TWO or word in CASTS or word == "getelementptr":
            return self._expression(word)
        if kind.kind == "float":
            return Number(_float_bits(word, kind.bits))
        if re.fullmatch(r"-?\d+", word):
            return Number(int(word) & ((1 << kind.bits) - 1))
        raise Unreadable(f"the value '{word}'")

    def _constant_of_many(self, word: str) -> Operand:
        ends = {"[": ["]"], "{": ["}"], "<": [">"]}[word]
        if word == "<" and self.accept("{"):
            ends = ["}", ">"]
        values = []
        while self.peek() != ends[0]:
            values.append(self.typed())
            self.accept(",")
        for end in ends:
            self.expect(end)
        return Many(tuple(values))

    def _expression(self, word: str) -> Operand:
        self.skip_flags()
        if self.peek() == "inrange":
            self.next()
            self.skip_parentheses()
        self.expect("(")
        stepped = Type("void")
        if word == "getelementptr":
            stepped = self.type()
            self.expect(",")
        arguments = [self.typed()]
        while self.accept(","):
            self.skip_flags()
            arguments.append(self.typed())
        if self.accept("to"):
            stepped = self.type()
        self.expect(")")
        return Expression(word, stepped, tuple(arguments))

    def label(self) -> str:
        """Read a block's label as an operand."""
        self.expect("label")
        return self.next()[1:].strip('"')


def _unescaped(text: str) -> bytes:
    found = bytearray()
    place = 0
    raw = text.encode("utf-8", "surrogateescape")
    while place < len(raw):
        if raw[place] == 0x5C and raw[place + 1 : place + 2] == b"\\":
            found.append(0x5C)
            place += 2
        elif raw[place] == 0x5C:
            found.append(int(raw[place + 1 : place + 3], 16))
            place += 3
        else:
            found.append(raw[place])
            place += 1
    return bytes(found)


def _float_bits(word: str, bits: int) -> int:
    if re.match(r"0x[KLMHR]", word):
        return int(word[3:], 16)
    number: float
    if word.startswith("0x"):
        number = struct.unpack("<d", int(word, 16).to_bytes(8, "little"))[0]
        if bits == 64:
            return int(word, 16)
    else:
        number = float(word)
    try:
        return int.from_bytes(struct.pack({32: "<f", 64: "<d"}[bits], number), "little")
    except (KeyError, OverflowError) as error:
        raise Unreadable(f"the number {word}") from error
