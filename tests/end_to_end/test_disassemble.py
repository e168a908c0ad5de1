"""`disassemble` and `emulate` as a user types them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.loader import has_shipped_model, shipped_model
from llm_compiler.process import run

from .conftest import User

FUNCTION = "int add(int a, int b) { return a + b + 3; }\n"
ANSWER = (
    "define i32 @add(i32 %a, i32 %b) minsize optsize nounwind {\n"
    "  %c = add i32 %a, %b\n  %d = add i32 %c, CONSTANT\n  ret i32 %d\n}\n"
)


@pytest.fixture
def add_o(user: User) -> Path:
    user.write("add.c", FUNCTION)
    done = run(
        [find_toolchain().tool("clang"), "-Oz", "-c", "add.c"], timeout_s=60, cwd=user.folder
    )
    assert done.ok
    return Path("add.o")


def lift(user: User, constant: int, *arguments: str) -> tuple[int, str]:
    user.write("answers/add.ll", ANSWER.replace("CONSTANT", str(constant)))
    done = user.types(
        "disassemble", "add.o", "--engine", "replay", "--model", "answers", *arguments
    )
    return done.code, done.out


def test_a_right_lift_and_a_wrong_one(user: User, add_o: Path) -> None:
    code, out = lift(user, 3, "-o", "add.ll")
    assert code == 0
    assert out.splitlines()[-1] == "1 exact"
    assert "; add: exact" in user.files()["add.ll"].decode()
    code, out = lift(user, 4, "-o", "wrong.ll")
    assert code == 1
    assert "refuted" in out
    assert "argument 1: i32" in out
    module = user.files()["wrong.ll"].decode()
    assert re.findall(r"^define .*@\S*\(", module, re.MULTILINE) == [
        "define internal i32 @add.refuted("
    ]
    code, _ = lift(user, 4, "-o", "strict.ll", "--strict")
    assert code == 1
    assert "define" not in user.files()["strict.ll"].decode()


def test_an_archive_and_several_files(user: User, add_o: Path) -> None:
    user.write("answers/add.ll", ANSWER.replace("CONSTANT", "3"))
    tools = find_toolchain()
    user.write("other.cc", "int Other(int x) { return x; }\n")
    compiled = run([tools.tool("clang"), "-Oz", "-c", "other.cc"], timeout_s=60, cwd=user.folder)
    assert compiled.ok
    user.write("damaged.o", "\x7fELF and no more")
    members = ["add.o", "other.o", "damaged.o"]
    made = run([tools.tool("llvm-ar"), "rcs", "two.a", *members], timeout_s=60, cwd=user.folder)
    assert made.ok
    replay = ("--engine", "replay", "--model", "answers", "--jobs", "2")
    done = user.types("disassemble", "two.a", *replay, "--out-dir", "out")
    assert done.code == 1
    assert "two.a(add.o):" in done.out
    assert "Other(int)" in done.out
    assert "two.a(damaged.o)" in done.err
    assert {"out/add.ll", "out/other.ll"} <= set(user.files())
    assert "define i32 @add" in user.files()["out/add.ll"].decode()
    refused = user.types("disassemble", "add.o", "other.o", *replay, "-o", "one.ll")
    assert refused.code == 2
    assert "takes one input" in refused.err


def test_json(user: User, add_o: Path) -> None:
    code, out = lift(user, 3, "--json")
    row = json.loads(out)
    assert code == 0
    assert row["target_triple"].endswith("-linux-gnu")
    assert [(item["name"], item["verdict"]) for item in row["functions"]] == [("add", "exact")]
    assert "add.ll" in user.files()


def test_what_was_lifted_is_known_the_next_time(user: User, add_o: Path) -> None:
    def lift_by_rules(*more: str) -> tuple[bool, str, bytes]:
        done = user.types("disassemble", "add.o", "--engine", "none", "--json", *more)
        (function,) = done.rows[0]["functions"]
        return function["is_cached"], function["verdict"], user.files()["add.ll"]

    first = lift_by_rules()
    assert first[:2] == (False, "exact")
    assert lift_by_rules("--relink", "again.o") == (True, *first[1:])
    assert "again.o" in user.files()
    assert lift_by_rules("--no-cache") == first


@pytest.mark.skipif(has_shipped_model(), reason="this installation has weights")
def test_without_weights_both_say_so(user: User, add_o: Path) -> None:
    assert "came without weights: name a checkpoint" in user.fails(7, "disassemble", "add.o")
    assert "'emulate' needs a model" in user.fails(7, "emulate", "add.c", "--passes", "dce")


@pytest.mark.skipif(not has_shipped_model(), reason="this installation has no weights")
def test_weights_that_never_saw_the_task_say_so_once(user: User, add_o: Path) -> None:
    model = user.folder / "model"
    shutil.copytree(shipped_model(), model)
    records = json.loads((model / "training.json").read_text())
    records |= {"identity": {**records["identity"], "shares": {"flag-tuning": 1.0}}, "history": []}
    records.pop("tasks", None)
    (model / "training.json").write_text(json.dumps(records))
    user.write("two.c", FUNCTION + FUNCTION.replace("add", "more"))
    emulated = ("emulate", "two.c", "--passes", "dce", "--model", "model", "--json")
    for command, stage in (
        (("disassemble", "add.o", "--model", "model", "--candidates", "1"), "disassembly"),
        (emulated, "emulation"),
    ):
        done = user.types(*command)
        assert done.err.count(f"was not trained for {stage}") == 1
        assert done.code in (0, 1)


def test_bad_input_is_one_sentence(user: User, add_o: Path) -> None:
    (user.folder / "answers").mkdir()
    replay = ("--engine", "replay", "--model", "answers")
    user.write("text.o", "no object at all\n")
    user.write("data.s", ".data\nx: .long 1\n")
    for name, code, words in (
        ("text.o", 4, "text.o"),
        ("data.s", 4, "names no function"),
        ("missing.o", 4, "cannot read missing.o"),
    ):
        assert words in user.fails(code, "disassemble", name, *replay)
    assert "has no function 'nope'" in user.fails(
        4, "disassemble", "add.o", "--function", "nope", *replay
    )
    assert "would overwrite its own input" in user.fails(
        2, "disassemble", "add.o", "-o", "add.o", *replay
    )
    assert "name their --model" in user.fails(2, "disassemble", "add.o", "--engine", "replay")


def test_a_function_of_50000_instructions(user: User) -> None:
    body = "addl $1, %eax\n" * 50_000
    user.write("big.s", f".globl big\n.type big,@function\nbig:\n{body}retq\n.size big,.-big\n")
    (user.folder / "answers").mkdir()
    done = user.types("disassemble", "big.s", "--json", "--engine", "replay", "--model", "answers")
    assert done.code == 1
    (function,) = done.rows[0]["functions"]
    assert function["verdict"] == "no_answer"
    assert "has 50001 instructions, and at most 20000 are lifted" in function["reason"]


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("qemu-aarch64") or not Path("/usr/aarch64-linux-gnu/lib").is_dir(),
    reason="needs qemu-user and a C library for AArch64",
)
def test_the_example_of_cross_compilation(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "examples/cross-compile/run.sh"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run(
        [script],
        timeout_s=300,
        cwd=tmp_path,
        env={**os.environ, "BUILD": str(tmp_path), "PATH": path},
    )
    assert done.ok, done.stderr_text
    assert done.stdout.decode().endswith("\nthe same as on x86-64\n")


def test_emulate(user: User) -> None:
    user.write("add.c", FUNCTION)
    user.write("answers/emulate.ll", "define")
    flags = ("--passes", "instcombine", "--engine", "replay", "--model", "answers")
    done = user.types("emulate", "add.c", *flags, "--check")
    assert done.code == 1
    assert "verdict: broken" in done.out
    assert done.out.splitlines()[0].split() == ["before", "predicted", "true"]
    done = user.types("emulate", "add.c", *flags)
    assert (done.code, done.out) == (0, "define\n")
    assert "no pass" in user.fails(2, "emulate", "add.c", "--passes", "")
