"""Puts a service together from its options and runs it until a signal stops it."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

import uvicorn

from llm_compiler.console import note, warn
from llm_compiler.errors import ArtifactError, ConfigError, ToolchainNotFound
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.loader import has_shipped_model, load_engine
from llm_compiler.process import which
from llm_compiler.service.app import Service, make_app, page_folder
from llm_compiler.service.clients import Clients, read_keys
from llm_compiler.service.job_queue import Jobs
from llm_compiler.service.limits import Limits
from llm_compiler.service.listening import ended_in_time, listening
from llm_compiler.service.log import log_event, set_up_log
from llm_compiler.service.metrics import Metrics
from llm_compiler.service.results import ResultStore
from llm_compiler.service.sandbox import Sandbox, find_sandbox
from llm_compiler.user_folders import cache_folder, data_folder

__all__ = ["ServeOptions", "serve"]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_API_VERSION: Final = "1"
_SHUTDOWN_S: Final = 30.0
"""From the signal on; open requests have 5 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How to serve; the defaults are the command line's."""

    host: str = "127.0.0.1"
    port: int = 8080
    keys: Path | None = None
    """A file with a key on each line."""
    allow_hosts: tuple[str, ...] = ()
    data: Path | None = None
    """Where results are kept; None: the user's data folder."""
    sandbox: bool = True
    model: str | None = None
    """Also answer as a completions server: ``shipped`` or a checkpoint's folder."""
    limits: Limits = field(default_factory=Limits)
    log_level: str = "info"


def serve(options: ServeOptions) -> None:
    """Serve until a signal comes.

    Raises:
        ConfigError: it would listen beyond this machine without keys, another service has its
            folder, or the port is taken.
        ToolchainError: LLVM or the sandbox is missing.
        OutputError: the results' folder cannot be made.
    """
    is_local = _is_loopback(options.host)
    if not is_local and options.keys is None:
        raise ConfigError(
            f"{options.host} can be reached from other machines: name a file of keys with "
            "--api-keys"
        )
    if not is_local and not options.sandbox:
        raise ConfigError("without a sandbox only this machine is served: leave --host out")
    keys = read_keys(options.keys) if options.keys is not None else ()
    # First of all that starts: where the port is taken, nothing has to be ended again.
    with listening(options.host, options.port) as sockets:
        _serve(options, keys, sockets)


def _serve(options: ServeOptions, keys: tuple[str, ...], sockets: list[socket.socket]) -> None:
    toolchain = find_toolchain()
    bwrap = find_sandbox() if options.sandbox else None
    if bwrap is None:
        warn("--no-sandbox: whoever reaches this service runs programs as you")
    if which("prlimit") is None:
        raise ToolchainNotFound(
            "jobs are limited by prlimit, which is not here: install util-linux"
        )
    set_up_log(options.log_level)
    _prime_model_cache()
    folder = options.data or data_folder() / "service"
    with tempfile.TemporaryDirectory(prefix="llm-compiler-serve-") as scratch:
        metrics = Metrics()
        store = ResultStore(folder, limit_bytes=options.limits.cache_bytes)
        store.forget_old_jobs()
        sandbox = Sandbox(
            bwrap=bwrap,
            toolchain=toolchain,
            limits=options.limits,
            caches=_shown_caches(),
            scratch=Path(scratch),
        )
        sandbox.check()
        jobs = Jobs(
            limits=options.limits,
            sandbox=sandbox,
            store=store,
            metrics=metrics,
            fingerprint=fingerprint(toolchain),
        )
        service = Service(
            jobs=jobs,
            clients=Clients(keys=keys, requests_per_minute=options.limits.requests_per_minute),
            metrics=metrics,
            limits=options.limits,
            hosts=_hosts(options),
            about=_about(toolchain, is_sandboxed=bwrap is not None),
            page=page_folder(),
        )
        app = make_app(service)
        if options.model is not None:
            from llm_compiler.service.completions import add_completions, open_model

            add_completions(app, open_model(options.model))
        note(f"serving on http://{options.host}:{options.port}/")
        log_event("start", host=options.host, port=options.port, sandbox=bwrap is not None)
        try:
            _run(app, sockets)
        finally:
            store.close()


def _run(app: object, sockets: list[socket.socket]) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=512,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 1024,
    )
    with ended_in_time(_SHUTDOWN_S) as shutting_down:

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                shutting_down()
                await super().shutdown(sockets)

        Server(config).run(sockets=sockets)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(options: ServeOptions) -> tuple[str, ...]:
    """Return the names that the service may be called by; any where it listens everywhere."""
    named = tuple(host.lower() for host in options.allow_hosts)
    if named or _is_loopback(options.host):
        return (*_LOOPBACK, options.host.lower(), *named)
    return ()


def _prime_model_cache() -> None:
    """Make what the model's runtime needs once, so that no sandbox has to."""
    if has_shipped_model():
        try:
            load_engine(threads=1).close()
        except (ArtifactError, ToolchainNotFound) as error:
            warn(f"the coreset and rules answer alone, since the model cannot be loaded: {error}")


def _shown_caches() -> list[Path]:
    """Return what sandboxes may read of the user's cache: all of it is this package's own."""
    folder = cache_folder()
    return [folder / "models", *sorted(folder.glob("suite-*"))]


def fingerprint(toolchain: Toolchain) -> str:
    """Return a hash of all that decides results: code, data, version of LLVM."""
    root = Path(__file__).resolve().parent.parent
    found = hashlib.sha256(f"{_API_VERSION} {toolchain.version}".encode())
    for path in sorted(root.rglob("*")):
        is_ours = path.suffix != ".pyc" and "page" not in path.relative_to(root).parts
        if is_ours and path.is_file():
            found.update(path.relative_to(root).as_posix().encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _about(toolchain: Toolchain, *, is_sandboxed: bool) -> dict[str, object]:
    try:
        version = metadata.version("llm-compiler")
    except metadata.PackageNotFoundError:
        version = "0"
    return {
        "name": "LLM Compiler",
        "version": version,
        "llvm_version": toolchain.version,
        "has_model": has_shipped_model(),
        "sandboxed": is_sandboxed,
        "machine": os.uname().machine,
    }
