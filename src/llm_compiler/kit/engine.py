"""One optimiser step on one device: nothing in it waits for the host.

On a GPU, rows of one fixed length go through layers that are compiled once: FlexAttention whose
block mask follows from where documents begin, norms and activations fused into one pass, the output
loss block by block without the logits of a whole row, Muon on all matrices of a shape at once. If
the compiler refuses on the machine at hand, the same sums run uncompiled, document by document: ten
minutes of slow training are better than none. Imports PyTorch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from llm_compiler.kit.rows import BLOCK, FixedRow
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.special import TASKS
from llm_compiler.train.language_model import make_llama, packed_attention
from llm_compiler.train.lean import LeanLayers, head_losses, shares_of
from llm_compiler.train.row_attention import attend_row, group_documents

__all__ = ["DeviceRow", "Engine", "StackedMuon", "full_speed"]


class StackedMuon:
    """Muon of all matrices of one shape at once: what `torch.optim.Muon` computes, in few products.

    Args:
        parameters: matrices; steps are as large as AdamW's (``match_rms_adamw``).
    """

    _COEFFICIENTS = (3.4445, -4.7750, 2.0315)
    _STEPS = 5
    _MOMENTUM = 0.95

    def __init__(self, parameters: Sequence[Any], *, weight_decay: float) -> None:
        shapes: dict[Any, list[Any]] = {}
        for parameter in parameters:
            shapes.setdefault(parameter.shape, []).append(parameter)
        self.groups = list(shapes.values())
        self.moments = [
            torch.zeros(len(group), *group[0].shape, device=group[0].device)
            for group in self.groups
        ]
        self._weight_decay = weight_decay

    def step(self, rate: float) -> None:
        """Take a step along the gradients."""
        with torch.no_grad():
            self._step(rate)

    def _step(self, rate: float) -> None:
        a, b, c = self._COEFFICIENTS
        for group, moment in zip(self.groups, self.moments, strict=True):
            gradient = torch.stack([item.grad for item in group])
            moment.lerp_(gradient, 1 - self._MOMENTUM)
            update = gradient.lerp(moment, self._MOMENTUM).bfloat16()
            rows, columns = group[0].shape
            if rows > columns:
                update = update.transpose(1, 2)
            update = update / update.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
            for _ in range(self._STEPS):
                gram = update @ update.transpose(1, 2)
                update = torch.baddbmm(
                    update, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), update, beta=a
                )
            if rows > columns:
                update = update.transpose(1, 2)
            size = rate * 0.2 * max(rows, columns) ** 0.5
            torch._foreach_mul_(group, 1 - rate * self._weight_decay)
            torch._foreach_add_(group, list((update * -size).float().unbind()))


class DeviceRow:
    """A row on a device; made ahead of its step, and copied without waiting."""

    def __init__(self, row: FixedRow, device: Any) -> None:
        self.host = row

        def copy(array: Any) -> Any:
            tensor = torch.from_numpy(array)
            if device.type == "cuda":
                tensor = tensor.pin_memory()
            return tensor.to(device, non_blocking=True)

        self.ids, self.positions, self.last = map(copy, (row.ids, row.positions, row.last))
        self.answer_positions, self.targets, self.tasks = map(
            copy, (row.answer_positions, row.targets, row.tasks)
        )
        self.edge_places, self.edge_rows = copy(row.edge_places), copy(row.edge_rows)
        self.edge_ids, self.edge_tasks = copy(row.edge_ids), copy(row.edge_tasks)
        self.edge_weights = copy(row.edge_weights)
        blocks = torch.arange(len(row.first_block), dtype=torch.int32)
        first = torch.from_numpy(row.first_block)
        # Of each block of readers: the blocks that it sees, in order, and then any.
        positions = (first[:, None] + blocks[None]).clamp(max=len(blocks) - 1)
        self.blocks = copy((blocks - first + 1).numpy()), copy(positions.numpy())


class Engine:
    """A model, its optimiser, and what both have learnt.

    Args:
        plan: learning settings (`kit.pack`).
        weights: to start from, by name; None: random ones.
        compiled: on a GPU.
    """

    def __init__(
        self,
        plan: dict[str, Any],
        weights: dict[str, Any] | None,
        *,
        device: Any,
        half: bool,
        compiled: bool,
    ) -> None:
        self.plan, self.device, self.half = plan, device, half
        self.model = ModelConfig(**plan["model"])
        torch.manual_seed(plan["seed"])
        self.llama = make_llama(self.model)
        if weights is not None:
            found = self.llama.load_state_dict(weights, strict=False)
            missing = [name for name in found.missing_keys if name != "lm_head.weight"]
            assert not missing, missing
        self.llama.to(device)
        self.layers = LeanLayers(self.llama, on_cpu=device.type == "cpu")
        named = list(self.llama.named_parameters())
        matrices = [item for name, item in named if item.dim() == 2 and ".layers." in name]
        kept = {id(matrix) for matrix in matrices}
        self.muon = StackedMuon(matrices, weight_decay=plan["weight_decay"])
        others = [item for _, item in named if id(item) not in kept]
        self.adamw = torch.optim.AdamW(
            [
                {
                    "params": [other for other in others if other.dim() > 1],
                    "weight_decay": plan["weight_decay"],
                },
                {"params": [other for other in others if other.dim() < 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.95),
            eps=1e-8,
            fused=True,
        )
        self.parameters = [item for _, item in named]
        self.compiled = compiled
        self._body: Any = self._hidden
        self._shares: Any = None
        if compiled:
            self._body = torch.compile(self._hidden, dynamic=False)
            # As many predictions as come: one program for any number.
            self._shares = torch.compile(shares_of, dynamic=True)

    def _hidden(self, ids: Any, positions: Any, last: Any, counts: Any, last_positions: Any) -> Any:
        def visible(batch: Any, head: Any, query: Any, key: Any) -> Any:
            return (key <= query) & (query < last[key])

        mask = BlockMask.from_kv_blocks(
            counts[None, None], last_positions[None, None], BLOCK_SIZE=BLOCK, mask_mod=visible
        )

        def attention(projected: Any, cos: Any, sin: Any) -> Any:
            query, key, value = self.layers.split(projected, cos, sin)
            grouped = query.shape[1] != key.shape[1]
            found = flex_attention(query, key, value, block_mask=mask, enable_gqa=grouped)
            return found[0].transpose(0, 1).reshape(len(projected), -1)

        return self.layers(ids, positions, attention, self.half)

    def _hidden_by_document(self, row: DeviceRow) -> Any:
        """The same without a compiler: each document by itself."""
        lengths = row.host.lengths
        masks = _masks(row)
        groups = group_documents(lengths, masks) if self.half and self.device.type == "cpu" else ()

        def attention(projected: Any, cos: Any, sin: Any) -> Any:
            if groups:
                heads, kv_heads = self.layers.heads, self.layers.kv_heads
                return attend_row(projected, cos, sin, groups, heads, kv_heads)
            query, key, value = self.layers.split(projected, cos, sin)
            scaling = self.layers.size**-0.5
            found, _ = packed_attention(
                None, query, key, value, None, scaling=scaling, lengths=lengths, masks=masks
            )
            return found.reshape(len(projected), -1)

        return self.layers(row.ids, row.positions, attention, self.half)

    def losses(self, row: DeviceRow) -> tuple[Any, Any, Any]:
        """Return the sum of a row's losses, and by task the sums and counts, on the device."""
        if self.compiled:
            hidden = self._body(row.ids, row.positions, row.last, *row.blocks)
        else:
            hidden = self._hidden_by_document(row)
        matrix = self.llama.lm_head.weight
        zeros = torch.zeros(len(TASKS), device=self.device)
        total, losses = head_losses(
            hidden.index_select(0, row.answer_positions),
            matrix,
            row.targets,
            half=self.half,
            shares=self._shares if self.compiled else None,
        )
        sums = zeros.index_add(0, row.tasks, losses)
        counts = zeros.index_add(0, row.tasks, torch.ones_like(losses))
        if len(row.host.edge_ids):
            edges = (row.edge_rows, row.edge_weights, [0, len(row.edge_ids)])
            of_trees, losses = head_losses(
                hidden.index_select(0, row.edge_places),
                matrix,
                row.edge_ids,
                half=self.half,
                edges=edges,
                block_tokens=max(1, len(row.edge_places)),
            )
            total = total + of_trees
            sums = sums.index_add(0, row.edge_tasks, losses * row.edge_weights)
            counts = counts.index_add(0, row.edge_tasks, row.edge_weights)
        return total, sums, counts

    def step(self, rows: Sequence[DeviceRow], rate: float) -> tuple[Any, Any, Any]:
        """Take a step, and return sums, counts, and the gradient's norm, on the device."""
        weight = max(1.0, sum(row.host.weight for row in rows))
        found = torch.zeros(2, len(TASKS), device=self.device)
        for row in rows:
            total, sums, counts = self.losses(row)
            (total / weight).backward()
            found += torch.stack([sums, counts])
        gradients = [item.grad for item in self.parameters]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        # A step whose gradient is not finite is none: decided on the device, without a wait.
        finite = torch.isfinite(norm)
        scale = torch.where(finite, (1.0 / norm.clamp(min=1e-6)).clamp(max=1.0), 0.0)
        for gradient in gradients:
            torch.nan_to_num_(gradient, nan=0.0, posinf=0.0, neginf=0.0).mul_(scale)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.muon.step(rate)
        self.adamw.step()
        for parameter in self.parameters:
            parameter.grad = None
        return found[0], found[1], norm

    def weights(self) -> dict[str, Any]:
        """Return the weights by name, fp32, on the host."""
        tied = self.model.tie_embeddings
        return {
            name: item.detach().to("cpu", copy=True)
            for name, item in self.llama.state_dict().items()
            if not (tied and name == "lm_head.weight")
        }

    def moments(self) -> dict[str, Any]:
        """Return what the optimiser remembers, on the host: tensors by name."""
        found = {
            f"muon.{position}": moment.to("cpu", copy=True)
            for position, moment in enumerate(self.muon.moments)
        }
        for position, state in self.adamw.state_dict()["state"].items():
            for name, value in state.items():
                found[f"adamw.{position}.{name}"] = value.detach().to("cpu", copy=True)
        return found

    def restore(self, weights: dict[str, Any], moments: dict[str, Any]) -> None:
        """Take back what `weights` and `moments` returned."""
        self.llama.load_state_dict(weights, strict=False)
        state: dict[int, dict[str, Any]] = {}
        for name, value in moments.items():
            kind, position, *rest = name.split(".")
            if kind == "muon":
                self.muon.moments[int(position)].copy_(value)
            else:
                state.setdefault(int(position), {})[rest[0]] = value
        state_dict = self.adamw.state_dict()
        self.adamw.load_state_dict({**state_dict, "state": state})

    def try_out(self, row: DeviceRow) -> str:
        """Run a row once, so that compiling is over; return why it goes on without, or nothing."""
        reason = ""
        if self.compiled:
            try:
                self.losses(row)[0].backward()
            except Exception as error:  # whatever a compiler on an unknown machine raises
                reason = f"{type(error).__name__}: {str(error).strip()[:300]}"
                self.compiled = False
        if not self.compiled:
            self.losses(row)[0].backward()
        for parameter in self.parameters:
            parameter.grad = None
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return reason


def _masks(row: DeviceRow) -> tuple[Any, ...]:
    """Return of each document None, or which of its tree's nodes see which."""
    masks: list[Any] = []
    start = 0
    last = torch.from_numpy(row.host.last)
    for length, prompt in zip(row.host.lengths, row.host.prompts, strict=True):
        if prompt == length:
            masks.append(None)
        else:
            nodes = torch.arange(start + prompt, start + length)
            ends = last[start + prompt : start + length]
            mask = (nodes[None] <= nodes[:, None]) & (nodes[:, None] < ends[None])
            masks.append(mask.to(row.ids.device))
        start += length
    return tuple(masks)


@contextlib.contextmanager
def full_speed(device: Any) -> Any:
    """Let fp32 products of the optimiser use tensor cores."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
