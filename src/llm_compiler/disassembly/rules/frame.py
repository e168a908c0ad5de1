"""The frame as objects: where they begin and end, seen from the accesses.

Machine code does not say where an array on the stack ends. `Variant.frame` chooses a reading; the
one object of ``whole`` is always right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.liveness import Liveness
from llm_compiler.disassembly.rules.nodes import Graph, Node, bits_of

__all__ = [
    "FrameAccesses",
    "FrameObject",
    "alignment_at",
    "frame_accesses",
    "frame_objects",
    "written_fields",
]


_WORD: Final = 8
_BUFFER: Final = 16
"""Bytes from which on arrays are aligned to more than a word."""
_FINE: Final = ("each", "slots")


@dataclass(frozen=True, slots=True)
class FrameObject:
    """Bytes from `start` to `end`, counted from the stack pointer at entry."""

    start: int
    end: int
    alignment: int

    def holds(self, place: int) -> bool:
        """Whether a byte of the frame is one of its own."""
        return self.start <= place < self.end


@dataclass(frozen=True, slots=True)
class FrameAccesses:
    """What the code does with the frame."""

    direct: tuple[tuple[int, int], ...]
    """Place and size of loads and stores."""
    pointed: tuple[int, ...]
    """Places whose address is taken, or indexed from."""
    aligned: tuple[tuple[int, int], ...] = ()
    """Places of accesses that ask for more than 8 bytes, and what they ask."""
    read: tuple[tuple[int, int], ...] = ()
    """Those of `direct` that are loaded, or passed to calls."""

    def incoming(self, first: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
        """Return those of the caller's frame: arguments on the stack."""
        return (
            tuple(pair for pair in self.direct if pair[0] >= first),
            tuple(index for index in self.pointed if index >= first),
        )


def frame_accesses(
    graph: Graph, live: Liveness, words: Iterable[tuple[int, str]] = ()
) -> FrameAccesses:
    """Collect the accesses that matter.

    Args:
        words: places that calls are passed, and their types.
    """
    return _accesses(_needed(graph, live), words)


