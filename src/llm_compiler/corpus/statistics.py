"""Count the samples of a folder, and plot how long and how large they are.

Plots need matplotlib (extra ``plot``), counting needs pyarrow (extra ``data``).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from llm_compiler.corpus.manifest import write_text_atomically
from llm_compiler.corpus.shards import load_samples
from llm_compiler.errors import ArtifactError
from llm_compiler.extras import require

__all__ = [
    "QUANTILES",
    "Statistics",
    "StatisticsRow",
    "Value",
    "count_samples",
    "write_report",
]

QUANTILES = (0.1, 0.5, 0.9, 0.99, 1.0)

_COLUMNS = (
    *("package", "split", "language", "target_triple", "kind", "text"),
    *("num_instructions", "size_bytes"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsRow:
    """Samples of one package, split, language, architecture and kind, added up.

    `num_tokens` is 0 unless a tokenizer was given; `size_bytes` is after ``default<Oz>``.
    """

    package: str
    split: str
    language: str
    architecture: str
    kind: str
    num_samples: int
    num_chars: int
    num_tokens: int
    num_instructions: int
    size_bytes: int


class Value(NamedTuple):
    """One sample's numbers; `num_tokens` is 0 without a tokenizer."""

    architecture: str
    kind: str
    language: str
    num_chars: int
    size_bytes: int
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The rows, and each sample's values for plots and quantiles."""

    rows: tuple[StatisticsRow, ...]
    values: tuple[Value, ...] = dataclasses.field(repr=False)

    def totals(self, *, tokens: bool = False) -> list[tuple[str, ...]]:
        """Return table rows: the total of each split, architecture and kind, and of all.

        Args:
            tokens: with the number of tokens, after that of characters.
        """
        sums: Counter[tuple[tuple[str, ...], str]] = Counter()
        numbers = (
            *("num_samples", "num_chars", *(["num_tokens"] if tokens else [])),
            *("num_instructions", "size_bytes"),
        )
        for row in self.rows:
            for key in (
                ("total", row.split, "", row.architecture, row.kind),
                ("total", "", "", "", ""),
            ):
                for number in numbers:
                    sums[key, number] += getattr(row, number)
        keys = sorted({key for key, _ in sums}, reverse=True)
        return [(*key, *(str(sums[key, number]) for number in numbers)) for key in keys]

    def quantiles(self, number: str) -> list[tuple[str, ...]]:
        """Return table rows: how many samples each target, kind and language has, and `QUANTILES`
        of one of their numbers.

        Args:
            number: `num_chars`, `size_bytes` or `num_tokens`.
        """
        groups: dict[tuple[str, str, str], list[int]] = {}
        for value in self.values:
            key = (value.architecture, value.kind, value.language)
            groups.setdefault(key, []).append(getattr(value, number))
        rows = []
        for key, found in sorted(groups.items()):
            found.sort()
            # Nearest rank: of all samples a share q has at most this value.
            ranks = [max(0, math.ceil(q * len(found)) - 1) for q in QUANTILES]
            rows.append((*key, str(len(found)), *(str(found[rank]) for rank in ranks)))
        return rows


def count_samples(folder: Path, *, num_tokens: Callable[[str], int] | None = None) -> Statistics:
    """Count the samples of a folder.

    Args:
        num_tokens: a tokenizer's count for a text, if there is one.

    Raises:
        ManifestMissing, ShardCorrupt: the folder is not complete, or a shard is damaged.
    """
    sums: dict[tuple[str, ...], list[int]] = {}
    values = []
    for sample in load_samples(folder, columns=_COLUMNS):
        key = (
            *(sample.package, sample.split, sample.language),
            *(sample.architecture, sample.kind),
        )
        row = sums.setdefault(key, [0] * 5)
        tokens = num_tokens(sample.text) if num_tokens else 0
        for position, number in enumerate(
            (
                1,
                len(sample.text),
                tokens,
                sample.num_instructions,
                sample.size_bytes,
            )
        ):
            row[position] += number
        values.append(
            Value(
                architecture=sample.architecture,
                kind=sample.kind,
                language=sample.language,
                num_chars=len(sample.text),
                size_bytes=sample.size_bytes,
                num_tokens=tokens,
            )
        )
    rows = tuple(
        StatisticsRow(
            package=key[0],
            split=key[1],
            language=key[2],
            architecture=key[3],
            kind=key[4],
            num_samples=row[0],
            num_chars=row[1],
            num_tokens=row[2],
            num_instructions=row[3],
            size_bytes=row[4],
        )
        for key, row in sorted(sums.items())
    )
    return Statistics(rows=rows, values=tuple(values))


def write_report(folder: Path, statistics: Statistics) -> None:
    """Write `statistics.json` and plots of lengths, sizes and packages to a folder.

    Raises:
        ToolchainNotFound: matplotlib is not installed.
        ArtifactError: the folder cannot be written.
    """
    matplotlib = require("matplotlib", extra="plot")
    matplotlib.use("Agg")
    rows = [dataclasses.asdict(row) for row in statistics.rows]
    write_text_atomically(folder / "statistics.json", json.dumps(rows, indent=1) + "\n")
    try:
        _plot_values(folder / "lengths.png", statistics, "num_chars", "characters of text")
        _plot_values(folder / "sizes.png", statistics, "size_bytes", "allocated bytes at -Oz")
        if any(row.num_tokens for row in statistics.rows):
            _plot_values(folder / "tokens.png", statistics, "num_tokens", "tokens of text")
        _plot_packages(folder / "packages.png", statistics.rows)
    except OSError as error:
        raise ArtifactError(f"cannot write plots to {folder}: {error}") from error


def _plot_values(path: Path, statistics: Statistics, number: str, label: str) -> None:
    from matplotlib import pyplot

    groups: dict[str, list[int]] = {}
    for value in statistics.values:
        name = f"{value.architecture}, {value.kind}s"
        groups.setdefault(name, []).append(max(1, getattr(value, number)))
    figure, axes = pyplot.subplots(figsize=(7, 4))
    every = [value for values in groups.values() for value in values] or [1]
    first, last = 2 * min(every).bit_length() - 2, 2 * max(every).bit_length()
    edges = [2 ** (step / 2) for step in range(first, last + 1)]
    for name, values in sorted(groups.items()):
        axes.hist(values, bins=edges, histtype="step", label=f"{name} ({len(values)})")
    axes.set(xscale="log", xlabel=label, ylabel="samples")
    axes.legend()
    _save(figure, path)


def _plot_packages(path: Path, rows: Sequence[StatisticsRow]) -> None:
    from matplotlib import pyplot

    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row.package, row.split] += row.num_samples
    ordered = sorted(counts.items(), key=lambda item: item[1])
    colours = {"train": "tab:blue", "validation": "tab:orange", "test": "tab:green"}
    figure, axes = pyplot.subplots(figsize=(7, 1.5 + 0.16 * len(ordered)))
    axes.barh(
        [package for (package, _), _ in ordered],
        [count for _, count in ordered],
        color=[colours.get(split, "tab:grey") for (_, split), _ in ordered],
    )
    axes.set(xlabel="samples (train blue, validation orange, test green)")
    axes.tick_params(axis="y", labelsize=6)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
