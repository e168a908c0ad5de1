"""What only a GPU can show; skipped without one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.special import TASKS
from llm_compiler.model.token_shards import TokenShards
from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.language_model import PackedModel, make_llama
from llm_compiler.train.loop import train
from llm_compiler.train.packing import Row, pack_rows
from llm_compiler.train.progress import read_log
from llm_compiler.train.sources import Encoded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def loss(model: PackedModel, row: Row) -> torch.Tensor:
    arrays = (row.ids, row.positions, row.targets, row.tasks)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        result = model(*(torch.from_numpy(array).cuda() for array in arrays), row.lengths)
    found: torch.Tensor = result[0] / row.num_targets
    return found


@pytest.mark.parametrize("compiled", [False, True])
def test_flash_attention_gives_the_loss_of_documents_alone(
    shape: ModelConfig, tokens: dict[str, Path], compiled: bool
) -> None:
    torch.manual_seed(0)
    llama = make_llama(shape).cuda()
    models = [
        PackedModel(
            llama, num_tasks=len(TASKS), longest=256, flash=flash, compiled=flash and compiled
        )
        for flash in (True, False)
    ]
    shards = TokenShards(tokens["emulation"])
    documents = [Encoded(*shards[place]) for place in range(20)]
    for row in pack_rows(documents, 700):
        gradients = []
        losses = []
        for model in models:
            model.zero_grad()
            losses.append(loss(model, row))
            losses[-1].backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))  # type: ignore[union-attr]
        torch.testing.assert_close(*losses, rtol=2e-3, atol=0)
        cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
        assert cosine > 0.999


def test_training_on_a_gpu(config: TrainConfig) -> None:
    outcome = train(dataclasses.replace(config, device="cuda", max_steps=20))
    found = [line["loss"] for line in read_log(config.out) if "loss" in line]
    assert found[-1] < 0.7 * found[0]
    assert outcome.status == "finished"
