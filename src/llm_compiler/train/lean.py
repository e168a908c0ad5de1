"""A Llama's layers and its loss in few operations: what training on one device runs.

The same sums as transformers' `LlamaForCausalLM`, over the very parameters of one, in another
order: queries, keys and values are one matrix product, the feed-forward's two another, and logits
are never held for more than a block of tokens, since loss and gradient of a block are found at
once. On a CPU in bf16, norms, activations and attention (`row_attention`) are written with their
gradients; elsewhere they are plain operations that torch.compile can fuse. Adapters, FSDP and
gradient checkpointing hook into transformers' modules: they go without this. Imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

__all__ = ["LeanLayers", "head_losses", "rotary", "shares_of"]

_BLOCK_TOKENS = 1024
"""Tokens whose logits are held at once on a CPU; on a GPU sixteen times as many."""
_SMALLEST = 1e-38


def rotary(positions: Any, size: int, theta: float) -> tuple[Any, Any]:
    """Return cosines and sines of rotary positions, (tokens, size / 2) fp32.

    Args:
        positions: (tokens,) int64.
        size: of a head.
    """
    steps = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32)
    angles = positions.float()[:, None] * (theta ** (-steps / size))
    return angles.cos(), angles.sin()


class _Norm(torch.autograd.Function):
    """RMS norm of fp32 into bf16, on a CPU."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, eps: float) -> Any:
        scale = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
        scale = scale.square_().div_(hidden.shape[1]).add_(eps).rsqrt_()
        ctx.save_for_backward(hidden, weight, scale)
        return (hidden * scale).mul_(weight).to(torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, weight, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        normed = hidden * scale
        of_weight = (gradient * normed).sum(dim=0)
        gradient = gradient.mul_(weight)
        common = (gradient * normed).mean(dim=1, keepdim=True)
        return normed.mul_(common).neg_().add_(gradient).mul_(scale), of_weight, None


class _Gate(torch.autograd.Function):
    """silu(gate) * up of bf16, on a CPU."""

    @staticmethod
    def forward(ctx: Any, both: Any) -> Any:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, dim=1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, dim=1)
        found = torch.empty_like(both)
        half = gate.shape[1]
        torch.mul(gradients[0], functional.silu(gate), out=found[:, half:])
        found[:, :half] = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return found


Attention = Callable[[Any, Any, Any], Any]
"""From (tokens, (heads + 2 kv_heads) * head size), cosines and sines to (tokens, heads * size)."""


class LeanLayers:
    """The layers of a Llama, as a function of its parameters.

    Args:
        llama: a `LlamaForCausalLM`; its parameters are used, its modules are not called.
        on_cpu: in bf16 on a CPU, with the gradients that are written by hand.
    """

    def __init__(self, llama: Any, *, on_cpu: bool) -> None:
        config = llama.config
        self.model, self.on_cpu = llama.model, on_cpu
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        rope = getattr(config, "rope_parameters", None) or {}
        self.theta = float(getattr(config, "rope_theta", None) or rope.get("rope_theta", 10_000.0))

    def __call__(self, ids: Any, positions: Any, attention: Attention, half: bool) -> Any:
        """Return the last hidden states, (tokens, hidden), in bf16 if `half`, else fp32."""
        kind = torch.bfloat16 if half else torch.float32
        cos, sin = rotary(positions, self.size, self.theta)
        hidden = functional.embedding(ids, self.model.embed_tokens.weight)
        for layer in self.model.layers:
            block, feed = layer.self_attn, layer.mlp
            projections = (block.q_proj.weight, block.k_proj.weight, block.v_proj.weight)
            wide = torch.cat(projections).to(kind)
            normed = self._norm(hidden, layer.input_layernorm.weight, kind)
            found = attention(functional.linear(normed, wide), cos, sin)
            hidden = hidden + functional.linear(found, block.o_proj.weight.to(kind))
            normed = self._norm(hidden, layer.post_attention_layernorm.weight, kind)
            wide = torch.cat([feed.gate_proj.weight, feed.up_proj.weight]).to(kind)
            both = functional.linear(normed, wide)
            if self.on_cpu and half:
                inner = _Gate.apply(both)
            else:
                gate, up = both.chunk(2, dim=1)
                inner = functional.silu(gate) * up
            hidden = hidden + functional.linear(inner, feed.down_proj.weight.to(kind))
        return self._norm(hidden, self.model.norm.weight, kind)

    def _norm(self, hidden: Any, weight: Any, kind: Any) -> Any:
        if self.on_cpu and kind is torch.bfloat16:
            return _Norm.apply(hidden, weight, self.eps)
        return functional.rms_norm(hidden, (hidden.shape[1],), weight, self.eps).to(kind)

    def split(self, projected: Any, cos: Any, sin: Any) -> tuple[Any, Any, Any]:
        """Return queries, keys and values with their positions, (1, heads, tokens, head size)."""
        tokens = len(projected)
        vectors = projected.view(tokens, -1, self.size).transpose(0, 1)
        turned, value = vectors.split([self.heads + self.kv_heads, self.kv_heads])
        first, second = turned.float().chunk(2, dim=-1)
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
        query, key = turned.to(projected.dtype).split([self.heads, self.kv_heads])
        return query[None], key[None], value[None]


