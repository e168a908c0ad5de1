from __future__ import annotations

import math

import numpy as np
import pytest

from llm_compiler.train.trees import (
    ListTree,
    list_masses,
    list_scores,
    rounds_document,
    tree_document,
)

NOTHING = 9
# Three lists; 1 begins and 7 ends each. 5 leads to one node only.
ANSWERS = ((1, 2, 5, 7), (1, 2, 3, 7), (1, 4, 7))
PROMPT = np.array([11, 12, 13], dtype=np.uint16)


@pytest.fixture
def tree() -> ListTree:
    return ListTree(ANSWERS, NOTHING)


def test_masses() -> None:
    masses = list_masses(np.array([1000, 990, 980, -1, 1001]), temperature=0.01)
    weight = math.exp(-1)
    assert masses.tolist() == pytest.approx([weight / (1 + weight), 1 / (1 + weight), 0, 0, 0])


@pytest.mark.parametrize("sizes", [[100, 100, 120], [100, -1, 101], [100, -1, -1]])
def test_nothing_better(sizes: list[int]) -> None:
    assert list_masses(np.array(sizes), 0.01).tolist() == [0, 0, 1]


def test_only_what_is_better_than_all_that_was_tried_has_mass() -> None:
    sizes = np.array([1000, 990, 980, -1, 970])
    assert list_masses(sizes, 0.01, [2]).tolist() == list_masses(sizes, 0.01).tolist()
    assert list_masses(sizes, 0.01, [0, 1]).tolist() == [0, 0, 0, 1, 0]
    assert list_masses(sizes, 0.01, [3]).tolist() == [0, 0, 0, 0, 1]


def test_rounds(tree: ListTree) -> None:
    first = np.array([0.0, 0.6, 0.4, 0.0])
    later = np.array([0.0, 1.0, 0.0, 0.0])
    rounds = [(1, 4, 7, 50), (1, 2, 5, 7, 51)]
    choices = [(0, first), (1, later)]
    ids, found = rounds_document(tree, PROMPT, rounds, choices, min_mass=1e-9, choices_only=True)
    assert ids.tolist() == [11, 12, 13, 1, 4, 7, 50, 1, 2, 5, 7, 51, 1, 2, 1, 2]
    assert found.depths.tolist() == [*range(1, 10), 1, 2, 5, 6]
    # The rounds see what is before them, a tree its rounds and its own ancestors.
    assert found.mask[:9, :9].tolist() == np.tri(9, dtype=bool).tolist()
    assert not found.mask[:9, 9:].any()
    assert found.mask[9].nonzero()[0].tolist() == [9]
    assert found.mask[10].nonzero()[0].tolist() == [9, 10]
    assert found.mask[11].nonzero()[0].tolist() == [0, 1, 2, 3, 11]
    assert found.mask[12].nonzero()[0].tolist() == [0, 1, 2, 3, 11, 12]
    edges = zip(found.edge_parents, found.edge_ids, found.edge_weights, strict=True)
    assert [(int(p), int(i), round(float(w), 6)) for p, i, w in edges] == [
        (2, 1, 1.0),
        (6, 1, 1.0),
        (12, 2, 0.6),
        (12, 4, 0.4),
        (13, 3, 0.6),
        (14, 2, 1.0),
        (15, 3, 1.0),
    ]


def test_whole_lists(tree: ListTree) -> None:
    masses = np.array([0.5, 0.3, 0.2, 0.0])
    ids, found = tree_document(tree, PROMPT, masses, min_mass=1e-9, choices_only=False)
    # 1, then 2 with 5 and 3 after it, then 4; ends are not read.
    assert ids.tolist() == [11, 12, 13, 1, 2, 5, 3, 4]
    assert found.depths.tolist() == [1, 2, 3, 3, 2]
    expected = ["1....", "11...", "111..", "11.1.", "1...1"]
    assert ["".join("1" if item else "." for item in row) for row in found.mask] == expected
    edges = zip(found.edge_parents, found.edge_ids, found.edge_weights.round(6), strict=True)
    assert [(int(p), int(i), round(float(w), 6)) for p, i, w in edges] == [
        (2, 1, 1.0),
        (3, 2, 0.8),
        (3, 4, 0.2),
        (4, 5, 0.5),
        (4, 3, 0.3),
        (5, 7, 0.5),
        (6, 7, 0.3),
        (7, 7, 0.2),
    ]


def test_choices_only(tree: ListTree) -> None:
    masses = np.array([0.5, 0.3, 0.2, 0.0])
    ids, found = tree_document(tree, PROMPT, masses, min_mass=0.0, choices_only=True)
    assert ids.tolist() == [11, 12, 13, 1, 2]
    assert found.edge_parents.tolist() == [2, 2, 3, 3, 4, 4]
    assert found.edge_ids.tolist() == [1, NOTHING, 2, 4, 5, 3]
    # A list with little mass is not predicted, and what only it needs is not read.
    ids, found = tree_document(
        tree, PROMPT, np.array([0.0, 0.0, 1.0, 0.0]), min_mass=0.01, choices_only=True
    )
    assert (ids.tolist(), found.edge_ids.tolist()) == ([11, 12, 13, 1], [1, 4])
    ids, found = tree_document(
        tree, PROMPT, np.array([0.0, 0.0, 0.0, 1.0]), min_mass=0.01, choices_only=True
    )
    assert (ids.tolist(), found.edge_ids.tolist()) == ([11, 12, 13], [NOTHING])


def test_scores_are_masked_to_the_tree(tree: ListTree) -> None:
    _, found = tree_document(tree, PROMPT, np.full(4, 0.25), min_mass=0.0, choices_only=True)
    # All in all less than 1: the rest is of tokens that are none of the tree's.
    log_probs = np.log([0.6, 0.2, 0.1, 0.3, 0.2, 0.2])
    scores = list_scores(tree, found.edge_nodes, log_probs)
    expected = [0.75 * 0.25 * 0.5, 0.75 * 0.25 * 0.5, 0.75 * 0.75, 0.25]
    assert np.exp(scores).tolist() == pytest.approx(expected)
    assert np.exp(scores).sum() == pytest.approx(1)
