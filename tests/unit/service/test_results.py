from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError
from llm_compiler.service.results import ResultStore

KEY = "0123456789abcdef" * 4


def test_a_result_outlives_its_service(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, limit_bytes=10**6)
    store.keep(KEY, {"x": [1, 2]})
    store.note_job("a" * 24, {"status": "done"})
    store.close()
    again = ResultStore(tmp_path, limit_bytes=10**6)
    assert again.result(KEY) == {"x": [1, 2]}
    assert again.job("a" * 24) == {"status": "done"}
    again.close()


def test_a_damaged_result_is_none(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, limit_bytes=10**6)
    store.keep(KEY, {"x": "y" * 1000})
    (path,) = (tmp_path / "results").iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:-9], whole[: len(whole) // 2], b"x" * 50):
        path.write_bytes(damaged)
        assert store.result(KEY) is None
    store.close()


def test_half_written_files_of_a_killed_service_go(tmp_path: Path) -> None:
    ResultStore(tmp_path, limit_bytes=10**6).close()
    left = tmp_path / "results" / ".llm-compiler-x1"
    left.write_bytes(b"half")
    store = ResultStore(tmp_path, limit_bytes=10**6)
    assert not left.exists()
    assert store.num_bytes == 0
    store.close()


def test_results_used_longest_ago_make_room(tmp_path: Path) -> None:
    noise = {word: os.urandom(2000).hex() for word in "abc"}
    store = ResultStore(tmp_path, limit_bytes=6000)
    for name in "ab":
        store.keep(name * 64, {"x": noise[name]})
    assert store.result("a" * 64) is not None  # now b was used longest ago
    store.keep("c" * 64, {"x": noise["c"]})
    assert [store.result(word * 64) is not None for word in "abc"] == [True, False, True]
    assert store.num_bytes <= 6000
    store.close()


def test_two_services_cannot_share_a_folder(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, limit_bytes=1)
    with pytest.raises(ConfigError, match="another service"):
        ResultStore(tmp_path, limit_bytes=1)
    store.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "x", "a" * 200, "a/b" * 10, "..%2f" * 5])
def test_jobs_are_named_as_we_name_them_only(tmp_path: Path, name: str) -> None:
    store = ResultStore(tmp_path, limit_bytes=1)
    assert store.job(name) is None
    store.close()
