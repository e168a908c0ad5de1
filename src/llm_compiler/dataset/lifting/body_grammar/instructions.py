"""What follows each opcode."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from llm_compiler.dataset.lifting.body_grammar.calls import read_call
from llm_compiler.dataset.lifting.body_grammar.cursor import Open, Refused, Unknown
from llm_compiler.dataset.lifting.body_grammar.operands import Operands
from llm_compiler.dataset.lifting.body_grammar.words import (
    CALLS,
    CASTS,
    FLAGS,
    FLOAT_OPS,
    FLOAT_PREDICATES,
    FLOATS,
    INTEGER_OPS,
    INTEGER_PREDICATES,
    ORDERINGS,
    RMW,
)

__all__ = ["read_operands"]


def read_operands(line: Operands, opcode: str, defines: bool) -> str:
    """Read what follows an opcode; return the type of the result, of a switch its type."""
    if opcode == "unreachable":
        return ""
    if opcode in ("fence", "landingpad", "resume", "indirectbr", "invoke"):
        raise Unknown
    line.literal(" ")
    if opcode in CALLS:
        return read_call(line, opcode, defines)
    if opcode in INTEGER_OPS or opcode in FLOAT_OPS:
        line.words(FLAGS)
        type_ = line.result_type()
        _class_of(line, type_, opcode in FLOAT_OPS)
        _two(line, type_)
        return type_
    if opcode in CASTS:
        return _cast(line, opcode)
    return _READERS[opcode](line)


def _class_of(line: Operands, type_: str, is_float: bool) -> None:
    """Refuse a type that is no integer, or no float, nor a vector of them."""
    scalar = type_[1:-1].partition(" x ")[2] if type_[0] == "<" and type_[1] != "{" else type_
    if is_float != (scalar in FLOATS) or not (is_float or re.fullmatch(r"i\d+", scalar)):
        raise Refused


def _two(line: Operands, type_: str) -> None:
    line.literal(" ")
    line.value(type_)
    line.literal(", ")
    line.value(type_)


def _cast(line: Operands, opcode: str) -> str:
    line.words(FLAGS)
    before = line.typed()
    line.literal(" to ")
    after = line.result_type()
    for kind, compare in (("trunc", 1), ("zext", -1), ("sext", -1)):
        if opcode == kind:
            widths = [re.fullmatch(r"i(\d+)", word) for word in (before, after)]
            if widths[0] and widths[1]:
                order = int(widths[0][1]) - int(widths[1][1])
                # A number that is not whole may still grow.
                if order * compare <= 0 and (compare > 0 or line.whole):
                    raise Refused
    return after


def _fneg(line: Operands) -> str:
    line.words(FLAGS)
    type_ = line.typed()
    _class_of(line, type_, True)
    return type_


def _icmp(line: Operands) -> str:
    line.words(FLAGS)
    line.word(INTEGER_PREDICATES)
    line.literal(" ")
    type_ = line.type_()
    _two(line, type_)
    return _like_bool(type_)


def _fcmp(line: Operands) -> str:
    line.words(FLAGS)
    line.word(FLOAT_PREDICATES)
    line.literal(" ")
    type_ = line.type_()
    _class_of(line, type_, True)
    _two(line, type_)
    return _like_bool(type_)


def _load(line: Operands) -> str:
    is_atomic = line.has("atomic ")
    line.has("volatile ")
    if not is_atomic and line.expected in ("", "i8") and line.has("bool"):
        type_ = "i8"
    else:
        type_ = line.result_type()
    line.literal(", ")
    line.pointer()
    _access_end(line, is_atomic)
    return type_


def _store(line: Operands) -> str:
    is_atomic = line.has("atomic ")
    line.has("volatile ")
    line.typed()
    line.literal(", ")
    line.pointer()
    _access_end(line, is_atomic)
    return ""


def _access_end(line: Operands, is_atomic: bool) -> None:
    if is_atomic:
        raise Unknown
    _alignment(line)


def _alignment(line: Operands) -> None:
    """Read ``, align N``, if more follows."""
    if line.at_end():
        return
    line.literal(", align ")
    found, is_open = line.digits()
    if is_open:
        if found and not any(str(1 << k).startswith(found) for k in range(33)):
            raise Refused
        raise Open
    if int(found) & (int(found) - 1) or found == "0":
        raise Refused


def _getelementptr(line: Operands) -> str:
    line.words(FLAGS)
    line.type_()
    line.literal(", ")
    base = line.typed()
    result = base
    while not line.at_end():
        line.literal(", ")
        index = line.typed()
        if index[0] == "<":
            result = ""
    return result if base == "ptr" else ""


def _alloca(line: Operands) -> str:
    line.type_()
    if not line.at_end() and not line.text.startswith(", align", line.place):
        if ", align".startswith(line.text[line.place :]) and not line.whole:
            raise Open
        line.literal(", ")
        line.typed()
    _alignment(line)
    return "ptr"


def _phi(line: Operands) -> str:
    line.words(FLAGS)
    type_ = line.result_type()
    body = line.body
    # All phi nodes of a block name the same blocks: those that branch here, now or later.
    before = body.edges.get(body.block, frozenset())
    named = body.phis.get(body.block)
    separator = " "
    while True:
        line.literal(f"{separator}[ ")
        line.value(type_, ahead=True)
        line.literal(", ")
        known = before | {body.block} if named is None else named
        left = [index for index in known if index not in line.incoming]
        number = line.block(left, ahead=named is None, taken=line.incoming)
        line.incoming.add(number)
        line.literal(" ]")
        separator = ", "
        wanted = before if named is None else named
        if wanted <= line.incoming:
            if line.at_end():
                return type_
        elif line.place == len(line.text) and line.whole:
            raise Refused


def _select(line: Operands) -> str:
    line.words(FLAGS)
    condition = line.typed()
    if condition != "i1" and condition[0] != "<":
        raise Refused
    line.literal(", ")
    first = line.result_type()
    line.literal(" ")
    line.value(first)
    line.literal(f", {first} ")
    line.value(first)
    return first


def _freeze(line: Operands) -> str:
    return line.typed()


def _extractvalue(line: Operands) -> str:
    type_ = line.typed()
    while True:
        line.literal(", ")
        type_ = _element(line, type_)
        if line.at_end():
            return type_


def _insertvalue(line: Operands) -> str:
    whole = type_ = line.typed()
    line.literal(", ")
    inserted = line.typed()
    while True:
        line.literal(", ")
        type_ = _element(line, type_)
        if line.at_end():
            break
    if type_ != inserted:
        raise Refused
    return whole


def _element(line: Operands, type_: str) -> str:
    """Read the index of an element of a struct or an array; return the element's type."""
    found, is_open = line.digits()
    if is_open:
        raise Open
    if type_[:1] == "[":
        number, _, element = type_[1:-1].partition(" x ")
        if int(found) >= int(number):
            raise Refused
        return element
    if type_[:1] == "{" or type_[:2] == "<{":
        fields = _split(type_.strip("<>")[1:-1])
        if int(found) >= len(fields):
            raise Refused
        return fields[int(found)]
    raise Refused


