"""The targets that the rules know, by architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from llm_compiler.disassembly.rules.aarch64 import AArch64
from llm_compiler.disassembly.rules.target import Target
from llm_compiler.disassembly.rules.x86_64 import X86_64

__all__ = ["TARGETS"]

TARGETS: Final[dict[str, Callable[[], Target]]] = {item.name: item for item in (AArch64, X86_64)}
"""By the names of `llm_compiler.llvm.targets`."""
