"""The function's own stack objects, and the words that its caller passes on the stack."""

from __future__ import annotations

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.draft import Function, Plan
from llm_compiler.disassembly.rules.emission.writer import Writer

__all__ = ["Stack"]


class Stack:
    """Addresses of the frame, in IR. Places are bytes from the stack pointer at entry."""

    def __init__(self, writer: Writer, function: Function, plan: Plan) -> None:
        """Find out which words the caller passes."""
        self._writer, self._plan = writer, plan
        self._is_variadic = function.graph.num_named is not None
        self._first = function.target.convention.first_stack_argument
        self._by_value: int | None = None
        """Bytes of one object that stands for all that the caller passes on the stack."""
        self._words = self._find_words()

    @property
    def has_words(self) -> bool:
        """Whether the caller passes single words, each a parameter."""
        return bool(self._words)

    def _find_words(self) -> dict[int, int]:
        """Return the words that the caller passes on the stack, and their numbers."""
        first = self._first
        direct, pointed = self._plan.accesses.incoming(first)
        if pointed:
            end = max([place + size for place, size in direct] + [index + 8 for index in pointed])
            self._by_value = -(-(end - first) // 8) * 8
            return {}
        last = max(((place - first) // 8 for place, _ in direct), default=-1)
        return {first + 8 * number: number for number in range(last + 1)}

    def parameters(self) -> tuple[list[str], list[str]]:
        """Return the parameters that come on the stack, and the lines that store them."""
        found: list[str] = []
        prologue: list[str] = []
        if self._by_value is not None:
            found.append(f"ptr byval([{self._by_value} x i8]) align 8 %stack")
        for position, number in self._words.items():
            type_ = self._word_type(position)
            found.append(f"{type_} %p{number}")
            prologue.append(f"  %in{position} = alloca {type_}")
            prologue.append(f"  store {type_} %p{number}, ptr %in{position}")
        return found, prologue

    def _word_type(self, place: int) -> str:
        """Return the type of a word that the caller passes on the stack, by how it is read."""
        direct = self._plan.accesses.direct
        sizes = {size for start, size in direct if place <= start < place + 8}
        is_low = all(start == place for start, _ in direct if place <= start < place + 8)
        return f"i{8 * max(sizes)}" if sizes and is_low else "i64"

    def allocas(self) -> list[str]:
        """Return the lines that allocate the function's own objects."""
        return [
            f"  %s{number} = alloca [{area.end - area.start} x i8], align {area.alignment}"
            for number, area in enumerate(self._plan.objects)
        ]

    def address(self, place: int) -> str:
        """Return a place as a pointer.

        Raises:
            Unliftable: nothing says what is there.
        """
        if place >= self._first:
            return self._incoming(place)
        for number, frame_object in enumerate(self._plan.objects):
            if frame_object.start <= place < frame_object.end or (
                place == frame_object.end and place == 0
            ):
                return self._inside(f"%s{number}", place - frame_object.start)
        raise Unliftable("a place of the frame in no object")

    def _incoming(self, place: int) -> str:
        first = self._first
        if self._is_variadic:
            raise Unliftable("arguments of '...' that are read without a list")
        if self._by_value is not None:
            return self._inside("%stack", place - first)
        word = first + (place - first) // 8 * 8
        if word not in self._words:
            raise Unliftable("a place of the caller's frame")
        return self._inside(f"%in{word}", place - word)

    def _inside(self, name: str, offset: int) -> str:
        if offset == 0:
            return name
        return self._writer.assign(f"getelementptr i8, ptr {name}, i64 {offset}")
