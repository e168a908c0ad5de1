"""Attention of a packed row on a CPU in bf16, rotary positions included.

Plain documents of nearly equal length are read together, as one padded batch: a causal mask hides
what pads the shorter ones, so no other mask is needed, and a row of 30 short functions takes a few
large matrix products instead of 30 small ones. Documents that are trees (`train.trees`) are read
one by one, with their masks. Scores are summed in fp32, on blocks of queries that fit the
processor's caches. Imports PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Group", "attend_row", "group_documents"]

_BLOCK = 192
_MAX_WASTE = 0.15
"""Of a padded batch, in tokens."""
_SMALL = 16
"""Padding that is always allowed: a short document's products are too small to be alone."""
_MAX_BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Group:
    """Documents that are read together."""

    positions: Any
    """(documents, longest) int64: each token's place in the row; padding repeats the last one."""
    lengths: tuple[int, ...]
    mask: Any
    """None, or of the only document which of its last tokens attend to which, (nodes, nodes)."""


def group_documents(lengths: Sequence[int], masks: Sequence[Any]) -> list[Group]:
    """Return the groups that a row's documents are read in.

    Args:
        lengths: of the documents, in the row's order.
        masks: of each document, as in `language_model.packed_attention`; empty: all are plain.
    """
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    groups = []
    plain = []
    for number, length in enumerate(lengths):
        mask = masks[number] if masks else None
        if mask is None:
            plain.append(number)
        else:
            positions = torch.arange(starts[number], starts[number] + length)[None]
            groups.append(Group(positions, (length,), mask))
    held: list[int] = []
    total = 0

    def close() -> None:
        longest = max(lengths[index] for index in held)
        steps = torch.arange(longest)
        positions = torch.stack(
            [starts[index] + steps.clamp(max=lengths[index] - 1) for index in held]
        )
        groups.append(Group(positions, tuple(lengths[index] for index in held), None))

    for number in sorted(plain, key=lambda index: -lengths[index]):
        longest = lengths[held[0]] if held else 0
        area = longest * (len(held) + 1)
        wasted = area - total - lengths[number]
        fits = wasted <= _MAX_WASTE * area or longest - lengths[number] <= _SMALL
        if held and (not fits or area > _MAX_BATCH_TOKENS):
            close()
            held, total = [], 0
        held.append(number)
        total += lengths[number]
    if held:
        close()
    return groups


def attend_row(
    projected: Any, cos: Any, sin: Any, groups: Sequence[Group], heads: int, kv_heads: int
) -> Any:
    """Return what a row's tokens attend to, (tokens, heads * head size) bf16.

    Args:
        projected: (tokens, (heads + 2 kv_heads) * head size) bf16: queries, keys and values, no
            positions yet.
        cos, sin: (tokens, head size / 2) fp32.
    """
    return _RowAttention.apply(projected, cos, sin, tuple(groups), heads, kv_heads)


def _rotate(vectors: Any, cos: Any, sin: Any) -> Any:
    """Turn halves of vectors, (tokens, heads, size), by their positions; a new bf16 tensor."""
    half = vectors.shape[-1] // 2
    first, second = vectors[..., :half].float(), vectors[..., half:].float()
    out = torch.empty_like(vectors)
    out[..., :half] = (first * cos).addcmul_(second, sin, value=-1)
    out[..., half:] = (second * cos).addcmul_(first, sin)
    return out


def _blocks(num_prompt: int, length: int) -> list[tuple[int, int]]:
    """Return the blocks of queries, begin and end; a tree is one."""
    blocks = [(start, min(start + _BLOCK, num_prompt)) for start in range(0, num_prompt, _BLOCK)]
    return [*blocks, (num_prompt, length)] if num_prompt < length else blocks


_TRIANGLE = torch.full((_BLOCK, _BLOCK), -math.inf).triu_(1)


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Any, cos: Any, sin: Any, *more: Any) -> Any:
        groups, heads, kv_heads = more
        tokens = len(projected)
        size = projected.shape[1] // (heads + 2 * kv_heads)
        vectors = projected.view(tokens, -1, size)
        cos, sin = cos[:, None], sin[:, None]
        rotated = _rotate(vectors[:, : heads + kv_heads], cos, sin)
        scaling = size**-0.5
        out = torch.empty(tokens, heads, size, dtype=projected.dtype)
        saved: list[Any] = []
        for group in groups:
            found, parts = _forward_group(group, rotated, vectors, heads, kv_heads, scaling)
            _put(out, group, found)
            saved += parts
        ctx.save_for_backward(cos, sin, out, *saved)
        ctx.groups, ctx.heads, ctx.kv_heads, ctx.scaling = groups, heads, kv_heads, scaling
        return out.view(tokens, heads * size)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cos, sin, out, *saved = ctx.saved_tensors
        heads, kv_heads = ctx.heads, ctx.kv_heads
        tokens, _, size = out.shape
        gradient = gradients[0].view(tokens, heads, size)
        # The softmax takes from each score's gradient what its row's scores have in common.
        common = (gradient.float() * out.float()).sum(dim=-1)
        of_vectors = torch.empty(tokens, heads + 2 * kv_heads, size, dtype=out.dtype)
        rest = iter(saved)
        for group in ctx.groups:
            _backward_group(group, rest, gradient, common, of_vectors, heads, kv_heads, ctx.scaling)
        # A turn's gradient is the turn back.
        turned = of_vectors[:, : heads + kv_heads]
        turned.copy_(_rotate(turned, cos, -sin))
        return of_vectors.view(tokens, -1), None, None, None, None, None


