from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.train.configs import LoraConfig, TrainConfig
from llm_compiler.train.loop import train


@pytest.fixture
def run(config: TrainConfig) -> Path:
    train(dataclasses.replace(config, max_steps=3))
    return config.out


def test_a_folder_for_the_hub(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "hub" / "compiler-model"
    assert main(["model", "push", str(run), "-o", str(out), "--license", "mit"]) == 0
    assert "nothing was uploaded" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\nlibrary_name: transformers\n")
    assert "# compiler-model" in card
    training = json.loads((out / "training.json").read_text())
    assert (
        f"| pretraining | 3 | {training['tokens']:,} | 0 | cpu | {training['precision']} |" in card
    )
    assert f"| ir | {training['validation']['ir']['loss']:.4f} |" in card
    assert AutoModelForCausalLM.from_pretrained(out).config.vocab_size == 700
    assert len(AutoTokenizer.from_pretrained(out)) == 700
    assert not (out / "state").exists()
    assert main(["model", "push", str(run), "-o", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_adapters_and_their_history(
    run: Path, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = dataclasses.replace(
        config, init=run, out=tmp_path / "tuned", lora=LoraConfig(rank=2), max_steps=2
    )
    train(tuned)
    assert main(["model", "merge", str(tuned.out), "-o", str(tmp_path / "merged")]) == 0
    capsys.readouterr()
    for folder, library in ((tuned.out, "peft"), (tmp_path / "merged", "transformers")):
        assert main(["model", "card", str(folder)]) == 0
        card = capsys.readouterr().out
        assert f"library_name: {library}\n" in card
        assert ("rank 2" in card) == (library == "peft")
        runs = [line.split(" | ")[:2] for line in card.splitlines() if line.startswith("| pretr")]
        assert runs == [["| pretraining", "3"], ["| pretraining (LoRA)", "2"]]


def test_a_hub_that_cannot_be_reached(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import huggingface_hub.constants

    # Nobody listens on the discard port.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    arguments = ["model", "push", str(run), "-o", str(tmp_path / "out"), "--repo-id", "a/b"]
    assert main(arguments) == 8
    assert "but the hub did not take it" in capsys.readouterr().err
    assert (tmp_path / "out" / "README.md").is_file()


def test_nothing_to_hand_on(tmp_path: Path) -> None:
    assert main(["model", "card", str(tmp_path)]) == 7
    assert main(["model", "merge", str(tmp_path), "-o", str(tmp_path / "out")]) == 7
