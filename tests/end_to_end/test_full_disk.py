"""The long data commands on a disk that is full: exit code 7, a clear word, nothing lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_compiler.process import run

pytest.importorskip("rensa")

FUNCTION = (
    "int g{0}(int);\n"
    "int f{0}(int *p, int n) {{ int s = {0}; for (int i = 0; i < n; i++) {{\n"
    "  if (p[i] > {0}) s += g{0}(p[i]) * {0}; else s -= p[i] / ({0} + n);\n"
    "  switch (p[i] % 5) {{ case 0: s += g{0}(1); break; case 1: s ^= {0}; break; }}\n"
    "}} return s; }}\n"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that gives the disk a number of KiB and returns its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", folder], timeout_s=10).ok:
        pytest.skip("mounting a small disk needs root")

    def resize(num_kib: int) -> Path:
        assert run(["mount", "-o", f"remount,size={num_kib}k", folder], timeout_s=10).ok
        return folder

    try:
        yield resize
    finally:
        run(["umount", "-l", folder], timeout_s=10)


def test_a_full_disk_ends_with_7_and_with_room_the_same_command_goes_on(user, disk) -> None:
    for number in range(1, 7):
        user.write(f"code/u{number}.c", FUNCTION.format(number))
    user.write(
        "c.toml", '[[local]]\nname = "many"\npath = "code"\nkind = "sources"\nsplit = "train"\n'
    )
    steps = (
        (20, "manifest.jsonl", ("corpus", "build", "--config", "c.toml", "--out")),
        (40, "manifest.json", ("corpus", "sample", "corpus", "--jobs", "1", "--out")),
        (8, "", ("labels", "build", "samples", "--num-lists", "8", "--jobs", "1", "-o")),
        (
            12,
            "manifest.json",
            ("dataset", "build", "emulation", "samples", "--num-samples", "40", "--out"),
        ),
    )
    names = ("corpus", "samples", "labels.parquet", "emulation")
    for name, (num_kib, last, command) in zip(names, steps, strict=True):
        small = disk(num_kib) / name
        done = user.types(*command, small)
        assert (done.code, len(done.errors)) == (7, 1), (name, done.code, done.err)
        assert "no space left on" in done.errors[0].lower()
        assert "make room and run the" in done.errors[0]
        assert not (small / last).is_file()
        # The same on a disk with room: what the full one had is kept, and the end is the same.
        kept = {path for path in disk(8192).rglob("*") if path.is_file()}
        # 40 samples are one shard, which is written whole or not at all.
        assert bool(kept) == (name != "emulation")
        assert user.types(*command, small).code == 0
        assert user.types(*command, name).code == 0
        first, second = (
            path.read_bytes() if path.is_file() else (path / last).read_bytes()
            for path in (small, user.folder / name)
        )
        # A unit's own seconds differ.
        assert re.sub(rb'"seconds": [0-9.]+', b"", first) == re.sub(
            rb'"seconds": [0-9.]+', b"", second
        )
        shutil.rmtree(small, ignore_errors=True)
        for path in small.parent.glob(f"{small.stem}*"):
            path.unlink()
