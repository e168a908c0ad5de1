"""Inputs that are solved for: blocks that no draw reaches run, and lifts of them are judged."""

from __future__ import annotations

import dataclasses
import random
import subprocess
from pathlib import Path

import pytest

from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.execute import ExecuteOptions, Execution, Executor
from llm_compiler.verify.inputs import InputGenerator, assign_locations
from llm_compiler.verify.lifted import InspectLiftJob, LiftInspection, LiftVerdict
from llm_compiler.verify.round_trip import CodeObject, lower, read_code_object
from llm_compiler.verify.side_by_side.programs import Programs, stub_address
from llm_compiler.verify.side_by_side.world import make_world
from llm_compiler.verify.target import find_target

pytest.importorskip("bitwuzla")

OPTIONS = ExecuteOptions(num_inputs=64, num_rounds=1, num_searches=6, min_inputs=12)
CASES = {
    "numbers": "int f(unsigned a, unsigned b) {"
    " if (a * 7u + 3u == 0x12345678u && (b ^ a) == 0xdeadbeefu) return 1; return 0; }",
    "text": "int strcmp(const char *, const char *); unsigned long strlen(const char *);"
    ' int f(const char *s) { if (!strcmp(s, "open sesame")) return 1;'
    " if (strlen(s) == 37) return 2; return 0; }",
    "list": "struct node { struct node *next; int kind; }; int f(struct node *n) {"
    " if (n->next->next->kind == 4711 && n->next->next->next->kind == -90210) return 1;"
    " return 0; }",
    "allocation": "void *malloc(unsigned long); int g(void *); int f(void) {"
    " char *p = malloc(10); if (!p) return -1; char *q = malloc(20); if (!q) return -2;"
    " return g(p); }",
    "calls": "int g(int); int f(void) { for (int i = 0; i < 25; i++) if (g(i)) return i;"
    " return g(25) == 123456 ? -1 : -2; }",
    "structure": "struct large { char skipped[9000]; long key; }; int f(struct large *l) {"
    " return l->key == 0x1234567890abcdef ? g() : 0; }".replace("int f", "int g(void); int f"),
    "table": "static const unsigned char t[256] = {[7] = 3, [99] = 5, [201] = 9};"
    " int g(void); int f(unsigned char a, unsigned char b) {"
    " if (t[a] == 5 && t[b] == 9) return g(); return 0; }",
    "result": "void g(int *); int h(void); int f(void) { int n = 0; g(&n);"
    " return n == 777777 ? h() : 0; }",
    "number": "int g(void); int f(double x) { return x * 2.0 + 1.0 == 28.5 ? g() : 0; }",
    "choice": "int g(void); int f(int a, int b) {"
    " int c = (a == 31337) + (b == 271828); return c == 2 ? g() : 0; }",
}


def compiled(source: str, architecture: str, toolchain: Toolchain, folder: Path) -> tuple[str, str]:
    """Return a C function's assembly and its IR, both small."""
    clang = toolchain.tool("clang")
    triple = f"{architecture}-unknown-linux-gnu"
    (folder / "f.c").write_text(source)
    flags = [clang, f"--target={triple}", "-Oz", "-w", "-fno-asynchronous-unwind-tables", "-S"]
    texts = []
    for more in ([], ["-emit-llvm"]):
        subprocess.run([*flags, *more, "f.c", "-o", "f.out"], cwd=folder, check=True)
        texts.append((folder / "f.out").read_text())
    return texts[0], texts[1]


def prepared(
    source: str, architecture: str, toolchain: Toolchain, folder: Path
) -> tuple[str, CodeObject, CodeObject, LiftInspection]:
    """Return a function's assembly, its object, the object of its IR, and what that is."""
    assembly, ir = compiled(source, architecture, toolchain, folder)
    comment = "#" if architecture == "x86_64" else "//"
    lines = [line.split(comment, 1)[0].strip() for line in assembly.splitlines()]
    kept = [line.replace("\t", " ", 1) for line in lines if line and not line.startswith(".file")]
    text = "\n".join(kept) + "\n"
    assemble(text, architecture, toolchain, folder / "original.o")
    job = InspectLiftJob(
        texts=(ir,), function="f", target_triple=f"{architecture}-unknown-linux-gnu"
    )
    inspection = next(job.run(WorkerState(), 0))
    (folder / "lifted.ll").write_text(inspection.text)
    lower(folder / "lifted.ll", folder / "lifted.o", architecture, toolchain)
    original, lifted = (
        read_code_object(folder / name, toolchain) for name in ("original.o", "lifted.o")
    )
    return text, original, lifted, inspection


