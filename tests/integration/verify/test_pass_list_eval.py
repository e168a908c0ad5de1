from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from llm_compiler.commands.validate import unknown_recipes
from llm_compiler.errors import InputError, ToolchainNotFound
from llm_compiler.llvm.module_jobs import Job
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.registry import entry
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import Status, Verdict, VerdictKind
from llm_compiler.verify import pass_list_eval, prepare
from llm_compiler.verify.csmith import csmith_suite
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.program_jobs import RenameJob
from llm_compiler.verify.reproducer import minimize
from llm_compiler.verify.suite import Program, Suite, built_in_suite, load_suite
from llm_compiler.verify.sweep import sweep
from llm_compiler.verify.verdicts import VerdictBook
from llm_compiler.workers import LocalPool
from llm_compiler.workers.fake import FakePool
from llm_compiler.workers.pool import run_jobs

PROGRAMS = (
    "switch_and_loop_exits",
    "switch_fallthrough_in_loops",
    "exceptions_nested",
    "setjmp_cleanup",
)
_SWITCHES = ("switch_and_loop_exits", "switch_fallthrough_in_loops")


def two_programs(pool: LocalPool, cache_dir: Path) -> PassListEval:
    suite = built_in_suite().subset(PROGRAMS[:2])
    return PassListEval(suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir)


def _c(name: str, body: str, **more: object) -> Program:
    return Program(name=name, source=f"#include <stdio.h>\n{body}\n", **more)  # type: ignore[arg-type]


def _check(
    suite: Suite, passes: str, pool: LocalPool, cache_dir: Path
) -> tuple[Verdict, dict[str, str]]:
    with PassListEval(
        suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir, program_timeout_s=1
    ) as item:
        return item.check(parse_pass_list(passes))["x86_64"], item.skipped["x86_64"]


@pytest.mark.parametrize("text", ["", "default<Oz>", "sroa,gvn,simplifycfg"])
def test_sound_lists_pass_on_both_architectures(evaluator: PassListEval, text: str) -> None:
    verdicts = evaluator.check(parse_pass_list(text))
    assert {name: v.kind for name, v in verdicts.items()} == {
        "x86_64": VerdictKind.PASSED,
        "aarch64": VerdictKind.PASSED,
    }
    assert verdicts["aarch64"].num_programs == len(PROGRAMS)


@pytest.mark.parametrize(
    "text", ["structurizecfg", "unify-loop-exits", "sroa,unify-loop-exits", "lower-invoke"]
)
def test_unsound_passes_are_found(evaluator: PassListEval, text: str) -> None:
    for verdict in evaluator.check(parse_pass_list(text)).values():
        assert verdict.kind is VerdictKind.REJECTED
        assert verdict.program in PROGRAMS
        assert verdict.reason


