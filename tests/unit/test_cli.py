"""Arguments and exit codes, in process; whole commands are in tests/end_to_end."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler import commands
from llm_compiler.cli import build_parser, main
from llm_compiler.errors import InputError, OutputError, TimedOut


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["optimize"],
        ["optimize", "a.c", "--frobnicate"],
        ["optimize", "a.c", "--candidates", "-1"],
        ["optimize", "a.c", "--candidates", "many"],
        ["optimize", "a.c", "--jobs", "0"],
        ["optimize", "a.c", "--timeout-s", "0"],
        ["optimize", "a.c", "--timeout-s", "nan"],
        ["optimize", "a.c", "--objective", "speed"],
        ["optimize", "a.c", "-S", "--emit-llvm"],
        ["autotune", "a.c", "--budget", "0"],
        ["autotune", "a.c", "--method", "guess"],
        ["coreset"],
        ["validate", "sroa", "--architecture", "vax"],
        ["corpus", "build"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: llm-compiler")
    assert "error: " in captured.err


def test_clang_flags_are_refused_by_commands_that_compile_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["passes", "--", "-O2"]) == 2
    assert capsys.readouterr().err == (
        "llm-compiler: error: 'passes' takes no clang flags after --\n"
    )


def test_flags_behind_the_first_dashes_are_clangs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(commands, "run_optimize", lambda options, flags: seen.append(flags) or 0)
    assert main(["optimize", "a.c", "--", "-DX=1", "--", "-Iy"]) == 0
    assert seen == [("-DX=1", "--", "-Iy")]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.c is empty"), 4, "llm-compiler: error: a.c is empty"),
        (TimedOut("clang hangs"), 6, "llm-compiler: error: clang hangs"),
        (OutputError("no"), 8, "llm-compiler: error: no"),
        (OSError(28, "No space left on device", "/x/y"), 8, "llm-compiler: error: [Errno 28] "),
        (KeyboardInterrupt(), 130, "llm-compiler: interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def fail(options: object, flags: object) -> int:
        raise error

    monkeypatch.setattr(commands, "run_passes", fail)
    assert main(["passes"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1


def test_faults_of_ours_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(options: object, flags: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "run_passes", fail)
    with pytest.raises(ZeroDivisionError):
        main(["passes"])


def test_defaults_are_those_of_the_design() -> None:
    options = build_parser().parse_args(["optimize", "a.c"])
    assert (options.candidates, options.budget, options.effort) == (None, None, None)
    assert options.objective == "size"
    assert (options.proposer, options.kind, options.trust) == (None, "", False)
    assert options.files == [Path("a.c")]


def test_every_command_has_its_function() -> None:
    parser = build_parser()
    choices = next(a for a in parser._actions if a.dest == "command").choices
    assert choices is not None
    assert [name for name in choices if not hasattr(commands, f"run_{name}")] == []
