"""The pool that a command's options ask for, and what people see of its nodes."""

from __future__ import annotations

from llm_compiler.commands.options.shared import PoolChoice
from llm_compiler.console import note, warn
from llm_compiler.workers import PoolSpec, WorkerPool
from llm_compiler.workers import open_pool as open_named
from llm_compiler.workers.cluster import ClusterPool

__all__ = ["open_pool", "pool_spec", "report_event", "with_nodes"]


def pool_spec(options: PoolChoice) -> PoolSpec:
    """Return which pool the options name."""
    return PoolSpec(kind=options.pool, ray_address=options.ray_address)


def report_event(sentence: str, is_loss: bool) -> None:
    """Say that a node joined, to who looks on; that one is lost, to all."""
    (warn if is_loss else note)(sentence)


def open_pool(options: PoolChoice, num_workers: int | None) -> WorkerPool:
    """Open the pool that the options name; the caller closes it.

    Args:
        num_workers: on each machine.

    Raises:
        ConfigError, ToolchainError, WorkerLost: see `workers.opening.open_pool`.
    """
    return open_named(pool_spec(options), num_workers, on_event=report_event)


def with_nodes(what: str, pool: WorkerPool) -> str:
    """Return what is under way, and on how many nodes if that is a cluster."""
    if not isinstance(pool, ClusterPool):
        return what
    return f"{what} on {len(pool.nodes)} nodes, {pool.num_workers} cores"
