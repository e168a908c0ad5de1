"""The figures that README and model card quote are those of the weights that ship."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.evaluate.models import model_fingerprint
from llm_compiler.model.engines.loader import load_engine, shipped_model

REPORTS = Path(__file__).parents[2] / "docs" / "reports"
QUOTED = (
    "honest-2026-11",
    "levels-2026-11",
    "model-2026-11",
    "shipped-2026-11",
    "validation-2026-11",
)


def weights_in(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("weights"), str):
            yield document["weights"]
        for item in document.values():
            yield from weights_in(item)
    elif isinstance(document, list):
        for item in document:
            yield from weights_in(item)


@pytest.mark.parametrize("name", QUOTED)
def test_reports_are_of_the_shipped_weights(name: str) -> None:
    folder = shipped_model()
    with load_engine("embedded", None) as engine:
        expected = model_fingerprint(engine, folder).weights
    reports = sorted((REPORTS / name).glob("**/*.json"))
    assert reports
    for path in reports:
        text = path.read_text()
        assert set(weights_in(json.loads(text))) == {expected}, path
        assert "/data/model" not in text, f"{path} names a folder of the machine it was made on"
