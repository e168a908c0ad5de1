"""Our model and one in the format of Meta's LLM Compiler, side by side in one evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.evaluate.rows import Row, read_rows
from llm_compiler.model.tokenizer import IrTokenizer

from ...unit.model.conftest import assembly, ir
from ...unit.model.llama_format import write_llama_checkpoint
from ...unit.model.reference import tiny_config, write_checkpoint

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
    texts = [one for n in range(30) for one in (ir(n), assembly(n))]
    theirs = write_llama_checkpoint(tmp_path / "theirs", texts, context=1500)
    source = tmp_path / "unit.c"
    source.write_text(SOURCE)
    models = ["--engine", "embedded", "--model", str(ours)]
    models += ["--engine", "transformers", "--model", str(theirs)]
    command = ["evaluate", "flag-tuning", "--suite", str(source), "--protocol", protocol]
    command += ["--contenders", "one-shot", "coreset", "--budgets", "1", "--no-check", "--json"]
    assert main([*command, *models, "--report", str(tmp_path / "report"), "--jobs", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["engine"] for one in told["settings"]["models"]] == ["embedded", "transformers"]
    rows = read_rows(tmp_path / "report" / "rows.parquet", Row)
    asked = {r.contender: r.num_evaluations for r in rows if "longer" in r.module}
    if protocol == "ours":
        assert {r.contender for r in rows} == {"one-shot 1", "one-shot 2", "coreset"}
        assert {r.num_evaluations for r in rows} == {1}
    else:
        # The other model's tokenizer is coarse: for it the unit is split, and one half too long.
        assert {r.module for r in rows} == {"unit.c:short_one", "unit.c:longer"}
        assert asked == {"one-shot 1": 1, "one-shot 2": 0, "coreset": 1}
