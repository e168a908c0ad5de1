from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from llm_compiler.corpus.check import check_samples
from llm_compiler.corpus.inputs import Selection, sample_modules
from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import (
    ShardManifest,
    load_samples,
    read_manifest,
    shard_paths,
    write_manifest,
    write_shards,
)
from llm_compiler.corpus.statistics import count_samples, write_report
from llm_compiler.errors import ArtifactError, InputError, ManifestMissing, ShardCorrupt
from llm_compiler.records import content_hash

pyarrow = pytest.importorskip("pyarrow")

LINES = ("add i32 %0, 7", "mul i64 %0, %1", "call void @g()", "ret void", "fneg double %2")


def sample(number: int, split: str = "train", kind: str = "function") -> Sample:
    body = "".join(f"  {LINES[(number >> i) % 5]}, i{number + i}\n" for i in range(20))
    bitcode = b"BC\xc0\xde" + bytes([number]) * 9
    return Sample(
        module_hash=content_hash(bitcode),
        kind=kind,
        function="f" if kind == "function" else "",
        package="p",
        version="1",
        license="MIT",
        split=split,
        language="c",
        target_triple="x86_64-pc-linux-gnu",
        source=f"ä{number}.c",
        num_functions=1,
        num_instructions=20,
        bitcode=bitcode,
        text=f"define void @f() {{\n{body}}}\n",
        size_bytes=100 + number,
        text_data_bytes=90,
        cluster=content_hash(bitcode),
    )


SAMPLES = [
    *(sample(i) for i in range(5)),
    *(sample(i, kind="unit") for i in range(5, 8)),
    *(sample(i, "test") for i in range(20, 24)),
]


def write(folder: Path, samples: list[Sample]) -> Path:
    shards = write_shards(folder, samples)
    manifest = ShardManifest(shards=tuple(shards), counts={}, config={}, tools={"llvm": "19"})
    write_manifest(folder, manifest)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path, SAMPLES)
    assert list(load_samples(folder)) == SAMPLES
    assert list(load_samples(folder, split="test")) == SAMPLES[8:]
    assert list(load_samples(folder, kind="unit", architecture="x86_64")) == SAMPLES[5:8]
    assert list(load_samples(folder, architecture="aarch64")) == []
    only = list(load_samples(folder, columns=("module_hash", "size_bytes")))
    assert [each_sample.size_bytes for each_sample in only] == [
        each_sample.size_bytes for each_sample in SAMPLES
    ]
    assert {each_sample.text for each_sample in only} == {""}


def test_shards_are_plain_parquet(tmp_path: Path) -> None:
    from pyarrow.dataset import dataset

    table = dataset(shard_paths(write(tmp_path, SAMPLES)), format="parquet").to_table()
    assert table.column("text").to_pylist() == [each_sample.text for each_sample in SAMPLES]
    assert table.schema.field("num_instructions").type == pyarrow.int32()


def test_the_same_samples_make_the_same_files(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path / "a", SAMPLES)) == read_manifest(
        write(tmp_path / "b", SAMPLES)
    )


def test_large_groups_are_cut_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_compiler.corpus.shards._SHARD_BYTES", 1500)
    paths = shard_paths(write(tmp_path, SAMPLES), split="train", kind="function")
    assert [path.name for path in paths][:2] == [
        "x86_64-function-00000.parquet",
        "x86_64-function-00001.parquet",
    ]
    assert list(load_samples(tmp_path)) == SAMPLES


def test_a_folder_without_manifest_is_not_complete(tmp_path: Path) -> None:
    write_shards(tmp_path, SAMPLES)
    with pytest.raises(ManifestMissing, match="corpus sample"):
        list(load_samples(tmp_path))


