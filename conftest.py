"""What is collected: all, or without PyTorch (extra `train`) all but what imports it."""

from __future__ import annotations

import signal
from importlib.util import find_spec

import pytest

_HAS_TORCH = all(find_spec(name) for name in ("torch", "transformers", "accelerate", "safetensors"))

collect_ignore_glob = (
    []
    if _HAS_TORCH
    else [
        "src/llm_compiler/kit/engine.py",
        "src/llm_compiler/train/cpu_attention.py",
        "src/llm_compiler/train/lean.py",
        "src/llm_compiler/train/row_attention.py",
        "src/llm_compiler/train/sharded_state.py",
        "src/llm_compiler/train/language_model.py",
        "src/llm_compiler/train/optimizers.py",
        "src/llm_compiler/train/loop.py",
        "tests/integration/kit/*",
        "tests/integration/train/*",
    ]
)

if find_spec("fastapi") is None:
    collect_ignore_glob += ["src/llm_compiler/service/*"]


def pytest_report_header() -> str:
    """Say whether training is tested."""
    if _HAS_TORCH:
        return "PyTorch: found"
    return "PyTorch: not installed, training is not tested; `make test-train` installs and tests it"


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell starts background jobs deaf to Ctrl-C, which children inherit: tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
