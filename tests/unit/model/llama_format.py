"""Checkpoints in the format of Meta's LLM Compiler: Code Llama's kind of tokenizer, its ids."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from llm_compiler.model.configs import ModelConfig

from .reference import tiny_config, write_checkpoint


def write_llama_tokenizer(folder: Path, texts: Iterable[str], *, vocab_size: int = 700) -> int:
    """Write a tokenizer.json as Code Llama's is, and return its size.

    A blank before the text, blanks as U+2581, no pre-tokenizer, bytes that are no special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    # Sentencepiece lets no merge cross a blank; the file says nothing of it.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*specials, *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=[*map(chr, range(33, 127)), "\n", "▁"],
        max_token_length=12,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    stored = json.loads(tokenizer.to_str())
    stored["added_tokens"] = stored["added_tokens"][: len(specials)]
    stored["pre_tokenizer"] = None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    )
    return len(stored["model"]["vocab"])


def llama_config(vocab_size: int, *, context: int) -> ModelConfig:
    return dataclasses.replace(
        tiny_config(vocab_size, context=context, tie=False),
        rope_theta=1e6,
        begin_id=1,
        end_id=2,
        pad_id=None,
    )


def write_llama_checkpoint(
    folder: Path, texts: Iterable[str], *, context: int = 2048, seed: int = 1
) -> Path:
    """Random weights."""
    vocab_size = write_llama_tokenizer(folder, texts)
    return write_checkpoint(folder, llama_config(vocab_size, context=context), seed=seed)
