"""Muon beside AdamW: which parameters go where, one rate, and a state that comes back."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from llm_compiler.train.optimizers import MuonWithAdamW, make_optimizer  # noqa: E402


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = torch.nn.Embedding(7, 8)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(2)])
        self.norm = torch.nn.LayerNorm(8)


def made(model: Small, name: str) -> torch.optim.Optimizer:
    return make_optimizer(
        model.named_parameters(),
        name=name,
        learning_rate=1e-2,
        weight_decay=0.1,
        betas=(0.9, 0.95),
        fused=False,
    )


def step(model: Small, optimizer: torch.optim.Optimizer) -> None:
    ids = torch.arange(7)
    values = model.embed(ids)
    for layer in model.layers:
        values = values + torch.tanh(layer(values))
    (model.norm(values) * torch.linspace(-1, 1, 56).view(7, 8).sin()).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_adamw_alone_by_default() -> None:
    assert type(made(Small(), "adamw")) is torch.optim.AdamW


def test_the_layers_matrices_are_muons() -> None:
    model = Small()
    optimizer = made(model, "muon")
    assert isinstance(optimizer, MuonWithAdamW)
    muon = {id(item) for group in optimizer.parts["muon"].param_groups for item in group["params"]}
    assert muon == {id(layer.weight) for layer in model.layers}
    every = [id(item) for group in optimizer.param_groups for item in group["params"]]
    assert sorted(every) == sorted(id(parameter) for parameter in model.parameters())
    # A step of a matrix has singular values that are alike (a gradient's are not).
    before = model.layers[0].weight.detach().clone()
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 1e-3, 0.0
    step(model, optimizer)
    moved = torch.linalg.svdvals(before - model.layers[0].weight.detach())
    assert moved[0] < 2 * moved[4] > 0


def test_a_rate_of_nothing_moves_nothing() -> None:
    model = Small()
    optimizer = made(model, "muon")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    step(model, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_its_state_comes_back() -> None:
    first, second = Small(), Small()
    item, other = made(first, "muon"), made(second, "muon")
    for _ in range(3):
        step(first, item)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(copy.deepcopy(item.state_dict()))
    for group in (*item.param_groups, *other.param_groups):
        group["lr"] = 5e-3
    for _ in range(2):
        step(first, item)
        step(second, other)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
