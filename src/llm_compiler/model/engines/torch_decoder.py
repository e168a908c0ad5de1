"""A causal language model of transformers as a `Decoder`: on a CPU or a GPU.

Nodes of a tree are one sequence after the prompt, with a four-dimensional mask that says who sees
whom. Prompts are read in chunks; whole chunks that the next prompt shares are not read again, which
changes no result. Knows nothing of prompts or text. Imports PyTorch and transformers inside
functions. Not thread-safe. The same input gives the same answer on the same machine.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from llm_compiler.errors import EngineError
from llm_compiler.model.decoding import ALL, Asked, DecodingState, FloatArray, IdArray

__all__ = ["CHUNK", "TorchDecoder"]

CHUNK: Final = 1024
"""Tokens of a prompt that are read at once."""


class TorchDecoder:
    """A loaded model as a `Decoder`, which owns it.

    Args:
        model: a causal language model of transformers that takes four-dimensional masks and
            `logits_to_keep`, as Llama does; in evaluation mode, on its device.
        context: tokens of prompt and answer together.
    """

    def __init__(self, model: Any, *, context: int) -> None:
        self._model = model
        self.context = context
        self.vocab_size: int = model.config.get_text_config().vocab_size
        self._last: tuple[list[int], _Cache] | None = None
        # Its name from transformers 5.2x on, and before.
        names = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"

    def close(self) -> None:
        """Free the model; twice does no harm."""
        self._model = self._last = None

    def start(self, ids: Sequence[int]) -> DecodingState:
        """Read a prompt."""
        assert 0 < len(ids) <= self.context, len(ids)
        assert 0 <= min(ids) <= max(ids) < self.vocab_size
        ids = list(ids)
        cache, first = self._read_prompt(ids)
        return _State(self, cache, len(ids), first)

    def _read_prompt(self, ids: list[int]) -> tuple[_Cache, FloatArray]:
        done, cache = 0, _Cache(())
        if self._last is not None:
            known, kept = self._last
            # The last token is always read: its answer is wanted.
            done = _num_shared(known, ids[:-1]) // CHUNK * CHUNK
            cache = kept.first(done) if done else cache
            self._last = None
        theirs = cache.to_transformers()
        row = None
        for start in range(done, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            positions = range(start, start + len(chunk))
            row = self.run(chunk, positions, None, theirs, [len(chunk) - 1], None)
        assert row is not None
        cache = _Cache.of(theirs)
        self._last = ids, cache
        return cache, row[0]

    def run(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        sees: Any,
        cache: Any,
        rows: Sequence[int],
        tokens: IdArray | None,
    ) -> FloatArray:
        """Read tokens, append them to the cache, and return log-probabilities of what follows.

        Args:
            ids, positions: (n,).
            sees: (n, cached + n) bool; None: each all before it.
            cache: of transformers.
            rows: places in `ids` to answer for; may be empty.
            tokens: as in `DecodingState.extend`.
        """
        if self._model is None:
            raise EngineError("the model was closed")
        import torch

        device = self._model.device
        try:
            with torch.inference_mode():
                mask = None
                if sees is not None:
                    dtype = self._model.dtype
                    mask = torch.zeros(sees.shape, dtype=dtype, device=device)
                    hidden = torch.from_numpy(~sees).to(device)
                    mask = mask.masked_fill_(hidden, torch.finfo(dtype).min)[None, None]
                found = self._model(
                    input_ids=torch.tensor([list(ids)], device=device),
                    position_ids=torch.tensor([list(positions)], device=device),
                    attention_mask=mask,
                    **{self._cache_name: cache},
                    use_cache=True,
                    # One at least: none would mean all.
                    logits_to_keep=torch.tensor(list(rows) or [0], device=device),
                )
                logits = found.logits[0].float()[: len(rows)]
                if tokens is not None:
                    logits = logits[:, torch.from_numpy(tokens).to(device)]
                answer: FloatArray = logits.log_softmax(-1).cpu().numpy()
                return answer
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"PyTorch failed: {error}") from error


class _Cache:
    """Keys and values of each layer, (1, heads, tokens, size) each; never changed in place."""

    def __init__(self, layers: Sequence[tuple[Any, Any]]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, cache: Any) -> _Cache:
        """Take those of a cache of transformers, of this version or an earlier one."""
        if hasattr(cache, "layers"):
            return cls([(layer.keys, layer.values) for layer in cache.layers])
        return cls(list(zip(cache.key_cache, cache.value_cache, strict=True)))

    def to_transformers(self) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(self._layers):
            cache.update(keys, values, layer)
        return cache

    def first(self, tokens: int) -> _Cache:
        """Return those of the first tokens."""
        return _Cache(
            [(keys[:, :, :tokens], values[:, :, :tokens]) for keys, values in self._layers]
        )


class _State:
    """A prompt that was read, and the tree after it."""

    def __init__(
        self, decoder: TorchDecoder, cache: _Cache, num_prompt: int, first: FloatArray
    ) -> None:
        self._decoder, self._prompt = decoder, cache
        self._cache: Any = None
        """The prompt and the nodes, as transformers keeps them."""
        self.num_prompt = num_prompt
        self.first = first
        """Log-probabilities of the token after the prompt: (vocab,)."""
        self._depths: list[int] = []
        # Of each node, who it sees: (nodes, nodes) bool; grows by doubling.
        self._sees = np.zeros((64, 64), dtype=bool)

    def extend(self, ids: Sequence[int], parents: Sequence[int], asked: Asked = ALL) -> FloatArray:
        """Append nodes to the tree and return the log-probabilities of what follows each."""
        if not ids:
            return np.empty((0, asked.width(self._decoder.vocab_size)), np.float32)
        start = len(self._depths)
        end = start + len(ids)
        if end > len(self._sees):
            size = max(end, 2 * len(self._sees))
            larger = np.zeros((size, size), dtype=bool)
            larger[:start, :start] = self._sees[:start, :start]
            self._sees = larger
        for node, parent in enumerate(parents, start):
            assert -1 <= parent < node, (parent, node)
            if parent >= 0:
                self._sees[node, : parent + 1] = self._sees[parent, : parent + 1]
            self._sees[node, node] = True
            self._depths.append(self._depths[parent] + 1 if parent >= 0 else 0)
        positions = [self.num_prompt + depth for depth in self._depths[start:]]
        assert max(positions) < self._decoder.context, max(positions)
        # The prompt is seen by all.
        sees = np.ones((len(ids), self.num_prompt + end), dtype=bool)
        sees[:, self.num_prompt :] = self._sees[start:end, :end]
        wanted = range(len(ids)) if asked.rows is None else asked.rows
        if self._cache is None:
            self._cache = self._prompt.to_transformers()
        return self._decoder.run(ids, positions, sees, self._cache, wanted, asked.tokens)


def _num_shared(group: Sequence[int], other: Sequence[int]) -> int:
    """Return how many ids are the same from the beginning on."""
    length = min(len(group), len(other))
    for position in range(length):
        if group[position] != other[position]:
            return position
    return length
