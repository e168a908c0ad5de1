"""A whole program as one object: smaller than clang -Oz -flto, and it does the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_compiler.llvm.elf import parse_elf
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.records import VerdictKind

FILES = {
    "main.c": """
int printf(const char *, ...);
int total(const int *, int), scaled(int, int), unused_here(int);
static int level = 3;
int main(void) {
    static const int all[] = {3, 1, 4, 1, 5};
    for (int i = 0; i < 4; i++) printf("%d %d\\n", total(all, i), scaled(i, level));
    return 0;
}
""",
    "sums.c": """
int scaled(int, int);
static int level = 2;
int total(const int *all, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += scaled(all[i], level) - all[i] / 3;
    return sum;
}
int unused_here(int x) { return x * 77 + level; }
""",
    "scale.c": """
int unused_here(int);
int scaled(int x, int by) {
    switch (x & 7) {
    case 0: return by;
    case 1: return by * 3;
    case 2: return by - 5;
    case 5: return by ^ 99;
    default: return x * by;
    }
}
int offered(int x) { return scaled(x, 4); }
""",
}


@pytest.fixture
def files(user) -> list[Path]:
    for name, text in FILES.items():
        (user.folder / name).write_text(text)
    return [Path(name) for name in FILES]


def output_of(toolchain: Toolchain, folder: Path, *inputs: Path) -> str:
    program = folder / "program"
    done = run([toolchain.tool("clang"), "-w", *inputs, "-o", program], timeout_s=60, cwd=folder)
    assert done.ok, done.stderr_text
    return run([program], timeout_s=20).stdout.decode()


def test_a_program_becomes_one_smaller_object_that_replays_and_works(
    user, files: list[Path], toolchain: Toolchain
) -> None:
    user.judges(VerdictKind.PASSED)
    right = output_of(toolchain, user.folder, *files)
    done = user.types(
        *("optimize", "--whole-program", *files, "-o", "all.o", "--candidates", "4", "--json")
    )
    assert done.code == 0, done.err
    (row,) = done.rows
    assert row["input"] == " ".join(map(str, files))
    assert row["optimized_bytes"] < row["baseline_bytes"], row
    assert row["verdict"] == "passed"
    made = (user.folder / "all.o").read_bytes()
    assert output_of(toolchain, user.folder, Path("all.o")) == right
    visible = {s.name for s in parse_elf(made).symbols if s.is_defined and not s.is_local}
    assert visible == {"main"}
    again = user.folder / "again"
    again.mkdir()
    for name in files:
        (again / name).write_bytes((user.folder / name).read_bytes())
    for command in row["replay"]:
        subprocess.run(command, shell=True, check=True, cwd=again)
    assert (again / "all.o").read_bytes() == made


def test_every_export_stays(user, files: list[Path], toolchain: Toolchain) -> None:
    user.judges(VerdictKind.PASSED)
    exports = ("--export", "main", "--export", "offered")
    done = user.types(
        *("optimize", "--whole-program", *files, *exports, "-o", "all.o", "--candidates", "1")
    )
    assert done.code == 0, done.err
    assert "clang -Oz -flto has" in done.out
    symbols = parse_elf((user.folder / "all.o").read_bytes()).symbols
    assert {s.name for s in symbols if s.is_defined and not s.is_local} == {"main", "offered"}


def test_units_that_clang_itself_cannot_join_are_an_error(
    user, files: list[Path], toolchain: Toolchain
) -> None:
    # Modules that disagree on wchar_t cannot be one module; as objects they link.
    flags = {"main.c": [], "sums.c": ["-fshort-wchar"], "scale.c": []}
    for name, more in flags.items():
        clang = [toolchain.tool("clang"), "-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm"]
        done = run([*clang, *more, "-c", name], timeout_s=60, cwd=user.folder)
        assert done.ok
    units = [Path(name).with_suffix(".bc") for name in FILES]
    message = user.fails(5, "optimize", "--whole-program", *units, "-o", "all.o")
    assert "wchar_size" in message, "the baseline itself cannot be linked"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--whole-program", "main.c", "sums.c"), 2, "-o OUT.o"),
        (("--whole-program", "main.c", "-o", "all.o", "--export", "nothing"), 2, "nothing"),
        (("--export", "main", "main.c"), 2, "--whole-program"),
        (("--whole-program", "-S", "main.c", "-o", "all.s"), 2, "one object"),
        (("--whole-program", "main.c", "-o", "main.c"), 2, "overwrite"),
        (("--whole-program", "main.c", "missing.c", "-o", "all.o"), 4, "missing.c"),
    ],
)
def test_what_is_wrong_is_said(
    user, files: list[Path], arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in user.fails(code, "optimize", *arguments)


def test_other_targets_are_refused_before_anything_is_linked(user) -> None:
    source = user.write("t.c", "int main(void) { return 0; }\n")
    flags = ("--whole-program", "--export", "main", source, "-o", "p.o")
    message = user.fails(4, "optimize", *flags, "--", "--target=mips-linux-gnu")
    assert "--whole-program knows x86_64, aarch64, thumbv6m" in message
    assert "not 'mips-unknown-linux-gnu'" in message
