"""Who asks, and how often: keys, and a bucket of requests for each client.

Keys are compared by hash and in constant time, and are never logged; a client is named by the
first characters of its key's hash, or by its address where no keys are asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import ConfigError
from llm_compiler.service.limits import Refusal

__all__ = ["Clients", "read_keys"]

_MIN_KEY = 16
_MAX_BUCKETS = 10_000


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys in a file, one on each line; lines that begin with # are remarks.

    Raises:
        ConfigError: the file cannot be read, has no key, or one that is short.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the keys in {path} cannot be read: {error}") from error
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise ConfigError(f"{path} holds no key")
    for number, key in enumerate(keys, 1):
        if len(key) < _MIN_KEY or not key.isascii() or any(word.isspace() for word in key):
            raise ConfigError(
                f"key {number} in {path} is no word of at least {_MIN_KEY} ASCII characters"
            )
    return keys


@dataclass(slots=True)
class Clients:
    """Knows clients by their keys and counts their requests.

    Args:
        keys: none: everybody may ask, known by address.
        requests_per_minute: of each client; 0: no limit.
    """

    keys: tuple[str, ...] = ()
    requests_per_minute: int = 0
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def name_of(self, authorization: str, address: str) -> str:
        """Return the client's name.

        Args:
            authorization: the header: ``Bearer KEY``.

        Raises:
            Refusal: a key is needed, and this is none.
        """
        if not self.keys:
            return address
        scheme, _, given = authorization.partition(" ")
        asked = _hash(given.strip())
        known = [word for word in map(_hash, self.keys) if hmac.compare_digest(word, asked)]
        if scheme.lower() != "bearer" or not known:
            raise Refusal(
                "this service needs a key: send the header 'Authorization: Bearer KEY'",
                status=401,
                code="key",
            )
        return f"key-{asked[:8]}"

    def count(self, client: str, *, now: float | None = None) -> None:
        """Count a request.

        Raises:
            Refusal: the client has sent more than its share.
        """
        if not self.requests_per_minute:
            return
        now = time.monotonic() if now is None else now
        burst = max(1.0, self.requests_per_minute / 2)
        left, then = self._buckets.pop(client, (burst, now))
        left = min(burst, left + (now - then) * self.requests_per_minute / 60)
        if left < 1:
            self._buckets[client] = left, now
            wait = int((1 - left) * 60 / self.requests_per_minute) + 1
            raise Refusal(
                f"that was more than {self.requests_per_minute} requests a minute: try again in "
                f"{wait} s",
                status=429,
                code="rate",
                retry_after_s=wait,
            )
        self._buckets[client] = left - 1, now
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
