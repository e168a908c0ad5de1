"""What names an object in the cache: all that matters to it, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path

from llm_compiler.cc.command_line import Compilation
from llm_compiler.cc.settings import CcSettings

__all__ = ["changed_since", "key_of", "reads_files"]

_MARKER = re.compile(rb'^# \d+ "((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
# What is in an object and not in the preprocessed source.
_READS_FILES = (b".incbin", b"#embed")


def reads_files(source: bytes) -> bool:
    """Whether a preprocessed source names files whose contents it does not show."""
    return any(word in source for word in _READS_FILES)


def key_of(
    asked: Compilation,
    source: bytes,
    folder: Path,
    settings: CcSettings,
    identity: str,
    *,
    is_cxx: bool,
) -> str:
    """Return the name of what is to be made, by all that matters to it.

    Args:
        source: preprocessed.
        identity: of the toolchain, the recipes and the model.
        is_cxx: whether clang++ compiles it, for which ``a.c`` is C++, too.

    Raises:
        OSError: a precompiled header cannot be read.
    """
    digest = hashlib.blake2b(digest_size=20)
    where = str(folder) if asked.keeps_folder else ""
    mode, effort = settings.mode.value, settings.effort.value
    driver = "c++" if is_cxx else "c"
    words = [identity, driver, mode, effort, asked.kind.value, asked.level, *asked.significant, ""]
    words += [_mapped(asked.source, asked), _mapped(where, asked)]
    if asked.has_side_files:  # their names are in the object, or distinguished by it
        words += ["side", asked.output, str(asked.saves_temps)]
    for word in words:
        digest.update(os.fsencode(word) + b"\0")
    for name in asked.precompiled:
        digest.update(hashlib.blake2b((folder / name).read_bytes()).digest())
    if asked.prefix_maps:
        source = _MARKER.sub(lambda found: _mapped_marker(found, asked), source)
    digest.update(source)
    return digest.hexdigest()


def _mapped(path: str, asked: Compilation) -> str:
    for old, new in asked.prefix_maps:
        if path.startswith(old):
            return new + path[len(old) :]
    return path


def _mapped_marker(found: re.Match[bytes], asked: Compilation) -> bytes:
    path = os.fsdecode(found[1])
    mapped = _mapped(path, asked)
    return found[0] if mapped == path else found[0].replace(found[1], os.fsencode(mapped))


def changed_since(asked: Compilation, source: bytes, folder: Path, began_ns: int) -> bool:
    """Whether a file that a preprocessed source came from was written since, or is gone.

    File systems keep times by the kernel's tick, some milliseconds late; clang takes longer than
    that to start, so that it has read whatever seems older than its start. Times that have not come
    yet say nothing: the clock was set back, or is another machine's.
    """
    now_ns = time.time_ns()
    names = {found[1] for found in _MARKER.finditer(source)}
    names |= {os.fsencode(name) for name in asked.precompiled}
    for name in names:
        if name.startswith(b"<") or b"\\" in name:
            continue
        try:
            found = os.stat(os.path.join(os.fsencode(folder), name))
        except OSError:
            return True
        times = (found.st_mtime_ns, found.st_ctime_ns)
        if any(began_ns < index <= now_ns for index in times):
            return True
    return False
