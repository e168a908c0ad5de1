"""The walk-throughs of docs/extending.md: one new file each, outside the package.

Each file is installed as a package that names it in an entry point of ``llm_compiler.plugins``, and
works in every command that lists its kind.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from llm_compiler.process import run

from .conftest import User
from .service.conftest import Service, service_type

__all__ = ["service_type"]  # a fixture

EXTENSIONS = Path(__file__).parent / "extensions"
SOURCE = """
static const int table[] = {3, 1, 4, 1, 5, 9, 2, 6};
int at(int place) { return table[place & 7]; }
int sum(const int *values, int count) {
  int total = 0;
  for (int i = 0; i < count; i++) total += values[i];
  return total;
}
"""


def install(user: User, folder: Path, *names: str) -> None:
    """Put files where an installed package has them, with the entry points that name them."""
    points = ""
    for name in names:
        (folder / f"{name}.py").write_text((EXTENSIONS / f"{name}.py").read_text())
        points += f"{name} = {name}\n"
    about = folder / "toys-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[llm_compiler.plugins]\n{points}")
    user.env["PYTHONPATH"] = str(folder)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


@pytest.fixture
def source(user: User) -> Path:
    path = user.folder / "toy.c"
    path.write_text(SOURCE)
    return path


def helped(user: User, *command: str) -> str:
    done = user.types(*command, "--help")
    assert (done.code, done.err) == (0, "")
    return " ".join(done.out.split())


@pytest.mark.parametrize("file", sorted(EXTENSIONS.glob("*.py")), ids=lambda file: file.stem)
def test_a_walk_through_is_one_short_file_that_the_page_shows(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 60
    page = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
    assert f"```python\n{text}```" in page.read_text()


def test_an_objective(user: User, site: Path, source: Path) -> None:
    install(user, site, "toy_objective")
    for command in ("optimize", "autotune"):
        assert "constants: allocated bytes beside .text and .data" in helped(user, command)
    done = user.types(
        *("optimize", source, "--objective", "constants", "--proposer", "coreset", "--json"),
        *("--effort", "fast"),
    )
    assert done.code == 0, done.err
    (row,) = done.rows
    assert row["objective"] == "constants"
    assert row["optimized_bytes"] <= row["baseline_bytes"]


def test_a_target_alias(user: User, site: Path, source: Path) -> None:
    install(user, site, "toy_target")
    for command in (
        *(("optimize",), ("emulate",), ("disassemble",), ("validate",)),
        *(("dataset", "build"), ("labels", "build"), ("evaluate", "disassembly")),
    ):
        said = helped(user, *command)
        assert "x86_64, aarch64" in said
        assert ", board" in said
    done = user.types(
        *("optimize", source, "--target-triple", "board", "--proposer", "coreset", "--json"),
        *("--effort", "fast"),
    )
    assert done.code == 0, done.err
    assert done.rows[0]["target_triple"].startswith("aarch64")
    assembly = user.folder / "two.s"
    assembly.write_text(
        "\t.text\n\t.globl two\n\t.type two, @function\ntwo:\n\tmov w0, #2\n\tret\n"
        "\t.size two, . - two\n"
    )
    lift = ("disassemble", assembly, "--engine", "none", "-o", "-", "--target-triple")
    done = user.types(*lift, "board")
    assert done.code == 0, done.err
    assert "define i32 @two()" in done.out
    assert "x86_64" in user.fails(4, *lift, "amd64")


def test_an_engine(user: User, site: Path, source: Path) -> None:
    install(user, site, "toy_engine")
    for command in (
        *(("optimize",), ("disassemble",), ("emulate",)),
        *(("evaluate", "disassembly"), ("evaluate", "emulation"), ("evaluate", "flag-tuning")),
    ):
        assert "echo: no model at all" in helped(user, *command)
    done = user.types("optimize", source, "--engine", "echo", "--effort", "fast", "--json")
    assert done.code == 0, done.err
    assert "failed" not in done.err
    done = user.types(
        "emulate", source, "--engine", "echo", "--passes", "lcssa", "--check", "--json"
    )
    assert done.rows[0]["check"]["verdict"] == "exact", done.out
    built = user.types("optimize", source, "--proposer", "coreset", "--effort", "fast", "-o", "t.o")
    assert built.code == 0
    done = user.types("disassemble", "t.o", "--engine", "echo", "--no-rules", "--strict", "--json")
    assert done.code == 1
    assert {item["verdict"] for item in done.rows[0]["functions"]} == {"no_answer"}


def test_an_evaluation_task(user: User, site: Path, source: Path) -> None:
    install(user, site, "toy_task")
    assert "count functions" in helped(user, "evaluate")
    assert "--at-least N" in helped(user, "evaluate", "count")
    assert "count" in helped(user, "evaluate", "all")
    task = ("evaluate", "count", "--suite", source, "--report", "report")
    done = user.types(*task, "--at-least", "2")
    assert done.code == 0, done.err
    report = json.loads((user.folder / "report" / "report.json").read_text())
    assert [item["functions"] for item in report["figures"]] == [2]


PROGRAM = """
import json
from llm_compiler import disassemble, optimize
from llm_compiler.optimize import OptimizeOptions

