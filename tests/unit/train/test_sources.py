from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from llm_compiler.errors import ArtifactError, ConfigError, TokenizerMismatch
from llm_compiler.model.prompts import CompactPrompts
from llm_compiler.model.token_shards import TokenShards, pack_tokens
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.train.configs import DataConfig
from llm_compiler.train.sources import Source, first_documents, open_source

from ..model.conftest import assembly, ir, make_sample, write_stage_data

CONTEXT = 200


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> IrTokenizer:
    texts = [word for n in range(60) for word in (ir(n), assembly(n))]
    return train_tokenizer(iter(texts), tmp_path_factory.mktemp("tokenizer"), vocab_size=700)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Some are cut into pieces.
    samples = [make_sample("pretraining", n, task="ir", repeat=1 + n % 5) for n in range(26)]
    return write_stage_data(tmp_path_factory.mktemp("stored"), samples, shard_size=10)


@pytest.fixture(scope="module")
def tokens(stored: Path, tokenizer: IrTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    pack_tokens(stored, tokenizer.folder, folder, context=CONTEXT)
    return folder


def source(path: Path, tokenizer: IrTokenizer, *, seed: int = 1, num_workers: int = 0) -> Source:
    return open_source(
        "pretraining",
        DataConfig(path=path),
        prompts=CompactPrompts(tokenizer),
        tokenizer=tokenizer.folder,
        seed=seed,
        context=CONTEXT,
        num_workers=num_workers,
    )


def read(each_source: Source, position: int, number: int) -> list[list[list[int]]]:
    reader = itertools.islice(each_source.read(position), number)
    return [[document.ids.tolist() for document in documents] for documents in reader]


@pytest.mark.parametrize("kind", ["stored", "tokens"])
def test_reading_from_any_position(
    kind: str, tokenizer: IrTokenizer, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(kind)
    each_source = source(path, tokenizer)
    size = 26 if kind == "stored" else len(TokenShards(path))
    whole = read(each_source, 0, 2 * size + 5)
    for position in (1, 9, 10, 17, size - 1, size, size + 3):
        assert read(each_source, position, 12) == whole[position : position + 12], position
    # Each epoch holds everything once, in an order of its own.
    epochs = [whole[:size], whole[size : 2 * size]]
    assert epochs[0] != epochs[1]
    assert sorted(map(str, epochs[0])) == sorted(map(str, epochs[1]))
    assert len({str(documents) for documents in epochs[0]}) == size
    other = source(path, tokenizer, seed=2)
    assert read(other, 0, size) != epochs[0]
    assert other.fingerprint != each_source.fingerprint


def test_worker_processes_change_nothing(stored: Path, tokenizer: IrTokenizer) -> None:
    assert read(source(stored, tokenizer, num_workers=2), 4, 40) == read(
        source(stored, tokenizer), 4, 40
    )


def test_what_is_validated_on(stored: Path, tokens: Path, tokenizer: IrTokenizer) -> None:
    found = [
        first_documents(
            "pretraining",
            DataConfig(path=path),
            prompts=CompactPrompts(tokenizer),
            context=CONTEXT,
            number=7,
        )
        for path in (stored, tokens)
    ]
    assert len(found[0]) == 7
    assert [encoded.ids.tolist() for encoded in found[0]] == [
        encoded.ids.tolist() for encoded in found[1]
    ]


def test_data_that_does_not_fit(
    stored: Path, tokens: Path, tokenizer: IrTokenizer, tmp_path: Path
) -> None:
    other = train_tokenizer(iter([ir(1)] * 3), tmp_path / "other", vocab_size=550)
    with pytest.raises(TokenizerMismatch, match="made by another tokenizer"):
        source(tokens, other)
    for path in (stored, tokens):
        with pytest.raises(ArtifactError, match="of the stage 'pretraining', not 'emulation'"):
            open_source(
                "emulation",
                DataConfig(path=path),
                prompts=CompactPrompts(tokenizer),
                tokenizer=tokenizer.folder,
                seed=0,
                context=CONTEXT,
                num_workers=0,
            )
    with pytest.raises(ArtifactError, match="nothing-here"):
        source(tmp_path / "nothing-here", tokenizer)
    with pytest.raises(ConfigError, match="neither token shards nor stage data"):
        first_documents(
            "pretraining",
            DataConfig(path=tmp_path),
            prompts=CompactPrompts(tokenizer),
            context=CONTEXT,
            number=1,
        )
