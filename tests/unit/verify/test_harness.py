from __future__ import annotations

import signal

import pytest

from llm_compiler.verify.harness import Outcome, parse_records


def test_records_are_read_by_length_not_by_line() -> None:
    data = b"a exit 0 4\nx y\nb signal 11 0\nc exit 3 2\n\n\n"
    first, second, third = parse_records(data)
    assert (first.program, first.kind, first.number, first.stdout) == ("a", "exit", 0, b"x y\n")
    assert (second.program, second.kind, second.number) == ("b", "signal", 11)
    assert (third.number, third.stdout) == (3, b"\n\n")


@pytest.mark.parametrize("cut", [b"", b"a exit", b"a exit 0 9\nabc", b"noise from a constructor\n"])
def test_a_record_that_is_cut_short_is_no_record(cut: bytes) -> None:
    assert [record.program for record in parse_records(b"z exit 0 0\n" + cut)] == ["z"]


@pytest.mark.parametrize(
    ("kind", "number", "stdout", "fault"),
    [
        ("exit", 0, b"good", ""),
        ("exit", 0, b"bad", "wrong output"),
        ("exit", 7, b"good", "wrong result: exit code 7 instead of 0"),
        ("signal", int(signal.SIGSEGV), b"", "crashed with SIGSEGV"),
        ("signal", 99, b"", "crashed with signal 99"),
        ("timeout", 0, b"good", "timed out"),
        ("missing", 0, b"", "its main function is gone"),
    ],
)
def test_faults_are_named(kind: str, number: int, stdout: bytes, fault: str) -> None:
    outcome = Outcome(program="a", kind=kind, number=number, stdout=stdout)
    assert outcome.fault(b"good") == fault
