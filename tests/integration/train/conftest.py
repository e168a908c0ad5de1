from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.dataset.stage_sample import STAGES, StageSample
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.token_shards import pack_tokens
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.train.configs import DataConfig, TrainConfig

from ...unit.model.conftest import assembly, ir, make_sample, write_stage_data

TASKS = {"pretraining": "ir", "emulation": "emulate-ir"}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> IrTokenizer:
    texts = [word for n in range(60) for word in (ir(n), assembly(n))]
    return train_tokenizer(iter(texts), tmp_path_factory.mktemp("tokenizer"), vocab_size=700)


@pytest.fixture(scope="session")
def shape(tokenizer: IrTokenizer) -> ModelConfig:
    return ModelConfig(
        name="test",
        vocab_size=tokenizer.vocab_size,
        hidden_size=64,
        intermediate_size=96,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        context=256,
        tie_embeddings=True,
    )


def samples_of(stage: str, number: int) -> list[StageSample]:
    return [make_sample(stage, n, task=TASKS.get(stage, stage)) for n in range(number)]


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stage data of all stages."""
    folders = {stage: tmp_path_factory.mktemp(stage) for stage in STAGES}
    for stage, folder in folders.items():
        write_stage_data(folder, samples_of(stage, 40), shard_size=25)
    return folders


@pytest.fixture(scope="session")
def tokens(
    stored: dict[str, Path], tokenizer: IrTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The same as token shards."""
    folder = tmp_path_factory.mktemp("tokens")
    for stage, data in stored.items():
        pack_tokens(data, tokenizer.folder, folder / stage, context=256)
    return {stage: folder / stage for stage in stored}


@pytest.fixture
def config(
    tokens: dict[str, Path], tokenizer: IrTokenizer, shape: ModelConfig, tmp_path: Path
) -> TrainConfig:
    return TrainConfig(
        stage="pretraining",
        model=shape,
        tokenizer=tokenizer.folder,
        out=tmp_path / "run",
        data={stage: DataConfig(path=path) for stage, path in tokens.items()},
        validation={"pretraining": DataConfig(path=tokens["pretraining"])},
        validation_documents=5,
        seed=1,
        row_tokens=512,
        rows_per_step=2,
        max_steps=6,
        warmup_steps=2,
        learning_rate=5e-3,
        log_every=1,
        device="cpu",
        num_threads=1,
    )
