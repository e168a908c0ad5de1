"""The LLVM programs that the corpus needs: clang, and llvm-nm and opt of the same version.

Safe in threads and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.llvm.toolchain import find_toolchain

__all__ = ["Tools", "find_tools"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where the programs are, and the version of LLVM that all of them have ("19.1.7")."""

    clang: Path
    nm: Path
    opt: Path
    version: str


def find_tools() -> Tools:
    """Find the programs of the LLVM that the rest of the package uses.

    Raises:
        ToolchainNotFound: one of the programs is missing or does not run.
        ToolchainMismatch: they are not of one version.
    """
    toolchain = find_toolchain()
    return Tools(
        clang=toolchain.tool("clang"),
        nm=toolchain.tool("llvm-nm"),
        opt=toolchain.tool("opt"),
        version=toolchain.version,
    )
