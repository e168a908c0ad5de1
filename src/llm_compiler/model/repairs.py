"""Samples of the task ``repair``: a model's wrong lifts, what is wrong, and the right ones.

A model lifts functions of stage data (`dataset.build`, stage disassembly) whose right answers are
known; what it gets wrong it can learn from. The samples depend on the weights, the data, the seed
and the index.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from llm_compiler.dataset.engine import MAX_ATTEMPTS, Result
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stored import open_stored_stage, read_own_samples
from llm_compiler.dataset.verify_bodies import VerifyBodiesJob
from llm_compiler.errors import ArtifactError
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.requests import CodeAnswer, Lift
from llm_compiler.records import content_hash
from llm_compiler.workers import WorkerPool, run_jobs

__all__ = ["RepairStage"]

_A_FUNCTION: Final = 2
"""Samples of one function, of different wrong lifts."""
_STRIDE: Final = 7919
"""A prime: where the next function is, when one has no wrong lifts."""


class RepairStage:
    """Wrong lifts of stage data's functions; what `dataset.build_dataset` writes.

    Args:
        data: a folder of stage data of the stage disassembly.
        engine: lifts; the caller closes it.
        weights: names the weights.
        candidates: lifts that are asked for of each function, the first answer greedy.
        temperature: of the others.

    Raises:
        ArtifactError: the data is missing, damaged, empty or of another stage.
    """

    name = "disassembly"

    def __init__(
        self,
        data: Path,
        engine: Engine,
        *,
        weights: str,
        candidates: int = 4,
        temperature: float = 0.8,
        seed: int = 0,
    ) -> None:
        stored = open_stored_stage(data)
        self._samples = read_own_samples(data, stored, self.name)
        self._engine, self._seed = engine, seed
        self._candidates, self._temperature = candidates, temperature
        identity = f"repair 1 {stored.identity} {weights} {candidates} {temperature} {seed}"
        self.fingerprint = content_hash(identity.encode())

    def make(self, indexes: Iterable[int], pool: WorkerPool) -> Iterator[Result]:
        """Yield the sample of each index, in their order.

        Raises:
            ArtifactError: an index gave no sample in `MAX_ATTEMPTS` draws: the model makes no
                mistakes, or answers nothing.
            EngineError: the model failed.
        """
        found: list[tuple[CodeAnswer, str]] = []
        # Where `found` comes from, and how many functions before it had no wrong lift.
        position, skipped = -1, 0
        for index in indexes:
            function, number = divmod(index, _A_FUNCTION)
            if function != position or not number:
                position, skipped = function, 0
                while not (found := self._wrong(function + _STRIDE * skipped, pool)):
                    skipped += 1
                    if skipped == MAX_ATTEMPTS:
                        raise ArtifactError(f"{skipped} functions have no wrong lift")
            sample = self._sample(function + _STRIDE * skipped)
            # A function with one wrong lift gives it twice.
            answer, report = found[min(number, len(found) - 1)]
            yield Result(
                sample=dataclasses.replace(
                    sample,
                    task="repair",
                    seed=self._seed,
                    index=index,
                    draw=skipped,
                    attempt=answer.body,
                    report=report,
                ),
                causes=("no wrong lift",) * (0 if number else skipped),
            )

    def _sample(self, place: int) -> StageSample:
        return self._samples[place % len(self._samples)]

    def _wrong(self, place: int, pool: WorkerPool) -> list[tuple[CodeAnswer, str]]:
        """Return a function's wrong lifts, those that lower first, and what is wrong with them."""
        sample = self._sample(place)
        answers = self._engine.answer(
            Lift(
                assembly=sample.input_code,
                target_triple=sample.target_triple,
                num_candidates=self._candidates,
                temperature=self._temperature,
                seed=self._seed,
            )
        )
        if not answers:
            return []
        job = VerifyBodiesJob(
            assembly=sample.input_code,
            target_triple=sample.target_triple,
            bodies=tuple(answer.body for answer in answers),
        )
        judged = run_jobs(pool, [job])[0]
        wrong = [
            (not item.lowers, number, (answer, item.report))
            for number, (answer, item) in enumerate(zip(answers, judged, strict=True))
            if not item.is_exact and answer.body and item.report
        ]
        return [pair for _, _, pair in sorted(wrong, key=lambda row: row[:2])]
