"""The embedded engine: our checkpoints on a CPU with onnxruntime, without PyTorch.

The graphs (`onnx_graph`) are made from the checkpoint on first use and cached. Prompts are read in
chunks of `CHUNK` tokens; whole chunks that a later prompt shares are not read again, which makes
rounds with the compiler cheap and changes no result. Not thread-safe; a process that forks must
load anew. The same input gives the same answer on the same machine with as many threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from llm_compiler.errors import CheckpointMismatch, ConfigError, EngineError, TokenizerMismatch
from llm_compiler.model.configs import CONFIG_FILE, ModelConfig, read_hf_config
from llm_compiler.model.decoding import ALL, Asked, DecodingState, FloatArray, IdArray, log_softmax
from llm_compiler.model.engines.compact import CompactEngine
from llm_compiler.model.engines.graph_cache import cached_graphs
from llm_compiler.model.engines.loader import shipped_model
from llm_compiler.model.engines.registry import LoadOptions
from llm_compiler.model.engines.weights import Weights
from llm_compiler.model.prompts import CompactPrompts, load_prompts
from llm_compiler.records import content_hash
from llm_compiler.signals import holding_back
from llm_compiler.user_folders import cache_folder

__all__ = ["CHUNK", "PRECISIONS", "EmbeddedDecoder", "load_by_options", "load_embedded"]

CHUNK: Final = 128
"""Tokens of a prompt that are read at once; smaller ones waste time on rereading weights, larger
ones on scores of pairs that do not see each other, and on what the next prompt shares."""
_KEPT_TOKENS: Final = 8192
"""Of the last prompts together, whose keys and values are kept: 64 MiB for the small model."""
PRECISIONS: Final = ("int8", "fp32")
"""That are offered; `benchmarks/engines.py` compares all of `onnx_graph.WeightKind`."""
_VERSION: Final = 1
_MAX_THREADS: Final = 8
_HIDDEN: Final = np.float32(-1e9)
_MAX_GRAPH_BYTES: Final = 2**31 - 2**20
"""What a graph's format can hold."""


def _require_onnxruntime() -> Any:
    # From 1.29 on it reports sessions to its vendor unless this is set before it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


