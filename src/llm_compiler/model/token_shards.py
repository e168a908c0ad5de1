"""Token shards: stage data as 16-bit token ids on disk, read by memory map.

A folder holds, for each shard of the stage data, `NAME.tokens.npy` (uint16, all documents one
after the other) and `NAME.documents.npy` (int64, one row per document: first token, tokens, tokens
of the prompt, task), and `NAME.counts.npy` (documents of each sample). The loss is on what follows
the prompt. `manifest.json` comes last; a killed packing goes on after the last finished shard.
Reading needs numpy only: neither LLVM nor the tokenizer.

Compressed (`.npy.zst`, zstd, about a third of the size: for the way to another machine),
shards are read into memory, with pyarrow.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_compiler.corpus.manifest_errors import reading_manifest
from llm_compiler.dataset.stored import open_stored_stage
from llm_compiler.errors import (
    ArtifactError,
    ConfigError,
    OutputError,
    ShardCorrupt,
)
from llm_compiler.model.encode import EncodedShard, encode_shards
from llm_compiler.model.prompts import load_prompts
from llm_compiler.model.special import TASKS
from llm_compiler.output import write_atomically
from llm_compiler.parquet import require_pyarrow
from llm_compiler.records import content_hash

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["TokenReport", "TokenShards", "is_token_shards", "pack_tokens"]

MANIFEST: Final = "manifest.json"
_PROGRESS: Final = "packing.json"
_FORMAT = "llm-compiler token shards, version 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReport:
    """What packing has made."""

    num_documents: int
    num_tokens: int
    num_answer_tokens: int
    num_samples: int
    num_too_long: int
    """Samples that gave no document."""
    tokens_by_task: dict[str, int]


def is_token_shards(folder: Path) -> bool:
    """Whether a folder holds finished token shards."""
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes())["format"] == _FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def pack_tokens(
    data: Path,
    tokenizer: Path,
    out: Path,
    *,
    context: int,
    compress: bool = False,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda done: None,
) -> TokenReport:
    """Encode a folder of stage data; killed at any moment, the next call goes on.

    Args:
        context: tokens of the longest document.
        compress: for travel; see the module's docstring.
        on_progress: called with the number of shards done.

    Raises:
        ManifestMissing, ShardCorrupt: `data` is no finished stage data.
        ArtifactError: `out` was made from other data, or by another tokenizer.
        OutputError: `out` cannot be written.
    """
    source = open_stored_stage(data)
    prompts = load_prompts(tokenizer)
    if prompts.vocab_size > 65_536:
        raise ConfigError(f"the vocabulary of {tokenizer} is too large for 16 bits")
    claim = {
        "format": _FORMAT,
        "stage": source.stage,
        "data": source.identity,
        "prompts": prompts.fingerprint,
        "tokenizer": prompts.tokenizer_fingerprint,
        "vocab_size": prompts.vocab_size,
        "context": context,
        "compressed": compress,
    }
    _claim(out, claim)
    names = [path.stem for path in source.paths]
    missing = [
        position
        for position, count in enumerate(source.num_samples)
        if _load(out, names[position], count) is None
    ]
    encoded = encode_shards(
        [source.paths[position] for position in missing],
        tokenizer,
        context,
        num_workers=num_workers,
    )
    done = len(names) - len(missing)
    on_progress(done)
    for position, shard in zip(missing, encoded, strict=True):
        _write(out, names[position], shard, compress)
        on_progress(done := done + 1)
    return _finish(out, claim, names, source.num_samples)


def _claim(out: Path, claim: dict[str, Any]) -> None:
    """Make the folder, or see that what it holds is of this packing."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    path = out / _PROGRESS
    if path.exists() or any(out.glob("*.npy*")):
        try:
            same = json.loads(path.read_bytes()) == claim
        except (OSError, ValueError):
            same = False
        if not same:
            raise ArtifactError(
                f"{out} holds tokens of other data, or of another tokenizer or context: name "
                "another folder, or delete this one"
            )
        (out / MANIFEST).unlink(missing_ok=True)
    write_atomically(path, (json.dumps(claim, indent=1) + "\n").encode())


_KINDS = ("tokens", "documents", "counts")


def _write(out: Path, name: str, shard: EncodedShard, compress: bool) -> None:
    import numpy

    for kind in _KINDS:
        stream = io.BytesIO()
        numpy.save(stream, getattr(shard, kind))
        data: memoryview | bytes = stream.getbuffer()
        if compress:
            pyarrow, _ = require_pyarrow()
            data = pyarrow.Codec("zstd", compression_level=19).compress(data, asbytes=True)
        write_atomically(out / f"{name}.{kind}.npy{'.zst' if compress else ''}", data)


