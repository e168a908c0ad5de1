from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.corpus.manifest import Unit, load_manifest, write_text_atomically, write_units
from llm_compiler.errors import ArtifactError, ManifestMissing, ShardCorrupt


def unit(name: str = "a") -> Unit:
    return Unit(
        package="hello",
        version="2.10-3",
        license="MIT",
        split="train",
        language="c",
        target_triple="x86_64-pc-linux-gnu",
        source=f"src/{name}.c",
        path=f"x86_64-pc-linux-gnu/hello/{name}.bc",
        flags=("-DÄ=1",),
        sha256="0" * 64,
        num_bytes=10,
        num_functions=1,
        seconds=0.1,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    units = [unit("a"), unit("b")]
    write_units(tmp_path / "manifest.jsonl", units)
    assert load_manifest(tmp_path) == load_manifest(tmp_path / "manifest.jsonl") == units


def test_no_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match="corpus build"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"package": "a"}', "1"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    write_units(tmp_path / "manifest.jsonl", [unit()])
    with (tmp_path / "manifest.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(ShardCorrupt, match="line 2 is not a unit"):
        load_manifest(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x"
    write_text_atomically(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llm_compiler.output.os.fsync", full)
    with pytest.raises(ArtifactError, match="No space left"):
        write_text_atomically(file, "new")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
