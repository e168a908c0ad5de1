from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.disassembly.binary import Binary, read_binary
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Module
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}

# Everything that a function can refer to: a jump table, strings, a constant table, a constant of
# the code generator, a static variable, functions of its own file and of others.
SOURCE = r"""
extern int puts(const char *), external;
static int counter;
static const short table[6] = {3, 1, 4, 1, 5, 9};
int classify(int x) {
    switch (x) {
    case 0: return 5;
    case 1: puts("one"); return 2;
    case 2: return x * counter;
    case 3: counter++; return 3;
    case 4: puts("four"); return table[x & 3];
    case 5: return table[counter & 1] + 4;
    case 6: return 9;
    }
    return 0;
}
static __attribute__((noinline)) double scale(double x) { return x * 3.3 + counter; }
double both(double a, float b) { return scale(a) + b * 1.7f; }
int use_external(void) { return external + 1; }
void copy(char *to, const char *from, int n) { for (int i = 0; i < n; i++) to[i] = from[i] ^ 0x80; }
"""

Compile = Callable[..., Path]


def load_benchmark(name: str) -> ModuleType:
    """A file of the folder of benchmarks, as a module."""
    path = Path(__file__).resolve().parents[3] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compile_c(tmp_path: Path, toolchain: Toolchain) -> Compile:
    """From C to a file that clang (or another compiler) makes of it, by the file's suffix."""

    def compile_one(
        source: str, name: str, architecture: str = "x86_64", *flags: str, compiler: str = "clang"
    ) -> Path:
        output = tmp_path / name
        kind = {".o": ["-c"], ".s": ["-S"], ".ll": ["-S", "-emit-llvm"]}.get(output.suffix, [])
        if compiler == "clang":
            command = [str(toolchain.tool("clang")), f"--target={TRIPLES[architecture]}"]
        else:
            command = [compiler]
        command += [*kind, "-x", "c", "-", "-o", str(output), *(flags or ("-Oz", "-fPIC"))]
        done = run(command, timeout_s=60, stdin=source.encode())
        assert done.ok, done.stderr_text
        return output

    return compile_one


@dataclass(frozen=True)
class Compiled:
    """A function of a module that was compiled alone."""

    name: str
    triple: str
    text: str
    """Its assembly in normal form, as LLVM prints it."""
    object: Path


def compile_each(module: Module, level: str, folder: Path) -> Iterator[Compiled]:
    """Compile each function of a module at a level; the object is there until the next one."""
    output = folder / "function.o"
    for name in module.defined_functions():
        with (
            extract_function(module, name) as extracted,
            TargetMachine.for_module(extracted) as machine,
        ):
            extracted.run_passes(f"default<{level}>", machine.handle)
            with extracted.clone() as copy:
                text = normalize_assembly(machine.emit_assembly(copy), machine.triple)
            output.write_bytes(machine.emit_object(extracted))
            yield Compiled(name, machine.triple, text, output)


@pytest.fixture
def read(tmp_path: Path, toolchain: Toolchain) -> Callable[[Path], Binary]:
    return lambda path: read_binary(path, toolchain, tmp_path)
