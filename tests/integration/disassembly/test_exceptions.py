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


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("catch ptr @_ZTIi", "catch ptr @_ZTISt13runtime_error", "it catches "),
        ("catch ptr @_ZTIi", "catch ptr null", "it catches "),
        ("__gxx_personality_v0", "__gcc_personality_v0", "defines 'DW.ref.__gcc_personality_v0'"),
    ],
)
def test_lifts_that_catch_something_else_are_not_accepted(
    before: str, after: str, reason: str, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_cxx(toolchain, PROGRAM, tmp_path / "p.o", "x86_64")
    engine = answers(toolchain, "x86_64", tmp_path / "answers", {"caught": (before, after)})
    options = DisassembleOptions(functions=("_Z6caughti",))
    (lifted_function,) = disassemble(source, engine, options, pool=pool).functions
    assert not lifted_function.verdict.is_accepted
    assert reason in lifted_function.reason
    if lifted_function.verdict is LiftVerdict.UNPROVED:
        assert "what throws is not run" in lifted_function.reason


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
