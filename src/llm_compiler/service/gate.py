"""The gate before all routes: who may ask and how often; headers, counts and a log line for each.

Plain ASGI, so that what comes from a client (that it hangs up, too) reaches the routes unchanged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_compiler.service.clients import Clients
from llm_compiler.service.limits import Refusal
from llm_compiler.service.log import log_event
from llm_compiler.service.metrics import Metrics

__all__ = ["Gate", "refusal_response"]

_OPEN: Final = ("/", "/healthz", "/v1/about", "/openapi.json", "/favicon.ico")
"""What needs no key; beside it what lies in ``/assets``."""
_QUIET: Final = ("/healthz", "/metrics")


def refusal_response(refusal: Refusal) -> JSONResponse:
    """Return the answer that says a refusal."""
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(refusal.to_json(), refusal.status, headers)


class Gate:
    """Wraps an application.

    Args:
        headers: given to every answer.
    """

    def __init__(
        self, app: ASGIApp, *, clients: Clients, metrics: Metrics, headers: Mapping[str, str]
    ) -> None:
        self._app, self._clients, self._metrics, self._headers = app, clients, metrics, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through if its client may ask, and has not asked too often."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        try:
            try:
                self._admit(scope)
            except Refusal as refusal:
                self._metrics.refusals.labels(refusal.code).inc()
                await refusal_response(refusal)(scope, receive, sending)
            else:
                await self._app(scope, receive, sending)
        except Exception as error:
            log_event("broken", level=logging.ERROR, path=scope["path"][:200], error=repr(error))
            if not status:
                failed = Refusal("the service failed", status=500, code="failed")
                await refusal_response(failed)(scope, receive, sending)
        finally:
            self._note(scope, status, time.monotonic() - started)

    def _admit(self, scope: Scope) -> None:
        path: str = scope["path"]
        if path in _OPEN or path.startswith("/assets/"):
            return
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else "unknown"
        client = self._clients.name_of(headers.get("authorization", ""), address)
        scope.setdefault("state", {})["client"] = client
        if scope["method"] == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                # A page of another site may send forms and plain text, but not this.
                raise Refusal("the body must be application/json", status=415)
            self._clients.count(client)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        if scope["path"] not in _QUIET:
            log_event(
                "request",
                method=scope["method"],
                path=scope["path"][:200],
                status=status,
                client=scope.get("state", {}).get("client", ""),
                seconds=round(seconds, 3),
            )
