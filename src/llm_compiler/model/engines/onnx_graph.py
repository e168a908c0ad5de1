"""Builds Llama as ONNX graphs straight from a checkpoint's tensors: no PyTorch, no exporter.

Two graphs. *Layers*: embeddings in, normalised hidden states and new keys and values out. *Head*:
hidden states in, logits over the whole vocabulary out. Looking up embeddings, and logits of few
tokens, need no graph: both read rows of a matrix.

Shapes: B lanes of n new nodes each; T tokens of the prompt, which all nodes see; C places in each
lane for earlier nodes, of which the bias says what is seen. kv heads of keys and values, d numbers
a head. A tree is one lane of all its new nodes; texts that are written side by side are lanes of
one new node each, so that no text's nodes cost another's time::

    layers  inputs   embeddings      (B, n, hidden)
                     positions       (B, n) int64
                     bias            (1, B, n, C + n): 0 where seen, else very negative
                     prompt.<l>.key, .value    (kv, T, d)
                     tree.<l>.key, .value      (kv, B, C, d)
            outputs  hidden          (B, n, hidden)
                     new.<l>.key, .value       (kv, B, n, d)
    head    hidden (rows, hidden) -> logits (rows, vocab)

Weights of matrices are float32 or integers (`WeightKind`); the rest is float32.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.engines.weights import Weights

__all__ = ["WeightKind", "head_graph", "layers_graph"]

_OPSET = 17
_IR_VERSION = 8
_MICROSOFT = "com.microsoft"
_BLOCK = 32

FloatArray = NDArray[np.float32]


class WeightKind(StrEnum):
    """How matrices are stored and multiplied."""

    FP32 = "fp32"
    DYNAMIC8 = "dynamic8"
    """8-bit weights, a scale a column; activations to 8 bits, a scale a tensor, so that a node's
    answer depends on what is read beside it: for comparison."""
    INT8 = "int8"
    """8-bit weights in blocks of 32 (MatMulNBits); activations to 8 bits, a scale a block."""
    INT4 = "int4"
    """As INT8 with 4 bits: no quicker for small models, and far less exact: for comparison."""


class _Graph:
    """Nodes and initializers of a graph that grows."""

    def __init__(self, kind: WeightKind) -> None:
        self.kind = kind
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._count = 0

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        name = name or self.name("constant")
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def shape(self, *sizes: int) -> str:
        return self.constant(np.array(sizes, dtype=np.int64))

    def name(self, what: str) -> str:
        self._count += 1
        return f"{what}.{self._count}"

    def op(
        self, kind: str, *inputs: str, domain: str = "", out: str = "", **attributes: Any
    ) -> str:
        return self.ops(kind, *inputs, domain=domain, outs=(out or self.name(kind),), **attributes)[
            0
        ]

    def ops(
        self, kind: str, *inputs: str, outs: tuple[str, ...], domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        node = helper.make_node(
            kind, list(inputs), list(outs), name=self.name("node"), domain=domain, **attributes
        )
        self.nodes.append(node)
        return outs

    def linear(self, x: str, weight: FloatArray, name: str, *, out: str = "") -> str:
        """Multiply by a matrix as it is stored: (out, in)."""
        num_out, num_in = weight.shape
        if self.kind is WeightKind.FP32:
            return self.op("MatMul", x, self.constant(weight.T, name), out=out)
        if self.kind is WeightKind.DYNAMIC8:
            scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127
            rounded = np.rint(weight / scale[:, None]).astype(np.int8).T
            quantized = self.ops(
                "DynamicQuantizeLinear", x, outs=tuple(self.name("quantized") for _ in range(3))
            )
            return self.op(
                "MatMulIntegerToFloat",
                quantized[0],
                self.constant(rounded, name),
                quantized[1],
                self.constant(scale.astype(np.float32)),
                quantized[2],
                domain=_MICROSOFT,
                out=out,
            )
        bits = 8 if self.kind is WeightKind.INT8 else 4
        packed, scales = _pack_blocks(weight, bits)
        return self.op(
            "MatMulNBits",
            x,
            self.constant(packed, name),
            self.constant(scales.ravel()),
            domain=_MICROSOFT,
            out=out,
            K=num_in,
            N=num_out,
            bits=bits,
            block_size=_BLOCK,
            accuracy_level=4,
        )

    def model(self, inputs: list[Any], outputs: list[Any], name: str) -> Any:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="llm-compiler"
        )


def _pack_blocks(weight: FloatArray, bits: int) -> tuple[NDArray[np.uint8], FloatArray]:
    """Return blocks of unsigned integers around the middle, (out, blocks, bytes), and scales."""
    num_out, num_in = weight.shape
    padded = np.zeros((num_out, -(-num_in // _BLOCK) * _BLOCK), dtype=np.float32)
    padded[:, :num_in] = weight
    blocks = padded.reshape(num_out, -1, _BLOCK)
    if bits == 8:
        scales = np.maximum(np.abs(blocks).max(axis=2), 1e-12) / 127
        rounded = np.rint(blocks / scales[:, :, None]) + 128
        return rounded.astype(np.uint8), scales
    # Symmetric, with the largest value of a block at -8: as good as a zero point, and quicker.
    position = np.abs(blocks).argmax(axis=2)[:, :, None]
    largest = np.take_along_axis(blocks, position, axis=2)[:, :, 0]
    scales = np.where(largest == 0, np.float32(1e-12), largest / -8).astype(np.float32)
    rounded = np.clip(np.rint(blocks / scales[:, :, None]) + 8, 0, 15).astype(np.uint8)
    return rounded[:, :, 0::2] | (rounded[:, :, 1::2] << 4), scales


def _float(name: str, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class _Shapes:
    """Shapes that depend on the inputs' sizes, as names of one-dimensional tensors."""

    def __init__(self, graph: _Graph, config: ModelConfig) -> None:
        size, kv = config.head_size, config.num_kv_heads
        group = config.num_heads // kv

        def dimension(tensor: str, axis: int) -> str:
            shape = graph.op("Shape", tensor)
            return graph.op("Slice", shape, graph.shape(axis), graph.shape(axis + 1))

        def join(*sizes: int | str) -> str:
            names = [siz if isinstance(siz, str) else graph.shape(siz) for siz in sizes]
            return graph.op("Concat", *names, axis=0)

        lanes, nodes = dimension("embeddings", 0), dimension("embeddings", 1)
        prompt, tree = dimension("prompt.0.key", 1), dimension("tree.0.key", 2)
        rows = graph.op("Mul", graph.shape(group), nodes)
        all_rows = graph.op("Mul", lanes, rows)
        self.split_q = graph.shape(0, 0, kv, group, size)
        self.split_kv = graph.shape(0, 0, kv, size)
        self.flat_q = join(kv, all_rows, size)
        self.lane_q = join(kv, lanes, rows, size)
        self.flat_scores = join(kv, all_rows, prompt)
        self.lane_scores = join(kv, lanes, rows, prompt)
        self.segments = join(prompt, tree, nodes)
        self.split_heads = join(kv, lanes, group, nodes, size)
        self.joined_heads = join(lanes, nodes, config.hidden_size)


