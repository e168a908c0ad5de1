"""The lean layers and the fused loss compute what transformers and PyTorch do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.special import TASKS
from llm_compiler.model.token_shards import TokenShards
from llm_compiler.train.hardware import cpu_multiplies_bf16
from llm_compiler.train.language_model import PackedModel, make_llama
from llm_compiler.train.lean import head_losses, shares_of
from llm_compiler.train.packing import Row, pack_rows
from llm_compiler.train.row_attention import group_documents
from llm_compiler.train.sources import Encoded


def run(model: PackedModel, row: Row, half: bool) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    arrays = (row.ids, row.positions, row.targets, row.tasks)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        loss = model(*(torch.from_numpy(array) for array in arrays), row.lengths)[0]
    loss.backward()
    gradients = [
        parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None
    ]
    return loss.item() / row.num_targets, torch.cat(gradients)


@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-5), (True, 2e-2)])
def test_losses_and_gradients_are_those_of_transformers(
    shape: ModelConfig, tokens: dict[str, Path], half: bool, tolerance: float
) -> None:
    torch.manual_seed(0)
    llama = make_llama(shape)
    plain, lean = (
        PackedModel(llama, num_tasks=len(TASKS), longest=256, lean=item) for item in (False, True)
    )
    shards = TokenShards(tokens["emulation"])
    for row in pack_rows([Encoded(*shards[place]) for place in range(12)], 700):
        theirs, expected = run(plain, row, half)
        ours, found = run(lean, row, half)
        assert ours == pytest.approx(theirs, rel=2e-3 if half else 1e-5)
        assert (found - expected).norm() < tolerance * expected.norm()


def test_groups_hold_each_token_once_with_little_padding() -> None:
    lengths = (5, 200, 198, 40, 41, 39, 7, 1000, 6)
    groups = group_documents(lengths, ())
    found = sorted(
        int(place)
        for group in groups
        for row, length in zip(group.positions, group.lengths, strict=True)
        for place in row[:length]
    )
    assert found == list(range(sum(lengths)))
    assert len(groups) == 4
    assert sum(group.positions.numel() for group in groups) < 1.1 * sum(lengths)


@pytest.mark.parametrize("block", [3, 8, 100])
def test_the_heads_gradient_is_pytorchs(block: int) -> None:
    torch.manual_seed(1)
    weight = torch.randn(50, 16, requires_grad=True)
    hidden = torch.randn(10, 16, requires_grad=True)
    ids = torch.randint(0, 50, (10,))
    expected = functional.cross_entropy(hidden @ weight.t(), ids, reduction="none")
    wanted = torch.autograd.grad(3 * expected.sum(), (hidden, weight))
    total, losses = head_losses(hidden, weight, ids, half=False, block_tokens=block)
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(torch.autograd.grad(3 * total, (hidden, weight)), wanted)


def test_shares_are_what_the_head_uses() -> None:
    """What a GPU runs compiled."""
    torch.manual_seed(3)
    logits = torch.randn(6, 20, requires_grad=True)
    ids = torch.randint(0, 20, (6,))
    expected = functional.cross_entropy(logits, ids, reduction="none")
    losses, gradient = shares_of(logits.detach(), ids)
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), logits)[0])


@pytest.mark.parametrize("block", [2, 100])
def test_several_weighted_predictions_of_a_row(block: int) -> None:
    torch.manual_seed(2)
    weight = torch.randn(20, 8, requires_grad=True)
    hidden = torch.randn(5, 8, requires_grad=True)
    rows = torch.tensor([0, 0, 1, 3, 3, 3, 4])
    ids = torch.randint(0, 20, (7,))
    weights = torch.rand(7)
    log_probs = (hidden @ weight.t()).log_softmax(dim=1)[rows, ids]
    wanted = torch.autograd.grad(-(log_probs * weights).sum(), (hidden, weight))
    total, losses = head_losses(
        hidden, weight, ids, half=False, edges=(rows, weights, None), block_tokens=block
    )
    torch.testing.assert_close(losses, -log_probs.detach())
    torch.testing.assert_close(torch.autograd.grad(total, (hidden, weight)), wanted)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor : 0\nFeatures : fp asimd bf16\n", True),
        ("processor : 0\nflags\t\t: fpu avx2\n", False),
        ("", False),
    ],
)
def test_processors_that_multiply_bf16(tmp_path: Path, text: str, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert cpu_multiplies_bf16(path) is expected
