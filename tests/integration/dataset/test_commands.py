from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from llm_compiler import process
from llm_compiler.cli import main
from llm_compiler.dataset import parts
from llm_compiler.dataset.parts import pack, part_paths
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import STAGE_FIELDS
from llm_compiler.errors import ConfigError, ManifestMissing, ShardCorrupt


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must end with exit code 7 and one sentence; return it."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 7
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_killed_build_goes_on_with_the_same_result(
    samples_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["dataset", "build", "emulation", str(samples_folder), "--num-samples", "27"]
    arguments += ["--seed", "2", "--shard-size", "6"]
    assert main([*arguments, "--out", str(tmp_path / "whole"), "--jobs", "2"]) == 0
    out = tmp_path / "killed"
    kills = 0
    for num_shards in (1, 3):
        command = [sys.executable, "-m", "llm_compiler.cli", *arguments, "--out", str(out)]
        child = process.spawn([*command, "--jobs", "1"])
        while len(list(out.glob("*.parquet"))) < num_shards and child.poll() is None:
            time.sleep(0.002)
        kills += child.poll() is None
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert not (out / "manifest.json").exists() or child.returncode == 0
    assert kills > 0
    first = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert main([*arguments, "--out", str(out), "--jobs", "1"]) == 0
    assert content(out) == content(tmp_path / "whole")
    # What was done was not done again.
    assert first.items() <= {p.name: p.stat().st_mtime_ns for p in out.iterdir()}.items()
    # A longer build takes over what is there; a damaged shard is made again.
    (out / "emulation-00002.parquet").write_bytes(b"PAR1")
    assert main([*arguments[:5], "29", *arguments[6:], "--out", str(out)]) == 0
    kept = content(tmp_path / "whole")
    assert {n: d for n, d in content(out).items() if n < "emulation-00004"} == {
        n: d for n, d in kept.items() if n < "emulation-00004"
    }
    assert json.loads((out / "manifest.json").read_text())["num_samples"] == 29
    error = fails(capsys, *arguments[:7], "3", *arguments[8:], "--out", out)
    assert "was made from other samples, options or LLVM" in error


def test_shards_and_show_agree(
    samples_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["disassembly", str(samples_folder), "--seed", "4"]
    build = ["--out", str(tmp_path / "out"), "--num-samples", "9", "--json"]
    assert main(["dataset", "build", *common, *build]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_samples"], report["tasks"]) == (9, {"disassembly": 9})
    table = parquet.read_table(tmp_path / "out/disassembly-00000.parquet")
    assert tuple(table.column_names) == STAGE_FIELDS
    row = table.to_pylist()[5]
    assert main(["dataset", "show", *common, "--index", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == row
    assert main(["dataset", "show", *common, "--index", "5", "--paper"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "[INST] Disassemble this code to LLVM-IR:\n\n<code>" + row["input_code"]
    )
    assert main(["dataset", "show", *common, "--index", "5"]) == 0
    shown = capsys.readouterr().out
    assert f"passes: {row['passes']}\n" in shown
    assert row["output_code"] in shown


def test_a_packing_that_was_stopped_goes_on(
    samples_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = SampleSet(samples_folder, split="")
    limit = 9_000
    whole = pack(samples, tmp_path / "whole", part_bytes=limit)
    assert whole.num_parts > 1
    write = parts.write_atomically

    def stop_behind_the_first(path: Path, data: bytes) -> None:
        if path.name == "part-00001.parquet":
            raise KeyboardInterrupt
        write(path, data)

    out = tmp_path / "stopped"
    monkeypatch.setattr(parts, "write_atomically", stop_behind_the_first)
    with pytest.raises(KeyboardInterrupt):
        pack(samples, out, part_bytes=limit)
    monkeypatch.undo()
    first = (out / "part-00000.parquet").stat().st_mtime_ns
    with pytest.raises(ManifestMissing):
        part_paths(out)
    assert pack(samples, out, part_bytes=limit) == whole
    assert (out / "part-00000.parquet").stat().st_mtime_ns == first
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "whole").iterdir())
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("kind", ["text", "bitcode"])
def test_packed_parts_give_the_same_samples(
    samples_folder: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "parts"
    limit = 9_000
    command = ["dataset", "pack", samples_folder, "--out", out, "--part-bytes", limit]
    assert main([*map(str, command), "--content", kind]) == 0
    parts = sorted(out.glob("part-*.parquet"))
    assert len(parts) > 1
    assert all(part.stat().st_size <= limit for part in parts)
    assert len(SampleSet(out)) == 8
    answers = []
    for folder in (samples_folder, out):
        capsys.readouterr()
        assert main(["dataset", "show", "disassembly", str(folder), "--index", "3"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    # Some of the parts are a sample of the whole.
    parts[0].unlink()
    assert 0 < len(SampleSet(out)) < 8
    parts[1].write_bytes(parts[1].read_bytes()[:-1] + b"?")
    error = fails(capsys, "dataset", "show", "disassembly", out, "--index", "3")
    assert "part-00001.parquet does not match its hash" in error
    (out / "manifest.json").unlink()
    with pytest.raises(ManifestMissing):
        part_paths(out)


def test_parts_that_hold_nothing(samples_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sample fits"):
        pack(SampleSet(samples_folder), tmp_path / "out", part_bytes=100)


def test_bad_input(
    samples_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = ["--out", tmp_path / "out", "--num-samples", "2"]
    tune = ["dataset", "build", "flag-tuning", samples_folder, *build]
    assert "name their file" in fails(capsys, *tune)
    assert "there are no labels at" in fails(capsys, *tune, "--labels", tmp_path / "none")
    (tmp_path / "bad.parquet").write_bytes(b"no Parquet")
    assert "cannot be read as Parquet" in fails(capsys, *tune, "--labels", tmp_path / "bad.parquet")
    emulate = ["dataset", "build", "emulation"]
    assert "manifest.json" in fails(capsys, *emulate, tmp_path / "nowhere", *build)
    assert "holds no samples of split test" in fails(
        capsys, *emulate, samples_folder, *build, "--split", "test"
    )
    texts = ["--texts", tmp_path / "nowhere"]
    assert "dataset texts" in fails(
        capsys, "dataset", "build", "pretraining", samples_folder, *build, *texts
    )
    broken = tmp_path / "broken"
    shutil.copytree(samples_folder, broken)
    shard = next(broken.rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[::-1])
    assert "cannot be read as Parquet" in fails(capsys, *emulate, broken, *build)
    shard.unlink()
    assert "is missing" in fails(capsys, *emulate, broken, *build)
    with pytest.raises(ShardCorrupt, match="is missing"):
        SampleSet(broken)
