from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.compile_commands import read_compile_commands


def write(folder: Path, entries: Any) -> Path:
    file = folder / "compile_commands.json"
    file.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return file


def test_both_forms_launchers_and_repeated_entries(tmp_path: Path) -> None:
    entry = {
        "directory": "build",
        "command": "ccache /usr/bin/cc -I'a b' -c ../x.c -o x.o",
        "file": "../x.c",
    }
    other = {
        "directory": str(tmp_path),
        "arguments": ["c++", "-O2", "-c", "--", "y.cc"],
        "file": str(tmp_path / "y.cc"),
    }
    first, second = read_compile_commands(write(tmp_path, [entry, other, entry]))
    assert first.directory == tmp_path / "build"
    assert first.path == tmp_path / "x.c"
    assert first.flags == ("-Ia b", "-c", "-o", "x.o")
    assert (second.source, second.flags) == (str(tmp_path / "y.cc"), ("-O2", "-c"))


@pytest.mark.parametrize("entries", ["", "{", "{}", "[1]", '[{"file": "x.c"}]', '[{"file": 3}]'])
def test_what_is_no_database(tmp_path: Path, entries: str) -> None:
    with pytest.raises(InputError, match="is not a compile database"):
        read_compile_commands(write(tmp_path, entries))
