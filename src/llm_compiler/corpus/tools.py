"""The LLVM programs that the corpus needs: clang, and llvm-nm and opt of the same version.

Safe in threads and processes.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from llm_compiler import process
from llm_compiler.errors import ToolchainMismatch, ToolchainNotFound

__all__ = ["Tools", "find_tools"]

_VERSIONS = ("19", "20", "18", "21", "17")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where the programs are, and the version of LLVM that all of them have ("19.1.7")."""

    clang: Path
    nm: Path
    opt: Path
    version: str


def find_tools(clang: Path | None = None) -> Tools:
    """Find clang (or take the one given) and the programs beside it.

    Raises:
        ToolchainNotFound: one of the programs is missing or does not run.
        ToolchainMismatch: they are not of one version.
    """
    if clang is None:
        names = [f"clang-{version}" for version in _VERSIONS] + ["clang"]
        found = next((path for path in map(shutil.which, names) if path), None)
        if found is None:
            raise ToolchainNotFound("found no clang; install it: apt-get install clang-19 llvm-19")
        clang = Path(found)
    version = _version(clang)
    return Tools(
        clang=clang,
        nm=_find_beside(clang, "llvm-nm", version),
        opt=_find_beside(clang, "opt", version),
        version=version,
    )


def _find_beside(clang: Path, name: str, version: str) -> Path:
    major = version.split(".")[0]
    for folder in (clang.parent, clang.resolve().parent):
        for path in (folder / f"{name}-{major}", folder / name):
            if path.is_file():
                if _version(path) != version:
                    raise ToolchainMismatch(
                        f"{clang} is LLVM {version}, {path} is LLVM {_version(path)}"
                    )
                return path
    raise ToolchainNotFound(f"no {name} beside {clang}; install it: apt-get install llvm-{major}")


def _version(program: Path) -> str:
    try:
        done = process.run([program, "--version"], timeout_s=30)
    except OSError as error:
        raise ToolchainNotFound(f"cannot run {program}: {error}") from error
    match = re.search(rb"version (\d+\.\d+\.\d+)", done.stdout)
    if match is None:
        raise ToolchainNotFound(f"{program} --version names no LLVM version")
    return match.group(1).decode()
