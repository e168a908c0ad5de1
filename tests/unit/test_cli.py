"""Arguments and exit codes, in process; whole commands are in tests/end_to_end."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.commands import COMMANDS, load_command, optimize, passes
from llm_compiler.commands.command import Command
from llm_compiler.commands.options.optimize import OptimizeArguments
from llm_compiler.commands.parser import build_parser
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
    seen: list[OptimizeArguments] = []
    monkeypatch.setattr(optimize, "run", lambda options: seen.append(options) or 0)
    assert main(["optimize", "a.c", "--", "-DX=1", "--", "-Iy"]) == 0
    assert seen[0].clang_flags == ("-DX=1", "--", "-Iy")


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
    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr(passes, "run", fail)
    assert main(["passes"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1


def test_faults_of_ours_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(options: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(passes, "run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["passes"])


def test_defaults_are_those_of_the_design(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[OptimizeArguments] = []
    monkeypatch.setattr(optimize, "run", lambda options: seen.append(options) or 0)
    assert main(["optimize", "a.c"]) == 0
    (options,) = seen
    assert (options.candidates, options.budget, options.effort) == (None, None, None)
    assert (options.objective, options.timeout_s, options.function_wise) == (None, 60.0, True)
    assert (options.proposer, options.kind, options.trust) == (None, "", False)
    assert options.files == (Path("a.c"),)


def leaves(command: Command) -> Iterator[Command]:
    yield from command.actions or (command,)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_run_by_a_function_that_is_there(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    for leaf in leaves(command):
        module, _, function = leaf.run.partition(":")
        if name in ("train", "kit"):
            continue  # import what the base install lacks, inside their functions
        assert callable(getattr(import_module(f"llm_compiler.commands.{module}"), function))


# Each is a process of its own: those whose work needs most stand for all.
@pytest.mark.parametrize("name", ["", "optimize", "disassemble", "evaluate"])
def test_help_imports_nothing_that_the_command_works_with(name: str) -> None:
    program = (
        "import sys\n"
        "from llm_compiler.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'pyarrow', 'tokenizers', 'rich', 'torch',\n"
        "         'matplotlib', 'sqlite3', 'llm_compiler.optimize', 'llm_compiler.emulate',\n"
        "         'llm_compiler.commands.' + sys.argv[1]}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    arguments = [*([name] if name else []), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: llm-compiler")
    assert "Exit codes: 0 done" in done.stdout


def test_the_help_of_a_command_names_what_its_negative_verdict_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["disassemble", "--help"])
    assert "1 a function is less than tests_passed" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command_and_option(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in script] == []
    assert "whole-program" in script
    assert "text-data" in script  # a value of --objective


def test_bash_accepts_and_applies_the_completion(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    script = tmp_path / "completion"
    with script.open("w") as file, contextlib.redirect_stdout(file):
        assert main(["completion", "bash"]) == 0
    program = (
        f"source {script}\n"
        "COMP_WORDS=(llm-compiler opt); COMP_CWORD=1; COMP_LINE='llm-compiler opt'\n"
        "COMP_POINT=${#COMP_LINE}\n"
        "$(complete -p llm-compiler | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        [bash, "--norc", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["optimize"]


def test_the_whole_parser_has_the_options_of_every_action() -> None:
    parsed = build_parser().parse_args(["corpus", "synthesize", "--out", "x"])
    assert parsed.run_command.run == "corpus:synthesize"
