from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest

from llm_compiler.errors import ArtifactError, ManifestMissing, ShardCorrupt
from llm_compiler.model import token_shards
from llm_compiler.model.prompts import CompactPrompts
from llm_compiler.model.special import TASKS
from llm_compiler.model.token_shards import TokenShards, is_token_shards, pack_tokens
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer

from .conftest import ir, make_sample, write_stage_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = [make_sample("disassembly", n, repeat=1 + 20 * (n % 3)) for n in range(25)]
    return write_stage_data(tmp_path_factory.mktemp("data"), samples, shard_size=10)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_documents_are_the_prompts(data: Path, tokenizer: IrTokenizer, tmp_path: Path) -> None:
    report = pack_tokens(data, tokenizer.folder, tmp_path, context=200)
    assert is_token_shards(tmp_path)
    shards = TokenShards(tmp_path)
    prompts = CompactPrompts(tokenizer)
    expected = [
        each_document
        for n in range(25)
        for each_document in prompts.documents(
            make_sample("disassembly", n, repeat=1 + 20 * (n % 3)), 200
        )
    ]
    assert 0 < len(expected) < 25  # some are too long
    assert report.num_too_long == 25 - len(expected)
    assert report.num_documents == len(shards) == len(expected)
    for position, document in enumerate(expected):
        ids, num_prompt, task = shards[position]
        assert ids.dtype == numpy.uint16
        assert ids.tolist() == list(document.ids)
        assert num_prompt == document.answer_start
        assert TASKS[task] == "disassembly"
    assert report.num_tokens == sum(len(each_document.ids) for each_document in expected)
    assert report.num_answer_tokens == sum(len(each_document.answer) for each_document in expected)


def test_a_killed_packing_goes_on_with_the_same_result(
    data: Path, tokenizer: IrTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    pack_tokens(data, tokenizer.folder, whole, context=200)
    # Dies after one file of the second shard.
    written: list[str] = []
    write = token_shards.write_atomically

    def dies(path: Path, contents: bytes | memoryview) -> None:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, contents)

    monkeypatch.setattr(token_shards, "write_atomically", dies)
    with pytest.raises(KeyboardInterrupt):
        pack_tokens(data, tokenizer.folder, killed, context=200)
    monkeypatch.undo()
    with pytest.raises(ManifestMissing, match="has not finished"):
        TokenShards(killed)
    before = (killed / "disassembly-00000.tokens.npy").stat().st_mtime_ns
    pack_tokens(data, tokenizer.folder, killed, context=200)
    assert content(killed) == content(whole)
    # What was done was not done again.
    assert (killed / "disassembly-00000.tokens.npy").stat().st_mtime_ns == before


def test_worker_processes_give_the_same(data: Path, tokenizer: IrTokenizer, tmp_path: Path) -> None:
    pack_tokens(data, tokenizer.folder, tmp_path / "a", context=200)
    pack_tokens(data, tokenizer.folder, tmp_path / "b", context=200, num_workers=1)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_other_data_or_tokenizer_is_refused(
    data: Path, tokenizer: IrTokenizer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pack_tokens(data, tokenizer.folder, out, context=200)
    other = train_tokenizer(iter([ir(1)] * 3), tmp_path / "other", vocab_size=550)
    for folder, context in ((other.folder, 200), (tokenizer.folder, 150)):
        with pytest.raises(ArtifactError, match="tokens of other data, or of another tokenizer"):
            pack_tokens(data, folder, out, context=context)
    assert len(TokenShards(out)) > 0


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_damage_is_noticed(data: Path, tokenizer: IrTokenizer, tmp_path: Path, damage: str) -> None:
    pack_tokens(data, tokenizer.folder, tmp_path, context=200)
    path = tmp_path / "disassembly-00001.tokens.npy"
    contents = bytearray(path.read_bytes())
    contents[-20] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(contents[:-100] if damage == "cut" else contents)
    with pytest.raises(ShardCorrupt, match="disassembly-00001"):
        TokenShards(tmp_path)


def test_unfinished_stage_data(data: Path, tokenizer: IrTokenizer, tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match="has not finished"):
        pack_tokens(tmp_path, tokenizer.folder, tmp_path / "out", context=200)
    (tmp_path / "manifest.json").write_text(json.dumps({"shards": 3}))
    with pytest.raises(ShardCorrupt, match="no manifest of stage data"):
        pack_tokens(tmp_path, tokenizer.folder, tmp_path / "out", context=200)
