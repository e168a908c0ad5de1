from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.records import VerdictKind

# docs/json.md.
KEYS = [
    "input",
    "target_triple",
    "llvm_version",
    "baseline_bytes",
    "optimized_bytes",
    "baseline_text_data_bytes",
    "optimized_text_data_bytes",
    "baseline_ram_bytes",
    "optimized_ram_bytes",
    "objective",
    "baseline_value",
    "optimized_value",
    "passes",
    "recipe",
    "replay",
    "proposer",
    "verdict",
    "num_evaluations",
    "num_assemblies",
    "seconds",
    "elapsed_seconds",
]


SUMS = """
void add(float *a, const float *b) { a[0] += b[0]; a[1] += b[1]; a[2] += b[2]; a[3] += b[3]; }
"""


def sizes(path: Path) -> tuple[int, int]:
    found = section_sizes(path.read_bytes())
    return found.size_bytes, found.text_data_bytes


def clang(toolchain: Toolchain, user, *arguments: str | Path) -> None:
    done = run([toolchain.tool("clang"), *arguments], timeout_s=60, cwd=user.folder)
    assert done.ok, done.stderr_text


# -- inputs and results ----------------------------------------------------------------------------


def test_a_c_file_becomes_a_smaller_object_that_replays_and_works(
    user, c_file: Path, toolchain: Toolchain, expected_output: tuple[str, str]
) -> None:
    user.judges(VerdictKind.PASSED)
    done = user.types("optimize", c_file, "--json")
    assert (done.code, done.errors) == (0, [])
    (row,) = done.rows
    assert [key for key in row if key != "warnings"] == KEYS
    assert set(row) - set(KEYS) <= {"warnings"}
    assert row["input"] == "program.c"
    assert row["llvm_version"] == toolchain.version
    assert sizes(user.folder / "program.o") == (
        row["optimized_bytes"],
        row["optimized_text_data_bytes"],
    )
    clang(toolchain, user, "-Oz", "-c", c_file, "-o", "honest.o")
    assert sizes(user.folder / "honest.o") == (
        row["baseline_bytes"],
        row["baseline_text_data_bytes"],
    )
    assert row["optimized_bytes"] < row["baseline_bytes"], "the program was chosen for it"
    assert row["proposer"] in ("model", "coreset")
    assert row["verdict"] == "passed"
    assert parse_pass_list(row["passes"]).pipeline == row["passes"]
    assert 0 < row["num_evaluations"] <= 32
    # The printed commands make the same object, byte for byte.
    ours = (user.folder / "program.o").read_bytes()
    (user.folder / "program.o").unlink()
    user.shell(*row["replay"])
    assert (user.folder / "program.o").read_bytes() == ours
    clang(toolchain, user, "program.o", "-o", "program")
    assert run([user.folder / "program"], timeout_s=10).stdout.decode() == expected_output[0]


def test_a_cpp_file(user, cpp_file, toolchain, expected_output) -> None:
    user.judges(VerdictKind.PASSED)
    done = user.types("optimize", cpp_file, "--json", "-o", "made.o", "--", "-std=c++17")
    (row,) = done.rows
    assert row["optimized_bytes"] <= row["baseline_bytes"]
    ours = (user.folder / "made.o").read_bytes()
    user.shell(*row["replay"])
    assert (user.folder / "made.o").read_bytes() == ours
    link = run([toolchain.tool("clang++"), "made.o", "-o", "shapes"], timeout_s=60, cwd=user.folder)
    assert link.ok, link.stderr_text
    assert run([user.folder / "shapes"], timeout_s=10).stdout.decode() == expected_output[1]


@pytest.mark.parametrize("suffix", ["ll", "bc"])
def test_ir_and_bitcode(user, c_file: Path, toolchain: Toolchain, suffix: str) -> None:
    user.judges(VerdictKind.PASSED)
    kind = "-S" if suffix == "ll" else "-c"
    flags = ["-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", kind]
    clang(toolchain, user, *flags, c_file, "-o", f"module.{suffix}")
    done = user.types("optimize", f"module.{suffix}", "--json")
    (row,) = done.rows
    assert done.code == 0
    assert row["optimized_bytes"] <= row["baseline_bytes"]
    assert row["warnings"] == []
    ours = (user.folder / "module.o").read_bytes()
    user.shell(*row["replay"])
    assert (user.folder / "module.o").read_bytes() == ours