def _put(into: Any, group: Group, values: Any) -> None:
    """Write a batch's tokens, (documents, longest, heads, size), where they stand in the row."""
    for number, length in enumerate(group.lengths):
        start = int(group.positions[number, 0])
        into[start : start + length] = values[number, :length]


def _split(found: Any, batch: int, kv_heads: int) -> Any:
    """(batch, length, heads, size) to (batch * kv_heads, heads per kv_head, length, size)."""
    length, heads, size = found.shape[1:]
    found = found.view(batch, length, kv_heads, heads // kv_heads, size).permute(0, 2, 3, 1, 4)
    return found.reshape(batch * kv_heads, heads // kv_heads, length, size)


def _forward_group(
    group: Group, rotated: Any, vectors: Any, heads: int, kv_heads: int, scaling: float
) -> tuple[Any, list[Any]]:
    batch, length = group.positions.shape
    size = vectors.shape[-1]
    flat = group.positions.reshape(-1)
    turned = rotated[flat].view(batch, length, heads + kv_heads, size)
    query = _split(turned[:, :, :heads], batch, kv_heads) * scaling
    key = _split(turned[:, :, heads:], batch, kv_heads)[:, 0].contiguous()
    value = vectors[flat, heads + kv_heads :].view(batch, length, kv_heads, size)
    value = _split(value, batch, kv_heads)[:, 0].contiguous()
    lanes, each = query.shape[:2]
    num_prompt = length if group.mask is None else length - len(group.mask)
    tree = None
    if group.mask is not None:
        tree = torch.zeros(group.mask.shape).masked_fill_(~group.mask, -math.inf)
    out = torch.empty_like(query)
    saved = [query, key, value]
    for start, end in _blocks(num_prompt, length):
        rows = end - start
        block = query[:, :, start:end].reshape(lanes, each * rows, size)
        scores = torch.bmm(block, key[:, :end].transpose(1, 2)).float()
        scores = scores.view(lanes, each, rows, end)
        scores[..., start:] += _TRIANGLE[:rows, :rows] if start < num_prompt else tree
        weights = scores.softmax(dim=-1).to(query.dtype).view(lanes, each * rows, end)
        saved.append(weights)
        out[:, :, start:end] = torch.bmm(weights, value[:, :end]).view(lanes, each, rows, size)
    out = out.view(batch, kv_heads, each, length, size).permute(0, 3, 1, 2, 4)
    return out.reshape(batch, length, heads, size), saved


def _backward_group(
    group: Group,
    saved: Any,
    gradient: Any,
    common: Any,
    of_vectors: Any,
    heads: int,
    kv_heads: int,
    scaling: float,
) -> None:
    query, key, value = next(saved), next(saved), next(saved)
    batch, length = group.positions.shape
    lanes, each, _, size = query.shape
    flat = group.positions.reshape(-1)
    padded = gradient[flat].view(batch, length, heads, size)
    shared = common[flat].view(batch, length, heads, 1)
    for number, own in enumerate(group.lengths):
        padded[number, own:] = 0  # nobody reads what stands there
        shared[number, own:] = 0
    padded, shared = _split(padded, batch, kv_heads), _split(shared, batch, kv_heads)
    of_query = torch.empty_like(query)
    of_key, of_value = (torch.zeros(item.shape) for item in (key, value))
    num_prompt = length if group.mask is None else length - len(group.mask)
    for start, end in _blocks(num_prompt, length):
        weights = next(saved)
        rows = each * (end - start)
        block = padded[:, :, start:end].reshape(lanes, rows, size)
        of_value[:, :end] += torch.bmm(weights.transpose(1, 2), block)
        scores = torch.bmm(block, value[:, :end].transpose(1, 2)).float()
        scores = scores.sub_(shared[:, :, start:end].reshape(lanes, rows, 1))
        scores = scores.mul_(weights).to(query.dtype)
        found = torch.bmm(scores, key[:, :end])
        of_query[:, :, start:end] = found.view(lanes, each, end - start, size)
        queries = query[:, :, start:end].reshape(lanes, rows, size)
        of_key[:, :end] += torch.bmm(scores.transpose(1, 2), queries)
    of_query = (of_query * scaling).view(batch, kv_heads, each, length, size)
    of_query = of_query.permute(0, 3, 1, 2, 4).reshape(batch, length, heads, size)
    of_key, of_value = (
        item.view(batch, kv_heads, length, size).transpose(1, 2).to(of_vectors.dtype)
        for item in (of_key, of_value)
    )
    _put(of_vectors, group, torch.cat([of_query, of_key, of_value], dim=2))
