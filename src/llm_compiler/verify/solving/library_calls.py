"""What the C library's functions of memory and texts return, as terms of what they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitwuzla import Kind

from llm_compiler.verify.solving.events import Ended
from llm_compiler.verify.solving.memory import Memory
from llm_compiler.verify.solving.terms import Term, Terms, Value

__all__ = ["LIBRARY", "call_library"]

_MOST = 2048
"""Bytes that are looked at."""
_BEYOND = 12
"""Bytes after the end that there is on this input: on another one it may be there."""


class _Library:
    """The functions, over one input's memory. Arguments and results are of 64 bits."""

    def __init__(self, memory: Memory, terms: Terms) -> None:
        self._memory, self._terms = memory, terms

    def _byte(self, place: int) -> Value | None:
        if self._memory.region(place, 1) is None:
            return None
        return self._memory.read((place, None), 1)

    def _is(self, byte: Value, known: int) -> Term:
        return self._terms.make(
            Kind.EQUAL, [self._terms.of(byte, 8), self._terms.constant(known, 8)]
        )

    def _nested(self, steps: Sequence[tuple[Term, int]], last: int, bits: int) -> Term:
        """Return the first of some numbers whose condition holds, or the last one."""
        found = self._terms.constant(last & ((1 << bits) - 1), bits)
        for condition, number in reversed(steps):
            value = self._terms.constant(number & ((1 << bits) - 1), bits)
            found = self._terms.make(Kind.ITE, [condition, value, found])
        return found

    # -- compared ----------------------------------------------------------------------------------

    def _compared(self, left: int, right: int, limit: int, *, is_text: bool) -> Value:
        pairs: list[tuple[Value, Value]] = []
        known: int | None = None
        due = _BEYOND
        for index in range(min(limit, _MOST)):
            a, b = self._byte(left + index), self._byte(right + index)
            if a is None or b is None:
                break
            pairs.append((a, b))
            if known is None and a[0] != b[0]:
                known = -1 if a[0] < b[0] else 1
            if known is None and is_text and not a[0]:
                known = 0
            # A text that no input changes ends both.
            if is_text and ((a[1] is None and not a[0]) or (b[1] is None and not b[0])):
                break
            if known is not None and is_text:
                is_fixed = a[1] is None or b[1] is None
                due -= not is_fixed
                if not due:
                    break
        if known is None:
            known = 0
        if all(a[1] is None and b[1] is None for a, b in pairs):
            return known & 0xFFFFFFFF, None
        terms = self._terms
        found = terms.constant(0, 32)
        less, more = terms.constant(0xFFFFFFFF, 32), terms.constant(1, 32)
        for a, b in reversed(pairs):
            x, y = terms.of(a, 8), terms.of(b, 8)
            unequal = terms.make(Kind.ITE, [terms.make(Kind.BV_ULT, [x, y]), less, more])
            if is_text:
                ends = self._is(a, 0)
                found = terms.make(Kind.ITE, [ends, terms.constant(0, 32), found])
            found = terms.make(Kind.ITE, [terms.make(Kind.EQUAL, [x, y]), found, unequal])
        return known & 0xFFFFFFFF, found

    def memcmp(self, arguments: Sequence[Value]) -> Value:
        left, right, size = (value[0] for value in arguments[:3])
        return self._compared(left, right, size, is_text=False)

    def strcmp(self, arguments: Sequence[Value]) -> Value:
        return self._compared(arguments[0][0], arguments[1][0], _MOST, is_text=True)

    def strncmp(self, arguments: Sequence[Value]) -> Value:
        left, right, size = (value[0] for value in arguments[:3])
        return self._compared(left, right, size, is_text=True)

    # -- looked for --------------------------------------------------------------------------------

    def _found(
        self, start: int, wanted: int | None, limit: int, *, is_text: bool, counts: bool
    ) -> Value:
        """Return where a byte is, or how far away (`counts`).

        Args:
            wanted: None for the end of a text.
            is_text: it ends with a zero.
        """
        known: int | None = None
        steps: list[tuple[Term, int]] = []
        has_terms = False
        due = _BEYOND
        for index in range(min(limit, _MOST)):
            byte = self._byte(start + index)
            if byte is None:
                break
            place = index if counts else start + index
            has_terms = has_terms or byte[1] is not None
            if wanted is not None:
                if known is None and byte[0] == wanted:
                    known = place
                steps.append((self._is(byte, wanted), place))
            if is_text and wanted != 0:
                if known is None and not byte[0]:
                    known = place if wanted is None else 0
                steps.append((self._is(byte, 0), place if wanted is None else 0))
            if known is not None:
                due -= 1
                if not due or byte[1] is None:
                    break
        if known is None:
            if is_text:
                raise Ended("a text without an end")
            known = 0
        if not has_terms:
            return known, None
        return known, self._nested(steps, known, 64)

    def strlen(self, arguments: Sequence[Value]) -> Value:
        return self._found(arguments[0][0], None, _MOST, is_text=True, counts=True)

    def strchr(self, arguments: Sequence[Value]) -> Value:
        wanted = arguments[1][0] & 0xFF
        return self._found(arguments[0][0], wanted, _MOST, is_text=True, counts=False)

    def memchr(self, arguments: Sequence[Value]) -> Value:
        start, wanted, size = (value[0] for value in arguments[:3])
        return self._found(start, wanted & 0xFF, size, is_text=False, counts=False)

    def strrchr(self, arguments: Sequence[Value]) -> Value:
        start, wanted = arguments[0][0], arguments[1][0] & 0xFF
        found = 0
        for index in range(_MOST):
            byte = self._byte(start + index)
            if byte is None:
                raise Ended("a text without an end")
            if byte[0] == wanted:
                found = start + index
            if not byte[0]:
                return found, None
        raise Ended("a text without an end")

    # -- moved -------------------------------------------------------------------------------------

    def memmove(self, arguments: Sequence[Value]) -> Value:
        size = arguments[2][0]
        if size:
            self._memory.copy(arguments[0], arguments[1], size)
        return arguments[0]

    def memset(self, arguments: Sequence[Value]) -> Value:
        to, size = arguments[0][0], arguments[2][0]
        byte = self._terms.resized("trunc", arguments[1], 64, 8)
        if size and self._memory.region(to, size) is None:
            self._memory.write(arguments[0], byte, size)  # says where it is not
        for place in range(to, to + size):
            self._memory.write((place, None), byte, 1)
        return arguments[0]

    def strcpy(self, arguments: Sequence[Value]) -> Value:
        length = self.strlen(arguments[1:2])[0]
        self._memory.copy(arguments[0], arguments[1], length + 1)
        return arguments[0]


