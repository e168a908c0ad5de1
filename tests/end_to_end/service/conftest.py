"""A service as a user starts it, and a client for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-P", "-m", "llm_compiler", "serve"]


class Service:
    """A running service.

    Args:
        arguments: beside port and folder.
    """

    def __init__(self, folder: Path, *arguments: str, key: str = "") -> None:
        self.folder, self.arguments, self.key = folder, arguments, key
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self.start()

    def start(self) -> None:
        """Start it, again too, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *COMMAND,
                    "--port",
                    str(self.port),
                    "--data",
                    "data",
                    *self.arguments,
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(f"it ended: {self.log.read_text()}")
            with contextlib.suppress(OSError):
                if self.ask("/healthz")[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"it does not answer: {self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def ask(
        self,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 100,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of an answer."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {"text": text.decode("utf-8", "replace")}

    def wait_for(self, verb: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """Ask for a result and wait for it."""
        return self.ask(f"/v1/{verb}?wait=1", request)

    def events(self, name: str, *, timeout_s: float = 100) -> Iterator[dict[str, Any]]:
        """Follow a job."""
        request = urllib.request.Request(f"{self.url}/v1/jobs/{name}/events")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def children(self) -> list[int]:
        """Return all processes below the service's."""
        found = [self.process.pid]
        for parent in found:
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{parent}/task"):
                    text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                    found += map(int, text.split())
        return found[1:]


def skip_without_service() -> None:
    """Skip, with a word, where the service cannot run."""
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'llm-compiler[serve]'")
    from llm_compiler.errors import ToolchainNotFound
    from llm_compiler.service.sandbox import find_sandbox

    try:
        find_sandbox()
    except ToolchainNotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def service_type() -> type[Service]:
    skip_without_service()
    return Service


@pytest.fixture(scope="module")
def service(
    service_type: type[Service], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    made = service_type(tmp_path_factory.mktemp("service"), "--rate", "0")
    yield made
    assert made.stop() in (0, 143, -signal.SIGTERM)
