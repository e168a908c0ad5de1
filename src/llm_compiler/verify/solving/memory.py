"""Memory as one input fills it: bytes that are known, and the terms that they are parts of."""

from __future__ import annotations

from dataclasses import dataclass

from llm_compiler.verify.solving.terms import Term, Terms, Value

__all__ = ["Fault", "Memory", "Region"]


class Fault(Exception):
    """Memory is asked for that is not there.

    Attributes:
        address: where, with its term.
    """

    def __init__(self, address: Value) -> None:
        super().__init__(f"{address[0]:#x}")
        self.address = address


@dataclass(frozen=True, slots=True)
class Region:
    """A range of memory: what it holds at first, and which part of the input that is, if any.

    `skipped`: bytes in front, readable zeros, that are no part of the input. `first`: the number in
    the part of the first word after these.
    """

    start: int
    contents: bytes
    part: str = ""
    first: int = 0
    skipped: int = 0
    num_words: int = 0
    """Of the part, after which its words come again; 0: they do not."""
    is_constant: bool = False

    @property
    def end(self) -> int:
        """After the last byte."""
        return self.start + len(self.contents)


class Memory:
    """Regions, and what has been stored to them."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._regions: list[Region] = []
        self._last: Region | None = None
        self.touched: set[int] = set()
        """Where the ranges begin that have been asked for."""
        self._stored: dict[int, tuple[int, Term | None, int, int]] = {}
        """By address: the byte, the term that it is of, which byte of it, and of how many."""

    def add(self, region: Region) -> None:
        """Add a range."""
        self._regions.append(region)

    def region(self, address: int, size: int) -> Region | None:
        """Return the range that holds some bytes."""
        last = self._last
        if last is not None and last.start <= address and address + size <= last.end:
            return last
        for region in self._regions:
            if region.start <= address and address + size <= region.end:
                self._last = region
                self.touched.add(region.start)
                return region
        return None

    def is_set(self, address: int) -> bool:
        """Whether something has been stored to a byte."""
        return address in self._stored

    def read(self, address: Value, size: int) -> Value:
        """Return a word of some bytes.

        Raises:
            Fault: it is not there.
        """
        start = address[0]
        region = self.region(start, size)
        if region is None:
            raise Fault(address)
        known, pieces = 0, []
        for place in range(start, start + size):
            byte, term, index, count = self._stored.get(place) or self._first(region, place)
            known |= byte << 8 * (place - start)
            pieces.append((byte, term, index, count))
        if all(term is None for _, term, _, _ in pieces):
            return known, None
        return known, self._composed(pieces)

    def _first(self, region: Region, place: int) -> tuple[int, Term | None, int, int]:
        offset = place - region.start
        byte = region.contents[offset]
        if not region.part or offset < region.skipped:
            return byte, None, 0, 1
        word, index = divmod(offset - region.skipped, 8)
        if region.num_words:
            word %= region.num_words
        return byte, self._terms.word(region.part, region.first + word), index, 8

    def _composed(self, pieces: list[tuple[int, Term | None, int, int]]) -> Term:
        """Return bytes as one term, the lowest first in `pieces`."""
        found: list[Term] = []
        place = 0
        while place < len(pieces):
            byte, term, index, count = pieces[place]
            end = place + 1
            if term is None:
                while end < len(pieces) and pieces[end][1] is None:
                    byte |= pieces[end][0] << 8 * (end - place)
                    end += 1
                found.append(self._terms.constant(byte, 8 * (end - place)))
            else:
                while (
                    end < len(pieces)
                    and pieces[end][1] is not None
                    and pieces[end][1] == term
                    and pieces[end][2] == index + end - place
                ):
                    end += 1
                if index or end - place < count:
                    term = self._terms.part(term, 8 * (index + end - place) - 1, 8 * index)
                found.append(term)
            place = end
        return self._terms.joined(found[::-1])

    def write(self, address: Value, value: Value, size: int) -> None:
        """Store a word of some bytes.

        Raises:
            Fault: it is not there, or is constant.
        """
        start = address[0]
        region = self.region(start, size)
        if region is None or region.is_constant:
            raise Fault(address)
        known, term = value
        for index in range(size):
            self._stored[start + index] = (known >> 8 * index & 0xFF, term, index, size)

    def copy(self, to: Value, source: Value, size: int) -> None:
        """Copy bytes, as ``memmove`` does.

        Raises:
            Fault: some are not there.
        """
        region, target = self.region(source[0], size), self.region(to[0], size)
        if region is None:
            raise Fault(source)
        if target is None or target.is_constant:
            raise Fault(to)
        moved = [
            self._stored.get(place) or self._first(region, place)
            for place in range(source[0], source[0] + size)
        ]
        for index, piece in enumerate(moved):
            self._stored[to[0] + index] = piece
