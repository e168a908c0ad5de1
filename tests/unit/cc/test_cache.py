"""The cache of objects: found again, bounded, and unharmed by whatever happens to its files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

from llm_compiler.cc.cache import Cache, Entry

ROOM = 1 << 30


def entry(data: bytes = b"object") -> Entry:
    return Entry(
        data=data, baseline_bytes=9, optimized_bytes=6, recipe="x", proposer="model", quiet=True
    )


def test_entries_are_found_again(tmp_path: Path) -> None:
    with Cache(tmp_path / "new" / "cache") as cache:
        assert cache.get("ab12") is None
        cache.put("ab12", entry(b"\0\n\xff"), room_bytes=ROOM)
        assert cache.get("ab12") == entry(b"\0\n\xff")
    with Cache(tmp_path / "new" / "cache") as cache:
        assert cache.get("ab12") == entry(b"\0\n\xff")
        found = cache.statistics()
        assert (found.num_entries, found.hits, found.misses) == (1, 2, 1)
        cache.clear()
        assert cache.get("ab12") is None


def test_damaged_files_are_misses(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put("ab12", entry(), room_bytes=ROOM)
        path = tmp_path / "ab" / "12"
        whole = path.read_bytes()
        for damaged in (b"", whole[:-1], whole[:20], whole.replace(b"object", b"objecT"), b"x\n\n"):
            path.write_bytes(damaged)
            assert cache.get("ab12") is None
        path.write_bytes(whole)
        assert cache.get("ab12") == entry()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        size = len(cache.sealed(entry(b"x" * 1000).packed()))
        for number in range(4):
            cache.put(f"aa{number}", entry(b"x" * 1000), room_bytes=ROOM)
            time.sleep(0.002)
        assert cache.get("aa0") is not None
        cache.put("bb9", entry(b"x" * 1000), room_bytes=4 * size)
        kept = [item for item in ("aa0", "aa1", "aa2", "aa3", "bb9") if cache.get(item)]
        assert "aa1" not in kept
        assert {"aa0", "bb9"} <= set(kept)
        assert cache.statistics().bytes <= 4 * size


def test_a_removed_folder_and_a_damaged_index_are_made_anew(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "cache"
    with Cache(folder) as cache:
        cache.put("ab12", entry(), room_bytes=ROOM)
        shutil.rmtree(folder)
        assert cache.get("ab12") is None
        cache.put("ab12", entry(), room_bytes=ROOM)
        assert cache.get("ab12") == entry()
    for name in folder.glob("index.db-*"):
        name.unlink()
    (folder / "index.db").write_bytes(b"no database" * 100)
    with Cache(folder) as cache:
        assert cache.get("ab12") == entry()
        assert cache.statistics().num_entries == 1


def test_what_cannot_be_written_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Cache(tmp_path / "file" / "cache") as cache:
        cache.put("ab12", entry(), room_bytes=ROOM)
        assert cache.get("ab12") is None
        assert cache.statistics().num_entries == 0


def _write(folder: Path, first: int) -> None:
    with Cache(folder) as cache:
        for number in range(first, first + 1000):
            cache.put(f"{number % 100:02}{number}", entry(str(number).encode()), room_bytes=20_000)


def test_killed_writers_leave_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, 1000 * n)) for n in range(2)]
    for writer in writers:
        writer.start()
    time.sleep(0.3)
    for writer in writers:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    with Cache(tmp_path) as cache:
        keys = [p.parent.name + p.name for p in tmp_path.glob("??/*") if not p.name.startswith(".")]
        assert keys
        for key in keys:
            found = cache.get(key)
            assert found is not None
            assert found.data.decode() == str(int(key[2:]))
        _write(tmp_path, 5000)
        assert cache.statistics().bytes <= 20_000