def test_damaged_shards_are_refused(tmp_path: Path) -> None:
    path = shard_paths(write(tmp_path, SAMPLES))[0]
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(ShardCorrupt, match="bytes, not"):
        list(load_samples(tmp_path))
    path.write_bytes(b"x" * len(data))
    with pytest.raises(ShardCorrupt, match=r"00000\.parquet cannot be read"):
        list(load_samples(tmp_path))
    path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    with pytest.raises(ShardCorrupt, match="not what the manifest says"):
        check_samples(tmp_path)
    path.unlink()
    with pytest.raises(ShardCorrupt, match="is missing"):
        list(load_samples(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ShardCorrupt, match="not a manifest"):
        read_manifest(tmp_path)


def test_a_full_disk_leaves_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llm_compiler.output.os.fsync", full)
    with pytest.raises(ArtifactError, match="No space left"):
        write(tmp_path, SAMPLES)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_check_compares_samples_with_their_hashes(tmp_path: Path) -> None:
    write(tmp_path, [dataclasses.replace(SAMPLES[0], module_hash="0" * 32), *SAMPLES[1:]])
    with pytest.raises(ShardCorrupt, match="is not what it says"):
        check_samples(tmp_path)
    with pytest.raises(ShardCorrupt, match=r"module 0{32} is not what it says"):
        list(load_samples(tmp_path))
    assert len(list(load_samples(tmp_path, columns=("package",)))) == len(SAMPLES)


def test_check_finds_a_clone_across_splits(tmp_path: Path) -> None:
    assert check_samples(write(tmp_path / "a", SAMPLES)).pairs == ()
    clone = dataclasses.replace(SAMPLES[8], text=SAMPLES[2].text.replace("@g", "@other"))
    report = check_samples(write(tmp_path / "b", [*SAMPLES[:8], clone, *SAMPLES[9:]]))
    (pair,) = report.pairs
    assert (pair.module_hash, pair.train_hash) == (clone.module_hash, SAMPLES[2].module_hash)
    assert (pair.split, pair.similarity, report.num_compared) == ("test", 1.0, 4)


def test_statistics_add_up_and_are_plotted(tmp_path: Path) -> None:
    statistics = count_samples(write(tmp_path / "samples", SAMPLES), num_tokens=len)
    assert {(r.split, r.kind): r.num_samples for r in statistics.rows} == {
        ("train", "function"): 5,
        ("train", "unit"): 3,
        ("test", "function"): 4,
    }
    assert sum(row.num_chars for row in statistics.rows) == sum(len(s.text) for s in SAMPLES)
    assert all(row.num_tokens == row.num_chars for row in statistics.rows)
    assert statistics.totals()[-1][5:] == (
        "12",
        str(sum(len(s.text) for s in SAMPLES)),
        "240",
        str(sum(s.size_bytes for s in SAMPLES)),
    )
    assert statistics.quantiles("size_bytes") == [
        ("x86_64", "function", "c", "9", "100", "104", "123", "123", "123"),
        ("x86_64", "unit", "c", "3", "105", "106", "107", "107", "107"),
    ]
    write_report(tmp_path / "report", statistics)
    for name in ("lengths.png", "sizes.png", "packages.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")


def test_modules_to_search_are_spread_over_packages_and_targets(tmp_path: Path) -> None:
    arm = {"target_triple": "aarch64-linux-gnu"}
    many = [sample(number) for number in range(10)]
    many += [dataclasses.replace(sample(number), package="q") for number in range(14, 17)]
    # A unit of one function is the same module: it counts once.
    many.append(dataclasses.replace(many[0], kind="unit", function=""))
    many += [dataclasses.replace(sample(number), **arm) for number in range(10, 14)]
    write(tmp_path, many)
    found = sample_modules(tmp_path, Selection(limit=6, min_size_bytes=102, max_size_bytes=114))
    groups = Counter(
        named_module.name.split("/")[0] + named_module.name[-8:] for named_module in found
    )
    assert sorted(groups.values()) == [1, 2, 3]
    assert len({module.bitcode for module in sample_modules(tmp_path)}) == 17
    assert len(sample_modules(tmp_path)) == 17
    drawn = Selection(limit=6, seed=1)
    assert sample_modules(tmp_path, drawn) == sample_modules(tmp_path, drawn)
    with pytest.raises(InputError, match="no sample of these sizes"):
        sample_modules(tmp_path, Selection(min_size_bytes=500))
