"""The service's own values: its limits, what it refuses, the states of a job. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from llm_compiler.errors import (
    ArtifactError,
    CompilerError,
    ConfigError,
    InputError,
    LlmCompilerError,
    OutOfMemory,
    ResourceError,
    TimedOut,
    ToolchainError,
)

__all__ = ["JobState", "Limits", "Refusal", "refusal_code"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, one job and the whole service may take."""

    source_bytes: int = 256 * 1024
    """Of one request's source, decoded."""
    seconds: float = 120.0
    """Wall-clock time of one job, from when its sandbox is ready; waiting is not counted."""
    memory_bytes: int = 2048 * _MIB
    """Resident memory of one job, all of its processes together; its files are beside it."""
    disk_bytes: int = 256 * _MIB
    """What a job may write to its own folder, and as much to temporary files; both are memory."""
    num_processes: int = 64
    """Processes and threads of one job at once."""
    output_bytes: int = 16 * _MIB
    """What a job may answer with."""
    num_running: int = 2
    """Jobs at once."""
    num_waiting: int = 256
    """Jobs of all clients that wait for their turn."""
    num_waiting_of_client: int = 32
    requests_per_minute: int = 120
    """Of one client, in bursts of at most half as many; 0: no limit."""
    cache_bytes: int = 1024 * _MIB
    """Results kept on disk; those used longest ago go first."""

    @property
    def body_bytes(self) -> int:
        """The largest request: a source in which JSON escapes every byte, and the rest."""
        return 2 * self.source_bytes + 64 * 1024


class JobState(StrEnum):
    """Where a job is; the last five are for good."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    """The input, or what it asks for; `error` says why."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Our fault."""
    LOST = "lost"
    """The service ended before the job did."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job."""
        return self not in (JobState.WAITING, JobState.RUNNING)


class Refusal(Exception):
    """A request that is not carried out, with one sentence for whoever sent it.

    Args:
        status: of HTTP.
        code: a word for programs: input, request, compiler, time, memory, output, ...
        detail: the compiler's whole words.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 422,
        code: str = "request",
        detail: str = "",
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        found = {"code": self.code, "message": str(self)}
        return {"error": found | ({"detail": self.detail} if self.detail else {})}


_CODES: tuple[tuple[type[LlmCompilerError], str], ...] = (
    (ConfigError, "request"),
    (InputError, "input"),
    (CompilerError, "compiler"),
    (TimedOut, "time"),
    (OutOfMemory, "memory"),
    (ResourceError, "resources"),
    (ToolchainError, "toolchain"),
    (ArtifactError, "model"),
)


def refusal_code(error: LlmCompilerError) -> str:
    """Return the word for a kind of error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), "failed")
