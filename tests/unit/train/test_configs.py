from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError
from llm_compiler.train.configs import load_train_config
from llm_compiler.train.plan import make_plan

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "train"

VALID = """
stage = "emulation"
model = "tiny"
tokenizer = "t"
out = "o"
[data.emulation]
path = "e"
[data.pretraining]
path = "p"
"""


@pytest.fixture
def write(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "model").symlink_to(CONFIGS.parent / "model")
    path = tmp_path / "train" / "run.toml"
    path.write_text(VALID)
    return path


KIT = sorted([*CONFIGS.glob("kit*.toml"), CONFIGS / "short.toml"])
STAGES = sorted({*CONFIGS.glob("*.toml")} - {*KIT})


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_shipped_configurations(path: Path) -> None:
    scale, stage = path.stem.split("-", 1)
    config = load_train_config(path, stage.removesuffix("-labels"))
    assert config.model.name == scale
    plan = make_plan(config)
    assert plan.num_tokens == config.row_tokens * config.rows_per_step * config.max_steps
    assert sum(config.shares().values()) == pytest.approx(1)
    earlier = [config.shares().get(stage, 0) for stage in config.earlier_stages]
    assert sum(earlier) == pytest.approx(config.mix_share if earlier else 0)
    # Labels alone take a small machine's time as they are.
    assert config.mix_share == (0 if path.stem == "tiny-flag-tuning-labels" else 0.15)


@pytest.mark.parametrize("path", KIT, ids=lambda path: path.stem)
def test_runs_that_mix_all_tasks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parents[1])
    config = load_train_config(path, tomllib.loads(path.read_text())["stage"])
    assert config.model.num_parameters <= 20e6
    assert set(config.shares()) >= {"disassembly", "emulation", "flag-tuning", "pretraining"}
    assert sum(config.shares().values()) == pytest.approx(1)


SHIPPED = sorted((CONFIGS / "shipped").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_runs_of_the_shipped_weights(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parents[1])
    config = load_train_config(path, "disassembly" if int(path.stem[:2]) > 2 else "flag-tuning")
    assert config.model.name == "tiny"
    assert make_plan(config).num_tokens == 8192 * config.max_steps
    assert sum(config.shares().values()) == pytest.approx(1)
    # A chain from random weights on, each run in a folder of its own name.
    before = SHIPPED[SHIPPED.index(path) - 1].stem if path != SHIPPED[0] else None
    assert config.out == Path("work/runs/shipped") / path.stem
    assert config.init == (Path("work/runs/shipped") / before if before else None)
    # The script names the run, and makes its data.
    script = (CONFIGS.parents[1] / "scripts" / "train_shipped.sh").read_text()
    for name in (path.stem, *(data_config.path.name for data_config in config.data.values())):
        assert re.search(rf"\b{name}\b", script), name


def test_the_command_line_wins(write: Path) -> None:
    settings = ["max_steps=7", "data.emulation.path=other", 'precision = "fp32"', "seed=0x10"]
    config = load_train_config(write, "emulation", settings=settings, out=Path("x"), init=None)
    assert (config.max_steps, config.precision, config.seed) == (7, "fp32", 16)
    assert config.data["emulation"].path == Path("other")
    assert (config.out, config.init) == (Path("x"), None)
    assert config.shares() == {"emulation": 0.85, "pretraining": 0.15}


def test_shape_and_tokenizer_of_what_it_begins_with(write: Path, tmp_path: Path) -> None:
    folder = tmp_path / "start" / "step-00000012"
    folder.mkdir(parents=True)
    shape = load_train_config(write, "emulation").model
    (folder / "config.json").write_bytes(shape.to_json())
    settings = ["model=init", "tokenizer=init"]
    with pytest.raises(ConfigError, match='tokenizer is "init", but there is none'):
        load_train_config(write, "emulation", settings=settings)
    config = load_train_config(write, "emulation", settings=settings, init=tmp_path / "start")
    assert config.model == replace(shape, name=folder.name)
    assert config.tokenizer == folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["lora.rank=4"], "lora trains beside weights that are there"),
        (["lora.rank=0"], "lora: lora.rank is 0"),
        (["lora.colour=0"], "lora: unknown key colour; known are rank, alpha"),
        (['lora.targets=["lm_head"]'], "lora.targets: expected some of q_proj"),
        (["labels.temperature=0"], "labels.temperature is 0: expected 1e-06 to 10"),
        (["labels.metric=speed"], "labels.metric is 'speed'"),
        (["labels.savings_rounds=-1"], "labels.savings_rounds is -1"),
        (["labels.colour=1"], "labels: unknown key colour; known are metric"),
        (["colour=1"], "unknown key colour; known are stage"),
        (["max_steps=0"], "max_steps is 0: too small"),
        (["max_steps=1.5"], r"max_steps is 1\.5: expected a whole number"),
        (["seed=true"], "seed is True"),
        (["learning_rate=nan"], "learning_rate is nan"),
        (["mix_share=1.5"], r"mix_share is 1\.5"),
        (["data.pretraining.share=1.5"], r"data\.pretraining\.share is 1\.5"),
        (["compile=1"], "compile is 1: expected true or false"),
        (["precision=fp8"], "precision is 'fp8'"),
        (["context=99999"], "context is 99999, but the model's is 4096"),
        (["row_tokens=100"], "row_tokens is 100: a document of 4096"),
        (["model=huge"], "no configuration at .*huge.toml"),
        (["data.emulation=3"], "data.emulation: expected a table"),
        (["data.emulation.colour=3"], "data.emulation: unknown key colour; known are path"),
        (["data.tuning.path=x"], "'tuning' is neither a stage nor data beside one"),
        (["tokenizer=3"], "tokenizer is 3: expected a path"),
        (["nonsense"], "expected KEY=VALUE"),
        (["stage=disassembly"], "is for the stage 'disassembly', not 'emulation'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_settings(write: Path, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config(write, "emulation", settings=settings)


def test_earlier_stages_are_required(write: Path) -> None:
    write.write_text(VALID.split("[data.pretraining]")[0])
    with pytest.raises(ConfigError, match=r"\[data.pretraining\] is missing"):
        load_train_config(write, "emulation")
    config = load_train_config(write, "emulation", settings=["mix_share=0.0"])
    assert config.shares() == {"emulation": 1.0}


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration"):
        load_train_config(tmp_path / "x.toml", "emulation")
    (tmp_path / "x.toml").write_text("= =")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_train_config(tmp_path / "x.toml", "emulation")


def test_plans_agree_with_the_paper() -> None:
    """The released 7B needed 401 billion tokens of pretraining; A100s at 40 % of their peak."""
    plan = make_plan(load_train_config(CONFIGS / "7b-pretraining.toml", "pretraining"))
    assert plan.num_tokens == pytest.approx(401e9, rel=0.01)
    # 6 operations a parameter and token, and attention over 16,384 tokens, about a third more.
    assert plan.total_flops == pytest.approx(6 * 6.7e9 * 401e9, rel=0.4)
    assert plan.total_flops > 6 * 6.6e9 * 401e9
    assert 1_000 < plan.days["A100"] < 3_000
    assert plan.devices_for_memory["A100"] >= 2


def test_shares_of_earlier_stages_may_be_given(write: Path) -> None:
    settings = ["mix_share=0.0", "data.pretraining.path=x", "data.pretraining.share=0.25"]
    config = load_train_config(write, "emulation", settings=settings)
    assert config.shares() == {"emulation": 0.75, "pretraining": 0.25}
