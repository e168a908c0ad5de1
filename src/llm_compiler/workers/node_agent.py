"""What runs on each node of a cluster: a local pool, and the modules that jobs name.

Crashes, hangs and lack of memory stay in the node's worker processes, as on one machine. Knows no
cluster. Threads run jobs side by side.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import llm_compiler
from llm_compiler.errors import WorkerLost
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.workers.local import LocalPool
from llm_compiler.workers.pool import PoolInterrupted, StepResult

__all__ = ["KEPT_MODULES", "Identity", "JobDone", "NodeAgent", "PackedJob", "own_identity"]

KEPT_MODULES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What results depend on beside the job."""

    version: str
    code: str
    """A hash of the package's own source."""
    llvm_version: str

    def difference(self, wanted: Identity) -> str:
        """Say in a sentence what a node of this identity has that differs; empty: nothing."""
        if self.llvm_version != wanted.llvm_version:
            return f"it has LLVM {self.llvm_version}, and this machine LLVM {wanted.llvm_version}"
        if (self.version, self.code) != (wanted.version, wanted.code):
            return (
                f"it has LLM Compiler {self.version} ({self.code}), and this machine "
                f"{wanted.version} ({wanted.code}): install the same on both"
            )
        return ""


@lru_cache(maxsize=1)
def own_identity() -> Identity:
    """Return what this machine has.

    Raises:
        ToolchainError: no LLVM.
    """
    root = Path(llm_compiler.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return Identity(
        version=llm_compiler.__version__,
        code=digest.hexdigest()[:12],
        llvm_version=find_toolchain().version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedJob:
    """A job as it travels: with `key`, its field ``bitcode`` is empty and named by that."""

    job: Any
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """All results of a job, but the one that marks its end; or why there are none."""

    results: tuple[StepResult, ...] = field(default=(), repr=False)
    lacks_module: bool = False
    """The module is not here (any more): the job must come with it."""
    lost: bool = False
    """The workers cannot be started here."""
    interrupted: bool = False
    """All jobs were dropped: this one too, even if it came after what was meant."""


class NodeAgent:
    """The agent of one node.

    Args:
        num_workers: worker processes.
        memory_limit_bytes: of each.
    """

    def __init__(self, num_workers: int, memory_limit_bytes: int) -> None:
        self._pool = LocalPool(num_workers, memory_limit_bytes=memory_limit_bytes)
        self._modules: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def identity(self) -> Identity:
        """Return what this node has."""
        return own_identity()

    def run(self, packed: PackedJob, module: bytes | None) -> JobDone:
        """Run a job to its end.

        Args:
            module: the bytes that `packed.key` names, if they may not be here.
        """
        job = packed.job
        if packed.key:
            with self._lock:
                if module is not None:
                    self._modules[packed.key] = module
                if packed.key not in self._modules:
                    return JobDone(lacks_module=True)
                self._modules.move_to_end(packed.key)
                while len(self._modules) > KEPT_MODULES:
                    self._modules.popitem(last=False)
                job = replace(job, bitcode=self._modules[packed.key])
        found = []
        ticket = self._pool.submit(job)
        try:
            for result in self._pool.results():
                if result.ticket == ticket and not result.last:
                    found.append(result)
        except PoolInterrupted:
            return JobDone(interrupted=True)
        except WorkerLost:
            return JobDone(lost=True)
        return JobDone(results=tuple(found))

    def interrupt(self) -> None:
        """Drop all jobs."""
        self._pool.interrupt()
