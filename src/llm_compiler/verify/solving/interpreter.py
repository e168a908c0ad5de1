"""Runs a function's IR on one input, and says of each decision what of the input it depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_compiler.verify.inputs import Input
from llm_compiler.verify.library import REAL
from llm_compiler.verify.side_by_side.programs import stub_address
from llm_compiler.verify.solving.events import BRANCH, CHOICE, PIN, Ended, Event, Run, Site
from llm_compiler.verify.solving.intrinsics import INTRINSICS, call_intrinsic, intrinsic_name
from llm_compiler.verify.solving.ir_text import (
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
from llm_compiler.verify.solving.library_calls import LIBRARY, call_library
from llm_compiler.verify.solving.memory import Fault, Memory, Region
from llm_compiler.verify.solving.surroundings import STACK_TOP, VARIABLES, Answers, Surroundings
from llm_compiler.verify.solving.terms import Crash, Terms, Value

__all__ = ["Interpreter"]

_MOST_STEPS = 20_000
_MOST_EVENTS = 1_500
_MOST_DEPTH = 24
"""Of a function that calls itself."""
_MOST_ENTRIES = 300
"""Of a table that is read at an index of the input's."""
_STACK_BYTES = 0x38000
_FILL = b"\xa5"
_OF_FLOATS = frozenset({"fadd", "fsub", "fmul", "fdiv", "frem"})
_RESIZED = frozenset({"trunc", "zext", "sext"})
_CONVERTED = frozenset({"fptrunc", "fpext", "fptoui", "fptosi", "uitofp", "sitofp"})
_KEPT = frozenset({"ptrtoint", "inttoptr", "bitcast"})


Anything = Value | list["Anything"]
"""A scalar, or the values of an aggregate or a vector."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An instruction with its operands: a local's name, or a constant's value."""

    instruction: Instruction
    operands: tuple[tuple[Type, str | None, Anything], ...]


def _bits(kind: Type) -> int:
    return 64 if kind.kind == "pointer" else kind.bits


def _zero(kind: Type) -> Anything:
    if kind.is_sequence:
        return [_zero(kind.parts[0])] * kind.count
    if kind.kind == "struct":
        return [_zero(part) for part in kind.parts]
    return 0, None


class Interpreter:
    """A function, ready to be run."""

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
        self._function, self._surroundings, self._terms = function, surroundings, terms
        self._addresses = dict(surroundings.addresses)
        self._constants: list[Region] = []
        self._own: list[tuple[int, int, bytes | None]] = []
        """Static variables: where, how many bytes, and what they are at first if that is known."""
        self._lay_out(variables)
        self.blocks = {
            label: tuple(self._prepared(instruction) for instruction in block)
            for label, block in function.blocks.items()
        }
        if len(function.parameters) != len(surroundings.signature.parameters):
            raise Unreadable("parameters of several scalars")
        self._functions = {
            address: name for name, address in self._addresses.items() if name in self._named()
        }

    def _named(self) -> set[str]:
        return set(self._surroundings.world.functions) | set(REAL)

    # -- constants ---------------------------------------------------------------------------------

    def _lay_out(self, variables: dict[str, Variable]) -> None:
        place = VARIABLES
        own = dict(self._surroundings.world.variables)
        for name in (*own, *(name for name in variables if name not in own)):
            if name in self._addresses:
                continue
            variable = variables.get(name)
            size = own.get(name) or (size_of(variable.type) if variable else 0)
            self._addresses[name] = place
            place += (max(size, 1) + 63) // 16 * 16
        self._addresses.setdefault(self._surroundings.name, 0x39CE0000)
        for number, name in enumerate(REAL):
            # Nobody reads them; that they are told apart is enough.
            self._addresses.setdefault(name, 0x39CF0000 + 16 * number)
        for name, variable in variables.items():
            if variable.initial is None or name in own:
                continue
            contents = bytearray(size_of(variable.type))
            self._fill(contents, 0, variable.type, self._constant(variable.type, variable.initial))
            self._constants.append(
                Region(self._addresses[name], bytes(contents), is_constant=True)
            )
        for name, size in own.items():
            variable = variables.get(name)
            initial = None
            if variable is not None and variable.initial is not None:
                contents = bytearray(size_of(variable.type))
                value = self._constant(variable.type, variable.initial)
                self._fill(contents, 0, variable.type, value)
                initial = bytes(contents[:size]).ljust(size, b"\0")
            self._own.append((self._addresses[name], size, initial))

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
        return _zero(kind)

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
            return self._stepped(expression.type, first, indices)
        kind = expression.arguments[0][0]
        if expression.operation in _RESIZED:
            bits = _bits(kind), expression.type.bits
            return self._terms.resized(expression.operation, first, *bits)
        if expression.operation in _KEPT:
            bits = _bits(kind), _bits(expression.type)
            return self._terms.resized("zext" if bits[1] > bits[0] else "trunc", first, *bits)
        second = values[1]
        if expression.operation in _OF_FLOATS or not isinstance(second, tuple):
            raise Unreadable(f"an expression with '{expression.operation}'")
        return self._terms.operate(expression.operation, first, second, _bits(kind))

    def _prepared(self, instruction: Instruction) -> _Prepared:
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
        return _Prepared(instruction, tuple(operands))

    # -- a run -------------------------------------------------------------------------------------

    def run(self, given: Input) -> Run:
        """Run the function on an input; never raises."""
        return _Running(self, given).run()

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

    def _stepped(
        self, kind: Type, base: Value, indices: Sequence[tuple[Type, Anything]]
    ) -> Value:
        """Return the address that a ``getelementptr`` computes."""
        terms = self._terms
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
                wide = terms.resized("sext", index, _bits(index_type), 64)
                step = terms.operate("mul", wide, (size_of(stepped), None), 64)
            if step[0] or step[1] is not None:
                place = terms.operate("add", place, step, 64)
        return place


