"""Objects that were made before, by content (`content_cache`).

A key holds all that matters to an object (`driver.key_of`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llm_compiler.content_cache import CacheStatistics, ContentCache

__all__ = ["Cache", "CacheStatistics", "Entry"]

_MAGIC = b"llm-cc entry 2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An object or assembly, and what the journal says of it."""

    data: bytes = field(repr=False)
    side: bytes = field(default=b"", repr=False)
    """Of a second file beside the object."""
    side_path: str = ""
    """Its name, as clang gives it in the folder of the call; empty: there is none."""
    baseline_bytes: int
    """Of clang's own object."""
    optimized_bytes: int
    recipe: str
    """Its canonical text; empty where clang's object stands."""
    proposer: str
    quiet: bool
    """Whether clang printed nothing, so that it need not run again."""

    def packed(self) -> bytes:
        """Return the entry as one piece."""
        facts = asdict(self)
        del facts["data"], facts["side"]
        facts["data_bytes"] = len(self.data)
        return json.dumps(facts, sort_keys=True).encode() + b"\n" + self.data + self.side

    @classmethod
    def unpacked(cls, packed: bytes) -> Entry | None:
        """Return the entry of a piece; None where it is none."""
        try:
            head, rest = packed.split(b"\n", 1)
            facts = json.loads(head)
            size = facts.pop("data_bytes")
            return cls(data=rest[:size], side=rest[size:], **facts)
        except (ValueError, TypeError, KeyError):
            return None


class Cache(ContentCache):
    """A cache of objects in a folder, which is made if it is missing.

    Nothing here raises: what cannot be read is a miss, what cannot be written is not kept.

    Args:
        folder: the cache's own.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _MAGIC)

    def get(self, key: str) -> Entry | None:
        """Return what is known under a key."""
        found = self.get_bytes(key)
        return None if found is None else Entry.unpacked(found)

    def put(self, key: str, entry: Entry, *, room_bytes: int) -> None:
        """Keep an entry, and let others go until all fit into the room."""
        self.put_bytes(key, entry.packed(), room_bytes=room_bytes)
