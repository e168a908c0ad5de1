"""The routes: requests in, jobs and results out, the page beside them.

Knows HTTP and nothing of compilers. Every refusal is a sentence in ``{"error": {code, message}}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from llm_compiler.errors import OutputError
from llm_compiler.service.clients import Clients
from llm_compiler.service.gate import Gate, refusal_response
from llm_compiler.service.hosts import KnownHosts
from llm_compiler.service.job_queue import Job, Jobs
from llm_compiler.service.limits import JobState, Limits, Refusal
from llm_compiler.service.log import log_event
from llm_compiler.service.metrics import CONTENT_TYPE_LATEST, Metrics
from llm_compiler.service.requests import (
    DisassembleRequest,
    EmulateRequest,
    EvaluateRequest,
    OptimizeRequest,
    canonical,
)

__all__ = ["Service", "make_app", "page_folder"]

_KEEP_ALIVE_S: Final = 15.0
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
        "data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


Wait = Annotated[bool, Query(description="answer with the result instead of the job")]


@dataclass(slots=True, kw_only=True)
class Service:
    """What the routes need.

    Args:
        hosts: names that requests may call the service by; none: any.
        about: what ``/v1/about`` says beside the limits.
    """

    jobs: Jobs
    clients: Clients
    metrics: Metrics
    limits: Limits
    hosts: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    page: Path | None = None


def page_folder() -> Path | None:
    """Return the folder of the built page; None: this installation has none."""
    folder = Path(str(resources.files("llm_compiler"))) / "data" / "page"
    return folder if (folder / "index.html").is_file() else None


def make_app(service: Service) -> FastAPI:
    """Return the application; its life begins and ends the jobs'."""

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        service.jobs.warm_up()
        yield
        await service.jobs.close()

    app = FastAPI(
        title="LLM Compiler",
        version="1",
        description="Objects smaller than clang -Oz, assembly lifted to LLVM-IR.",
        lifespan=life,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    _add_errors(app)
    _add_verbs(app, service)
    _add_jobs(app, service)
    _add_rest(app, service)
    _add_middleware(app, service)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return refusal_response(error)

    @app.exception_handler(OutputError)
    async def full(request: Request, error: OutputError) -> Response:
        log_event("disk", level=logging.ERROR, error=str(error))
        return refusal_response(
            Refusal("the service has no room on its disk", status=507, code="disk")
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return refusal_response(Refusal(_sentence(error)))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        sentence = {
            404: f"there is no {request.url.path}",
            405: f"{request.method} is not for {request.url.path}",
        }.get(error.status_code, str(error.detail))
        answer = refusal_response(Refusal(sentence, status=error.status_code, code="request"))
        answer.headers.update(error.headers or {})
        return answer


def _sentence(error: RequestValidationError) -> str:
    """Say the first thing that is wrong with a request."""
    first = error.errors()[0]
    where = ".".join(str(item) for item in first["loc"] if item not in ("body", "query"))
    what = str(first["msg"])
    if first["type"] == "json_invalid":
        return "the body is not JSON"
    if first["type"] == "extra_forbidden":
        return f"there is no field '{where}'"
    if first["type"] == "missing":
        return f"the field '{where}' is missing" if where else "the body is missing"
    return f"{where}: {what[0].lower()}{what[1:]}" if where else what


async def _wait_for(service: Service, request: Request, job: Job) -> Response:
    """Answer when a job has ended; it is cancelled if its client goes away."""
    ended = asyncio.create_task(job.ended())
    try:
        while not (await asyncio.wait([ended], timeout=1.0))[0]:
            if await request.is_disconnected():
                service.jobs.cancel(job)
                await ended
    finally:
        ended.cancel()
    return _final(service, job, flat=True)


def _final(service: Service, job: Job, *, flat: bool = False) -> Response:
    """Return what became of a job that has ended: its result, or its refusal.

    Args:
        flat: the result's fields beside the job's id and status, instead of below `result`.
    """
    if job.state is JobState.DONE:
        result = service.jobs.result_of(job)
        if result is None:
            raise Refusal(
                "this result went to make room for others: send the job again",
                status=410,
                code="gone",
            )
        said = job.to_json()
        return JSONResponse(said | result if flat else said | {"result": result})
    status = {JobState.REFUSED: 422, JobState.CANCELLED: 409, JobState.LOST: 410}
    return JSONResponse(job.to_json(), status.get(job.state, 500))


def _add_verbs(app: FastAPI, service: Service) -> None:
    async def take(request: Request, verb: str, asked: Any, wait: bool) -> Response:
        job = service.jobs.submit(canonical(verb, asked, service.limits), request.state.client)
        if wait:
            return await _wait_for(service, request, job)
        return JSONResponse(job.to_json(), 202, {"Location": f"/v1/jobs/{job.name}"})

    answers: dict[int | str, dict[str, Any]] = {
        202: {"description": "the job, which waits or is done"},
        422: {"description": "refused, with one sentence"},
    }

    @app.post("/v1/optimize", responses=answers)
    async def optimize(
        request: Request, asked: Annotated[OptimizeRequest, Body()], wait: Wait = False
    ) -> Response:
        """Make the smallest verified object; never larger than clang -Oz's."""
        return await take(request, "optimize", asked, wait)

    @app.post("/v1/explain", responses=answers)
    async def explain(
        request: Request, asked: Annotated[OptimizeRequest, Body()], wait: Wait = False
    ) -> Response:
        """Optimise, and say what each element of the recipe saves."""
        asked.explain = True
        return await take(request, "explain", asked, wait)

    @app.post("/v1/disassemble", responses=answers)
    async def disassemble(
        request: Request,
        asked: Annotated[DisassembleRequest, Body()],
        wait: Wait = False,
    ) -> Response:
        """Lift code to LLVM-IR, with a verdict for each function."""
        return await take(request, "disassemble", asked, wait)

    @app.post("/v1/emulate", responses=answers)
    async def emulate(
        request: Request, asked: Annotated[EmulateRequest, Body()], wait: Wait = False
    ) -> Response:
        """Predict what a pass list makes of code, and check that with the compiler."""
        return await take(request, "emulate", asked, wait)

    @app.post("/v1/evaluate", responses=answers)
    async def evaluate(
        request: Request, asked: Annotated[EvaluateRequest, Body()], wait: Wait = False
    ) -> Response:
        """Compile with recipes of one's own."""
        return await take(request, "evaluate", asked, wait)


def _add_jobs(app: FastAPI, service: Service) -> None:
    def found(request: Request, name: str) -> Job:
        job = service.jobs.find(name)
        if job is None or (service.clients.keys and job.client != request.state.client):
            raise Refusal("there is no such job", status=404, code="job")
        return job

    @app.get("/v1/jobs/{name}")
    async def job(request: Request, name: str) -> Response:
        """Say where a job is; with its result if it is done."""
        each_job = found(request, name)
        if each_job.state is JobState.DONE:
            return _final(service, each_job)
        return JSONResponse(each_job.to_json())

    @app.delete("/v1/jobs/{name}")
    async def cancel(request: Request, name: str) -> Response:
        """Cancel a job."""
        item = found(request, name)
        service.jobs.cancel(item)
        return JSONResponse(item.to_json(), 202)

    @app.get("/v1/jobs/{name}/events")
    async def events(request: Request, name: str) -> Response:
        """Follow a job by server-sent events; the last is `end`, with the result if it is done."""
        value = found(request, name)
        last = request.headers.get("last-event-id", "")
        start = int(last) + 1 if last.isascii() and last.isdecimal() else 0
        return StreamingResponse(
            _stream(service, value, start),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def _stream(service: Service, job: Job, start: int) -> AsyncIterator[str]:
    """Write events as they come, and a remark now and then, so that nobody cuts the line."""
    if not job.events:  # from before a restart
        yield _event(0, {"event": "end", **job.to_json()}, service.jobs.result_of(job))
        return
    following = job.follow(start)
    upcoming = asyncio.ensure_future(anext(following, None))
    try:
        while True:
            ready, _ = await asyncio.wait([upcoming], timeout=_KEEP_ALIVE_S)
            if not ready:
                yield ": still here\n\n"
                continue
            if (found := upcoming.result()) is None:
                return
            number, event = found
            is_end = event["event"] == "end"
            yield _event(number, event, service.jobs.result_of(job) if is_end else None)
            upcoming = asyncio.ensure_future(anext(following, None))
    finally:
        upcoming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await upcoming
        await following.aclose()


def _event(number: int, event: dict[str, Any], result: dict[str, Any] | None) -> str:
    data = event if result is None else event | {"result": result}
    return f"id: {number}\nevent: {event['event']}\ndata: {json.dumps(data)}\n\n"


def _add_rest(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def health() -> Response:
        """Say whether the service takes jobs."""
        jobs = service.jobs
        return JSONResponse(
            {"status": "ok", "jobs_waiting": jobs.num_waiting, "jobs_running": jobs.num_running}
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        """Count for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/about")
    async def about() -> Response:
        """Say what answers here, and its limits."""
        limits = service.limits
        return JSONResponse(
            service.about
            | {
                "needs_key": bool(service.clients.keys),
                "limits": {
                    "source_bytes": limits.source_bytes,
                    "seconds": limits.seconds,
                    "memory_bytes": limits.memory_bytes,
                    "requests_per_minute": limits.requests_per_minute,
                },
            }
        )

    page = service.page
    if page is None:

        @app.get("/")
        async def no_page() -> Response:
            text = (
                "This installation came without the page: 'npm ci && npm run build' in page/ makes "
                "it. The interface is described in /openapi.json.\n"
            )
            return Response(text, media_type="text/plain")

        return

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(page / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/assets", StaticFiles(directory=page / "assets"), name="assets")


def _add_middleware(app: FastAPI, service: Service) -> None:
    """Put the gates before the routes; the last one added is asked first."""
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4)
    app.add_middleware(Gate, clients=service.clients, metrics=service.metrics, headers=_HEADERS)
    app.add_middleware(KnownHosts, hosts=service.hosts, limit_bytes=service.limits.body_bytes)
