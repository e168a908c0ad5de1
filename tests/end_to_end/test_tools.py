"""What other tools are given: Compiler Explorer's wrapper, VS Code's problem matcher."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_compiler.llvm.toolchain import find_toolchain

TOOLS = Path(__file__).parents[2] / "examples" / "tools"
WRAPPER = TOOLS / "compiler-explorer" / "llm-compiler-ce"


def compiler_explorer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the wrapper as Compiler Explorer calls a compiler."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LLM_COMPILER_CLANG": str(find_toolchain().tool("clang")),
    }
    return subprocess.run(
        [WRAPPER, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_compiler_explorer_gets_a_version_assembly_and_an_object(tmp_path: Path) -> None:
    (tmp_path / "example.c").write_text("int f(int x) { return x * 3; }\n")
    assert "clang version" in compiler_explorer(tmp_path, "--version").stdout
    common = ("-g0", "-fcolor-diagnostics", "-O2", "-DX=1", "example.c")
    made = compiler_explorer(tmp_path, "-o", "out.s", "-S", *common)
    assert made.returncode == 0, made.stderr
    assert re.search(r"^f:", (tmp_path / "out.s").read_text(), re.MULTILINE)
    made = compiler_explorer(tmp_path, "-o", "out.o", "-c", *common)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "out.o").read_bytes().startswith(b"\x7fELF")
    made = compiler_explorer(tmp_path, "-o", "out.s", "-S", "missing.c")
    assert made.returncode != 0


@pytest.mark.parametrize("source", ["int f( {\n", "int f(void) {\n  return y;\n}\n"])
def test_the_problem_matcher_finds_errors_at_their_places(tmp_path: Path, source: str) -> None:
    tasks = json.loads((TOOLS / "vscode" / "tasks.json").read_text())["tasks"]
    pattern = tasks[0]["problemMatcher"]["pattern"]
    (tmp_path / "bad.c").write_text(source)
    path = str(tmp_path / "bad.c")
    done = subprocess.run(
        [Path(sys.executable).parent / tasks[0]["command"], "optimize", path, "-o", "bad.o"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = [
        match for line in done.stderr.splitlines() if (match := re.match(pattern["regexp"], line))
    ]
    errors = [item for item in found if item[pattern["severity"]] == "error"]
    assert errors, done.stderr
    assert errors[0][pattern["file"]] == path
    assert int(errors[0][pattern["line"]]) == source.count("\n", 0, source.find("y") + 1) + 1


def test_compiler_explorers_definition_is_whole() -> None:
    lines = (TOOLS / "compiler-explorer" / "c.llm-compiler.properties").read_text().splitlines()
    read = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    (group,) = read["compilers"].split(":")
    group = group.removeprefix("&")
    compilers = read[f"group.{group}.compilers"].split(":")
    assert read["defaultCompiler"] in compilers
    named = {key.split(".")[1] for key in read if key.startswith("compiler.")}
    assert named == set(compilers)
    for name in compilers:
        assert Path(read[f"compiler.{name}.exe"]).is_absolute()
        assert read[f"compiler.{name}.name"]
    assert {Path(read[f"compiler.{name}.exe"]).name for name in compilers} == {
        WRAPPER.name,
        "clang",
    }
    assert os.access(WRAPPER, os.X_OK)


def test_vs_codes_tasks_call_commands_that_there_are() -> None:
    read = json.loads((TOOLS / "vscode" / "tasks.json").read_text())
    assert read["version"] == "2.0.0"
    for task in read["tasks"]:
        assert task["type"] in ("process", "shell")
        assert task["label"]
        assert (Path(sys.executable).parent / task["command"]).exists()
        done = subprocess.run(
            [sys.executable, "-P", "-m", "llm_compiler", task["args"][0], "--help"],
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0
        for option in [word for word in task["args"][1:] if word.startswith("-") and word != "--"]:
            assert option.split("=")[0].encode() in done.stdout