def judged(
    source: str, architecture: str, toolchain: Toolchain, folder: Path, solve_s: float
) -> Execution:
    try:
        target = find_target(architecture, toolchain)
    except ToolchainNotFound as error:
        pytest.skip(str(error))
    text, original, lifted, inspection = prepared(source, architecture, toolchain, folder)
    options = dataclasses.replace(OPTIONS, solve_s=solve_s)
    return Executor(target, folder, options).verify(original, text, "f", lifted, inspection)


@pytest.mark.parametrize(
    ("case", "architecture"),
    [
        *((case, "x86_64") for case in CASES),
        *((case, "aarch64") for case in ("calls", "number", "result")),
        *(
            pytest.param(case, "aarch64", marks=pytest.mark.slow)
            for case in CASES
            if case not in ("calls", "number", "result")
        ),
    ],
)
def test_what_no_draw_reaches_is_reached(
    case: str, architecture: str, toolchain: Toolchain, tmp_path: Path
) -> None:
    found = judged(CASES[case], architecture, toolchain, tmp_path, 5.0)
    assert (found.verdict, found.reason) == (LiftVerdict.TESTS_PASSED, "")
    assert found.num_covered == found.num_blocks


@pytest.mark.parametrize("case", ["structure", "text"])
def test_drawing_alone_does_not_reach_it(case: str, toolchain: Toolchain, tmp_path: Path) -> None:
    found = judged(CASES[case], "x86_64", toolchain, tmp_path, 0.0)
    assert found.verdict is LiftVerdict.UNPROVED
    assert found.num_covered < found.num_blocks


def test_a_lift_that_is_wrong_only_there_is_refuted(toolchain: Toolchain, tmp_path: Path) -> None:
    text, original, _, _ = prepared(CASES["list"], "x86_64", toolchain, tmp_path)
    wrong = CASES["list"].replace("return 1", "return 3")
    (tmp_path / "wrong").mkdir()
    _, _, lifted, inspection = prepared(wrong, "x86_64", toolchain, tmp_path / "wrong")
    target = find_target("x86_64", toolchain)
    options = dataclasses.replace(OPTIONS, solve_s=5.0)
    found = Executor(target, tmp_path, options).verify(original, text, "f", lifted, inspection)
    assert (found.verdict, found.reason) == (
        LiftVerdict.REFUTED,
        "it returns 0x3 instead of 0x1",
    )


EDGES = {
    # No number that the code names is near: nothing that is drawn or mutated meets it.
    "one off": ("return a * 7u + b * 3u < 0x31415926u;", "return a * 7u + b * 3u <= 0x31415926u;"),
    "one off, below": ("return a - b * 5u > 77777u;", "return a - b * 5u > 77776u;"),
    "equal": (
        "return (a ^ 0x5bd1e995u) * 3u == b * 5u + 0x1234567u;",
        "return (a ^ 0x5bd1e995u) * 3u == b * 5u + 0x1234568u;",
    ),
}


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("case", EDGES)
def test_where_a_comparison_comes_out_otherwise_is_run(
    case: str, architecture: str, toolchain: Toolchain, tmp_path: Path
) -> None:
    """All blocks have run, of which there is one: that is not what makes two comparisons alike."""
    try:
        target = find_target(architecture, toolchain)
    except ToolchainNotFound as error:
        pytest.skip(str(error))
    sources = [f"int f(unsigned a, unsigned b) {{ {body} }}" for body in EDGES[case]]
    text, original, same, right = prepared(sources[0], architecture, toolchain, tmp_path)
    (tmp_path / "other").mkdir()
    _, _, lifted, wrong = prepared(sources[1], architecture, toolchain, tmp_path / "other")
    for solve_s, code, inspection, verdict in (
        (0.0, lifted, wrong, LiftVerdict.TESTS_PASSED),
        (5.0, same, right, LiftVerdict.TESTS_PASSED),
        (5.0, lifted, wrong, LiftVerdict.REFUTED),
    ):
        options = dataclasses.replace(OPTIONS, solve_s=solve_s)
        executor = Executor(target, tmp_path, options)
        found = executor.verify(original, text, "f", code, inspection)
        assert found.verdict is verdict, (solve_s, found.reason)


# -- the interpreter and the processor -------------------------------------------------------------

