"""What ``llm-compiler serve`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.option_fields import natural, option, positive
from llm_compiler.service.limits import Limits

__all__ = ["COMMAND", "ServeArguments"]

_DEFAULT = Limits()
_KIB, _MIB = 2**10, 2**20


@dataclass(frozen=True, kw_only=True)
class ServeArguments:
    """As typed."""

    host: str = option("--host", "127.0.0.1", metavar="H", help="address (default: %(default)s)")
    port: int = option(
        "--port", 8080, type=positive, metavar="P", help="port (default: %(default)s)"
    )
    api_keys: Path | None = option(
        "--api-keys",
        None,
        type=Path,
        metavar="FILE",
        help="keys of clients, one on each line; needed where other machines reach the service",
    )
    allow_hosts: tuple[str, ...] = option(
        "--allow-host",
        (),
        repeat=True,
        metavar="NAME",
        help="a name that requests may call the service by, beside this machine's own",
    )
    data: Path | None = option(
        "--data",
        None,
        type=Path,
        metavar="DIR",
        help="where results are kept (default: the user's data folder)",
    )
    no_sandbox: bool = option(
        "--no-sandbox",
        False,
        help="run jobs without bubblewrap: whoever reaches the service runs programs as you",
    )
    model: str | None = option(
        "--model",
        None,
        metavar="M",
        help="also answer as an OpenAI-compatible completions server with this checkpoint: its "
        "folder, or 'shipped'",
    )
    max_running: int = option(
        "--max-running",
        _DEFAULT.num_running,
        type=positive,
        metavar="N",
        help="jobs at once (default: %(default)s)",
    )
    max_waiting: int = option(
        "--max-waiting",
        _DEFAULT.num_waiting,
        type=positive,
        metavar="N",
        help="jobs that may wait (default: %(default)s)",
    )
    max_seconds: int = option(
        "--max-seconds",
        int(_DEFAULT.seconds),
        type=positive,
        metavar="S",
        help="time of one job (default: %(default)s)",
    )
    max_memory_mib: int = option(
        "--max-memory-mib",
        _DEFAULT.memory_bytes // _MIB,
        type=positive,
        metavar="M",
        help="memory of one job (default: %(default)s)",
    )
    max_source_kib: int = option(
        "--max-source-kib",
        _DEFAULT.source_bytes // _KIB,
        type=positive,
        metavar="K",
        help="source of one request (default: %(default)s)",
    )
    max_cache_mib: int = option(
        "--max-cache-mib",
        _DEFAULT.cache_bytes // _MIB,
        type=natural,
        metavar="M",
        help="results kept on disk (default: %(default)s)",
    )
    rate: int = option(
        "--rate",
        _DEFAULT.requests_per_minute,
        type=natural,
        metavar="N",
        help="requests of one client in a minute; 0: any number (default: %(default)s)",
    )
    log_level: str = option(
        "--log-level",
        "info",
        choices=("debug", "info", "warning", "error"),
        help="of the log on standard error (default: %(default)s)",
    )

    @property
    def limits(self) -> Limits:
        """The limits that the options say."""
        return Limits(
            source_bytes=self.max_source_kib * _KIB,
            seconds=float(self.max_seconds),
            memory_bytes=self.max_memory_mib * _MIB,
            num_running=self.max_running,
            num_waiting=self.max_waiting,
            requests_per_minute=self.rate,
            cache_bytes=self.max_cache_mib * _MIB,
        )


COMMAND = Command(
    name="serve",
    description="Serve optimising, lifting, predicting and comparing over HTTP, with a page. Each "
    "job runs in a sandbox of its own (docs/service.md).",
    options=ServeArguments,
    run="serve:run",
)