class EmbeddedDecoder:
    """A checkpoint in Hugging Face's layout as a `Decoder`.

    Args:
        folder: with config.json and model.safetensors.
        precision: of the matrices, a `WeightKind`.
        threads: None: as many as there are cores for this process, at most 8.
        cache: where graphs are kept; None: the user's cache folder.

    Raises:
        CheckpointMismatch: there is no checkpoint of a Llama, or it is damaged.
        EngineError: the runtime refuses it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        precision: str = "int8",
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        onnxruntime = _require_onnxruntime()
        self.config = read_hf_config(folder)
        self._weights = Weights(folder, self.config)
        matrices = self.config.num_parameters * (4 if precision == "fp32" else 1)
        if matrices > _MAX_GRAPH_BYTES:
            raise EngineError(
                f"{folder} has {self.config.num_parameters / 1e9:.1f} billion parameters, too many "
                "for the embedded engine: use --engine transformers or --engine openai"
            )
        key = content_hash(
            f"{_VERSION} {precision} {content_hash((folder / CONFIG_FILE).read_bytes())} "
            f"{self._weights.content_hash()}".encode()
        )
        graphs, self.was_cached = cached_graphs(
            cache or cache_folder() / "models",
            f"{precision}-{key}",
            lambda: _make_graphs(self.config, self._weights, precision),
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or min(len(os.sched_getaffinity(0)), _MAX_THREADS)
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions
        # Spinning threads would take the cores from the compilers that run at the same time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._layers, self._head = (
                onnxruntime.InferenceSession(
                    bytes(graph), options, providers=["CPUExecutionProvider"]
                )
                for graph in graphs
            )
        except Exception as error:  # onnxruntime has exceptions of its own, without a common base
            raise EngineError(f"onnxruntime cannot load the model in {folder}: {error}") from error
        self._kept: list[_Prompt] = []
        self._columns: tuple[IdArray, FloatArray] | None = None

    @property
    def vocab_size(self) -> int:
        """All ids are below it."""
        return self.config.vocab_size

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.config.context

    def close(self) -> None:
        """Free the model; twice does no harm."""
        self._layers = self._head = self._columns = None
        self._kept = []

    def start(self, ids: Sequence[int]) -> DecodingState:
        """Read a prompt of at least one token and at most the context."""
        assert 0 < len(ids) <= self.context, len(ids)
        array = np.array(ids, dtype=np.int64)
        best = max(self._kept, key=lambda each_prompt: each_prompt.num_shared(array), default=None)
        prompt = _Prompt(self, array, best)
        self._kept.append(prompt)
        while (
            len(self._kept) > 1
            and sum(len(each_prompt.ids) for each_prompt in self._kept) > _KEPT_TOKENS
        ):
            del self._kept[0]
        return _State(self, prompt)

    def run_layers(
        self,
        ids: IdArray,
        positions: IdArray,
        bias: FloatArray,
        prompt: Sequence[FloatArray],
        tree: Sequence[FloatArray],
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Return hidden states (lanes, nodes, hidden), and keys and values by layer.

        Args:
            ids: (lanes, nodes), as `positions`; `onnx_graph` says the rest.
            prompt, tree: keys and values of layer 0, of layer 1, ...
        """
        embeddings = self._weights.tensor("model.embed_tokens.weight", ids)
        feed = {"embeddings": embeddings, "positions": positions, "bias": bias}
        for position, (key, value) in enumerate(zip(prompt, tree, strict=True)):
            name = f"{position // 2}.{'value' if position % 2 else 'key'}"
            feed[f"prompt.{name}"], feed[f"tree.{name}"] = key, value
        hidden, *new = self._run(self._layers, feed)
        return hidden, new

    def log_probabilities(self, hidden: FloatArray, tokens: IdArray | None) -> FloatArray:
        """Return what follows hidden states: (rows, tokens), or (rows, vocab) if None."""
        if tokens is None:
            return log_softmax(self._run(self._head, {"hidden": hidden})[0])
        if self._columns is None or not np.array_equal(self._columns[0], tokens):
            self._columns = tokens, self._weights.tensor(self._weights.head, tokens).T
        return log_softmax(hidden @ self._columns[1])

    def _run(self, session: Any, feed: dict[str, Any]) -> list[FloatArray]:
        if session is None:
            raise EngineError("the model was closed")
        try:
            found: list[FloatArray] = session.run(None, feed)
        except Exception as error:
            raise EngineError(f"onnxruntime failed: {error}") from error
        return found


def _make_graphs(config: ModelConfig, weights: Weights, precision: str) -> tuple[bytes, bytes]:
    # An exception while onnx registers its C++ classes ends the process without a word.
    with holding_back():
        from llm_compiler.model.engines.onnx_graph import WeightKind, head_graph, layers_graph

    kind = WeightKind(precision)
    return (
        layers_graph(config, weights, kind).SerializeToString(),
        head_graph(config, weights, kind).SerializeToString(),
    )


class _Prompt:
    """A prompt's keys and values, (kv, T, d) each, of layer 0, of layer 1, ..."""

    def __init__(self, decoder: EmbeddedDecoder, ids: IdArray, shared: _Prompt | None) -> None:
        config = decoder.config
        kv, size, arrays = config.num_kv_heads, config.head_size, range(2 * config.num_layers)
        self.ids = ids
        self.arrays = [np.empty((kv, len(ids), size), np.float32) for _ in arrays]
        done = 0
        if shared is not None and (done := shared.num_shared(ids)):
            for mine, other in zip(self.arrays, shared.arrays, strict=True):
                mine[:, :done] = other[:, :done]
        no_tree = [np.empty((kv, 1, 0, size), np.float32) for _ in arrays]
        for start in range(done, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK][None]
            end = start + chunk.shape[1]
            before = [np.ascontiguousarray(array[:, :start]) for array in self.arrays]
            hidden, new = decoder.run_layers(
                chunk, np.arange(start, end)[None], _causal(end - start), before, no_tree
            )
            for mine, found in zip(self.arrays, new, strict=True):
                mine[:, start:end] = found[:, 0]
        self.hidden: FloatArray = hidden[0, -1:]
        """Of the last token: (1, hidden)."""

    def num_shared(self, ids: IdArray) -> int:
        """Return how many tokens of whole chunks are the same, the last of `ids` not counted."""
        length = min(len(ids) - 1, len(self.ids))
        different = np.flatnonzero(self.ids[:length] != ids[:length])
        same = int(different[0]) if len(different) else length
        return same // CHUNK * CHUNK


