from __future__ import annotations

import json
import pickle
import random
import shutil
from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError, TokenizerMismatch
from llm_compiler.model.special import pass_vocabulary_version, registry_passes, special_tokens
from llm_compiler.model.tokenizer import PASSES_FILE, IrTokenizer, train_tokenizer

from .conftest import assembly, ir


def test_any_bytes_come_back(any_tokenizer: IrTokenizer) -> None:
    rng = random.Random(1)
    for _ in range(300):
        data = rng.randbytes(rng.randrange(80))
        # A mix of what is UTF-8 and what is not.
        data += rng.choice(["", "héllo", "\n%1 = add i32", "漢字 \U0001f600"]).encode()
        ids = any_tokenizer.encode_bytes(data)
        assert any_tokenizer.decode_bytes(ids) == data
        assert max(ids, default=0) < any_tokenizer.vocab_size <= 700
        assert min(ids, default=999) >= any_tokenizer.num_specials


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n\n",
        "\r\n\t",
        "a" * 5000,
        "\n" * 5000,
        "0123456789" * 50,
        "@" * 300,
        "<|end|><|begin|>",
        "<|pass:globaldce|>",
        "caf\udce9",
        '@"odd name" = global i32 0',
        "\x00\x7f",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_odd_texts_come_back(any_tokenizer: IrTokenizer, text: str) -> None:
    ids = any_tokenizer.encode(text)
    assert any_tokenizer.decode(ids) == text
    # A special token that is spelled out in a text is text.
    assert all(id_ >= any_tokenizer.num_specials for id_ in ids)


def test_code_gets_fewer_tokens_than_characters(any_tokenizer: IrTokenizer) -> None:
    for text in (ir(1000), assembly(1000)):
        assert len(any_tokenizer.encode(text)) < len(text) / 1.8


def test_every_pass_has_one_token(tokenizer: IrTokenizer) -> None:
    passes = registry_passes()
    assert len(passes) > 150
    ids = [tokenizer.pass_id(element) for element in passes]
    assert len(set(ids)) == len(passes)
    assert [tokenizer.pass_of(id_) for id_ in ids if id_ is not None] == list(passes)
    assert tokenizer.pass_id("function(no-such-pass)") is None
    assert tokenizer.new_passes == ()
    assert tokenizer.num_specials == len(special_tokens(passes))


def test_numbers_are_digits(tokenizer: IrTokenizer) -> None:
    ids = tokenizer.encode_number(190)
    assert tokenizer.decode(ids) == "190"
    assert len(ids) == 3


def test_training_is_reproducible(tokenizer: IrTokenizer, tmp_path: Path) -> None:
    texts = [word for n in range(60) for word in (ir(n), assembly(n))]
    again = train_tokenizer(iter(texts), tmp_path, vocab_size=700)
    assert again.fingerprint == tokenizer.fingerprint
    assert pickle.loads(pickle.dumps(again)).fingerprint == tokenizer.fingerprint


def test_transformers_reads_it(any_tokenizer: IrTokenizer) -> None:
    pytest.importorskip("transformers", reason="needs the extra train: make test-train")
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(any_tokenizer.folder)
    text = ir(5) + assembly(7)
    assert theirs(text, add_special_tokens=False)["input_ids"] == any_tokenizer.encode(text)
    assert theirs.decode(any_tokenizer.encode(text)) == text
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.bos_token_id) == (
        any_tokenizer.end,
        any_tokenizer.pad,
        any_tokenizer.begin,
    )
    assert len(theirs) == any_tokenizer.vocab_size


def test_another_registry_is_noticed(tokenizer: IrTokenizer, tmp_path: Path) -> None:
    shutil.copytree(tokenizer.folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / PASSES_FILE
    stored = json.loads(path.read_text())
    stored["passes"][5] = "function(pass-of-llvm-99)"
    path.write_text(json.dumps(stored))
    with pytest.raises(TokenizerMismatch, match="does not match its own version"):
        IrTokenizer(tmp_path)
    stored["passes_version"] = pass_vocabulary_version(tuple(stored["passes"]))
    path.write_text(json.dumps(stored))
    with pytest.raises(TokenizerMismatch, match="'function\\(pass-of-llvm-99\\)', which the reg"):
        IrTokenizer(tmp_path)
    # Passes in another order: the ids mean others than the file says.
    stored["passes"] = [*registry_passes()[::-1]]
    stored["passes_version"] = pass_vocabulary_version(tuple(stored["passes"]))
    path.write_text(json.dumps(stored))
    with pytest.raises(TokenizerMismatch, match="do not agree"):
        IrTokenizer(tmp_path)


def test_a_tokenizer_of_an_older_registry_spells_new_passes(
    tokenizer: IrTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = registry_passes()[:-3]
    monkeypatch.setattr("llm_compiler.model.tokenizer.registry_passes", lambda: older)
    train_tokenizer(iter([ir(1)]), tmp_path, vocab_size=600)
    monkeypatch.undo()
    assert IrTokenizer(tmp_path).new_passes == registry_passes()[-3:]


@pytest.mark.parametrize("name", ["tokenizer.json", "passes.json"])
def test_damage_is_noticed(tokenizer: IrTokenizer, tmp_path: Path, name: str) -> None:
    shutil.copytree(tokenizer.folder, tmp_path, dirs_exist_ok=True)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(TokenizerMismatch, match="no readable tokenizer"):
        IrTokenizer(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(TokenizerMismatch, match=f"there is no .*{name}"):
        IrTokenizer(tmp_path)


def test_bad_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no pre-tokenizer"):
        train_tokenizer(iter(["a"]), tmp_path, pre_tokenizer="bytes")
    for size in (300, 70_000):
        with pytest.raises(ConfigError, match="a vocabulary of"):
            train_tokenizer(iter(["a"]), tmp_path, vocab_size=size)
