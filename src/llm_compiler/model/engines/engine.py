"""What every engine can do, in terms of compilers: propose pass lists, lift code, predict code.

Engines speak text and pass lists, so that ours and Meta's prompts, token masks and plain servers
all fit behind them. Nothing that an engine says is verified: whoever asks compiles and checks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from llm_compiler.records import PassList

__all__ = ["CodeAnswer", "Engine", "Proposal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A pass list that an engine proposes for a module."""

    passes: PassList
    log_probability: float
    """In nats, of the list given the module, as far as the engine knows it; 0 where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAnswer:
    """Code that an engine answers with, and what it states of it; None where it does not say."""

    code: str = field(repr=False)
    log_probability: float = 0.0
    """In nats, of the whole answer."""
    num_tokens: int = 0
    num_instructions: int | None = None
    size_bytes: int | None = None
    text_data_bytes: int | None = None
    body: str = field(default="", repr=False)
    """Of lifted code that was restored from a function's body in short form: that body."""


class Engine(Protocol):
    """A model that answers. Not thread-safe; close it, or use it as a context manager.

    All methods raise: `EngineError` (the model or its server failed), `CheckpointMismatch` (the
    weights are of another shape or tokenizer). The same arguments give the same answers wherever
    the engine decodes itself; a server may differ.
    """

    @property
    def name(self) -> str:
        """Return ``embedded``, ``transformers`` or ``openai``."""
        ...

    @property
    def model(self) -> str:
        """Name the weights, for reports."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        ...

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
        """Return distinct pass lists for a module, the most probable first.

        Args:
            code: the normalised unoptimised module's text (`corpus.normalize`). What exceeds the
                context is cut; callers who want better split the module first.
            oz_size_bytes: the object's size at default<Oz>; 0 if it is not known.
            tried: lists that were compiled already, in this order, and the sizes of their objects
                (negative: the list failed). The model takes them into account as far as it was
                trained to; none of them is proposed again.
            lists: only these may be proposed (the trie of passed lists); None: any list of safe
                passes. Engines that cannot mask leave out what is not among them.

        Returns:
            At most `num_candidates`; fewer where there are fewer lists, or the engine found fewer.
        """
        ...

    def disassemble(
        self,
        assembly: str,
        target_triple: str,
        *,
        num_candidates: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[CodeAnswer]:
        """Return IR texts for assembly in normal form (`dataset.assembly`), distinct.

        Args:
            num_candidates: the first is the most probable by steps (greedy); the others are drawn
                at `temperature` (0: by beams, the most probable first).

        Returns:
            None that is unfinished; empty where the prompt exceeds the context.
        """
        ...

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
        """Return the code that a pass list makes of a module, as the model predicts it.

        Args:
            assembly: predict assembly instead of IR.
            num_instructions, size_bytes, text_data_bytes: of the module before.

        Returns:
            None where prompt or answer exceed the context.
        """
        ...

    def close(self) -> None:
        """Free the model; twice does no harm."""
        ...

    def __enter__(self) -> Self:
        """Return the engine."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close it."""
        ...


@runtime_checkable
class Finisher(Protocol):
    """An engine that may know how to answer in view of a draft that rules have made."""

    @property
    def can_finish(self) -> bool:
        """Whether its model was trained to."""
        ...

    def finish(
        self,
        assembly: str,
        target_triple: str,
        *,
        draft: str,
        num_candidates: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[CodeAnswer]:
        """Return IR texts for assembly in normal form, distinct; none of them is the draft.

        Args:
            draft: a body in short form.
            num_candidates, temperature, seed: as in `Engine.disassemble`.
        """
        ...
