"""The processes of a run: this one's device, the precision of all, and sums over them.

One process, or several under torchrun or `accelerate launch`: each with a whole model, or with a
shard of it (FSDP by accelerate's configuration). Imports PyTorch.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import time
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from llm_compiler.errors import ConfigError
from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.hardware import cpu_multiplies_bf16, find_gpu

__all__ = ["Processes"]


class Processes:
    """This process among those of its run.

    Raises:
        ConfigError: the configuration asks for what this machine or this number of processes cannot
        do.
    """

    def __init__(self, config: TrainConfig) -> None:
        cpu = config.device == "cpu" or not torch.cuda.is_available()
        if config.device == "cuda" and cpu:
            raise ConfigError("device is 'cuda', but PyTorch finds no GPU")
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        self.accelerator = Accelerator(cpu=cpu)
        if cpu:
            _shard_on_cpu(self.accelerator)
        self.device = self.accelerator.device
        self.is_main: bool = self.accelerator.is_main_process
        self.rank: int = self.accelerator.process_index
        self.world: int = self.accelerator.num_processes
        if config.rows_per_step % self.world:
            raise ConfigError(
                f"rows_per_step is {config.rows_per_step}, which is no multiple of the "
                f"{self.world} processes"
            )
        half = config.precision == "bf16"
        if config.precision == "auto":
            half = not cpu or cpu_multiplies_bf16()
        self.precision = "bf16" if half else "fp32"
        if config.compile and not (half and not cpu and config.flash_attention):
            # Elsewhere each row's documents are constants of the graph: every row would compile.
            raise ConfigError("compile needs a GPU, bf16 and flash_attention")
        self.is_sharded = self.accelerator.distributed_type == DistributedType.FSDP

    @property
    def device_name(self) -> str:
        """The GPU's own name, or ``cpu``."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def autocast(self) -> Any:
        """Return a context in which PyTorch computes in the run's precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def measure_peak(self) -> float | None:
        """Return what all devices together can do a second; None for a GPU of unknown speed."""
        if self.device.type == "cuda":
            gpu = find_gpu(torch.cuda.get_device_name(self.device))
            return gpu.peak_flops * self.world if gpu else None
        # A processor's peak is what its library's matrix product reaches, in this precision.
        size = 768
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        matrix = torch.ones(size, size, dtype=dtype)
        best = math.inf
        for _ in range(4):
            started = time.perf_counter()
            torch.mm(matrix, matrix)
            best = min(best, time.perf_counter() - started)
        return 2 * size**3 / best * self.world

    def memory_bytes(self) -> int:
        """Return the most memory that this process has held: of its GPU, or of its own."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def sum(self, value: float) -> float:
        """Return the sum over all processes; exact for whole numbers up to 2^53."""
        if self.world == 1:
            return value
        return float(self.sum_tensor(self._tensor(value)).item())

    def sum_tensor(self, tensor: Any) -> Any:
        """Return the sums over all processes of a tensor's elements."""
        if self.world == 1:
            return tensor
        return self.accelerator.reduce(tensor, reduction="sum")

    def any(self, mine: bool) -> bool:
        """Return whether any process says so."""
        return self.sum(int(mine)) > 0

    def max(self, mine: float) -> float:
        """Return the largest of all processes' values."""
        if self.world == 1:
            return mine
        return float(self.accelerator.gather(self._tensor(mine)).max().item())

    def _tensor(self, value: float) -> Any:
        return torch.tensor([value], dtype=torch.float64, device=self.device)


def _shard_on_cpu(accelerator: Accelerator) -> None:
    """Let processes on CPUs (gloo) shard as those on GPUs do, where the environment asks for it.

    accelerate leaves FSDP to accelerators; PyTorch's second version of it runs anywhere. It is how
    sharding is tested without a GPU.
    """
    wanted = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    if wanted and accelerator.num_processes > 1:
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
            reshard_after_forward=True,
            state_dict_type="FULL_STATE_DICT",
            cpu_ram_efficient_loading=False,
        )
        state = AcceleratorState()
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, plugin
