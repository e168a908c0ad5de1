"""The architectures whose code can be read, by name."""

from __future__ import annotations

from typing import Final

from llm_compiler.disassembly.architectures.aarch64 import AARCH64
from llm_compiler.disassembly.architectures.architecture import Architecture
from llm_compiler.disassembly.architectures.x86_64 import X86_64
from llm_compiler.errors import UnsupportedTarget

__all__ = ["architecture_named"]

_RECORDS: Final = {architecture.target.name: architecture for architecture in (X86_64, AARCH64)}


def architecture_named(name: str) -> Architecture:
    """Return the record of an architecture.

    Raises:
        UnsupportedTarget: there is none.
    """
    found = _RECORDS.get(name)
    if found is None:
        names = " and ".join(_RECORDS)
        raise UnsupportedTarget(f"{name} code cannot be disassembled: only {names} is")
    return found
