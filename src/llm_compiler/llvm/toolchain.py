"""Find one LLVM on this machine: clang, opt and libLLVM of the same version.

Order: the folder named by ``LLM_COMPILER_LLVM`` (a prefix such as ``/usr/lib/llvm-19``, or its
``bin``); Debian's and Ubuntu's ``/usr/lib/llvm-N``; ``clang-N`` and ``clang`` on PATH. Version 19
is preferred, since the shipped verdicts were made with it; else the newest supported one is taken.
Does not load libLLVM. Safe to call from several threads.
"""

from __future__ import annotations

import ctypes.util
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from llm_compiler.errors import ToolchainMismatch, ToolchainNotFound
from llm_compiler.process import run, which

__all__ = ["SUPPORTED_MAJORS", "Toolchain", "find_toolchain"]

SUPPORTED_MAJORS = (17, 18, 19, 20, 21, 22)
_PREFERRED_MAJORS = (19, 22, 21, 20, 18, 17)
_INSTALL_HINT = (
    "install it with 'apt-get install clang-19 llvm-19 libllvm19', or point LLM_COMPILER_LLVM at "
    "an LLVM installation"
)
_VERSION = re.compile(r"(?:clang|LLVM) version (\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """One LLVM installation; every member has the same version."""

    version: str
    """``major.minor.patch``"""
    bin_dir: Path
    libllvm: Path

    @property
    def major(self) -> int:
        """The major version, by which verdicts and coresets are keyed."""
        return int(self.version.split(".")[0])

    def tool(self, name: str) -> Path:
        """Return the path of ``clang``, ``opt``, ``llvm-objdump``, ...

        Raises:
            ToolchainNotFound: this installation does not have it.
        """
        for candidate in (self.bin_dir / name, self.bin_dir / f"{name}-{self.major}"):
            if candidate.exists():
                return candidate
        raise ToolchainNotFound(
            f"'{name}' is missing from the LLVM {self.version} in {self.bin_dir}: {_INSTALL_HINT}"
        )


def _tool_version(path: Path) -> str | None:
    try:
        completed = run([path, "--version"], timeout_s=20)
    except OSError:
        return None
    match = _VERSION.search(completed.stdout.decode("utf-8", "replace"))
    return ".".join(match.groups()) if match else None


def _find_libllvm(prefix: Path, major: int) -> Path | None:
    folders = [prefix / "lib", prefix / "lib64", Path("/usr/lib/x86_64-linux-gnu")]
    folders += [Path("/usr/lib/aarch64-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib")]
    names = [f"libLLVM.so.{major}.1", f"libLLVM-{major}.so.1", f"libLLVM-{major}.so"]
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                return folder / name
        for found in sorted(folder.glob(f"libLLVM.so.{major}.*")):
            return found
    located = ctypes.util.find_library(f"LLVM-{major}")
    return Path(located) if located else None


def _bin_folders() -> list[Path]:
    folders = []
    for major in _PREFERRED_MAJORS:
        folders.append(Path(f"/usr/lib/llvm-{major}/bin"))
        if found := which(f"clang-{major}"):
            folders.append(Path(found).resolve().parent)
    if found := which("clang"):
        folders.append(Path(found).resolve().parent)
    return [f for i, f in enumerate(folders) if f.is_dir() and f not in folders[:i]]


def _inspect(bin_dir: Path) -> Toolchain | str:
    """Return the toolchain in a folder, or the sentence that says why there is none."""
    clang = next(
        (p for p in (bin_dir / "clang", *sorted(bin_dir.glob("clang-[0-9]*"))) if p.exists()), None
    )
    if clang is None:
        return f"{bin_dir} has no clang"
    version = _tool_version(clang)
    if version is None:
        return f"{clang} does not run or does not print a version"
    major = int(version.split(".")[0])
    if major not in SUPPORTED_MAJORS:
        first, last = SUPPORTED_MAJORS[0], SUPPORTED_MAJORS[-1]
        return f"{clang} is version {version}, and only {first} to {last} are supported"
    opt = next((p for p in (bin_dir / "opt", bin_dir / f"opt-{major}") if p.exists()), None)
    if opt is None:
        return f"{bin_dir} has clang {version} but no opt: install llvm-{major}"
    opt_version = _tool_version(opt)
    if opt_version != version:
        raise ToolchainMismatch(
            f"{clang} is version {version} but {opt} is version {opt_version}: "
            f"install clang-{major} and llvm-{major} of one version"
        )
    libllvm = _find_libllvm(bin_dir.parent, major)
    if libllvm is None:
        return (
            f"clang {version} is in {bin_dir}, but libLLVM {major} was not found: "
            f"install libllvm{major}"
        )
    return Toolchain(version=version, bin_dir=bin_dir, libllvm=libllvm)


@lru_cache(maxsize=8)
def _find(explicit: str | None) -> Toolchain:
    if explicit:
        root = Path(explicit)
        folder = root / "bin" if (root / "bin").is_dir() else root
        found = _inspect(folder)
        if isinstance(found, str):
            raise ToolchainNotFound(
                f"LLM_COMPILER_LLVM={explicit} cannot be used: {found}; {_INSTALL_HINT}"
            )
        return found
    reasons = []
    for folder in _bin_folders():
        found = _inspect(folder)
        if isinstance(found, Toolchain):
            return found
        reasons.append(found)
    tried = "; ".join(reasons) if reasons else "no clang was found"
    raise ToolchainNotFound(f"no usable LLVM 17 to 22 on this machine ({tried}): {_INSTALL_HINT}")


def find_toolchain() -> Toolchain:
    """Return the LLVM to use; the answer is kept for the life of the process.

    Raises:
        ToolchainNotFound: none of a supported version is complete.
        ToolchainMismatch: clang and opt are of different versions.
    """
    return _find(os.environ.get("LLM_COMPILER_LLVM"))
