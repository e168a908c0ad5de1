"""What devices can do at best: the figures that "share of peak" is of, and the plans' days.

GPUs: dense bf16 with fp32 sums, and memory, from NVIDIA's data sheets. CPUs: whether they multiply
bf16 by themselves, which decides a run's precision. No PyTorch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["GPUS", "Gpu", "cpu_multiplies_bf16", "find_gpu"]

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
"""As Linux calls them on x86-64 and AArch64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A model of GPU."""

    name: str
    peak_flops: float
    """Operations a second, dense bf16."""
    memory_bytes: int


def _gpu(name: str, teraflops: float, gigabytes: int) -> Gpu:
    return Gpu(name=name, peak_flops=teraflops * 1e12, memory_bytes=gigabytes * 10**9)


GPUS: Final = (
    _gpu("B200", 2250, 180),
    _gpu("H200", 989, 141),
    _gpu("H100 PCIe", 756, 80),
    _gpu("H100", 989, 80),
    _gpu("A100", 312, 80),
    _gpu("L40S", 362, 48),
    _gpu("RTX 4090", 165, 24),
)


def find_gpu(device_name: str) -> Gpu | None:
    """Return what is known of a device by the name that CUDA gives it."""
    words = device_name.lower()
    for gpu in GPUS:
        if all(word in words for word in gpu.name.lower().split()):
            return gpu
    return None


def cpu_multiplies_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor has instructions for bf16 products (AVX-512, AMX, NEON, SVE).

    Where it has, they take half of fp32's time or less (`benchmarks/training_speed.py`); where it
    has not, bf16 is emulated, and slower.
    """
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    for line in text.splitlines():
        name, _, flags = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return not _BF16_FLAGS.isdisjoint(flags.split())
    return False
