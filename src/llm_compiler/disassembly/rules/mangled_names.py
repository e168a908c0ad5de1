"""What C++ functions take, as their mangled names say.

A name holds the types of the parameters, but neither whether a function is a member that takes
``this``, nor whether it returns an object in memory whose address comes first. So the registers of
the named parameters are known but for one or two in front of them. Pure, but for the demangler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from llm_compiler.llvm.demangle import demangled

__all__ = ["NamedParameters", "named_parameters", "read_parameters"]


@dataclass(frozen=True, slots=True)
class NamedParameters:
    """Registers of a function's parameters.

    Args:
        types: of the integer registers that are certain, in order.
        extra: how many more may stand in front of them.
        vectors: how many vector registers it takes.
    """

    types: tuple[str, ...]
    extra: int
    vectors: int

    @property
    def most(self) -> int:
        """How many integer registers it takes at most."""
        return len(self.types) + self.extra


_INTEGERS: Final = {
    **dict.fromkeys(
        ("bool", "char", "signed char", "unsigned char", "short", "unsigned short", "char8_t",
         "char16_t", "wchar_t", "char32_t", "int", "unsigned int"),
        "i32",
    ),
    **dict.fromkeys(("long", "unsigned long", "long long", "unsigned long long"), "i64"),
}  # fmt: skip
_NUMBERS: Final = frozenset({"float", "double"})
_OPEN, _CLOSE = "(<[{", ")>]}"
_QUALIFIERS: Final = re.compile(r"(?: const| volatile| &&?| \[clone [^]]*\]|\[abi:\w+\])+$")
_UNSURE: Final = re.compile(r"decltype|lambda|'|\$|\boperator[<>-]|\.\.\.|operator\(\)")
_MAX_REGISTERS: Final = 6
"""Of integers on every target; more would be on the stack on some."""


def named_parameters(
    names: Iterable[str], *, has_result_register: bool
) -> dict[str, NamedParameters]:
    """Return what the mangled ones among some names say of their functions.

    Args:
        has_result_register: the address of a result in memory is in a register of its own.
    """
    mangled = [name for name in names if name.startswith("_Z")]
    return {
        name: found
        for name, text in demangled(mangled).items()
        if text != name
        and (found := read_parameters(text, has_result_register=has_result_register)) is not None
    }


def read_parameters(text: str, *, has_result_register: bool) -> NamedParameters | None:
    """Return what a demangled name says; None where a type is passed in a way that it leaves open.

    Args:
        text: as ``llvm-cxxfilt`` writes it.
    """
    if _UNSURE.search(text):
        return None
    plain = _QUALIFIERS.sub("", text)
    is_const = " const" in text[len(plain) :]
    start = _start_of_parameters(plain)
    if start is None:
        return None
    types: list[str] = []
    vectors = 0
    for parameter in _split(plain[start + 1 : -1]):
        if parameter in _NUMBERS:
            vectors += 1
        elif (type_ := _integer_type(parameter)) is not None:
            types.append(type_)
        else:
            return None
    parts = _parts_of_name(plain[:start])
    is_member, may_be_member = _membership(parts, is_const)
    extra = int(may_be_member and not is_member)
    if is_member:
        types.insert(0, "ptr")
    if not (is_member and _is_special(parts)):
        extra += not has_result_register
    if len(types) > _MAX_REGISTERS or vectors > _MAX_REGISTERS:
        return None
    return NamedParameters(tuple(types), min(extra, _MAX_REGISTERS - len(types)), vectors)


def _start_of_parameters(text: str) -> int | None:
    """Return where the last list in parentheses opens, if the text ends with one."""
    if not text.endswith(")"):
        return None
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        if text[place] in ")>]":
            depth += 1
        elif text[place] in "(<[":
            depth -= 1
            if not depth:
                return place if text[place] == "(" and place else None
    return None


def _split(text: str) -> list[str]:
    """Return the parameters of a list; none of an empty one."""
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if letter == "," and not depth:
            found.append(text[start:place].strip())
            start = place + 1
    last = text[start:].strip()
    return [*found, last] if last and last != "void" else found


def _integer_type(parameter: str) -> str | None:
    plain = re.sub(r"(?: const| volatile| restrict)+$", "", parameter)
    if plain.endswith(("*", "&")) or "(*)" in plain or "(&)" in plain:
        return "ptr"
    return _INTEGERS.get(plain)


def _parts_of_name(text: str) -> list[str]:
    """Return the scopes and the name, without what a template returns."""
    found, depth, start = [""], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "<([") - (letter in ">)]")
        if depth:
            continue
        if letter == " ":
            found, start = [""], place + 1
        elif text.startswith("::", place):
            found[-1] = text[start:place].lstrip(":")
            found.append("")
            start = place + 2
    found[-1] = text[start:].lstrip(":")
    return found


def _is_special(parts: Sequence[str]) -> bool:
    """Whether a name is a constructor's or a destructor's."""
    if len(parts) < 2:
        return False
    scope, name = (re.sub(r"<.*$|\[abi.*$", "", part) for part in parts[-2:])
    return name.lstrip("~") == scope


def _membership(parts: Sequence[str], is_const: bool) -> tuple[bool, bool]:
    """Whether a function takes ``this`` for sure, and whether it may."""
    is_nested = len(parts) > 1
    return is_nested and (is_const or _is_special(parts)), is_nested
