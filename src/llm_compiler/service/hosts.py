"""The outermost gate: requests for this host only, and bodies of bounded size.

A page of a stranger whose name is made to mean this machine (DNS rebinding) still says its own name
in the header Host: it is refused. Bodies are counted as they come, whatever their header says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_compiler.service.limits import Refusal

__all__ = ["KnownHosts"]

_POLITE: Final = 8
"""Bodies of up to this multiple of the limit are read to their end before they are refused."""


class KnownHosts:
    """Wraps an application.

    Args:
        hosts: names and addresses, without ports; none: any.
        limit_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], limit_bytes: int) -> None:
        self._app, self._hosts, self._limit_bytes = app, frozenset(hosts), limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = _name(headers.get("host", ""))
        if self._hosts and host not in self._hosts:
            sentence = f"this service is not called '{host[:80]}': start it with --allow-host NAME"
            await _refuse(send, Refusal(sentence, status=421, code="host"))
            return
        too_large = Refusal(
            f"the request is larger than {self._limit_bytes} bytes", status=413, code="size"
        )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit_bytes:
            await _drain(receive, _POLITE * self._limit_bytes)
            await _refuse(send, too_large)
            return
        received = 0
        refused = False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit_bytes:
                refused = True
                await _refuse(send, too_large)
                return {"type": "http.disconnect"}
            return message

        async def guarded(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counted, guarded)


async def _drain(receive: Receive, most_bytes: int) -> None:
    """Read what comes, up to a number of bytes: whoever still sends hears no answer."""
    while most_bytes > 0:
        message = await receive()
        most_bytes -= len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


def _name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps(refusal.to_json()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
