from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.workers import LocalPool


@pytest.fixture(scope="session")
def pool() -> Iterator[LocalPool]:
    with LocalPool(1) as one:
        yield one


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")