def written_fields(graph: Graph, first: int) -> frozenset[int]:
    """Return the words that code writes and does not read, above places that are pointed to.

    They count from these places. Of the first ten words, the first two are left out: whoever is
    passed an address reads these in any case.
    """
    nodes = (node for number in graph.order for node in graph.blocks[number].nodes)
    accesses = _accesses(nodes, ())
    direct = [pair for pair in accesses.direct if pair[0] < first]
    pointed = [place for place in accesses.pointed if place < first]
    return frozenset(
        word
        for start, fields in _written_fields(direct, pointed, accesses.read)
        for place, size in fields
        for word in range((place - start) // _WORD, (place - start + size - 1) // _WORD + 1)
        if 2 <= word < 10
    )


def _accesses(nodes: Iterable[Node], words: Iterable[tuple[int, str]]) -> FrameAccesses:
    read = {(position, bits_of(kind) // 8 or 1) for position, kind in words}
    written: set[tuple[int, int]] = set()
    pointed: set[int] = set()
    aligned: set[tuple[int, int]] = set()
    for node in nodes:
        if node.op in ("load", "store"):
            if (asked := _asked(node)) is not None:
                aligned.add(asked)
            position = node.args[0] if node.op == "load" else node.args[1]
            type_ = node.type if node.op == "load" else node.args[0].type
            if position.op == "frame":
                places = read if node.op == "load" else written
                places.add((position.data, bits_of(type_) // 8 or 1))
            if node.op == "store" and node.args[0].op == "frame":
                pointed.add(node.args[0].data)
            continue
        if node.op == "address" and node.data.frame is not None:
            pointed.add(node.data.frame)
        for arg in node.args:
            if arg.op == "frame":
                pointed.add(arg.data)
    return FrameAccesses(
        direct=tuple(sorted(read | written)),
        pointed=tuple(sorted(pointed)),
        aligned=tuple(sorted(aligned)),
        read=tuple(sorted(read)),
    )


def _asked(access: Node) -> tuple[int, int] | None:
    """Return the place of an access in the frame, and its alignment, if that is above 8."""
    place = access.args[0] if access.op == "load" else access.args[1]
    start = place.data if place.op == "frame" else place.data.frame if _is_address(place) else None
    return (start, access.data) if start is not None and access.data > 8 else None


def _is_address(node: Node) -> bool:
    return node.op == "address"


def _needed(graph: Graph, live: Liveness) -> Iterator[Node]:
    for number in graph.order:
        for node in graph.blocks[number].nodes:
            if node.op == "write":
                if live.after.get(node):
                    yield node
            elif node in live.needs:
                yield node


def frame_objects(
    accesses: FrameAccesses, graph: Graph, how: str, first: int, alignment: int = 16
) -> list[FrameObject]:
    """Return the objects of the own frame.

    Args:
        how: `Variant.frame`.
        first: where the caller's frame begins.
        alignment: `Variant.alignment`.
    """
    objects = _as_aligned_as_asked(_objects(accesses, graph, how, first), accesses, first)
    if alignment >= 16:
        return objects
    return [_lowered(item, accesses, graph, alignment) for item in objects]


def _as_aligned_as_asked(
    objects: list[FrameObject], accesses: FrameAccesses, first: int
) -> list[FrameObject]:
    """Begin objects earlier where code relies on the alignment of a place in them."""
    found: list[FrameObject] = []
    for item in objects:
        least = max([1, *(least for place, least in accesses.aligned if item.holds(place))])
        start = item.start - (item.start - first) % least
        is_free = not any(start < other.end and other.start < item.start for other in objects)
        if least > item.alignment and is_free:
            item = FrameObject(start, item.end, least)
        found.append(item)
    return found


def alignment_at(objects: Sequence[FrameObject], place: int) -> int:
    """Return how a place is aligned for sure, in bytes; 0 where it is in no object."""
    for item in objects:
        if item.holds(place):
            return math.gcd(item.alignment, place - item.start) or item.alignment
    return 0


def _lowered(
    item: FrameObject, accesses: FrameAccesses, graph: Graph, alignment: int
) -> FrameObject:
    """Return an object with no more than an alignment, but for what its accesses ask."""
    asked = [bytes_ for place, bytes_ in accesses.aligned if item.holds(place)]
    if graph.aligned_to:
        return item
    least = max([alignment, *asked])
    return FrameObject(item.start, item.end, min(item.alignment, least))


def _objects(accesses: FrameAccesses, graph: Graph, how: str, first: int) -> list[FrameObject]:
    """Return the objects, each aligned as far as its place and size allow."""
    direct = [pair for pair in accesses.direct if pair[0] < first]
    pointed = [index for index in accesses.pointed if index < first]
    if not direct and not pointed:
        return []
    pointed = _beginnings(pointed, graph.saved, first) if how not in _FINE else pointed
    lowest = min([pair[0] for pair in direct] + pointed)
    highest = max([place + size for place, size in direct] + [index + 1 for index in pointed])
    saves = sorted(index for index in graph.saved if index >= highest)
    top = saves[0] if saves else 0
    top = max(top, highest)
    if how == "whole":
        bottom = min(lowest, graph.lowest)
        return [_object(bottom, top, graph, first)]
    if how == "each":
        direct = _without_written_fields(direct, pointed, accesses.read)
    return _parts(direct, pointed, top, how, graph, first)


def _without_written_fields(
    direct: list[tuple[int, int]], pointed: list[int], read: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the accesses that objects may begin at, less fields of what is passed by address.

    A place that is written and never read is in the object below it, if that one's address is
    known to others: optimised code writes nothing that nobody reads. So is all in between.
    """
    dropped: set[tuple[int, int]] = set()
    for start, fields in _written_fields(direct, pointed, read):
        end = max(place + size for place, size in fields)
        dropped.update(pair for pair in direct if start < pair[0] < end)
    return [pair for pair in direct if pair not in dropped or pair[0] in pointed]


def _written_fields(
    direct: Sequence[tuple[int, int]], pointed: Sequence[int], read: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield places that are pointed to with the accesses above them that only write, if any."""
    for start in pointed:
        fields: list[tuple[int, int]] = []
        end = start
        for place, size in direct:
            if place < start:
                continue
            if place > start and (place in pointed or place - end >= _WORD):
                break
            end = max(end, place + size)
            if not any(at < place + size and place < at + width for at, width in read):
                fields.append((place, size))
        if fields:
            yield start, fields


def _beginnings(pointed: Sequence[int], saved: Iterable[int], first: int) -> list[int]:
    """Return the places that objects may begin at: buffers are aligned, so that a place in the
    middle of a word, with much after it, is a place within one.

    Args:
        saved: where registers of the caller are kept: no object reaches beyond one. AArch64 keeps
            them in pairs, and small objects in what is left beside a single one.
    """
    found: list[int] = []
    limits = sorted(saved)
    for number, place in enumerate(pointed):
        following = pointed[number + 1] if number + 1 < len(pointed) else first
        end = min([following, *(limit for limit in limits if limit > place)])
        is_cut = bool(found) and any(found[-1] < limit < place for limit in limits)
        if found and place % _WORD and end - place >= _BUFFER and not is_cut:
            continue
        found.append(place)
    return found


def _parts(
    direct: list[tuple[int, int]],
    pointed: list[int],
    top: int,
    how: str,
    graph: Graph,
    first: int,
) -> list[FrameObject]:
    limit = top if how in _FINE or not pointed else pointed[0]
    runs: list[list[int]] = []
    for position, size in direct:
        if how not in _FINE and position >= limit:
            continue
        if runs and position < runs[-1][1]:
            runs[-1][1] = max(runs[-1][1], position + size)
        else:
            runs.append([position, position + size])
    found: list[tuple[int, int]] = []
    saved = sorted(graph.saved)
    if how in _FINE:
        starts = sorted({*(run[0] for run in runs), *pointed})
        ends = {run[0]: run[1] for run in runs}
        for number, start in enumerate(starts):
            following = starts[number + 1] if number + 1 < len(starts) else top
            is_pointed = start in pointed
            found.append((start, following if is_pointed else min(following, ends[start])))
    else:
        found = [(run[0], run[1]) for run in runs]
        for number, start in enumerate(pointed):
            following = pointed[number + 1] if number + 1 < len(pointed) else top
            found.append((start, following))
    objects = []
    for start, end in found:
        for index in saved:
            if start < index < end:
                end = index
        end = min(end, start + graph.sizes.get(start, end - start))
        if end <= start:
            raise Unliftable("a frame whose objects overlap")
        objects.append(_object(start, end, graph, first))
    return objects


def _object(start: int, end: int, graph: Graph, first: int) -> FrameObject:
    size = end - start
    above = start - first
    if graph.aligned_to and above % graph.aligned_to == 0:
        return FrameObject(start, end, graph.aligned_to)
    for alignment in (16, 8, 4, 2):
        if size >= alignment and above % alignment == 0:
            return FrameObject(start, end, alignment)
    return FrameObject(start, end, 1)
