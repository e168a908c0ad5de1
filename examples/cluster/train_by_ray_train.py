"""Train a stage in the workers of a Ray cluster: Ray Train's TorchTrainer around `train`.

Ray starts the workers, gives each its rank and joins them in one process group, as torchrun does;
what `llm-compiler train` does in them is the same. Data, tokenizer and the output's folder must be
at one path on all nodes (a shared disk): the first worker writes checkpoints there, and the same
command with ``--resume`` goes on from them.

    pip install 'llm-compiler[train]' 'ray[train]>=2.40'
    python train_by_ray_train.py --workers 8 --gpus -- \\
        emulation --config configs/train/7b-emulation.toml
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer


def train_in_worker(config: dict[str, Any]) -> None:
    """Run the command in one worker."""
    from llm_compiler.cli import main as llm_compiler

    code = llm_compiler(["train", *config["arguments"]])
    if code:
        raise RuntimeError(f"llm-compiler train: exit code {code}")


def main() -> int:
    """Train, and say where Ray keeps its own records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpus", action="store_true", help="one for each worker")
    parser.add_argument("--address", help="of the cluster; default: as Ray finds it, or a new one")
    parser.add_argument("--storage", help="an absolute path for Ray's records")
    parser.add_argument("arguments", nargs="+", help="of `llm-compiler train`, after --")
    options = parser.parse_args()
    ray.init(address=options.address)
    trainer = TorchTrainer(
        train_in_worker,
        train_loop_config={"arguments": options.arguments},
        scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=options.gpus),
        run_config=RunConfig(storage_path=options.storage),
    )
    print(trainer.fit().path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
