from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from llm_compiler import process
from llm_compiler.corpus.build import BuildReport, build_corpus
from llm_compiler.corpus.config import CorpusConfig, parse_config
from llm_compiler.corpus.manifest import load_manifest
from llm_compiler.corpus.tools import Tools, find_tools
from llm_compiler.errors import ArtifactError, ToolchainError

X86 = "x86_64-pc-linux-gnu"


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return find_tools()
    except ToolchainError as error:
        pytest.skip(str(error))


def write_project(folder: Path) -> None:
    """Two C files, a generated header, a link, and a manual that cannot be made."""
    folder.mkdir()
    (folder / "Makefile").write_text(
        "all: program manual\n"
        "program: main.o twice.o\n\t$(CC) -o $@ $^\n"
        "%.o: %.c config.h\n\t$(CC) -O3 -g -DGREETING='\"hello you\"' -I. -c -o $@ $<\n"
        "config.h:\n\techo '#define FACTOR 2' > config.h\n"
        "manual:\n\tno-such-program\n"
    )
    (folder / "main.c").write_text(
        "#include <stdio.h>\nint twice(int);\nint main(void) { puts(GREETING); "
        "return twice(21) != 42; }\n"
    )
    (folder / "twice.c").write_text(
        '#include "config.h"\nint twice(int x) { return FACTOR * x; }\n'
    )


def configure(folder: Path, *tables: dict[str, object]) -> CorpusConfig:
    return parse_config({"local": list(tables)}, folder=folder)


def build(config: CorpusConfig, tmp_path: Path, tools: Tools, **options: object) -> BuildReport:
    return build_corpus(config, out=tmp_path / "out", tools=tools, **options)  # type: ignore[arg-type]


PROJECT: dict[str, object] = {
    "name": "tiny",
    "path": "tiny",
    "kind": "project",
    "split": "train",
    "license": "MIT",
}


def test_a_makefile_project_becomes_unoptimised_bitcode(tmp_path: Path, tools: Tools) -> None:
    write_project(tmp_path / "tiny")
    report = build(configure(tmp_path, PROJECT), tmp_path, tools)
    assert (report.num_units, report.skipped, report.failures) == (2, (), {})
    assert "no-such-program" in report.sources[0].build_error
    units = {unit.source: unit for unit in load_manifest(tmp_path / "out")}
    assert sorted(units) == ["main.c", "twice.c"]
    unit = units["twice.c"]
    assert unit.flags == ('-DGREETING="hello you"', "-I.")
    assert (unit.language, unit.license, unit.num_functions) == ("c", "MIT", 1)
    bitcode = (tmp_path / "out" / unit.path).read_bytes()
    assert hashlib.sha256(bitcode).hexdigest() == unit.sha256
    assert len(bitcode) == unit.num_bytes
    text = process.run(
        [tools.opt, "-S", "-passes=verify", "-o", "-", str(tmp_path / "out" / unit.path)],
        timeout_s=60,
    ).stdout.decode()
    assert "minsize" in text
    assert "optsize" in text
    assert "optnone" not in text
    assert "alloca" in text  # nothing has been optimised
    assert "!dbg" not in text
    assert str(tmp_path).encode() not in bitcode
    assert not (tmp_path / "tiny" / "config.h").exists()  # the user's folder stays as it was


def test_the_bitcode_does_not_depend_on_the_place(tmp_path: Path, tools: Tools) -> None:
    hashes = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        write_project(tmp_path / name / "tiny")
        build(configure(tmp_path / name, PROJECT), tmp_path / name, tools)
        hashes.append([unit.sha256 for unit in load_manifest(tmp_path / name / "out")])
    assert hashes[0] == hashes[1]


