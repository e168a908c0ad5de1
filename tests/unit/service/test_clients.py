from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError
from llm_compiler.service.clients import Clients, read_keys
from llm_compiler.service.limits import Refusal

KEY = "a-key-of-enough-characters"


def test_without_keys_a_client_is_its_address() -> None:
    assert Clients().name_of("", "127.0.0.1") == "127.0.0.1"


def test_a_client_is_named_by_its_keys_hash_only() -> None:
    name = Clients(keys=("x" * 20, KEY)).name_of(f"Bearer {KEY}", "1.2.3.4")
    assert name.startswith("key-")
    assert KEY[:8] not in name


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", KEY])
def test_other_keys_are_refused(header: str) -> None:
    with pytest.raises(Refusal, match="needs a key") as refused:
        Clients(keys=(KEY,)).name_of(header, "127.0.0.1")
    assert refused.value.status == 401


def test_a_client_that_asks_too_often_waits_and_others_do_not() -> None:
    clients = Clients(requests_per_minute=60)
    for _ in range(30):
        clients.count("one", now=100.0)
    with pytest.raises(Refusal, match="60 requests a minute") as refused:
        clients.count("one", now=100.0)
    assert refused.value.status == 429
    assert refused.value.retry_after_s >= 1
    clients.count("another", now=100.0)
    clients.count("one", now=101.0)  # one comes back each second
    with pytest.raises(Refusal):
        clients.count("one", now=101.0)


def test_a_file_of_keys_is_read_and_short_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# for the team\n{KEY}\n\n{KEY}2\n")
    assert read_keys(path) == (KEY, f"{KEY}2")
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="key 1"):
        read_keys(path)
    path.write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "missing")
