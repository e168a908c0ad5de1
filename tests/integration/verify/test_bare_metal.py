"""Boards without an operating system: programs compiled, linked with picolibc, run by qemu-system.

Left out where Debian's packages for the board are not installed (`llm-compiler doctor` names them).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import OZ, Verdict, VerdictKind
from llm_compiler.verify.harness import Harness, main_symbol
from llm_compiler.verify.pass_list_eval import PassListEval, Transform
from llm_compiler.verify.suite import Program, Suite, built_in_suite
from llm_compiler.verify.target import Target, find_target
from llm_compiler.workers import LocalPool

BOARDS = ("thumbv7m", "riscv32")
DOES_RIGHT = '#include <stdio.h>\nint main(void) { printf("%d\\n", 6 * 7); return 0; }\n'
ENDS_EARLY = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts("early"); exit(3); }\n'
FAULTS = "int main(void) { *(volatile int *)0xfffffff0u = 1; return 0; }\n"
NEVER_ENDS = "int main(void) { for (volatile int i = 0;; i = 1 - i) {} }\n"


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> Target:
    try:
        return find_target(request.param, find_toolchain())
    except ToolchainNotFound as error:
        pytest.skip(str(error))


def programs(**sources: str) -> Suite:
    made = tuple(Program(name=name, source=source) for name, source in sources.items())
    return Suite(name="boards", programs=made)


def objects(board: Target, suite: Suite, folder: Path) -> dict[str, Path]:
    """Compile programs, each with the name for its main function that the harness looks for."""
    found = {}
    for program in suite.programs:
        named = f'int main(void) __asm__("{main_symbol(program.name)}");\n{program.source}'
        (folder / program.file_name).write_text(named)
        found[program.name] = folder / f"{program.name}.o"
        board.compile(["-Oz", "-c", program.file_name, "-o", f"{program.name}.o"], cwd=folder)
    return found


def test_what_becomes_of_each_program_is_told(board: Target, tmp_path: Path) -> None:
    suite = programs(right=DOES_RIGHT, early=ENDS_EARLY, faults=FAULTS, last=DOES_RIGHT)
    made = objects(board, suite, tmp_path)
    expected = {"right": b"42\n", "early": b"", "faults": b"", "last": b"42\n"}
    found = Harness(board, list(made), tmp_path).all_failures(made, expected, tmp_path)
    assert [(failure.program, failure.reason) for failure in found] == [
        ("early", "wrong result: exit code 3 instead of 0"),
        ("faults", "crashed with SIGSEGV"),
    ]


def test_a_program_that_never_ends_is_found_by_the_host(board: Target, tmp_path: Path) -> None:
    folder = tmp_path / "never"
    folder.mkdir()
    (folder / "never.c").write_text(NEVER_ENDS)
    board.build_reference("never.c", ["-w"], folder / "reference")
    assert board.run_reference(folder / "reference", timeout_s=2) == (b"", "timed out")


def test_programs_are_assembled_function_by_function_and_do_right(
    board: Target, pool: LocalPool, tmp_path: Path
) -> None:
    suite = built_in_suite().subset(["digests", "list_reverse_merge"])
    lists = [parse_pass_list(text) for text in ("default<Oz>", "mem2reg", "sroa,instcombine")]
    with PassListEval(
        suite, architectures=(board.architecture,), pool=pool, cache_dir=tmp_path
    ) as evaluation:
        (found,) = evaluation.check_assemblies(lists, seed=3).values()
    assert (found.num_programs, dict(found.left), dict(found.failures)) == (2, {}, {})
    assert all(len(set(json.loads(drawn).values())) > 1 for drawn in found.drawn.values())


def test_a_list_passes_and_a_wrong_module_is_rejected(
    board: Target, pool: LocalPool, tmp_path: Path
) -> None:
    name, cpp = "list_reverse_merge", "stl_sort_and_algorithms"
    suite = built_in_suite().subset(["digests", name, cpp])

    def evaluate(transform: Transform | None = None) -> tuple[Verdict, PassListEval]:
        with PassListEval(
            suite,
            architectures=(board.architecture,),
            pool=pool,
            cache_dir=tmp_path,
            transform=transform,
        ) as evaluation:
            return evaluation.check(OZ)[board.architecture], evaluation

    verdict, evaluation = evaluate()
    assert verdict.kind is VerdictKind.PASSED
    assert verdict.num_programs == 2
    assert evaluation.skipped[board.architecture] == {
        cpp: f"there is no library of C++ for {board.architecture}"
    }
    _, other = evaluation.prepared(board.architecture, "digests")
    # Another program's code: its own main function is gone. What has passed is forgotten.
    next(tmp_path.glob("suite-*/passed")).unlink()
    verdict, _ = evaluate(lambda each, bitcode: other.bitcode if each == name else bitcode)
    assert (verdict.kind, verdict.program) == (VerdictKind.REJECTED, name)
