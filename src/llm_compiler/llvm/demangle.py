"""C++ names as people write them, by ``llvm-cxxfilt``. Safe to call from several threads."""

from __future__ import annotations

from collections.abc import Sequence

from llm_compiler.errors import ToolchainError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.process import run

__all__ = ["demangled"]


def demangled(names: Sequence[str]) -> dict[str, str]:
    """Return names by their mangled form; without the tool, or for other names, as they are."""
    found = {name: name for name in names}
    mangled = [name for name in found if name.startswith("_Z")]
    if not mangled:
        return found
    try:
        tool = find_toolchain().tool("llvm-cxxfilt")
    except ToolchainError:
        return found
    text = "\n".join(mangled).encode("utf-8", "surrogateescape")
    done = run([tool], timeout_s=30, stdin=text)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    if done.ok and len(lines) == len(mangled):
        found |= dict(zip(mangled, lines, strict=True))
    return found
