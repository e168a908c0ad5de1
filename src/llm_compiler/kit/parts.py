"""Parts: what travels to a machine with a GPU, in files that fit one call each.

A part is a plain tar file. `part.json` comes first and names every other member with its size and
hash; `plan.json` (in each part) says what to train and how; `tokens/SOURCE/NNNNN.zst` are documents
under zstd. The first part also holds the tokenizer, label shards, the weights to start from, and
the code (`code.tar.gz`, which plain tar unpacks). A part is complete or refused: one that is still
being copied is looked at again later. Needs numpy and pyarrow.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_compiler.errors import OutputError, ShardCorrupt
from llm_compiler.parquet import require_pyarrow
from llm_compiler.records import content_hash

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["Documents", "Part", "decode_documents", "encode_documents", "find_parts", "write_part"]

FORMAT: Final = "llm-compiler kit, version 1"
_INDEX: Final = "part.json"
_LEVEL: Final = 19


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents one after the other."""

    tokens: NDArray[numpy.uint16]
    table: NDArray[numpy.int32]
    """(documents, 3): tokens, tokens of the prompt, place of the task in `TASKS`."""


def encode_documents(documents: Sequence[tuple[NDArray[numpy.uint16], int, int]]) -> bytes:
    """Return documents (tokens, length of the prompt, task) as a member's bytes."""
    import numpy

    pyarrow, _ = require_pyarrow()
    table = [(len(ids), prompt, task) for ids, prompt, task in documents]
    stream = io.BytesIO()
    numpy.save(stream, numpy.array(table, dtype=numpy.int32).reshape(-1, 3))
    tokens = [ids for ids, _, _ in documents]
    numpy.save(stream, numpy.concatenate(tokens) if tokens else numpy.zeros(0, numpy.uint16))
    codec = pyarrow.Codec("zstd", compression_level=_LEVEL)
    length = len(stream.getbuffer())
    packed: bytes = codec.compress(stream.getbuffer(), asbytes=True)
    return length.to_bytes(8, "little") + packed


def decode_documents(data: bytes) -> Documents:
    """Return what `encode_documents` was given.

    Raises:
        ShardCorrupt: it is something else.
    """
    import numpy

    pyarrow, _ = require_pyarrow()
    try:
        codec = pyarrow.Codec("zstd")
        length = int.from_bytes(data[:8], "little")
        stream = io.BytesIO(codec.decompress(data[8:], length, asbytes=True))
        table = numpy.load(stream, allow_pickle=False)
        tokens = numpy.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise ShardCorrupt(f"documents of a part cannot be read: {error}") from error
    if table[:, 0].sum() != len(tokens):
        raise ShardCorrupt("documents of a part are not as long as it says")
    return Documents(tokens, table)


def write_part(
    path: Path, number: int, plan: Mapping[str, Any], members: Mapping[str, bytes]
) -> int:
    """Write a part, whole or not at all, and return its bytes.

    Raises:
        OutputError: it cannot be written.
    """
    members = {"plan.json": json.dumps(plan, indent=1).encode(), **members}
    index = {
        "format": FORMAT,
        "number": number,
        "members": {name: [len(data), content_hash(data)] for name, data in members.items()},
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        with tarfile.open(partial, "w") as archive:
            for name, data in {_INDEX: json.dumps(index).encode(), **members}.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return path.stat().st_size


class Part:
    """A part that is wholly there; every member is checked when it is opened.

    Raises:
        ShardCorrupt: it is damaged, or still being copied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with tarfile.open(path, "r:") as archive:
                found = {}
                for tar_info in archive:
                    stream = archive.extractfile(tar_info)
                    if stream is not None:
                        found[tar_info.name] = stream.read()
            index = json.loads(found.pop(_INDEX))
            if index["format"] != FORMAT:
                raise ShardCorrupt(f"{path} is no part of this version")
            self.number: int = index["number"]
            for name, (size, expected) in index["members"].items():
                if len(found[name]) != size or content_hash(found[name]) != expected:
                    raise ShardCorrupt(f"{path} is damaged: {name}")
            self._members: dict[str, bytes] = {name: found[name] for name in index["members"]}
            self.plan: dict[str, Any] = json.loads(found["plan.json"])
        except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
            raise ShardCorrupt(f"{path} is no complete part: {error}") from error

    def documents(self) -> Iterator[tuple[str, Documents]]:
        """Yield sources by name, and documents of them."""
        for name, data in self._members.items():
            folder, _, rest = name.partition("/")
            if folder == "tokens":
                yield rest.split("/", 1)[0], decode_documents(data)

    def unpack(self, prefix: str, out: Path) -> bool:
        """Write the members below a prefix into a folder; return whether there are any.

        Raises:
            ShardCorrupt: a member's name leads out of it.
            OutputError: the folder cannot be written.
        """
        names = [name for name in self._members if name.startswith(f"{prefix}/")]
        for name in names:
            relative = Path(name).relative_to(prefix)
            if relative.is_absolute() or ".." in relative.parts:
                raise ShardCorrupt(f"{self.path}: {name} is no name of a member")
            try:
                (out / relative).parent.mkdir(parents=True, exist_ok=True)
                (out / relative).write_bytes(self._members[name])
            except OSError as error:
                raise OutputError(f"cannot write {out / relative}: {error.strerror}") from error
        return bool(names)


def find_parts(folder: Path, known: set[Path]) -> Iterator[Part]:
    """Yield the parts of a folder that are complete and not known; they are known from then on."""
    for path in sorted(folder.glob("part-*.tar")):
        if path in known:
            continue
        try:
            part = Part(path)
        except ShardCorrupt:
            continue  # still arriving
        known.add(path)
        yield part
