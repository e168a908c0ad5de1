"""What a GPU should make of a shape, from its data sheet and two measured ceilings: an estimate.

Each operation of a compiled step takes the longer of its arithmetic and its traffic. Arithmetic: at
`--reached` of the data sheet's peak (products of 8,192 squared reach 798 of 989 TFLOP/s on an H100;
attention over short documents half of that). Traffic: 3.0 TB/s, and each fused group of elementwise
operations reads and writes its tensors once. Nothing here was measured on training itself.

    python benchmarks/gpu_estimate.py tiny wide small
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.model.configs import ModelConfig, load_model_config
from llm_compiler.train.hardware import find_gpu

CONFIGS = Path(__file__).parents[1] / "configs/model"
TRAFFIC = 3.0e12
BLOCK = 128


def operations(
    model: ModelConfig, answer_share: float, document: float
) -> Iterator[tuple[str, float, float]]:
    """Yield what a token costs: name, operations, bytes; forward and backward together."""
    width, inner, layers = model.hidden_size, model.intermediate_size, model.num_layers
    kv = model.num_kv_heads * model.head_size
    for name, rows, columns in (
        ("qkv", width, width + 2 * kv),
        ("output", width, width),
        ("gate and up", width, 2 * inner),
        ("down", inner, width),
    ):
        # Three products of bf16: each reads two sides and writes the third.
        yield name, layers * 6 * rows * columns, layers * 3 * 2 * (rows + columns)
    # A block of queries sees its document's blocks: half of one more than the document has.
    seen = document / 2 + BLOCK
    yield "attention", layers * 14 * seen * width, layers * 3 * 2 * (2 * width + 2 * kv)
    # Norms (fp32 in, bf16 out), rotary, gate, residual sums; about twice as much backward.
    fused = 2 * (4 + 2) * width + 4 * (width + kv) + 2 * 3 * inner + 2 * (4 + 2 + 4) * width
    yield "elementwise", 0.0, layers * 3 * fused
    head = 6 * width * model.vocab_size * answer_share
    # bf16 logits: written, read for the sum, read and written for the gradient, read twice.
    yield "output layer", head, answer_share * 6 * 2 * model.vocab_size + 20 * width
    yield "embedding", 0.0, 12.0 * width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("shapes", nargs="+", help="of configs/model")
    parser.add_argument("--gpu", default="H100")
    parser.add_argument("--reached", type=float, default=0.65, help="of the peak, by products")
    parser.add_argument("--answer-share", type=float, default=0.55)
    parser.add_argument("--document", type=float, default=400, help="mean tokens, by tokens")
    parser.add_argument("--minutes", type=float, default=8.5, help="of training, start-up excluded")
    parser.add_argument("--lost", type=float, default=0.2, help="to launches, optimiser, logs")
    options = parser.parse_args()
    gpu = find_gpu(options.gpu)
    assert gpu is not None
    rows = []
    for name in options.shapes:
        model = load_model_config(CONFIGS / f"{name}.toml")
        seconds = flops = 0.0
        bound = []
        for kind, work, traffic in operations(model, options.answer_share, options.document):
            reached = options.reached * (0.5 if kind == "attention" else 1.0)
            compute, memory = work / (gpu.peak_flops * reached), traffic / TRAFFIC
            seconds += max(compute, memory)
            flops += work
            if memory > compute:
                bound.append(kind)
        seconds /= 1 - options.lost
        rate = 1 / seconds
        rows.append(
            (
                name,
                f"{model.num_parameters / 1e6:.1f} M",
                f"{flops / 1e6:.0f} M",
                f"{rate / 1e6:.1f} M",
                f"{100 * flops * rate / gpu.peak_flops:.0f} %",
                f"{rate * 60 * options.minutes / 1e9:.2f}e9",
                ", ".join(bound),
            )
        )
    header = ("shape", "parameters", "operations a token", "tokens/s", "of peak")
    print_table((*header, "tokens", "bound by memory"), rows, right="lrrrrrl")


if __name__ == "__main__":
    main()
