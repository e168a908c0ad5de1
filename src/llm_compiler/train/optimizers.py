"""AdamW, or Muon for the matrices of the layers and AdamW for the rest.

Muon (Jordan et al., 2024; PyTorch's) takes the momentum's nearest orthogonal matrix as a step, so
that all directions of a matrix learn at one pace. Small models learn to look back at their prompt
in far fewer steps with it (EXPERIMENTS.md, 2026-11-23). Its rate is scaled so that steps are as
large as AdamW's: both take the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from llm_compiler.errors import ConfigError

__all__ = ["MuonWithAdamW", "make_optimizer"]


def make_optimizer(
    named: Iterable[tuple[str, torch.nn.Parameter]],
    *,
    name: str,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    fused: bool,
) -> torch.optim.Optimizer:
    """Return an optimiser of the parameters that are trained.

    Args:
        named: parameters by name; weight decay is for matrices.
        name: ``adamw`` or ``muon``.
        betas: AdamW's; Muon's momentum is 0.95.

    Raises:
        ConfigError: the PyTorch at hand has no such optimiser.
    """
    trained = [(key, item) for key, item in named if item.requires_grad]
    layers = [item for key, item in trained if item.dim() == 2 and ".layers." in f".{key}"]
    if name == "adamw":
        layers = []
    kept = {id(layer) for layer in layers}
    matrices = [item for _, item in trained if item.dim() >= 2 and id(item) not in kept]
    others = [item for _, item in trained if item.dim() < 2]
    adamw = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=betas,
        eps=1e-8,
        fused=fused,
    )
    if not layers:
        return adamw
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(f"optimizer is 'muon': PyTorch {torch.__version__} has none (2.9 has)")
    muon = torch.optim.Muon(
        layers,
        lr=learning_rate,
        weight_decay=weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return MuonWithAdamW(muon, adamw)


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimisers of disjoint parameters as one."""

    def __init__(self, muon: torch.optim.Optimizer, adamw: torch.optim.Optimizer) -> None:
        self.parts = {"muon": muon, "adamw": adamw}
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        # The very groups of the parts: a rate that is set here is theirs.
        self.param_groups = [*muon.param_groups, *adamw.param_groups]

    def step(self, closure: Any = None) -> Any:
        """Take a step of both; closures are not supported."""
        assert closure is None
        for part in self.parts.values():
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return both states by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]