def _extractelement(line: Operands) -> str:
    type_ = line.typed()
    if type_[0] != "<":
        raise Refused
    line.literal(", ")
    line.typed()
    return type_[1:-1].partition(" x ")[2]


def _insertelement(line: Operands) -> str:
    type_ = line.typed()
    if type_[0] != "<":
        raise Refused
    line.literal(f", {type_[1:-1].partition(' x ')[2]} ")
    line.value(type_[1:-1].partition(" x ")[2])
    line.literal(", ")
    line.typed()
    return type_


def _shufflevector(line: Operands) -> str:
    type_ = line.typed()
    if type_[0] != "<":
        raise Refused
    line.literal(f", {type_} ")
    line.value(type_)
    line.literal(", ")
    mask = line.typed()
    if mask[0] != "<":
        raise Refused
    return f"<{mask[1:-1].partition(' x ')[0]} x {type_[1:-1].partition(' x ')[2]}>"


def _va_arg(line: Operands) -> str:
    line.pointer()
    line.literal(", ")
    return line.type_()


def _cmpxchg(line: Operands) -> str:
    line.words(("weak", "volatile"))
    line.pointer()
    line.literal(", ")
    type_ = line.typed()
    line.literal(f", {type_} ")
    line.value(type_)
    line.literal(" ")
    line.word(ORDERINGS)
    line.literal(" ")
    line.word(ORDERINGS)
    _alignment(line)
    return f"{{ {type_}, i1 }}"


def _atomicrmw(line: Operands) -> str:
    line.has("volatile ")
    line.word(RMW)
    line.literal(" ")
    line.pointer()
    line.literal(", ")
    type_ = line.typed()
    line.literal(" ")
    line.word(ORDERINGS)
    _alignment(line)
    return type_


def _ret(line: Operands) -> str:
    result = line.body.result
    if result == "void":
        line.literal("void")
    else:
        line.literal(f"{result} ")
        line.value(result)
    return ""


def _br(line: Operands) -> str:
    if len(line.owed) < 2 and line.has("label "):
        line.target()
        return ""
    line.literal("i1 ")
    line.value("i1")
    line.literal(", label ")
    line.target(last=False)
    line.literal(", label ")
    line.target()
    return ""


def _switch(line: Operands) -> str:
    type_ = line.typed()
    line.literal(", label ")
    line.target(last=False)
    line.literal(" [")
    return type_


_READERS: Final[dict[str, Callable[[Operands], str]]] = {
    "fneg": _fneg,
    "icmp": _icmp,
    "fcmp": _fcmp,
    "load": _load,
    "store": _store,
    "getelementptr": _getelementptr,
    "alloca": _alloca,
    "phi": _phi,
    "select": _select,
    "freeze": _freeze,
    "extractvalue": _extractvalue,
    "insertvalue": _insertvalue,
    "extractelement": _extractelement,
    "insertelement": _insertelement,
    "shufflevector": _shufflevector,
    "va_arg": _va_arg,
    "cmpxchg": _cmpxchg,
    "atomicrmw": _atomicrmw,
    "ret": _ret,
    "br": _br,
    "switch": _switch,
}


def _like_bool(type_: str) -> str:
    """Return the type of a comparison."""
    if type_[0] == "<" and type_[1] != "{":
        return f"<{type_[1:-1].partition(' x ')[0]} x i1>"
    return "i1"


def _split(text: str) -> list[str]:
    """Split a struct's fields."""
    fields, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "[{<":
            depth += 1
        elif character in "]}>":
            depth -= 1
        elif character == "," and not depth:
            fields.append(text[start:position].strip())
            start = position + 1
    return [*fields, text[start:].strip()]
