from __future__ import annotations

import json

import pytest

from llm_compiler.console import percent, print_json, print_table, progress, warn


def test_tables_align_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    print_table(("file", "bytes", "list"), [("a.c", "5", long), ("bb.c", "12345", "")], right="lr")
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "file  bytes  list"
    assert out[1] == f"a.c       5  {long}"
    assert out[2] == "bb.c  12345"


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_warnings_are_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    warn("something")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "llm-compiler: warning: something\n")


def test_json_is_one_line_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"passes": "a\nb", "n": 1})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"passes": "a\nb", "n": 1}


def test_percent_of_nothing_is_zero() -> None:
    assert (percent(1, 3), percent(0, 5), percent(1, 0)) == ("33.3 %", "0.0 %", "0.0 %")


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, "searching") as bar:
        bar.update(5, "best 100")
        bar.update(10)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
