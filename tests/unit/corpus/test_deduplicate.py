from __future__ import annotations

import random
from array import array

import pytest

from llm_compiler.corpus.check import find_clones
from llm_compiler.corpus.deduplicate import Candidate, cluster, keep_representatives

pytest.importorskip("rensa")


def candidate(
    name: str,
    shingles: array[int],
    *,
    split: str = "train",
    kind: str = "function",
    architecture: str = "x86_64",
    anonymous: str = "",
) -> Candidate:
    return Candidate(
        module_hash=name,
        anonymous_hash=anonymous or name,
        split=split,
        kind=kind,
        architecture=architecture,
        shingles=shingles.tobytes(),
    )


def variant(rng: random.Random, base: array[int], share: float) -> array[int]:
    """A set of the same size that differs in a share of its elements."""
    changed = set(rng.sample(list(base), int(share * len(base))))
    fresh = {rng.getrandbits(32) for _ in changed}
    return array("I", sorted((set(base) - changed) | fresh))


def jaccard(item: array[int], other: array[int]) -> float:
    return len(set(item) & set(other)) / len(set(item) | set(other))


def random_set(rng: random.Random, size: int = 100) -> array[int]:
    return array("I", sorted({rng.getrandbits(32) for _ in range(size)}))


def test_near_duplicates_are_joined_and_others_are_not() -> None:
    rng = random.Random(5)
    bases = [random_set(rng) for _ in range(200)]
    near = [variant(rng, base, 0.08) for base in bases]  # Jaccard index about 0.85
    far = [variant(rng, base, 0.25) for base in bases]  # about 0.6
    all_sets = [*bases, *near, *far]
    roots = cluster([candidate(str(i), item) for i, item in enumerate(all_sets)], 0.8)
    assert roots == [*range(200), *range(200), *range(400, 600)]


def test_the_same_bitcode_text_or_shingles_are_one_cluster() -> None:
    rng = random.Random(6)
    item, two, three = (random_set(rng) for _ in range(3))
    roots = cluster(
        [
            candidate("a", item),
            candidate("a", two),
            candidate("b", three, anonymous="t"),
            candidate("c", random_set(rng), anonymous="t"),
            candidate("d", three),
        ],
        0.8,
    )
    assert roots == [0, 0, 2, 2, 2]


def test_a_cluster_lives_in_one_split_and_keeps_one_of_each_kind_and_target() -> None:
    same = random_set(random.Random(7))
    positions = [
        ("test", "function", "x86_64"),
        ("train", "function", "x86_64"),
        ("train", "function", "x86_64"),
        ("train", "function", "aarch64"),
        ("validation", "unit", "x86_64"),
        ("train", "unit", "x86_64"),
    ]
    candidates = [
        candidate(str(i), same, split=split, kind=kind, architecture=architecture)
        for i, (split, kind, architecture) in enumerate(positions)
    ]
    kept = keep_representatives(candidates, cluster(candidates, 0.8))
    assert [each_kept.index for each_kept in kept] == [1, 3, 5]
    assert {each_kept.cluster for each_kept in kept} == {"1"}


def test_the_exact_search_finds_what_comparing_all_pairs_finds() -> None:
    rng = random.Random(8)
    known = [random_set(rng, rng.randint(2, 60)) for _ in range(80)]
    asked = [variant(rng, rng.choice(known), rng.uniform(0, 0.3)) for _ in range(200)]
    for threshold in (0.7, 0.8, 0.95):
        expected = {
            place: max(jaccard(item, other) for other in known)
            for place, item in enumerate(asked)
            if any(jaccard(item, other) >= threshold for other in known)
        }
        found = find_clones(known, asked, threshold)
        assert {place: similarity for place, _, similarity in found} == expected
        assert all(jaccard(asked[a], known[k]) == similarity for a, k, similarity in found)
        assert 0 < len(found) < len(asked)
