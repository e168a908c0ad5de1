"""Open the pool that somebody named: this machine's, or a Ray cluster's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from llm_compiler.errors import ConfigError
from llm_compiler.workers.cluster import ClusterPool
from llm_compiler.workers.local import LocalPool
from llm_compiler.workers.pool import WorkerPool

__all__ = ["POOLS", "PoolSpec", "num_local_processes", "open_pool"]

POOLS: Final = ("local", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """Which pool."""

    kind: str = "local"
    """One of `POOLS`."""
    ray_address: str = ""
    """Of a Ray cluster: ``HOST:PORT`` or ``auto``; empty: a Ray of its own on this machine."""


def open_pool(
    spec: PoolSpec,
    num_workers: int | None = None,
    *,
    on_event: Callable[[str, bool], None] = lambda sentence, is_loss: None,
) -> WorkerPool:
    """Return a pool, which the caller closes.

    Args:
        num_workers: worker processes on each machine; default: all its processors.
        on_event: is given a sentence where a node joins (``False``) or is lost (``True``).

    Raises:
        ConfigError: an address for a pool that has none, or of no cluster.
        ToolchainNotFound: Ray is not installed.
        ToolchainMismatch, WorkerLost: of the cluster's nodes.
    """
    if spec.kind == "local":
        if spec.ray_address:
            raise ConfigError("--ray-address is of --pool ray: give both, or neither")
        return LocalPool(num_workers)
    from llm_compiler.workers.ray_pool import RayPool

    return RayPool(spec.ray_address or None, num_workers, on_event=on_event)


def num_local_processes(pool: WorkerPool) -> int:
    """Return how many processes may work on this machine beside a pool whose workers wait."""
    if isinstance(pool, ClusterPool):
        return len(os.sched_getaffinity(0))
    return pool.num_workers
