"""The second round: tell the model what is wrong with its answers, and ask once more.

An answer is judged in a worker, in process and against the assembly alone (`dataset.judge`): what
it is really worth is for the `Lifter` to show. The answer that is nearest to right is repaired
first; an answer to a repair may be repaired again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from llm_compiler.dataset.judge import Judged, JudgeJob
from llm_compiler.model.engines.engine import CodeAnswer, Engine, Finisher, Repairer
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["RepairingEngine"]


class RepairingEngine:
    """An `Engine` that spends some of the candidates on repairs of the others.

    The engine itself stays the caller's to close. One that cannot repair answers as it is.

    Args:
        repairs: answers of a second round, of all that are asked for; at least one is of the first.
        pool: what judges; used only while answering.
    """

    def __init__(
        self, engine: Engine, pool: WorkerPool, *, repairs: int, timeout_s: float = 30.0
    ) -> None:
        self._engine, self._pool = engine, pool
        self._repairs, self._timeout_s = repairs, timeout_s

    name = property(lambda self: self._engine.name)
    model = property(lambda self: self._engine.model)
    context = property(lambda self: self._engine.context)

    def disassemble(
        self,
        assembly: str,
        target_triple: str,
        *,
        num_candidates: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[CodeAnswer]:
        """Return the first round's answers and, unless one is right already, the second's."""
        engine = self._engine
        repairs = min(self._repairs, num_candidates - 1)
        if repairs < 1 or not isinstance(engine, Repairer) or not engine.can_repair:
            repairs = 0
        answers = engine.disassemble(
            assembly,
            target_triple,
            num_candidates=num_candidates - repairs,
            temperature=temperature,
            seed=seed,
        )
        if not repairs or not isinstance(engine, Repairer):
            return answers
        waiting: list[tuple[tuple[bool, int, int], CodeAnswer, str]] = []
        fresh: Sequence[CodeAnswer] = answers
        while len(answers) < num_candidates:
            for one, judged in zip(fresh, self._judge(fresh, assembly, target_triple), strict=True):
                if judged.is_exact:
                    return answers
                if one.body and judged.report:
                    order = not judged.lowers, judged.report.count("\n"), len(waiting)
                    waiting.append((order, one, judged.report))
            if not waiting:
                break
            waiting.sort(key=lambda entry: entry[0])
            _, wrong, report = waiting.pop(0)
            known = {one.body for one in answers}
            found = engine.repair(
                assembly,
                target_triple,
                body=wrong.body,
                report=report,
                num_candidates=4,
                seed=seed,
            )
            fresh = [one for one in found if one.body not in known][:1]
            answers = [*answers, *fresh]
        if len(answers) < num_candidates:
            # Repairs that brought nothing new leave room for more first answers.
            known = {one.code for one in answers}
            more = engine.disassemble(
                assembly,
                target_triple,
                num_candidates=num_candidates,
                temperature=temperature,
                seed=seed,
            )
            answers += [one for one in more if one.code not in known]
        return answers[:num_candidates]

    @property
    def can_finish(self) -> bool:
        """Whether the engine was trained to answer in view of a draft."""
        return isinstance(self._engine, Finisher) and self._engine.can_finish

    def finish(self, *arguments: Any, **named: Any) -> list[CodeAnswer]:
        """Ask for answers in view of a draft."""
        engine = self._engine
        if not isinstance(engine, Finisher) or not engine.can_finish:
            return []
        return engine.finish(*arguments, **named)

    def _judge(
        self, answers: Sequence[CodeAnswer], assembly: str, target_triple: str
    ) -> list[Judged]:
        if not answers:
            return []
        job = JudgeJob(
            assembly=assembly,
            target_triple=target_triple,
            bodies=tuple(one.body for one in answers),
            timeout_s=self._timeout_s,
        )
        found: list[Judged] = run_jobs(self._pool, [job])[0]
        return found

    def propose(self, *arguments: Any, **named: Any) -> Any:
        """Ask for pass lists."""
        return self._engine.propose(*arguments, **named)

    def emulate(self, *arguments: Any, **named: Any) -> Any:
        """Ask for the code behind a pass list."""
        return self._engine.emulate(*arguments, **named)

    def close(self) -> None:
        """Do nothing: the engine is another's."""

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""
