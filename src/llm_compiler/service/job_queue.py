"""Jobs: they wait by client, run in sandboxes, tell what happens, and leave results in the store.

Clients take turns, so that one with many jobs does not keep the others waiting. Sandboxes are
started ahead, so that what takes long to load is there when a job comes; each runs one job. Lives
on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final

from llm_compiler.errors import LlmCompilerError, OutputError
from llm_compiler.service.limits import JobState, Limits, Refusal
from llm_compiler.service.log import log_event
from llm_compiler.service.metrics import Metrics
from llm_compiler.service.requests import content_key
from llm_compiler.service.results import ResultStore
from llm_compiler.service.sandbox import Sandbox, Sandboxed

__all__ = ["Job", "Jobs"]

_MAX_REMEMBERED: Final = 512
_MAX_EVENTS: Final = 6000
_RUNNER: Final = "llm_compiler.service.runner"


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request under way."""

    name: str
    verb: str
    client: str
    key: str
    request: dict[str, Any] = field(repr=False)
    state: JobState = JobState.WAITING
    error: dict[str, Any] | None = None
    is_cached: bool = False
    created: float = field(default_factory=time.time)
    started: float | None = None
    seconds: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def tell(self, event: dict[str, Any]) -> None:
        """Add an event and wake whoever listens."""
        if len(self.events) < _MAX_EVENTS or event["event"] == "end":
            self.events.append(event)
        self.wake()

    def wake(self) -> None:
        """Wake whoever listens."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self, start: int = 0) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
        """Yield events with their numbers from one on, until the job's last."""
        number = start
        while True:
            changed = self._changed
            while number < len(self.events):
                yield number, self.events[number]
                number += 1
            if self.state.is_final:
                return
            await changed.wait()

    async def ended(self) -> None:
        """Return when nothing more happens to the job."""
        while not self.state.is_final:
            await self._changed.wait()

    def to_json(self) -> dict[str, Any]:
        """Return what a client sees of it, and what is kept of it; without its result."""
        found = {
            "id": self.name,
            "verb": self.verb,
            "status": self.state.value,
            "cached": self.is_cached,
            "created": round(self.created, 3),
            "seconds": round(self.seconds, 3),
        }
        return found | ({"error": self.error} if self.error else {})


