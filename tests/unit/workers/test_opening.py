"""Which pool is opened, and what it says when it cannot be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.errors import ConfigError
from llm_compiler.workers import LocalPool, PoolSpec, num_local_processes, open_pool
from llm_compiler.workers.cluster import ClusterPool


def test_the_local_pool_is_the_default() -> None:
    with open_pool(PoolSpec(), 3) as pool:
        assert isinstance(pool, LocalPool)
        assert pool.num_workers == num_local_processes(pool) == 3


def test_beside_a_cluster_this_machine_has_its_own_processors() -> None:
    pool = ClusterPool.__new__(ClusterPool)
    assert num_local_processes(pool) == len(os.sched_getaffinity(0))


def test_an_address_without_its_pool_is_refused() -> None:
    with pytest.raises(ConfigError, match="--ray-address is of --pool ray"):
        open_pool(PoolSpec(ray_address="auto"))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--ray-address", "auto"], 2, "--ray-address is of --pool ray: give both, or neither"),
        (["--pool", "ray"], 3, "pip install 'llm-compiler[ray]'"),
    ],
)
def test_a_command_says_it_in_one_line(
    options: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    source = tmp_path / "a.c"
    source.write_text("int x;\n")
    store = ["--store", str(tmp_path / "a.db")]
    assert main(["autotune", str(source), *store, *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("llm-compiler: error: ")
    assert words in err
    assert err.count("\n") == 1