class _State:
    """A prompt, and the keys and values of the nodes after it."""

    def __init__(self, decoder: EmbeddedDecoder, prompt: _Prompt) -> None:
        config = decoder.config
        self._decoder = decoder
        self._prompt = prompt
        self._arrays = 2 * config.num_layers
        self._kv, self._size = config.num_kv_heads, config.head_size
        self.num_prompt = len(prompt.ids)
        self._first_row: FloatArray | None = None
        # Of nodes; arrays grow by doubling.
        self._num_nodes = 0
        self._parents = np.empty(64, np.int64)
        self._depths = np.empty(64, np.int64)
        self._nodes = np.empty((self._arrays, self._kv, 64, self._size), np.float32)
        # Lanes: the last node of each, and the keys and values up to it.
        self._tips: list[int] = []
        self._lanes: list[FloatArray] = []

    def _empty(self, lanes: int, length: int) -> list[FloatArray]:
        shape = self._kv, lanes, length, self._size
        return [np.zeros(shape, np.float32) for _ in range(self._arrays)]

    @property
    def first(self) -> FloatArray:
        """Log-probabilities of the token after the prompt: (vocab,)."""
        if self._first_row is None:
            self._first_row = self._decoder.log_probabilities(self._prompt.hidden, None)[0]
        return self._first_row

    def extend(self, ids: Sequence[int], parents: Sequence[int], asked: Asked = ALL) -> FloatArray:
        """Append nodes to the tree and return the log-probabilities of what follows each."""
        if not ids:
            return np.empty((0, asked.width(self._decoder.vocab_size)), np.float32)
        first = self._num_nodes
        self._append(parents)
        new = np.array(ids, dtype=np.int64)
        if max(parents) >= first:
            hidden = self._extend_tree(new, first)
        else:
            hidden = self._extend_lanes(new, first)
        wanted = hidden if asked.rows is None else hidden[np.array(asked.rows, dtype=np.int64)]
        return self._decoder.log_probabilities(wanted, asked.tokens)

    def _append(self, parents: Sequence[int]) -> None:
        """Take in the new nodes' places in the tree."""
        start, end = self._num_nodes, self._num_nodes + len(parents)
        if end > len(self._parents):
            self._parents, self._depths = (
                np.concatenate([array, np.empty(max(end, len(array)), np.int64)])
                for array in (self._parents, self._depths)
            )
            room = np.empty((*self._nodes.shape[:2], len(self._parents), self._size), np.float32)
            room[:, :, :start] = self._nodes[:, :, :start]
            self._nodes = room
        for node, parent in enumerate(parents, start):
            assert -1 <= parent < node, (parent, node)
            self._parents[node] = parent
            self._depths[node] = self._depths[parent] + 1 if parent >= 0 else 0
        self._num_nodes = end
        deepest = self.num_prompt + int(self._depths[start:end].max())
        assert deepest < self._decoder.context, deepest

    def _extend_tree(self, ids: IdArray, first: int) -> FloatArray:
        """Read new nodes some of which follow others, as one lane."""
        num = len(ids)
        sees = np.zeros((num, self._num_nodes), dtype=bool)
        for position in range(num):
            parent = int(self._parents[first + position])
            if parent >= first:
                sees[position] = sees[parent - first]
            else:
                sees[position, self._path(parent)] = True
            sees[position, first + position] = True
        needed = np.flatnonzero(sees[:, :first].any(axis=0))
        sees = np.concatenate([sees[:, needed], sees[:, first:]], axis=1)
        bias = np.where(sees, np.float32(0), _HIDDEN)[None, None]
        tree = [np.ascontiguousarray(node[:, None, needed]) for node in self._nodes]
        positions = self.num_prompt + self._depths[first : self._num_nodes]
        hidden, new = self._decoder.run_layers(
            ids[None], positions[None], bias, self._prompt.arrays, tree
        )
        for mine, found in zip(self._nodes, new, strict=True):
            mine[:, first : self._num_nodes] = found[:, 0]
        return hidden.reshape(num, -1)

    def _extend_lanes(self, ids: IdArray, first: int) -> FloatArray:
        """Read new nodes all of which follow earlier nodes, each in a lane of its own."""
        parents = self._parents[first : self._num_nodes].tolist()
        depths = self._depths[first : self._num_nodes]
        longest = int(depths.max())
        if parents != self._tips or longest >= self._lanes[0].shape[2]:
            self._make_lanes(parents, longest)
        length = self._lanes[0].shape[2]
        bias = np.where(np.arange(length) < depths[:, None], np.float32(0), _HIDDEN)
        bias = np.concatenate([bias, np.zeros((len(ids), 1), np.float32)], axis=1)[None, :, None]
        positions = (self.num_prompt + depths)[:, None]
        hidden, new = self._decoder.run_layers(
            ids[:, None], positions, bias, self._prompt.arrays, self._lanes
        )
        lanes = np.arange(len(ids))
        for nodes, lane, found in zip(self._nodes, self._lanes, new, strict=True):
            nodes[:, first : self._num_nodes] = found[:, :, 0]
            lane[:, lanes, depths] = found[:, :, 0]
        self._tips = list(range(first, self._num_nodes))
        return hidden.reshape(len(ids), -1)

    def _make_lanes(self, tips: Sequence[int], longest: int) -> None:
        """Collect the keys and values of paths, with room for as many again."""
        positions = 16
        while positions <= longest:
            positions *= 2
        self._lanes = self._empty(len(tips), positions)
        for lane, tip in enumerate(tips):
            path = self._path(tip)
            for mine, nodes in zip(self._lanes, self._nodes, strict=True):
                mine[:, lane, : len(path)] = nodes[:, path]

    def _path(self, node: int) -> list[int]:
        """Return the nodes from the prompt's end down to one, which is the last."""
        path = []
        while node >= 0:
            path.append(node)
            node = int(self._parents[node])
        return path[::-1]


