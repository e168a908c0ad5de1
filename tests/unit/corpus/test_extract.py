from __future__ import annotations

import pytest

from llm_compiler import process
from llm_compiler.corpus.extract import classify_failure
from llm_compiler.errors import ArtifactError


def completed(stderr: str, *, exit_status: int = 1, timed_out: bool = False) -> process.Completed:
    return process.Completed(
        arguments=("clang",),
        exit_status=exit_status,
        stdout=b"",
        stderr=stderr.encode(),
        seconds=3.0,
        timed_out=timed_out,
    )


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        ("a.c:1:10: fatal error: 'gmp.h' file not found", "missing header"),
        ("clang: error: unknown argument: '-fweird'", "unknown flag"),
        ("a.c:1:2: error: invalid output constraint '=a' in asm", "architecture"),
        ("a.c:1:2: error: use of undeclared identifier '_mm_add_ps'", "architecture"),
        ("a.c:1:2: error: use of undeclared identifier 'foo'", "undeclared name"),
        ("a.c:1:2: error: expected ';'", "language error"),
        ("something else", "other"),
    ],
)
def test_failures_are_named_by_cause(stderr: str, cause: str) -> None:
    failure = classify_failure(completed(stderr))
    assert failure.cause == cause
    assert failure.message == stderr


def test_time_and_crashes_are_causes_too() -> None:
    assert classify_failure(completed("", timed_out=True)).cause == "timed out"
    assert classify_failure(completed("Stack dump:", exit_status=-11)).cause == "clang crashed"


def test_a_full_disk_ends_the_build() -> None:
    with pytest.raises(ArtifactError, match="no space left"):
        classify_failure(completed("LLVM ERROR: IO failure: No space left on device"))