def test_another_target_and_duplicates(tmp_path: Path, tools: Tools) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.c").write_text("int twice(int x) { return 2 * x; }\n")
    tables = [
        {"name": name, "path": name, "kind": "sources", "split": split}
        for name, split in (("one", "train"), ("two", "test"))
    ]
    config = configure(tmp_path, *tables)
    triples = (X86, "aarch64-linux-gnu")
    report = build(config, tmp_path, tools, target_triples=triples)
    assert (report.num_units, report.num_duplicates) == (2, 2)
    units = load_manifest(tmp_path / "out")
    assert [(unit.package, unit.target_triple) for unit in units] == [
        ("one", "aarch64-linux-gnu"),
        ("one", X86),
    ]
    assert len(list((tmp_path / "out").glob("*/*/*.bc"))) == 2

    # Without the first, the second stands for itself, although its bitcode was dropped.
    build(configure(tmp_path, tables[1]), tmp_path, tools, target_triples=triples)
    units = load_manifest(tmp_path / "out")
    assert {unit.package for unit in units} == {"two"}
    assert all((tmp_path / "out" / unit.path).is_file() for unit in units)


def test_failures_are_counted_and_held_out_code_is_known_by_content(
    tmp_path: Path, tools: Tools
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "good.c").write_text("int f(void) { return 1; }\n")
    (folder / "header.c").write_text('#include "no-such-header.h"\n')
    (folder / "syntax.cc").write_text("int f( { return 1; }\n")
    (folder / "data.c").write_text("int x = 1;\n")
    (folder / "copy.c").write_text("int inflate_fast(void) { return 1; }\n")
    table = {"name": "mixed", "path": "code", "kind": "sources", "split": "train"}
    missing = {"name": "missing", "path": "nowhere", "kind": "sources", "split": "train"}
    report = build(configure(tmp_path, table, missing), tmp_path, tools)
    assert report.failures == {
        "missing header": 1,
        "language error": 1,
        "no function": 1,
        "held out": 1,
    }
    assert report.skipped == ("missing",)
    assert "no such file" in report.sources[1].error
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert stored["failures"] == report.failures


def test_modules_are_taken_as_they_are(tmp_path: Path, tools: Tools) -> None:
    folder = tmp_path / "ir"
    folder.mkdir()
    body = "define i32 @f() {\n  ret i32 1\n}\n"
    (folder / "mine.ll").write_text(f'target triple = "{X86}"\n{body}')
    (folder / "other.ll").write_text(f'target triple = "aarch64-linux-gnu"\n{body}')
    (folder / "bad.bc").write_bytes(b"not bitcode")
    table = {"name": "ir", "path": "ir", "kind": "modules", "split": "test"}
    report = build(configure(tmp_path, table), tmp_path, tools)
    assert report.num_units == 1
    assert report.failures == {"other target": 1, "language error": 1}


