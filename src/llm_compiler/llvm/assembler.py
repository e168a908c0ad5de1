"""The stock assembler: text to an object that keeps its local labels.

Safe to call from several threads.
"""

from __future__ import annotations

import re
from pathlib import Path

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.targets import target_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

__all__ = ["assemble", "triple_of"]

_TIMEOUT_S = 120.0
_ERROR = re.compile(r"^[^\n]*?:(\d+):\d+: error: (.*)$", re.MULTILINE)


def triple_of(architecture: str) -> str:
    """Return the target triple that lifted modules carry."""
    return target_of(architecture).triple


def assemble(
    text: str,
    architecture: str,
    toolchain: Toolchain,
    output: Path,
    *,
    name: str = "<assembly>",
    keep_labels: bool = True,
    intel: bool = False,
) -> None:
    """Assemble text to an object, with local labels among its symbols or without.

    Args:
        intel: it is in Intel syntax from the first line on, without a directive that says so.

    Raises:
        CompileFailed: in the assembler's own words.
    """
    command: list[str | Path] = [
        toolchain.tool("llvm-mc"),
        "--filetype=obj",
        f"--triple={triple_of(architecture)}",
        *(["--save-temp-labels"] if keep_labels else []),
        *target_of(architecture).assembly.options,
        *(["--x86-asm-syntax=intel"] if intel else []),
        "-o",
        output,
    ]
    completed = run(command, timeout_s=_TIMEOUT_S, stdin=text.encode("utf-8", "surrogateescape"))
    if completed.ok:
        return
    said = completed.stderr_text
    if match := _ERROR.search(said):
        raise CompileFailed(f"{name}:{match[1]}: {match[2]}", detail=said)
    lines = [line for line in said.splitlines() if line.strip()] or ["no message"]
    reason = "the assembler took too long" if completed.timed_out else lines[0][:300]
    raise CompileFailed(f"{name}: {reason}", detail=said)
