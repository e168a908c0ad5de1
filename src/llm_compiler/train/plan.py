"""What a run will need: parameters, memory, operations, and days on named GPUs.

Pure arithmetic. Operations are counted as while training (`ModelConfig.training_flops`); tokens and
attention are upper bounds: rows that are full, of documents as long as the context, with a loss on
every token. Days assume a share of each GPU's peak; where the run has a log already, the measured
tokens a second stand beside them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.hardware import GPUS

__all__ = ["ASSUMED_SHARE", "Plan", "make_plan"]

ASSUMED_SHARE = 0.4
"""Of peak: what well-made training of large models reaches; small models reach less."""
_LOG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The needs of a run."""

    num_parameters: int
    num_block_parameters: int
    num_trained_parameters: int
    """Fewer than all with LoRA."""
    checkpoint_bytes: int
    """bf16 weights, or fp32 adapters."""
    tokens_per_step: int
    num_tokens: int
    total_flops: float
    state_bytes: int
    """Weights, gradients and AdamW's two moments in fp32, on all devices together; frozen weights
    in bf16."""
    activation_bytes: int
    """Of one row, on each device."""
    bytes_a_device: dict[int, int]
    """By number of devices, with the state sharded over them (FSDP)."""
    days: dict[str, float]
    """On one GPU of each name at `ASSUMED_SHARE` of its peak."""
    devices_for_memory: dict[str, int]
    """The fewest GPUs (a power of two) whose memory holds the run; 0: more than 1,024."""
    measured_tokens_per_s: float | None
    measured_days: float | None
    """What is left of the run, at the pace of its log."""


def make_plan(config: TrainConfig) -> Plan:
    """Return the needs of a run."""
    model = config.model
    tokens_per_step = config.row_tokens * config.rows_per_step
    num_tokens = tokens_per_step * config.max_steps
    total_flops = float(
        model.training_flops(
            tokens=num_tokens,
            answer_tokens=num_tokens,
            squared_lengths=num_tokens * config.document_tokens,
            frozen=config.lora is not None,
        )
    )
    trained, frozen = model.num_parameters, 0
    if config.lora is not None:
        trained, frozen = config.lora.num_parameters(model), model.num_parameters
    state_bytes = 16 * trained + (4 if config.precision == "fp32" else 2) * frozen
    activation_bytes = _activation_bytes(config)
    by_devices = {
        number: state_bytes // number + activation_bytes
        for number in (2**power for power in range(11))
    }
    devices = {
        gpu.name: next((n for n, size in by_devices.items() if size < 0.9 * gpu.memory_bytes), 0)
        for gpu in GPUS
    }
    pace = _measured_pace(config)
    left = num_tokens - (pace["tokens"] if pace else 0)
    return Plan(
        num_parameters=model.num_parameters,
        num_block_parameters=model.num_block_parameters,
        num_trained_parameters=trained,
        checkpoint_bytes=4 * trained if config.lora else 2 * trained,
        tokens_per_step=tokens_per_step,
        num_tokens=num_tokens,
        total_flops=total_flops,
        state_bytes=state_bytes,
        activation_bytes=activation_bytes,
        bytes_a_device=by_devices,
        days={gpu.name: total_flops / (ASSUMED_SHARE * gpu.peak_flops) / 86_400 for gpu in GPUS},
        devices_for_memory=devices,
        measured_tokens_per_s=pace["tokens_per_s"] if pace else None,
        measured_days=max(0.0, left / pace["tokens_per_s"] / 86_400) if pace else None,
    )


def _activation_bytes(config: TrainConfig) -> int:
    """Estimate what a row holds for the backward pass, in bf16, and its logits in fp32."""
    model, tokens = config.model, config.row_tokens
    kv = model.num_kv_heads * model.head_size
    # In and out of the norms, q, k, v, attention's output, and the three parts of the feed-forward.
    layer = 8 * model.hidden_size + 2 * kv + 4 * model.intermediate_size
    if config.gradient_checkpointing:
        kept = model.num_layers * model.hidden_size + layer
    else:
        kept = model.num_layers * layer
    logits = min(tokens, 16_384) * model.vocab_size * (4 + 4)
    return 2 * tokens * kept + logits


def _measured_pace(config: TrainConfig) -> dict[str, Any] | None:
    """Return the last line of the run's log that tells its pace."""
    try:
        with open(config.out / "log.jsonl", "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _LOG_BYTES))
            lines = stream.read().splitlines()
        for line in reversed(lines):
            found_line = json.loads(line)
            if found_line.get("tokens_per_s"):
                found: dict[str, Any] = found_line
                return found
    except (OSError, ValueError):
        pass
    return None
