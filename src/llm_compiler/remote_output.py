"""Outputs elsewhere: ``s3://``, ``gs://`` and what else fsspec (extra ``remote``) knows.

A command writes to a folder in the user's cache, so that a stopped run goes on there, and what it
made is sent when it is complete: files first, a manifest last, so that a folder with a manifest is
whole. What is there already is fetched first. SQLite and journals thus stay on a local disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_compiler.errors import ConfigError, OutputError
from llm_compiler.extras import require
from llm_compiler.output import take_lock
from llm_compiler.user_folders import cache_folder

__all__ = ["local_copy", "shown", "url_of"]

_MANIFEST = "manifest.json"
_LOCK = ".lock"
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss"}
# `Path` has made one slash of the two.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)(.+)", re.DOTALL)


def url_of(path: Path) -> str | None:
    """Return the address that a user typed where a path is expected, if it was one.

    >>> url_of(Path("s3://bucket/labels.parquet"))
    's3://bucket/labels.parquet'
    >>> url_of(Path("work/labels.parquet"))
    """
    found = _URL.fullmatch(os.fspath(path))
    if found is None or Path(f"{found[1]}:").exists():
        return None
    return f"{found[1]}://{'/' if found[1] == 'file' else ''}{found[2]}"


def shown(path: Path) -> str:
    """Return how people see an output."""
    return url_of(path) or os.fspath(path)


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yield a path on this machine for an output; it is sent when the block ends well.

    Raises:
        ToolchainNotFound: fsspec, or what it needs for the address, is not installed.
        ConfigError: the address is of no kind that fsspec knows.
        OutputError: it cannot be reached or written, or another run writes it; what the run made is
            kept, and the same command sends it.
    """
    url = url_of(path)
    if url is None:
        yield path
        return
    files, position = _connect(url)
    folder = cache_folder() / "outputs" / re.sub(r"[^A-Za-z0-9.-]+", "_", url)
    local = folder / path.name
    folder.mkdir(parents=True, exist_ok=True)
    busy = OutputError(f"another run on this machine writes {url}")
    with take_lock(folder / _LOCK, busy):
        if not local.exists():
            with _reporting(url, "read"):
                _fetch(files, position, local)
        yield local
        with _reporting(url, "write", kept=local):
            _send(files, local, position)
        if local.is_dir():
            shutil.rmtree(local)
        else:
            for each_path in folder.iterdir():
                if each_path.name != _LOCK:
                    each_path.unlink()


def _connect(url: str) -> tuple[Any, str]:
    fsspec = require("fsspec", extra="remote")
    try:
        files, position = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url} needs a package more: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{url} is no address that fsspec knows: {error}") from error
    return files, position


@contextlib.contextmanager
def _reporting(url: str, what: str, *, kept: Path | None = None) -> Iterator[None]:
    """Turn whatever a store's own package raises into one sentence."""
    try:
        yield
    except Exception as error:
        words = " ".join(str(error).split())[:300] or type(error).__name__
        rest = f"; what was made is kept in {kept}, and the same command sends it" if kept else ""
        raise OutputError(f"cannot {what} {url}: {words}{rest}") from error


def _fetch(files: Any, place: str, local: Path) -> None:
    if files.isfile(place):
        part = local.with_name(f".{local.name}.part")
        files.get_file(place, str(part))
        part.replace(local)
    elif files.isdir(place):
        part = local.with_name(f".{local.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        for found in files.find(place):
            target = part / os.path.relpath(found, place)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(found, str(target))
        part.replace(local)


def _send(files: Any, local: Path, place: str) -> None:
    """Send a file, or the files of a folder that are not hidden; the manifest is last."""
    if local.is_file():
        _make_folder(files, os.path.dirname(place))
        _put(files, local, place)
        return
    paths = [
        each_path
        for each_path in sorted(local.rglob("*"))
        if each_path.is_file() and not _hidden(each_path, local)
    ]
    paths.sort(key=lambda each_path: each_path.name == _MANIFEST)
    manifest = f"{place}/{_MANIFEST}"
    if files.exists(manifest):
        files.rm_file(manifest)
    for path in paths:
        target = f"{place}/{path.relative_to(local).as_posix()}"
        _make_folder(files, os.path.dirname(target))
        _put(files, path, target)


def _make_folder(files: Any, place: str) -> None:
    """Make a folder where there are such things; object stores would make a bucket of a typo."""
    protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    if not protocols & _OBJECT_STORES:
        files.makedirs(place, exist_ok=True)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _put(files: Any, path: Path, target: str) -> None:
    """Send one file, under another name first where the store has no whole writes of its own."""
    temporary = f"{target}.part"
    files.put_file(str(path), temporary)
    if files.size(temporary) != path.stat().st_size:
        raise OSError(f"{target} arrived cut")
    files.mv(temporary, target)
