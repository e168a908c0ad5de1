"""The data of an object as LLVM-IR: variables, constants, lists of constructors. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from llm_compiler.disassembly.naming import quoted_name
from llm_compiler.disassembly.read_function import Data

__all__ = ["constructors", "data_module", "definition"]

_DEFAULT_PRIORITY = 65535


def data_module(
    data: Sequence[Data],
    functions: Collection[str],
    is_function: Callable[[str], bool],
    target_triple: str,
    *,
    linkages: Mapping[str, str] | None = None,
    more: Sequence[str] = (),
    named: Collection[str] = (),
) -> str:
    """Return variables as a module of their own.

    Args:
        functions: names that stand for functions.
        is_function: of other names.
        linkages: of variables that are neither plainly visible nor plainly local.
        more: further lines, which refer to the names in `named`.
    """
    lines = [f'target triple = "{target_triple}"']
    defined = {item.name for item in data}
    used = dict.fromkeys(name for item in data for _, name, _ in item.pointers)
    for name in [*used, *(word for word in named if word not in used)]:
        if name in defined:
            continue
        if name in functions or is_function(name):
            lines.append(f"declare void @{quoted_name(name)}(...)")
        else:
            lines.append(f"@{quoted_name(name)} = external global i8")
    lines += [definition(item, (linkages or {}).get(item.name)) for item in data]
    return "\n".join([*lines, *more]) + "\n"


def definition(data: Data, linkage: str | None = None) -> str:
    """Return the line of IR that defines a piece of data."""
    if data.part_of:
        linkage = linkage if linkage is not None else "hidden" if data.is_local else ""
        storage = "thread_local " if data.is_thread_local else ""
        return (
            f"@{quoted_name(data.name)} = {linkage + ' ' if linkage else ''}{storage}alias "
            f"[{len(data.data)} x i8], getelementptr (i8, ptr @{quoted_name(data.part_of)}, "
            f"i64 {data.offset})"
        )
    fields: list[tuple[str, str]] = []
    position = 0
    for offset, name, addend in sorted(data.pointers):
        fields += _bytes(data.data[position:offset])
        pointer = f"@{quoted_name(name)}"
        if addend:
            pointer = f"getelementptr (i8, ptr {pointer}, i64 {addend})"
        fields.append(("ptr", pointer))
        position = offset + 8
    fields += _bytes(data.data[position:])
    types = ", ".join(kind for kind, _ in fields)
    values = ", ".join(f"{kind} {value}" for kind, value in fields)
    if linkage is None:
        linkage = "private" if data.is_private else "hidden" if data.is_local else ""
    storage = "thread_local " if data.is_thread_local else ""
    kind = "constant" if data.is_constant else "global"
    return (
        f"@{quoted_name(data.name)} = {linkage + ' ' if linkage else ''}{storage}{kind} "
        f"<{{ {types} }}> <{{ {values} }}>, align {data.alignment}"
    )


def constructors(lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the lists of functions that run before and after ``main``.

    Args:
        lists: by section (``.init_array``, ``.fini_array.00101``), the functions in its order.
    """
    lines = []
    for variable, prefix in (
        ("llvm.global_ctors", ".init_array"),
        ("llvm.global_dtors", ".fini_array"),
    ):
        entries = []
        for section, functions in lists.items():
            if match := re.fullmatch(rf"{re.escape(prefix)}(?:\.(\d+))?", section):
                priority = int(match[1]) if match[1] else _DEFAULT_PRIORITY
                entries += [
                    f"{{ i32, ptr, ptr }} "
                    f"{{ i32 {priority}, ptr @{quoted_name(function)}, ptr null }}"
                    for function in functions
                ]
        if entries:
            lines.append(
                f"@{variable} = appending global [{len(entries)} x {{ i32, ptr, ptr }}] "
                f"[{', '.join(entries)}]"
            )
    return lines


def _bytes(data: bytes) -> list[tuple[str, str]]:
    if not data:
        return []
    kind = f"[{len(data)} x i8]"
    if not any(data):
        return [(kind, "zeroinitializer")]
    text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in data)
    return [(kind, f'c"{text}"')]
