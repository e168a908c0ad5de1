r"""The tokenizer: byte-level BPE over IR, assembly and source code, lossless on any bytes.

A folder holds `tokenizer.json` and `tokenizer_config.json` (Hugging Face's formats: transformers'
`AutoTokenizer` loads it) and `passes.json`: the passes that have a token, what they are called
by, and what it was trained on. Ids fit into 16 bits.

Bytes and text: text is encoded as UTF-8, byte by byte, each byte being one character of the
byte-level alphabet. Bytes that are no UTF-8 are encoded alone, one token each, between the pieces
that are; `decode_bytes` gives the same bytes back for any input. Special tokens spelled out in a
text are text: only `special` gives their ids.

Needs the extra ``model``. Safe in threads, and in processes if made there or forked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ConfigError, OutputError, TokenizerMismatch
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.special import (
    BEGIN,
    END,
    PAD,
    pass_token,
    pass_vocabulary_version,
    registry_passes,
    special_tokens,
)
from llm_compiler.output import write_atomically
from llm_compiler.records import content_hash

__all__ = [
    "CONFIG_FILE",
    "PASSES_FILE",
    "PRE_TOKENIZERS",
    "TOKENIZER_FILE",
    "IrTokenizer",
    "train_tokenizer",
]

TOKENIZER_FILE: Final = "tokenizer.json"
CONFIG_FILE: Final = "tokenizer_config.json"
PASSES_FILE: Final = "passes.json"
_FORMAT = "llm-compiler tokenizer, version 1"
MAX_VOCABULARY = 65_536

PRE_TOKENIZERS: Final = {
    # GPT-2's words, with every digit alone.
    "word": r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # Anything within a line may merge; very long ones are cut.
    "line": r"[^\n]{1,256}\n?|\n+",
    # Names of symbols and numbers are pieces; what stands between them (keywords, types,
    # punctuation, mnemonics, registers, line ends) may merge. Digits after a letter belong to the
    # word: i32, r12.
    "token": r"(?<=@)[-A-Za-z$._][-A-Za-z$._0-9]{0,63}|(?<![A-Za-z])\d{1,3}"
    r"|\n?(?:[^\d\n@]|(?<=[A-Za-z])\d{1,3}){1,128}@?|\n+",
}
"""By name, the regular expression whose matches no merge crosses."""

_NO_UTF8 = re.compile("[\udc80-\udcff]+")


def _byte_alphabet() -> tuple[str, ...]:
    """Return GPT-2's character for each byte: itself if it prints, else one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


