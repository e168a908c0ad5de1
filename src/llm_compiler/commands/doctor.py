"""``llm-compiler doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.options.doctor import DoctorArguments
from llm_compiler.console import print_json, print_table
from llm_compiler.errors import LlmCompilerError, ToolchainError, ToolchainNotFound
from llm_compiler.llvm.targets import TARGETS, LinuxPrograms, lifted_targets
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.process import which
from llm_compiler.records import VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.user_folders import cache_folder, data_folder
from llm_compiler.verify.checker import Checker, validate_command
from llm_compiler.verify.target import find_target
from llm_compiler.workers import LocalPool

__all__ = ["run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report: `needed` says whether `optimize` cannot do without it."""

    what: str
    found: str
    ok: bool
    needed: bool = False
    mend: str = ""


def run(options: DoctorArguments) -> int:
    """Print the findings; exit code 3 if something needed is missing."""
    findings = list(_examine())
    if options.json:
        for finding in findings:
            print_json(
                {
                    "what": finding.what,
                    "ok": finding.ok,
                    "needed": finding.needed,
                    "found": finding.found,
                    "mend": finding.mend,
                }
            )
    else:
        rows = [
            (
                "ok" if finding.ok else "MISSING" if finding.needed else "missing",
                finding.what,
                finding.found,
                "" if finding.ok else finding.mend,
            )
            for finding in findings
        ]
        print_table(("", "what", "found", "to mend it"), rows)
    broken = any(finding.needed and not finding.ok for finding in findings)
    return ToolchainError.exit_code if broken else 0


def _examine() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(
        what="Python 3.11 or newer", found=version, ok=sys.version_info >= (3, 11), needed=True
    )
    try:
        toolchain = find_toolchain()
    except LlmCompilerError as error:
        yield Finding(
            what="LLVM 17 to 22",
            found=str(error),
            ok=False,
            needed=True,
            mend="apt-get install clang-19 llvm-19 libllvm19",
        )
        return
    yield Finding(
        what="clang and opt",
        found=f"{toolchain.version} in {toolchain.bin_dir}",
        ok=True,
        needed=True,
    )
    yield from _workers(toolchain)
    yield _tool("llvm-reduce", toolchain, "smaller reproducers", f"llvm-{toolchain.major}")
    programs = (
        ("csmith", "fuzzing pass lists (validate --csmith)", "csmith libcsmith-dev"),
        ("cvise", "smaller C reproducers", "cvise"),
        ("aarch64-linux-gnu-gcc", "checking lists for AArch64", "g++-aarch64-linux-gnu"),
        ("qemu-aarch64", "running AArch64 programs", "qemu-user"),
    )
    for program, use, package in programs:
        found = which(program)
        yield Finding(
            what=f"{program}: {use}",
            found=found or "",
            ok=found is not None,
            mend=f"apt-get install {package}",
        )
    yield from _boards(toolchain)
    yield from _model()
    for name, folder in (("cache", cache_folder()), ("user data", data_folder())):
        yield Finding(
            what=f"{name} folder",
            found=str(folder),
            ok=_writable(folder),
            mend=f"make {folder} writable, or set XDG_CACHE_HOME and XDG_DATA_HOME",
        )


def _boards(toolchain: Toolchain) -> Iterator[Finding]:
    """What running programs of targets that are optimised, but not lifted, needs."""
    lifted = {each_target.name for each_target in lifted_targets()}
    for record in TARGETS:
        if record.name in lifted or record.programs is None:
            continue
        programs = record.programs
        what = f"checking new lists for {record.name}: {record.title}"
        try:
            find_target(record.name, toolchain)
        except ToolchainNotFound as error:
            reason = str(error).partition(": ")[2].partition(";")[0]
            packages = programs.package
            if isinstance(programs, LinuxPrograms):
                packages += " qemu-user"
            yield Finding(what=what, found=reason, ok=False, mend=f"apt-get install {packages}")
        else:
            yield Finding(what=what, found=programs.emulator, ok=True)


def _tool(name: str, toolchain: Toolchain, use: str, package: str) -> Finding:
    try:
        path = str(toolchain.tool(name))
    except LlmCompilerError:
        path = ""
    return Finding(
        what=f"{name}: {use}", found=path, ok=bool(path), mend=f"apt-get install {package}"
    )


def _workers(toolchain: Toolchain) -> Iterator[Finding]:
    start = time.monotonic()
    try:
        with LocalPool(1) as pool, Checker(toolchain=toolchain, pool=pool) as checker:
            space = checker.search_space()
            seconds = time.monotonic() - start
            yield Finding(
                what="libLLVM in process",
                found=f"{toolchain.libllvm}, ready in {seconds:.2f} s, {len(space)} safe passes",
                ok=True,
                needed=True,
            )
            coreset = load_coreset()
            for record in TARGETS:
                lists, whole = (
                    sum(checker.known(recipe, record.triple) is VerdictKind.PASSED for recipe in of)
                    for of in (coreset.lists, coreset.extras_for(record.name))
                )
                found = f"{lists} of the coreset's {len(coreset.lists)} lists"
                if num_whole := len(coreset.extras_for(record.name)):
                    found += f" and {whole} of {num_whole} whole recipes"
                yield Finding(
                    what=f"verdicts for {record.name}, LLVM {toolchain.major}",
                    found=f"{found} passed",
                    ok=lists + whole > 0,
                    mend=f"{validate_command(record.name)} (minutes, once)",
                )
    except LlmCompilerError as error:
        yield Finding(
            what="libLLVM in process",
            found=str(error),
            ok=False,
            needed=True,
            mend=f"apt-get install libllvm{toolchain.major}",
        )


def _model() -> Iterator[Finding]:
    """The default engine and its model: without them `optimize` goes by the coreset."""
    what = "model: lists chosen for each module (optimize)"
    try:
        start = time.monotonic()
        with load_engine() as engine:
            seconds = time.monotonic() - start
            found = f"{engine.model}, {engine.name} engine, ready in {seconds:.2f} s"
            yield Finding(what=what, found=found, ok=True)
    except LlmCompilerError as error:
        mend = "install a release of llm-compiler, which has one"
        yield Finding(what=what, found=str(error), ok=False, mend=mend)


def _writable(folder: Path) -> bool:
    import os

    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)
