"""Tree documents: one prompt and the answers of a whole table of labels after it.

The lists of a table, as answers (`model.label_shards`), share beginnings: together they are a tree,
whose root is the end of the prompt. A tree document holds the prompt and the tree's inner nodes,
parents before children; a node stands at the position after its parent's and attends to the
prompt and its ancestors only, so that one pass through the model gives what as many documents as
there are lists would give. Leaves (the end of a list, or ``<nothing-better>``) are predicted, never
read.

The target is a distribution over the lists: the smaller a list makes the module, the more mass it
has (`list_masses`). A node's mass is that of the lists through it; the loss of a document is the
sum over its nodes of mass times -log p(node | ancestors, prompt): the expected loss of a list drawn
from the target, without drawing.

That teaches which list is the best one. `list_savings` teaches what each saves instead: the loss is
the divergence KL(p || q) of the model's distribution p over all lists, masked to the tree, from
q ~ exp(saving / temperature). Its minimum ranks lists by the saving that is to be expected of them,
where that of the other ranks them by how often they are best: not the same if the prompt does not
tell (`Choices`).

After the prompt there may be rounds (`model.prompts`): lists that were tried, and what the
compiler said of their sizes. Trees hang after some of the rounds, each with the lists that would
still be better there as its target. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = [
    "Choices",
    "ListTree",
    "Tree",
    "list_masses",
    "list_savings",
    "list_scores",
    "rounds_document",
    "tree_document",
]

ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """All lists of trees, for losses of whole distributions. An edge is a prediction where a tree
    branches, a row is a list of a tree."""

    edge_parents: NDArray[numpy.int64]
    """(edges,): the parent's place in the document, or packed row."""
    edge_ids: NDArray[numpy.int64]
    """(edges,): the token."""
    edge_groups: NDArray[numpy.int64]
    """(edges,): equal for those of one parent; from 0 on."""
    pair_rows: NDArray[numpy.int64]
    """(pairs,): a list .."""
    pair_edges: NDArray[numpy.int64]
    """(pairs,): .. and an edge on its way."""
    log_targets: NDArray[numpy.float32]
    """(rows,): log q of each list."""
    weights: NDArray[numpy.float32]
    """(rows,): 1 for each tree, in equal parts."""

    @classmethod
    def joined(cls, parts: Sequence[Choices], starts: Sequence[int]) -> Choices:
        """Put several together.

        Args:
            starts: what is added to the places of each.
        """
        import numpy

        def offsets(counts: Sequence[int]) -> list[int]:
            return [0, *numpy.cumsum(counts).tolist()]

        edges = offsets([len(part.edge_ids) for part in parts])
        rows = offsets([len(part.log_targets) for part in parts])
        groups = offsets([int(part.edge_groups.max()) + 1 for part in parts])
        each = list(zip(parts, starts, edges, rows, groups, strict=False))
        return cls(
            edge_parents=numpy.concatenate(
                [choices.edge_parents + start for choices, start, *_ in each]
            ),
            edge_ids=numpy.concatenate([part.edge_ids for part in parts]),
            edge_groups=numpy.concatenate(
                [choices.edge_groups + group for choices, *_, group in each]
            ),
            pair_rows=numpy.concatenate(
                [choices.pair_rows + row for choices, _, _, row, _ in each]
            ),
            pair_edges=numpy.concatenate(
                [choices.pair_edges + edge for choices, _, edge, _, _ in each]
            ),
            log_targets=numpy.concatenate([part.log_targets for part in parts]),
            weights=numpy.concatenate([part.weights for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What stands after a document's prompt. An edge is a prediction: of a node by its parent."""

    depths: NDArray[numpy.int64]
    """(inner nodes,): 1 after the prompt."""
    mask: NDArray[numpy.bool_]
    """(inner nodes, inner nodes): whether the second is the first's ancestor, or itself."""
    edge_parents: NDArray[numpy.int64]
    """(edges,): the parent's place in the document; ascending."""
    edge_ids: NDArray[numpy.int64]
    """(edges,): the token to predict."""
    edge_weights: NDArray[numpy.float32]
    """(edges,): the node's mass."""
    edge_nodes: NDArray[numpy.int64]
    """(edges,): the node's place in the `ListTree`."""
    choices: Choices | None = None
    """Those that are learnt as distributions; their edges are none of the above."""


class ListTree:
    """The answers of a table of labels as a tree.

    Node 0 is the root, the end of the prompt; parents come before children. The last path is that
    of the answer ``<nothing-better>``, the others are those of the lists.
    """

    def __init__(self, answers: Sequence[Sequence[int]], nothing_better: int) -> None:
        import numpy

        children: dict[tuple[int, int], int] = {}
        parents, tokens, depths = [ROOT], [-1], [0]
        paths: list[list[int]] = []
        for answer in (*answers, (nothing_better,)):
            node = ROOT
            path = []
            for token in answer:
                parent, node = node, children.setdefault((node, token), len(parents))
                if node == len(parents):
                    parents.append(parent)
                    tokens.append(token)
                    depths.append(depths[parent] + 1)
                path.append(node)
            paths.append(path)
        size = len(parents)
        self.parents = numpy.array(parents)
        self.tokens = numpy.array(tokens)
        self.depths = numpy.array(depths)
        self.paths = numpy.zeros((len(paths), size), dtype=bool)
        """(lists + 1, nodes): whether a list goes through a node."""
        for row, path in enumerate(paths):
            self.paths[row, path] = True
        self.ancestors = numpy.eye(size, dtype=bool)
        """(nodes, nodes): whether the second is the first's ancestor, or itself."""
        for node in range(1, size):
            self.ancestors[node] |= self.ancestors[self.parents[node]]
        counts = numpy.bincount(self.parents[1:], minlength=size)
        self.branches = counts > 1
        """(nodes,): whether there is a choice after a node."""
        self.max_depth = int(self.depths.max())

    def __len__(self) -> int:
        return len(self.parents)


def list_masses(
    sizes: NDArray[numpy.int64], temperature: float, tried: Sequence[int] = ()
) -> NDArray[numpy.float64]:
    """Return the target: each list's mass, and last that of ``<nothing-better>``.

    Lists that make the module smaller than default<Oz> and all lists tried so far have mass, in
    proportion to exp((smallest size - size) / (temperature * default<Oz>'s)). Where there are none,
    ``<nothing-better>`` has all.

    Args:
        sizes: (lists + 1,): default<Oz>'s first, -1 for lists that failed.
        temperature: as a share of default<Oz>'s size.
        tried: lists by their places, from 0.
    """
    import numpy

    baseline, found = sizes[0], sizes[1:]
    best = min([baseline, *(found[index] for index in tried if found[index] >= 0)])
    better = (found >= 0) & (found < best)
    masses = numpy.zeros(len(found) + 1)
    if not better.any():
        masses[-1] = 1.0
        return masses
    smallest = found[better].min()
    masses[:-1][better] = numpy.exp((smallest - found[better]) / (temperature * baseline))
    normalised: NDArray[numpy.float64] = masses / masses.sum()
    return normalised


def list_savings(
    sizes: NDArray[numpy.int64], temperature: float, tried: Sequence[int] = ()
) -> NDArray[numpy.float64]:
    """Return log q of each list, and last of ``<nothing-better>``: q ~ exp(saving / temperature).

    A list saves what it is smaller than default<Oz> and all lists tried so far, as a share of
    default<Oz>'s size; failed lists and ``<nothing-better>`` save nothing.

    Args:
        sizes, tried: as in `list_masses`.
    """
    import numpy

    baseline, found = sizes[0], sizes[1:]
    best = min([baseline, *(found[index] for index in tried if found[index] >= 0)])
    savings = numpy.zeros(len(found) + 1)
    savings[:-1] = numpy.where(found < 0, 0, numpy.maximum(0, best - found)) / baseline
    savings /= temperature
    shifted = savings - savings.max()
    log_targets: NDArray[numpy.float64] = shifted - numpy.log(numpy.exp(shifted).sum())
    return log_targets


def tree_document(
    tree: ListTree,
    prompt: NDArray[numpy.uint16],
    masses: NDArray[numpy.float64],
    *,
    min_mass: float,
    choices_only: bool,
) -> tuple[NDArray[numpy.uint16], Tree]:
    """Return a document's tokens, and what they are after the prompt.

    Args:
        masses: of the lists, see `list_masses`.
        min_mass: nodes with less are left out.
        choices_only: predict only where the tree branches. Answers that are masked to its lists
            need no more, and many nodes, most lists' ends among them, need not be read.
    """
    return rounds_document(
        tree, prompt, (), ((0, masses),), min_mass=min_mass, choices_only=choices_only
    )


def rounds_document(
    tree: ListTree,
    prompt: NDArray[numpy.uint16],
    rounds: Sequence[Sequence[int]],
    choices: Sequence[tuple[int, NDArray[numpy.float64]]],
    *,
    min_mass: float,
    choices_only: bool,
    savings: Sequence[NDArray[numpy.float64] | None] = (),
) -> tuple[NDArray[numpy.uint16], Tree]:
    """Return a document with rounds after the prompt, and trees after some of these.

    Args:
        rounds: the tokens of each: a list, and what the compiler said of it. They are read, and
            predict nothing.
        choices: after how many rounds a tree hangs, and the masses of its lists there.
        min_mass, choices_only: see `tree_document`.
        savings: of each choice, None, or log q of its lists (`list_savings`), which are learnt
            instead of the masses; empty: of all None.
    """
    import numpy

    ends = numpy.concatenate([[0], numpy.cumsum([len(group) for group in rounds], dtype=int)])
    num_base = int(ends[-1])
    base = numpy.array([id_ for group in rounds for id_ in group], dtype=prompt.dtype)
    savings = savings or [None] * len(choices)
    parts = [
        _subtree(tree, masses, min_mass, choices_only)
        if log_targets is None
        else _subtree(tree, masses, 0.0, True)
        for (_, masses), log_targets in zip(choices, savings, strict=True)
    ]
    size = num_base + sum(len(nodes) for _, nodes in parts)
    mask = numpy.zeros((size, size), dtype=bool)
    mask[:num_base, :num_base] = numpy.tri(num_base, dtype=bool)
    ids, depths = [prompt, base], [numpy.arange(1, num_base + 1)]
    edges: list[tuple[Any, ...]] = []
    found: list[Choices] = []
    start = num_base
    for (number, masses), (predicted, nodes), log_targets in zip(
        choices, parts, savings, strict=True
    ):
        end = int(ends[number])
        within = slice(start, start + len(nodes))
        mask[within, :end] = True
        mask[within, within] = tree.ancestors[numpy.ix_(nodes, nodes)]
        positions = numpy.full(len(tree), -1)
        positions[ROOT] = len(prompt) - 1 + end
        positions[nodes] = len(prompt) + start + numpy.arange(len(nodes))
        ids.append(tree.tokens[nodes].astype(prompt.dtype))
        depths.append(end + tree.depths[nodes])
        start += len(nodes)
        if log_targets is not None:
            found.append(_choices(tree, predicted, positions, log_targets))
            predicted = predicted[:0]
        mass = masses @ tree.paths
        edges.append(
            (positions[tree.parents[predicted]], tree.tokens[predicted], mass[predicted], predicted)
        )
    parents, tokens, weights, of_nodes = (
        numpy.concatenate([edge[place] for edge in edges]) for place in range(4)
    )
    order = numpy.argsort(parents, kind="stable")
    return numpy.concatenate(ids), Tree(
        depths=numpy.concatenate(depths),
        mask=mask,
        edge_parents=parents[order],
        edge_ids=tokens[order],
        edge_weights=weights[order].astype(numpy.float32),
        edge_nodes=of_nodes[order],
        choices=Choices.joined(found, [0] * len(found)) if found else None,
    )


def _choices(
    tree: ListTree,
    predicted: NDArray[numpy.int64],
    positions: NDArray[numpy.int64],
    log_targets: NDArray[numpy.float64],
) -> Choices:
    import numpy

    parents = tree.parents[predicted]
    rows, edges = numpy.nonzero(tree.paths[:, predicted])
    return Choices(
        edge_parents=positions[parents],
        edge_ids=tree.tokens[predicted],
        edge_groups=numpy.unique(parents, return_inverse=True)[1],
        pair_rows=rows,
        pair_edges=edges,
        log_targets=log_targets.astype(numpy.float32),
        weights=numpy.full(len(log_targets), 1 / len(log_targets), dtype=numpy.float32),
    )


def _subtree(
    tree: ListTree, masses: NDArray[numpy.float64], min_mass: float, choices_only: bool
) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Return the nodes that are predicted, by parents, and those that are read."""
    import numpy

    mass = masses @ tree.paths
    predicted = mass >= min_mass
    predicted[ROOT] = False
    if choices_only:
        predicted &= tree.branches[tree.parents]
    edges = numpy.flatnonzero(predicted)
    edges = edges[numpy.argsort(tree.parents[edges], kind="stable")]
    # What is read: whoever predicts, and its ancestors.
    read = tree.ancestors[numpy.unique(tree.parents[edges])].any(axis=0)
    read[ROOT] = False
    return edges, numpy.flatnonzero(read)


def list_scores(
    tree: ListTree, nodes: NDArray[numpy.int64], log_probs: NDArray[numpy.float64]
) -> NDArray[numpy.float64]:
    """Return each list's log-probability, ``<nothing-better>``'s last, masked to the tree.

    Args:
        nodes: of the predictions: all children of all nodes where the tree branches.
        log_probs: (nodes,): given all tokens of the vocabulary; only differences between a node's
            children count.
    """
    import numpy

    parents = tree.parents[nodes]
    highest = numpy.full(len(tree), -numpy.inf)
    numpy.maximum.at(highest, parents, log_probs)
    sums = numpy.zeros(len(tree))
    numpy.add.at(sums, parents, numpy.exp(log_probs - highest[parents]))
    scores = numpy.zeros(len(tree))
    scores[nodes] = log_probs - highest[parents] - numpy.log(sums[parents])
    found: NDArray[numpy.float64] = tree.paths @ scores
    return found
