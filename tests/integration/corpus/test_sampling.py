"""From a corpus folder to a folder of samples: resumable, deterministic, no clone across splits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.corpus.check import check_samples
from llm_compiler.corpus.manifest import Unit, load_manifest, write_units
from llm_compiler.corpus.normalize import normalize
from llm_compiler.corpus.plan import SampleConfig
from llm_compiler.corpus.sampling import SampleReport, build_samples
from llm_compiler.corpus.sampling_jobs import ListFunctionsJob
from llm_compiler.corpus.shards import load_samples, read_manifest
from llm_compiler.errors import InputError, ShardCorrupt
from llm_compiler.llvm.module_jobs import Job
from llm_compiler.records import Status
from llm_compiler.workers import LocalPool
from llm_compiler.workers.fake import FakePool

pytest.importorskip("rensa")
CompileUnit = Callable[[str], bytes]

# The first is in two splits: what was compiled for the test split must go.
UNITS = (
    ("a", "train", "switch_dense.c"),
    ("a", "train", "sort_algorithms.c"),
    ("b", "validation", "integer_shifts_rotates.c"),
    ("c", "test", "switch_dense.c"),
    ("c", "test", "virtual_diamond.cpp"),
)
COMMAND = Path(sys.executable).parent / "llm-compiler"


@pytest.fixture(scope="module")
def corpus(compile_unit: CompileUnit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    units = []
    for package, split, source in UNITS:
        data = compile_unit(source)
        path = f"{package}/{source}.bc"
        (folder / package).mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        units.append(
            Unit(
                package=package,
                version="1",
                license="MIT",
                split=split,
                language="c++" if source.endswith("pp") else "c",
                target_triple="x86_64-pc-linux-gnu",
                source=source,
                path=path,
                flags=(),
                sha256=hashlib.sha256(data).hexdigest(),
                num_bytes=len(data),
                num_functions=1,
                seconds=0.1,
            )
        )
    write_units(folder / "manifest.jsonl", units)
    return folder


def build(corpus: Path, out: Path, pool: LocalPool | FakePool, **config: float) -> SampleReport:
    settings = SampleConfig(**config)  # type: ignore[arg-type]
    return build_samples(corpus, out, settings, pool=pool, llvm_version="19")


@pytest.fixture(scope="module")
def samples(corpus: Path, pool: LocalPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    build(corpus, folder, pool)
    return folder


def test_samples_are_normal_described_and_in_one_split(samples: Path, corpus: Path) -> None:
    found = list(load_samples(samples))
    assert {s.split for s in found} == {"train", "validation", "test"}
    assert {s.kind for s in found} == {"function", "unit"}
    for sample in found[::7]:
        normal = normalize(sample.bitcode)
        assert (normal.text, normal.module_hash) == (sample.text, sample.module_hash)
    assert all(s.num_instructions >= 5 and 0 < s.text_data_bytes <= s.size_bytes for s in found)
    # The copy in the test split is gone, as a unit and as functions; the other unit is there.
    assert {s.source for s in found if s.split == "test"} == {"virtual_diamond.cpp"}
    assert {s.source for s in found if s.split == "train"} == {u[2] for u in UNITS[:2]}
    report = check_samples(samples)
    assert report.pairs == ()
    assert report.num_samples == len(found)
    counts = read_manifest(samples).counts
    assert counts["levels"] == {"full": counts["num_made"]}
    assert counts["num_kept"] == len(found)


def test_the_number_of_workers_and_the_manifests_order_make_no_difference(
    samples: Path, corpus: Path, tmp_path: Path
) -> None:
    for package in ("a", "b", "c"):
        (tmp_path / package).symlink_to(corpus / package, target_is_directory=True)
    write_units(tmp_path / "manifest.jsonl", load_manifest(corpus)[::-1])
    # Processes of its own: code generation for odd targets in this one (test_module) leaves LLVM
    # options changed, so that x86-64's objects come out with other sizes.
    with LocalPool(1) as local_pool:
        build(tmp_path, tmp_path / "out", local_pool)
    assert read_manifest(tmp_path / "out") == read_manifest(samples)


def test_a_killed_build_goes_on_and_ends_with_the_same(
    corpus: Path, samples: Path, tmp_path: Path, toolchain: object
) -> None:
    out = tmp_path / "out"
    command = [COMMAND, "corpus", "sample", corpus, "--out", out, "--jobs", "1"]
    killed_at = []
    for wanted in (1, 3):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while len(list(out.rglob("units/*/*.parquet"))) < wanted and child.poll() is None:
            time.sleep(0.005)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert not (out / "manifest.json").exists()
        (out / ".state" / "units" / ".llm-compiler-torn").write_bytes(b"half a file")
        killed_at.append({p: p.stat().st_mtime_ns for p in out.rglob("units/*/*.parquet")})
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    for path, written in killed_at[-1].items():
        assert path.stat().st_mtime_ns == written, "what was done is not done again"
    assert read_manifest(out).shards == read_manifest(samples).shards
    assert list(out.rglob(".llm-compiler-*")) == [], "leftovers of the killed run"


def test_functions_that_llvm_dies_of_are_counted(corpus: Path, tmp_path: Path) -> None:
    def dies(job: Job, step: int) -> Status | None:
        if isinstance(job, ListFunctionsJob):
            return None
        return Status.CRASHED if step == 1 else None

    with FakePool(dies) as pool:
        report = build(corpus, tmp_path / "out", pool)
    assert report.left_out["crashed"] == len(UNITS)
    assert len(report.failures) == len(UNITS)


def test_settings_choose_the_mix(corpus: Path, pool: LocalPool, tmp_path: Path) -> None:
    report = build(corpus, tmp_path, pool, unit_share=0.0, max_text_bytes=4000)
    assert set(report.kinds) == {"function"}
    assert report.left_out["too-long"] > 0
    assert max(len(s.text.encode()) for s in load_samples(tmp_path)) <= 4000
    # Other settings in the same folder replace the samples.
    build(corpus, tmp_path, pool, unit_share=1.0, min_instructions=30)
    found = list(load_samples(tmp_path))
    assert min(s.num_instructions for s in found) >= 30
    assert "unit" in {s.kind for s in found}


def test_bad_input_is_said_clearly(corpus: Path, pool: LocalPool, tmp_path: Path) -> None:
    units = load_manifest(corpus)
    write_units(tmp_path / "manifest.jsonl", [dataclasses.replace(units[0], path="gone.bc")])
    with pytest.raises(ShardCorrupt, match=r"gone\.bc cannot be read"):
        build(tmp_path, tmp_path / "out", pool)
    (tmp_path / "gone.bc").write_bytes(b"BC\xc0\xdebroken")
    with pytest.raises(ShardCorrupt, match="not what the manifest says"):
        build(tmp_path, tmp_path / "out", pool)
    with pytest.raises(InputError, match="no unit of these packages"):
        build_samples(
            corpus,
            tmp_path / "out",
            SampleConfig(),
            pool=pool,
            llvm_version="19",
            packages=frozenset({"none"}),
        )


def test_the_commands_check_and_count(samples: Path, corpus: Path, tmp_path: Path) -> None:
    def types(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [COMMAND, "corpus", *map(str, arguments)], capture_output=True, check=False, timeout=60
        )

    assert types("check", samples).returncode == 0
    done = types("stats", samples, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(row["num_samples"] for row in rows) == read_manifest(samples).counts["num_kept"]
    done = types("stats", corpus, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(row["num_units"] for row in rows) == len(load_manifest(corpus))
    assert {row["license"] for row in rows} == {"MIT"}
    assert types("sample", corpus, "--out", tmp_path / "again", "--jobs", "1").returncode == 0
    report = json.loads((tmp_path / "again" / "report.json").read_bytes())
    assert report["num_kept"] == read_manifest(samples).counts["num_kept"]
    assert report["seconds"] > 0
    # The worker has libLLVM loaded.
    assert report["peak_child_memory_bytes"] > 40e6
    # At a lower threshold there are pairs: the exit code is that of a negative verdict.
    done = types("check", samples, "--threshold", "0.05", "--json")
    assert (done.returncode, len(json.loads(done.stdout)["pairs"]) > 0) == (1, True)
    done = types("check", tmp_path)
    assert (done.returncode, b"corpus sample" in done.stderr) == (7, True)
