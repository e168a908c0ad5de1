from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.targets import TARGETS, BareMetalPrograms
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify import bare_metal
from llm_compiler.verify.driver_records import driver_records
from llm_compiler.verify.harness import parse_records
from llm_compiler.verify.harness_table import program_table


def test_lines_that_say_which_program_begins_are_no_records() -> None:
    data = b"@a\na exit 0 3\n@x\n@b\nb exit 3 0\n"
    records = parse_records(driver_records(data, "timeout 0"))
    assert [(found.program, found.number, found.stdout) for found in records] == [
        ("a", 0, b"@x\n"),
        ("b", 3, b""),
    ]


@pytest.mark.parametrize(("ended", "kind"), [("timeout 0", "timeout"), ("signal 6", "signal")])
@pytest.mark.parametrize("cut", [b"", b"b exit 0 9\nabc", b"b ex"])
def test_a_program_that_began_and_has_no_record_did_not_end(
    ended: str, kind: str, cut: bytes
) -> None:
    records = parse_records(driver_records(b"@a\na exit 0 0\n@b\n" + cut, ended))
    assert [(found.program, found.kind) for found in records] == [("a", "exit"), ("b", kind)]


def test_where_nothing_began_there_is_no_record() -> None:
    assert driver_records(b"", "timeout 0") == b""
    assert driver_records(b"qemu: could not load kernel\n", "signal 6") == b""


def test_a_program_table_names_every_main() -> None:
    text = program_table({"one_program": "main.one_program", "two": "main.two"})
    assert '__asm__("main.one_program");' in text
    assert '{"two", main_1},' in text
    assert "llm_compiler_num_programs = 2;" in text


@pytest.mark.parametrize(
    "name", [found.name for found in TARGETS if isinstance(found.programs, BareMetalPrograms)]
)
def test_what_is_missing_is_named_with_the_command_that_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = next(found.programs for found in TARGETS if found.name == name)
    assert isinstance(programs, BareMetalPrograms)
    monkeypatch.setattr(bare_metal, "which", lambda program: None)
    with pytest.raises(
        ToolchainNotFound, match=f"for {name}: qemu-system-.* 'apt-get install qemu-system-"
    ):
        bare_metal.bare_metal_target(
            name, programs, Toolchain(version="19.1.7", bin_dir=tmp_path, libllvm=tmp_path)
        )
