"""Wheels are unpacked to where LLVM's files belong, and nowhere else; no network is used."""

from __future__ import annotations

import importlib.util
import stat
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "fetch_llvm.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch_llvm", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wheel(folder: Path, files: dict[str, str]) -> Path:
    path = folder / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o755 << 16
            archive.writestr(info, text)
    return path


def test_programs_run_and_links_lead_to_them(script: ModuleType, tmp_path: Path) -> None:
    made = tmp_path / "made"
    files = {
        "some-1.0.data/data/bin/clang-21": "#!/bin/sh\n",
        "some-1.0.dist-info/symlinks.txt": "some-1.0.data/data/bin/clang,clang-21,0\n",
        "some-1.0.dist-info/RECORD": "",
    }
    script.unpack(wheel(tmp_path, files), made)
    assert sorted(path.name for path in made.rglob("*") if path.is_file()) == ["clang", "clang-21"]
    assert (made / "bin" / "clang").readlink() == Path("clang-21")
    assert (made / "bin" / "clang-21").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("place", ["../../out", "bin/../../../out"])
def test_nothing_is_written_outside(script: ModuleType, tmp_path: Path, place: str) -> None:
    made = tmp_path / "a" / "made"
    with pytest.raises(SystemExit, match="outside its folder"):
        script.unpack(wheel(tmp_path, {f"some-1.0.data/data/{place}": "text"}), made)
    links = f"some-1.0.data/data/{place},x,0\nsome-1.0.data/data/bin/a,../../../out,0\n"
    script.unpack(wheel(tmp_path, {"some-1.0.dist-info/symlinks.txt": links}), made)
    assert not list(tmp_path.rglob("out"))
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_what_is_there_is_not_fetched_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "21.1.8").mkdir()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert script.fetch("21.1.8", tmp_path) == tmp_path / "21.1.8"
