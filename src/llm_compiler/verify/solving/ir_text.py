"""One function's IR, read from the text that LLVM prints, into what can be interpreted.

The text is LLVM's own (`LiftInspection.text`), so that the grammar is the printer's and not that of
all that may be written. What is not known raises `Unreadable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_compiler.verify.solving.ir import (
    Function,
    Instruction,
    Number,
    Operand,
    Unreadable,
    Variable,
)
from llm_compiler.verify.solving.ir_types import Type
from llm_compiler.verify.solving.ir_values import CASTS, TWO, ValueReader

__all__ = ["read_function", "read_variables"]

_LABEL = re.compile(r'^([-\w.$]+|"[^"]*"):')
_NAMED_TYPE = re.compile(r'^(%(?:[-\w.$]+|"[^"]*")) = type (.+)$')
_VARIABLE = re.compile(
    r'^(@(?:[-\w.$]+|"[^"]*")) = (?:[a-z_]+(?:\([^)]*\))? )*?(?:global|constant) (.+)$'
)


class _Reader(ValueReader):
    """Reads instructions, a line each."""

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
        if word in TWO:
            kind = self.type()
            left = self.value(kind)
            self.expect(",")
            return Instruction(word, result, kind, ((kind, left), (kind, self.value(kind))))
        if word in CASTS:
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
        return Instruction(word, result, operands[0][0], tuple(operands), numbers=tuple(numbers))

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
            by_value = self.skip_attributes()
            name = ""
            if self.peek().startswith("%"):
                name = self.next()[1:]
            found.append((name or str(len(found)), kind, by_value))
            self.accept(",")
        return found


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
            is_invoke = waiting.startswith(("invoke", "%"))
            if stripped == "]" or (is_invoke and " unwind " in stripped):
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
    marks = (f"@{name}(", f'@"{name}"(')
    start = next(head.index(mark) + len(mark) - 1 for mark in marks if mark in head)
    reader = _Reader(head[start:], named)
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
