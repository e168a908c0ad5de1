"""`tests_passed` and `refuted`, shown again without any of our code: two libraries and ctypes."""

from __future__ import annotations

import ctypes
import platform
import random
import re
from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftedFunction, LiftVerdict, disassemble
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

from .conftest import TRIPLES, Compile

TYPES = {
    "char": ctypes.c_int8,
    "short": ctypes.c_int16,
    "int": ctypes.c_int32,
    "unsigned": ctypes.c_uint32,
    "long": ctypes.c_int64,
}
# A function, the same in other words, and what is wrong: of each the signature and the body.
CASES = {
    "clamp": (
        "long clamp(long x, long low, long high)",
        "return x < low ? low : x > high ? high : x;",
        "if (x >= low && x <= high) return x; return x < low ? low : high;",
        "return x <= low ? low : x >= high ? low : x;",
    ),
    "bits": (
        "int bits(unsigned x)",
        "int n = 0; for (; x; x &= x - 1) n++; return n;",
        "int n = 0; for (int i = 31; i >= 0; i--) n += x >> i & 1; return n;",
        "int n = 0; for (int i = 30; i >= 0; i--) n += x >> i & 1; return n;",
    ),
    "common": (
        "unsigned common(unsigned a, unsigned b)",
        "while (b) { unsigned t = a % b; a = b; b = t; } return a;",
        "return b ? common(b, a % b) : a;",
        "return b ? common(b, a % b) : a | 1;",
    ),
    "narrow": (
        "short narrow(int a, char b, unsigned c)",
        "return a * b - (c >> 3);",
        "int d = c / 8; short e = b; return (short)(d - a * e) * -1;",
        "unsigned char f = b; return a * f - (c >> 3);",
    ),
    "average": (
        "int average(int a, int b)",
        "return (a & b) + ((a ^ b) >> 1);",
        "return (int)(((long)a + b) >> 1);",
        "return (int)(((long)a + b) / 2);",
    ),
    "branches": (
        "long branches(long a, int b)",
        "if (a > 100) return b == 7 ? a : -a; if (b < -5) return b; return a * b;",
        "switch (b) { case 7: if (a > 100) return a; return 7 * a; default: break; }"
        "if (a <= 100) return b <= -6 ? b : b * a; return 0 - a;",
        "switch (b) { case 7: if (a > 100) return a; return 7 * a; default: break; }"
        "if (a <= 100) return b <= -6 ? -b : b * a; return 0 - a;",
    ),
}
NUM_INPUTS = 400


def lift(
    name: str, body: str, compile_c: Compile, pool: LocalPool, folder: Path
) -> tuple[LiftedFunction, Path]:
    """What is said of an answer, and the original as a library."""
    architecture = platform.machine()
    if architecture not in TRIPLES:
        pytest.skip("needs x86-64 or AArch64")
    signature, original = CASES[name][:2]
    flags = ["-fPIC", "-fwrapv"]
    source = compile_c(f"{signature} {{ {original} }}", "p.o", architecture, "-Oz", *flags)
    (folder / "answers").mkdir()
    # Not optimised: the optimiser makes one code of many words, which would be exact.
    flags += ["-O1", "-Xclang", "-disable-llvm-passes"]
    answer = compile_c(f"{signature} {{ {body} }}", "answer.ll", architecture, *flags)
    (folder / "answers" / f"{name}.ll").write_text(answer.read_text())
    options = DisassembleOptions(functions=(name,))
    engine = ReplayEngine(folder / "answers")
    (lifted_function,) = disassemble(source, engine, options, pool=pool).functions
    return lifted_function, source


def load(source: Path, name: str, toolchain: Toolchain, folder: Path) -> ctypes._CFuncPointer:
    """A function of an object or of IR, from a library that clang makes of it."""
    library = folder / f"{source.stem}-{source.suffix[1:]}.so"
    command = [toolchain.tool("clang"), "-O1", "-fPIC", "-shared", source, "-o", library]
    done = run(command, timeout_s=60)
    assert done.ok, done.stderr_text
    function = getattr(ctypes.CDLL(str(library)), name)
    result, *parameters = re.findall(r"(\w+) \w+", CASES[name][0])
    function.restype = TYPES[result]
    function.argtypes = [TYPES[parameter] for parameter in parameters]
    return function


def both(
    lifted_function: LiftedFunction, source: Path, toolchain: Toolchain, folder: Path
) -> tuple[ctypes._CFuncPointer, ctypes._CFuncPointer]:
    written = folder / "lifted.ll"
    written.write_text(lifted_function.ir)
    original, lifted = (
        load(path, lifted_function.name, toolchain, folder) for path in (source, written)
    )
    return original, lifted


@pytest.mark.parametrize("name", CASES)
def test_what_passes_tests_agrees_on_other_inputs(
    name: str, compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    lifted_function, source = lift(name, CASES[name][2], compile_c, pool, tmp_path)
    assert lifted_function.verdict is LiftVerdict.TESTS_PASSED, lifted_function
    original, lifted = both(lifted_function, source, toolchain, tmp_path)
    rng = random.Random(name)
    for _ in range(NUM_INPUTS):
        values = [
            rng.choice([rng.randint(-12, 12), rng.randint(-300, 300), rng.getrandbits(64)])
            for _ in original.argtypes
        ]
        assert original(*values) == lifted(*values), values


@pytest.mark.parametrize("name", CASES)
def test_what_is_refuted_differs_on_the_input_that_is_printed(
    name: str, compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    lifted_function, source = lift(name, CASES[name][3], compile_c, pool, tmp_path)
    assert lifted_function.verdict is LiftVerdict.REFUTED, lifted_function
    assert lifted_function.counterexample is not None
    values = [int(text.rsplit(" ", 1)[1]) for text in lifted_function.counterexample.arguments]
    original, lifted = both(lifted_function, source, toolchain, tmp_path)
    results = original(*values), lifted(*values)
    assert results[0] != results[1], values
    # The difference is the one that is printed, too.
    said = re.fullmatch(
        r"it returns 0x(\w+) instead of 0x(\w+)", lifted_function.counterexample.difference
    )
    assert said is not None
    mask = (1 << 8 * ctypes.sizeof(original.restype)) - 1
    assert [int(said[2], 16) & mask, int(said[1], 16) & mask] == [
        result & mask for result in results
    ]
