"""No program of the suite does what C leaves undefined: lists may not be rejected for that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.verify.suite import Program, built_in_suite

_UNDEFINED = ("-fsanitize=undefined", "-fsanitize-trap=undefined", "-O1", "-w")
_NULL_IS_AN_ADDRESS = ("-fno-sanitize=null,nonnull-attribute",)
"""What a program may do that is compiled with -fno-delete-null-pointer-checks."""
_PROGRAMS = {program.name: program for program in built_in_suite().programs}
_CRASHES_CLANG = {"blocks_as_closures"}
"""clang 19's checks do not take every block."""
_ONCE_UNDEFINED = (
    *("alloca_in_loops", "bit_precise_integers", "calling_conventions", "cold_paths"),
    *("comparisons_at_edges", "optimiser_barriers", "signed_ranges"),
)


def check(program: Program, folder: Path) -> None:
    source = folder / program.file_name
    source.write_text(program.source, "utf-8", "surrogateescape")
    clang = find_toolchain().tool("clang++" if program.language == "c++" else "clang")
    flags = [*program.flags, *_UNDEFINED]
    if "-fno-delete-null-pointer-checks" in flags:
        flags += _NULL_IS_AN_ADDRESS
    links = ["-lm", "-pthread", *program.link_flags]
    command = [clang, *flags, source, *links, "-o", folder / "program"]
    subprocess.run(command, check=True, timeout=100)
    done = subprocess.run(
        [folder / "program"], cwd=folder, stdout=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", _ONCE_UNDEFINED)
def test_programs_that_were_undefined_are_not(name: str, tmp_path: Path) -> None:
    check(_PROGRAMS[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_PROGRAMS.keys() - set(_ONCE_UNDEFINED) - _CRASHES_CLANG))
def test_programs_are_defined(name: str, tmp_path: Path) -> None:
    check(_PROGRAMS[name], tmp_path)
