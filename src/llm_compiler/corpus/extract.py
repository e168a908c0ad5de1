"""Compile captured units again, to the unoptimised bitcode that the honest baseline starts from.

`clang -Oz -Xclang -disable-llvm-passes -emit-llvm` with the program's own flags: every function
carries `minsize optsize`, nothing is optimised yet. A unit that does not compile is a `Failure`
with a cause, never an exception. Safe in threads.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llm_compiler import process
from llm_compiler.corpus.commands import CompileCommand, flags_for_target
from llm_compiler.corpus.compiler_wrapper import TOLERANT_FLAGS
from llm_compiler.corpus.exclusions import excluded_symbol
from llm_compiler.corpus.tools import Tools
from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.targets import architecture_of, known_target

__all__ = [
    "BASELINE_FLAGS",
    "Extracted",
    "Failure",
    "classify_failure",
    "extract_unit",
]

BASELINE_FLAGS = ("-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c")

_TIMEOUT_S: Final = 120.0
_MEMORY_LIMIT_BYTES: Final = 8 << 30
_UNKNOWN_ARGUMENT = re.compile(r"(?:unknown argument|unsupported option):? '([^']+)'")

_MODULE_TRIPLE = re.compile(rb'^target triple = "([^"]+)"', re.MULTILINE)

# First match wins; clang 19's words.
_CAUSES: tuple[tuple[str, str], ...] = (
    ("missing header", r"fatal error: '.*' file not found|file not found"),
    (
        "architecture",
        r"-target.*not supported|needs? target feature|always_inline function '.*' req"
        r"|invalid (output|input) constraint|unknown register name"
        r"|use of undeclared identifier '_mm"
        r"|unrecognized instruction mnemonic|This header is only meant|x86.*only"
        r"|invalid instruction"
        r"|__builtin_ia32|asm operand|#error.*(arch|cpu|CPU|platform|endian)|unknown target CPU",
    ),
    ("unknown flag", r"unknown argument|unsupported option|unsupported argument"),
    ("error directive", r"error: .*#error|\n\s*\d+ \| *# *error"),
    ("undeclared name", r"use of undeclared|unknown type name|no member named|undeclared"),
    ("language error", r"error: "),
)
_CAUSE_PATTERNS = [(cause, re.compile(pattern)) for cause, pattern in _CAUSES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """A unit's bitcode on disk; `seconds` is what clang took, `flags` what it was given."""

    sha256: str
    num_bytes: int
    num_functions: int
    seconds: float
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a unit gave no bitcode: one of a few causes, and the compiler's first error."""

    cause: str
    message: str


