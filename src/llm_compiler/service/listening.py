"""Where a service listens, and that it ends: sockets bound before anything starts, a last deadline.

Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator

from llm_compiler.errors import ConfigError
from llm_compiler.service.log import log_event

__all__ = ["ended_in_time", "listening"]

_BACKLOG = 2048


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Yield sockets that listen at all addresses of a host; they are closed at the end.

    Who connects before the service is ready waits for it.

    Raises:
        ConfigError: the port is taken, or the host is not one of this machine.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sockets = [
                stack.enter_context(_listen(family, address))
                for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found)
            ]
        except (OSError, UnicodeError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"cannot listen on {host}:{port}: {words}") from error
        yield sockets


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of one that was killed do not keep the next from starting.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


@contextlib.contextmanager
def ended_in_time(seconds: float) -> Iterator[Callable[[], None]]:
    """Yield what is called when a shutdown begins; its process ends so much later at the latest.

    What hangs then is left: files are written whole or not at all, and sandboxes die with us.
    """

    def give_up() -> None:
        log_event("shutdown", level=logging.ERROR, error=f"not done after {seconds:g} s")
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    try:
        yield timer.start
    finally:
        timer.cancel()
