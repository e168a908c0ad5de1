from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.targets import TARGETS, LinuxPrograms
from llm_compiler.verify.suite import (
    Program,
    Suite,
    built_in_suite,
    folder_suite,
    humaneval_x_suite,
    join_suites,
    load_suite,
)

_TASK = {
    "task_id": "CPP/3",
    "prompt": "#include <vector>\nusing namespace std;\n/* text */\nint three(){\n",
    "declaration": "#include <vector>\nusing namespace std;\nint three(){\n",
    "canonical_solution": "    return 3;\n}\n",
    "test": "#undef NDEBUG\n#include <assert.h>\nint main(){ assert(three() == 3); }\n",
    "example_test": "",
}


def test_the_built_in_suite_has_at_least_sixty_programs() -> None:
    suite = built_in_suite()
    assert len(suite) >= 60
    assert {program.language for program in suite.programs} == {"c", "c++"}
    assert suite.hash == built_in_suite().hash


def test_a_folder_is_read_in_order_with_its_flags(tmp_path: Path) -> None:
    (tmp_path / "b-2.c").write_text("/* flags: -std=c99 -fwrapv */\nint main(void) { return 0; }\n")
    (tmp_path / "a.cpp").write_text("int main() {}\n")
    (tmp_path / "README.md").write_text("no program\n")
    first, second = folder_suite(tmp_path).programs
    assert (first.name, first.language, first.flags) == ("a", "c++", ())
    assert (second.name, second.language, second.flags) == ("b_2", "c", ("-std=c99", "-fwrapv"))


def test_two_programs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "a.cpp").write_text("int main() {}\n")
    with pytest.raises(InputError, match="two programs of the name 'a'"):
        folder_suite(tmp_path)


def test_the_hash_follows_the_sources() -> None:
    suite = Suite(name="s", programs=(Program(name="a", source="int main(){}"),))
    two = Suite(name="s", programs=(Program(name="a", source="int main(){ }"),))
    assert suite.hash != two.hash


@pytest.mark.parametrize("compress", [False, True])
def test_humaneval_x_is_put_together_as_upstream_runs_it(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "cpp.jsonl"
    data = (json.dumps(_TASK) + "\n").encode()
    path.write_bytes(gzip.compress(data) if compress else data)
    (program,) = load_suite(path).programs
    assert program.name == "humaneval_3"
    assert program.flags == ("-std=c++11",)
    assert program.source.index("#include <algorithm>") < program.source.index("int three(){")
    assert program.source.index("return 3;") < program.source.index("int main(){")
    assert program.source.count("int three(){") == 1


def test_humaneval_x_takes_the_declaration_where_there_is_no_prompt(tmp_path: Path) -> None:
    path = tmp_path / "cpp.jsonl"
    path.write_text(json.dumps(_TASK | {"prompt": None}))
    (program,) = humaneval_x_suite(path).programs
    assert "text" not in program.source
    assert "int three(){" in program.source


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"task_id": "CPP/1"}', json.dumps(_TASK | {"test": ""})]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "cpp.jsonl"
    path.write_text(json.dumps(_TASK) + "\n\n" + line + "\n")
    with pytest.raises(InputError, match=r"cpp\.jsonl:3: not a"):
        humaneval_x_suite(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_suite(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no \.c"):
        load_suite(tmp_path)
    with pytest.raises(InputError, match="has no program 'zzz'"):
        built_in_suite().subset(["zzz"])


def test_suites_are_joined_in_order() -> None:
    parts = [
        Suite(name=name, programs=(Program(name=name, source=""),)) for name in ("a", "b", "c")
    ]
    assert [program.name for program in join_suites(parts).programs] == ["a", "b", "c"]


def test_what_a_target_leaves_out_is_a_program_of_the_suite() -> None:
    names = {program.name for program in built_in_suite().programs}
    left_out = {
        (found.name, program)
        for found in TARGETS
        if isinstance(found.programs, LinuxPrograms)
        for program in found.programs.left_out
    }
    assert left_out == {("i386", "floating_point_environment")}
    assert {program for _, program in left_out} <= names
