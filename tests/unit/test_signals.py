"""Signals that may not end what is under way at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from llm_compiler import signals


@pytest.fixture(autouse=True)
def own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # What other tests of this process have registered is not to be ended as overdue.
    monkeypatch.setattr(signals, "_watch", lambda: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signals.forget()
    signals.handle_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signals.forget()


def test_a_signal_waits_for_what_it_must_not_break() -> None:
    done = []

    def work() -> None:
        with signals.holding_back():
            with signals.holding_back():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    with pytest.raises(signals.Interrupted):
        work()
    assert done == ["inner", "outer"]


def test_without_a_signal_nothing_is_raised() -> None:
    with signals.holding_back():
        pass
