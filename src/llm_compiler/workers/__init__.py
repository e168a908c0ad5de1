"""Pools of worker processes, of one machine or a cluster, in which a crash or hang is a result."""

from llm_compiler.workers.local import LocalPool
from llm_compiler.workers.opening import PoolSpec, num_local_processes, open_pool
from llm_compiler.workers.pool import StepResult, WorkerPool, run_jobs

__all__ = [
    "LocalPool",
    "PoolSpec",
    "StepResult",
    "WorkerPool",
    "num_local_processes",
    "open_pool",
    "run_jobs",
]
