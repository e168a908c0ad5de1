from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from llm_compiler.errors import OutputError
from llm_compiler.output import check_writable, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_the_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "out.o", b"\x00abc")
    assert (tmp_path / "out.o").read_bytes() == b"\x00abc"
    assert names(tmp_path) == ["out.o"]


def test_new_files_get_the_rights_that_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "out.o", b"x")
        assert os.umask(0o027) == 0o027, "the umask must not change"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.o").stat().st_mode) == 0o640


def test_replacing_keeps_the_rights(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o751)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o751


def test_a_full_device_is_an_output_error() -> None:
    with pytest.raises(OutputError, match=r"cannot write /dev/full: No space left on device"):
        write_atomically(Path("/dev/full"), b"x" * 100_000)


def test_a_file_too_large_leaves_the_old_one_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*out: File too large"):
            write_atomically(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    for call in (check_writable, lambda path: write_atomically(path, b"x")):
        with pytest.raises(OutputError, match="cannot write"):
            call(tmp_path / "none" / "out.o")
    assert names(tmp_path) == []


def test_a_folder_as_output_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a directory"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path, b"x")


def test_a_file_in_place_of_a_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot write"):
        check_writable(tmp_path / "file" / "out.o")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "file" / "out.o", b"x")


def test_a_folder_that_takes_no_files_is_an_output_error() -> None:
    # Even root cannot make files there.
    for call in (check_writable, lambda path: write_atomically(path, b"x")):
        with pytest.raises(OutputError, match="cannot write /proc/out"):
            call(Path("/proc/out.o"))


def test_a_read_only_file_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(OutputError, match="read-only"):
        check_writable(path)
    with pytest.raises(OutputError, match="read-only"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_check_writable_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "out.o")
    check_writable(Path("-"))
    check_writable(Path("/dev/null"))
    assert names(tmp_path) == []


def test_dash_is_standard_output() -> None:
    program = (
        "from pathlib import Path; from llm_compiler.output import write_atomically; "
        "write_atomically(Path('-'), bytes(range(256)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == bytes(range(256))
