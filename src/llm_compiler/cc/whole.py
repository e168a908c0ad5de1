"""A program that was compiled to fat objects, as one: from the cache, or made."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from llm_compiler.cc.cache import Entry
from llm_compiler.cc.link import Link, join, link_again
from llm_compiler.cc.making import Maker, entry_of
from llm_compiler.cc.protocol import Call, Connection
from llm_compiler.cc.settings import CcSettings

__all__ = ["link_whole"]


def link_whole(
    asked: Link,
    call: Call,
    settings: CcSettings,
    connection: Connection,
    maker: Maker,
    folder: Path,
) -> tuple[Entry, bytes, bool]:
    """Return the whole program's object, the file linked from it, and whether it was known.

    Raises:
        LlmCompilerError: it cannot be optimised as one; the link that was made stands.
    """
    joined = join(asked, call, connection, maker.toolchain, folder)
    digest = hashlib.blake2b(digest_size=20)
    for word in (maker.identity, settings.effort.value, "whole", *joined.flags, ""):
        digest.update(os.fsencode(word) + b"\0")
    digest.update(joined.bitcode)
    key = digest.hexdigest()
    entry = maker.cache.get(key) if settings.use_cache else None
    is_hit = entry is not None
    if entry is None:
        improved, baseline = maker.workshop.improve_whole(
            name=asked.output,
            bitcode=joined.bitcode,
            flags=joined.flags,
            effort=settings.effort,
            stop=connection.lost,
        )
        entry = entry_of(improved, baseline)
        if settings.use_cache and improved.is_stable:
            maker.cache.put(key, entry, room_bytes=settings.cache_bytes)
    linked = link_again(asked, joined, entry.data, call, connection, maker.toolchain, folder)
    return entry, linked, is_hit
