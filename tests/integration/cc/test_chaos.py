"""Builds during which everything around them breaks: each ends, and its program is right.

``LLM_CC_CHAOS=20`` makes so many rounds; by default there is one.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import LlmCc

ROUNDS = int(os.environ.get("LLM_CC_CHAOS") or 1)
NUM_UNITS = 6
pytestmark = [
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
    pytest.mark.timeout(100 + 200 * ROUNDS),
]


def write_project(folder: Path, salt: int) -> str:
    """Write a program of several units that no cache has seen; return what it prints."""
    folder.mkdir()
    rng = random.Random(salt)
    total = 0
    for unit in range(NUM_UNITS):
        factor, step = rng.randrange(3, 1000), rng.randrange(1, 90)
        total += sum(i * factor ^ (i + step) for i in range(20))
        (folder / f"u{unit}.c").write_text(
            f"static int mix(int a, int b) {{ return a * {factor} ^ (b + {step}); }}\n"
            f"int unit{unit}(int n) {{\n"
            "  int s = 0;\n"
            "  for (int i = 0; i < n; i++) s += mix(i, i);\n"
            "  return s;\n}\n"
            f"int spare{unit}(const int *v, int n) {{\n"
            "  int best = 0;\n"
            "  for (int i = 0; i < n; i++) if (v[i] > best) best = mix(v[i], i);\n"
            "  return best;\n}\n"
        )
    names = range(NUM_UNITS)
    (folder / "main.c").write_text(
        "#include <stdio.h>\n"
        + "".join(f"int unit{n}(int);\n" for n in names)
        + f'int main(void) {{ printf("%d\\n", {" + ".join(f"unit{n}(20)" for n in names)});'
        + " return 0; }\n"
    )
    objects = " ".join(["main.o", *(f"u{n}.o" for n in names)])
    (folder / "Makefile").write_text(f"prog: {objects}\n\t$(CC) {objects} -o prog\n")
    return f"{total}\n"


def build(llm_cc: LlmCc, folder: Path, expected: str, **more: str) -> None:
    """Build with make, four at once; the program must print what is expected."""
    done = subprocess.run(
        ["make", "-j4", f"CC={llm_cc.client}", "CFLAGS=-Oz -MD"],
        cwd=folder,
        env=llm_cc.environment(LLM_CC_PATIENCE_S="20", **more),
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    ran = subprocess.run([folder / "prog"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, expected)
    left = [path.name for path in folder.iterdir() if ".llm-cc-" in path.name]
    assert left == []
    assert all((folder / f"u{n}.d").exists() for n in range(NUM_UNITS))


@contextlib.contextmanager
def meanwhile(act: Callable[[], None], rng: random.Random) -> Iterator[None]:
    """Do something again and again at random times."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(rng.uniform(0.05, 2.0)):
            act()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_builds_end_right_whatever_breaks(llm_cc: LlmCc, tmp_path: Path) -> None:
    def kill() -> None:
        for pid in llm_cc.server_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove_cache() -> None:
        shutil.rmtree(llm_cc.folder / "cache", ignore_errors=True)

    def remove_socket() -> None:
        for path in llm_cc.sockets:
            path.unlink(missing_ok=True)

    seed = int(os.environ.get("LLM_CC_CHAOS_SEED") or time.time_ns() % 10**6)
    print(f"LLM_CC_CHAOS_SEED={seed}")
    rng = random.Random(seed)
    for number in range(ROUNDS):
        acts = [kill, remove_cache, remove_socket] if ROUNDS > 1 else [kill]
        for act in acts:
            folder = tmp_path / f"{number}-{act.__name__}"
            expected = write_project(folder, rng.randrange(10**6))
            with meanwhile(act, rng):
                build(llm_cc, folder, expected)


def test_a_full_private_folder_costs_no_build(llm_cc: LlmCc, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        (small / "run").mkdir(mode=0o700)
        expected = write_project(tmp_path / "project", 77)
        build(llm_cc, tmp_path / "project", expected, LLM_CC_DIR=str(small), LLM_CC_IDLE_S="1")
    finally:
        for path in (small / "run").glob("*"):
            if path.is_socket():
                path.unlink()
        time.sleep(2.5)  # the server sees that within a second
        subprocess.run(["umount", "-l", str(small)], check=False)


@pytest.mark.slow
def test_two_versions_at_once(llm_cc: LlmCc, tmp_path: Path) -> None:
    from llm_compiler.cc.install import client_config, compile_client
    from llm_compiler.llvm.toolchain import find_toolchain

    config = client_config(find_toolchain())
    other = tmp_path / "other" / "llm-cc"
    assert compile_client(replace(config, key=config.key[::-1]), other)
    versions = (llm_cc, replace(llm_cc, client=other))
    expected = [write_project(tmp_path / f"p{n}", 5) for n in range(2)]
    failures: list[BaseException] = []

    def build_alone(number: int) -> None:
        try:
            build(versions[number], tmp_path / f"p{number}", expected[number])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=build_alone, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(llm_cc.server_pids()) >= 2
    for unit in range(NUM_UNITS):
        made = [(tmp_path / f"p{n}" / f"u{unit}.o").read_bytes() for n in range(2)]
        assert made[0] == made[1]