def _read(path: Path) -> NDArray[Any]:
    """Map a file into memory; a compressed one is read."""
    import numpy

    found: NDArray[Any]
    if path.exists():
        found = numpy.load(path, mmap_mode="r", allow_pickle=False)
    else:
        pyarrow, _ = require_pyarrow()
        with pyarrow.input_stream(f"{path}.zst", compression="zstd") as stream:
            found = numpy.load(io.BytesIO(stream.read()), allow_pickle=False)
    return found


def _load(out: Path, name: str, num_samples: int | None) -> EncodedShard | None:
    """Return a finished shard; None if it is missing or damaged."""
    import numpy

    try:
        arrays = {kind: _read(out / f"{name}.{kind}.npy") for kind in _KINDS}
    except (OSError, ValueError, EOFError):
        return None
    shard = EncodedShard(**arrays)
    documents = shard.documents
    if shard.tokens.dtype != numpy.uint16 or documents.ndim != 2 or documents.shape[1] != 4:
        return None
    if num_samples is not None and len(shard.counts) != num_samples:
        return None
    if shard.counts.sum() != len(documents) or documents[:, 1].sum() != len(shard.tokens):
        return None
    return shard


def _finish(
    out: Path, claim: dict[str, Any], names: list[str], num_samples: tuple[int, ...]
) -> TokenReport:
    by_task: Counter[str] = Counter()
    documents = tokens = answers = too_long = 0
    shards = []
    for name, count in zip(names, num_samples, strict=True):
        shard = _load(out, name, count)
        if shard is None:
            raise OutputError(f"{out / name} was written and cannot be read back")
        rows = shard.documents
        documents += len(rows)
        tokens += len(shard.tokens)
        answers += int((rows[:, 1] - rows[:, 2]).sum())
        too_long += int((shard.counts == 0).sum())
        for position, task in enumerate(TASKS):
            by_task[task] += int(rows[rows[:, 3] == position, 1].sum())
        shards.append(
            {
                "name": name,
                "num_documents": len(rows),
                "num_tokens": len(shard.tokens),
                "hash": content_hash(shard.tokens.tobytes()),
            }
        )
    report = TokenReport(
        num_documents=documents,
        num_tokens=tokens,
        num_answer_tokens=answers,
        num_samples=sum(num_samples),
        num_too_long=too_long,
        tokens_by_task={task: count for task, count in by_task.items() if count},
    )
    manifest = {**claim, **asdict(report), "shards": shards}
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return report


class TokenShards:
    """A finished folder of token shards, by document.

    Raises:
        ManifestMissing: the packing has not finished.
        ShardCorrupt: a shard is missing, or does not match its recorded hash.
    """

    def __init__(self, folder: Path) -> None:
        import numpy

        path = folder / MANIFEST
        with reading_manifest(path, "token shards"):
            manifest = json.loads(path.read_bytes())
            if manifest["format"] != _FORMAT:
                raise ShardCorrupt(f"{path} is no manifest of token shards")
            self.stage: str = manifest["stage"]
            self.prompts: str = manifest["prompts"]
            self.tokenizer: str = manifest["tokenizer"]
            self.context: int = manifest["context"]
            self.num_tokens: int = manifest["num_tokens"]
            shards = [(item["name"], item["hash"]) for item in manifest["shards"]]
        self.folder = folder
        self.fingerprint = content_hash("".join(expected for _, expected in shards).encode())
        """Names the tokens."""
        self._tokens: list[NDArray[numpy.uint16]] = []
        tables = []
        for number, (name, expected) in enumerate(shards):
            shard = _load(folder, name, None)
            if shard is None or content_hash(shard.tokens.tobytes()) != expected:
                raise ShardCorrupt(f"{folder / name} does not match {path}: pack again")
            self._tokens.append(shard.tokens)
            column = numpy.full((len(shard.documents), 1), number)
            tables.append(numpy.hstack([column, shard.documents]))
        self._documents = numpy.concatenate(tables) if tables else numpy.zeros((0, 5), numpy.int64)

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, position: int) -> tuple[NDArray[numpy.uint16], int, int]:
        """Return a document's tokens, the length of its prompt, and its task's place."""
        shard, start, length, prompt, task = self._documents[position].tolist()
        return self._tokens[shard][start : start + length], prompt, task
