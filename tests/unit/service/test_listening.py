from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from llm_compiler.errors import ConfigError
from llm_compiler.service.listening import listening


def test_who_connects_is_waited_for_and_the_port_is_free_afterwards() -> None:
    with listening("127.0.0.1", 0) as (first,):
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5):
            pass
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port}: .*in use"):
            with listening("127.0.0.1", port):
                pass
    with listening("127.0.0.1", port) as again:
        assert again[0].getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 300, "a..b"])
def test_a_host_of_elsewhere_is_one_sentence(host: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on [^\n]+:1: [^\n]+$"):
        with listening(host, 1):
            pass


def test_a_shutdown_that_hangs_is_ended() -> None:
    program = (
        "import time\n"
        "from llm_compiler.service.listening import ended_in_time\n"
        "with ended_in_time(0.2) as shutting_down:\n"
        "    shutting_down()\n"
        "    time.sleep(300)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1


def test_a_shutdown_in_time_is_let_be() -> None:
    program = (
        "import time\n"
        "from llm_compiler.service.listening import ended_in_time\n"
        "with ended_in_time(5) as shutting_down:\n"
        "    shutting_down()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