PROGRAMS = {
    "bits": "#include <stdint.h>\nint64_t f(uint64_t a, uint32_t b, int16_t c, int8_t d) {"
    " uint64_t r = (a << (b & 63)) ^ (a >> ((b >> 6) & 63)); r += __builtin_popcountll(a);"
    " r ^= __builtin_bswap64(a) + __builtin_clzll(a | 1) * 3 + __builtin_ctz(b | 8);"
    " r = r * 31 + (int64_t)c * d; r = (r >> 7 | r << 57) - (b > 77 ? a / (b | 1) : a % 1000);"
    " return r ^ (int64_t)((int32_t)b >> 3) ^ (d < c ? (uint8_t)d : -c); }",
    "memory": "struct s { char a; short b; int c; long d; char t[24]; };"
    " void *memcpy(void *, const void *, unsigned long);"
    " int memcmp(const void *, const void *, unsigned long);"
    " long f(struct s *p, struct s *q, unsigned i) { struct s k; memcpy(&k, p, sizeof k);"
    " q->c += k.b * 5; k.t[i % 24] ^= 0x5a; q->t[3] = k.t[4]; p->d -= q->c;"
    " return k.d * 3 + k.a + k.c + memcmp(k.t, q->t, 24) + q->d + p->t[i % 7]; }",
    "loops": "long f(const int *a, unsigned n) { long s = 0; n %= 50;"
    " for (unsigned i = 0; i < n; i++) { if (a[i] & 1) s += a[i] % 999 * 3; else s ^= a[i] >> 2;"
    " switch (a[i] & 15) { case 2: s++; break; case 5: s -= 7; break; case 9: s = (unsigned)s; } }"
    " return s; }",
    "numbers": "long f(double x, float y, long n) { double z = x * 3.5 - y / 7.0f;"
    " if (z != z) return -1; if (z > 1e15 || z < -1e15) return -2;"
    " return (long)z + (n > 0 ? (long)((float)(n % 1000) * 0.25f) : 5); }",
    "calls": "int g(int, long); long h(void); unsigned char k(const void *);"
    " long f(int a, long b, const char *s) { long r = g(a, b); if (r > 5) r += h() * 3;"
    " r ^= k(s); for (int i = 0; i < 4; i++) r = r * 3 + g(i, r); return r; }",
    "recursion": "static int d; long f(unsigned n, long x) {"
    " return n % 9 ? f(n % 9 - 1, x * 3 + n) + 1 : x; }",
}


@pytest.mark.parametrize("level", ["-Oz", "-O2"])
@pytest.mark.parametrize("case", PROGRAMS)
def test_the_interpreter_computes_what_the_processor_does(
    case: str, level: str, toolchain: Toolchain, tmp_path: Path
) -> None:
    from llm_compiler.verify.solving.interpreter import Interpreter
    from llm_compiler.verify.solving.ir_text import read_function, read_variables
    from llm_compiler.verify.solving.laid_out import LaidOut
    from llm_compiler.verify.solving.surroundings import Surroundings
    from llm_compiler.verify.solving.terms import Terms

    target = find_target("x86_64", toolchain)
    source = PROGRAMS[case]
    _, original, _, inspection = prepared(source, "x86_64", toolchain, tmp_path)
    clang = [toolchain.tool("clang"), "--target=x86_64-unknown-linux-gnu", level, "-w", "-S"]
    subprocess.run(
        [*clang, "-emit-llvm", "f.c", "-o", "f.ll"], cwd=tmp_path, check=True, timeout=60
    )
    ir = (tmp_path / "f.ll").read_text()
    frame = assign_locations(inspection.signature, "x86_64")
    assert frame is not None
    world = make_world(original.elf, original.elf, inspection, ("x86_64", "x86_64"))
    programs = Programs(target, tmp_path, 60)
    programs.build_driver()
    executable = programs.link(original.path, "f", world, "original")
    surroundings = Surroundings(
        name="f",
        signature=inspection.signature,
        frame=frame,
        architecture="x86_64",
        world=world,
        stubs=tuple(programs.stubs(world)),
        addresses={name: stub_address(i) for i, name in enumerate(world.functions)},
    )
    laid_out = LaidOut(read_function(ir, "f"), read_variables(ir), surroundings, Terms(1000))
    generator = InputGenerator(
        inspection.signature,
        frame,
        seed=random.Random(case).getrandbits(8),
        constants=(),
        num_extra_buffers=1,
        variable_bytes=0,
        functions=(),
    )
    inputs = [generator.draw() for _ in range(60)]
    num_compared = 0
    for given, outcome in zip(inputs, programs.run(executable, inputs, world, frame), strict=True):
        run = Interpreter(laid_out, given).run()
        assert not run.end.startswith("not interpreted"), run.end
        assert (run.end == "returns") == (outcome.kind == 1), (run.end, outcome.kind)
        if run.end == "returns":
            assert run.result is not None
            assert run.result[0] == outcome.integers[0], given.integers
            num_compared += 1
    assert num_compared >= 15
