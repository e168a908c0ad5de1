"""Functions with landing pads: read with their exception tables, which are proved and compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.read_function import FunctionReader, Unreadable
from llm_compiler.disassembly.reassemble import reassemble
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

from .conftest import TRIPLES, compile_each

Read = Callable[[Path], Binary]
PROGRAM = r"""
#include <cstdio>
#include <stdexcept>
struct Guard { const char *name; ~Guard(); };
Guard::~Guard() { std::printf("left %s\n", name); }
__attribute__((noinline)) int may(int x) {
    if (x == 1) throw std::runtime_error("one");
    if (x == 2) throw 22;
    if (x == 3) throw "three";
    return x;
}
__attribute__((noinline)) int caught(int x) {
    Guard guard{"caught"};
    try { return may(x); }
    catch (const std::runtime_error &e) { return -1; }
    catch (int number) { return number; }
}
__attribute__((noinline)) int passed(int x) { Guard guard{"passed"}; return may(x) + may(x + 1); }
int main() {
    for (int x = 0; x < 4; x++) {
        try { std::printf("%d\n", caught(x)); } catch (...) { std::puts("all"); }
        try { std::printf("%d\n", passed(x)); } catch (...) { std::puts("passed on"); }
    }
}
"""
OUTPUT = (
    b"left caught\n0\nleft passed\npassed on\nleft caught\n-1\nleft passed\npassed on\n"
    b"left caught\n22\nleft passed\npassed on\nleft caught\nall\nleft passed\npassed on\n"
)
WITH_TABLES = ("caught", "passed", "main")


def compile_cxx(
    toolchain: Toolchain, source: str, output: Path, architecture: str, *flags: str
) -> Path:
    kind = {".o": ["-c"], ".ll": ["-S", "-emit-llvm"]}.get(output.suffix, [])
    clang = [toolchain.tool("clang++"), f"--target={TRIPLES[architecture]}", "-x", "c++", "-"]
    command = [*clang, *kind, "-o", output, *(flags or ("-Oz", "-fPIC"))]
    done = run(command, timeout_s=60, stdin=source.encode())
    assert done.ok, done.stderr_text
    return output


def plain(name: str) -> str:
    """The part of a C++ name that the source has."""
    return next((item for item in ("caught", "passed", "main") if item in name), name)


@pytest.fixture(params=["x86_64", "aarch64"])
def architecture(request: pytest.FixtureRequest) -> str:
    if request.param == "aarch64" and not Path("/usr/aarch64-linux-gnu/lib").is_dir():
        pytest.skip("needs a C++ library for AArch64")
    return str(request.param)


@pytest.mark.parametrize("level", ["Oz", "O2"])
def test_the_text_is_proved_and_is_what_models_learn_from(
    architecture: str, level: str, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    source = compile_cxx(
        toolchain,
        PROGRAM,
        tmp_path / "p.ll",
        architecture,
        "-Oz",
        "-fPIC",
        "-Xclang",
        "-disable-llvm-passes",
    )
    found = 0
    with Context() as context:
        module = context.parse(source.read_bytes())
        for compiled in compile_each(module, level, tmp_path):
            if plain(compiled.name) not in WITH_TABLES:
                continue
            binary = read(compiled.object)
            symbol = next(item for item in binary.functions() if item.name == compiled.name)
            text = FunctionReader(binary).read(symbol)
            reassemble(binary, symbol, text, toolchain, tmp_path / "proof.o")
            assert ".cfi_lsda" in text.text
            # Names of strings are gone from AArch64's objects, outlined functions are others.
            if architecture == "x86_64":
                assert text.text == compiled.text
            found += 1
    assert found == 3


def answers(
    toolchain: Toolchain,
    architecture: str,
    folder: Path,
    changes: dict[str, tuple[str, str]] | None = None,
) -> ReplayEngine:
    folder.mkdir()
    path = compile_cxx(toolchain, PROGRAM, folder / "all.ll", architecture)
    with Context() as context:
        module = context.parse(path.read_bytes())
        for name in module.defined_functions():
            with extract_function(module, name) as each_module:
                text = each_module.to_text()
            if plain(name) in WITH_TABLES:
                # Extraction names what an alias stands for; the code calls the alias.
                text = text.replace("GuardD2Ev", "GuardD1Ev")
            if changes and plain(name) in changes:
                before, after = changes[plain(name)]
                assert before in text, text
                text = text.replace(before, after)
            (folder / f"{name}.ll").write_text(text)
    return ReplayEngine(folder)


def test_lifts_are_exact_and_a_program_made_of_them_throws(
    architecture: str, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_cxx(toolchain, PROGRAM, tmp_path / "p.o", architecture)
    engine = answers(toolchain, architecture, tmp_path / "answers")
    result = disassemble(source, engine, DisassembleOptions(relink=True), pool=pool)
    verdicts = {plain(function.name): function for function in result.functions}
    assert {verdicts[name].verdict for name in WITH_TABLES} == {LiftVerdict.EXACT}, verdicts
    relinked, program = tmp_path / "relinked.o", tmp_path / "program"
    relinked.write_bytes(result.relinked)
    clang = [toolchain.tool("clang++"), f"--target={TRIPLES[architecture]}"]
    linked = run([*clang, relinked, "-o", program], timeout_s=60)
    assert linked.ok, linked.stderr_text
    runner = [] if architecture == "x86_64" else ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    if runner and not shutil.which(runner[0]):
        pytest.skip("needs qemu-user")
    assert run([*runner, program], timeout_s=30).stdout == OUTPUT


HANDLERS = r"""
struct Guard { ~Guard(); };
struct Bad { int code; };
int work(int);
int many(int, int, int, int, int, int, int, int, int, int);
int f(int n, int *out) {
    Guard guard;
    try { out[0] = work(n); out[1] = work(n + 1); }
    catch (const Bad &bad) { return bad.code; }
    catch (int number) { return number + 1; }
    return out[0] + 3;
}
// Words are pushed for the call: they are off the stack when the landing pad runs.
int pushed(int n) {
    try { return many(1, 2, 3, 4, 5, 6, n, 8, 9, 10) + n; } catch (...) { return -n; }
}
int again(int n) { try { return work(n); } catch (...) { if (n > 3) throw; return 7; } }
"""
CALLERS = r"""
#include <cstdio>
struct Guard { ~Guard(); };
Guard::~Guard() { std::puts("left"); }
struct Bad { int code; };
int work(int n) {
    if (n == 1) throw Bad{41};
    if (n == 2) throw 7;
    if (n > 4) throw "more";
    return n;
}
int many(int a, int, int, int, int, int, int n, int, int, int) {
    if (n == 2) throw 1;
    return a + n;
}
int f(int n, int *out); int pushed(int); int again(int);
int main() {
    for (int i = 0; i < 8; i++) {
        int out[2];
        try { std::printf("f %d\n", f(i, out)); } catch (...) { std::puts("f throws"); }
        std::printf("pushed %d\n", pushed(i));
        try { std::printf("again %d\n", again(i)); } catch (...) { std::puts("again throws"); }
    }
}
"""


def test_a_file_of_handlers_is_lifted_whole_by_rules_and_throws(
    architecture: str, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_cxx(toolchain, HANDLERS, tmp_path / "p.o", architecture)
    # Time enough for a busy machine: what is not found in time is not accepted.
    options = DisassembleOptions(relink=True, search_s=20)
    result = disassemble(source, NoEngine(), options, pool=pool)
    assert all(function.verdict.is_accepted for function in result.functions), result.functions
    assert result.is_whole
    (tmp_path / "whole.ll").write_text(result.module)
    clang = [toolchain.tool("clang++"), f"--target={TRIPLES[architecture]}"]
    main = compile_cxx(toolchain, CALLERS, tmp_path / "main.o", architecture)
    outputs = []
    runner = [] if architecture == "x86_64" else ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    if runner and not shutil.which(runner[0]):
        pytest.skip("needs qemu-user")
    for each in (source, tmp_path / "whole.ll"):
        program = tmp_path / f"program-{each.name}"
        linked = run([*clang, "-O1", main, each, "-o", program], timeout_s=60)
        assert linked.ok, linked.stderr_text
        outputs.append(run([*runner, program], timeout_s=30).stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") > 24


THROWN_INTO = """
struct Guard { ~Guard(); };
struct Bad { int code; };
struct Code { int code; };
int work(int);
int f(int n, int *out) {
    Guard guard;
    try {
        out[0] = work(n);
        out[1] = work(n + 1);
    } catch (const Bad &bad) {
        return bad.code;
    } catch (int number) {
        if (number == 7) throw;
        return number + 1;
    }
    return out[0] + 3;
}
"""
SWAPPED = """} catch (int number) {
        if (number == 7) throw;
        return number + 1;
    } catch (const Bad &bad) {
        return bad.code;
    }
