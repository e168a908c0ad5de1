"""Reports of real programs: every byte counted once, by names that people know."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.size_report.explained import parts_of, read_explained
from llm_compiler.size_report.journal import Journal, Record, read_journal

pytest.importorskip("elftools", reason="needs the extra report")

C = """\
#include <stdio.h>
static int table[100] = {1, 2, 3};
static inline __attribute__((always_inline)) int mix(int a, int b) {
  return a * 31 + b * table[a & 63];
}
__attribute__((noinline)) int first(int a) { return mix(a, 1) + mix(a + 1, 2); }
int main(int argc, char **argv) { printf("%d\\n", first(argc)); return 0; }
"""
CPP = """\
template <class T> __attribute__((noinline)) T sum(const T *v, int n) {
  T s{};
  for (int i = 0; i < n; i++) s += v[i] * v[n - i - 1];
  return s;
}
int ints(const int *v, int n) { return sum(v, n); }
double doubles(const double *v, int n) { return sum(v, n); }
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    (folder / "a.c").write_text(C)
    (folder / "t.cpp").write_text(CPP)
    clang = str(find_toolchain().tool("clang"))
    for version, name in (("5", "a.out"), ("4", "four")):
        command = [clang, "-Oz", "-g", f"-gdwarf-{version}", "a.c", "-o", name]
        subprocess.run(command, cwd=folder, check=True)
    subprocess.run([clang, "-O2", "-g", "a.c", "-o", "fast"], cwd=folder, check=True)
    subprocess.run([clang, "-Oz", "-c", "t.cpp", "-o", "t.o"], cwd=folder, check=True)
    subprocess.run(["cp", "a.out", "stripped"], cwd=folder, check=True)
    strip = str(find_toolchain().tool("llvm-strip"))
    subprocess.run([strip, "stripped"], cwd=folder, check=True)
    return folder


def report(*arguments: object, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["report", *map(str, arguments), "--json"]) == 0
    found: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("name", ["a.out", "four", "fast", "stripped", "t.o"])
def test_every_byte_is_counted_once(
    build: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(build / name, capsys=capsys)["report"]
    total = section_sizes((build / name).read_bytes()).size_bytes
    assert found["bytes"] == total
    for what in ("binary", "section", "file", "symbol"):
        assert sum(found[what].values()) == total, what  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a.out", "four"])
def test_debug_information_names_files_and_inlined_functions(
    build: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(build / name, capsys=capsys)["report"]
    assert found["symbol"]["table"] == 400  # type: ignore[index]
    assert found["file"]["a.c"] >= 400  # type: ignore[index]
    assert found["inlined"]["mix"] > 5  # type: ignore[index]


def test_templates_are_counted_together(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(build / "t.o", capsys=capsys)["report"]
    symbols = found["symbol"]
    both = [count for item, count in symbols.items() if "sum<" in item]  # type: ignore[attr-defined]
    assert len(both) == 2
    assert found["template"] == {"sum<>": sum(both)}


def test_two_builds_are_compared(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("plotly", reason="needs the extra report")
    out = tmp_path / "page.html"
    program, other = str(build / "a.out"), str(build / "fast")
    assert main(["report", program, "--against", other, "--html", str(out)]) == 0
    text = capsys.readouterr().out
    sizes = [section_sizes((build / item).read_bytes()).size_bytes for item in ("a.out", "fast")]
    assert f"{sizes[0]} bytes, before {sizes[1]}" in text
    page = out.read_text()
    assert "<script src=" not in page  # it needs nothing else
    assert "Plotly.newPlot" in page
    assert "first" in page
    assert main(["report", program, "--against", other, "--markdown"]) == 0
    comment = capsys.readouterr().out
    assert comment.startswith(f"**Size: {sizes[0]} bytes, {sizes[0] - sizes[1]:+d}")
    assert "| `.text` |" in comment


def test_a_build_folder_and_its_journal(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record(
        folder=str(build),
        source="a.c",
        output=str(build / "a.o"),
        level="-Oz",
        effort="fast",
        baseline_bytes=500,
        optimized_bytes=450,
        recipe="globalopt",
        proposer="model",
        is_hit=False,
        seconds=1.0,
    )
    path = tmp_path / "journal.jsonl"
    Journal(path).write(record)
    path.write_text(path.read_text() + "{damaged\n[]\n")
    assert read_journal(path, build) == [record]
    assert read_journal(path, tmp_path) == []
    found = report(build, "--journal", path, capsys=capsys)
    assert set(found["report"]["binary"]) == {"a.out", "four", "fast", "stripped"}  # type: ignore[call-overload]
    assert found["units"][0]["recipe"] == "globalopt"  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("a.c",), 4, "no ELF file"),
        (("nothing",), 4, "does not exist"),
        (("empty",), 4, "holds no ELF file"),
        (("cut",), 4, "no ELF file"),
        (("a.out", "--json", "--markdown"), 2, "both"),
        (("a.out", "--journal", "nothing"), 4, "cannot be read"),
        (("a.out", "--explained", "a.c"), 2, "name it with --html"),
        (("a.out", "--explained", "none", "--html", "x.html"), 4, "none cannot be read"),
        (("a.out", "--explained", "a.c", "--html", "x.html"), 4, "is not what"),
        (("a.out", "--html", "no/such/page.html"), 8, "no directory"),
    ],
)
def test_bad_input_is_one_sentence(
    build: Path,
    arguments: tuple[str, ...],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(build)
    (build / "empty").mkdir(exist_ok=True)
    (build / "cut").write_bytes((build / "a.out").read_bytes()[:100])
    assert main(["report", *arguments]) == code
    error = capsys.readouterr().err
    (build / "cut").unlink()
    assert words in error
    assert "Traceback" not in error


def test_a_stacked_bar_of_what_saved_what(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(build / "a.c")
    command = ["optimize", source, "--json", "--explain", "--trust", "--candidates", "4"]
    assert main([*command, "-o", str(tmp_path / "a.o")]) == 0
    rows = tmp_path / "rows.json"
    rows.write_text(capsys.readouterr().out)
    (row,) = read_explained(rows)
    assert row.input == source
    assert row.saved_bytes > 0
    assert sum(row.parts.values()) == row.saved_bytes
    out = tmp_path / "page.html"
    explained = ["--explained", str(rows), "--html", str(out)]
    assert main(["report", str(tmp_path / "a.o"), *explained]) == 0
    assert "What saved what" in out.read_text()
    assert '"barmode":"stack"' in out.read_text()


@pytest.mark.parametrize(
    ("saved", "elements", "parts"),
    [
        (10, [("pass", 3), ("attribute", 2)], {"attribute": 2, "pass": 3, "together": 5}),
        (10, [("pass", 12), ("functions", 3)], {"functions": 2, "pass": 8}),
        (10, [("pass", -4), ("option", 0)], {"together": 10}),
        (0, [("pass", 3)], {}),
    ],
)
def test_parts_add_up_to_what_was_saved(
    saved: int, elements: list[tuple[str, int]], parts: dict[str, int]
) -> None:
    assert parts_of(saved, elements) == parts
