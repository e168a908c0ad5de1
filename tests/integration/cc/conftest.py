"""A client of llm-cc with a private folder of its own, and so a server and a cache of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = """\
#include <stdio.h>
#include <string.h>
struct node { struct node *next; int key; char name[16]; };
int total(struct node *n) { int s = 0; while (n) { s += n->key * 3; n = n->next; } return s; }
struct node *find(struct node *n, const char *name) {
  for (; n; n = n->next) if (!strcmp(n->name, name)) return n;
  return 0;
}
void show(struct node *n) { for (; n; n = n->next) printf("%s: %d\\n", n->name, n->key); }
int main(int argc, char **argv) {
  struct node a = {0, argc, "a"}, b = {&a, 2, "b"};
  show(&b);
  return total(&b) + (find(&b, "a") != 0);
}
"""


@dataclass(frozen=True)
class LlmCc:
    """Calls llm-cc as a build would."""

    client: Path
    folder: Path
    clang: str

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LLM_CC_")}
        return {**kept, "LLM_CC_DIR": str(self.folder), **more}

    def __call__(
        self, *arguments: str, cwd: Path, client: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(client or self.client), *arguments],
            cwd=cwd,
            env=self.environment(**more),
            capture_output=True,
            timeout=100,
            check=False,
        )

    def run_clang(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.clang, *arguments], cwd=cwd, capture_output=True, timeout=100, check=False
        )

    @property
    def sockets(self) -> list[Path]:
        return [path for path in (self.folder / "run").glob("*") if path.is_socket()]

    def server_pids(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(str(self.folder / "run")) in words:
                found.append(int(path.parent.name))
        return found


def make_client(folder: Path) -> LlmCc:
    from llm_compiler.llvm.toolchain import find_toolchain

    program = "from llm_compiler.cc.install import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "llm-cc", "--llm-cc-client"],
        env={**os.environ, "LLM_CC_DIR": str(folder)},
        capture_output=True,
        timeout=100,
        check=True,
        text=True,
    )
    client = Path(done.stdout.strip()) / "llm-cc"
    return LlmCc(client=client, folder=folder, clang=str(find_toolchain().tool("clang")))


@pytest.fixture(scope="module")
def llm_cc() -> Iterator[LlmCc]:
    folder = Path(tempfile.mkdtemp(prefix="llm-cc-test-"))
    made = make_client(folder)
    yield made
    for path in made.sockets:
        path.unlink()
    end = time.monotonic() + 20
    while made.server_pids() and time.monotonic() < end:
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "a.c").write_text(PROGRAM)
    return tmp_path
