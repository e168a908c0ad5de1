"""Runs a function's IR on one input, and says of each decision what of the input it depends on."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from bitwuzla import BitwuzlaException

from llm_compiler.verify.inputs import Input
from llm_compiler.verify.solving.calls import call_function
from llm_compiler.verify.solving.edges import edges_of
from llm_compiler.verify.solving.events import BRANCH, CHOICE, EDGE, PIN, Ended, Event, Run, Site
from llm_compiler.verify.solving.ir import Instruction, Unreadable
from llm_compiler.verify.solving.ir_types import Type, size_of
from llm_compiler.verify.solving.ir_values import CASTS
from llm_compiler.verify.solving.laid_out import OF_FLOATS, LaidOut, Prepared
from llm_compiler.verify.solving.memory import Fault, Memory, Region
from llm_compiler.verify.solving.surroundings import STACK_TOP, Answers
from llm_compiler.verify.solving.tables import looked_up
from llm_compiler.verify.solving.terms import Crash, Term, Value
from llm_compiler.verify.solving.typed_values import (
    Anything,
    bits_of,
    cast,
    each_lane,
    from_words,
    read_typed,
    replaced,
    write_typed,
)

__all__ = ["Interpreter"]

_MOST_STEPS = 20_000
_MOST_EVENTS = 1_500
_MOST_DEPTH = 24
"""Of a function that calls itself."""
_STACK_BYTES = 0x38000
_FILL = b"\xa5"
"""What the driver fills the stack with."""

_WRONG = (
    Unreadable,
    BitwuzlaException,
    struct.error,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    OverflowError,
    AssertionError,
    MemoryError,
)

_Operand = tuple[Type, str | None, Anything]
_Operands = tuple[_Operand, ...]


class Interpreter:
    """One run of a function on one input."""

    def __init__(self, laid_out: LaidOut, given: Input) -> None:
        self.laid_out, self.surroundings = laid_out, laid_out.surroundings
        self.terms = laid_out.terms
        self.memory = Memory(self.terms)
        self.answers = Answers(self.surroundings, given, self.memory, self.terms)
        self.events = Run()
        self._given = given
        self._locals: dict[str, Anything] = {}
        self._pinned: set[Term] = set()
        self._stack = STACK_TOP
        self._site: Site = ("", 0, 0)
        self._depth = self._steps = 0

    def run(self) -> Run:
        """Run until the function returns, or cannot go on; never raises."""
        run = self.events
        try:
            self._set_memory()
            self._set_parameters()
            result = self._go()
            run.end, run.result = "returns", None if isinstance(result, list) else result
        except Fault as fault:
            run.end, run.lost = "lost", fault.address
        except Ended as error:
            run.end = str(error)
        except Crash:
            run.end = "division"
        except _WRONG as error:
            # What a wrong text leads to, where LLVM's verifier looks no further.
            run.end = f"not interpreted: {error!r}"
        run.drawn = self.answers.drawn
        run.touched = frozenset(self.memory.touched)
        return run

    def recurse(self, arguments: Sequence[Anything]) -> Anything:
        """Run the function itself, as one that it calls; return what it returns.

        Raises:
            Ended: it calls itself too often.
        """
        if self._depth == _MOST_DEPTH:
            raise Ended("too deep")
        function = self.laid_out.function
        if len(function.parameters) != len(arguments) or any(function.by_value):
            raise Ended("not interpreted: a call of itself with other parameters")
        outer, self._depth = self._locals, self._depth + 1
        names = [name.strip('"') for name, _ in function.parameters]
        self._locals = dict(zip(names, arguments, strict=True))
        result = self._go()
        self._locals, self._depth = outer, self._depth - 1
        return result

    # -- before ------------------------------------------------------------------------------------

    def _set_memory(self) -> None:
        for region in self.surroundings.buffers(self._given):
            self.memory.add(region)
        for region in (*self.laid_out.variables(self._given), *self.laid_out.constants):
            self.memory.add(region)
        words = b"".join(word.to_bytes(8, "little") for word in self._given.stack)
        self.memory.add(Region(STACK_TOP, words + bytes(256), "stack"))
        self.memory.add(Region(STACK_TOP - _STACK_BYTES, _FILL * _STACK_BYTES))

    def _set_parameters(self) -> None:
        given, word = self._given, self.terms.word
        function, frame = self.laid_out.function, self.surroundings.frame
        for (name, kind), by_value, place in zip(
            function.parameters, function.by_value, frame.locations, strict=True
        ):
            value: Anything
            if by_value is not None and place.kind == "stack":
                value = (STACK_TOP + 8 * place.index, None)
            elif place.kind == "indirect":
                value = (given.indirect, None)
            else:
                part = {"integer": "integers", "float": "floats"}.get(place.kind, "stack")
                first = 2 * place.index if part == "floats" else place.index
                source: Sequence[int] = getattr(given, part)
                words = [
                    (source[number], word(part, number))
                    for number in range(first, min(first + 2, len(source)))
                ]
                value = from_words(self.terms, kind, words)
            self._locals[name.strip('"')] = value

    # -- the way -----------------------------------------------------------------------------------

    def _go(self) -> Anything:
        """Run from the entry until the function returns; return what it does."""
        blocks = self.laid_out.blocks
        label, before = next(iter(blocks)), ""
        while True:
            block = blocks[label]
            self._steps += len(block)
            if self._steps > _MOST_STEPS or len(self.events.events) > _MOST_EVENTS:
                raise Ended("too long")
            after = ""
            for number in range(self._enter(block, before), len(block)):
                self._site = (label, number, 0)
                prepared = block[number]
                if prepared.instruction.operation == "ret":
                    return self._value(prepared.operands[0]) if prepared.operands else (0, None)
                after = self._step(prepared)
                if after:
                    break
            before, label = label, after

    def _enter(self, block: Sequence[Prepared], before: str) -> int:
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

    def _value(self, operand: _Operand) -> Anything:
        return operand[2] if operand[1] is None else self._locals[operand[1]]

    def _scalar(self, operand: _Operand) -> Value:
        value = self._value(operand)
        if isinstance(value, list):
            raise Ended("not interpreted: a vector where a number is due")
        return value

    def _step(self, prepared: Prepared) -> str:
        """Run an instruction; return where it leads, if it ends the block."""
        instruction, operands = prepared.instruction, prepared.operands
        operation = instruction.operation
        if operation in _TERMINATORS:
            return _TERMINATORS[operation](self, instruction, operands)
        if operation in _PASSED_OVER:
            return ""
        method = _STEPS.get(operation)
        value: Anything
        if method is not None:
            value = method(self, instruction, operands)
        elif operation in CASTS:
            given = operands[0]
            value = cast(self.terms, operation, given[0], instruction.type, self._value(given))
        else:
            value = self._operated(instruction, operands)
        if instruction.result:
            self._locals[instruction.result.strip('"')] = value
        return ""

    def _operated(self, instruction: Instruction, operands: _Operands) -> Anything:
        operation, terms = instruction.operation, self.terms
        values = map(self._value, operands)
        if operation in OF_FLOATS:
            return each_lane(
                instruction.type,
                lambda kind, a, b: terms.operate_on_floats(operation, a, b, kind.bits),
                *values,
            )
        if operation not in _OF_INTEGERS:
            raise Ended(f"not interpreted: '{operation}'")
        if instruction.type == _BOOLEAN:
            for index, operand in enumerate(operands):
                self._choose(self._scalar(operand), index)
        return each_lane(
            instruction.type,
            lambda kind, a, b: terms.operate(operation, a, b, bits_of(kind)),
            *values,
        )

    # -- decisions ---------------------------------------------------------------------------------

    def _decide(self, kind: str, site: Site, condition: Value) -> None:
        known, term = condition
        self.events.taken.add((site, known))
        if term is not None:
            other = self.terms.negated(term)
            ours, theirs = (term, other) if known else (other, term)
            self.events.events.append(Event(kind, site, known, ours, ((1 - known, theirs),)))

    def _choose(self, condition: Value, index: int = 0) -> None:
        """Note a condition that decides a value."""
        self._decide(CHOICE, (self._site[0], self._site[1], index), condition)

    def pin(self, value: Value) -> int:
        """Take a number of 64 bits as what it is on this input, and note that it was."""
        known, term = value
        if term is not None and term not in self._pinned:
            self._pinned.add(term)
            self._note_pin(self.terms.compare("eq", value, (known, None), 64)[1])
        return known

    def _note_pin(self, term: Term) -> None:
        self.events.events.append(Event(PIN, self._site, 0, term))

    def _br(self, instruction: Instruction, operands: _Operands) -> str:
        labels = instruction.labels
        if not operands:
            return labels[0]
        condition = self._scalar(operands[0])
        self._decide(BRANCH, self._site, condition)
        return labels[0] if condition[0] else labels[1]

    def _switch(self, instruction: Instruction, operands: _Operands) -> str:
        value = self._scalar(operands[0])
        known, term = value
        cases, terms = instruction.numbers, self.terms
        chosen = cases.index(known) + 1 if known in cases else 0
        self.events.taken.add((self._site, chosen))
        if term is not None:
            bits = bits_of(instruction.type)
            equal = [terms.compare("eq", value, (case, None), bits)[1] for case in cases]
            any_of_them = terms.no
            for each in equal:
                any_of_them = terms.either(any_of_them, each)
            every = [terms.negated(any_of_them), *equal]
            others = tuple((i, each) for i, each in enumerate(every) if i != chosen)
            self.events.events.append(Event(BRANCH, self._site, chosen, every[chosen], others))
        return instruction.labels[chosen]

    def _invoke(self, instruction: Instruction, operands: _Operands) -> str:
        value = self._call(instruction, operands)
        if instruction.result:
            self._locals[instruction.result.strip('"')] = value
        return instruction.labels[0]

    def _call(self, instruction: Instruction, operands: _Operands) -> Anything:
        arguments = [(operand[0], self._value(operand)) for operand in operands[1:]]
        return call_function(self, instruction, self._scalar(operands[0]), arguments)

    def _unreachable(self, instruction: Instruction, operands: _Operands) -> str:
        raise Ended("unreachable")

    # -- values ------------------------------------------------------------------------------------

    def _icmp(self, instruction: Instruction, operands: _Operands) -> Anything:
        values = [self._value(operand) for operand in operands]
        found = each_lane(
            instruction.type,
            lambda kind, a, b: self.terms.compare(instruction.detail, a, b, bits_of(kind)),
            *values,
        )
        ours, theirs = values
        if isinstance(found, tuple) and isinstance(ours, tuple) and isinstance(theirs, tuple):
            if instruction.detail in ("eq", "ne"):
                self._choose(found, 1)
            else:
                self._note_edges(instruction.detail, ours, theirs, bits_of(instruction.type))
        return found

    def _note_edges(self, predicate: str, ours: Value, theirs: Value, bits: int) -> None:
        if ours[1] is None and theirs[1] is None:
            return
        for number, edge in enumerate(edges_of(self.terms, predicate, ours, theirs, bits)):
            is_met, term = edge
            site = (self._site[0], self._site[1], 2 + number)
            self.events.taken.add((site, is_met))
            if term is not None and not is_met:
                self.events.events.append(Event(EDGE, site, 0, term, ((1, term),)))

    def _fcmp(self, instruction: Instruction, operands: _Operands) -> Anything:
        return each_lane(
            instruction.type,
            lambda kind, a, b: self.terms.compare_floats(instruction.detail, a, b, kind.bits),
            *map(self._value, operands),
        )

    def _fneg(self, instruction: Instruction, operands: _Operands) -> Anything:
        def negative(kind: Type, value: Value) -> Value:
            minus_one: Value = ({32: 0xBF800000, 64: 0xBFF << 52}[kind.bits], None)
            return self.terms.operate_on_floats("fmul", value, minus_one, kind.bits)

        return each_lane(instruction.type, negative, self._value(operands[0]))

    def _freeze(self, instruction: Instruction, operands: _Operands) -> Anything:
        return self._value(operands[0])

    def _select(self, instruction: Instruction, operands: _Operands) -> Anything:
        condition, yes, no = (self._value(operand) for operand in operands)
        if isinstance(condition, list):
            if not isinstance(yes, list) or not isinstance(no, list):
                raise Ended("not interpreted: a select of vectors")
            element = instruction.type.parts[0]
            lanes = zip(condition, yes, no, strict=True)
            return [self._selected(element, c, a, b) for c, a, b in lanes]
        self._choose(condition)
        return self._selected(instruction.type, condition, yes, no)

    def _selected(self, kind: Type, condition: Anything, yes: Anything, no: Anything) -> Anything:
        is_of_integers = kind.kind in ("integer", "pointer")
        if isinstance(condition, list):
            raise Ended("not interpreted: a select of vectors")
        if is_of_integers and isinstance(yes, tuple) and isinstance(no, tuple):
            return self.terms.choose(condition, yes, no, bits_of(kind))
        return yes if condition[0] else no

    def _extractvalue(self, instruction: Instruction, operands: _Operands) -> Anything:
        value = self._value(operands[0])
        for index in instruction.numbers:
            assert isinstance(value, list)
            value = value[index]
        return value

    def _insertvalue(self, instruction: Instruction, operands: _Operands) -> Anything:
        whole, part = self._value(operands[0]), self._value(operands[1])
        return replaced(whole, instruction.numbers, part)

    def _extractelement(self, instruction: Instruction, operands: _Operands) -> Anything:
        lanes = self._value(operands[0])
        assert isinstance(lanes, list)
        return lanes[self.pin(self._wide(operands[1]))]

    def _insertelement(self, instruction: Instruction, operands: _Operands) -> Anything:
        lane = self.pin(self._wide(operands[2]))
        return replaced(self._value(operands[0]), (lane,), self._value(operands[1]))

    def _shufflevector(self, instruction: Instruction, operands: _Operands) -> Anything:
        first, second, chosen = (self._value(operand) for operand in operands)
        assert isinstance(first, list)
        assert isinstance(second, list)
        assert isinstance(chosen, list)
        lanes = first + second
        return [lanes[index[0] % len(lanes)] for index in chosen if isinstance(index, tuple)]

    # -- memory ------------------------------------------------------------------------------------

    def _wide(self, operand: _Operand) -> Value:
        return self.terms.resized("zext", self._scalar(operand), bits_of(operand[0]), 64)

    def _alloca(self, instruction: Instruction, operands: _Operands) -> Anything:
        count = self.pin(self._wide(operands[0])) if operands else 1
        size = (size_of(instruction.type) * count + 15) // 16 * 16
        if self._stack - size < STACK_TOP - _STACK_BYTES:
            raise Ended("the stack is full")
        self._stack -= size
        return self._stack, None

    def _getelementptr(self, instruction: Instruction, operands: _Operands) -> Anything:
        indices = [(operand[0], self._value(operand)) for operand in operands[1:]]
        return self.laid_out.stepped(instruction.type, self._scalar(operands[0]), indices)

    def _place(self, operand: _Operand, kind: Type) -> int:
        """Return where a value of a type is that is read or stored, and note that it is there."""
        address = self._scalar(operand)
        if self.memory.region(address[0], size_of(kind)) is None:
            raise Fault(address)
        return self.pin(address)

    def _read(self, kind: Type, place: int) -> Anything:
        return read_typed(self.memory, self.terms, kind, place)

    def _write(self, kind: Type, place: int, value: Anything) -> None:
        write_typed(self.memory, self.terms, kind, place, value)

    def _load(self, instruction: Instruction, operands: _Operands) -> Anything:
        address = self._scalar(operands[0])
        found = looked_up(self.memory, self.terms, instruction.type, address)
        if found is None:
            return self._read(instruction.type, self._place(operands[0], instruction.type))
        for term in found.conditions:
            self._note_pin(term)
        return found.value

    def _store(self, instruction: Instruction, operands: _Operands) -> Anything:
        place = self._place(operands[1], instruction.type)
        self._write(instruction.type, place, self._value(operands[0]))
        return 0, None

    def _atomicrmw(self, instruction: Instruction, operands: _Operands) -> Anything:
        kind, operation = instruction.type, instruction.detail
        place = self._place(operands[0], kind)
        old, given = self._read(kind, place), self._scalar(operands[1])
        if isinstance(old, list) or (operation != "xchg" and operation not in _OF_INTEGERS):
            raise Ended(f"not interpreted: 'atomicrmw {operation}'")
        new = given
        if operation != "xchg":
            new = self.terms.operate(operation, old, given, bits_of(kind))
        self._write(kind, place, new)
        return old

    def _cmpxchg(self, instruction: Instruction, operands: _Operands) -> Anything:
        kind = instruction.type
        place = self._place(operands[0], kind)
        old = self._read(kind, place)
        if isinstance(old, list):
            raise Ended("not interpreted: 'cmpxchg' of vectors")
        same = self.terms.compare("eq", old, self._scalar(operands[1]), bits_of(kind))
        self._choose(same)
        if same[0]:
            self._write(kind, place, self._scalar(operands[2]))
        return [old, same]


_BOOLEAN = Type("integer", bits=1)
_OF_INTEGERS = frozenset(
    ("add", "sub", "mul", "udiv", "sdiv", "urem", "srem", "shl", "lshr", "ashr", "and", "or", "xor")
)
_PASSED_OVER = frozenset({"fence", "nothing"})
_STEPS: dict[str, Callable[[Interpreter, Instruction, _Operands], Anything]] = {
    name: getattr(Interpreter, f"_{name}")
    for name in (
        "alloca",
        "atomicrmw",
        "call",
        "cmpxchg",
        "extractelement",
        "extractvalue",
        "fcmp",
        "fneg",
        "freeze",
        "getelementptr",
        "icmp",
        "insertelement",
        "insertvalue",
        "load",
        "select",
        "shufflevector",
        "store",
    )
}
_TERMINATORS: dict[str, Callable[[Interpreter, Instruction, _Operands], str]] = {
    name: getattr(Interpreter, f"_{name}") for name in ("br", "invoke", "switch", "unreachable")
}
