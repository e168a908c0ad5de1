"""Wrong passes, played by editing a module's text: what a suite of programs must notice.

Each `WrongEdit` is what a pass with one kind of mistake would do: operands swapped, a store
dropped, a predicate or a constant changed. It leaves a valid module with another meaning, at least
wherever the changed instruction matters. `benchmarks/wrong_edits.py` measures which share of single
edits the suite notices; the tests hold that every kind is. Pure functions over text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = [
    "WRONG_EDITS",
    "WrongEdit",
    "edit_at_one_place",
    "edit_everywhere",
    "trap_at_the_place",
]

# Not the first word of a constant expression.
_VALUE = r"[%@\-\d][^,\s]*"
_TYPE = r"(?:i\d+|float|double|<[^>]+>)"
_LOCAL = r"%[\w.\-]+"
_PREDICATES = {"slt": "sle", "sle": "slt", "sgt": "sge", "sge": "sgt", "ult": "ule", "ugt": "uge"}
_PREDICATES |= {"ule": "ult", "uge": "ugt"}
_FLOAT_PREDICATES = {"olt": "ole", "ole": "olt", "ogt": "oge", "oge": "ogt", "oeq": "une"}
_FLOAT_PREDICATES |= {"une": "oeq", "ord": "uno", "uno": "ord", "ult": "ule", "ule": "ult"}
_OPPOSITE = {"add": "sub", "sub": "add", "fadd": "fsub", "fsub": "fadd", "mul": "add"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongEdit:
    """One kind of mistake; `pattern` finds the places, `replace` makes the text there wrong."""

    name: str
    pattern: re.Pattern[str] = field(repr=False)
    replace: Callable[[re.Match[str]], str] = field(repr=False)


def _edit(name: str, pattern: str, replace: Callable[[re.Match[str]], str]) -> WrongEdit:
    return WrongEdit(name=name, pattern=re.compile(pattern, re.MULTILINE), replace=replace)


def _binary(operations: str) -> str:
    head = rf"(?P<head>^ +%\S+ = (?:{operations}) (?:[a-z]+ )*{_TYPE} )"
    return rf"{head}(?P<a>{_VALUE}), (?P<b>{_VALUE})"


def _swapped(match: re.Match[str]) -> str:
    return f"{match['head']}{match['b']}, {match['a']}"


WRONG_EDITS: tuple[WrongEdit, ...] = (
    _edit("swaps the operands of a subtraction", _binary("sub|fsub"), _swapped),
    _edit(
        "swaps the operands of a shift or division",
        _binary("shl|lshr|ashr|sdiv|udiv|srem|urem|fdiv"),
        _swapped,
    ),
    _edit("drops a store", r"^ +store .*\n", lambda m: ""),
    _edit(
        "takes < for <= and the like",
        rf"(?<== icmp )({'|'.join(_PREDICATES)})\b",
        lambda m: _PREDICATES[m[1]],
    ),
    _edit(
        "takes a signed comparison for an unsigned one",
        r"(?<== icmp )s(?=[lg][te] )",
        lambda m: "u",
    ),
    _edit(
        "takes an unsigned comparison for a signed one",
        r"(?<== icmp )u(?=[lg][te] i)",
        lambda m: "s",
    ),
    _edit("takes == for !=", r"(?<== icmp )(eq|ne)\b", lambda m: {"eq": "ne", "ne": "eq"}[m[1]]),
    _edit(
        "changes a comparison of floating point",
        rf"(= fcmp (?:[a-z]+ )*?)({'|'.join(_FLOAT_PREDICATES)})\b",
        lambda m: m[1] + _FLOAT_PREDICATES[m[2]],
    ),
    _edit(
        "changes a constant operand by one",
        rf"(^ +%\S+ = (?:add|sub|mul|and|or|xor|shl) (?:[a-z]+ )*{_TYPE} \S+, )(\d+)",
        lambda m: f"{m[1]}{int(m[2]) + 1}",
    ),
    _edit(
        "changes a constant that is compared with by one",
        r"(= icmp [a-z]+ i(?:8|16|32|64) \S+, )(\d+)$",
        lambda m: f"{m[1]}{int(m[2]) + 1}",
    ),
    _edit("takes zero extension for sign extension", r"= sext\b", lambda m: "= zext"),
    _edit(
        "takes sign extension for zero extension",
        r"= zext (?:nneg )?(?=i(?:8|16|32) )",
        lambda m: "= sext ",
    ),
    _edit(
        "takes an arithmetic shift for a logical one", r"= lshr (?:exact )?", lambda m: "= ashr "
    ),
    _edit(
        "takes a logical shift for an arithmetic one", r"= ashr (?:exact )?", lambda m: "= lshr "
    ),
    _edit(
        "takes unsigned for signed division", r"= s(?=(?:div|rem) (?:exact )?i)", lambda m: "= u"
    ),
    _edit("takes unsigned for signed conversion", r"= s(?=itofp\b)", lambda m: "= u"),
    _edit("takes and for or", r"= or (?:disjoint )?", lambda m: "= and "),
    _edit("takes or for and", r"= and (?=i(?:8|16|32|64|128) )", lambda m: "= or "),
    _edit(
        "takes addition for subtraction, or multiplication for addition",
        r"= (add|sub|fadd|fsub|mul) ((?:nuw |nsw )*)",
        lambda m: f"= {_OPPOSITE[m[1]]} ",
    ),
    _edit(
        "exchanges a switch's first case and its default",
        r"(switch i\d+ \S+, label )(%\S+) \[\n( +i\d+ \S+, label )(%\S+)",
        lambda m: f"{m[1]}{m[4]} [\n{m[3]}{m[2]}",
    ),
    _edit(
        "exchanges the ways of a branch",
        rf"(^ +br i1 \S+, label )({_LOCAL}), label ({_LOCAL})",
        lambda m: f"{m[1]}{m[3]}, label {m[2]}",
    ),
    _edit(
        "exchanges the values of a select",
        rf"(^ +%\S+ = select i1 \S+, )({_TYPE}|ptr) ({_VALUE}), \2 ({_VALUE})",
        lambda m: f"{m[1]}{m[2]} {m[4]}, {m[2]} {m[3]}",
    ),
    _edit(
        "stores nothing but zero",
        r"(^ +store i(?:8|16|32|64) )%[\w.\-]+(?=, ptr )",
        lambda m: f"{m[1]}0",
    ),
    _edit(
        "loads the neighbour of an element",
        r"(= getelementptr inbounds \[\d+ x [^\n]*, i64 0, i64 )(\d+)$",
        lambda m: f"{m[1]}{max(0, int(m[2]) - 1) if int(m[2]) else 1}",
    ),
    _edit(
        "drops a call whose result nobody uses",
        r"^ +(?:tail )?call void @(?!llvm\.|_ZSt9terminate|abort|exit|__)[^\n]*\n",
        lambda m: "",
    ),
    _edit(
        "exchanges two arguments of a call",
        r"(^ +(?:%\S+ = )?call [^\n(]*@(?!llvm\.)[^\n(]*\()"
        rf"((?:i32|i64|ptr)[a-z ]* )({_VALUE}), \2({_VALUE})(?=[,)])",
        lambda m: f"{m[1]}{m[2]}{m[4]}, {m[2]}{m[3]}",
    ),
    _edit(
        # Zero instead would be what most mains return anyway.
        "returns a value that is off by one",
        r"^ +ret (i(?:8|16|32|64)) (%[\w.\-]+)$",
        lambda m: f"  %wrong.value = add {m[1]} {m[2]}, 1\n  ret {m[1]} %wrong.value",
    ),
    _edit(
        # A byte alone would often be the upper one of a small number: zero, as before.
        "copies four bytes less",
        r"(call void @llvm\.mem(?:cpy|move|set)\.[^\n]*, i64 )(\d+)(?=, i1 )",
        lambda m: f"{m[1]}{max(0, int(m[2]) - 4)}",
    ),
    _edit(
        "changes an element of a constant table",
        r"(^@[^\n]* constant \[\d+ x i(?:8|16|32|64)\] \[(?:i\d+ -?\d+, )*?i\d+ )(\d+)",
        lambda m: f"{m[1]}{int(m[2]) ^ 1}",
    ),
    _edit(
        "takes one case of a switch for another value",
        r"(^ +i(?:8|16|32|64) )(\d+)(?=, label )",
        lambda m: f"{m[1]}{int(m[2]) + 77}",
    ),
)


def edit_everywhere(text: str, edit: WrongEdit) -> str:
    """Return the text with every place made wrong."""
    return edit.pattern.sub(edit.replace, text)


def edit_at_one_place(text: str, edit: WrongEdit, seed: int | str) -> str:
    """Return the text with one place made wrong, drawn by `seed`; the same where there is none."""
    position = _place(text, edit, seed)
    if position is None:
        return text
    return text[: position.start()] + edit.replace(position) + text[position.end() :]


def trap_at_the_place(text: str, edit: WrongEdit, seed: int | str) -> str:
    """Return the text with a trap where `edit_at_one_place` edits: does any run come there?

    The same text where the place is not in a function.
    """
    position = _place(text, edit, seed)
    if position is None:
        return text
    start = text.rfind("\n", 0, position.start() + 1) + 1
    if not text.startswith("  ", start):
        return text
    # The cases of a switch stand below it.
    while text.startswith("    ", start):
        start = text.rfind("\n", 0, start - 1) + 1
    declaration = "declare void @llvm.trap()"
    end = "" if declaration in text else f"\n{declaration}\n"
    return f"{text[:start]}  call void @llvm.trap()\n{text[start:]}{end}"


def _place(text: str, edit: WrongEdit, seed: int | str) -> re.Match[str] | None:
    positions = list(edit.pattern.finditer(text))
    return random.Random(seed).choice(positions) if positions else None