def test_ir_without_minsize_is_warned_of(user, c_file: Path, toolchain: Toolchain) -> None:
    clang(toolchain, user, "-O1", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-S", c_file)
    done = user.types("optimize", "program.ll", "--json", "--candidates", "0")
    assert done.code == 0
    assert re.search(r"warning: program\.ll: 5 of 5 functions lack 'minsize' \(", done.err)


def test_several_files_and_the_table(user, c_file: Path, cpp_file: Path) -> None:
    user.judges(VerdictKind.PASSED)
    third = user.write("sub/third.c", "int third(int x) { return x * 3; }\n")
    done = user.types("optimize", c_file, cpp_file, third, "--jobs", "2")
    assert (done.code, done.errors) == (0, [])
    lines = done.out.splitlines()
    assert re.split(r"  +", lines[0].strip()) == [
        "file",
        "-Oz bytes",
        "ours",
        "saved",
        "evaluations",
        "by",
    ]
    parts = [line.split() for line in lines[1:]]
    # Each row is printed when its file is done.
    parts[:3] = sorted(parts[:3])
    assert [part[0] for part in parts] == ["program.c", "shapes.cpp", "sub/third.c", "total"]
    assert sum(int(p[1]) for p in parts[:3]) == int(parts[3][1])
    assert sum(int(p[2]) for p in parts[:3]) == int(parts[3][2]) <= int(parts[3][1])
    for name, part in zip(("program.o", "shapes.o", "third.o"), parts, strict=False):
        assert sizes(user.folder / name)[0] == int(part[2])


def test_one_bad_file_among_good_ones(user, c_file: Path) -> None:
    bad = user.write("bad.c", "int f( {\n")
    done = user.types("optimize", bad, c_file, "missing.c", "--candidates", "1", "--json")
    assert done.code == 4
    assert len(done.errors) == 2
    assert [row["input"] for row in done.rows] == ["program.c"]
    assert (user.folder / "program.o").exists()
    assert not (user.folder / "bad.o").exists()


# -- never larger, never unsafe --------------------------------------------------------------------


def test_without_a_passed_verdict_clangs_object_stands(
    user, c_file: Path, toolchain: Toolchain
) -> None:
    user.judges(VerdictKind.REJECTED)
    done = user.types("optimize", c_file, "--json")
    (row,) = done.rows
    assert done.code == 0
    assert (row["proposer"], row["verdict"], row["passes"]) == ("baseline", "baseline", None)
    assert row["optimized_bytes"] == row["baseline_bytes"]
    assert "validate --coreset" in done.err
    clang(toolchain, user, "-Oz", "-c", c_file, "-o", "honest.o")
    assert (user.folder / "program.o").read_bytes() == (user.folder / "honest.o").read_bytes()
    (user.folder / "program.o").unlink()
    assert len(row["replay"]) == 1
    user.shell(*row["replay"])
    assert (user.folder / "program.o").read_bytes() == (user.folder / "honest.o").read_bytes()


def test_trust_hands_out_unchecked_lists(user, c_file: Path) -> None:
    done = user.types(
        *("optimize", c_file, "--json", "--trust", "--proposer", "search"),
        *("--candidates", "10", "--budget", "10", "--seed", "3"),
    )
    (row,) = done.rows
    assert row["num_evaluations"] == 20
    assert row["verdict"] in ("unchecked", "passed", "baseline")
    assert row["optimized_bytes"] <= row["baseline_bytes"]


@pytest.mark.parametrize("objective", ["size", "text-data", "instructions"])
def test_whatever_the_objective_it_is_never_larger(user, c_file: Path, objective: str) -> None:
    user.judges(VerdictKind.PASSED)
    (row,) = user.types("optimize", c_file, "--json", "--objective", objective).rows
    assert row["optimized_bytes"] <= row["baseline_bytes"]
    assert row["optimized_value"] <= row["baseline_value"]
    assert (row["passes"] is None) == (row["optimized_value"] == row["baseline_value"])


@pytest.mark.parametrize(
    "source",
    [
        "int x;\n",
        "/* nothing */\n",
        "int f(void) { return 1; }\n",
        'const char text[] = "abc"; static int unused(void) { return 3; }\n',
        "__attribute__((constructor)) static void start(void) {} int y = 3;\n",
        'void f(void) { __asm__ volatile("nop"); } __asm__(".globl z\\nz: ret");\n',
    ],
    ids=["variable", "nothing", "one", "static", "constructor", "assembly"],
)
def test_odd_small_files(user, source: str) -> None:
    user.judges(VerdictKind.PASSED)
    done = user.types("optimize", user.write("odd.c", source), "--json")
    assert done.code == 0, done.err
    (row,) = done.rows
    assert row["optimized_bytes"] <= row["baseline_bytes"]


# -- outputs ---------------------------------------------------------------------------------------


def test_assembly(user, c_file: Path, toolchain: Toolchain, expected_output) -> None:
    user.judges(VerdictKind.PASSED)
    done = user.types("optimize", c_file, "-S")
    assert done.code == 0
    assert "main:" in (user.folder / "program.s").read_text()
    clang(toolchain, user, "program.s", "-o", "program")
    assert run([user.folder / "program"], timeout_s=10).stdout.decode() == expected_output[0]


def test_bitcode_and_text(user, c_file: Path, toolchain: Toolchain) -> None:
    user.judges(VerdictKind.PASSED)
    assert user.types("optimize", c_file, "--emit-llvm").code == 0
    assert (user.folder / "program.bc").read_bytes()[:4] == b"BC\xc0\xde"
    assert user.types("optimize", c_file, "--emit-llvm", "-o", "text.ll").code == 0
    assert "define " in (user.folder / "text.ll").read_text()
    # Made of these, the object is as large as the one handed out.
    (row,) = user.types("optimize", c_file, "--json").rows
    for name in ("program.bc", "text.ll"):
        clang(toolchain, user, "-Oz", "-Xclang", "-disable-llvm-passes", "-c", name, "-o", "x.o")
        assert sizes(user.folder / "x.o")[0] == pytest.approx(row["optimized_bytes"], rel=0.02)


@pytest.mark.parametrize(
    ("verdict", "flags"),
    [
        (VerdictKind.PASSED, []),
        (VerdictKind.REJECTED, []),
        (VerdictKind.REJECTED, ["-fPIC", "-funroll-loops", "-fno-exceptions"]),
    ],
    ids=["a list wins", "clang -Oz wins", "with flags"],
)
def test_the_pass_list_pasted_gives_the_promised_size(
    user, c_file: Path, toolchain: Toolchain, verdict: VerdictKind, flags: list[str]
) -> None:
    user.judges(verdict)
    # Code on which default<Oz> and clang -Oz differ: clang adds the SLP vectoriser.
    user.write("program.c", (user.folder / c_file).read_text() + SUMS)
    done = user.types("optimize", c_file, "--emit-passes", "--", *flags)
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    assert sorted(user.files()) == ["program.c"], "to standard output only"
    first, *commands = [line for line in done.err.splitlines() if ": warning: " not in line]
    promised = re.fullmatch(r"llm-compiler: program\.c: (\d+) bytes, by", first)
    assert promised, done.err
    assert len(commands) == 3
    user.shell("\n".join([f"LIST={shlex.quote(done.out.strip())}", *commands]))
    assert sizes(user.folder / "program.o")[0] == int(promised[1])
    clang(toolchain, user, "-Oz", "-c", c_file, "-o", "honest.o", *flags)
    honest = sizes(user.folder / "honest.o")[0]
    assert (int(promised[1]) < honest) == (verdict is VerdictKind.PASSED)
    assert int(promised[1]) <= honest
    assert user.types("optimize", c_file, "--emit-passes", "-o", "list.txt", "--", *flags).code == 0
    assert (user.folder / "list.txt").read_text() == done.out
    (row,) = user.types("optimize", c_file, "--emit-passes", "--json", "--", *flags).rows
    assert row["passes"] + "\n" == done.out
    assert row["optimized_bytes"] == int(promised[1])


def test_the_object_on_standard_output(user, c_file: Path) -> None:
    command = shlex.join(["llm-compiler", "optimize", str(c_file), "--candidates", "0", "-o", "-"])
    folder = Path(sys.executable).parent
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=user.folder,
        env={**user.env, "PATH": f"{folder}:{user.env['PATH']}"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert section_sizes(done.stdout).size_bytes > 0


def test_textual_ir_names_its_source_and_no_temporary_file(user, c_file: Path) -> None:
    for verdict in (VerdictKind.PASSED, VerdictKind.REJECTED):
        user.judges(verdict)
        assert user.types("optimize", c_file, "--emit-llvm", "-o", "x.ll").code == 0
        text = (user.folder / "x.ll").read_text()
        assert text.splitlines()[0] == "; ModuleID = 'program.c'"
        assert "/tmp" not in text


# -- targets without verdicts, and other formats ---------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "architecture"),
    [
        (["--target=mips-linux-gnu"], "mips"),
        (["--target=powerpc64le-linux-gnu"], "powerpc64le"),
    ],
    ids=" ".join,
)
def test_where_no_list_can_be_checked_nothing_is_searched(
    user, flags: list[str], architecture: str
) -> None:
    source = user.write(
        "t.c", "int f(int *p, int n) { int s = 0; while (n--) s += *p++; return s; }\n"
    )
    done = user.types("optimize", source, "--json", "--budget", "60", "--", *flags)
    assert (done.code, done.errors) == (0, [])
    (row,) = done.rows
    assert (row["num_evaluations"], row["verdict"]) == (0, "baseline")
    assert f"pass lists cannot be checked for {architecture}: only for x86_64, aarch64" in done.err
    assert "validate" not in done.err, "which could not help"
    (row,) = user.types(
        "optimize", source, "--json", "--budget", "8", "--trust", "--candidates", "4", "--", *flags
    ).rows
    assert row["num_evaluations"] > 0, "what the message says works"


@pytest.mark.parametrize(
    ("triple", "name"),
    [
        ("x86_64-w64-mingw32", "COFF"),
        ("arm64-apple-macosx14", "Mach-O"),
    ],
)
def test_other_formats_are_clangs_own(user, toolchain: Toolchain, triple: str, name: str) -> None:
    source = user.write("f.c", "int f(int x) { return x * 3; }\n")
    done = user.types("optimize", source, "--json", "--target-triple", triple)
    assert (done.code, done.errors) == (0, [])
    assert done.err.count("warning: ") == 1
    assert f"f.c: its object is in the format {name}" in done.err
    clang(toolchain, user, "-Oz", "-c", source, "-o", "honest.o", f"--target={triple}")
    assert user.files()["f.o"] == user.files()["honest.o"]
    assert done.rows[0]["verdict"] == "baseline"


# -- clang's flags ---------------------------------------------------------------------------------


def test_flags_behind_the_dashes_reach_clang(user, toolchain: Toolchain) -> None:
    user.judges(VerdictKind.PASSED)
    user.write("include dir/value.h", "#define VALUE 40\n")
    source = user.write(
        "flags.c",
        '#include "value.h"\n#if __STDC_VERSION__ + 0 != 0\n#error not gnu89\n#endif\n'
        "int one(int x) { return x + VALUE + X; }\nint two(int x) { return one(x) * 2; }\n",
    )
    flags = ["-DX=1", "-I", "include dir", "-std=gnu89", "-ffunction-sections", "-O3"]
    done = user.types("optimize", source, "--json", "--", *flags)
    assert (done.code, done.errors) == (0, [])
    (row,) = done.rows
    objdump = run(
        [toolchain.tool("llvm-objdump"), "-h", user.folder / "flags.o"], timeout_s=30
    ).stdout.decode()
    assert ".text.one" in objdump
    assert ".text.two" in objdump
    clang(toolchain, user, *flags[:-1], "-Oz", "-c", source, "-o", "honest.o")
    assert sizes(user.folder / "honest.o")[0] == row["baseline_bytes"]
    ours = (user.folder / "flags.o").read_bytes()
    user.shell(*row["replay"])
    assert (user.folder / "flags.o").read_bytes() == ours


def test_a_clang_command_line_is_carried_out(user, c_file: Path) -> None:
    user.write("flags", "-DX=1 -O2\n-g")
    flags = ["@flags", "-c", "-o", "made.o", "-save-temps", "-Xclang", "-disable-llvm-passes"]
    done = user.types("optimize", c_file, "--candidates", "0", "--json", "--", *flags)
    assert (done.code, done.errors) == (0, [])
    assert sorted(user.files()) == ["flags", "made.o", "program.c"]
    assert section_sizes(user.files()["made.o"]).size_bytes == done.rows[0]["baseline_bytes"]
    plain = user.types("optimize", c_file, "--candidates", "0", "--json").rows[0]
    assert plain["baseline_bytes"] == done.rows[0]["baseline_bytes"], "the baseline is optimised"
    warnings = [line for line in done.err.splitlines() if ": warning: " in line]
    assert len(warnings) == 3
    for what in (
        "-O2 is overridden",
        "-save-temps is left out",
        "-disable-llvm-passes is left out",
    ):
        assert sum(what in line for line in warnings) == 1
    done = user.types("optimize", c_file, "--candidates", "0", "--", "-S", "-o", "made.s")
    assert done.code == 0
    assert b".text" in user.files()["made.s"]
    done = user.types("optimize", c_file, "--candidates", "0", "--", "-S", "-emit-llvm")
    assert b"define" in user.files()["program.ll"]


def test_another_target(user, toolchain: Toolchain) -> None:
    user.judges(VerdictKind.PASSED)
    source = user.write(
        "plain.c", "int f(int *p, int n) { int s = 0; while (n--) s += *p++; return s; }\n"
    )
    done = user.types("optimize", source, "--json", "--target-triple", "aarch64-linux-gnu")
    assert done.code == 0
    (row,) = done.rows
    assert row["target_triple"].startswith("aarch64")
    data = (user.folder / "plain.o").read_bytes()
    assert int.from_bytes(data[18:20], "little") == 183  # EM_AARCH64
    user.shell(*row["replay"])
    assert (user.folder / "plain.o").read_bytes() == data


def test_a_dependency_file_is_written_as_clang_would(user, toolchain: Toolchain) -> None:
    user.write("value.h", "#define VALUE 40\n")
    source = user.write("d.c", '#include "value.h"\nint f(void) { return VALUE; }\n')
    assert user.types("optimize", source, "--candidates", "1", "-o", "d.o", "--", "-MD").code == 0
    ours = (user.folder / "d.d").read_text()
    clang(toolchain, user, "-Oz", "-c", source, "-o", "d.o", "-MD", "-MF", "theirs.d")
    assert ours.split() == (user.folder / "theirs.d").read_text().split()
    done = user.types(
        "optimize", source, "--candidates", "1", "--", "-MMD", "-MF", "x.d", "-MT", "tgt"
    )
    assert done.code == 0
    assert (user.folder / "x.d").read_text().split() == ["tgt:", "d.c", "value.h"]


def test_sanitizers_leave_clangs_own_object(user, c_file: Path) -> None:
    user.judges(VerdictKind.PASSED)
    done = user.types("optimize", c_file, "--json", "--", "-fsanitize=address")
    (row,) = done.rows
    assert row["verdict"] == "baseline"
    assert "-fsanitize=address is carried out by clang's own passes" in done.err
