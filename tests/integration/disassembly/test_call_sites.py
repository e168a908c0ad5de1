"""What calls show of functions of other files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.read_function import FunctionReader
from llm_compiler.disassembly.rules.lifter import RulesLifter
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.workers import LocalPool

Calls = Callable[[str], Mapping[str, int]]
"""Gives what a function's calls show."""


@pytest.fixture(scope="module")
def calls(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    folder = tmp_path_factory.mktemp("sites")
    source = folder / "unit.s"
    # As a compiler writes it: what a call is passed is set just before it.
    bodies = {
        "g": ["movl %ebx, %edi", "movl %ebp, %esi", "movl %ebx, %edx", "callq two"],
        "h": ["callq first", "movl %ebx, %edi", "movl %eax, %esi", "callq two"],
        "i": ["callq first", "movl %eax, %edi", "xorl %eax, %eax", "callq open_"],
        "j": ["callq first", "movl %eax, %edi", "callq maybe", "jmp maybe"],
        "k": ["callq first", "testl %eax, %eax", "je .Lk", "movl %eax, %edi", ".Lk:", "callq six"],
    }
    lines = [".text"]
    for name, body in bodies.items():
        lines += [f".globl {name}", f".type {name}, @function", f"{name}:", "pushq %rbx"]
        tail = body[-1].startswith("jmp")
        lines += [*body[: -1 if tail else None], "popq %rbx", body[-1] if tail else "retq"]
        lines.append(f".size {name}, .-{name}")
    source.write_text("\n".join(lines) + "\n")
    binary = read_binary(source, toolchain, folder)
    with LocalPool(1) as pool:
        reader = FunctionReader(binary)
        lifter = RulesLifter(binary, reader, pool)

        def bounds(function: str) -> Mapping[str, int]:
            symbol = binary.elf.symbol(function)
            assert symbol is not None
            return lifter.bounds(reader.read(symbol))

        yield bounds


@pytest.mark.parametrize(
    ("function", "callee", "most"),
    [
        ("g", "two", 3),  # by what h passes; rdx may be half of a result
        ("i", "open_", None),  # it may have "..."
        ("j", "maybe", 0),  # called with nothing set
        ("k", "six", 6),  # on one of two ways something is set
    ],
)
def test_a_register_that_nobody_set_is_no_argument(
    calls: Calls, function: str, callee: str, most: int | None
) -> None:
    assert calls(function).get(callee) == most
