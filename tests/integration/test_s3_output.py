"""Outputs at ``s3://``, over a server of that protocol on this machine: `make test-remote`."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

if not all(map(find_spec, ("moto", "flask", "s3fs"))):
    pytest.skip(
        "needs an S3 server: pip install 'moto[s3,server]' s3fs, or `make test-remote`",
        allow_module_level=True,
    )

SOURCE = "int f(int x) { int s = 0; while (x) s += x--; return s; }\n"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one bucket, ``bucket``; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, **KEYS}
    with log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
                        break
                except OSError:
                    time.sleep(0.1)
            made = {**environment, "AWS_ENDPOINT_URL": url}
            python("import s3fs; s3fs.S3FileSystem().mkdir('bucket')", made)
            yield url
        finally:
            process.kill()


@pytest.fixture
def environment(server: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        **KEYS,
        "AWS_ENDPOINT_URL": server,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "NO_PROXY": "127.0.0.1",
    }


def python(program: str, environment: dict[str, str]) -> str:
    """Run a program with the server in its environment; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_and_folders_are_sent_and_fetched(environment: dict[str, str]) -> None:
    text = (
        "from pathlib import Path\n"
        "from llm_compiler.remote_output import local_copy\n"
        "with local_copy(Path('s3://bucket/t/one.bin')) as path:\n"
        "    path.write_bytes(b'x' * 6_000_000)\n"
        "with local_copy(Path('s3://bucket/t/one.bin')) as path: print(path.stat().st_size)\n"
        "with local_copy(Path('s3://bucket/t/folder')) as path:\n"
        "    (path / 'deep').mkdir(parents=True)\n"
        "    (path / 'deep' / 'a').write_text('a'); (path / 'manifest.json').write_text('{}')\n"
        "with local_copy(Path('s3://bucket/t/folder')) as path:\n"
        "    print(sorted(str(p.relative_to(path)) for p in path.rglob('*') if p.is_file()))\n"
        "import s3fs\n"
        "print(sorted(s3fs.S3FileSystem().find('bucket/t')))\n"
    )
    first, second, third = python(text, environment).splitlines()
    assert first == "6000000"
    assert second == "['deep/a', 'manifest.json']"
    assert (
        third == "['bucket/t/folder/deep/a', 'bucket/t/folder/manifest.json', 'bucket/t/one.bin']"
    )


def autotune(folder: Path, store: str, environment: dict[str, str]) -> tuple[int, str]:
    """Search a file with a store at an address; return exit code and standard error."""
    (folder / "a.c").write_text(SOURCE)
    command = [sys.executable, "-P", "-m", "llm_compiler", "autotune", "a.c", "--budget", "4"]
    done = subprocess.run(
        [*command, "--jobs", "1", "--store", store],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_command_keeps_its_store_there(environment: dict[str, str], tmp_path: Path) -> None:
    code, words = autotune(tmp_path, "s3://bucket/stores/a.db", environment)
    assert code == 0, words
    target = str(tmp_path / "a.db")
    fetch = f"s3fs.S3FileSystem().get_file('bucket/stores/a.db', {target!r})"
    python(f"import s3fs; {fetch}", environment)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        (count,) = connection.execute("SELECT count(*) FROM measurements").fetchone()
    connection.close()
    assert count >= 4


def test_a_bucket_that_is_not_there_is_one_sentence(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, words = autotune(tmp_path, "s3://no-such-bucket/a.db", environment)
    assert code == 8, words
    assert "Traceback" not in words
    assert "cannot" in words.splitlines()[-1]
    assert "s3://no-such-bucket/a.db" in words.splitlines()[-1]
