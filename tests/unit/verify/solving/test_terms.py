"""A value and its term say the same: a solver that is given the inputs finds the value."""

from __future__ import annotations

import random

import pytest

bitwuzla = pytest.importorskip("bitwuzla")

from llm_compiler.verify.solving.memory import Fault, Memory, Region  # noqa: E402
from llm_compiler.verify.solving.terms import Crash, Terms, Value  # noqa: E402

OPERATIONS = (
    "add", "sub", "mul", "udiv", "sdiv", "urem", "srem", "shl", "lshr", "ashr", "and", "or", "xor",
)  # fmt: skip
PREDICATES = ("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge")


def evaluated(terms: Terms, term: object, inputs: dict[object, int], bits: int) -> int:
    """Return what a term is where its variables are known."""
    solver = bitwuzla.Bitwuzla(terms.manager, terms.options)
    for variable, value in inputs.items():
        known = terms.constant(value, 64)
        solver.assert_formula(terms.make(bitwuzla.Kind.EQUAL, [variable, known]))
    assert solver.check_sat() == bitwuzla.Result.SAT
    value = solver.get_value(term).value(10) if bits > 1 else solver.get_value(term).value()
    return int(value)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("bits", [8, 32, 64])
def test_operations(operation: str, bits: int) -> None:
    terms, chance = Terms(1000), random.Random(f"{operation}{bits}")
    x, y = terms.word("integers", 0), terms.word("integers", 1)
    for _ in range(12):
        known = [chance.choice((0, 1, 2, (1 << bits) - 1, chance.getrandbits(bits))) for _ in "xy"]
        if operation in ("shl", "lshr", "ashr"):
            known[1] %= bits
        a, b = (
            terms.resized("trunc", (value, word), 64, bits)
            for value, word in zip(known, (x, y), strict=True)
        )
        if operation in ("udiv", "sdiv", "urem", "srem") and not known[1]:
            with pytest.raises(Crash):
                terms.operate(operation, a, b, bits)
            continue
        value, term = terms.operate(operation, a, b, bits)
        assert evaluated(terms, term, {x: known[0], y: known[1]}, bits) == value


@pytest.mark.parametrize("predicate", PREDICATES)
def test_comparisons(predicate: str) -> None:
    terms, chance = Terms(1000), random.Random(predicate)
    x, y = terms.word("integers", 0), terms.word("integers", 1)
    for _ in range(10):
        known = [
            chance.choice((0, 1, 1 << 63, (1 << 64) - 1, chance.getrandbits(64))) for _ in "xy"
        ]
        value, term = terms.compare(predicate, (known[0], x), (known[1], y), 64)
        assert evaluated(terms, term, {x: known[0], y: known[1]}, 1) == value


def test_numbers_are_computed_as_the_processor_does() -> None:
    terms = Terms(1000)
    x = terms.word("floats", 0)
    half = terms.float_of((0x3FE0000000000000, x), 64)
    total = terms.operate_on_floats("fadd", half, (0x3FF8000000000000, None), 64)
    assert total[0] == 0x4000000000000000
    known, term = terms.compare_floats("ogt", total, (0x3FF0000000000000, None), 64)
    assert known == evaluated(terms, term, {x: 0x3FE0000000000000}, 1) == 1
    as_integer = terms.converted("fptosi", total, 64, 32)
    assert as_integer[0] == evaluated(terms, as_integer[1], {x: 0x3FE0000000000000}, 32) == 2


def test_memory_gives_back_what_was_stored_and_what_the_input_holds() -> None:
    terms = Terms(1000)
    memory = Memory(terms)
    contents = bytes(range(16))
    memory.add(Region(0x1000, contents, "arena", 4))
    word, term = memory.read((0x1004, None), 8)
    assert word == int.from_bytes(contents[4:12], "little")
    inputs: dict[object, int] = {
        terms.word("arena", 4): int.from_bytes(contents[:8], "little"),
        terms.word("arena", 5): int.from_bytes(contents[8:], "little"),
    }
    assert evaluated(terms, term, inputs, 64) == word
    stored: Value = (0xBEEF, terms.part(terms.word("integers", 0), 15, 0))
    memory.write((0x1006, None), stored, 2)
    word, term = memory.read((0x1004, None), 4)
    assert word == 0xBEEF0504
    assert evaluated(terms, term, {**inputs, terms.word("integers", 0): 0xBEEF}, 32) == word
    with pytest.raises(Fault):
        memory.read((0x100C, None), 8)
    memory.add(Region(0x3000, b"constants", is_constant=True))
    with pytest.raises(Fault):
        memory.write((0x3000, None), (0, None), 1)


def test_a_part_that_comes_again_is_the_same_part() -> None:
    terms = Terms(1000)
    memory = Memory(terms)
    memory.add(Region(0x1000, bytes(8) + bytes(range(16)) * 3, "arena", 0, 8, 2))
    assert memory.read((0x1008, None), 8)[1] == memory.read((0x1018, None), 8)[1]
    assert memory.read((0x1000, None), 8) == (0, None)
