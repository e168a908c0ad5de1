"""Outlined code comes back where it is called."""

from __future__ import annotations

import pytest

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.outlined import inline_outlined


def text(name: str, code: str, data: str = "") -> str:
    return f".text\n.globl {name}\n.p2align 2\n.type {name}, @function\n{name}:\n{code}{data}"


STRING = '.section .rodata.str1.1, "aMS", @progbits, 1\n.L.str:\n.asciz "{0}"\n'
OUTLINED = {
    "OUTLINED_FUNCTION_0": text("OUTLINED_FUNCTION_0", "mov x0, x19\nret\n"),
    "OUTLINED_FUNCTION_1": text("OUTLINED_FUNCTION_1", "mov w1, #7\nb close\n"),
    "OUTLINED_FUNCTION_2": text(
        "OUTLINED_FUNCTION_2",
        "adrp x0, .L.str\nadd x0, x0, :lo12:.L.str\nbl OUTLINED_FUNCTION_1\nret\n",
        STRING.format("b") + ".hidden s\n.type s, @object\n.bss\n.globl s\ns:\n.zero 4\n",
    ),
}


def test_text_without_calls_stays() -> None:
    assert inline_outlined(text("f", "ret\n"), OUTLINED.get) == text("f", "ret\n")


def test_calls_and_tail_calls() -> None:
    code = "bl OUTLINED_FUNCTION_0\nbl OUTLINED_FUNCTION_1\nb OUTLINED_FUNCTION_0\n"
    expected = "mov x0, x19\nmov w1, #7\nbl close\nmov x0, x19\nret\n"
    assert inline_outlined(text("f", code), OUTLINED.get) == text("f", expected)


def test_data_comes_along_under_names_of_its_own() -> None:
    own = STRING.format("a") + ".hidden s\n.type s, @object\n.bss\n.globl s\ns:\n.zero 4\n"
    found = inline_outlined(text("f", "bl OUTLINED_FUNCTION_2\nret\n", own), OUTLINED.get)
    assert "adrp x0, .L.str.901\nadd x0, x0, :lo12:.L.str.901\nmov w1, #7\nbl close\nret\n" in found
    assert '.L.str:\n.asciz "a"' in found
    assert '.section .rodata.str1.1, "aMS", @progbits, 1\n.L.str.901:\n.asciz "b"' in found
    assert found.count("\ns:\n") == 1


def test_code_that_is_not_there_is_said() -> None:
    with pytest.raises(Unliftable, match="outlined code that cannot be read"):
        inline_outlined(text("f", "bl OUTLINED_FUNCTION_9\nret\n"), OUTLINED.get)
    loop = {"OUTLINED_FUNCTION_0": text("OUTLINED_FUNCTION_0", "b OUTLINED_FUNCTION_0\n")}
    with pytest.raises(Unliftable, match="without end"):
        inline_outlined(text("f", "b OUTLINED_FUNCTION_0\n"), loop.get)
