"""Calls, and the attributes of arguments and parameters."""

from __future__ import annotations

from llm_compiler.dataset.lifting.body_grammar.cursor import WORD, Open, Refused, Unknown
from llm_compiler.dataset.lifting.body_grammar.operands import Operands
from llm_compiler.dataset.lifting.body_grammar.words import (
    ARGUMENT_WORDS,
    CONVENTIONS,
    FLAGS,
    RESULT_WORDS,
    TAILS,
    TYPED_WORDS,
)

__all__ = ["read_call", "skip_attributes"]


def read_call(line: Operands, opcode: str, defines: bool) -> str:
    """Read a call after its opcode; return the type of its result."""
    if opcode != "call":
        line.literal("call ")
    line.words(FLAGS | CONVENTIONS | RESULT_WORDS)
    type_ = _result(line, defines)
    line.literal(" ")
    if line.at_end():
        raise Refused
    if line.text[line.place] == "(":
        line.balanced()
        line.literal(" ")
        if line.at_end():
            raise Refused
    character = line.text[line.place]
    if character == "%":
        line.place += 1
        line.number_of("ptr", ahead=False)
    elif character == "@":
        line.symbol()
    elif "asm ".startswith(line.text[line.place : line.place + 4]):
        raise Unknown
    else:
        raise Refused
    line.literal("(")
    if not line.has(")"):
        while True:
            _argument(line)
            if not line.has(", "):
                line.literal(")")
                break
    while not line.at_end():
        line.literal(" ")
        if not line.at_end() and line.text[line.place] == "[":
            raise Unknown
        line.word(TAILS)
    return type_


def _result(line: Operands, defines: bool) -> str:
    if defines:
        return line.result_type()
    line.literal("void")
    return ""


def _argument(line: Operands) -> None:
    if line.text.startswith("metadata", line.place):
        raise Unknown
    if not line.whole and "metadata".startswith(line.text[line.place :]):
        raise Open
    type_ = line.type_()
    line.literal(" ")
    # An attribute or a constant: both are words.
    match = WORD.match(line.text, line.place)
    if match is not None and (
        match[0] in ARGUMENT_WORDS | TYPED_WORDS | {"align"}
        or (match.end() == len(line.text) and not line.whole)
    ):
        skip_attributes(line)
    line.value(type_)


def skip_attributes(line: Operands) -> None:
    """Go past the attributes of an argument or parameter."""
    while True:
        match = WORD.match(line.text, line.place)
        if match is None:
            return
        if match.end() == len(line.text) and not line.whole:
            raise Open
        if match[0] in ARGUMENT_WORDS:
            line.place = match.end()
        elif match[0] in TYPED_WORDS:
            line.place = match.end()
            line.literal("(")
            line.type_()
            line.literal(")")
        elif match[0] == "align":
            line.place = match.end()
            line.literal(" ")
            if line.digits()[1]:
                raise Open
        else:
            return
        line.literal(" ")
