from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import built_in_suite
from llm_compiler.workers import LocalPool


@pytest.fixture(scope="session")
def pool() -> Iterator[LocalPool]:
    with LocalPool(1) as local_pool:
        yield local_pool


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def evaluator(
    request: pytest.FixtureRequest, pool: LocalPool, cache_dir: Path
) -> Iterator[PassListEval]:
    """PassListEval with the programs that the module names in PROGRAMS."""
    suite = built_in_suite().subset(request.module.PROGRAMS)
    with PassListEval(suite, pool=pool, cache_dir=cache_dir, program_timeout_s=2) as pass_list_eval:
        yield pass_list_eval
