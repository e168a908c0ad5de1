from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.model.tokenizer import train_tokenizer

from ...unit.model.reference import tiny_config, write_checkpoint
from ..dataset.conftest import samples_folder
from ..small_source import SOURCE

__all__ = ["samples_folder"]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(iter([SOURCE] * 3), folder / "tokenizer", vocab_size=600)
    config = tiny_config(tokenizer.vocab_size, context=2048)
    return write_checkpoint(folder / "checkpoint", config, tokenizer=tokenizer)
