"""The normaliser: one form for what means the same, and the same code from it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from llm_compiler.corpus.normalize import Level, normalize
from llm_compiler.corpus.sampling_jobs import Made, MakeSamplesJob
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.object_file import object_contents
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.records import content_hash
from llm_compiler.workers import LocalPool, run_jobs

CompileUnit = Callable[[str], bytes]

SOURCE = r"""
struct point { int x, y; };
extern int unused_declaration(struct point *);
int table[3] = {1, 2, 3};
/* Text that looks like what goes: */
const char text[] = "; preds = %0, !srcloc !5 !llvm.ident = !{!4}\n; comment";
int sum(struct point *given, int count) {
  int total = 0;
  for (int index = 0; index < count; index++) {
    if (given[index].x > given[index].y) total += given[index].x;
    __asm__ volatile("nop; # !srcloc" ::: "memory");
  }
  return total + table[count & 1];
}
"""


def compile_source(toolchain: Toolchain, *flags: str, name: str = "<stdin>") -> bytes:
    done = run(
        [
            toolchain.tool("clang"),
            *("-x", "c", "-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", *flags),
            *("-o", "-", "-"),
        ],
        timeout_s=60,
        stdin=f'# 1 "{name}"\n{SOURCE}'.encode(),
    )
    assert done.ok, done.stderr_text
    return done.stdout


def test_names_debug_information_files_and_comments_make_no_difference(
    toolchain: Toolchain,
) -> None:
    plain = normalize(compile_source(toolchain, "-c"))
    for flags in (
        ("-S",),
        ("-c", "-g"),
        ("-S", "-fno-discard-value-names"),
        ("-c", "-frecord-command-line"),
        ("-c", "-g3", "-gdwarf64"),
    ):
        other = normalize(compile_source(toolchain, *flags, name=f"other{len(flags)}.c"))
        assert other == plain, flags


def test_what_goes_and_what_stays(toolchain: Toolchain) -> None:
    text = normalize(compile_source(toolchain, "-c")).text
    for gone in ("; ModuleID", "clang version", "tune-cpu", "no-trapping-math", "unused_decl"):
        assert gone not in text
    assert not re.search(r"^;|^\d+:.", text, re.MULTILINE)
    assert not re.search(r", !srcloc !\d+$", text, re.MULTILINE)
    for kept in (
        'source_filename = "-"',
        "%struct.point",
        "@sum(",
        "!tbaa",
        "minsize",
        '"target-cpu"="x86-64"',
        "PIC Level",
        "; preds = %0, !srcloc !5 !llvm.ident = !{!4}\\0A; comment",
        "nop; # !srcloc",
    ):
        assert kept in text, kept
    assert "tune-cpu" in normalize(compile_source(toolchain, "-c"), Level.KEEP_ATTRIBUTES).text


def test_attributes_that_are_no_default_stay(toolchain: Toolchain) -> None:
    text = normalize(compile_source(toolchain, "-c", "-march=haswell", "-mtune=znver2")).text
    for kept in ('"target-cpu"="haswell"', "+avx2", '"tune-cpu"="znver2"', "min-legal-vector"):
        assert kept in text


@pytest.mark.parametrize("name", ["sort_algorithms.c", "exceptions_nested.cpp", "lisp/gc.c"])
def test_it_is_idempotent_and_text_and_bitcode_are_one_module(
    compile_unit: CompileUnit, name: str
) -> None:
    normal = normalize(compile_unit(name))
    assert normalize(normal.bitcode) == normal
    assert normalize(normal.text.encode()) == normal
    with Context() as context:
        module = context.parse(normal.text.encode())
        assert content_hash(module.to_bitcode()) == normal.module_hash
        assert module.verify() == ""
    with Context() as context:
        assert context.parse(normal.bitcode).bitcode_hash() == normal.module_hash


def make(bitcode: bytes) -> MakeSamplesJob:
    with Context() as context:
        names = context.parse(bitcode).defined_functions()
    return MakeSamplesJob(
        bitcode=bitcode, functions=names, whole=True, max_text_bytes=10**6, min_instructions=0
    )


@pytest.mark.parametrize("triple", ["x86_64-pc-linux-gnu", "aarch64-linux-gnu"])
def test_samples_have_the_same_object_as_what_they_were_made_from(
    pool: LocalPool, toolchain: Toolchain, triple: str
) -> None:
    (made,) = run_jobs(pool, [make(compile_source(toolchain, "-c", f"--target={triple}"))])
    assert [(item.function, item.reason, item.level) for item in made] == [
        ("sum", "", "full"),
        ("", "", "full"),
    ]
    assert all(item.size_bytes >= item.text_data_bytes > 0 for item in made)


def test_a_normaliser_that_changes_code_is_caught(
    compile_unit: CompileUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_compiler.corpus.sampling_jobs.normalize", _break_code)
    made: list[Made] = list(make(compile_unit("bit_tricks.c")).run(WorkerState(), 0))
    assert "changed" in {each_made.reason for each_made in made}


def _break_code(data: bytes, level: Level = Level.FULL) -> object:
    normal = normalize(data, level)
    return normalize(normal.text.replace(" minsize", "").encode())


@pytest.mark.parametrize("triple", ["x86_64-pc-linux-gnu", "aarch64-linux-gnu", "i686-linux-gnu"])
def test_objects_are_compared_by_all_but_the_compilers_name(
    toolchain: Toolchain, triple: str
) -> None:
    def contents(*flags: str, source: str = SOURCE) -> object:
        command = [toolchain.tool("clang"), f"--target={triple}", "-Oz", *flags]
        done = run([*command, "-x", "c", "-c", "-o", "-", "-"], timeout_s=60, stdin=source.encode())
        assert done.ok, done.stderr_text
        return object_contents(done.stdout)

    # Sections of their own are grouped and related to each other by number.
    for flags in ((), ("-ffunction-sections", "-fdata-sections")):
        assert contents(*flags) == contents(*flags, "-Qn")
    for old, new in (("{1, 2, 3}", "{1, 2, 4}"), ("sum(", "sun("), ("table[count & 1]", "text[1]")):
        assert contents() != contents(source=SOURCE.replace(old, new)), new