class IrTokenizer:
    """A trained tokenizer.

    Raises:
        TokenizerMismatch: the folder holds none, or it names passes as the registry does not.
    """

    def __init__(self, folder: Path) -> None:
        import tokenizers

        try:
            data = (folder / TOKENIZER_FILE).read_bytes()
            stored = json.loads((folder / PASSES_FILE).read_bytes())
            passes, version = tuple(stored["passes"]), stored["passes_version"]
            tokenizer = tokenizers.Tokenizer.from_str(data.decode())
        except FileNotFoundError as error:
            raise TokenizerMismatch(
                f"{folder} holds no tokenizer of this package: there is no {error.filename}"
            ) from error
        except Exception as error:  # tokenizers raises plain exceptions
            raise TokenizerMismatch(f"{folder} holds no readable tokenizer: {error}") from error
        if version != pass_vocabulary_version(passes):
            raise TokenizerMismatch(f"{folder / PASSES_FILE} does not match its own version")
        for element in passes:
            if not _is_canonical(element):
                raise TokenizerMismatch(
                    f"the tokenizer in {folder} has the pass '{element}', which the registry does "
                    "not write so: it belongs to another version of llm-compiler"
                )
        # Special tokens in a text are text.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.folder = folder
        self.passes: tuple[str, ...] = passes
        self.pre_tokenizer: str = stored["pre_tokenizer"]
        self.trained_on: dict[str, Any] = stored["trained_on"]
        self.fingerprint = content_hash(data)
        """Names the tokenizer: equal for the same ids."""
        self.vocab_size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        specials = special_tokens(passes)
        vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
        if [vocabulary.get(token) for token in specials] != list(range(len(specials))):
            raise TokenizerMismatch(f"{folder}: {TOKENIZER_FILE} and {PASSES_FILE} do not agree")
        self._specials = {token: place for place, token in enumerate(specials)}
        self.num_specials = len(specials)
        """Ids below it are special tokens."""
        self._pass_ids = {element: vocabulary[pass_token(element)] for element in passes}
        self._elements = {id_: element for element, id_ in self._pass_ids.items()}
        alphabet = _byte_alphabet()
        self._byte_ids = tuple(vocabulary[character] for character in alphabet)
        byte_of = {character: byte for byte, character in enumerate(alphabet)}
        self._bytes = [b""] * self.vocab_size
        for token, id_ in vocabulary.items():
            special = id_ < self.num_specials
            self._bytes[id_] = token.encode() if special else bytes(byte_of[c] for c in token)
        self.end, self.pad, self.begin = (self.special(token) for token in (END, PAD, BEGIN))

    def __reduce__(self) -> tuple[Any, ...]:
        return IrTokenizer, (self.folder,)

    @property
    def new_passes(self) -> tuple[str, ...]:
        """The registry's passes that have no token here: they are spelled out."""
        return tuple(element for element in registry_passes() if element not in self._pass_ids)

    def special(self, token: str) -> int:
        """Return the id of a special token.

        Raises:
            KeyError: there is none of this name.
        """
        return self._specials[token]

    def pass_id(self, element: str) -> int | None:
        """Return the id of a canonical pass-list element; None if it has no token."""
        return self._pass_ids.get(element)

    def pass_of(self, id_: int) -> str | None:
        """Return the pass-list element of an id; None if it is no pass."""
        return self._elements.get(id_)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, which may hold bytes as Python's ``surrogateescape`` does."""
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        except (UnicodeEncodeError, TypeError):
            return self.encode_bytes(text.encode("utf-8", "surrogateescape"))
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of any bytes; UTF-8 gets those of its text."""
        text = data.decode("utf-8", "surrogateescape")
        ids: list[int] = []
        start = 0
        for match in _NO_UTF8.finditer(text):
            if start < match.start():
                ids += self.encode(text[start : match.start()])
            ids += [self._byte_ids[ord(character) - 0xDC00] for character in match[0]]
            start = match.end()
        if start < len(text):
            ids += self.encode(text[start:])
        return ids

    def encode_number(self, number: int) -> list[int]:
        """Return the ids of a number's digits, one each, whatever merges there are."""
        return [self._byte_ids[byte] for byte in str(number).encode()]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; special tokens are written by name.

        Raises:
            ValueError: an id is none of this vocabulary.
        """
        try:
            return b"".join([self._bytes[id_] for id_ in ids])
        except IndexError:
            raise ValueError(f"an id is not below {self.vocab_size}") from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; what is no UTF-8 comes as Python's ``surrogateescape``."""
        return self.decode_bytes(ids).decode("utf-8", "surrogateescape")

    def save(self, folder: Path) -> None:
        """Copy the three files.

        Raises:
            OutputError: the folder cannot be written.
        """
        for name in (TOKENIZER_FILE, CONFIG_FILE, PASSES_FILE):
            write_atomically(folder / name, (self.folder / name).read_bytes())


def _is_canonical(element: str) -> bool:
    try:
        return parse_pass_list(element).elements == (element,)
    except Exception:
        return False


def train_tokenizer(
    texts: Iterator[str],
    out: Path,
    *,
    vocab_size: int = 16_384,
    pre_tokenizer: str = "token",
    trained_on: dict[str, Any] | None = None,
) -> IrTokenizer:
    """Train on texts and write the folder; the same texts give the same tokenizer.

    Args:
        vocab_size: of all tokens, the special ones among them; fewer if the texts give fewer.
        trained_on: kept beside the tokenizer, as it is.

    Raises:
        ConfigError: no such pre-tokenizer, or a size that cannot be.
        OutputError: the folder cannot be written.
    """
    import tokenizers

    passes = registry_passes()
    specials = special_tokens(passes)
    smallest = len(specials) + 256
    if pre_tokenizer not in PRE_TOKENIZERS:
        names = ", ".join(PRE_TOKENIZERS)
        raise ConfigError(f"'{pre_tokenizer}' is no pre-tokenizer: expected one of {names}")
    if not smallest <= vocab_size <= MAX_VOCABULARY:
        raise ConfigError(
            f"a vocabulary of {vocab_size}: expected {smallest} (special tokens and bytes) to "
            f"{MAX_VOCABULARY}"
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    pieces = tokenizers.Regex(PRE_TOKENIZERS[pre_tokenizer])
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Split(pieces, behavior="isolated"), byte_level]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        initial_alphabet=list(_byte_alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(texts, trainer)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
    }
    own_fields = {
        "format": _FORMAT,
        "passes_version": pass_vocabulary_version(passes),
        "passes": list(passes),
        "pre_tokenizer": pre_tokenizer,
        "trained_on": trained_on or {},
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    write_atomically(out / TOKENIZER_FILE, tokenizer.to_str().encode())
    for name, value in ((CONFIG_FILE, config), (PASSES_FILE, own_fields)):
        write_atomically(out / name, (json.dumps(value, indent=1) + "\n").encode())
    return IrTokenizer(out)