def extract_unit(
    command: CompileCommand,
    *,
    root: Path,
    output: Path,
    scratch: Path,
    target_triple: str,
    tools: Tools,
) -> Extracted | Failure:
    """Make a unit's bitcode at `output`, which appears whole or not at all.

    `scratch` is a folder on the same file system for what is not whole yet.

    Raises:
        ArtifactError: the disk is full or the output folder cannot be written.
    """
    make = _convert if command.language == "ir" else _compile
    temporary = _temporary(output, scratch)
    try:
        done, flags = make(command, root, temporary, target_triple, tools)
        if not done.ok:
            return classify_failure(done)
        return _accept(temporary, output, flags=flags, seconds=done.seconds, tools=tools)
    except _OtherTarget as error:
        return Failure(cause="other target", message=str(error))
    except OSError as error:
        raise ArtifactError(f"cannot write {output}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


class _OtherTarget(Exception):
    """A module of a user's is for another architecture."""


def _compile(
    command: CompileCommand, root: Path, temporary: Path, target_triple: str, tools: Tools
) -> tuple[process.Completed, tuple[str, ...]]:
    """Compile a unit; return how the compiler ended, and the flags that it took."""
    flags = flags_for_target(command.flags, target_triple)
    record = known_target(target_triple)
    own = () if record is None or record.programs is None else record.programs.compile_flags
    directory = root / command.directory
    source = os.path.relpath(root / command.source, directory)
    for _ in range(4):
        done = process.run(
            [
                tools.clang,
                *BASELINE_FLAGS,
                *TOLERANT_FLAGS,
                f"--target={target_triple}",
                f"-ffile-prefix-map={root}=/usr/src/{root.name}",
                *own,
                *flags,
                *("-x", command.language, source, "-o", os.fspath(temporary)),
            ],
            timeout_s=_TIMEOUT_S,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1700000000"},
            memory_limit_bytes=_MEMORY_LIMIT_BYTES,
        )
        # Flags of gcc that clang does not have, in a user's own compile database.
        unknown = set(_UNKNOWN_ARGUMENT.findall(done.stderr_text))
        if done.ok or not unknown & set(flags):
            break
        flags = tuple(flag for flag in flags if flag not in unknown)
    return done, flags


def _convert(
    command: CompileCommand, root: Path, temporary: Path, target_triple: str, tools: Tools
) -> tuple[process.Completed, tuple[str, ...]]:
    """Turn a user's .ll or .bc file into bitcode of our LLVM, unchanged.

    Raises:
        _OtherTarget: compiling it for `target_triple` would change what it means.
    """
    verify = (os.fspath(tools.opt), "-passes=verify", "-o")
    text = process.run(
        [*verify, "-", "-S", os.fspath(root / command.source)],
        timeout_s=_TIMEOUT_S,
        memory_limit_bytes=_MEMORY_LIMIT_BYTES,
    )
    if not text.ok:
        return text, ()
    match = _MODULE_TRIPLE.search(text.stdout)
    architecture = architecture_of(match.group(1).decode()) if match else "none"
    if architecture != architecture_of(target_triple):
        raise _OtherTarget(f"the module is for {architecture}")
    done = process.run(
        [*verify, os.fspath(temporary), "-"],
        timeout_s=_TIMEOUT_S,
        stdin=text.stdout,
        memory_limit_bytes=_MEMORY_LIMIT_BYTES,
    )
    return done, ()


def classify_failure(done: process.Completed) -> Failure:
    """Name the cause of a failed compilation.

    Raises:
        ArtifactError: the disk is full, which no other unit will survive either.
    """
    text = done.stderr_text
    if "No space left on device" in text:
        raise ArtifactError("no space left on the device; make room and run the build again")
    first = next((line for line in text.splitlines() if "error:" in line), text[:200]).strip()
    if done.timed_out:
        return Failure(cause="timed out", message=f"after {done.seconds:.0f} s")
    if "PLEASE submit a bug report" in text or done.exit_status < 0:
        return Failure(cause="clang crashed", message=first[:300])
    for cause, pattern in _CAUSE_PATTERNS:
        if pattern.search(text):
            return Failure(cause=cause, message=first[:300])
    return Failure(cause="other", message=first[:300])


def _temporary(output: Path, scratch: Path) -> Path:
    # A killed build may leave a clang that still writes: not to the name that we write to.
    return scratch / f"{output.name}.{os.getpid()}.tmp"


def _accept(
    temporary: Path, output: Path, *, flags: tuple[str, ...], seconds: float, tools: Tools
) -> Extracted | Failure:
    listing = process.run(
        [tools.nm, "--defined-only", "--format=posix", os.fspath(temporary)], timeout_s=60
    )
    if not listing.ok:
        return Failure(cause="unreadable bitcode", message=listing.stderr_text[:300])
    functions = []
    for line in listing.stdout.decode("utf-8", "replace").splitlines():
        name, _, rest = line.partition(" ")
        if rest[:1] in ("T", "t", "W"):
            functions.append(name)
    held_out = excluded_symbol(functions)
    if held_out is not None:
        return Failure(cause="held out", message=f"defines {held_out[1]} of {held_out[0]}")
    if not functions:
        return Failure(cause="no function", message="defines data only, or nothing")
    content = temporary.read_bytes()
    os.replace(temporary, output)
    return Extracted(
        sha256=hashlib.sha256(content).hexdigest(),
        num_bytes=len(content),
        num_functions=len(functions),
        seconds=round(seconds, 3),
        flags=flags,
    )
