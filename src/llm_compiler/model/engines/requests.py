"""What engines are asked and what they answer: frozen values, in terms of compilers.

Requests speak text and pass lists, so that our prompts and Meta's, token masks and plain servers
all fit after them. Nothing that is answered is verified: whoever asks compiles and checks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from llm_compiler.records import PassList

__all__ = [
    "Answer",
    "Capability",
    "CodeAnswer",
    "Emulate",
    "Lift",
    "Proposal",
    "Propose",
    "Request",
]


class Capability(StrEnum):
    """What an engine may be asked, and how its answers are to be taken."""

    PROPOSE = "propose"
    LIFT = "lift"
    EMULATE = "emulate"
    FINISH = "finish"
    """Lift in view of a draft."""
    ASSEMBLY = "assembly"
    """Its model was made to write assembly; of others, what the compiler makes of predicted IR is
    the better prediction."""
    VERBATIM = "verbatim"
    """Its answers are somebody's own and to be judged as they are: no rules lift first."""


Answer = TypeVar("Answer", covariant=True)


class Request(Generic[Answer]):
    """What is asked; the parameter says what answers are."""

    __slots__ = ()

    @property
    def needs(self) -> frozenset[Capability]:
        """Return what an engine must be capable of to answer."""
        raise NotImplementedError


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose(Request[Proposal]):
    """Which pass lists make a module smallest: distinct, the most probable first.

    At most `num_candidates` come; fewer where there are fewer lists, or the engine found fewer.
    """

    code: str = field(repr=False)
    """The normalised unoptimised module's text (`corpus.normalize`). What exceeds the context is
    cut; who wants better splits the module first."""
    target_triple: str
    num_candidates: int = 1
    lists: Sequence[PassList] | None = field(default=None, repr=False)
    """Only these may be proposed (the trie of passed lists); None: any list of safe passes. Engines
    that cannot mask leave out what is not among them."""
    oz_size_bytes: int = 0
    """The object's size at default<Oz>; 0 if it is not known."""
    tried: Sequence[tuple[PassList, int]] = field(default=(), repr=False)
    """Lists that were compiled already, in this order, and the sizes of their objects (negative:
    the list failed). None of them is proposed again."""
    seed: int = 0

    @property
    def needs(self) -> frozenset[Capability]:
        """Return what an engine must be capable of to answer."""
        return frozenset({Capability.PROPOSE})

    @property
    def open_lists(self) -> list[PassList] | None:
        """Return those of the lists that were not tried; None: any."""
        known = {recipe for recipe, _ in self.tried}
        return (
            None if self.lists is None else [recipe for recipe in self.lists if recipe not in known]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift(Request[CodeAnswer]):
    """The IR of assembly: distinct texts; none that is unfinished, nor the draft.

    Nothing comes where the prompt exceeds the context.
    """

    assembly: str = field(repr=False)
    """In normal form (`dataset.assembly`)."""
    target_triple: str
    num_candidates: int = 1
    """The first is the most probable by steps (greedy)."""
    temperature: float = 0.0
    """The others are drawn at it; 0: by beams, the most probable first."""
    seed: int = 0
    seconds: float = 0.0
    """For all answers by beams, after the first; 0: no limit."""
    draft: str = field(default="", repr=False)
    """A body in short form that rules have made, to be finished; empty: there is none."""

    @property
    def needs(self) -> frozenset[Capability]:
        """Return what an engine must be capable of to answer."""
        needed = {Capability.LIFT}
        if self.draft:
            needed.add(Capability.FINISH)
        return frozenset(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulate(Request[CodeAnswer]):
    """The code that a pass list makes of a module, as the model predicts it.

    One answer; none where prompt or answer exceed the context.
    """

    code: str = field(repr=False)
    passes: PassList
    target_triple: str
    assembly: bool = False
    """Predict assembly instead of IR."""
    num_instructions: int
    size_bytes: int
    text_data_bytes: int
    """The three of the module before."""
    only_numbers: bool = False
    """The code is not wanted: a model that states numbers first need not write it."""

    @property
    def needs(self) -> frozenset[Capability]:
        """Return what an engine must be capable of to answer."""
        return frozenset({Capability.EMULATE})
