"""The model as an OpenAI-compatible completions server: ``/v1/models`` and ``/v1/completions``.

The part of the protocol that vLLM, llama.cpp and this package's own ``openai`` engine share:
prompts as text or token ids, several answers, temperature, seed, stop strings, log-probabilities,
echo.
Nothing that a client sends is compiled here. One question is answered at a time, in a thread.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from llm_compiler.errors import ArtifactError, TokenizerMismatch
from llm_compiler.model.decoding import Decoder
from llm_compiler.model.engines.embedded import EmbeddedDecoder
from llm_compiler.model.engines.loader import shipped_model
from llm_compiler.model.generation import generate
from llm_compiler.model.prompts import CompactPrompts, load_prompts
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.service.limits import Refusal

__all__ = ["CompletionRequest", "ServedModel", "add_completions", "open_model"]

SHIPPED: Final = "shipped"
_MAX_ANSWERS: Final = 32
_MAX_WAITING: Final = 32
_SCORED_AT_ONCE: Final = 128
"""Tokens whose next ones are all weighed at once: a row is as long as the vocabulary."""


class CompletionRequest(BaseModel):
    """A question as OpenAI's protocol has it; what is not known here is left out of account."""

    model_config = ConfigDict(extra="ignore")

    model: str = ""
    prompt: str | list[int] | list[str] | list[list[int]]
    n: Annotated[int, Field(ge=1, le=_MAX_ANSWERS)] = 1
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=4)] = 1.0
    seed: int = 0
    stop: str | list[str] | None = None
    logprobs: int | None = None
    echo: bool = False
    stream: Literal[False] = False


@dataclass(slots=True, kw_only=True)
class ServedModel:
    """A checkpoint that answers. One thread at a time."""

    name: str
    decoder: Decoder
    tokenizer: IrTokenizer
    created: int = field(default_factory=lambda: int(time.time()))

    def ids_of(self, prompt: str | list[int]) -> list[int]:
        """Return a prompt's tokens.

        Raises:
            Refusal: there are none, too many, or some are not of this vocabulary.
        """
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        if not ids:
            raise Refusal("the prompt is empty", status=400)
        if len(ids) > self.decoder.context:
            raise Refusal(
                f"the prompt has {len(ids)} tokens, which exceeds the model's context of "
                f"{self.decoder.context}",
                status=400,
                code="context_length_exceeded",
            )
        if any(not 0 <= index < self.decoder.vocab_size for index in ids):
            raise Refusal(
                f"a token is not below {self.decoder.vocab_size}, the vocabulary's size", status=400
            )
        return ids

    def answers(self, ids: Sequence[int], asked: CompletionRequest) -> list[dict[str, Any]]:
        """Return the choices of one prompt, without their indexes."""
        room = min(asked.max_tokens, self.decoder.context - len(ids))
        found: list[dict[str, Any]] = []
        for number in range(asked.n):
            new: tuple[int, ...] = ()
            finished = False
            if room > 0 and not (found and asked.temperature == 0):
                new, finished = self._written(ids, room, asked, asked.seed + number)
            elif found:
                found.append(dict(found[0]))
                continue
            found.append(self._choice(ids, new, asked, finished=finished))
        return found

    def _written(
        self, ids: Sequence[int], room: int, asked: CompletionRequest, seed: int
    ) -> tuple[tuple[int, ...], bool]:
        # Where several are drawn, the first is the greedy one.
        num = 1 if asked.temperature == 0 else 2
        *_, found = generate(
            self.decoder.start(ids),
            num,
            end=self.tokenizer.end,
            max_tokens=room,
            temperature=asked.temperature,
            seed=seed,
        )
        is_ended = bool(found.ids) and found.ids[-1] == self.tokenizer.end
        return (found.ids[:-1] if is_ended else found.ids), found.finished

    def _choice(
        self,
        ids: Sequence[int],
        new: tuple[int, ...],
        asked: CompletionRequest,
        *,
        finished: bool,
    ) -> dict[str, Any]:
        text = self.tokenizer.decode(new)
        stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
        positions = [text.find(stop) for stop in stops if stop and stop in text]
        if positions:
            text, finished = text[: min(positions)], True
        shown = [*ids, *new] if asked.echo else list(new)
        values: list[float | None] = []
        if asked.logprobs is not None:
            values = [*self.log_probabilities([*ids, *new])]
            values = values if asked.echo else values[len(ids) :]
        return {
            "text": (self.tokenizer.decode(ids) if asked.echo else "") + text,
            "finish_reason": "stop" if finished else "length",
            "token_ids": shown,
            "logprobs": {
                "tokens": [self.tokenizer.decode([index]) for index in shown],
                "token_logprobs": values,
            }
            if asked.logprobs is not None
            else None,
        }

    def log_probabilities(self, ids: Sequence[int]) -> list[float | None]:
        """Return the log-probability of each token after those before it; the first has none."""
        state = self.decoder.start(ids[:1])
        values: list[float | None] = [None]
        if len(ids) > 1:
            values.append(float(state.first[ids[1]]))
        for start in range(1, len(ids) - 1, _SCORED_AT_ONCE):
            part = ids[start : min(start + _SCORED_AT_ONCE, len(ids) - 1)]
            parents = [start - 2 + place for place in range(len(part))]
            rows = state.extend(part, parents)
            following = ids[start + 1 : start + 1 + len(part)]
            values += [float(row[index]) for row, index in zip(rows, following, strict=True)]
        return values


