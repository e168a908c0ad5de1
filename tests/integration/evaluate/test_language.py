from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.cli import main
from llm_compiler.corpus.texts import Text, _ShardWriter
from llm_compiler.evaluate.perplexity.ask import PerplexityRow, nats_of, reader_of
from llm_compiler.evaluate.rows import read_rows
from llm_compiler.evaluate.size_prediction.ask import SizeRow
from llm_compiler.model.configs import read_hf_config
from llm_compiler.model.engines.embedded import load_embedded

from ...unit.model.reference import Reference


def evaluate(task: str, samples: Path, report: Path, *arguments: str) -> int:
    command = ["evaluate", task, "--suite", str(samples), "--split", "train", "--samples", "5"]
    return main([*command, "--report", str(report), "--jobs", "2", *arguments])


def test_the_probability_of_a_text_is_the_references(checkpoint: Path) -> None:
    reference = Reference(read_hf_config(checkpoint))
    ids = np.random.default_rng(1).integers(0, reference.config.vocab_size, 150).tolist()
    rows = reference.log_probabilities(ids)
    expected = -sum(rows[place - 1, ids[place]] for place in range(3, len(ids)))
    with load_embedded(checkpoint, precision="fp32", threads=1) as engine:
        decoder, _ = reader_of(engine)
        assert nats_of(decoder, ids, 3) == pytest.approx(expected, rel=1e-4)


def test_perplexity(
    samples_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--model", str(checkpoint), "--json")
    assert evaluate("perplexity", samples_folder, tmp_path, *arguments) == 0
    printed = capsys.readouterr()
    assert "was not trained" not in printed.err
    report = json.loads(printed.out)
    rows = read_rows(tmp_path / "rows.parquet", PerplexityRow)
    assert len(rows) == 5
    assert {row.task for row in rows} <= {"ir", "assembly"}
    for cell in report["figures"]:
        own = [
            row
            for row in rows
            if row.task == cell["task"] and row.target_triple.startswith(cell["target"])
        ]
        bits = sum(row.nats for row in own) / math.log(2) / sum(row.num_bytes for row in own)
        value, low, high = cell["bits_a_byte"]
        assert value == pytest.approx(bits, abs=1e-5)
        assert low <= value <= high
    # A second run of the same command reads its journal.
    assert evaluate("perplexity", samples_folder, tmp_path, *arguments) == 0
    assert read_rows(tmp_path / "rows.parquet", PerplexityRow) == rows


def test_perplexity_of_source_code(
    samples_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    writer = _ShardWriter(texts)
    for number in range(3):
        for kind in ("code", "text"):
            body = f"/* {kind} {number} */ int f(int a) {{ return a + {number}; }}\n" * 9
            own = {"package": "p", "split": "train", "license": "MIT", "path": f"{number}.c"}
            writer.add(Text(**own, kind=kind, text=body), f"{kind}{number}")
    writer.flush()
    manifest = {"format": "llm-compiler texts, version 1", "shards": writer.shards}
    (texts / "manifest.json").write_text(json.dumps(manifest))

    report = tmp_path / "report"
    arguments = ("--model", str(checkpoint), "--texts", str(texts), "--json")
    assert evaluate("perplexity", samples_folder, report, *arguments) == 0
    document = json.loads(capsys.readouterr().out)
    rows = read_rows(report / "rows.parquet", PerplexityRow)
    assert Counter(row.task in ("code", "text") for row in rows) == {False: 5, True: 6}
    counts = {item["task"]: item["n"] for item in document["figures"] if not item["target"]}
    assert counts == {"code": 3, "text": 3}
    assert all(row.nats > 0 and row.num_bytes > 300 for row in rows if row.task == "code")
    # A second run of the same command reads its journal.
    assert evaluate("perplexity", samples_folder, report, *arguments) == 0
    assert read_rows(report / "rows.parquet", PerplexityRow) == rows


def test_size_prediction(
    samples_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ("--model", str(checkpoint), "--model", str(checkpoint))
    assert evaluate("size-prediction", samples_folder, tmp_path, *models, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    rows = read_rows(tmp_path / "rows.parquet", SizeRow)
    assert len(rows) == 10
    assert len({row.model for row in rows}) == 2  # one checkpoint, named twice
    assert all(row.size_bytes_before > 0 and row.size_bytes_after > 0 for row in rows)
    yardstick = next(
        item
        for item in document["figures"]
        if (item["target"], item["model"], item["metric"]) == ("all", "no change", "size")
    )
    errors = {row.index: abs(row.size_bytes_before / row.size_bytes_after - 1) for row in rows}
    assert yardstick["mape"]["value"] == pytest.approx(sum(errors.values()) / 5, abs=1e-5)
    assert "| all | no change | size | " in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("task", ["perplexity", "size-prediction"])
def test_an_empty_suite(
    task: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(task, tmp_path, tmp_path / "report", "--model", str(checkpoint)) == 4
    assert "holds no C, C++, IR or bitcode file" in capsys.readouterr().err
