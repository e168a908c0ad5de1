"""Decoding: what a loaded model must be able to do, and what may restrict its answers.

A `Decoder` reads a prompt once. After it grows a *tree* of nodes, one token each: a node sees the
prompt and its ancestors, so that any number of candidates share the prompt's keys and values, and
a whole trie of pass lists is ranked in one forward pass (`model.ranking`). Texts are written on the
same tree (`model.generation`).

Knows nothing of prompts, text or runtimes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALL",
    "Asked",
    "Checker",
    "Constraint",
    "Decoder",
    "DecodingState",
    "Finding",
    "FloatArray",
    "IdArray",
    "log_softmax",
]

FloatArray = NDArray[np.float32]
IdArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which log-probabilities are asked for, where new nodes are appended to a tree."""

    rows: Sequence[int] | None = None
    """Of which of the new nodes, by their places among them; None: all."""
    tokens: IdArray | None = None
    """The only tokens that may follow: the log-probabilities are among these, in this order (much
    less work than the whole vocabulary). None: all tokens."""

    def width(self, vocab_size: int) -> int:
        """Return how many log-probabilities each node has."""
        return vocab_size if self.tokens is None else len(self.tokens)


ALL: Final = Asked()


class DecodingState(Protocol):
    """A prompt that was read, and the tree of nodes after it. Valid until the decoder closes."""

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        ...

    @property
    def first(self) -> FloatArray:
        """Log-probabilities of the token after the prompt: (vocab,)."""
        ...

    def extend(self, ids: Sequence[int], parents: Sequence[int], asked: Asked = ALL) -> FloatArray:
        """Append nodes to the tree and return the log-probabilities of what follows each.

        Nodes are numbered from 0 in the order in which they are appended, over all calls.

        Args:
            ids: (n,) the nodes' tokens; n may be 0.
            parents: (n,) the number of each node's parent, which is lower than its own (of this
                call or of an earlier call), or -1 for the end of the prompt. The position of a node
                is that after its parent; it must be within the context.
            asked: what the answer leaves out.

        Returns:
            (rows or n, tokens or vocab) float32, in nats; each row's exponentials sum to 1.

        Raises:
            EngineError: the runtime failed.
        """
        ...


class Decoder(Protocol):
    """A loaded model. Not thread-safe."""

    @property
    def vocab_size(self) -> int:
        """All ids are below it."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    def start(self, ids: Sequence[int]) -> DecodingState:
        """Read a prompt of at least one token and at most the context.

        Raises:
            EngineError: the runtime failed.
        """
        ...

    def close(self) -> None:
        """Free the model; twice does no harm."""
        ...


class Constraint(Protocol):
    """What may follow, step by step. States are values: any number of them are held at once."""

    def start(self) -> Hashable:
        """Return the state before the first token."""
        ...

    def advance(self, state: Any, id_: int) -> Hashable:
        """Return the state after a token that was allowed."""
        ...

    def allowed(self, state: Any) -> IdArray | None:
        """Return the tokens that may follow, ascending; None: all; empty: the answer ends here."""
        ...


class Checker(Protocol):
    """What may follow, token by token: asked only for those that are about to be taken.

    For rules that no mask of the vocabulary can be made for quickly. States are values, as a
    `Constraint`'s.
    """

    def start(self) -> Hashable:
        """Return the state before the first token."""
        ...

    def step(self, state: Any, id_: int) -> Hashable | None:
        """Return the state after a token; None: it may not stand here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A sequence of tokens that was found."""

    ids: tuple[int, ...] = field(repr=False)
    """After the prompt; with the end token, if it has one."""
    log_probability: float
    """In nats, under the masks that were applied, of all tokens together; at temperature 1. What a
    `Checker` refused counts as if it had been allowed."""
    finished: bool = True
    """Whether it ended by itself, and not at the limit."""


def log_softmax(logits: FloatArray) -> FloatArray:
    """Return the log-probabilities of logits along the last axis, which may be empty."""
    if not logits.size:
        return logits
    logits = logits - logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits
