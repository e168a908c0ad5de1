"""What bounds the server: its memory; and what a clock that was set back does."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from llm_compiler.cc.improve import Workshop
from llm_compiler.cc.memory import children_of, private_bytes
from llm_compiler.llvm.clang_flags import parse_clang_flags
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.options import Effort

if TYPE_CHECKING:
    from .conftest import LlmCc


def size(path: Path) -> int:
    return section_sizes(path.read_bytes()).size_bytes


def test_workers_are_replaced_and_make_the_same(
    llm_cc: LlmCc, program: Path, tmp_path: Path
) -> None:
    made = {}
    for name, flags in (("a.o", ()), ("a.bc", ("-Xclang", "-disable-llvm-passes", "-emit-llvm"))):
        llm_cc.run_clang("-Oz", *flags, "-c", "a.c", "-o", name, cwd=program)
        made[name] = (program / name).read_bytes()
    with Workshop(find_toolchain(), tmp_path) as workshop:

        def improve() -> bytes:
            return workshop.improve(
                name="a.c",
                bitcode=made["a.bc"],
                baseline=made["a.o"],
                flags=parse_clang_flags([]),
                effort=Effort.FAST,
                stop=threading.Event(),
            ).result.output

        others = set(children_of(os.getpid()))  # pools of other tests
        first = improve()
        workers = set(children_of(os.getpid())) - others
        assert workers
        assert all(private_bytes(pid) for pid in workers)
        workshop.retire()
        assert not workers & set(children_of(os.getpid()))
        # Retired while a unit is being worked on: that unit ends well.
        results: list[bytes] = []
        thread = threading.Thread(target=lambda: results.append(improve()))
        thread.start()
        while thread.is_alive():
            workshop.retire()
            time.sleep(0.02)
        assert results == [first] == [improve()]


def test_a_server_that_holds_too_much_is_replaced(
    llm_cc: LlmCc, program: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "private"
    more = {"LLM_CC_DIR": str(folder), "LLM_CC_MEMORY_MB": "1", "LLM_CC_IDLE_S": "no number"}
    llm_cc.run_clang("-Oz", "-c", "a.c", "-o", "clang.o", cwd=program)
    for number in range(2):
        (program / "a.c").write_text((program / "a.c").read_text() + f"int v{number};\n")
        done = llm_cc("-Oz", "-c", "a.c", cwd=program, **more)
        assert (done.returncode, done.stderr) == (0, b"")
        assert size(program / "a.o") < size(program / "clang.o")
        end = time.monotonic() + 60
        while any(path.is_socket() for path in (folder / "run").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_clock_that_was_set_back(llm_cc: LlmCc, program: Path) -> None:
    llm_cc.run_clang("-Oz", "-c", "a.c", "-o", "clang.o", cwd=program)
    source = program / "a.c"
    tomorrow = time.time() + 86_400
    for number in range(2):
        source.write_text(source.read_text() + f"int clock{number};\n")
        os.utime(source, (tomorrow, tomorrow))
        done = llm_cc("-Oz", "-c", "a.c", cwd=program, LLM_CC_CACHE_MB="1")
        assert (done.returncode, done.stderr) == (0, b"")
        assert size(program / "a.o") < size(program / "clang.o")
        first = (program / "a.o").read_bytes()
        # The cache's own times are tomorrow's, too.
        with sqlite3.connect(llm_cc.folder / "cache" / "index.db", timeout=20) as index:
            index.execute("UPDATE entries SET used = used + 86400")
        index.close()
        (program / "a.o").unlink()
        assert llm_cc("-Oz", "-c", "a.c", cwd=program, LLM_CC_CACHE_MB="1").returncode == 0
        assert (program / "a.o").read_bytes() == first


_ANOTHER_USER = """\
#include <sys/types.h>
uid_t geteuid(void) { return 0x1234; }
uid_t getuid(void) { return 0x1234; }
"""


def test_a_library_that_says_who_the_user_is_is_not_asked(llm_cc: LlmCc, program: Path) -> None:
    """As fakeroot does: objects made under it are the same as those made without."""
    (program / "another.c").write_text(_ANOTHER_USER)
    library = program / "another.so"
    done = llm_cc.run_clang("-shared", "-fPIC", "another.c", "-o", str(library), cwd=program)
    assert done.returncode == 0, done.stderr
    made = []
    for more in ({}, {"LD_PRELOAD": str(library)}):
        done = llm_cc("-Oz", "-c", "a.c", "-o", "a.o", cwd=program, LLM_CC_CACHE="0", **more)
        assert (done.returncode, done.stderr) == (0, b"")
        made.append((program / "a.o").read_bytes())
    own = llm_cc.run_clang("-Oz", "-c", "a.c", "-o", "own.o", cwd=program)
    assert own.returncode == 0
    assert made[0] == made[1] != (program / "own.o").read_bytes()
