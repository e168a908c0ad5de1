"""A function with its variables in memory and its constants folded, ready to be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_compiler.verify.inputs import Input
from llm_compiler.verify.library import REAL
from llm_compiler.verify.solving.ir import (
    Address,
    Expression,
    Function,
    Instruction,
    Local,
    Many,
    Number,
    Operand,
    Unreadable,
    Variable,
)
from llm_compiler.verify.solving.ir_types import Type, field_offsets, size_of
from llm_compiler.verify.solving.memory import Region
from llm_compiler.verify.solving.surroundings import VARIABLES, Surroundings
from llm_compiler.verify.solving.terms import Terms, Value
from llm_compiler.verify.solving.typed_values import (
    KEPT,
    RESIZED,
    Anything,
    bits_of,
    zero_of,
)

__all__ = ["OF_FLOATS", "LaidOut", "Prepared"]

OF_FLOATS = frozenset({"fadd", "fsub", "fmul", "fdiv", "frem"})
_OWN, _LIBRARY = 0x39CE0000, 0x39CF0000
"""Where the function itself is, and the library's: nobody reads them, but they differ."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instruction with its operands: of each the type, and a local's name or a value."""

    instruction: Instruction
    operands: tuple[tuple[Type, str | None, Anything], ...]


class LaidOut:
    """A function whose variables have places, and whose constants are folded."""

    def __init__(
        self,
        function: Function,
        variables: dict[str, Variable],
        surroundings: Surroundings,
        terms: Terms,
    ) -> None:
        """Lay out the variables, and fold the constants.

        Raises:
            Unreadable: it has what is not interpreted.
        """
        self.function, self.surroundings, self.terms = function, surroundings, terms
        self._addresses = dict(surroundings.addresses)
        self.constants: list[Region] = []
        self._own: list[tuple[int, int, bytes | None]] = []
        """Static variables: where, how many bytes, and what they are at first if that is known."""
        self._lay_out(variables)
        self.blocks = {
            label: tuple(self._prepared(instruction) for instruction in block)
            for label, block in function.blocks.items()
        }
        if len(function.parameters) != len(surroundings.signature.parameters):
            raise Unreadable("parameters of several scalars")
        self.functions = {
            address: name for name, address in self._addresses.items() if name in self._named()
        }

    def _named(self) -> set[str]:
        return set(self.surroundings.world.functions) | set(REAL)

    # -- constants ---------------------------------------------------------------------------------

    def _lay_out(self, variables: dict[str, Variable]) -> None:
        place = VARIABLES
        own = dict(self.surroundings.world.variables)
        for name in (*own, *(name for name in variables if name not in own)):
            if name in self._addresses:
                continue
            variable = variables.get(name)
            size = own.get(name) or (size_of(variable.type) if variable else 0)
            self._addresses[name] = place
            place += (max(size, 1) + 63) // 16 * 16
        self._addresses.setdefault(self.surroundings.name, _OWN)
        for number, name in enumerate(REAL):
            self._addresses.setdefault(name, _LIBRARY + 16 * number)
        for name, variable in variables.items():
            if variable.initial is None or name in own:
                continue
            contents = self._contents(variable.type, variable.initial)
            self.constants.append(Region(self._addresses[name], contents, is_constant=True))
        for name, size in own.items():
            variable = variables.get(name)
            initial = None
            if variable is not None and variable.initial is not None:
                whole = self._contents(variable.type, variable.initial)
                initial = whole[:size].ljust(size, b"\0")
            self._own.append((self._addresses[name], size, initial))

    def _contents(self, kind: Type, initial: Operand) -> bytes:
        contents = bytearray(size_of(kind))
        self._fill(contents, 0, kind, self._constant(kind, initial))
        return bytes(contents)

    def _fill(self, contents: bytearray, place: int, kind: Type, value: Anything) -> None:
        if isinstance(value, tuple):
            size = size_of(kind)
            contents[place : place + size] = value[0].to_bytes(size, "little")
        elif kind.kind == "struct":
            for (offset, part), each in zip(field_offsets(kind), value, strict=True):
                self._fill(contents, place + offset, part, each)
        else:
            step = size_of(kind.parts[0])
            for index, each in enumerate(value):
                self._fill(contents, place + index * step, kind.parts[0], each)

    def _constant(self, kind: Type, operand: Operand) -> Anything:
        match operand:
            case Number(value=value):
                return value, None
            case Address(name=name):
                if name not in self._addresses:
                    raise Unreadable(f"'{name}', which is nowhere")
                return self._addresses[name], None
            case Many(values=values):
                return [self._constant(part, each) for part, each in values]
            case Expression():
                return self._folded(operand)
            case Local():
                raise Unreadable("a local in a constant")
        return zero_of(kind)

    def _folded(self, expression: Expression) -> Anything:
        values = [self._constant(kind, each) for kind, each in expression.arguments]
        first = values[0]
        if not isinstance(first, tuple):
            raise Unreadable("an expression of vectors")
        if expression.operation == "getelementptr":
            indices = [
                (kind, value)
                for (kind, _), value in zip(expression.arguments[1:], values[1:], strict=True)
            ]
            return self.stepped(expression.type, first, indices)
        kind = expression.arguments[0][0]
        if expression.operation in RESIZED:
            bits = bits_of(kind), expression.type.bits
            return self.terms.resized(expression.operation, first, *bits)
        if expression.operation in KEPT:
            bits = bits_of(kind), bits_of(expression.type)
            return self.terms.resized("zext" if bits[1] > bits[0] else "trunc", first, *bits)
        second = values[1]
        if expression.operation in OF_FLOATS or not isinstance(second, tuple):
            raise Unreadable(f"an expression with '{expression.operation}'")
        return self.terms.operate(expression.operation, first, second, bits_of(kind))

    def _prepared(self, instruction: Instruction) -> Prepared:
        operands: list[tuple[Type, str | None, Anything]] = []
        for kind, operand in instruction.operands:
            if isinstance(operand, Local):
                operands.append((kind, operand.name.strip('"'), (0, None)))
            elif (
                isinstance(operand, Address)
                and operand.name.startswith("llvm.")
                and operand.name not in self._addresses
            ):
                operands.append((kind, None, (0, None)))
            else:
                operands.append((kind, None, self._constant(kind, operand)))
        return Prepared(instruction, tuple(operands))

    # -- what runs ask for -------------------------------------------------------------------------

    def variables(self, given: Input) -> list[Region]:
        """Return the static variables as an input fills them."""
        found = []
        offset = 0
        for address, size, initial in self._own:
            if given.variables is not None:
                contents = given.variables[offset : offset + size].ljust(size, b"\0")
            else:
                contents = initial or bytes(size)
            found.append(Region(address, contents, "variables", offset // 8))
            offset += (size + 7) // 8 * 8
        return found

    def initial_variables(self) -> bytes:
        """Return all static variables as they are at first, each filled up to 8 bytes."""
        found = b""
        for _, size, initial in self._own:
            contents = initial or bytes(size)
            found += contents + bytes(-size % 8)
        return found

    def stepped(self, kind: Type, base: Value, indices: Sequence[tuple[Type, Anything]]) -> Value:
        """Return the address that a ``getelementptr`` computes."""
        terms = self.terms
        place, stepped = base, kind
        for number, (index_type, index) in enumerate(indices):
            if not isinstance(index, tuple):
                raise Unreadable("a vector of addresses")
            if number and stepped.kind == "struct":
                offset, stepped = list(field_offsets(stepped))[index[0]]
                step: Value = (offset, None)
            else:
                if number:
                    stepped = stepped.parts[0]
                wide = terms.resized("sext", index, bits_of(index_type), 64)
                step = terms.operate("mul", wide, (size_of(stepped), None), 64)
            if step[0] or step[1] is not None:
                place = terms.operate("add", place, step, 64)
        return place
