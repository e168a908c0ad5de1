"""`passes`, `doctor`, `coreset show`, `autotune`: what a user sees."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "llm-compiler")
SOURCE = """
static int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
int sum(int n) { int s = 0; for (int i = 0; i < n; i++) s += table[i & 7] * (i + 1); return s; }
int pick(int x) {
    switch (x) { case 1: return 10; case 2: return 30; case 3: return 20; }
    return sum(x);
}
"""


@pytest.fixture
def source(user) -> Path:
    return user.write("unit.c", SOURCE)


def num_measurements(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT COUNT(*) FROM measurements").fetchone()[0])
    finally:
        connection.close()


def test_help_and_version_need_no_llvm(user) -> None:
    user.env["LLM_COMPILER_LLVM"] = "/nonexistent"
    done = user.types("--help")
    assert done.code == 0
    for command in ("optimize", "autotune", "coreset", "validate", "passes", "doctor"):
        assert command in done.out
        assert user.types(command, "--help").code == 0
    done = user.types("--version")
    assert (done.code, done.out.split()[0]) == (0, "llm-compiler")


def test_passes_prints_the_registry(user) -> None:
    done = user.types("passes")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["pass", "level", "safe"]
    assert any(line.split()[:3] == ["licm", "loop-mssa", "safe"] for line in lines)
    assert not any(line.startswith("structurizecfg") for line in lines)
    assert "safe passes in LLVM" in lines[-1]
    rows = user.types("passes", "--all", "--json").rows
    names = {row["pass"]: row for row in rows if "pass" in row}
    assert names["structurizecfg"]["safe"] is False
    assert "switch" in names["structurizecfg"]["reason"]
    assert names["licm"]["element"] == "function(loop-mssa(licm))"
    assert sum(row["safe"] for row in rows) >= 120


def test_doctor_says_what_is_there_and_what_mends(user, tmp_path: Path) -> None:
    done = user.types("doctor")
    assert done.code == 0
    assert "clang and opt" in done.out
    assert "libLLVM in process" in done.out
    user.env["LLM_COMPILER_LLVM"] = "/nonexistent"
    broken = user.types("doctor")
    assert broken.code == 3
    assert "apt-get install" in broken.out
    rows = user.types("doctor", "--json").rows
    assert any(not row["ok"] for row in rows)


def test_coreset_show(user) -> None:
    done = user.types("coreset", "show")
    assert done.code == 0
    assert "default<Oz>" in done.out
    rows = user.types("coreset", "show", "--json").rows
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["passes"] for row in rows)
    assert "not a coreset" in user.fails(7, "coreset", "show", "--coreset", "/dev/null")


def test_autotune_resumes_and_replays(user, source: Path) -> None:
    command = ("autotune", source, "--budget", "40", "--store", "m.db")
    first = user.types(*command)
    assert (first.code, first.errors) == (0, [])
    measured = num_measurements(user.folder / "m.db")
    assert 40 <= measured <= 41  # default<Oz>, the yardstick, may be one more
    second = user.types(*command)
    assert second.out == first.out
    assert num_measurements(user.folder / "m.db") == measured
    (row,) = user.types(*command, "--json").rows
    assert row["input"].endswith("unit.c")
    assert row["num_evaluations"] == 40
    assert row["best"] <= row["default_oz"]
    assert row["passes"] in user.types(*command, "--verbose").out
    # Its first line names default<Oz>, which may be the best.
    assert row["passes"] not in first.out.partition("\n")[2]
    replayed = user.types(*command, "--replay", "--json")
    assert replayed.code == 0
    assert [r["same"] for r in replayed.rows] == [True]
    # More budget goes on from there.
    more = user.types("autotune", source, "--budget", "60", "--store", "m.db", "--json")
    assert more.rows[0]["best"] <= row["best"]


@pytest.mark.parametrize("method", ["local", "paper"])
def test_a_small_budget_is_never_worse_than_the_yardstick(user, source: Path, method: str) -> None:
    command = ("autotune", source, "--budget", "1", "--method", method, "--store", "m.db")
    (row,) = user.types(*command, "--seed", "3", "--json").rows
    assert row["best"] <= row["default_oz"]
    assert row["passes"]


def test_autotune_with_the_papers_method_and_broadcast(user, source: Path) -> None:
    other = user.write("other.c", SOURCE.replace("sum", "add").replace("* (i + 1)", "^ i"))
    done = user.types(
        *("autotune", source, other, "--method", "paper", "--budget", "24", "--broadcast", "2"),
        *("--store", "m.db", "--json"),
    )
    assert (done.code, done.errors) == (0, [])
    assert {row["input"].rsplit("/", 1)[-1] for row in done.rows} == {"unit.c", "other.c"}


def test_autotune_names_bad_inputs_and_goes_on(user, source: Path) -> None:
    bad = user.write("bad.c", "int f( {\n")
    done = user.types("autotune", bad, source, "--budget", "4", "--store", "m.db", "--json")
    assert done.code == 4
    assert len(done.errors) == 1
    assert "bad.c" in done.errors[0]
    assert len(done.rows) == 1


def wait_for(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists():
            try:
                if num_measurements(path) >= count:
                    return
            except sqlite3.OperationalError:
                pass
        time.sleep(0.02)
    pytest.fail(f"{path} did not get {count} measurements")


def test_ctrl_c_keeps_the_store_and_ends_cleanly(user, source: Path) -> None:
    arguments = ("autotune", str(source), "--budget", "100000", "--store", "m.db")
    with user.starts(*arguments) as process:
        wait_for(user.folder / "m.db", 30)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert "interrupted" in err
    assert process.returncode in (0, 130)
    assert num_measurements(user.folder / "m.db") >= 30
    if process.returncode == 0:
        assert "unit.c" in out, "the best so far is shown"


def test_kill_9_and_resume_end_with_the_same_best(user, source: Path) -> None:
    # One worker: with more, work is shared by chance, which may decide a byte.
    command = ("autotune", str(source), "--budget", "120", "--jobs", "1", "--json", "--store")
    (whole,) = user.types(*command, "whole.db").rows
    with user.starts(*command, "cut.db") as process:
        wait_for(user.folder / "cut.db", 20)
        process.kill()
        process.communicate(timeout=30)
    kept = num_measurements(user.folder / "cut.db")
    assert kept >= 20
    (resumed,) = user.types(*command, "cut.db").rows
    assert resumed["num_evaluations"] == 120
    assert resumed["best"] == whole["best"]
    assert resumed["default_oz"] == whole["default_oz"]
