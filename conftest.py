"""What is collected: all, or without PyTorch (extra `train`) all but what imports it."""

from __future__ import annotations

from importlib.util import find_spec

_HAS_TORCH = all(find_spec(name) for name in ("torch", "transformers", "accelerate", "safetensors"))

collect_ignore_glob = (
    []
    if _HAS_TORCH
    else [
        "src/llm_compiler/train/language_model.py",
        "src/llm_compiler/train/loop.py",
        "tests/integration/train/*",
    ]
)


def pytest_report_header() -> str:
    """Say whether training is tested."""
    if _HAS_TORCH:
        return "PyTorch: found"
    return "PyTorch: not installed, training is not tested; `make test-train` installs and tests it"
