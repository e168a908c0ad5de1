"""Symbols that may be missing when a program is linked: their addresses are null then.

LLVM takes the address of anything else for one that is not null, and removes the comparison. Code
that is not optimised shows nothing of it, so a lift can be exact without saying it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llm_compiler.disassembly.naming import quoted_name

__all__ = ["weak_names", "with_weak"]

_WEAK = re.compile(r"^\.weak (.+)$", re.MULTILINE)


def weak_names(assembly: str, function: str) -> frozenset[str]:
    """Return the symbols that a function's text, in normal form, refers to weakly."""
    return frozenset(name.strip('"') for name in _WEAK.findall(assembly)) - {function}


def with_weak(ir: str, names: Iterable[str]) -> str:
    """Return a module that declares some names as such symbols."""
    for name in sorted(names):
        word = re.escape(f"@{quoted_name(name)}")
        ir = re.sub(rf"(?m)^({word} = )external ", r"\1extern_weak ", ir)
        ir = re.sub(rf"(?m)^declare (?!extern_weak )(.*{word}\()", r"declare extern_weak \1", ir)
    return ir
