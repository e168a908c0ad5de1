"""The model as training sees it: rows of several documents in, sums of losses out.

No document attends to another. On a GPU in half precision attention is FlashAttention over
documents of different lengths (`torch.nn.attention.varlen`, PyTorch 2.10 and later); on a CPU in
bf16 it is our own (`cpu_attention`), document by document; anywhere else each document goes through
PyTorch's causal attention by itself, which does the same sums as the document alone. None of them
needs a mask, which would cost the square of the row; but the nodes of a tree (`train.trees`) are
masked, after their document's prompt. Imports PyTorch and transformers: only training does.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, LlamaForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from llm_compiler.model.configs import ModelConfig
from llm_compiler.train import cpu_attention
from llm_compiler.train.lean import LeanLayers, head_losses
from llm_compiler.train.packing import IGNORED, RowTrees
from llm_compiler.train.row_attention import attend_row, group_documents
from llm_compiler.train.trees import Choices

__all__ = ["PackedModel", "TreeTensors", "make_llama", "packed_attention"]

_ATTENTION = "llm-compiler-packed"
_LOSS_TOKENS = 16_384
"""Tokens whose logits are held at once."""


def _find_varlen() -> Any:
    """Return FlashAttention over documents as a function, or None where PyTorch has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    parameters = inspect.signature(varlen_attn).parameters
    # Causal by a flag in PyTorch 2.10, by a window later.
    causal = {"is_causal": True} if "is_causal" in parameters else {"window_size": (-1, 0)}
    grouped = "enable_gqa" in parameters

    def attend(query: Any, key: Any, value: Any, bounds: Any, longest: int, scaling: float) -> Any:
        more: dict[str, Any] = dict(causal)
        if grouped:
            more["enable_gqa"] = True
        elif (groups := query.shape[1] // key.shape[1]) > 1:
            key, value = (item.repeat_interleave(groups, dim=1) for item in (key, value))
        return varlen_attn(
            query, key, value, bounds, bounds, longest, longest, scale=scaling, **more
        )

    return attend


_varlen = _find_varlen()


def packed_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float,
    bounds: Any = None,
    lengths: tuple[int, ...] = (),
    longest: int = 0,
    masks: tuple[Any, ...] = (),
    **unused: Any,
) -> tuple[Any, None]:
    """Attend causally within each document of a row; an attention function of transformers.

    Args:
        query: (1, heads, tokens, head size); `key` and `value` have fewer heads.
        bounds: (documents + 1,) int32: where each begins, and the row's end; for FlashAttention.
        longest: no document is longer.
        lengths: of the documents, where there are no bounds.
        masks: of each document, None or which of the nodes after its prompt attend to which, all
            of them to the prompt, (nodes, nodes) bool; empty where all are plain.

    Returns:
        (1, tokens, heads, head size), and no weights.
    """
    if bounds is not None:
        # Under autocast, rotary positions may have made fp32 of some.
        rows = (item[0].transpose(0, 1).to(torch.bfloat16) for item in (query, key, value))
        return _varlen(*rows, bounds, longest, scaling)[None].to(value.dtype), None
    parts = []
    start = 0
    half = query.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    for length, mask in zip(lengths, masks or (None,) * len(lengths), strict=True):
        q, k, v = (item[:, :, start : start + length] for item in (query, key, value))
        if half:
            parts.append(cpu_attention.attend(q[0], k[0], v[0], mask, scaling)[None])
            start += length
            continue
        prompt = length if mask is None else length - len(mask)
        parts.append(_attend(q[:, :, :prompt], k[:, :, :prompt], v[:, :, :prompt], None, scaling))
        if prompt < length:
            parts.append(_attend(q[:, :, prompt:], k, v, mask, scaling))
        start += length
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _attend(query: Any, key: Any, value: Any, mask: Any, scaling: float) -> Any:
    """Attend causally, or, after a prompt, by a mask of what stands there."""
    if mask is not None:
        # The prompt is seen by all.
        mask = functional.pad(mask, (key.shape[2] - len(mask), 0), value=True)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def make_llama(config: ModelConfig) -> LlamaForCausalLM:
    """Return a model of a shape with random weights, drawn from PyTorch's generator, in fp32."""
    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, packed_attention)
    settings = config.to_hf()
    del settings["torch_dtype"]
    theirs = AutoConfig.for_model(**settings)
    theirs._attn_implementation = _ATTENTION
    model = LlamaForCausalLM(theirs)
    # Some versions choose attention again while building.
    model.config._attn_implementation = _ATTENTION
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTensors:
    """`packing.RowTrees` on a device."""

    parents: Any
    edge_rows: Any
    edge_ids: Any
    edge_weights: Any
    edge_tasks: Any
    masks: tuple[Any, ...]
    choices: dict[str, Any] | None = None
    """The fields of `trees.Choices`, and each list's task."""

    @classmethod
    def of(cls, trees: RowTrees, device: Any) -> TreeTensors:
        """Copy a row's trees to a device."""

        def copy(array: Any) -> Any:
            return torch.from_numpy(array).to(device, non_blocking=True)

        choices = None
        if trees.choices is not None:
            choices = {
                field.name: copy(getattr(trees.choices, field.name)) for field in fields(Choices)
            }
            choices["tasks"] = copy(trees.choice_tasks)
        return cls(
            parents=copy(trees.parents),
            edge_rows=copy(trees.edge_rows),
            edge_ids=copy(trees.edge_ids),
            edge_weights=copy(trees.edge_weights),
            edge_tasks=copy(trees.edge_tasks),
            masks=tuple(None if mask is None else copy(mask) for mask in trees.masks),
            choices=choices,
        )


