"""What an engine is: something that answers requests and says which; and what engines share.

An engine is made by deriving from `BaseEngine`, and found by name once it is in the `registry`. A
wrapper derives from `WrappedEngine` and has one method, `answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from llm_compiler.model.engines.requests import (
    Capability,
    CodeAnswer,
    Emulate,
    Lift,
    Proposal,
    Propose,
    Request,
)

if TYPE_CHECKING:  # they need NumPy, and whoever lists engines does not
    from llm_compiler.model.decoding import Decoder
    from llm_compiler.model.prompts import CompactPrompts, PaperPrompts

__all__ = ["BaseEngine", "Engine", "Reader", "WrappedEngine"]

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that is here: it gives the probability of any text."""

    decoder: Decoder
    prompts: CompactPrompts | PaperPrompts


class Engine(Protocol):
    """A model that answers. Not thread-safe; close it, or use it as a context manager."""

    @property
    def name(self) -> str:
        """Return the name in the registry, for reports."""
        ...

    @property
    def model(self) -> str:
        """Name the weights, for reports."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what may be asked."""
        ...

    @property
    def reader(self) -> Reader | None:
        """Return the model itself, where it is here; None: a server or files have it."""
        ...

    def answer(self, request: Request[_Answer]) -> list[_Answer]:
        """Return the answers to a request, the best first; none to what it is not capable of.

        The same request gives the same answers wherever the engine decodes itself; a server may
        differ.

        Raises:
            EngineError: the model or its server failed.
            CheckpointMismatch: the weights are of another shape or tokenizer.
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


class _Managed:
    """What closes itself."""

    def close(self) -> None:
        """Free the model; here there is none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BaseEngine(_Managed):
    """An `Engine` but for its answers: what derives from it has `propose`, `lift`, `emulate`."""

    name: str = ""
    model: str = ""
    context: int = 0
    capabilities: frozenset[Capability] = frozenset()
    reader: Reader | None = None

    def answer(self, request: Request[_Answer]) -> list[_Answer]:
        """Return the answers of the method for this kind of request."""
        if not request.needs <= self.capabilities:
            return []
        found: list[Any]
        match request:
            case Propose():
                found = self.propose(request)
            case Lift():
                found = self.lift(request)
            case Emulate():
                found = self.emulate(request)
            case _:
                raise TypeError(f"engines are not asked for {type(request).__name__}")
        return cast("list[_Answer]", found)

    def propose(self, request: Propose) -> list[Proposal]:
        """Return pass lists."""
        raise NotImplementedError

    def lift(self, request: Lift) -> list[CodeAnswer]:
        """Return IR of assembly."""
        raise NotImplementedError

    def emulate(self, request: Emulate) -> list[CodeAnswer]:
        """Return predicted code."""
        raise NotImplementedError


class WrappedEngine(_Managed):
    """An `Engine` in front of another, which stays the caller's to close: it overrides `answer`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        """Return the engine's name."""
        return self._engine.name

    @property
    def model(self) -> str:
        """Name the weights."""
        return self._engine.model

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._engine.context

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what may be asked."""
        return self._engine.capabilities

    @property
    def reader(self) -> Reader | None:
        """Return the model itself, where it is here."""
        return self._engine.reader

    def answer(self, request: Request[_Answer]) -> list[_Answer]:
        """Return the engine's answers."""
        return self._engine.answer(request)
