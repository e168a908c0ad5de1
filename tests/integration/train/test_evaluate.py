"""Our model and one in the format of Meta's LLM Compiler, side by side in one evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.evaluate.disassembly.rows import LiftRow
from llm_compiler.evaluate.emulation.ask import EmulationRow
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.perplexity.ask import PerplexityRow
from llm_compiler.evaluate.rows import read_rows
from llm_compiler.evaluate.samples import draw_samples
from llm_compiler.evaluate.size_prediction.ask import SizeRow
from llm_compiler.model.configs import read_hf_config
from llm_compiler.model.prompts import PaperPrompts
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.workers import LocalPool

from ...unit.model.conftest import assembly, ir
from ...unit.model.llama_format import write_llama_checkpoint
from ...unit.model.reference import Reference, tiny_config, write_checkpoint
from ..dataset.conftest import samples_folder

__all__ = ["samples_folder"]

SOURCE = """
int short_one(int x) { return x * 3; }
int longer(const int *v, int n) {
    int s = 0;
    for (int i = 0; i < n; i++) s += v[i] > 3 ? v[i] * 5 : v[i] - 7;
    for (int i = n; i > 0; i -= 2) s ^= v[i - 1] << 3;
    return s;
}
"""


@pytest.mark.parametrize("protocol", ["ours", "paper"])
def test_both_kinds_of_models_contend(
    protocol: str, tokenizer: IrTokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tokenizer.vocab_size, context=2000)
    ours = write_checkpoint(tmp_path / "ours", config, tokenizer=tokenizer)
    texts = [word for n in range(30) for word in (ir(n), assembly(n))]
    theirs = write_llama_checkpoint(tmp_path / "theirs", texts, context=1500)
    source = tmp_path / "unit.c"
    source.write_text(SOURCE)
    models = ["--engine", "embedded", "--model", str(ours)]
    models += ["--engine", "transformers", "--model", str(theirs)]
    command = ["evaluate", "flag-tuning", "--suite", str(source), "--protocol", protocol]
    command += ["--contenders", "one-shot", "coreset", "--budgets", "1", "--no-check", "--json"]
    assert main([*command, *models, "--report", str(tmp_path / "report"), "--jobs", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [item["engine"] for item in document["settings"]["models"]] == [
        "embedded",
        "transformers",
    ]
    rows = read_rows(tmp_path / "report" / "rows.parquet", Row)
    asked = {r.contender: r.num_evaluations for r in rows if "longer" in r.module}
    if protocol == "ours":
        assert {r.contender for r in rows} == {"one-shot 1", "one-shot 2", "coreset"}
        assert {r.num_evaluations for r in rows} == {1}
    else:
        # The other model's tokenizer is coarse: for it the unit is split, and one half too long.
        assert {r.module for r in rows} == {"unit.c:short_one", "unit.c:longer"}
        assert asked == {"one-shot 1": 1, "one-shot 2": 0, "coreset": 1}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in the format of facebook/llm-compiler-7b-ftd, small and with random weights."""
    texts = [word for n in range(30) for word in (ir(n), assembly(n))]
    return write_llama_checkpoint(tmp_path_factory.mktemp("theirs"), texts, context=600)


def evaluate(task: str, model: Path, suite: Path, report: Path, *arguments: str) -> int:
    command = ["evaluate", task, "--engine", "transformers", "--model", str(model), "--jobs", "1"]
    return main([*command, "--suite", str(suite), "--report", str(report), *arguments])


def test_their_perplexity(
    theirs: Path, tokenizer: IrTokenizer, samples_folder: Path, tmp_path: Path
) -> None:
    config = tiny_config(tokenizer.vocab_size, context=600)
    ours = write_checkpoint(tmp_path / "ours", config, tokenizer=tokenizer)
    both = ("--model", str(ours), "--split", "train", "--samples", "4")
    assert evaluate("perplexity", theirs, samples_folder, tmp_path / "report", *both) == 0
    rows = read_rows(tmp_path / "report" / "rows.parquet", PerplexityRow)
    assert len(rows) == 8
    first, second = ([row for row in rows if row.model == name] for name in (theirs.name, "ours"))
    assert [row.num_bytes for row in first] == [row.num_bytes for row in second]
    # By the reference, of a text that fits in one piece; begin and end are tokens too.
    prompts, reference = PaperPrompts(theirs), Reference(read_hf_config(theirs), seed=1)
    perplexity_row = min(first, key=lambda row: row.num_tokens)
    (sample,) = [s for s in _samples(samples_folder) if s.index == perplexity_row.index]
    ids = [prompts.begin, *prompts.encode(sample.output_code), prompts.end]
    assert len(ids) == perplexity_row.num_tokens + 1 <= 600
    table = reference.log_probabilities(ids)
    expected = -sum(table[place - 1, ids[place]] for place in range(1, len(ids)))
    assert perplexity_row.nats == pytest.approx(expected, rel=1e-3)


def _samples(folder: Path) -> list[StageSample]:
    with LocalPool(1) as pool:
        return list(
            draw_samples(
                folder, "pretraining", pool, split="train", architecture="", count=4, seed=0
            )
        )


def test_their_code(theirs: Path, samples_folder: Path, tmp_path: Path) -> None:
    drawn = ("--split", "train", "--architecture", "x86_64")
    for task, arguments, kind, count in (
        ("disassembly", ("--functions", "2", "--candidates", "2"), LiftRow, 2),
        ("emulation", ("--modules", "1"), EmulationRow, 3),
        ("size-prediction", ("--samples", "2"), SizeRow, 2),
    ):
        report = tmp_path / task
        assert evaluate(task, theirs, samples_folder, report, *drawn, *arguments) == 0
        rows = read_rows(report / "rows.parquet", kind)
        # Random weights know no code.
        assert len(rows) == count
        assert {getattr(row, "verdict", "no_answer") for row in rows} == {"no_answer"}
        assert f"{theirs.name} (transformers engine, weights" in (report / "report.md").read_text()
