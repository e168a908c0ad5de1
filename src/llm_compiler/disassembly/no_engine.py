"""An engine without a model: lifting is left to the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from llm_compiler.model.engines.engine import CodeAnswer, Proposal
from llm_compiler.records import PassList

__all__ = ["NoEngine"]


class NoEngine:
    """Implements `Engine`; has no answer to anything."""

    name = "none"
    model = "rules"
    context = 0

    def propose(
        self,
        code: str,
        target_triple: str,
        *,
        num_candidates: int,
        lists: Sequence[PassList] | None,
        oz_size_bytes: int = 0,
        tried: Sequence[tuple[PassList, int]] = (),
        seed: int = 0,
    ) -> list[Proposal]:
        """Return nothing."""
        return []

    def disassemble(
        self,
        assembly: str,
        target_triple: str,
        *,
        num_candidates: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[CodeAnswer]:
        """Return nothing."""
        return []

    def emulate(
        self,
        code: str,
        passes: PassList,
        target_triple: str,
        *,
        assembly: bool,
        num_instructions: int,
        size_bytes: int,
        text_data_bytes: int,
    ) -> CodeAnswer | None:
        """Return nothing."""
        return None

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
