from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_compiler.corpus.synthetic import synthesize, write_sources
from llm_compiler.errors import OutputError


def test_the_seed_decides() -> None:
    assert synthesize(3, 20) == synthesize(3, 20)
    assert synthesize(3, 20) != synthesize(4, 20)


def test_every_placeholder_is_filled() -> None:
    text = synthesize(0, 2000)
    assert "$" not in text
    names = re.findall(r"\b(f\d+)\([^;]*?\) \{", text)
    assert len(set(names)) == 2000


def test_files_hold_what_was_asked_for(tmp_path: Path) -> None:
    paths = write_sources(tmp_path / "made", num_functions=50, functions_per_file=20)
    texts = [path.read_text() for path in paths]
    assert [len(set(re.findall(r"\bf\d+\b", text))) for text in texts] == [20, 20, 10]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_sources(tmp_path / "file", num_functions=1)