def test_a_list_seen_before_needs_no_run(
    evaluator: PassListEval, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = parse_pass_list("default<Oz>")
    evaluator.check(passes)

    def refuse(*_: object) -> None:
        raise AssertionError("nothing new is to be linked")

    monkeypatch.setattr("llm_compiler.verify.target.Target.link", refuse)
    assert evaluator.check(passes)["x86_64"].kind is VerdictKind.PASSED


def test_programs_that_cannot_serve_are_skipped_with_the_reason(
    pool: LocalPool, cache_dir: Path
) -> None:
    suite = Suite(
        name="odd",
        programs=(
            _c("good", 'int shared = 1; int main(void) { puts("yes"); return shared - 1; }'),
            _c("same_names", "int shared = 2; int main(void) { return shared - 2; }"),
            _c("fails", "int main(void) { return 3; }"),
            _c("no_c", "int main(void { }"),
        ),
    )
    verdict, skipped = _check(suite, "default<O2>", pool, cache_dir)
    assert verdict.kind is VerdictKind.PASSED
    assert verdict.num_programs == 2
    assert skipped["fails"] == "its -O0 build ended with 3"
    assert "expected ')'" in skipped["no_c"]


def test_a_suite_without_any_usable_program_is_bad_input(pool: LocalPool, cache_dir: Path) -> None:
    suite = Suite(name="bad", programs=(_c("fails", "int main(void) { return 3; }"),))
    with pytest.raises(InputError, match="no program of suite 'bad' can serve"):
        PassListEval(suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir)


def test_an_architecture_that_cannot_be_run_is_unchecked(pool: LocalPool, cache_dir: Path) -> None:
    suite = built_in_suite().subset(PROGRAMS[:1])
    with PassListEval(
        suite, architectures=["x86_64", "sparc64"], pool=pool, cache_dir=cache_dir
    ) as item:
        verdict = item.check(parse_pass_list("sroa"))["sparc64"]
        assert verdict.kind is VerdictKind.UNCHECKED
        assert "cannot be checked for sparc64" in verdict.reason
    with pytest.raises(ToolchainNotFound, match="sparc64"):
        PassListEval(suite, architectures=["sparc64"], pool=pool, cache_dir=cache_dir)


def test_one_bad_constructor_is_traced_to_its_program(pool: LocalPool, cache_dir: Path) -> None:
    programs = [
        _c(f"p{i}", 'int main(void) { puts("fine"); return 0; }', language="c++") for i in range(5)
    ]
    bad = '__attribute__((constructor)) static void start() { puts("early"); }\n'
    programs[3] = _c("p3", bad + "int main() { return 0; }", language="c++")
    suite = Suite(name="constructors", programs=tuple(programs))
    with PassListEval(
        suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir, program_timeout_s=1
    ) as item:
        # It prints in every process, before the records, so no record can be read with it.
        assert "p3" in item.skipped["x86_64"]
        assert item.check(parse_pass_list("sroa"))["x86_64"].num_programs == 4


@pytest.mark.parametrize(
    ("status", "reason"),
    [(Status.CRASHED, "compiler crashed"), (Status.TIMED_OUT, "compiler timed out")],
)
def test_a_compiler_that_dies_rejects(
    pool: LocalPool,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: Status,
    reason: str,
) -> None:
    with two_programs(pool, cache_dir) as item:
        fake = FakePool(dies=lambda job, step: status)
        monkeypatch.setattr(item, "_pool", fake)
        verdict = item.check(parse_pass_list("sroa"))["x86_64"]
    assert verdict.kind is VerdictKind.REJECTED
    assert verdict.program == PROGRAMS[0]
    assert verdict.reason.startswith(reason)


def test_a_compilation_that_a_busy_machine_slowed_gets_a_second_try(
    pool: LocalPool, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_programs(pool, cache_dir) as item:
        limits: set[float] = set()

        def hurried(job: Job, step: int) -> Status | None:
            limits.add(job.timeout_s)
            return Status.TIMED_OUT if job.timeout_s == min(limits) else None

        monkeypatch.setattr(item, "_pool", FakePool(dies=hurried))
        verdict = item.check(parse_pass_list("sroa"))["x86_64"]
    assert verdict.kind is VerdictKind.PASSED
    assert len(limits) == 2


def test_humaneval_x_programs_are_checked(pool: LocalPool, cache_dir: Path, tmp_path: Path) -> None:
    task = {
        "task_id": "CPP/0",
        "prompt": "#include <vector>\nusing namespace std;\nint total(vector<int> v){\n",
        "declaration": "",
        "canonical_solution": "    int s = 0;\n    for (int x : v) s += x;\n    return s;\n}\n",
        "test": "#undef NDEBUG\n#include<assert.h>\nint main(){ assert(total({1, 2}) == 3); }\n",
        "example_test": "",
    }
    path = tmp_path / "humaneval_cpp.jsonl"
    path.write_text(json.dumps(task) + "\n")
    verdict, _ = _check(load_suite(path), "default<Oz>", pool, cache_dir)
    assert (verdict.kind, verdict.num_programs) == (VerdictKind.PASSED, 1)


@pytest.mark.slow
def test_a_reproducer_stands_by_itself_and_can_be_reduced(
    pool: LocalPool, cache_dir: Path, tmp_path: Path
) -> None:
    source = """
    int calls;
    int __attribute__((noinline)) step(int n) {
        for (;;) {
            switch (n & 3) {
            case 0: n += 5; break;
            case 1: return n;
            case 2: calls++; n -= 1; break;
            default: if (calls > 3) return -n; n *= 2;
            }
        }
    }
    int main(int argc, char **argv) { printf("%d %d\\n", step(argc + 5), step(4)); return 0; }"""
    suite = Suite(name="small", programs=(_c("small", source),))
    with PassListEval(
        suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir, program_timeout_s=1
    ) as item:
        verdict = item.check(parse_pass_list("structurizecfg"))["x86_64"]
        assert verdict.kind is VerdictKind.REJECTED
        saved = item.save_reproducer(verdict, tmp_path / "kept")
    assert saved.reproduced
    assert (saved.folder / "passes.txt").read_text() == "function(structurizecfg)\n"
    assert (saved.folder / "expected.txt").read_bytes()
    assert subprocess.run([saved.script, saved.folder / "small.c"], check=False).returncode == 0
    reduced = minimize(saved, timeout_s=60)
    assert reduced.suffix == ".ll"
    assert subprocess.run([saved.script, reduced], check=False).returncode == 0
    with pytest.raises(InputError, match="was not rejected"):
        item.save_reproducer(
            Verdict(
                kind=VerdictKind.PASSED,
                passes=verdict.passes,
                llvm_major=19,
                architecture="x86_64",
                program="small",
            ),
            tmp_path / "none",
        )


def test_a_sweep_goes_on_where_it_stopped(
    evaluator: PassListEval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [found for name in ("mem2reg", "unify-loop-exits") if (found := entry(name))]
    path = tmp_path / "sweep.jsonl"
    rows = list(sweep(evaluator, entries, path, pipelines=()))
    kinds = {(row.entry, row.kind) for row in rows}
    assert kinds == {("mem2reg", "passed"), ("unify-loop-exits", "rejected")}
    monkeypatch.setattr(pass_list_eval.PassListEval, "check", None)
    assert list(sweep(evaluator, entries, path, pipelines=())) == rows


def test_csmith_programs_are_the_same_each_time(tmp_path: Path) -> None:
    toolchain = find_toolchain()
    suite = csmith_suite(2, first_seed=4, toolchain=toolchain, cache_dir=tmp_path / "a")
    again = csmith_suite(2, first_seed=4, toolchain=toolchain, cache_dir=tmp_path / "a")
    assert suite.hash == again.hash
    assert suite.programs[0].name == "csmith_4"


def test_csmith_programs_that_are_undefined_are_passed_over(tmp_path: Path) -> None:
    # With Csmith 2.3.0 it points to a member of a packed struct.
    suite = csmith_suite(1, first_seed=654, toolchain=find_toolchain(), cache_dir=tmp_path)
    assert suite.programs[0].name != "csmith_654"


def test_a_busy_machine_leaves_no_program_out_for_good(
    pool: LocalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = _c("slow", '#include <unistd.h>\nint main(void) { usleep(600000); puts("a"); }')
    quick = _c("quick", 'int main(void) { puts("a"); }')
    suite = Suite(name="slow", programs=(slow, quick))
    monkeypatch.setattr(prepare, "_REFERENCE_TIMEOUT_S", 0.2)
    with PassListEval(suite, architectures=["x86_64"], pool=pool, cache_dir=tmp_path) as item:
        assert item.skipped["x86_64"].keys() >= {"slow"}
    monkeypatch.undo()
    with PassListEval(suite, architectures=["x86_64"], pool=pool, cache_dir=tmp_path) as item:
        assert not item.skipped["x86_64"]


_MUST_BE_INLINED = """
define available_externally i32 @twice(i32 %x) alwaysinline {
  %y = shl i32 %x, 1
  ret i32 %y
}
define available_externally i32 @outer(i32 %x) {
  %y = call i32 @twice(i32 %x)
  ret i32 %y
}
define i32 @main() {
  %y = call i32 @outer(i32 0)
  ret i32 %y
}
"""


def test_what_exists_nowhere_is_inlined_before_any_list(pool: LocalPool) -> None:
    # Only a body that is not emitted itself calls it: unoptimised, the program links.
    job = RenameJob(modules=(_MUST_BE_INLINED.encode(),), suffixes=(".p",))
    (made,) = run_jobs(pool, [job])[0]
    assert made.status is Status.OK
    text = subprocess.run(
        [find_toolchain().tool("llvm-dis"), "-o", "-"], input=made.data, capture_output=True
    ).stdout.decode()
    assert "@outer" in text
    assert "call i32 @twice" not in text


def test_recipes_with_a_verdict_are_not_checked_again(
    pool: LocalPool, cache_dir: Path, tmp_path: Path
) -> None:
    known, new = parse_pass_list("sroa"), parse_pass_list("gvn")
    suite = built_in_suite().subset(["switch_and_loop_exits"])
    with (
        PassListEval(suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir) as item,
        VerdictBook(tmp_path / "verdicts.db", shipped="") as book,
    ):
        for verdict in item.check(known).values():
            book.record(verdict)
        assert unknown_recipes(item, [known, new], book) == [new]