def _causal(num: int) -> FloatArray:
    bias: FloatArray = np.triu(np.full((num, num), _HIDDEN), 1)[None, None]
    return bias


def load_embedded(
    folder: Path,
    *,
    precision: str = "int8",
    threads: int | None = None,
    cache: Path | None = None,
) -> CompactEngine:
    """Load a checkpoint as an engine.

    Raises:
        CheckpointMismatch, EngineError, ToolchainNotFound: as `EmbeddedDecoder`.
        TokenizerMismatch: the folder holds no tokenizer of this package.
    """
    decoder = EmbeddedDecoder(folder, precision=precision, threads=threads, cache=cache)
    prompts = load_prompts(folder)
    if not isinstance(prompts, CompactPrompts):
        raise TokenizerMismatch(
            f"{folder} holds a tokenizer of another model: use --engine transformers"
        )
    return CompactEngine(decoder, prompts, name="embedded", model=str(folder))


def load_by_options(model: str | None, options: LoadOptions) -> CompactEngine:
    """Load a checkpoint, or the shipped weights; for the registry.

    Raises:
        ConfigError: the precision is unknown.
        CheckpointMismatch, TokenizerMismatch, EngineError, ToolchainNotFound: as `load_embedded`.
    """
    precision = options.precision or PRECISIONS[0]
    if precision not in PRECISIONS:
        wanted = ", ".join(PRECISIONS)
        raise ConfigError(f"the precision '{precision}' is unknown: expected one of {wanted}")
    folder = shipped_model() if model is None else Path(model)
    if not folder.is_dir():
        raise CheckpointMismatch(f"there is no checkpoint at {folder}")
    return load_embedded(folder, precision=precision, threads=options.threads)
