"""One function's IR, read from the text that LLVM prints, into what can be interpreted.

The text is LLVM's own (`LiftInspection.text`), so that the grammar is the printer's and not that of
all that may be written. What is not known raises `Unreadable`; flags, attributes and metadata,
which say more than a value needs, are passed over.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.verify.solving.ir_types import Type

__all__ = [
    "Address",
    "Expression",
    "Function",
    "Instruction",
    "Local",
    "Many",
    "Number",
    "Operand",
    "Undefined",
    "Unreadable",
    "Variable",
    "read_function",
    "read_variables",
]


class Unreadable(Exception):
    """The text has something that is not interpreted."""


@dataclass(frozen=True, slots=True)
class Local:
    """An instruction's result, or a parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A constant: an integer, a pointer, or a float's bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Address:
    """Of a function or a variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Many:
    """A constant of several values."""

    values: tuple[tuple[Type, Operand], ...]


@dataclass(frozen=True, slots=True)
class Undefined:
    """Any value, taken as zeros: ``undef``, ``poison``, ``zeroinitializer``."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An operation on constants: ``getelementptr`` of a type, a cast to one, two numbers."""

    operation: str
    type: Type
    arguments: tuple[tuple[Type, Operand], ...]


Operand = Local | Number | Address | Many | Undefined | Expression


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    `type`: of the result, of what is stored, or that a ``getelementptr`` steps over. `detail`: the
    predicate of a comparison, the operation of an ``atomicrmw``. `labels`: where a terminator
    leads, the default of a ``switch`` first; the blocks that a ``phi``'s values come from.
    `numbers`: a switch's cases, the indices into an aggregate, a shuffle's lanes.
    """

    operation: str
    result: str
    type: Type
    operands: tuple[tuple[Type, Operand], ...] = ()
    detail: str = ""
    labels: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function's parameters and blocks, by their labels, the entry first.

    `by_value`: of each parameter, the type that it is passed in memory as, or none.
    """

    parameters: tuple[tuple[str, Type], ...]
    by_value: tuple[Type | None, ...]
    blocks: dict[str, tuple[Instruction, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the text defines, or only declares (`initial` is None)."""

    type: Type
    initial: Operand | None


_TOKEN = re.compile(
    r'c?"(?:[^"\\]|\\.)*"|[%@$](?:[-\w.$]+|"[^"]*")|![\w.]*|#\d+'
    r"|-?\d+\.\d+(?:e[+-]?\d+)?|0x[KLMHR]?[0-9A-Fa-f]+|-?\d+|[A-Za-z_][\w.]*|\.\.\.|[(){}\[\]<>,=*:|]"
)
_FLOATS = {"half": 16, "bfloat": 16, "float": 32, "double": 64, "x86_fp80": 80, "fp128": 128}
_PLAIN = {"void": Type("void"), "label": Type("void"), "token": Type("void"), "ptr": Type("pointer")}
_INTEGER = re.compile(r"i(\d+)")
_FLAGS = frozenset(
    "nuw nsw exact inbounds nusw disjoint nneg samesign fast nnan ninf nsz arcp contract afn "
    "reassoc volatile atomic inrange weak".split()
)
_TWO = frozenset(
    "add sub mul udiv sdiv urem srem shl lshr ashr and or xor fadd fsub fmul fdiv frem".split()
)
_CASTS = frozenset(
    "trunc zext sext fptrunc fpext fptoui fptosi uitofp sitofp ptrtoint inttoptr bitcast".split()
)
_LABEL = re.compile(r'^([-\w.$]+|"[^"]*"):')
_NAMED_TYPE = re.compile(r'^(%(?:[-\w.$]+|"[^"]*")) = type (.+)$')
_VARIABLE = re.compile(
    r'^(@(?:[-\w.$]+|"[^"]*")) = (?:[a-z_]+(?:\([^)]*\))? )*?(?:global|constant) (.+)$'
)
_LITERALS = frozenset({"undef", "poison", "zeroinitializer", "none"})


class _Reader:
    """Reads the words of one line."""

    def __init__(self, text: str, named: dict[str, Type]) -> None:
        self._words = _TOKEN.findall(text)
        self._place = 0
        self._named = named

    # -- words -------------------------------------------------------------------------------------

    def peek(self) -> str:
        return self._words[self._place] if self._place < len(self._words) else ""

    def next(self) -> str:
        word = self.peek()
        self._place += 1
        return word

    def accept(self, word: str) -> bool:
        if self.peek() == word:
            self._place += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise Unreadable(f"'{self.peek()}' where '{word}' is due")

    def skip_flags(self) -> None:
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
        word = self.peek()
        return (
            word in _PLAIN
            or word in _FLOATS
            or word in ("{", "[", "<")
            or word in self._named
            or _INTEGER.fullmatch(word) is not None
        )

    def type(self) -> Type:
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
        kind = self.type()
        return kind, self.value(kind)

    def argument(self) -> tuple[Type, Operand]:
        """Read a call's argument, with its attributes."""
        kind = self.type()
        self._skip_attributes()
        return kind, self.value(kind)

    def _skip_attributes(self) -> Type | None:
        """Pass over a parameter's attributes; return the type that it is passed in memory as."""
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
            or word in _TWO
            or word in _CASTS
        )

    def value(self, kind: Type) -> Operand:
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
        if word in _TWO or word in _CASTS or word == "getelementptr":
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
        self.expect("label")
        return self.next()[1:].strip('"')

    # -- instructions ------------------------------------------------------------------------------

    def instruction(self) -> Instruction:
        result = ""
        if self.peek().startswith("%"):
            result = self.next()[1:]
            self.expect("=")
        word = self.next()
        while word in ("tail", "musttail", "notail"):
            word = self.next()
        read = getattr(self, f"_read_{word}", None)
        if read is not None:
            found: Instruction = read(result)
            return found
        self.skip_flags()
        if word in _TWO:
            kind = self.type()
            left = self.value(kind)
            self.expect(",")
            return Instruction(word, result, kind, ((kind, left), (kind, self.value(kind))))
        if word in _CASTS:
            given = self.typed()
            self.expect("to")
            return Instruction(word, result, self.type(), (given,))
        if word in ("fneg", "freeze", "extractvalue", "insertvalue"):
            return self._of_values(word, result)
        if word in ("extractelement", "insertelement", "shufflevector"):
            return self._of_values(word, result)
        return Instruction(word, result, Type("void"))

    def _of_values(self, word: str, result: str) -> Instruction:
        operands = [self.typed()]
        numbers = []
        while self.accept(","):
            if re.fullmatch(r"\d+", self.peek()):
                numbers.append(int(self.next()))
            elif self.is_type():
                operands.append(self.typed())
            else:
                break
        return Instruction(
            word, result, operands[0][0], tuple(operands), numbers=tuple(numbers)
        )

    def _read_alloca(self, result: str) -> Instruction:
        self.accept("inalloca")
        kind = self.type()
        operands = []
        if self.accept(",") and self.is_type():
            operands.append(self.typed())
        return Instruction("alloca", result, kind, tuple(operands))

    def _read_load(self, result: str) -> Instruction:
        self.skip_flags()
        kind = self.type()
        self.expect(",")
        return Instruction("load", result, kind, (self.typed(),))

    def _read_store(self, result: str) -> Instruction:
        self.skip_flags()
        given = self.typed()
        self.expect(",")
        return Instruction("store", result, given[0], (given, self.typed()))

    def _read_getelementptr(self, result: str) -> Instruction:
        self.skip_flags()
        kind = self.type()
        operands = []
        while self.accept(","):
            if not self.is_type():
                break
            operands.append(self.typed())
        return Instruction("getelementptr", result, kind, tuple(operands))

    def _compared(self, word: str, result: str) -> Instruction:
        self.skip_flags()
        predicate = self.next()
        kind = self.type()
        left = self.value(kind)
        self.expect(",")
        right = self.value(kind)
        return Instruction(word, result, kind, ((kind, left), (kind, right)), predicate)

    def _read_icmp(self, result: str) -> Instruction:
        return self._compared("icmp", result)

    def _read_fcmp(self, result: str) -> Instruction:
        return self._compared("fcmp", result)

    def _read_select(self, result: str) -> Instruction:
        self.skip_flags()
        condition = self.typed()
        self.expect(",")
        yes = self.typed()
        self.expect(",")
        return Instruction("select", result, yes[0], (condition, yes, self.typed()))

    def _read_phi(self, result: str) -> Instruction:
        self.skip_flags()
        kind = self.type()
        operands, labels = [], []
        while self.accept("["):
            operands.append((kind, self.value(kind)))
            self.expect(",")
            labels.append(self.next()[1:].strip('"'))
            self.expect("]")
            self.accept(",")
        return Instruction("phi", result, kind, tuple(operands), labels=tuple(labels))

    def _read_br(self, result: str) -> Instruction:
        if self.peek() == "label":
            return Instruction("br", result, Type("void"), labels=(self.label(),))
        condition = self.typed()
        self.expect(",")
        yes = self.label()
        self.expect(",")
        return Instruction("br", result, Type("void"), (condition,), labels=(yes, self.label()))

    def _read_switch(self, result: str) -> Instruction:
        given = self.typed()
        self.expect(",")
        labels, numbers = [self.label()], []
        self.expect("[")
        while not self.accept("]"):
            kind = self.type()
            number = self.value(kind)
            assert isinstance(number, Number)
            numbers.append(number.value)
            self.expect(",")
            labels.append(self.label())
        return Instruction("switch", result, given[0], (given,), "", tuple(labels), tuple(numbers))

    def _read_ret(self, result: str) -> Instruction:
        kind = self.type()
        operands = ((kind, self.value(kind)),) if kind.kind != "void" else ()
        return Instruction("ret", result, kind, operands)

    def _called(self, word: str, result: str) -> Instruction:
        while not self.is_type():
            if not self.peek():
                raise Unreadable("a call")
            self.next()
            self.skip_parentheses()
        kind = self.type()
        if self.peek() == "(":
            self.skip_parentheses()
        if self.peek() == "asm":
            return Instruction("asm", result, kind)
        target = self.value(Type("pointer"))
        self.expect("(")
        operands: list[tuple[Type, Operand]] = [(Type("pointer"), target)]
        while not self.accept(")"):
            if self.peek() == "metadata":
                return Instruction("nothing", result, Type("void"))
            operands.append(self.argument())
            self.accept(",")
        labels: list[str] = []
        if word == "invoke":
            while self.peek() != "to":
                if not self.next():
                    raise Unreadable("an invoke")
            self.next()
            labels.append(self.label())
            self.expect("unwind")
            labels.append(self.label())
        return Instruction(word, result, kind, tuple(operands), labels=tuple(labels))

    def _read_call(self, result: str) -> Instruction:
        return self._called("call", result)

    def _read_invoke(self, result: str) -> Instruction:
        return self._called("invoke", result)

    def _read_atomicrmw(self, result: str) -> Instruction:
        self.skip_flags()
        how = self.next()
        place = self.typed()
        self.expect(",")
        given = self.typed()
        return Instruction("atomicrmw", result, given[0], (place, given), how)

    def _read_cmpxchg(self, result: str) -> Instruction:
        self.skip_flags()
        place = self.typed()
        self.expect(",")
        wanted = self.typed()
        self.expect(",")
        return Instruction("cmpxchg", result, wanted[0], (place, wanted, self.typed()))

    def variable(self) -> Variable:
        kind = self.type()
        is_defined = self.peek() not in ("", ",")
        return Variable(kind, self.value(kind) if is_defined else None)

    def parameters(self) -> list[tuple[str, Type, Type | None]]:
        """Read the parameters of a definition, after the parenthesis that opens them."""
        found: list[tuple[str, Type, Type | None]] = []
        while not self.accept(")"):
            if self.accept("..."):
                continue
            kind = self.type()
            by_value = self._skip_attributes()
            name = ""
            if self.peek().startswith("%"):
                name = self.next()[1:]
            found.append((name or str(len(found)), kind, by_value))
            self.accept(",")
        return found


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


def _named_types(text: str) -> dict[str, Type]:
    """Return the types that the text names; what is in a cycle of them, or opaque, is left out."""
    waiting = {}
    for line in text.splitlines():
        if match := _NAMED_TYPE.match(line):
            waiting[match[1]] = match[2]
    found: dict[str, Type] = {}
    is_new = True
    while waiting and is_new:
        is_new = False
        for name, body in list(waiting.items()):
            try:
                found[name] = _Reader(body, found).type()
            except Unreadable:
                continue
            del waiting[name]
            is_new = True
    return found


def _body(text: str, name: str) -> tuple[str, list[str]]:
    """Return the line that defines a function, and those of its blocks."""
    lines = text.splitlines()
    marks = (f"@{name}(", f'@"{name}"(')
    for start, line in enumerate(lines):
        if line.startswith("define ") and any(mark in line for mark in marks):
            end = next(i for i in range(start, len(lines)) if lines[i] == "}")
            return line, lines[start + 1 : end]
    raise Unreadable("the function is not there")


def _joined(lines: list[str]) -> Iterator[str]:
    """Yield instructions and labels, those that take several lines in one."""
    waiting = ""
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith((";", "#dbg", "cleanup", "catch ", "filter ")):
            continue
        if waiting:
            waiting += " " + stripped
            if stripped == "]" or waiting.startswith(("invoke", "%")) and " unwind " in stripped:
                yield waiting
                waiting = ""
        elif re.match(r"switch .*\[$", stripped) or re.match(r"(?:%\S+ = )?invoke ", stripped):
            waiting = stripped
        else:
            yield stripped
    if waiting:
        raise Unreadable("an instruction without an end")


def read_function(text: str, name: str) -> Function:
    """Return a function of a module's text.

    Raises:
        Unreadable: it has what is not interpreted, in its shape or its types.
    """
    head, lines = _body(text, name)
    named = _named_types(text)
    reader = _Reader(head[head.index("(", head.index(f"@{name}" if f"@{name}(" in head else "@")) :], named)
    reader.expect("(")
    parameters = reader.parameters()
    unnamed = sum(name.isdigit() for name, _, _ in parameters)
    blocks: dict[str, list[Instruction]] = {}
    label = str(unnamed)
    for line in _joined(lines):
        if match := _LABEL.match(line):
            label = match[1].strip('"')
            blocks[label] = []
            continue
        blocks.setdefault(label, []).append(_Reader(line, named).instruction())
    return Function(
        parameters=tuple((name, kind) for name, kind, _ in parameters),
        by_value=tuple(by_value for _, _, by_value in parameters),
        blocks={name: tuple(block) for name, block in blocks.items()},
    )


def read_variables(text: str) -> dict[str, Variable]:
    """Return the variables of a module's text; those that are not readable are left out."""
    named = _named_types(text)
    found = {}
    for line in text.splitlines():
        if match := _VARIABLE.match(line):
            try:
                found[match[1][1:].strip('"')] = _Reader(match[2], named).variable()
            except Unreadable:
                continue
    return found
