"""What is wrong with a lifted body, in words."""

from __future__ import annotations

from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.report import MAX_LINES, describe_error, differing_lines

TRIPLE = "x86_64-pc-linux-gnu"


def assembly(*lines: str) -> str:
    return ".text\n.globl f\n.type f, @function\nf:\n" + "\n".join(lines) + "\nretq\n"


def report(wanted: tuple[str, ...], found: tuple[str, ...]) -> str:
    return differing_lines(
        shorten_assembly(assembly(*wanted), TRIPLE), shorten_assembly(assembly(*found), TRIPLE)
    )


def test_lines_that_differ_with_their_place() -> None:
    found = report(
        ("movslq %edi, %rax", "addq %rsi, %rax", "incq %rax"),
        ("movl %edi, %eax", "addq %rsi, %rax"),
    )
    assert found == "@1\n-movslq %edi, %rax\n+movl %edi, %eax\n@3\n-incq %rax"
    assert report(("incl %eax",), ("incl %eax",)) == ""


def test_names_are_those_of_the_function_that_is_lifted() -> None:
    """`a` is the first function called in the one, the second in the other."""
    found = report(("callq a@PLT", "callq b@PLT"), ("callq b@PLT", "callq a@PLT"))
    assert found == "@1\n+callq f2\n@2\n-callq f2"


def test_a_long_report_is_cut() -> None:
    found = report(
        tuple(f"movl ${n}, %eax" for n in range(100)), tuple(f"movl ${n}, %ebx" for n in range(100))
    )
    lines = found.splitlines()
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "..."


def test_a_jump_that_goes_elsewhere_differs() -> None:
    def code(target: str) -> tuple[str, ...]:
        lines = ("testl %edi, %edi", f"jne {target}", ".LBB0_1:", "incl %eax", ".LBB0_2:")
        return (*lines, "decl %eax", "js .LBB0_1")

    assert report(code(".LBB0_2"), code(".LBB0_2")) == ""
    assert "js" in report(code(".LBB0_2"), (*code(".LBB0_2")[:-1], "js .LBB0_2"))


def test_a_diagnostic_tells_the_line_of_the_body() -> None:
    short = shorten_assembly(assembly("callq helper@PLT"), TRIPLE)
    module = "declare void @helper()\n\ndefine void @f() #0 {\n  call void @helper(i32 0)\n}\n"
    found = describe_error("<answer>:4:13: error: wrong number of arguments", module, short)
    assert found == "line 2: wrong number of arguments\ncall void @f1(i32 0)"
    assert describe_error("Broken module @helper", "", short) == "Broken module @f1"