LIBRARY: dict[str, tuple[Callable[[_Library, Sequence[Value]], Value], int, int]] = {
    "memcpy": (_Library.memmove, 3, 64),
    "memmove": (_Library.memmove, 3, 64),
    "memset": (_Library.memset, 3, 64),
    "memcmp": (_Library.memcmp, 3, 32),
    "bcmp": (_Library.memcmp, 3, 32),
    "strlen": (_Library.strlen, 1, 64),
    "strcmp": (_Library.strcmp, 2, 32),
    "strncmp": (_Library.strncmp, 3, 32),
    "strchr": (_Library.strchr, 2, 64),
    "index": (_Library.strchr, 2, 64),
    "strrchr": (_Library.strrchr, 2, 64),
    "rindex": (_Library.strrchr, 2, 64),
    "memchr": (_Library.memchr, 3, 64),
    "strcpy": (_Library.strcpy, 2, 64),
}
"""By name: what it does, how many arguments it has, and the bits of its result."""


def call_library(name: str, arguments: Sequence[Value], memory: Memory, terms: Terms) -> Value:
    """Return a library function's result.

    Args:
        arguments: of 64 bits each.

    Raises:
        Ended: it reads on and on.
        Fault: memory is not there.
    """
    function, count, _ = LIBRARY[name]
    if len(arguments) < count:
        raise Ended("a call with too few arguments")
    return function(_Library(memory, terms), arguments)