class PackedModel(nn.Module):
    """A Llama on rows of documents.

    Args:
        compiled: compile the layers on first use.
        flash: use FlashAttention where it can be used.
        num_tasks: losses are summed by task.
        longest: no document is longer.
        lean: on a CPU, compute as `lean` does instead of through transformers' modules.
    """

    def __init__(
        self,
        llama: LlamaForCausalLM,
        *,
        num_tasks: int,
        longest: int,
        compiled: bool = False,
        flash: bool = True,
        gradient_checkpointing: bool = False,
        lean: bool = False,
    ) -> None:
        super().__init__()
        self._lean = lean
        self.kept_losses: list[Any] | None = None
        """A list that lean layers append each plain prediction's loss to, if there is one."""
        self.llama = llama
        self._num_tasks, self._longest, self._flash = num_tasks, longest, flash
        if gradient_checkpointing:
            # Its name in transformers 4, and from 5 on.
            old = llama.gradient_checkpointing_enable
            getattr(llama, "activation_checkpointing_enable", old)({"use_reentrant": False})
        self._compiled = compiled
        self._body: Any = None

    def forward(
        self,
        ids: Any,
        positions: Any,
        targets: Any,
        tasks: Any,
        lengths: tuple[int, ...],
        trees: TreeTensors | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        """Return the sum of the losses, and by task the sums (detached) and counts.

        Args:
            ids, positions, targets, tasks: (tokens,) int64, as in `packing.Row`.
            lengths: of the documents.
            trees: of the row, if it has any.

        Returns:
            () fp32 in nats; (tasks,) fp32; (tasks,) fp32: how many targets, those of trees by
            their weights; and (edges,) fp32, the trees' log-probabilities, detached.
        """
        if self._lean and ids.device.type == "cpu":
            return self._forward_lean(ids, positions, targets, tasks, lengths, trees)
        if self._body is None:
            body = self.llama.model
            self._body = (torch.compile(body, dynamic=True),) if self._compiled else (body,)
        hidden = self._body[0](
            input_ids=ids[None],
            position_ids=positions[None],
            attention_mask=None,
            use_cache=False,
            **self._packing(ids, lengths, trees),
        ).last_hidden_state[0]
        everything = hidden
        predicted = (targets != IGNORED).nonzero(as_tuple=True)[0]
        wanted, of_tasks = targets[predicted], tasks[predicted]
        hidden = hidden[predicted]
        losses = []
        for start in range(0, len(predicted), _LOSS_TOKENS):
            part = slice(start, start + _LOSS_TOKENS)
            arguments = (self.llama.lm_head, hidden[part], wanted[part])
            if len(predicted) > _LOSS_TOKENS and torch.is_grad_enabled():
                losses.append(checkpoint(_token_losses, *arguments, use_reentrant=False))
            else:
                losses.append(_token_losses(*arguments))
        token_losses = torch.cat(losses) if losses else hidden.sum(dim=1).float()
        zeros = torch.zeros(self._num_tasks, device=ids.device)
        sums = zeros.index_add(0, of_tasks, token_losses.detach())
        counts = zeros.index_add(0, of_tasks, torch.ones_like(token_losses))
        total = token_losses.sum()
        if trees is None:
            return total, sums, counts, zeros[:0]
        sofar = total, sums, counts
        total, sums, counts = self._with_choices(everything, trees.choices, *sofar)
        if not len(trees.edge_ids):
            return total, sums, counts, zeros[:0]
        edge_losses = self._edge_losses(everything, trees)
        weighted = edge_losses * trees.edge_weights
        sums = sums.index_add(0, trees.edge_tasks, weighted.detach())
        counts = counts.index_add(0, trees.edge_tasks, trees.edge_weights)
        return total + weighted.sum(), sums, counts, -edge_losses.detach()

    def _forward_lean(
        self,
        ids: Any,
        positions: Any,
        targets: Any,
        tasks: Any,
        lengths: tuple[int, ...],
        trees: TreeTensors | None,
    ) -> tuple[Any, Any, Any, Any]:
        """What `forward` returns, on a CPU."""
        half = torch.is_autocast_enabled("cpu")
        masks = trees.masks if trees is not None else ()
        with torch.autocast("cpu", enabled=False):
            layers = LeanLayers(self.llama, on_cpu=True)
            groups = group_documents(lengths, masks) if half else ()

            def attention(projected: Any, cos: Any, sin: Any) -> Any:
                if half:
                    heads, kv_heads = layers.heads, layers.kv_heads
                    return attend_row(projected, cos, sin, groups, heads, kv_heads)
                query, key, value = layers.split(projected, cos, sin)
                found, _ = packed_attention(
                    None,
                    query,
                    key,
                    value,
                    None,
                    scaling=layers.size**-0.5,
                    lengths=lengths,
                    masks=masks,
                )
                return found.reshape(len(projected), -1)

            hidden = layers(ids, positions, attention, half)
            matrix = self.llama.lm_head.weight
            predicted = (targets != IGNORED).nonzero(as_tuple=True)[0]
            zeros = torch.zeros(self._num_tasks)
            total, losses = head_losses(hidden[predicted], matrix, targets[predicted], half=half)
            if self.kept_losses is not None:
                self.kept_losses.append(losses)
            if not len(predicted):
                total = hidden.float().sum() * 0
            sums = zeros.index_add(0, tasks[predicted], losses)
            counts = zeros.index_add(0, tasks[predicted], torch.ones_like(losses))
            if trees is None:
                return total, sums, counts, zeros[:0]
            sofar = total, sums, counts
            total, sums, counts = self._with_choices(hidden, trees.choices, *sofar)
            if not len(trees.edge_ids):
                return total, sums, counts, zeros[:0]
            edges = (trees.edge_rows, trees.edge_weights, None)
            of_edges, losses = head_losses(
                hidden[trees.parents], matrix, trees.edge_ids, half=half, edges=edges
            )
            sums = sums.index_add(0, trees.edge_tasks, losses * trees.edge_weights)
            counts = counts.index_add(0, trees.edge_tasks, trees.edge_weights)
            return total + of_edges, sums, counts, -losses

    def _with_choices(
        self, hidden: Any, choices: dict[str, Any] | None, total: Any, sums: Any, counts: Any
    ) -> tuple[Any, Any, Any]:
        """Return the three with the losses of savings added, where there are any."""
        if choices is None:
            return total, sums, counts
        divergences = self._savings_losses(hidden, choices)
        of_tasks = choices["tasks"]
        sums = sums.index_add(0, of_tasks, divergences.detach())
        counts = counts.index_add(0, of_tasks, choices["weights"])
        return total + divergences.sum(), sums, counts

    def _edge_losses(self, hidden: Any, trees: TreeTensors) -> Any:
        """Return -log p of each edge, (edges,): one softmax for all that a parent predicts."""
        hidden = hidden[trees.parents]
        losses = []
        for start in range(0, len(hidden), _LOSS_TOKENS):
            end = start + _LOSS_TOKENS
            within = (trees.edge_rows >= start) & (trees.edge_rows < end)
            rows, ids = trees.edge_rows[within] - start, trees.edge_ids[within]
            arguments = (self.llama.lm_head, hidden[start:end], rows, ids)
            if len(hidden) > _LOSS_TOKENS and torch.is_grad_enabled():
                losses.append(checkpoint(_row_edge_losses, *arguments, use_reentrant=False))
            else:
                losses.append(_row_edge_losses(*arguments))
        return torch.cat(losses)

    def _savings_losses(self, hidden: Any, choices: dict[str, Any]) -> Any:
        """Return each list's part of its tree's KL(p || q), (lists of all trees,)."""
        # Masked to the tree: no other token's logit is needed.
        vectors = functional.embedding(choices["edge_ids"], self.llama.lm_head.weight)
        logits = (hidden[choices["edge_parents"]].float() * vectors.float()).sum(dim=1)
        groups = choices["edge_groups"]
        zeros = torch.zeros(len(groups), device=hidden.device)
        highest = (zeros - torch.inf).scatter_reduce(0, groups, logits.detach(), "amax")
        shifted = logits - highest[groups]
        log_probs = shifted - zeros.index_add(0, groups, shifted.exp()).log()[groups]
        rows = torch.zeros(len(choices["weights"]), device=hidden.device)
        rows = rows.index_add(0, choices["pair_rows"], log_probs[choices["pair_edges"]])
        return rows.exp() * (rows - choices["log_targets"])

    def _packing(
        self, ids: Any, lengths: tuple[int, ...], trees: TreeTensors | None
    ) -> dict[str, Any]:
        """Return what `packed_attention` needs to know of a row."""
        if trees is not None:
            return {"lengths": lengths, "masks": trees.masks}
        half = torch.is_autocast_enabled(ids.device.type)
        if not (self._flash and _varlen is not None and ids.is_cuda and half):
            return {"lengths": lengths}
        bounds = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        bounds[1:] = torch.tensor(lengths).cumsum(0)
        return {"bounds": bounds.to(ids.device, non_blocking=True), "longest": self._longest}


def _token_losses(head: Any, hidden: Any, targets: Any) -> Any:
    return functional.cross_entropy(head(hidden).float(), targets, reduction="none")


def _row_edge_losses(head: Any, hidden: Any, rows: Any, ids: Any) -> Any:
    logits = head(hidden).float()
    return logits.logsumexp(dim=1)[rows] - logits[rows, ids]
