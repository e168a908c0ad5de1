"""Source code and prose in pieces: the code and natural-language shares of the pretraining mix.

Read from the table that `corpus.texts` writes. Long texts are cut at line ends. Needs the extra
``data``. Safe in processes; pickled, it is opened again.
"""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.corpus.texts import text_paths
from llm_compiler.dataset.memory_mapped import MemoryMappedTable
from llm_compiler.errors import ArtifactError
from llm_compiler.records import content_hash

__all__ = ["PIECE_CHARACTERS", "Piece", "TextSet"]

PIECE_CHARACTERS = 12_000
_COLUMNS = ("package", "split", "path", "kind", "text_hash", "num_characters", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a text, and where it stands."""

    package: str
    split: str
    path: str
    text: str = field(repr=False)


class TextSet:
    """The texts of one split and kind (``code`` or ``text``), by piece.

    Raises:
        ManifestMissing, ShardCorrupt: the folder holds no complete texts.
        ArtifactError: none is of this split and kind.
    """

    def __init__(self, folder: Path, *, split: str, kind: str) -> None:
        self._arguments = (folder, split, kind)

        def keep(columns: dict[str, list[Any]]) -> list[bool]:
            pairs = zip(columns["split"], columns["kind"], strict=True)
            return [(not split or s == split) and k == kind for s, k in pairs]

        self._table = MemoryMappedTable(
            text_paths(folder), _COLUMNS, keep=keep, keep_columns=("split", "kind")
        )
        hashes = self._table.column("text_hash")
        if not hashes:
            raise ArtifactError(f"{folder} holds no {kind} of the split '{split}'")
        self._order = sorted(range(len(hashes)), key=hashes.__getitem__)
        lengths = self._table.column("num_characters")
        counts = [-(-lengths[row] // PIECE_CHARACTERS) for row in self._order]
        self._starts = list(itertools.accumulate(counts, initial=0))
        self.mean_characters = sum(lengths) / max(1, self._starts[-1])
        """Of a piece."""
        self.fingerprint = content_hash("".join(sorted(hashes)).encode())

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, self._arguments

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, position: int) -> Piece:
        place = bisect.bisect_right(self._starts, position) - 1
        row = self._order[place]
        values = {name: self._table.value(name, row) for name in ("package", "split", "path")}
        text: str = self._table.value("text", row)
        start = (position - self._starts[place]) * PIECE_CHARACTERS
        end = start + PIECE_CHARACTERS
        return Piece(**values, text=text[_line_start(text, start) : _line_start(text, end)])


def _line_start(text: str, place: int) -> int:
    """Return the last beginning of a line up to a place; the place itself in an endless line."""
    if place >= len(text):
        return len(text)
    found = text.rfind("\n", max(0, place - 2_000), place)
    return place if found < 0 or place == 0 else found + 1


def _open(folder: Path, split: str, kind: str) -> TextSet:
    return TextSet(folder, split=split, kind=kind)
