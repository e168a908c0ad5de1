"""Training state as safetensors: the same nest comes back, and nothing in a file is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from llm_compiler.errors import CheckpointMismatch

torch = pytest.importorskip("torch", reason="needs the extra train: make test-train")
pytest.importorskip("safetensors", reason="needs the extra train: make test-train")

from llm_compiler.train.state import read_state, write_state  # noqa: E402


def test_an_optimisers_state_comes_back(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    tied = layer.weight.detach()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"model": {"a": tied, "b": tied}, "optimizer": optimizer.state_dict(), "none": None}
    write_state(tmp_path / "state", state)
    found = read_state(tmp_path / "state")
    assert found["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    assert torch.equal(found["model"]["b"], tied)
    for number, moments in state["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(found["optimizer"]["state"][number][name], value)
    other = torch.optim.AdamW(layer.parameters(), lr=0.5)
    other.load_state_dict(found["optimizer"])
    assert other.param_groups[0]["lr"] == 0.1


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(pickle.dumps(_Trap(tmp_path / "fired")))
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        read_state(tmp_path / "state")
    assert not (tmp_path / "fired").exists()


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no part"):
        write_state(tmp_path / "state", {"a": object()})