def layers_graph(config: ModelConfig, weights: Weights, kind: WeightKind) -> Any:
    """Return the graph of all layers and the last norm, as an `onnx.ModelProto`."""
    graph = _Graph(kind)
    hidden, heads, kv = config.hidden_size, config.num_heads, config.num_kv_heads
    size, group = config.head_size, config.num_heads // config.num_kv_heads
    inputs = [
        _float("embeddings", "lanes", "nodes", hidden),
        helper.make_tensor_value_info("positions", TensorProto.INT64, ["lanes", "nodes"]),
        _float("bias", 1, "lanes", "nodes", "seen"),
    ]
    outputs = [_float("hidden", "lanes", "nodes", hidden)]
    angles = np.arange(config.context, dtype=np.float64)[:, None] / config.rope_theta ** (
        np.arange(0, size, 2, dtype=np.float64) / size
    )
    cos = graph.constant(np.cos(angles).astype(np.float32), "cos")
    sin = graph.constant(np.sin(angles).astype(np.float32), "sin")
    split_qkv = graph.shape(hidden, kv * size, kv * size)
    shapes = _Shapes(graph, config)
    rotate: dict[str, Any] = {"domain": _MICROSOFT, "rotary_embedding_dim": 0}
    gather: dict[str, Any] = {"perm": [2, 0, 3, 1, 4]}
    # (1, B, n, C + n) for one head of a group, to all heads of a group.
    bias = graph.op("Concat", *["bias"] * group, axis=2) if group > 1 else "bias"

    x = "embeddings"
    delta = ""
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"

        def tensor(name: str, prefix: str = prefix) -> FloatArray:
            return weights.tensor(f"{prefix}.{name}.weight")

        def joined(*names: str) -> FloatArray:
            return np.concatenate([tensor(name) for name in names])

        for segment, lane in (("prompt", ()), ("tree", ("lanes",))):
            for what in ("key", "value"):
                inputs.append(
                    _float(f"{segment}.{layer}.{what}", kv, *lane, f"num_{segment}", size)
                )
        x, normed = _norm(graph, x, delta, tensor("input_layernorm"), config.rms_norm_eps)
        qkv = graph.linear(
            normed,
            joined("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            f"{prefix}.qkv",
        )
        outs = tuple(f"{prefix}.{word}" for word in "qkv")
        q, k, v = graph.ops("Split", qkv, split_qkv, outs=outs, axis=2)
        q = graph.op("RotaryEmbedding", q, "positions", cos, sin, num_heads=heads, **rotate)
        k = graph.op("RotaryEmbedding", k, "positions", cos, sin, num_heads=kv, **rotate)
        q = graph.op("Transpose", graph.op("Reshape", q, shapes.split_q), **gather)
        new = []
        for name, value in (("key", k), ("value", v)):
            new.append(f"new.{layer}.{name}")
            shaped = graph.op("Reshape", value, shapes.split_kv)
            graph.op("Transpose", shaped, perm=[2, 0, 1, 3], out=new[-1])
            outputs.append(_float(new[-1], kv, "lanes", "nodes", size))
        keys = (f"prompt.{layer}.key", f"tree.{layer}.key", new[0])
        values = (f"prompt.{layer}.value", f"tree.{layer}.value", new[1])
        attended = _attend(graph, q, keys, values, bias, shapes, size**-0.5)
        delta = graph.linear(attended, tensor("self_attn.o_proj"), f"{prefix}.o")
        x, normed = _norm(graph, x, delta, tensor("post_attention_layernorm"), config.rms_norm_eps)
        both = graph.linear(normed, joined("mlp.gate_proj", "mlp.up_proj"), f"{prefix}.gate_up")
        outs = (f"{prefix}.gate", f"{prefix}.up")
        gate, up = graph.ops("Split", both, outs=outs, axis=2)
        gate = graph.op("QuickGelu", gate, domain=_MICROSOFT, alpha=1.0)
        delta = graph.linear(graph.op("Mul", gate, up), tensor("mlp.down_proj"), f"{prefix}.down")
    _norm(graph, x, delta, weights.tensor("model.norm.weight"), config.rms_norm_eps, out="hidden")
    return graph.model(inputs, outputs, "layers")


def _norm(
    graph: _Graph, x: str, delta: str, weight: FloatArray, epsilon: float, *, out: str = ""
) -> tuple[str, str]:
    """Return the residual stream with `delta` added, and its RMS norm."""
    scale = graph.constant(weight)
    out = out or graph.name("normed")
    if not delta:
        graph.op(
            "SimplifiedLayerNormalization",
            x,
            scale,
            out=out,
            axis=-1,
            epsilon=epsilon,
            stash_type=1,
        )
        return x, out
    total = graph.name("residual")
    graph.ops(
        "SkipSimplifiedLayerNormalization",
        x,
        delta,
        scale,
        outs=(out, "", "", total),
        domain=_MICROSOFT,
        epsilon=epsilon,
    )
    return total, out


def _attend(
    graph: _Graph,
    q: str,
    keys: tuple[str, str, str],
    values: tuple[str, str, str],
    bias: str,
    shapes: _Shapes,
    scale: float,
) -> str:
    """Return attention over prompt, tree and new nodes: (B, n, heads * d)."""
    # The prompt is the same for all lanes: one product for all of them.
    flat = graph.op("Reshape", q, shapes.flat_q, allowzero=1)
    lanes = graph.op("Reshape", q, shapes.lane_q, allowzero=1)
    product: dict[str, Any] = {"domain": _MICROSOFT, "transB": 1, "alpha": scale}
    prompt = graph.op("FusedMatMul", flat, keys[0], **product)
    rest = [graph.op("FusedMatMul", lanes, key, **product) for key in keys[1:]]
    seen = graph.op("Add", graph.op("Concat", *rest, axis=-1), bias)
    prompt = graph.op("Reshape", prompt, shapes.lane_scores, allowzero=1)
    shares = graph.op("Softmax", graph.op("Concat", prompt, seen, axis=-1), axis=-1)
    outs = tuple(graph.name("share") for _ in range(3))
    parts = graph.ops("Split", shares, shapes.segments, outs=outs, axis=-1)
    found = graph.op(
        "MatMul", graph.op("Reshape", parts[0], shapes.flat_scores, allowzero=1), values[0]
    )
    found = graph.op("Reshape", found, shapes.lane_q, allowzero=1)
    for part, value in zip(parts[1:], values[1:], strict=True):
        found = graph.op("Add", found, graph.op("MatMul", part, value))
    found = graph.op("Reshape", found, shapes.split_heads, allowzero=1)
    return graph.op(
        "Reshape",
        graph.op("Transpose", found, perm=[1, 3, 0, 2, 4]),
        shapes.joined_heads,
        allowzero=1,
    )


def head_graph(config: ModelConfig, weights: Weights, kind: WeightKind) -> Any:
    """Return the graph of the output matrix, as an `onnx.ModelProto`."""
    graph = _Graph(kind)
    graph.linear("hidden", weights.tensor(weights.head), "head", out="logits")
    return graph.model(
        [_float("hidden", "rows", config.hidden_size)],
        [_float("logits", "rows", config.vocab_size)],
        "head",
    )
