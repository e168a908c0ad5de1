"""Check a folder of samples: nothing is damaged, and no clone crosses splits.

Meant to find faults of the builder, it shares with it how a module is cut into shingles and nothing
else: shingles are made again from the text, and instead of MinHash an exact search looks for pairs.
Two sets with a Jaccard index of at least t share one of the rarest (1 - t) of their elements
(prefix filter; Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007). Needs
pyarrow.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import read_manifest, read_shard, verify_shard
from llm_compiler.corpus.shingles import shingles
from llm_compiler.errors import ShardCorrupt
from llm_compiler.records import content_hash

__all__ = ["CheckReport", "ClonePair", "check_samples", "find_clones"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClonePair:
    """A module of validation or test, and its near duplicate in train."""

    split: str
    module_hash: str
    name: str
    train_hash: str
    train_name: str
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was looked at and found; `num_compared` are modules of validation and test."""

    num_shards: int
    num_samples: int
    num_compared: int
    threshold: float
    pairs: tuple[ClonePair, ...]


def check_samples(folder: Path, *, threshold: float | None = None) -> CheckReport:
    """Verify every shard and every sample's hash, and compare the splits.

    Args:
        threshold: Jaccard index from which on two modules are clones; None for the builder's.

    Raises:
        ManifestMissing: the folder is not complete.
        ShardCorrupt: a shard is missing or differs from the manifest, a sample from its hash.
    """
    manifest = read_manifest(folder)
    if threshold is None:
        threshold = float(manifest.config.get("threshold", 0.8))
    sets: dict[str, list[tuple[str, str, array[int]]]] = {"train": [], "other": []}
    others: list[str] = []
    num_samples = 0
    for shard in manifest.shards:
        verify_shard(folder, shard)
        num_rows = 0
        for sample in read_shard(folder / shard.path):
            num_rows += 1
            if content_hash(sample.bitcode) != sample.module_hash or sample.split != shard.split:
                raise ShardCorrupt(
                    f"{folder / shard.path}: sample {sample.module_hash} is not what it says"
                )
            entry = (sample.module_hash, _name(sample), shingles(sample.text))
            if sample.split == "train":
                sets["train"].append(entry)
            else:
                sets["other"].append(entry)
                others.append(sample.split)
        if num_rows != shard.num_rows:
            raise ShardCorrupt(
                f"{folder / shard.path} has {num_rows} rows, not {shard.num_rows}: build it again"
            )
        num_samples += num_rows
    found = find_clones(
        [item for _, _, item in sets["train"]], [item for _, _, item in sets["other"]], threshold
    )
    return CheckReport(
        num_shards=len(manifest.shards),
        num_samples=num_samples,
        num_compared=len(others),
        threshold=threshold,
        pairs=tuple(
            ClonePair(
                split=others[other],
                module_hash=sets["other"][other][0],
                name=sets["other"][other][1],
                train_hash=sets["train"][train][0],
                train_name=sets["train"][train][1],
                similarity=similarity,
            )
            for other, train, similarity in found
        ),
    )


def _name(sample: Sample) -> str:
    return f"{sample.package}/{sample.source}" + (f":{sample.function}" if sample.function else "")


def find_clones(
    known: list[array[int]], asked: list[array[int]], threshold: float
) -> list[tuple[int, int, float]]:
    """Return for each of `asked` that has a similar text the most similar of `known`: both places,
    and how similar they are (at least `threshold`). Exact; sets are given as sorted arrays.
    """
    frequency = Counter[int]()
    for item in known:
        frequency.update(item)
    index: dict[int, list[int]] = {}
    for position, item in enumerate(known):
        for shingle in _rarest(item, frequency, threshold):
            index.setdefault(shingle, []).append(position)
    found = []
    for position, item in enumerate(asked):
        own = set(item)
        near = {
            other
            for shingle in _rarest(item, frequency, threshold)
            for other in index.get(shingle, ())
        }
        best = (0.0, -1)
        for other in sorted(near):
            theirs = known[other]
            if min(len(item), len(theirs)) < threshold * max(len(item), len(theirs)):
                continue
            common = len(own.intersection(theirs))
            best = max(best, (common / (len(item) + len(theirs) - common), -other))
        if best[0] >= threshold:
            found.append((position, -best[1], best[0]))
    return found


def _rarest(item: array[int], frequency: Counter[int], threshold: float) -> list[int]:
    """Return the rarest elements of a set, so many that a similar set shares one of its own."""
    # At least ceil(t * n) elements are common, so one of the others plus one.
    required = int(threshold * len(item) + 1 - 1e-9)
    number = len(item) - required + 1
    return sorted(item, key=lambda shingle: (frequency[shingle], shingle))[:number]
