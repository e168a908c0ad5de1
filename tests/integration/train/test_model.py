"""Packing changes no loss; transformers computes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.special import TASKS
from llm_compiler.model.token_shards import TokenShards
from llm_compiler.train.language_model import PackedModel, make_llama
from llm_compiler.train.packing import IGNORED, Row, pack_rows
from llm_compiler.train.sources import Encoded


@pytest.fixture(scope="module")
def model(shape: ModelConfig) -> PackedModel:
    torch.manual_seed(3)
    return PackedModel(make_llama(shape), num_tasks=len(TASKS), longest=shape.context)


@pytest.fixture(scope="module")
def documents(tokens: dict[str, Path]) -> list[Encoded]:
    shards = [TokenShards(tokens[stage]) for stage in ("emulation", "pretraining")]
    return [Encoded(*shard[place]) for shard in shards for place in range(3)]


def run(model: PackedModel, row: Row) -> tuple[torch.Tensor, ...]:
    arrays = (row.ids, row.positions, row.targets, row.tasks)
    result = model(*map(torch.from_numpy, arrays), row.lengths)
    assert isinstance(result, tuple)
    return result


def gradient(model: PackedModel, rows: list[Row]) -> list[torch.Tensor]:
    model.zero_grad()
    torch.stack([run(model, row)[0] for row in rows]).sum().backward()
    return [
        parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None
    ]


def test_packed_or_alone_the_loss_is_the_same(model: PackedModel, documents: list[Encoded]) -> None:
    (packed,) = pack_rows(documents, 10_000)
    alone = [row for document in documents for row in pack_rows([document], 10_000)]
    total, sums, counts, _ = run(model, packed)
    parts = [run(model, row) for row in alone]
    torch.testing.assert_close(total, torch.stack([p[0] for p in parts]).sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(sums, torch.stack([p[1] for p in parts]).sum(0))
    assert counts.sum().item() == packed.num_targets
    assert (counts > 0).sum() == 2  # two tasks
    grads = zip(gradient(model, [packed]), gradient(model, alone), strict=True)
    for item, other in grads:
        torch.testing.assert_close(item, other, rtol=1e-3, atol=1e-4)


def test_another_neighbour_changes_nothing(model: PackedModel, documents: list[Encoded]) -> None:
    a, b, c = documents[:3]
    task_a = pack_rows([a], 9999)
    (alone,) = task_a
    (behind_b,), (behind_c,) = pack_rows([b, a], 9999), pack_rows([c, a], 9999)
    expected, *_ = run(model, alone)
    for row, neighbour in ((behind_b, b), (behind_c, c)):
        row.targets[: len(neighbour.ids)] = IGNORED
        torch.testing.assert_close(run(model, row)[0], expected, rtol=1e-6, atol=0)


def test_transformers_computes_the_same_loss(
    model: PackedModel, documents: list[Encoded], tmp_path: Path, shape: ModelConfig
) -> None:
    from transformers import LlamaForCausalLM

    model.llama.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(shape.to_json())
    theirs = LlamaForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    for document in documents:
        (row,) = pack_rows([document], 9999)
        ids = torch.from_numpy(row.ids)[None]
        labels = ids.clone()
        labels[0, : document.num_prompt] = IGNORED
        expected = theirs(input_ids=ids, labels=labels).loss * row.num_targets
        torch.testing.assert_close(run(model, row)[0], expected, rtol=1e-5, atol=0)


def test_less_memory_changes_nothing(
    model: PackedModel, documents: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = pack_rows(documents, 10_000)
    expected = gradient(model, [row])
    # Logits in small parts, recomputed in the backward pass; layers recomputed too.
    monkeypatch.setattr("llm_compiler.train.language_model._LOSS_TOKENS", 50)
    frugal = PackedModel(
        model.llama, num_tasks=len(TASKS), longest=256, gradient_checkpointing=True
    )
    for item, other in zip(gradient(frugal.train(), [row]), expected, strict=True):
        torch.testing.assert_close(item, other, rtol=1e-4, atol=1e-5)
    for layer in model.llama.model.layers:
        layer.gradient_checkpointing = False


def test_a_row_without_answers_has_no_loss(model: PackedModel, documents: list[Encoded]) -> None:
    encoded = documents[0]
    (row,) = pack_rows([Encoded(encoded.ids, len(encoded.ids), encoded.task)], 9999)
    total, _, counts, _ = run(model, row)
    total.backward()
    assert (total.item(), counts.sum().item()) == (0, 0)