def open_model(name: str) -> ServedModel:
    """Load a checkpoint, or the shipped weights.

    Raises:
        CheckpointMismatch, EngineError, TokenizerMismatch: it cannot be loaded.
    """
    folder = shipped_model() if name == SHIPPED else Path(name)
    prompts = load_prompts(folder)
    if not isinstance(prompts, CompactPrompts):
        raise TokenizerMismatch(f"{folder} holds a tokenizer of another model")
    return ServedModel(
        name="llm-compiler" if name == SHIPPED else folder.resolve().name,
        decoder=EmbeddedDecoder(folder),
        tokenizer=prompts.tokenizer,
    )


def add_completions(app: FastAPI, model: ServedModel) -> None:
    """Add the two routes of the protocol."""
    turn = asyncio.Lock()
    waiting = 0

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the one model."""
        return {
            "object": "list",
            "data": [
                {
                    "id": model.name,
                    "object": "model",
                    "created": model.created,
                    "owned_by": "llm-compiler",
                    "max_model_len": model.decoder.context,
                }
            ],
        }

    @app.post("/v1/completions")
    async def completions(asked: CompletionRequest) -> dict[str, Any]:
        """Go on with a text or with tokens."""
        nonlocal waiting
        if asked.model and asked.model != model.name:
            raise Refusal(f"there is no model '{asked.model[:80]}' here", status=404, code="model")
        prompts = [model.ids_of(prompt) for prompt in _prompts(asked.prompt)]
        if len(prompts) * asked.n > _MAX_ANSWERS:
            raise Refusal(f"at most {_MAX_ANSWERS} answers are given at once", status=400)
        if waiting >= _MAX_WAITING:
            raise Refusal("too many questions wait", status=503, code="queue", retry_after_s=5)
        waiting += 1
        try:
            async with turn:
                found = await asyncio.to_thread(
                    lambda: [answer for ids in prompts for answer in model.answers(ids, asked)]
                )
        except ArtifactError as error:
            raise Refusal(f"the model failed: {error}", status=503, code="model") from error
        finally:
            waiting -= 1
        read = sum(map(len, prompts))
        written = sum(len(table["token_ids"]) for table in found) - (read if asked.echo else 0)
        return {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.name,
            "choices": [{"index": index, **table} for index, table in enumerate(found)],
            "usage": {
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
            },
        }


def _prompts(
    prompt: str | list[int] | list[str] | list[list[int]],
) -> list[str | list[int]]:
    if isinstance(prompt, str) or not prompt or isinstance(prompt[0], int):
        return [prompt]  # type: ignore[list-item]
    return list(prompt)
