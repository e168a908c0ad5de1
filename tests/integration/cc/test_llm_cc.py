"""llm-cc as a build calls it: smaller objects where there are some, clang's own answer always."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_compiler.llvm.object_file import section_sizes

if TYPE_CHECKING:
    from .conftest import LlmCc


def size(path: Path) -> int:
    return section_sizes(path.read_bytes()).size_bytes


def journal(llm_cc: LlmCc) -> list[dict[str, object]]:
    path = llm_cc.folder / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_object_is_smaller_than_clangs_and_links_and_runs(llm_cc: LlmCc, program: Path) -> None:
    done = llm_cc("-Oz", "-c", "a.c", "-o", "ours.o", "-MD", cwd=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    llm_cc.run_clang("-Oz", "-c", "a.c", "-o", "clang.o", "-MD", cwd=program)
    assert size(program / "ours.o") < size(program / "clang.o")
    listed = (program / "clang.d").read_text().replace("clang.o", "ours.o")
    assert (program / "ours.d").read_text().split() == listed.split()
    mode = (program / "clang.o").stat().st_mode
    assert (program / "ours.o").stat().st_mode == mode
    assert llm_cc("ours.o", "-o", "a.out", cwd=program).returncode == 0
    ran = subprocess.run([program / "a.out"], capture_output=True, timeout=20, check=False)
    assert (ran.returncode, ran.stdout) == (10, b"b: 2\na: 1\n")
    # Found again: the same bytes, and clang was not needed for them.
    again = llm_cc("-Oz", "-c", "a.c", "-o", "again.o", "-MD", cwd=program)
    assert (again.returncode, again.stderr) == (0, b"")
    assert (program / "again.o").read_bytes() == (program / "ours.o").read_bytes()
    assert "again.o: a.c" in (program / "again.d").read_text()
    assert [table["is_hit"] for table in journal(llm_cc)[-2:]] == [False, True]
    assert journal(llm_cc)[-1]["recipe"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another default")
def test_a_flag_that_says_the_default_changes_nothing(llm_cc: LlmCc, program: Path) -> None:
    # Pushed registers and arguments: what a frame pointer makes of them has shorter unwind tables.
    (program / "calls.c").write_text(
        "int g(int, ...);\nint leaf(int x) { return x + 1; }\n"
        + "".join(
            f"int f{n}(int a, int b, int c) {{ int x = g(a, {n}, b); int y = g(b, x, c); "
            "int z = g(c, y, a); while (g(x, y, z)) g(z, a, b, c, x, y, 1, 2); "
            "return x + y + z; }\n"
            for n in range(4)
        )
    )
    made = []
    for flags in ([], ["-fomit-frame-pointer"], ["-fno-omit-frame-pointer"]):
        assert llm_cc("-Oz", *flags, "-c", "calls.c", cwd=program).returncode == 0
        made.append((program / "calls.o").read_bytes())
    assert made[1] == made[0] != made[2]
    recipes = [str(record["recipe"]) for record in journal(llm_cc)[-3:]]
    assert ["frame-pointer" in recipe for recipe in recipes] == [True, True, False]


def test_one_source_is_c_for_one_driver_and_cxx_for_the_other(
    llm_cc: LlmCc, tmp_path: Path
) -> None:
    (tmp_path / "both.c").write_text(f"int twice(int x) {{ return x + x; }}\n/* {'-' * 60} */\n")
    cxx = llm_cc.client.with_name("llm-c++")
    for client, symbol in ((llm_cc.client, b"\0twice\0"), (cxx, b"_Z5twicei"), (cxx, b"_Z5twicei")):
        done = llm_cc("-Oz", "-Wno-deprecated", "-c", "both.c", cwd=tmp_path, client=client)
        assert (done.returncode, done.stderr) == (0, b"")
        assert symbol in (tmp_path / "both.o").read_bytes()


def test_debug_information_changes_no_code(llm_cc: LlmCc, program: Path) -> None:
    made = []
    for flags in ([], ["-g"], ["-ggdb3"]):
        done = llm_cc("-Oz", *flags, "-c", "a.c", cwd=program)
        assert (done.returncode, done.stderr) == (0, b"")
        made.append((program / "a.o").read_bytes())
    assert size(program / "a.o") == section_sizes(made[0]).size_bytes
    assert b".debug_info" not in made[0]
    for data in made[1:]:
        assert b".debug_info" in data
    assert len({str(record["recipe"]) for record in journal(llm_cc)[-3:]}) == 1


def test_clangs_errors_and_warnings_are_passed_on(llm_cc: LlmCc, program: Path) -> None:
    (program / "bad.c").write_text("int f(void) { return missing; }\n" * 3)
    (program / "warn.c").write_text(
        "int f(int x) { int unused; return x * 3 + x / 5; }\n"
        "int g(int x) { return f(x) + f(x + 1) + f(x + 2); }\n"
    )
    for arguments in (
        ("-Oz", "-c", "bad.c"),
        ("-Oz", "-Wall", "-c", "warn.c"),
        ("-Oz", "-Wall", "-c", "warn.c"),  # from the cache
        ("-Oz", "-Wall", "-Werror", "-c", "warn.c"),
        ("-Oz", "-c", "warn.c"),
        ("-Oz", "-DM=1", "-DM=2", "-c", "warn.c"),  # the same text after preprocessing
        ("-Oz", "-c", "warn.c", "-MF", "unused"),
        ("-Oz", "-c", "absent.c"),
        ("-Oz", "-c", "warn.c", "-o", "no/such/folder.o"),
        ("-Oz", "-c", "warn.c", "--no-such-flag"),
    ):
        ours, clangs = llm_cc(*arguments, cwd=program), llm_cc.run_clang(*arguments, cwd=program)
        assert (ours.returncode, ours.stdout, ours.stderr) == (
            clangs.returncode,
            clangs.stdout,
            clangs.stderr,
        ), arguments
    assert not (program / "bad.o").exists()


def test_the_same_bytes_from_another_folder_with_a_prefix_map(
    llm_cc: LlmCc, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "a.c").write_bytes((program / "a.c").read_bytes())
    made = []
    for folder in (program, other):
        flags = ("-Oz", "-g", f"-ffile-prefix-map={folder}=.", "-c", str(folder / "a.c"))
        assert llm_cc(*flags, "-o", "a.o", cwd=folder).returncode == 0
        made.append((folder / "a.o").read_bytes())
        assert journal(llm_cc)[-1]["is_hit"] == (folder is other)
    assert made[0] == made[1]


def test_an_output_that_clang_cannot_write_is_clangs_to_refuse(
    llm_cc: LlmCc, program: Path
) -> None:
    assert llm_cc("-Oz", "-c", "a.c", cwd=program).returncode == 0
    os.mkfifo(program / "pipe")
    (program / "folder").mkdir()
    (program / "target.o").write_bytes(b"")
    (program / "link.o").symlink_to("target.o")
    for output in ("/dev/null", "folder", "link.o", "/proc/none.o"):
        ours = llm_cc("-Oz", "-c", "a.c", "-o", output, cwd=program)
        clangs = llm_cc.run_clang("-Oz", "-c", "a.c", "-o", output, cwd=program)
        assert (ours.returncode, ours.stderr) == (clangs.returncode, clangs.stderr), output
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_is_clangs_to_report(llm_cc: LlmCc, program: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    assert llm_cc("-Oz", "-c", "a.c", cwd=program).returncode == 0
    ours = llm_cc("-Oz", "-c", "a.c", "-o", "/dev/full", cwd=program)
    clangs = llm_cc.run_clang("-Oz", "-c", "a.c", "-o", "/dev/full", cwd=program)
    # The rest is a dump of clang's stack, with addresses.
    said = [process.stderr.splitlines()[0] for process in (ours, clangs)]
    assert ours.returncode == clangs.returncode != 0
    assert said[0] == said[1]


def _kill_soon(llm_cc: LlmCc, number: int, *, after_s: float) -> threading.Thread:
    def act() -> None:
        time.sleep(after_s)
        for pid in llm_cc.server_pids():
            os.kill(pid, number)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_server_that_is_killed_leaves_clangs_object(llm_cc: LlmCc, program: Path) -> None:
    source = (program / "a.c").read_text()
    llm_cc.run_clang("-Oz", "-c", "a.c", "-o", "clang.o", cwd=program)
    for number, delay in enumerate((0.02, 0.15, 0.4)):
        (program / "a.c").write_text(source + f"int killed_{number};\n")
        killer = _kill_soon(llm_cc, signal.SIGKILL, after_s=delay)
        done = llm_cc("-Oz", "-c", "a.c", cwd=program)
        killer.join()
        assert (done.returncode, done.stderr) == (0, b"")
        assert 0 < size(program / "a.o") <= size(program / "clang.o") + 4
    # The next call starts another, which does its work.
    (program / "a.c").write_text(source + "int after;\n")
    assert llm_cc("-Oz", "-c", "a.c", cwd=program).returncode == 0
    assert journal(llm_cc)[-1]["recipe"]


def test_a_server_that_hangs_is_given_up_and_replaced(llm_cc: LlmCc, program: Path) -> None:
    assert llm_cc("-Oz", "-c", "a.c", cwd=program).returncode == 0
    hung = llm_cc.server_pids()
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = llm_cc("-Oz", "-c", "a.c", "-o", "b.o", cwd=program, LLM_CC_PATIENCE_S="1")
        assert (done.returncode, done.stderr) == (0, b"")
        assert (program / "b.o").exists()
        done = llm_cc("-Oz", "-c", "a.c", "-o", "c.o", cwd=program)
        assert (program / "c.o").read_bytes() == (program / "a.o").read_bytes()
        assert set(llm_cc.server_pids()) - set(hung)
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    end = time.monotonic() + 30  # nobody finds it any more: it ends itself
    while set(llm_cc.server_pids()) & set(hung) and time.monotonic() < end:
        time.sleep(0.1)
    assert not set(llm_cc.server_pids()) & set(hung)


def test_a_liar_in_the_servers_place_does_no_harm(llm_cc: LlmCc, program: Path) -> None:
    assert llm_cc("-Oz", "-c", "a.c", cwd=program).returncode == 0
    (path,) = llm_cc.sockets
    answers = [
        b"",
        b"nonsense that is no frame, and long enough for a head",
        b"\xff\xff\xff\xffG\0\0\0",
        b"\0\0\0\0Z\0\0\0",
        b"\2\0\0\0R\0\0\0o\0",
        b"\2\0\0\0G\0\0\0e\0" + b"\0\0\0\0Z\0\0\0",
    ]
    for answer in answers:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def lie(listener: socket.socket = listener, answer: bytes = answer) -> None:
            peer, _ = listener.accept()
            peer.recv(1 << 20)
            peer.sendall(answer)
            time.sleep(0.3)
            peer.close()

        thread = threading.Thread(target=lie)
        thread.start()
        (program / "a.o").unlink(missing_ok=True)
        done = llm_cc("-Oz", "-c", "a.c", cwd=program)
        thread.join()
        listener.close()
        assert (done.returncode, done.stderr) == (0, b""), answer
        assert size(program / "a.o") > 0
    path.unlink(missing_ok=True)


def test_a_folder_that_others_can_enter_is_refused(
    llm_cc: LlmCc, program: Path, tmp_path: Path
) -> None:
    (tmp_path / "open" / "run").mkdir(parents=True)
    (tmp_path / "open" / "run").chmod(0o755)
    done = llm_cc("-Oz", "-c", "a.c", cwd=program, LLM_CC_DIR=str(tmp_path / "open"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert list((tmp_path / "open" / "run").iterdir()) == []
    assert (program / "a.o").exists()


def test_without_a_home_clang_answers(llm_cc: LlmCc, program: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [llm_cc.client, "-Oz", "-c", "a.c"], cwd=program, env=env, timeout=60, check=False
    )
    assert done.returncode == 0
    for home in ("/proc/nonexistent", "relative", "/dev/null"):
        done = llm_cc("-Oz", "-c", "a.c", cwd=program, LLM_CC_DIR=home)
        assert (done.returncode, done.stderr) == (0, b"")


def test_two_at_once_start_one_server_and_make_the_same(llm_cc: LlmCc, program: Path) -> None:
    for path in llm_cc.sockets:
        path.unlink()
    (program / "a.c").write_text((program / "a.c").read_text() + "int two_at_once = 1;\n")
    before = set(llm_cc.server_pids())
    command = [str(llm_cc.client), "-Oz", "-c", "a.c", "-o"]
    running = [
        subprocess.Popen([*command, f"{n}.o"], cwd=program, env=llm_cc.environment())
        for n in range(4)
    ]
    assert [popen.wait(timeout=90) for popen in running] == [0, 0, 0, 0]
    assert len(set(llm_cc.server_pids()) - before) == 1
    assert len({(program / f"{n}.o").read_bytes() for n in range(4)}) == 1


def test_the_client_in_python_does_the_same(llm_cc: LlmCc, program: Path) -> None:
    text = (
        "import os, sys\n"
        "from llm_compiler.cc.client import run_client\n"
        "from llm_compiler.cc.install import client_config\n"
        "from llm_compiler.llvm.toolchain import find_toolchain\n"
        "sys.exit(run_client(client_config(find_toolchain()), False, sys.argv[1:]))\n"
    )

    def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", text, *arguments],
            cwd=program,
            env=llm_cc.environment(**more),
            capture_output=True,
            timeout=100,
            check=False,
        )

    assert llm_cc("-Oz", "-c", "a.c", "-MD", cwd=program).returncode == 0
    for name in ("b.o", "c.o"):
        more = {"LLM_CC_CACHE": "0"} if name == "c.o" else {}
        done = python("-Oz", "-c", "a.c", "-o", name, **more)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert (program / name).read_bytes() == (program / "a.o").read_bytes()
    (program / "bad.c").write_text("int f(void) { return missing; }\n" * 3)
    ours, clangs = (
        python("-Oz", "-c", "bad.c"),
        llm_cc.run_clang("-Oz", "-c", "bad.c", cwd=program),
    )
    assert (ours.returncode, ours.stderr) == (clangs.returncode, clangs.stderr)


def test_an_idle_server_ends_itself(llm_cc: LlmCc, program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "private"
    done = llm_cc("-Oz", "-c", "a.c", cwd=program, LLM_CC_DIR=str(folder), LLM_CC_IDLE_S="1")
    assert done.returncode == 0
    end = time.monotonic() + 30
    while any(path.is_socket() for path in (folder / "run").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.1)
