from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.user_folders import cache_folder, data_folder


def test_the_xdg_variables_decide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    assert cache_folder() == tmp_path / "c" / "llm-compiler"
    assert data_folder() == tmp_path / "d" / "llm-compiler"
    assert not cache_folder().exists(), "asking makes nothing"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_empty_and_relative_values_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("XDG_DATA_HOME", value)
    assert cache_folder() == tmp_path / ".cache" / "llm-compiler"
    assert data_folder() == tmp_path / ".local" / "share" / "llm-compiler"
