"""Whether a text may become a function's body in short form, token by token.

`BodyChecker` is a partial parser: fed with pieces of text, it says for each whether what stands
there so far is the beginning of a well-formed body. Checked are opcodes and the form of each
instruction; that values, blocks and symbols exist (what stands further down only where branches and
phi nodes may name it); that the next definition has the next number; types of operands; that
blocks end in a terminator, and that everything is closed.

Not checked: dominance, signatures of calls and intrinsics. What it does not know it lets pass
(inline assembly, constant expressions). Of the short form's bodies 995 of 1,000 are accepted; the
others name values of blocks that stand further down, or a way into a block twice. Pure Python,
some 20 microseconds a piece; LLVM has the last word.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from llm_compiler.dataset.lifting.body_grammar.calls import skip_attributes
from llm_compiler.dataset.lifting.body_grammar.cursor import Open, Refused, Unknown
from llm_compiler.dataset.lifting.body_grammar.instructions import read_operands
from llm_compiler.dataset.lifting.body_grammar.operands import Operands
from llm_compiler.dataset.lifting.body_grammar.state import Body, BodyState
from llm_compiler.dataset.lifting.body_grammar.words import (
    CALLS,
    CONVENTIONS,
    DEFINING,
    FLOAT_OPS,
    FLOATS,
    INTEGER_OPS,
    RESULT_WORDS,
    TERMINATORS,
    TO_FLOAT,
    TO_INTEGER,
    VOID,
)

__all__ = ["BodyChecker", "BodyState"]

MAX_VALUES: Final = 3000
"""No function within a context has more values and blocks."""
_MAX_LINE: Final = 2_000


class BodyChecker:
    """Checks bodies that may name certain symbols.

    Args:
        symbols: what follows ``@``: the short names of the assembly's symbols. Intrinsics may
            always be named. None: any name.
        max_values: values and blocks that a body may have; what is further ahead is not named.
        max_blocks: after the first.
    """

    def __init__(
        self,
        symbols: Collection[str] | None,
        max_values: int = MAX_VALUES,
        max_blocks: int = MAX_VALUES,
    ) -> None:
        self._symbols = None if symbols is None else frozenset((*symbols, "f0"))
        self._max_values, self._max_blocks = max_values, max_blocks

    def start(self) -> BodyState:
        """Return the state before the first character."""
        return BodyState(Body(), "")

    def feed(self, state: BodyState, text: str) -> BodyState | None:
        """Return the state after a piece of text; None if nothing well-formed begins so."""
        body = state.body
        *whole, partial = (state.partial + text).split("\n")
        try:
            for line in whole:
                body = self._line(line, True, body).read()
            if len(partial) > _MAX_LINE:
                return None
            if partial or body.place != "done":
                self._line(partial, False, body).read()
        except Open:
            pass
        except Refused:
            return None
        return BodyState(body, partial)

    def _line(self, text: str, whole: bool, body: Body) -> _Line:
        return _Line(text, whole, body, self._symbols, self._max_values, self._max_blocks)


class _Line(Operands):
    """Reads one line, or the beginning of one."""

    __slots__ = ()

    def read(self) -> Body:
        """Return what is known after this line."""
        body = self.body
        position = body.place
        if position == "head":
            return self._head()
        if position == "done":
            raise Refused
        if position == "cases":
            return self._case()
        if position in ("gap", "label"):
            return self._between()
        if position == "phi" or position == "block":
            self.literal("  ")
            return self._instruction()
        raise AssertionError(position)

    def _head(self) -> Body:
        self.literal("define ")
        self.words(CONVENTIONS | RESULT_WORDS)
        result = "void" if self.has("void") else self.type_()
        self.literal(" @f0(")
        types: dict[int, str] = {}
        if not self.has(")"):
            while True:
                if self.has("..."):
                    self.literal(")")
                    break
                types[len(types)] = self._parameter(len(types))
                if not self.has(", "):
                    self.literal(")")
                    break
        if not self.has(" {"):
            self.literal(" personality ptr ")
            self.symbol()
            self.literal(" {")
        if not self.at_end():
            raise Refused
        entry = len(types)
        return Body(
            result=result, entry=entry, block=entry, types=types, next=entry + 1, place="phi"
        )

    def _parameter(self, number: int) -> str:
        type_ = self.type_()
        self.literal(" ")
        skip_attributes(self)
        self.literal(f"%{number}")
        return type_

    def _between(self) -> Body:
        """Read what follows a terminator: the end, or an empty line and a block's label."""
        body = self.body
        resolved = not body.ahead_blocks and not body.ahead_values
        if body.place == "gap":
            if not self.text:
                if not self.whole:
                    raise Open
                if body.next in body.ahead_values or body.next >= self.limit:
                    raise Refused
                return replace(body, place="label")
            if not resolved:
                raise Refused
            self.literal("}")
            if not self.at_end():
                raise Refused
            return replace(body, place="done")
        self.literal(f"{body.next}:")
        if not self.at_end():
            raise Refused
        return replace(
            body,
            place="phi",
            block=body.next,
            blocks=body.blocks | {body.next},
            ahead_blocks=body.ahead_blocks - {body.next},
            next=body.next + 1,
        )

    def _owed(self) -> set[int]:
        """Return the blocks whose phi nodes name this one, and that it has not branched to yet."""
        body = self.body
        return {
            target
            for target, named in body.phis.items()
            if body.block in named and body.block not in body.edges.get(target, ())
        }

    def _with_edges(self) -> dict[int, frozenset[int]]:
        edges = dict(self.body.edges)
        for target in self.targets:
            edges[target] = edges.get(target, frozenset()) | {self.body.block}
        return edges

    def _case(self) -> Body:
        body = self.body
        self.owed = self._owed()
        if not self.owed and self.has("  ]"):
            if not self.at_end():
                raise Refused
            return replace(body, place="gap", case_type="")
        self.literal(f"  {body.case_type} ")
        if self.at_end():
            raise Refused
        if self.text[self.place] == "%":
            raise Refused
        self.value(body.case_type)
        self.literal(", label ")
        self.target(last=False)
        if not self.at_end():
            raise Refused
        return replace(
            body, ahead_blocks=body.ahead_blocks | self.ahead_blocks, edges=self._with_edges()
        )

    def _instruction(self) -> Body:
        body = self.body
        defines = self.has("%")
        if defines:
            number = body.next
            if number in body.ahead_blocks or number >= self.limit:
                raise Refused
            self.literal(f"{number} = ")
            self.expected = body.ahead_values.get(number, "")
            opcode = self.word(self._defining(), CALLS)
        else:
            self.owed = self._owed()
            opcode = self.word(VOID - {"ret", "unreachable"} if self.owed else VOID, CALLS)
        try:
            type_ = read_operands(self, opcode, defines)
            if not self.at_end():
                raise Refused
        except Unknown:
            if not self.whole:
                raise Open from None
            type_ = ""
        position = "block"
        phis = body.phis
        if opcode == "phi":
            position = "phi"
            phis = {**phis, body.block: frozenset(self.incoming)}
        elif opcode == "switch":
            position = "cases"
        elif opcode in TERMINATORS or opcode == "invoke":
            position = "gap"
        types, ahead_values = body.types, body.ahead_values
        if self.ahead_values:
            ahead_values = {**ahead_values, **self.ahead_values}
        if defines:
            if self.expected and type_ and self.expected != type_:
                raise Refused
            if body.next in ahead_values:
                ahead_values = {
                    key: value for key, value in ahead_values.items() if key != body.next
                }
            types = {**types, body.next: type_ or self.expected}
        return replace(
            body,
            types=types,
            next=body.next + defines,
            ahead_blocks=body.ahead_blocks | self.ahead_blocks,
            ahead_values=ahead_values,
            edges=self._with_edges() if self.targets else body.edges,
            phis=phis,
            place=position,
            case_type=type_ if opcode == "switch" else "",
        )

    def _defining(self) -> Collection[str]:
        """Return the opcodes that the next value may come from."""
        expected = self.expected
        left = DEFINING
        if self.body.place != "phi":
            left = left - {"phi"}
        if expected and expected[0] != "<":
            if expected != "i1":
                left = left - {"icmp", "fcmp"}
            if expected != "ptr":
                left = left - {"getelementptr", "alloca", "inttoptr"}
            if expected not in FLOATS:
                left = left - FLOAT_OPS - TO_FLOAT
            if expected[0] != "i":
                left = left - INTEGER_OPS - TO_INTEGER
        return left
