"""WebAssembly: programs linked with wasi-libc, run by Node; objects that get smaller.

Left out where Debian's packages for it are not installed (`llm-compiler doctor` names them).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_compiler import optimize
from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.object_file import section_groups, section_sizes
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimize import Optimized
from llm_compiler.records import OZ, Verdict, VerdictKind
from llm_compiler.verify.harness import Harness, main_symbol
from llm_compiler.verify.pass_list_eval import PassListEval, Transform
from llm_compiler.verify.suite import built_in_suite
from llm_compiler.verify.target import Target, find_target
from llm_compiler.workers import LocalPool

PROGRAMS = {
    "right": '#include <stdio.h>\nint main(void) { printf("%d\\n", 6 * 7); return 0; }\n',
    "named": "#include <stdio.h>\nint main(int n, char **v) { puts(v[0]); return n - 1; }\n",
    "early": "#include <stdlib.h>\nint main(void) { exit(3); }\n",
    "traps": "int main(void) { __builtin_trap(); }\n",
    "faults": "int main(void) { *(volatile int *)0xfffffff0u = 1; return 0; }\n",
    "last": '#include <stdio.h>\nint main(void) { puts("42"); return 0; }\n',
}
NEVER_ENDS = "int main(void) { for (volatile int i = 0;; i = 1 - i) {} }\n"


@pytest.fixture
def target() -> Target:
    try:
        return find_target("wasm32", find_toolchain())
    except ToolchainNotFound as error:
        pytest.skip(str(error))


def compiled(target: Target, name: str, source: str, folder: Path) -> Path:
    """Compile a program whose main has the name that the harness looks for."""
    own = "__main_argc_argv" if "char **" in source else "main"
    parameters = "int, char **" if "char **" in source else "void"
    symbol = own + main_symbol(name).removeprefix("main")
    text = source.replace("int main(", "int renamed(")
    text = f'int renamed({parameters}) __asm__("{symbol}");\n{text}'
    (folder / f"{name}.c").write_text(text)
    target.compile(["-Oz", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=folder)
    return folder / f"{name}.o"


def test_what_becomes_of_each_program_is_told(target: Target, tmp_path: Path) -> None:
    made = {name: compiled(target, name, source, tmp_path) for name, source in PROGRAMS.items()}
    printed = {"right": b"42\n", "named": b"named\n", "last": b"42\n"}
    expected = {name: printed.get(name, b"") for name in made}
    harness = Harness(target, [*made, "gone"], tmp_path)
    found = harness.all_failures(made, expected, tmp_path)
    assert [(failure.program, failure.reason) for failure in found] == [
        ("early", "wrong result: exit code 3 instead of 0"),
        ("traps", "crashed with SIGILL"),
        ("faults", "crashed with SIGSEGV"),
    ]
    (failure,) = harness.all_failures({"gone": made["right"]}, {"gone": b""}, tmp_path)
    assert failure.reason == "its main function is gone"


def test_a_program_that_never_ends_is_found_by_the_host(target: Target, tmp_path: Path) -> None:
    folder = tmp_path / "never"
    folder.mkdir()
    (folder / "never.c").write_text(NEVER_ENDS)
    target.build_reference("never.c", ["-w"], folder / "reference")
    assert target.run_reference(folder / "reference", timeout_s=3) == (b"", "timed out")


def test_a_list_passes_and_a_wrong_module_is_rejected(
    target: Target, pool: LocalPool, tmp_path: Path
) -> None:
    name, cpp = "list_reverse_merge", "stl_sort_and_algorithms"
    suite = built_in_suite().subset(["digests", name, cpp])

    def evaluate(transform: Transform | None = None) -> tuple[Verdict, PassListEval]:
        with PassListEval(
            suite,
            architectures=(target.architecture,),
            pool=pool,
            cache_dir=tmp_path,
            transform=transform,
        ) as evaluation:
            return evaluation.check(OZ)[target.architecture], evaluation

    verdict, evaluation = evaluate()
    assert (verdict.kind, verdict.num_programs) == (VerdictKind.PASSED, 2)
    assert evaluation.skipped[target.architecture] == {cpp: "there is no library of C++ for wasm32"}
    _, other = evaluation.prepared(target.architecture, "digests")
    next(tmp_path.glob("suite-*/passed")).unlink()
    verdict, _ = evaluate(lambda each, bitcode: other.bitcode if each == name else bitcode)
    assert (verdict.kind, verdict.program) == (VerdictKind.REJECTED, name)


SOURCE = """
int other(int);
static int table[64];
int sums(const int *in, int n) {
    int s = 0;
    for (int i = 0; i < n; i++) {
        if (in[i] > 3) s += in[i] * 3;
        else table[i & 63] += other(in[i]);
    }
    return s + table[n & 63];
}
int both(const int *a, const int *b, int n) { return sums(a, n) * 3 + sums(b, n) / 7; }
"""


def test_objects_are_measured_and_replayed(pool: LocalPool, tmp_path: Path) -> None:
    source = tmp_path / "unit.c"
    source.write_text(SOURCE)
    found = optimize(source, target_triple="wasm32", candidates=16, trust=True, pool=pool)
    assert isinstance(found, Optimized)
    assert found.target_triple == "wasm32-unknown-wasi"
    assert found.optimized_value < found.baseline_value == found.baseline_bytes
    assert found.baseline_ram_bytes == 256
    assert section_sizes(found.output).size_bytes == found.optimized_value
    assert section_groups(found.output)["code"] > 0
    for command in found.replay:
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, timeout=60)
    assert next(tmp_path.glob("*.o")).read_bytes() == found.output