options = OptimizeOptions(
    objective="constants", target_triple="board", proposer="coreset", candidates=2
)
small = optimize("toy.c", options)
open("toy.o", "wb").write(small.output)
lifted = disassemble("toy.o", "echo", rules=False)
print(json.dumps([small.to_json(), [one.verdict.value for one in lifted.functions]]))
"""


def test_a_python_program_has_what_packages_add(user: User, site: Path, source: Path) -> None:
    install(user, site, "toy_objective", "toy_target", "toy_engine")
    done = run([sys.executable, "-P", "-c", PROGRAM], timeout_s=100, cwd=user.folder, env=user.env)
    assert done.exit_status == 0, done.stderr_text
    small, verdicts = json.loads(done.stdout)
    assert small["objective"] == "constants"
    assert small["target_triple"].startswith("aarch64")
    assert verdicts == ["no_answer", "no_answer"]


def test_a_python_program_hears_of_a_broken_package_each_time(user: User, site: Path) -> None:
    install(user, site, "toy_objective")
    (site / "toy_objective.py").write_text("1 / 0\n")
    program = """
from llm_compiler.errors import ConfigError
from llm_compiler.optimize import OptimizeOptions
for _ in range(2):
    try:
        OptimizeOptions(objective="constants")
    except ConfigError as error:
        print(error)
print(OptimizeOptions(objective="text-data").objective)
"""
    done = run([sys.executable, "-P", "-c", program], timeout_s=60, cwd=user.folder, env=user.env)
    assert done.exit_status == 0, done.stderr_text
    first, second, third = done.stdout.decode().splitlines()
    assert first == second
    assert "the plug-in 'toy_objective' of the package toys" in first
    assert third == "text-data"


def test_a_service_has_what_packages_add(
    service_type: type[Service], user: User, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(user, site, "toy_objective", "toy_target")
    for name in ("PYTHONPATH", "HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, user.env[name])
    service = service_type(user.folder, "--rate", "0")
    try:
        asked = {"source": SOURCE, "effort": "fast", "objective": "constants"}
        status, answer = service.wait_for("optimize", **asked, target_triple="board")
        assert status == 200, answer["error"]
        assert answer["objective"] == "constants"
        assert answer["target_triple"].startswith("aarch64")
        status, answer = service.wait_for("optimize", **asked | {"objective": "speed"})
        assert status == 422
        assert "there is no objective 'speed': it is one of size, " in str(answer)
    finally:
        service.stop()


def test_a_broken_package_is_named_in_one_sentence(user: User, site: Path) -> None:
    install(user, site, "toy_target")
    (site / "toy_target.py").write_text("1 / 0\n")
    words = user.fails(2, "passes")
    assert "toys" in words
    assert "division by zero" in words


def test_nothing_of_the_users_folder_is_loaded(user: User, site: Path) -> None:
    """A package's records in the current folder are no installation."""
    install(user, user.folder, "toy_target")
    (user.folder / "toy_target.py").write_text("raise SystemExit('executed')\n")
    del user.env["PYTHONPATH"]
    assert "board" not in helped(user, "optimize")
