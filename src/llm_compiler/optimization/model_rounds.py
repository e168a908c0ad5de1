"""What a model adds to the coreset's first lists, for `optimize` and for evaluations alike.

Half of the candidates are the coreset's first lists, which are measured; the model chooses the
rest, and sees what the compiler made of the first ones. Where it names fewer, the coreset's next
lists are tried, so that no evaluation is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llm_compiler.errors import ArtifactError
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.requests import Propose
from llm_compiler.records import PassList
from llm_compiler.search.strategies import fixed, in_rounds, in_sequence
from llm_compiler.search.trial import Strategy, Trial

__all__ = ["Ask", "ModelRounds", "ProposingModel", "first_lists", "round_counts"]

Tried = Sequence[tuple[PassList, int]]
"""Lists and the sizes of their objects; -1 where there is none."""
Ask = Callable[[int, Tried, int], list[PassList]]
"""From a number of lists, what was tried, and the size at default<Oz> to the model's lists."""


def first_lists(num_candidates: int) -> int:
    """Return how many of the candidates are the coreset's first lists, before the model chooses.

    Half of them, measured on packages held out of training (`EXPERIMENTS.md`): fewer tell the model
    less. A single candidate is the model's, which does better there than the coreset's first list.
    """
    return num_candidates // 2


def round_counts(num_candidates: int) -> list[int]:
    """Return how many lists each round of the model chooses.

    All at once: rounds of one, two or four lists saved no more, and each takes a forward pass.
    """
    return [num_candidates] if num_candidates else []


class ProposingModel:
    """An engine that threads share: one question at a time, and none after it has failed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._failed = False

    def propose(
        self,
        code: str,
        target_triple: str,
        count: int,
        *,
        lists: Sequence[PassList] | None,
        oz_size_bytes: int,
        tried: Tried,
        seed: int,
    ) -> list[PassList]:
        """Return the lists that the model chooses; none where it has failed before.

        Raises:
            ArtifactError: it fails now.
        """
        with self._turn:
            if self._failed:
                return []  # one time-out is enough
            try:
                proposals = self._engine.answer(
                    Propose(
                        code=code,
                        target_triple=target_triple,
                        num_candidates=count,
                        lists=lists,
                        oz_size_bytes=oz_size_bytes,
                        tried=tried,
                        seed=seed,
                    )
                )
            except ArtifactError:
                self._failed = True
                raise
        return [proposal.passes for proposal in proposals]


@dataclass(slots=True, kw_only=True)
class ModelRounds:
    """A search on one module that a model leads; it remembers which lists were the model's.

    Args:
        ask: puts the question to the model; what it raises ends the search.
        lists: the coreset's, the best first.
        oz_size_bytes: at default<Oz>, in process, which the model compares sizes with.
    """

    ask: Ask
    lists: Sequence[PassList]
    oz_size_bytes: int
    chosen: set[PassList] = field(default_factory=set)

    def strategy(self, num_candidates: int) -> Strategy:
        """Return the coreset's first lists, then what the model chooses in view of them."""
        num_first = first_lists(num_candidates)
        rounds = in_rounds(self._choose, round_counts(num_candidates - num_first))
        return in_sequence(fixed(self.lists[:num_first]), rounds)

    def one_shot(self, num_candidates: int) -> Strategy:
        """Return what the model chooses by itself, and nothing else."""
        return in_rounds(self._ask, [num_candidates])

    def _ask(self, trial: Trial, count: int) -> Sequence[PassList]:
        tried = [(passes, m.size_bytes if m.ok else -1) for passes, m in trial.known.items()]
        chosen = self.ask(count, tried, self.oz_size_bytes)
        self.chosen.update(chosen)
        return chosen

    def _choose(self, trial: Trial, count: int) -> Sequence[PassList]:
        chosen = self._ask(trial, count)
        known = {*trial.known, *chosen}
        rest = [recipe for recipe in self.lists if recipe not in known]
        return [*chosen, *rest[: count - len(chosen)]]
