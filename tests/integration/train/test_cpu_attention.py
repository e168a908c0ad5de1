from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from llm_compiler.train.cpu_attention import attend


@pytest.mark.parametrize("num_nodes", [0, 30])
@pytest.mark.parametrize("num_prompt", [3, 100, 500])
def test_the_same_as_pytorchs(num_prompt: int, num_nodes: int) -> None:
    """Within bf16's rounding, on prompts of less than a block and of several."""
    generator = torch.Generator().manual_seed(num_prompt)
    length = num_prompt + num_nodes
    inputs = [
        torch.randn(heads, length, 16, generator=generator).bfloat16().requires_grad_()
        for heads in (4, 2, 2)
    ]
    tree = torch.rand(num_nodes, num_nodes, generator=generator) < 0.3
    tree |= torch.eye(num_nodes, dtype=torch.bool)
    whole = torch.ones(length, length, dtype=torch.bool).tril()
    whole[num_prompt:, num_prompt:] = tree
    q, k, v = (item.detach().float()[None].requires_grad_() for item in inputs)
    expected = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=whole, scale=0.3, enable_gqa=True
    )[0]
    found = attend(*inputs, tree if num_nodes else None, 0.3)
    weights = torch.randn(expected.shape, generator=generator)
    wanted = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    gradients = torch.autograd.grad((found * weights.bfloat16()).sum(), inputs)
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    for gradient, other in zip(gradients, wanted, strict=True):
        error = (gradient.float() - other[0]).norm()
        assert error < 0.01 * max(other.norm().item(), 4)
