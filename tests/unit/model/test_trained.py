from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.model.trained import TRAINING_FILE, trained_tasks, untrained_warning

RUN: dict[str, Any] = {
    "identity": {"stage": "disassembly", "shares": {"disassembly": 0.9, "emulation": 0.0}},
    "tasks": {"disassembly": 900, "repair": 100},
    "history": [{"identity": {"stage": "pretraining"}}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / TRAINING_FILE).write_text(json.dumps(RUN))
    return tmp_path


def test_every_run_counts_that_the_weights_went_through(folder: Path) -> None:
    assert trained_tasks(folder) == {"pretraining", "disassembly", "repair"}


def test_what_was_never_learnt_is_said(folder: Path) -> None:
    assert untrained_warning(str(folder), "disassembly") == ""
    message = untrained_warning(str(folder), "emulation")
    assert "was not trained for emulation" in message
    assert "disassembly, pretraining, repair" in message


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"history": 3}', '{"identity": {"shares": 1}}'])
def test_nothing_is_said_without_records(tmp_path: Path, text: str) -> None:
    assert untrained_warning(str(tmp_path / "model-of-a-server"), "emulation") == ""
    (tmp_path / TRAINING_FILE).write_text(text)
    assert trained_tasks(tmp_path) is None