def test_what_is_done_is_not_done_again(tmp_path: Path, tools: Tools) -> None:
    write_project(tmp_path / "tiny")
    config = configure(tmp_path, PROJECT)
    build(config, tmp_path, tools)
    first = (tmp_path / "out" / "manifest.jsonl").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*/*.bc")}
    build(config, tmp_path, tools)
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_report_has_licenses_runs_and_what_was_skipped_before(
    tmp_path: Path, tools: Tools
) -> None:
    write_project(tmp_path / "tiny")
    (tmp_path / "tiny" / "debian").mkdir()
    (tmp_path / "tiny" / "debian" / "copyright").write_text(
        "Format: 1.0\n\nFiles: *\nLicense: Expat\n\nFiles: twice.c\nLicense: GPL-2+\n"
    )
    missing: dict[str, object] = {**PROJECT, "name": "missing", "path": "nowhere"}
    build(configure(tmp_path, PROJECT, missing), tmp_path, tools)
    relicensed = {**PROJECT, "license": "MIT AND GPL-2.0-or-later"}
    config = configure(tmp_path, relicensed, missing)
    report = build(config, tmp_path, tools, packages=["tiny"])
    assert report.skipped == ("missing",)
    assert "no such file or folder" in report.sources[1].error
    assert report.sources[0].copyright == {"Expat": 1, "GPL-2+": 1}
    assert {unit.license for unit in load_manifest(tmp_path / "out")} == {relicensed["license"]}
    assert [run.num_sources for run in report.runs] == [2, 1]
    assert report.runs[0].seconds > 0
    # Python itself takes some 10 MB, and clang more than that.
    assert all(10e6 < run.peak_memory_bytes < 4e9 for run in report.runs)
    assert all(10e6 < run.peak_child_memory_bytes < 4e9 for run in report.runs)


def test_lost_bitcode_is_made_again(tmp_path: Path, tools: Tools) -> None:
    write_project(tmp_path / "tiny")
    config = configure(tmp_path, PROJECT)
    build(config, tmp_path, tools)
    first = (tmp_path / "out" / "manifest.jsonl").read_text()
    next((tmp_path / "out").glob("*/*/*.bc")).unlink()
    build(config, tmp_path, tools)
    units = load_manifest(tmp_path / "out")
    assert all((tmp_path / "out" / unit.path).is_file() for unit in units)
    assert [unit.sha256 for unit in units] == [json.loads(x)["sha256"] for x in first.splitlines()]


def test_another_configuration_leaves_no_stale_bitcode(tmp_path: Path, tools: Tools) -> None:
    write_project(tmp_path / "tiny")
    build(configure(tmp_path, PROJECT), tmp_path, tools)
    changed = {**PROJECT, "exclude": ["twice.c"]}
    report = build(configure(tmp_path, changed), tmp_path, tools)
    assert (report.num_units, report.sources[0].num_excluded) == (1, 1)
    assert len(list((tmp_path / "out").glob("*/*/*.bc"))) == 1


def test_two_builds_do_not_share_a_folder(tmp_path: Path, tools: Tools) -> None:
    write_project(tmp_path / "tiny")
    config = configure(tmp_path, PROJECT)

    def again(report: object) -> None:
        build(config, tmp_path, tools)

    with pytest.raises(ArtifactError, match="another corpus build works"):
        build(config, tmp_path, tools, on_progress=again)


def test_a_folder_that_cannot_be_written_is_an_artifact_error(tmp_path: Path, tools: Tools) -> None:
    write_project(tmp_path / "tiny")
    (tmp_path / "out").write_text("a file stands in the way")
    with pytest.raises(ArtifactError, match="cannot write the corpus folder"):
        build(configure(tmp_path, PROJECT), tmp_path, tools)


_CHILD = """
import sys
from pathlib import Path
from llm_compiler.corpus.build import build_corpus
from llm_compiler.corpus.config import load_config
from llm_compiler.corpus.tools import find_tools
folder = Path(sys.argv[1])
build_corpus(load_config(folder / "c.toml"), out=folder / "out", tools=find_tools())
"""


def test_killed_at_any_moment_the_result_is_the_same(tmp_path: Path, tools: Tools) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for number in range(12):
        (code / f"u{number}.c").write_text(f"int f{number}(int x) {{ return x + {number}; }}\n")
    (tmp_path / "c.toml").write_text(
        '[[local]]\nname = "many"\npath = "code"\nkind = "sources"\nsplit = "train"\n'
    )
    kills = 0
    for delay_s in (0.3, 0.5, 0.7, 0.9):
        child = process.spawn([sys.executable, "-c", _CHILD, str(tmp_path)])
        time.sleep(delay_s)
        if child.poll() is None:
            kills += 1
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    config = parse_config(
        {"local": [{"name": "many", "path": "code", "kind": "sources", "split": "train"}]},
        folder=tmp_path,
    )
    report = build(config, tmp_path, tools)
    (tmp_path / "fresh").mkdir()
    fresh = build_corpus(config, out=tmp_path / "fresh", tools=tools)
    assert kills > 0
    assert report.num_units == fresh.num_units == 12

    def content(out: Path) -> list[tuple[str, str]]:
        return [(unit.path, unit.sha256) for unit in load_manifest(out)]

    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert len(list((tmp_path / "out" / X86).rglob("*.*"))) == 12  # and nothing half-written
