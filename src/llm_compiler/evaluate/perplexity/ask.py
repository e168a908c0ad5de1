"""The probability of code as text, to models that run here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.samples import SampleRow, identity_of
from llm_compiler.model.decoding import Decoder
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts

__all__ = ["PerplexityRow", "nats_of", "perplexity_row", "reader_of"]

_CHUNK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityRow(SampleRow):
    """How probable one text is to one model; what exceeds the context is read in pieces."""

    task: str
    passes: str
    num_bytes: int
    num_tokens: int
    nats: float
    seconds: float


def reader_of(engine: Engine) -> tuple[Decoder, CompactPrompts | PaperPrompts]:
    """Return what gives the probabilities of a text, and what turns texts into documents.

    Raises:
        ConfigError: the engine has none: it replays, or asks a server.
    """
    if engine.reader is not None:
        return engine.reader.decoder, engine.reader.prompts
    raise ConfigError(
        f"{engine.model}: perplexity needs a model that runs here, by the engine 'embedded' or "
        f"'transformers'; '{engine.name}' does not give the probabilities of a text"
    )


def nats_of(decoder: Decoder, ids: Sequence[int], start: int) -> float:
    """Return minus the log-probability of ``ids[start:]``, in nats, given those before."""
    state = decoder.start(ids[:start])
    total = -float(state.first[ids[start]])
    for first in range(start, len(ids) - 1, _CHUNK):
        part = list(ids[first : min(first + _CHUNK, len(ids) - 1)])
        # A chain: each node's parent is the node before it; the first's is the prompt.
        parents = [first - start - 1 + position for position in range(len(part))]
        rows = state.extend(part, parents)
        for position in range(len(part)):
            total -= float(rows[position, ids[first + position + 1]])
    return total


def perplexity_row(engine: Engine, sample: StageSample, *, suite: str, model: str) -> PerplexityRow:
    """Return the row of one pretraining sample.

    Raises:
        ConfigError: the engine does not give the probabilities of a text.
    """
    decoder, prompts = reader_of(engine)
    start = time.monotonic()
    nats, num_tokens = 0.0, 0
    for piece in prompts.documents(sample, engine.context):
        nats += nats_of(decoder, piece.ids, piece.answer_start)
        num_tokens += len(piece.ids) - piece.answer_start
    return PerplexityRow(
        **identity_of(sample, suite, model),
        task=sample.task,
        passes=sample.passes,
        num_bytes=len(sample.output_code.encode()),
        num_tokens=num_tokens,
        nats=nats,
        seconds=time.monotonic() - start,
    )
