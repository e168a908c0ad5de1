"""The samples that stage data are made of: random access, in an order that storage has no part in.

Read from the shards of a corpus (`corpus.shards`) or from parts (`dataset.pack`): sorted by content
hash, so that both give the same set and the same stage samples. Pickled, it is opened again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.corpus.shards import shard_paths
from llm_compiler.dataset.memory_mapped import MemoryMappedTable
from llm_compiler.dataset.parts import is_packed, part_paths
from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.records import content_hash

__all__ = ["PackedSample", "SampleSet"]

_COLUMNS = ("module_hash", "kind", "package", "split", "target_triple")
_KEEP = ("module_hash", "kind", "split", "target_triple")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSample:
    """What of a corpus's sample the generators need; `module` is bitcode, or its text."""

    module_hash: str
    kind: str
    package: str
    split: str
    target_triple: str
    module: bytes = field(repr=False)


class SampleSet:
    """Samples of one split, by position.

    Args:
        folder: shards of a corpus, or parts.
        split: ``train``, ``validation``, ``test``, or empty for all.
        kind: ``function``, ``unit``, or empty for both.
        architecture: the first component of the target triple (``x86_64``), or empty for all.
        content: how modules are read from shards, as ``bitcode`` or as ``text``; parts hold one
            of them, see the attribute.

    Raises:
        ManifestMissing, ShardCorrupt: the folder holds no complete samples.
        ArtifactError: nothing in it is of this split, kind and architecture.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str = "train",
        kind: str = "",
        architecture: str = "",
        content: str = "bitcode",
    ) -> None:
        self._arguments = {"split": split, "kind": kind, "architecture": architecture}
        self.folder = folder
        seen: set[str] = set()

        def keep(columns: dict[str, list[Any]]) -> list[bool]:
            mask = []
            for module_hash, own_kind, own_split, triple in zip(
                *(columns[name] for name in _KEEP), strict=True
            ):
                wanted = (
                    (not split or own_split == split)
                    and (not kind or own_kind == kind)
                    and (not architecture or architecture_of(triple) == architecture)
                    and module_hash not in seen
                )
                if wanted:
                    seen.add(module_hash)
                mask.append(wanted)
            return mask

        if is_packed(folder):
            paths, self.content = part_paths(folder)
        else:
            self.content = content
            paths = shard_paths(folder, split=split, kind=kind, architecture=architecture)
        self._table = MemoryMappedTable(
            paths, (*_COLUMNS, self.content), keep=keep, keep_columns=_KEEP
        )
        hashes = self._table.column("module_hash")
        if not hashes:
            wanted = ", ".join(
                f"{name} {value}" for name, value in self._arguments.items() if value
            )
            raise ArtifactError(f"{folder} holds no samples" + (f" of {wanted}" if wanted else ""))
        self._order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self.hashes = tuple(hashes[row] for row in self._order)
        """Of every sample, by position."""
        self.fingerprint = content_hash("".join(self.hashes).encode())
        """Names the set: equal for the same samples, however they are stored."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.folder, {**self._arguments, "content": self.content})

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> PackedSample:
        row = self._order[position]
        module = self._table.value(self.content, row)
        return PackedSample(
            **{name: self._table.value(name, row) for name in _COLUMNS},
            module=module if isinstance(module, bytes) else module.encode(),
        )


def _open(folder: Path, arguments: dict[str, str]) -> SampleSet:
    return SampleSet(folder, **arguments)
