"""What storing weights in fewer bits costs: bytes of the file, and loss of every task.

Matrices are rounded to int8 or int4, with one fp16 scale a row or a group of columns, and back; the
losses are those of unseen documents ([validation] of the configuration), beside bf16.

    python benchmarks/quantised_storage.py CHECKPOINT --config configs/train/kit.toml
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

from llm_compiler.console import print_table
from llm_compiler.kit.validation import compare, measure
from llm_compiler.train.checkpoint import WEIGHTS_FILE
from llm_compiler.train.configs import load_train_config

VARIANTS = ((8, 0), (8, 64), (4, 64), (4, 32))
"""Bits, and columns a scale; 0: one scale a row."""


def rounded(tensor: Any, bits: int, group: int) -> tuple[Any, int]:
    """Return a matrix as it comes back, and the bytes that it takes."""
    import torch

    rows, columns = tensor.shape
    width = group or columns
    parts = tensor.float().reshape(rows, columns // width, width)
    highest = 2 ** (bits - 1) - 1
    scales = (parts.abs().amax(dim=2, keepdim=True) / highest).half().float().clamp(min=1e-8)
    whole = (parts / scales).round().clamp(-highest, highest)
    found = (whole * scales).reshape(rows, columns).to(torch.bfloat16)
    return found, tensor.numel() * bits // 8 + 2 * rows * columns // width


def main() -> None:
    import safetensors.torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=200)
    options = parser.parse_args()
    config = load_train_config(options.config, None)
    config = dataclasses.replace(config, validation_documents=options.documents)
    old = measure(options.weights, config)
    tensors = safetensors.torch.load_file(options.weights / WEIGHTS_FILE)
    rows = [("bf16", f"{sum(2 * item.numel() for item in tensors.values()):,}", "", "", "", "")]
    for bits, group in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            for path in options.weights.iterdir():
                if path.is_file():
                    shutil.copy(path, folder)
            size = 0
            changed = {}
            for name, tensor in tensors.items():
                if tensor.dim() == 2:
                    changed[name], own = rounded(tensor, bits, group)
                else:
                    changed[name], own = tensor, 2 * tensor.numel()
                size += own
            safetensors.torch.save_file(changed, Path(folder) / WEIGHTS_FILE)
            for comparison in compare(old, measure(Path(folder), config)):
                interval = f"[{comparison.low:+.4f}, {comparison.high:+.4f}]"
                difference = f"{comparison.new - comparison.old:+.4f} {interval}"
                kind = f"int{bits}, {'row' if not group else f'{group} columns'}"
                rows.append(
                    (
                        kind,
                        f"{size:,}",
                        comparison.task,
                        f"{comparison.old:.4f}",
                        f"{comparison.new:.4f}",
                        difference,
                    )
                )
    print_table(("stored as", "bytes", "unseen", "bf16", "so", "difference"), rows, right="lrlrrr")


if __name__ == "__main__":
    main()
