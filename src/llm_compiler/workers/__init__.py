"""Pools of worker processes that turn crashes, hangs and lack of memory into results."""

from llm_compiler.workers.local import LocalPool
from llm_compiler.workers.pool import StepResult, WorkerPool, run_jobs

__all__ = ["LocalPool", "StepResult", "WorkerPool", "run_jobs"]