"""
TYPED = THROWN_INTO[THROWN_INTO.index("} catch (const") : THROWN_INTO.index("    return out")]


@pytest.mark.parametrize(
    ("before", "after", "is_right"),
    [
        (TYPED, SWAPPED, True),
        ("number + 1", "number + 2", False),
        ("bad.code", "bad.code & 0xffff", False),
        ("catch (int number)", "catch (unsigned number)", False),
        ("const Bad &bad", "const Code &bad", False),
        (" throw;", " return 0;", False),
        ("    Guard guard;\n", "    out[2] = 0;\n", False),
        ("    try {\n        out[0] = work(n);", "out[0] = work(n);\n    try {", False),
        ("    return out", "    catch (...) { return 0; }\n    return out", False),
    ],
)
def test_lifts_are_judged_by_what_they_do_when_a_call_throws(
    before: str,
    after: str,
    is_right: bool,
    architecture: str,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    assert before in THROWN_INTO
    other = THROWN_INTO.replace(before, after)
    source = compile_cxx(toolchain, THROWN_INTO, tmp_path / "p.o", architecture)
    folder = tmp_path / "answers"
    folder.mkdir()
    compile_cxx(toolchain, other, tmp_path / "_Z1fiPi.ll", architecture)
    with Context() as context:
        module = context.parse((tmp_path / "_Z1fiPi.ll").read_bytes())
        with extract_function(module, "_Z1fiPi") as each_module:
            text = each_module.to_text()
    (folder / "_Z1fiPi.ll").write_text(text)
    options = DisassembleOptions(functions=("_Z1fiPi",))
    (lifted,) = disassemble(source, ReplayEngine(folder), options, pool=pool).functions
    expected = LiftVerdict.TESTS_PASSED if is_right else LiftVerdict.REFUTED
    assert lifted.verdict is expected, lifted.reason


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("level", ["-O1", "-O2"])
def test_gcc(
    architecture: str, level: str, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    compiler = shutil.which(f"{architecture.replace('_', '-')}-linux-gnu-g++")
    compiler = compiler or shutil.which(f"{architecture}-linux-gnu-g++")
    if compiler is None:
        pytest.skip("needs g++")
    path = tmp_path / "g.o"
    flags = [level, "-fPIC", "-fno-reorder-blocks-and-partition", "-c", "-x", "c++", "-"]
    assert run([compiler, *flags, "-o", path], timeout_s=60, stdin=PROGRAM.encode()).ok
    binary = read(path)
    reader = FunctionReader(binary)
    proved = set()
    for symbol in binary.functions():
        if plain(symbol.name) in WITH_TABLES:
            text = reader.read(symbol)
            reassemble(binary, symbol, text, toolchain, tmp_path / "proof.o")
            assert ".cfi_lsda" in text.text
            proved.add(plain(symbol.name))
    assert proved == set(WITH_TABLES)


def test_what_cannot_be_read_says_why(read: Read, toolchain: Toolchain, tmp_path: Path) -> None:
    program = read(compile_cxx(toolchain, PROGRAM, tmp_path / "p", "x86_64", "-O1"))
    symbol = next(function for function in program.functions() if function.name == "_Z6caughti")
    with pytest.raises(Unreadable, match="has an exception table, which is read from objects only"):
        FunctionReader(program).read(symbol)
    source = (
        "namespace { struct Own { virtual ~Own() {} }; }\nvoid may();\n"
        "int f() { try { may(); } catch (const Own &) { return 1; } return 0; }\n"
    )
    binary = read(compile_cxx(toolchain, source, tmp_path / "q.o", "x86_64"))
    symbol = next(function for function in binary.functions() if function.name == "_Z1fv")
    with pytest.raises(Unreadable, match="a type that only this file sees"):
        FunctionReader(binary).read(symbol)
    whole = (tmp_path / "q.o").read_bytes()
    table = next(section for section in binary.elf.sections if section.name == ".gcc_except_table")
    at = whole.index(table.data)
    for position in range(len(table.data)):
        (tmp_path / "q.o").write_bytes(
            whole[: at + position] + b"\xfd" + whole[at + position + 1 :]
        )
        damaged = read(tmp_path / "q.o")
        with pytest.raises(Unreadable):
            FunctionReader(damaged).read(symbol)