class _Running:
    """One run."""

    def __init__(self, interpreter: Interpreter, given: Input) -> None:
        self._of, self._given = interpreter, given
        self._terms = interpreter._terms
        self._memory = Memory(self._terms)
        surroundings = interpreter._surroundings
        self._answers = Answers(surroundings, given, self._memory, self._terms)
        self._locals: dict[str, Anything] = {}
        self._run = Run()
        self._pinned: set[object] = set()
        self._stack = STACK_TOP
        self._site: Site = ("", 0, 0)
        self._depth = self._steps = 0

    def run(self) -> Run:
        try:
            self._set_memory()
            self._set_parameters()
            self._go()
            self._run.end = "returns"
        except Fault as fault:
            self._run.end, self._run.lost = "lost", fault.address
        except Ended as error:
            self._run.end = str(error)
        except Crash:
            self._run.end = "division"
        except Unreadable as error:
            self._run.end = f"not interpreted: {error}"
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            # What a wrong text leads to, where LLVM's verifier looks no further.
            self._run.end = f"not interpreted: {error!r}"
        self._run.drawn = self._answers.drawn
        return self._run

    def _set_memory(self) -> None:
        for region in self._of._surroundings.buffers(self._given):
            self._memory.add(region)
        for region in (*self._of.variables(self._given), *self._of._constants):
            self._memory.add(region)
        words = b"".join(word.to_bytes(8, "little") for word in self._given.stack)
        self._memory.add(Region(STACK_TOP, words + bytes(256), "stack"))
        filled = _FILL * _STACK_BYTES
        self._memory.add(Region(STACK_TOP - _STACK_BYTES, filled))

    def _recurse(self, arguments: Sequence[tuple[Type, Anything]]) -> Anything:
        """Run the function itself, as one that it calls."""
        if self._depth == _MOST_DEPTH:
            raise Ended("too deep")
        outer, self._depth = self._locals, self._depth + 1
        names = [name for name, _ in self._of._function.parameters]
        if len(names) != len(arguments) or any(self._of._function.by_value):
            raise Ended("not interpreted: a call of itself with other parameters")
        self._locals = {
            name.strip('"'): value for name, (_, value) in zip(names, arguments, strict=True)
        }
        result = self._go()
        self._locals, self._depth = outer, self._depth - 1
        return result

    def _set_parameters(self) -> None:
        given, terms = self._given, self._terms
        function, frame = self._of._function, self._of._surroundings.frame
        for (name, kind), by_value, place in zip(
            function.parameters, function.by_value, frame.locations, strict=True
        ):
            value: Anything
            if by_value is not None and place.kind == "stack":
                value = (STACK_TOP + 8 * place.index, None)
            elif place.kind == "indirect":
                value = (given.indirect, None)
            elif place.kind == "float":
                words = given.floats[2 * place.index : 2 * place.index + 2]
                low = terms.word("floats", 2 * place.index), terms.word("floats", 2 * place.index + 1)
                value = self._from_words(kind, [(words[0], low[0]), (words[1], low[1])])
            else:
                part = "integers" if place.kind == "integer" else "stack"
                source = given.integers if place.kind == "integer" else given.stack
                pair = [
                    (source[i], terms.word(part, i))
                    for i in range(place.index, min(place.index + 2, len(source)))
                ]
                value = self._from_words(kind, pair)
            self._locals[name.strip('"')] = value

    def _from_words(self, kind: Type, words: Sequence[Value]) -> Anything:
        """Return what registers of 64 bits hold as a value of a type."""
        terms = self._terms
        if kind.kind == "vector":
            element = kind.parts[0]
            bits = _bits(element)
            lanes: list[Anything] = []
            for lane in range(kind.count):
                word = words[lane * bits // 64]
                moved = terms.operate("lshr", word, (lane * bits % 64, None), 64)
                lanes.append(self._from_words(element, [moved]))
            return lanes
        bits = _bits(kind)
        if bits > 64:
            if kind.kind != "integer" or len(words) < 2 or bits > 128:
                raise Ended("a wide parameter")
            low, high = (terms.resized("zext", word, 64, 128) for word in words[:2])
            shifted = terms.operate("shl", high, (64, None), 128)
            whole = terms.operate("or", low, shifted, 128)
            return terms.resized("trunc", whole, 128, bits)
        value = terms.resized("trunc", words[0], 64, bits) if bits < 64 else words[0]
        return terms.float_of(value, bits) if kind.kind == "float" else value

    # -- the way -----------------------------------------------------------------------------------

    def _go(self) -> Anything:
        """Run from the entry until the function returns; return what it does."""
        blocks = self._of.blocks
        label, before = next(iter(blocks)), ""
        while True:
            block = blocks[label]
            self._steps += len(block)
            if self._steps > _MOST_STEPS or len(self._run.events) > _MOST_EVENTS:
                raise Ended("too long")
            start = self._enter(block, before)
            after = ""
            for number in range(start, len(block)):
                self._site = (label, number, 0)
                if block[number].instruction.operation == "ret":
                    operands = block[number].operands
                    return self._value(operands[0]) if operands else (0, None)
                after = self._step(block[number])
                if after:
                    break
            before, label = label, after

    def _enter(self, block: Sequence[_Prepared], before: str) -> int:
        """Set a block's phis, all at once; return how many there are."""
        found: list[tuple[str, Anything]] = []
        for prepared in block:
            instruction = prepared.instruction
            if instruction.operation != "phi":
                break
            index = instruction.labels.index(before)
            found.append((instruction.result.strip('"'), self._value(prepared.operands[index])))
        self._locals.update(found)
        return len(found)

    def _value(self, operand: tuple[Type, str | None, Anything]) -> Anything:
        return operand[2] if operand[1] is None else self._locals[operand[1]]

    def _scalar(self, operand: tuple[Type, str | None, Anything]) -> Value:
        value = self._value(operand)
        if isinstance(value, list):
            raise Ended("a vector where a number is due")
        return value

    def _step(self, prepared: _Prepared) -> str:
        """Run an instruction; return where it leads, if it ends the block."""
        instruction, operands = prepared.instruction, prepared.operands
        operation = instruction.operation
        method = _STEPS.get(operation)
        value: Anything
        if method is not None:
            value = method(self, instruction, operands)
        elif operation in _TERMINATORS:
            return _TERMINATORS[operation](self, instruction, operands)
        elif operation in _OF_FLOATS:
            value = self._each(
                instruction.type,
                lambda kind, a, b: self._terms.operate_on_floats(operation, a, b, kind.bits),
                *map(self._value, operands),
            )
        elif operation in _RESIZED or operation in _CONVERTED or operation in _KEPT:
            value = self._cast(instruction, operands[0])
        elif operation in _PASSED_OVER:
            return ""
        else:
            value = self._operated(instruction, operands)
        if instruction.result:
            self._locals[instruction.result.strip('"')] = value
        return ""

    def _each(self, kind: Type, function: Callable[..., Value], *values: Anything) -> Anything:
        """Return a function of scalars, of each lane of vectors."""
        if kind.is_sequence:
            element = kind.parts[0]
            lanes = [value for value in values if isinstance(value, list)]
            return [self._each(element, function, *lane) for lane in zip(*lanes, strict=True)]
        return function(kind, *values)

    def _operated(self, instruction: Instruction, operands: _Operands) -> Anything:
        operation = instruction.operation
        if operation not in _INTEGER:
            raise Ended(f"not interpreted: '{operation}'")
        if instruction.type.kind == "integer" and instruction.type.bits == 1:
            for index, operand in enumerate(operands):
                self._choice(self._scalar(operand), index)
        return self._each(
            instruction.type,
            lambda kind, a, b: self._terms.operate(operation, a, b, _bits(kind)),
            *map(self._value, operands),
        )

    def _choice(self, condition: Value, index: int = 0) -> None:
        """Note what a condition is that decides a value."""
        site = (self._site[0], self._site[1], index)
        known, term = condition
        self._run.taken.add((site, known))
        if term is not None:
            other = self._terms.negated(term)
            ours, theirs = (term, other) if known else (other, term)
            self._run.events.append(Event(CHOICE, site, known, ours, ((1 - known, theirs),)))

    def _pin(self, value: Value) -> int:
        """Take a number as what it is on this input, and note that it was."""
        known, term = value
        if term is not None and term not in self._pinned:
            self._pinned.add(term)
            equal = self._terms.compare("eq", value, (known, None), 64)[1]
            self._run.events.append(Event(PIN, self._site, 0, equal))
        return known

    # -- casts and comparisons ---------------------------------------------------------------------

    def _cast(self, instruction: Instruction, operand: tuple[Type, str | None, Anything]) -> Anything:
        given, wanted = operand[0], instruction.type
        value = self._value(operand)
        operation = instruction.operation
        if operation in _KEPT:
            return self._kept(operation, given, wanted, value)
        element = given.parts[0] if given.is_sequence else given
        if operation in _RESIZED:
            return self._each(
                wanted,
                lambda kind, each: self._terms.resized(
                    operation, each, _bits(element), _bits(kind)
                ),
                value,
            )
        bits = {element.bits} | {(wanted.parts[0] if wanted.is_sequence else wanted).bits}
        if bits & {16, 80, 128} and operation not in ("sitofp", "uitofp", "fptosi", "fptoui"):
            raise Ended("not interpreted: a number of another format")
        return self._each(
            wanted,
            lambda kind, each: self._terms.converted(operation, each, element.bits, kind.bits),
            value,
        )

    def _kept(self, operation: str, given: Type, wanted: Type, value: Anything) -> Anything:
        if operation != "bitcast":
            bits = _bits(given.parts[0] if given.is_sequence else given)
            return self._each(
                wanted,
                lambda kind, each: self._terms.resized(
                    "zext" if _bits(kind) > bits else "trunc", each, bits, _bits(kind)
                ),
                value,
            )
        whole = self._packed(given, value)
        return self._unpacked(wanted, whole, 8 * size_of(wanted))

    def _packed(self, kind: Type, value: Anything) -> Value:
        """Return the bits of a value as one integer."""
        terms = self._terms
        if isinstance(value, tuple):
            return terms.bits_of(value) if kind.kind == "float" else value
        element = kind.parts[0]
        bits = _bits(element)
        total = bits * kind.count
        found: Value = (0, None)
        for index, lane in enumerate(value):
            wide = terms.resized("zext", self._packed(element, lane), bits, total)
            shifted = terms.operate("shl", wide, (index * bits, None), total)
            found = terms.operate("or", found, shifted, total)
        return found

    def _unpacked(self, kind: Type, whole: Value, total: int) -> Anything:
        terms = self._terms
        if not kind.is_sequence:
            return terms.float_of(whole, kind.bits) if kind.kind == "float" else whole
        element = kind.parts[0]
        bits = _bits(element)
        total = bits * kind.count
        return [
            self._unpacked(
                element,
                terms.resized(
                    "trunc", terms.operate("lshr", whole, (index * bits, None), total), total, bits
                ),
                bits,
            )
            for index in range(kind.count)
        ]

    def _icmp(self, instruction: Instruction, operands: _Operands) -> Anything:
        return self._each(
            instruction.type,
            lambda kind, a, b: self._terms.compare(instruction.detail, a, b, _bits(kind)),
            *map(self._value, operands),
        )

    def _fcmp(self, instruction: Instruction, operands: _Operands) -> Anything:
        return self._each(
            instruction.type,
            lambda kind, a, b: self._terms.compare_floats(instruction.detail, a, b, kind.bits),
            *map(self._value, operands),
        )

    def _fneg(self, instruction: Instruction, operands: _Operands) -> Anything:
        def negative(kind: Type, value: Value) -> Value:
            return self._terms.operate_on_floats(
                "fmul", value, ({32: 0xBF800000, 64: 0xBFF << 52}[kind.bits], None), kind.bits
            )

        return self._each(instruction.type, negative, self._value(operands[0]))

    def _freeze(self, instruction: Instruction, operands: _Operands) -> Anything:
        return self._value(operands[0])

    def _select(self, instruction: Instruction, operands: _Operands) -> Anything:
        condition = self._value(operands[0])
        yes, no = self._value(operands[1]), self._value(operands[2])
        if isinstance(condition, list):
            if not isinstance(yes, list) or not isinstance(no, list):
                raise Ended("not interpreted: a select")
            return [
                self._chosen(instruction.type.parts[0], c, a, b)
                for c, a, b in zip(condition, yes, no, strict=True)
            ]
        self._choice(condition)
        return self._chosen(instruction.type, condition, yes, no)

    def _chosen(self, kind: Type, condition: Anything, yes: Anything, no: Anything) -> Anything:
        if (
            isinstance(condition, tuple)
            and isinstance(yes, tuple)
            and isinstance(no, tuple)
            and kind.kind in ("integer", "pointer")
        ):
            return self._terms.choose(condition, yes, no, _bits(kind))
        return yes if condition[0] else no

    # -- memory ------------------------------------------------------------------------------------

    def _alloca(self, instruction: Instruction, operands: _Operands) -> Anything:
        count = self._pin(self._wide(operands[0])) if operands else 1
        size = (size_of(instruction.type) * count + 15) // 16 * 16
        if size > STACK_TOP - self._stack + _STACK_BYTES or self._stack - size < STACK_TOP - _STACK_BYTES:
            raise Ended("a stack that is too large")
        self._stack -= size
        return self._stack, None

    def _wide(self, operand: tuple[Type, str | None, Anything]) -> Value:
        return self._terms.resized("zext", self._scalar(operand), _bits(operand[0]), 64)

    def _gep(self, instruction: Instruction, operands: _Operands) -> Anything:
        indices = [(operand[0], self._value(operand)) for operand in operands[1:]]
        return self._of._stepped(instruction.type, self._scalar(operands[0]), indices)

    def _load(self, instruction: Instruction, operands: _Operands) -> Anything:
        address = self._scalar(operands[0])
        if instruction.type.is_scalar and address[1] is not None:
            found = self._looked_up(instruction.type, address)
            if found is not None:
                return found
        self._check(address, size_of(instruction.type))
        self._pin(address)
        return self._read(instruction.type, address[0])

    def _check(self, address: Value, size: int) -> None:
        if self._memory.region(address[0], size) is None:
            raise Fault(address)

    def _looked_up(self, kind: Type, address: Value) -> Value | None:
        """Return what a table of constants has at an index of the input's."""
        terms, size = self._terms, size_of(kind)
        known, term = address
        region = self._memory.region(known, size)
        if region is None or not region.is_constant or kind.kind == "float":
            return None
        first = region.start + (known - region.start) % size
        places = range(first, region.end - size + 1, size)
        if len(places) > _MOST_ENTRIES:
            return None
        entries = [int.from_bytes(region.contents[p - region.start : p - region.start + size], "little") for p in places]
        bits = _bits(kind)
        mask = (1 << bits) - 1
        found = terms.constant(entries[-1] & mask, bits)
        for place, entry in list(zip(places, entries, strict=True))[-2::-1]:
            here = terms.compare("eq", address, (place, None), 64)[1]
            found = terms.choose((0, here), (entry & mask, None), (0, found), bits)[1]
        within = terms.compare(
            "ule",
            terms.operate("sub", address, (first, None), 64),
            (places[-1] - first, None),
            64,
        )[1]
        self._run.events.append(Event(PIN, self._site, 0, within))
        if size > 1:
            low = terms.resized("trunc", terms.operate("sub", address, (first, None), 64), 64, 64)
            rest = terms.operate("and", low, (size - 1, None), 64) if size & (size - 1) == 0 else low
            aligned = terms.compare("eq", rest, (0, None), 64)[1]
            if size & (size - 1) == 0:
                self._run.events.append(Event(PIN, self._site, 0, aligned))
        return entries[(known - first) // size] & mask, found

    def _read(self, kind: Type, place: int) -> Anything:
        if kind.kind == "struct":
            return [self._read(part, place + offset) for offset, part in field_offsets(kind)]
        if kind.is_sequence:
            step = size_of(kind.parts[0])
            return [self._read(kind.parts[0], place + i * step) for i in range(kind.count)]
        value = self._memory.read((place, None), size_of(kind))
        bits = _bits(kind)
        if bits < 8 * size_of(kind):
            value = self._terms.resized("trunc", value, 8 * size_of(kind), bits)
        return self._terms.float_of(value, bits) if kind.kind == "float" else value

    def _store(self, instruction: Instruction, operands: _Operands) -> Anything:
        address = self._scalar(operands[1])
        self._check(address, size_of(instruction.type))
        self._write(instruction.type, self._pin(address), self._value(operands[0]))
        return 0, None

    def _write(self, kind: Type, place: int, value: Anything) -> None:
        if isinstance(value, list):
            if kind.kind == "struct":
                for (offset, part), each in zip(field_offsets(kind), value, strict=True):
                    self._write(part, place + offset, each)
                return
            step = size_of(kind.parts[0])
            for index, each in enumerate(value):
                self._write(kind.parts[0], place + index * step, each)
            return
        if kind.kind == "float":
            value = self._terms.bits_of(value)
        size = size_of(kind)
        bits = _bits(kind)
        if bits < 8 * size:
            value = self._terms.resized("zext", value, bits, 8 * size)
        self._memory.write((place, None), value, size)

    def _atomicrmw(self, instruction: Instruction, operands: _Operands) -> Anything:
        address = self._scalar(operands[0])
        kind, bits = instruction.type, _bits(instruction.type)
        self._check(address, size_of(kind))
        old, given = self._read(kind, self._pin(address)), self._scalar(operands[1])
        if isinstance(old, list) or kind.kind == "float":
            raise Ended("not interpreted: an atomic operation on floats")
        if instruction.detail == "xchg":
            new = given
        elif instruction.detail in _INTEGER:
            new = self._terms.operate(instruction.detail, old, given, bits)
        else:
            raise Ended(f"not interpreted: 'atomicrmw {instruction.detail}'")
        self._write(kind, address[0], new)
        return old

    def _cmpxchg(self, instruction: Instruction, operands: _Operands) -> Anything:
        address = self._scalar(operands[0])
        kind = instruction.type
        self._check(address, size_of(kind))
        old = self._read(kind, self._pin(address))
        if isinstance(old, list):
            raise Ended("not interpreted: 'cmpxchg'")
        same = self._terms.compare("eq", old, self._scalar(operands[1]), _bits(kind))
        self._choice(same)
        if same[0]:
            self._write(kind, address[0], self._scalar(operands[2]))
        return [old, same]

    # -- aggregates --------------------------------------------------------------------------------

    def _extractvalue(self, instruction: Instruction, operands: _Operands) -> Anything:
        value = self._value(operands[0])
        for index in instruction.numbers:
            assert isinstance(value, list)
            value = value[index]
        return value

    def _insertvalue(self, instruction: Instruction, operands: _Operands) -> Anything:
        whole, part = self._value(operands[0]), self._value(operands[1])
        return _replaced(whole, instruction.numbers, part)

    def _lane(self, operands: _Operands, number: int) -> int:
        return self._pin(self._wide(operands[number]))

    def _extractelement(self, instruction: Instruction, operands: _Operands) -> Anything:
        lanes = self._value(operands[0])
        assert isinstance(lanes, list)
        return lanes[self._lane(operands, 1)]

    def _insertelement(self, instruction: Instruction, operands: _Operands) -> Anything:
        lane = self._lane(operands, 2)
        return _replaced(self._value(operands[0]), (lane,), self._value(operands[1]))

    def _shufflevector(self, instruction: Instruction, operands: _Operands) -> Anything:
        first, second, chosen = (self._value(operand) for operand in operands)
        assert isinstance(first, list)
        assert isinstance(second, list)
        assert isinstance(chosen, list)
        lanes = first + second
        return [lanes[index[0] % len(lanes)] for index in chosen if isinstance(index, tuple)]

    # -- calls -------------------------------------------------------------------------------------

    def _call(self, instruction: Instruction, operands: _Operands) -> Anything:
        target = instruction.operands[0][1]
        arguments = list(zip((o[0] for o in operands[1:]), map(self._value, operands[1:]), strict=True))
        if isinstance(target, Address):
            name = target.name
            called = intrinsic_name(name)
            if called is not None and called not in self._of._surroundings.world.functions:
                return call_intrinsic(
                    INTRINSICS, called, instruction.type, arguments, self._memory, self._terms
                )
            name = called or name
        else:
            address = self._scalar(operands[0])
            found = self._of._functions.get(address[0])
            if found is None and address[0] not in self._of._surroundings.callable_addresses():
                self._run.is_called = True
                raise Fault(address)
            self._pin(address)
            name = found or ""
            if not name:
                return self._answered((address[0] - stub_address(0)) // 32, instruction, arguments)
        if name in LIBRARY and name not in self._of._surroundings.world.functions:
            words = [
                self._terms.resized("zext", value, _bits(kind), 64)
                for kind, value in arguments
                if isinstance(value, tuple) and kind.kind != "float"
            ]
            result = call_library(name, [(self._pin_size(name, i, w)) for i, w in enumerate(words)], self._memory, self._terms)
            return self._terms.resized("trunc", result, LIBRARY[name][2], _bits(instruction.type)) if (
                instruction.type.kind != "void"
            ) else (0, None)
        functions = self._of._surroundings.world.functions
        if name == self._of._surroundings.name:
            return self._recurse(arguments)
        if name not in functions:
            raise Ended(f"not interpreted: a call of '{name}'")
        return self._answered(functions.index(name), instruction, arguments)

    def _pin_size(self, name: str, index: int, word: Value) -> Value:
        """Addresses and sizes of what is copied are taken as they are; texts are looked at."""
        self._pin(word)
        return word

    def _answered(
        self, number: int, instruction: Instruction, arguments: Sequence[tuple[Type, Anything]]
    ) -> Anything:
        words: list[Value] = []
        for kind, value in arguments:
            if isinstance(value, tuple) and kind.kind in ("integer", "pointer"):
                if _bits(kind) > 64:
                    words += [(value[0] & ((1 << 64) - 1), None), (value[0] >> 64, None)]
                else:
                    words.append(self._terms.resized("zext", value, _bits(kind), 64))
        words = words[: self._of._surroundings.num_registers]
        results = self._answers.call(number, words)
        return self._result(instruction.type, list(results))

    def _result(self, kind: Type, results: list[Value]) -> Anything:
        terms = self._terms
        if kind.kind == "void":
            return 0, None
        if kind.kind == "struct":
            parts: list[Anything] = []
            integers = results[:2]
            for part in kind.parts:
                if part.kind in ("integer", "pointer") and integers:
                    parts.append(self._from_words(part, [integers.pop(0)]))
                else:
                    parts.append(self._result(part, results))
            return parts
        if kind.kind == "float" and kind.bits <= 64:
            return self._from_words(kind, [results[2]])
        if kind.is_sequence:
            return _zero(kind)
        if _bits(kind) > 64:
            low, high = (terms.resized("zext", word, 64, 128) for word in results[:2])
            shifted = terms.operate("shl", high, (64, None), 128)
            return terms.operate("or", low, shifted, 128)
        return self._from_words(kind, results[:1])

    # -- where blocks lead -------------------------------------------------------------------------

    def _br(self, instruction: Instruction, operands: _Operands) -> str:
        labels = instruction.labels
        if not operands:
            return labels[0]
        known, term = self._scalar(operands[0])
        site = self._site
        self._run.taken.add((site, known))
        if term is not None:
            other = self._terms.negated(term)
            ours, theirs = (term, other) if known else (other, term)
            self._run.events.append(Event(BRANCH, site, known, ours, ((1 - known, theirs),)))
        return labels[0] if known else labels[1]

    def _switch(self, instruction: Instruction, operands: _Operands) -> str:
        value = self._scalar(operands[0])
        known, term = value
        cases = instruction.numbers
        chosen = cases.index(known) + 1 if known in cases else 0
        self._run.taken.add((self._site, chosen))
        if term is not None:
            bits = _bits(instruction.type)
            terms = [self._terms.compare("eq", value, (case, None), bits)[1] for case in cases]
            none = self._terms.no
            for each in terms:
                none = self._terms.either(none, each)
            every = [self._terms.negated(none), *terms]
            others = tuple((i, each) for i, each in enumerate(every) if i != chosen)
            self._run.events.append(Event(BRANCH, self._site, chosen, every[chosen], others))
        return instruction.labels[chosen]

    def _invoke(self, instruction: Instruction, operands: _Operands) -> str:
        value = self._call(instruction, operands)
        if instruction.result:
            self._locals[instruction.result.strip('"')] = value
        return instruction.labels[0]

    def _unreachable(self, instruction: Instruction, operands: _Operands) -> str:
        raise Ended("unreachable")


def _replaced(whole: Anything, path: Sequence[int], part: Anything) -> Anything:
    if not path:
        return part
    assert isinstance(whole, list)
    made = list(whole)
    made[path[0]] = _replaced(made[path[0]], path[1:], part)
    return made


_Operands = tuple[tuple[Type, str | None, Anything], ...]
_INTEGER = frozenset(
    "add sub mul udiv sdiv urem srem shl lshr ashr and or xor".split()
)
_PASSED_OVER = frozenset({"fence", "nothing"})
_STEPS: dict[str, Callable[[_Running, Instruction, _Operands], Anything]] = {
    "alloca": _Running._alloca,
    "atomicrmw": _Running._atomicrmw,
    "call": _Running._call,
    "cmpxchg": _Running._cmpxchg,
    "extractelement": _Running._extractelement,
    "extractvalue": _Running._extractvalue,
    "fcmp": _Running._fcmp,
    "fneg": _Running._fneg,
    "freeze": _Running._freeze,
    "getelementptr": _Running._gep,
    "icmp": _Running._icmp,
    "insertelement": _Running._insertelement,
    "insertvalue": _Running._insertvalue,
    "load": _Running._load,
    "select": _Running._select,
    "shufflevector": _Running._shufflevector,
    "store": _Running._store,
}
_TERMINATORS: dict[str, Callable[[_Running, Instruction, _Operands], str]] = {
    "br": _Running._br,
    "invoke": _Running._invoke,
    "switch": _Running._switch,
    "unreachable": _Running._unreachable,
}
