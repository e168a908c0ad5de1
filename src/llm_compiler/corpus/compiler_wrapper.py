"""A logging wrapper of the compiler, for packages whose build knows no compile database.

Two small shell scripts, `cc` and `c++`, write what they were called with to a log and then run the
real clang, at -O0 and without warnings, since only the command and the generated headers matter.
A record is the number of arguments, the folder and the arguments, each ended by a NUL byte: a
script of the shell alone can write that, whatever the arguments hold, and it costs no process.
Builds run one job at a time, so records never mix. Safe in threads and processes.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOG_VARIABLE", "TOLERANT_FLAGS", "Invocation", "read_log", "write_compiler_wrapper"]

LOG_VARIABLE = "LLM_COMPILER_COMMAND_LOG"

# Old C and C++ that gcc 12 accepts and later clangs refuse by default. The code does not change.
TOLERANT_FLAGS = (
    "-w",
    "-Wno-implicit-function-declaration",
    "-Wno-implicit-int",
    "-Wno-int-conversion",
    "-Wno-incompatible-function-pointer-types",
    "-Wno-return-type",
    "-Wno-register",
    "-Wno-reserved-user-defined-literal",
)

_ALIASES = {"cc": ("gcc", "clang"), "c++": ("g++", "clang++")}

_SCRIPT = """#!/bin/sh
if [ -n "${{{variable}-}}" ]; then
    printf '%s\\000' "$#" "$PWD" "$@" >> "${variable}"
fi
exec {compiler} "$@" -O0 {flags}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of the wrapper: the folder it ran in, and its arguments."""

    directory: str
    arguments: tuple[str, ...]


def write_compiler_wrapper(folder: Path, *, clang: Path) -> tuple[Path, Path]:
    """Write the scripts into a folder and return their paths: (C, C++).

    They log only where the environment variable `LOG_VARIABLE` names a file, so that configure's
    test programs stay out of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scripts = []
    for name, mode in (("cc", "gcc"), ("c++", "g++")):
        script = folder / name
        script.write_text(
            _SCRIPT.format(
                variable=LOG_VARIABLE,
                compiler=f"{shlex.quote(os.fspath(clang))} --driver-mode={mode}",
                flags=" ".join(TOLERANT_FLAGS),
            ),
            "utf-8",
        )
        script.chmod(0o755)
        scripts.append(script)
        # For builds that name their compiler: the folder stands first in PATH.
        for alias in _ALIASES[name]:
            (folder / alias).unlink(missing_ok=True)
            (folder / alias).symlink_to(name)
    return scripts[0], scripts[1]


def read_log(path: Path) -> Iterator[Invocation]:
    """Yield the calls that a log holds; a record that was cut off at the end is left out.

    Raises:
        OSError: the log cannot be read.
    """
    fields = path.read_bytes().split(b"\0")[:-1]
    position = 0
    while position < len(fields):
        count = int(fields[position])
        record = fields[position + 1 : position + 2 + count]
        if len(record) < count + 1:
            return
        directory, *arguments = (os.fsdecode(field) for field in record)
        yield Invocation(directory=directory, arguments=tuple(arguments))
        position += 2 + count