def head_losses(
    hidden: Any,
    weight: Any,
    ids: Any,
    *,
    half: bool,
    edges: tuple[Any, Any, Any] | None = None,
    block_tokens: int = 0,
    shares: Any = None,
) -> tuple[Any, Any]:
    """Return the weighted sum of predictions' losses, and each loss, which has no gradient.

    The sum's gradient is found with the losses, block by block, so that logits are held for a block
    only and computed once.

    Args:
        hidden: (rows, hidden): what predicts.
        weight: (vocab, hidden), fp32.
        ids: (predictions,) int64: the tokens that are predicted, one a row.
        half: products in bf16.
        edges: where a row predicts several (trees): (predictions,) int64, by which row, ascending;
            (predictions,) fp32, their weights; and a list of the first prediction of each block of
            rows and their number, or None, which costs a wait for the device.
        block_tokens: rows a block; 0: what suits the device.
        shares: `shares_of`, compiled; None: as it is.

    Returns:
        () and (predictions,) fp32, in nats.
    """
    needed = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    block = block_tokens or _BLOCK_TOKENS * (16 if hidden.is_cuda else 1)
    found = (hidden, weight, ids, edges, half, block, needed, shares or shares_of)
    total, losses = _HeadLosses.apply(*found)
    return total, losses


def shares_of(logits: Any, ids: Any) -> tuple[Any, Any]:
    """Return the losses of one prediction a row, and their gradient by the logits.

    Args:
        logits: (rows, vocab) of any precision; the gradient has the same.
        ids: (rows,) int64.
    """
    exact = logits.float()
    sums = exact.logsumexp(dim=1)
    losses = sums - exact.gather(1, ids[:, None])[:, 0]
    wanted = torch.arange(logits.shape[1], device=ids.device)[None] == ids[:, None]
    return losses, ((exact - sums[:, None]).exp() - wanted.float()).to(logits.dtype)


def _block(
    hidden: Any, weight: Any, ids: Any, rows: Any, weights: Any, needed: bool, shares_of: Any
) -> tuple[Any, Any]:
    """Return a block's losses, and the gradient of their weighted sum by its logits."""
    logits = functional.linear(hidden, weight)
    if not needed:
        logits = logits.float()
        sums = logits.logsumexp(dim=1)
        if rows is None:
            return sums - logits.gather(1, ids[:, None])[:, 0], None
        return sums[rows] - logits[rows, ids], None
    if logits.is_cuda and rows is None:
        losses, gradient = shares_of(logits, ids)
        return losses, gradient
    # One pass in the products' own precision; a probability is as exact as its gradient.
    shares = logits.softmax(dim=1)
    chosen = shares.gather(1, ids[:, None])[:, 0] if rows is None else shares[rows, ids]
    losses = chosen.float().clamp_(min=_SMALLEST).log_().neg_()
    if rows is None:
        ones = torch.full((len(ids), 1), -1.0, device=ids.device, dtype=shares.dtype)
        return losses, shares.scatter_add_(1, ids[:, None], ones)
    of_rows = torch.zeros(len(hidden), device=ids.device).index_add_(0, rows, weights)
    shares = shares.mul_(of_rows[:, None].to(shares.dtype))
    shares.index_put_((rows, ids), -weights.to(shares.dtype), accumulate=True)
    return losses, shares


class _HeadLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, ids: Any, *more: Any) -> Any:
        edges, half, block, needed, shares = more
        kind = torch.bfloat16 if half else torch.float32
        matrix, states = weight.to(kind), hidden.to(kind)
        losses = torch.empty(len(ids), device=hidden.device)
        starts = range(0, len(hidden), block)
        rows, weights, bounds = edges or (None, None, None)
        if rows is None:
            bounds = [*starts, len(hidden)]
        elif bounds is None:
            positions = torch.tensor([*starts, len(hidden)], device=rows.device)
            bounds = torch.searchsorted(rows, positions).tolist()
        assert bounds is not None
        if needed:
            of_hidden = torch.empty_like(states)
            of_weight = torch.zeros(weight.shape, device=weight.device)
        for number, start in enumerate(starts):
            part, own = slice(start, start + block), slice(bounds[number], bounds[number + 1])
            losses[own], gradient = _block(
                states[part],
                matrix,
                ids[own],
                None if rows is None else rows[own] - start,
                None if weights is None else weights[own],
                needed,
                shares,
            )
            if needed:
                of_hidden[part] = gradient @ matrix
                of_weight += gradient.t() @ states[part]
        if needed:
            ctx.save_for_backward(of_hidden.to(hidden.dtype), of_weight)
        ctx.mark_non_differentiable(losses)
        return (losses if rows is None else losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        of_hidden, of_weight = ctx.saved_tensors
        scale = gradients[0]
        of_hidden = of_hidden * scale.to(of_hidden.dtype)
        return of_hidden, of_weight * scale, *[None] * 6
