"""Jobs that misbehave: imported by the workers too, through PYTHONPATH (see `conftest.py`)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Measurement, PassList, Status


@dataclass(frozen=True, kw_only=True)
class Script:
    """One step for each word: what the worker does in it."""

    words: tuple[str, ...]
    timeout_s: float = 30.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        return len(self.words)

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        for step in range(first_step, self.num_steps):
            yield self._do(self.words[step])

    @staticmethod
    def _do(word: str) -> str:
        what, _, value = word.partition(" ")
        match what:
            case "abort":
                os.abort()
            case "exit":
                os._exit(int(value))
            case "sleep":
                time.sleep(float(value))
            case "allocate":
                return str(len(bytearray(int(value))))
            case "recurse":
                return str(len(repr(_nested(int(value)))))
            case "raise":
                raise ZeroDivisionError(value)
            case "pid":
                return str(os.getpid())
            case "noise":
                print("x" * int(value), flush=True)
        return word

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        return f"{status}: {detail}"


def _nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@dataclass(frozen=True, kw_only=True)
class CountingJob:
    """Measure lists with or without sharing; one result: measurements, passes run, objects made."""

    bitcode: bytes
    pass_lists: tuple[PassList, ...]
    share: bool
    timeout_s: float = 100.0
    affinity: str = ""
    num_steps: int = 1

    def run(
        self, state: WorkerState, first_step: int
    ) -> Iterator[tuple[list[Measurement], int, int]]:
        with Evaluator(self.bitcode, share=self.share) as evaluator:
            found = [evaluator.measure(passes) for passes in self.pass_lists]
            yield found, evaluator.num_pass_runs, evaluator.num_code_generations

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        return f"{status}: {detail}"


@dataclass(frozen=True, kw_only=True)
class LengthJob:
    """Its result is how long its module is."""

    bitcode: bytes
    timeout_s: float = 30.0
    affinity: str = ""
    num_steps: int = 1

    def run(self, state: WorkerState, first_step: int) -> Iterator[int]:
        yield len(self.bitcode)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> int:
        return -1
