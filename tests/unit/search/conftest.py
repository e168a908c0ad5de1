from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from llm_compiler.llvm.module_jobs import EvaluateJob, WorkerState
from llm_compiler.records import Measurement, PassList, Status, content_hash
from llm_compiler.workers.fake import FakePool

Objective = Callable[[PassList], int | Status]
MakePool = Callable[[Objective], FakePool]


@pytest.fixture
def make_pool(monkeypatch: pytest.MonkeyPatch) -> MakePool:
    """A pool whose "compiler" is a function from a pass list to a size or to how it fails."""

    def make(objective: Objective) -> FakePool:
        def run(self: EvaluateJob, state: WorkerState, first_step: int) -> Iterator[Measurement]:
            for passes in self.pass_lists[first_step:]:
                value = objective(passes)
                if isinstance(value, Status):
                    yield Measurement(status=value, detail="made to fail")
                    continue
                yield Measurement(
                    status=Status.OK,
                    size_bytes=value,
                    text_data_bytes=value // 2,
                    num_instructions=value // 3,
                    result_hash=content_hash(str(value).encode()),
                )

        monkeypatch.setattr(EvaluateJob, "run", run)
        return FakePool()

    return make