@dataclass(slots=True, kw_only=True)
class Jobs:
    """All jobs of a service.

    Args:
        fingerprint: of the package and its LLVM: results of another are not taken.
    """

    limits: Limits
    sandbox: Sandbox
    store: ResultStore
    metrics: Metrics
    fingerprint: str
    _jobs: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    _queues: OrderedDict[str, deque[Job]] = field(default_factory=OrderedDict)
    _running: set[Job] = field(default_factory=set)
    _spares: list[asyncio.Task[Sandboxed]] = field(default_factory=list)
    _closed: bool = False

    @property
    def num_waiting(self) -> int:
        """Jobs that have not begun."""
        return sum(map(len, self._queues.values()))

    @property
    def num_running(self) -> int:
        """Jobs under way."""
        return len(self._running)

    def warm_up(self) -> None:
        """Start sandboxes ahead, one for each job that may run."""
        while len(self._spares) < self.limits.num_running and not self._closed:
            self._spares.append(asyncio.create_task(self._started()))

    async def _started(self) -> Sandboxed:
        """Return a sandbox whose runner has loaded what it needs, or has ended."""
        sandboxed = await self.sandbox.start(self.sandbox.python(_RUNNER))
        try:
            await sandboxed.ready(seconds=self.limits.seconds)
        except BaseException:
            await sandboxed.kill()
            raise
        return sandboxed

    async def _next_spare(self) -> Sandboxed:
        """Return a sandbox for a job, another one where what was started ahead is of no use.

        Raises:
            OSError: none can be started.
        """
        self.warm_up()
        spare = self._spares.pop(0)
        try:
            sandboxed = await asyncio.shield(spare)
        except asyncio.CancelledError:
            self._spares.insert(0, spare)  # the job is cancelled, not what another may use
            raise
        except OSError as error:
            # What the system lacked when it was started, it may have again.
            log_event("sandbox", level=logging.WARNING, error=str(error))
            return await self._started()
        if sandboxed.process.returncode is None:
            return sandboxed
        await sandboxed.kill()  # it ended while it waited
        return await self._started()

    def submit(self, request: dict[str, Any], client: str) -> Job:
        """Take a job in; it is done already where its result is known.

        Raises:
            Refusal: too many are waiting.
            OutputError: the disk is full.
        """
        key = content_key(request, self.fingerprint)
        job = Job(
            name=secrets.token_urlsafe(18),
            verb=request["verb"],
            client=client,
            key=key,
            request=request,
        )
        if (result := self.store.result(key)) is not None:
            job.is_cached = True
            self._jobs[job.name] = job
            self.metrics.cached.labels(job.verb).inc()
            self._end(job, JobState.DONE, result=result)
            return job
        queue = self._queues.get(client, deque())
        if len(queue) >= self.limits.num_waiting_of_client:
            raise Refusal(
                f"{len(queue)} jobs of yours are waiting: let some end first",
                status=429,
                code="queue",
                retry_after_s=5,
            )
        if self._closed or self.num_waiting >= self.limits.num_waiting:
            raise Refusal(
                "too many jobs are waiting: try again later",
                status=503,
                code="queue",
                retry_after_s=10,
            )
        self._note(job)
        self._jobs[job.name] = job
        self._queues.setdefault(client, deque()).append(job)
        job.tell({"event": "waiting", "position": self.num_waiting})
        self._begin()
        return job

    def find(self, name: str) -> Job | None:
        """Return a job by its id, from before a restart too; None: there is none."""
        if (job := self._jobs.get(name)) is not None:
            return job
        if (record := self.store.job(name)) is None:
            return None
        job = Job(
            name=name,
            verb=str(record.get("verb", "")),
            client=str(record.get("client", "")),
            key=str(record.get("key", "")),
            request={},
            state=JobState(record.get("status", "lost")),
            error=record.get("error"),
            created=float(record.get("created", 0)),
            seconds=float(record.get("seconds", 0)),
        )
        if not job.state.is_final:
            job.state = JobState.LOST
            job.error = {
                "code": "lost",
                "message": "the service ended before this job did: send it again",
            }
        return job

    def result_of(self, job: Job) -> dict[str, Any] | None:
        """Return the result of a job that is done; None: it went to make room for others."""
        return self.store.result(job.key) if job.state is JobState.DONE else None

    def cancel(self, job: Job) -> None:
        """End a job; nothing happens if it has ended."""
        if job.state is JobState.WAITING:
            with contextlib.suppress(KeyError, ValueError):
                self._queues[job.client].remove(job)
            self._end(job, JobState.CANCELLED)
        elif job.state is JobState.RUNNING and job.task is not None:
            job.task.cancel()

    async def close(self) -> None:
        """End all that is under way."""
        self._closed = True
        tasks = [job.task for job in self._running if job.task is not None]
        for queue in list(self._queues.values()):
            for job in list(queue):
                self._end(job, JobState.LOST)
            queue.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for spare in self._spares:
            spare.cancel()  # does nothing to one that is ready
        found = await asyncio.gather(*self._spares, return_exceptions=True)
        ready = [spare for spare in found if isinstance(spare, Sandboxed)]
        await asyncio.gather(*(spare.kill() for spare in ready))
        self._spares.clear()

    # -- running -------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin jobs as long as there is room, one client after the other."""
        while len(self._running) < self.limits.num_running and not self._closed:
            client = next((name for name, queue in self._queues.items() if queue), None)
            if client is None:
                break
            job = self._queues[client].popleft()
            self._queues.move_to_end(client)
            if not self._queues[client]:
                del self._queues[client]
            job.state, job.started = JobState.RUNNING, time.time()
            self._running.add(job)
            job.task = asyncio.create_task(self._run(job))
        self._count()

    async def _run(self, job: Job) -> None:
        self.metrics.wait_seconds.observe(time.time() - job.created)
        job.tell({"event": "running"})
        try:
            await self._work(job)
        except Refusal as error:
            self._refuse(job, error)
        except asyncio.CancelledError:
            self._end(job, JobState.LOST if self._closed else JobState.CANCELLED)
        except (LlmCompilerError, OSError) as error:
            detail = getattr(error, "detail", "")
            log_event(
                "job broken", level=logging.ERROR, id=job.name, error=str(error), words=detail
            )
            self._fail(job)
        except Exception as error:
            log_event("job broken", level=logging.ERROR, id=job.name, error=repr(error))
            self._fail(job)
        finally:
            self._running.discard(job)
            self._begin()

    async def _work(self, job: Job) -> None:
        if (result := self.store.result(job.key)) is not None:
            job.is_cached = True
            self._end(job, JobState.DONE, result=result)  # somebody else's job made it meanwhile
            return
        sandboxed = await self._next_spare()
        self.warm_up()
        request = json.dumps(job.request).encode()
        try:
            async with contextlib.aclosing(
                sandboxed.exchange(request, seconds=self.limits.seconds)
            ) as lines:
                async for line in lines:
                    self._take(job, json.loads(line))
        finally:
            self.metrics.peak_bytes.observe(sandboxed.peak_bytes)
        if not job.state.is_final:
            raise LlmCompilerError("the job ended without an answer")

    def _take(self, job: Job, event: dict[str, Any]) -> None:
        match event.get("event"):
            case "done":
                result = event["result"]
                self.store.keep(job.key, result)
                self._end(job, JobState.DONE, result=result)
            case "refused":
                self._refuse(
                    job,
                    Refusal(
                        str(event["message"]),
                        code=str(event["code"]),
                        detail=str(event.get("detail", "")),
                    ),
                )
            case "broken":
                raise LlmCompilerError("the job failed", detail=str(event.get("detail", "")))
            case "ready":
                pass  # of one that loaded too slowly to be waited for
            case _:
                job.tell(event)

    def _refuse(self, job: Job, error: Refusal) -> None:
        job.error = error.to_json()["error"]
        self.metrics.refusals.labels(error.code).inc()
        self._end(job, JobState.REFUSED)

    def _fail(self, job: Job) -> None:
        message = "the service failed on this job; its log says why"
        job.error = {"code": "failed", "message": message}
        self._end(job, JobState.FAILED)

    def _end(self, job: Job, state: JobState, *, result: dict[str, Any] | None = None) -> None:
        if job.state.is_final:
            return
        job.state, job.request = state, {}
        job.seconds = time.time() - (job.started or time.time())
        if state is JobState.LOST:
            message = "the service ended before this job did: send it again"
            job.error = {"code": "lost", "message": message}
        elif state is JobState.CANCELLED:
            job.error = {"code": "cancelled", "message": "the job was cancelled"}
        job.tell({"event": "end", **job.to_json()})
        with contextlib.suppress(OutputError):
            self._note(job)
        self.metrics.jobs.labels(job.verb, state.value).inc()
        if job.started is not None:
            self.metrics.seconds.labels(job.verb).observe(job.seconds)
        if state is JobState.DONE and result is not None and "optimized_bytes" in result:
            saved = int(result["baseline_bytes"]) - int(result["optimized_bytes"])
            self.metrics.saved_bytes.inc(max(0, saved))
        log_event(
            "job ended",
            id=job.name,
            verb=job.verb,
            client=job.client,
            state=state.value,
            cached=job.is_cached,
            seconds=round(job.seconds, 3),
            **({"code": job.error["code"]} if job.error else {}),
        )
        self._forget()

    def _note(self, job: Job) -> None:
        self.store.note_job(job.name, job.to_json() | {"key": job.key, "client": job.client})

    def _forget(self) -> None:
        """Keep few ended jobs in memory; the store has them all."""
        ended = [job.name for job in self._jobs.values() if job.state.is_final]
        for name in ended[: max(0, len(ended) - _MAX_REMEMBERED)]:
            del self._jobs[name]

    def _count(self) -> None:
        self.metrics.waiting.set(self.num_waiting)
        self.metrics.running.set(len(self._running))
        self.metrics.cache_bytes.set(self.store.num_bytes)
