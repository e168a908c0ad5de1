"""Target records: every name of a triple leads to one, and a new one is listed everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import pytest

from llm_compiler.commands.options.shared import architecture
from llm_compiler.errors import ConfigError, UnsupportedTarget
from llm_compiler.llvm import targets
from llm_compiler.llvm.targets import (
    AARCH64,
    X86_64,
    add_alias,
    architecture_of,
    canonical_triple,
    known_target,
    lifted_targets,
    of_machine,
    register,
    target_names,
    target_of,
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    records, aliases = list(targets.TARGETS), dict(targets._ALIASES)
    yield
    targets.TARGETS[:] = records
    targets._ALIASES.clear()
    targets._ALIASES.update(aliases)


def named(name: str) -> targets.TargetRecord:
    return next(found for found in targets.TARGETS if found.name == name)


@pytest.mark.parametrize(
    ("triple", "record"),
    [
        ("x86_64-pc-linux-gnu", X86_64),
        ("amd64-unknown-freebsd14", X86_64),
        ("AArch64-linux-gnu", AARCH64),
        ("arm64", AARCH64),
        ("arm-linux-gnueabihf", None),
        ("i686-pc-linux-gnu", named("i386")),
        ("armv7l-unknown-linux-gnueabihf", named("armv7")),
        ("thumbv7-unknown-linux-gnueabihf", named("thumbv7")),
        ("thumbv6m-unknown-none-eabi", named("thumbv6m")),
        ("thumbv7em-unknown-none-eabihf", named("thumbv7em")),
        ("thumbv8m.main-unknown-none-eabi", named("thumbv8m.main")),
        ("riscv32-unknown-unknown-elf", named("riscv32")),
        ("riscv64-unknown-linux-gnu", named("riscv64")),
        ("thumbv7k-apple-watchos", None),
        ("x86_64h-apple-macosx", None),
        ("", None),
    ],
)
def test_a_triple_leads_to_its_record(triple: str, record: targets.TargetRecord | None) -> None:
    assert known_target(triple) is record
    expected = triple.split("-")[0].lower() if record is None else record.name
    assert architecture_of(triple) == expected


def test_what_has_no_record_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedTarget, match=r"'vax' cannot be lifted: only x86-64 and AArch64"):
        target_of("vax", what="lifted")


@pytest.mark.parametrize("triple", ["thumbv7m-none-eabi", "riscv32-unknown-elf", "i686-linux-gnu"])
def test_targets_that_are_only_optimised_are_not_lifted(triple: str) -> None:
    found = known_target(triple)
    assert found is not None
    assert found not in lifted_targets()
    with pytest.raises(UnsupportedTarget, match="cannot be disassembled: only x86-64 and AArch64"):
        target_of(triple, what="disassembled")
    assert of_machine(found.elf_machine) is None


def test_boards_have_flash_and_memory_that_do_not_overlap() -> None:
    for found in targets.TARGETS:
        if not isinstance(found.programs, targets.BareMetalPrograms):
            continue
        (flash, flash_bytes), (ram, ram_bytes) = found.programs.flash, found.programs.ram
        assert flash + flash_bytes <= ram or ram + ram_bytes <= flash, found.name
        assert found.is_bare_metal
        assert found.pointer_bytes == 4


def test_programs_of_each_target_are_compiled_for_a_triple_of_its_own() -> None:
    """What a suite was compiled to is kept by it: Arm's code would serve for Thumb's."""
    triples = [found.programs.triple for found in targets.TARGETS if found.programs is not None]
    assert len(set(triples)) == len(triples)


def test_an_alias_stands_for_a_whole_triple() -> None:
    add_alias("phone", "aarch64-linux-android24")
    assert canonical_triple("phone") == "aarch64-linux-android24"
    assert target_of("phone") is AARCH64
    assert architecture("phone") == "aarch64"
    assert "phone" in target_names()
    for taken in ("phone", "amd64", "aarch64"):
        with pytest.raises(ConfigError, match=f"'{taken}' already"):
            add_alias(taken, "x86_64-linux-gnu")
    with pytest.raises(ConfigError, match="no target that is known"):
        add_alias("mini", "vax-dec-ultrix")


def test_a_new_record_is_found_by_name_alias_and_machine() -> None:
    record = replace(X86_64, name="toy", aliases=("toy32",), elf_machine=0xFEED)
    assert register(record) is record
    assert known_target("toy32-unknown-elf") is record
    assert of_machine(0xFEED) is record
    assert "toy" in target_names()
    with pytest.raises(ConfigError, match="'toy' already"):
        register(replace(record, aliases=()))


def test_an_unknown_architecture_is_bad_usage() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="'vax' is no target: expected one of x86"):
        architecture("vax")


def test_triples_that_are_given_in_full_stay_as_they_are() -> None:
    assert canonical_triple("arm64-apple-macosx14") == "arm64-apple-macosx14"
    assert canonical_triple("riscv64-linux-gnu") == "riscv64-linux-gnu"
    assert canonical_triple("amd64") == X86_64.triple


@pytest.mark.parametrize(
    ("word", "distance"),
    [
        (0x14000002, 8),  # b .+8
        (0x97FFFFFF, -4),  # bl .-4
        (0x95FFFFFF, 4 * 0x1FFFFFF),  # the farthest bl
        (0x54000040, None),  # b.eq .+8
        (0xD65F03C0, None),  # ret
    ],
)
def test_branch_words_hold_signed_distances_in_instructions(
    word: int, distance: int | None
) -> None:
    assert AARCH64.outlines_with is not None
    assert AARCH64.outlines_with.distance(word) == distance
    assert X86_64.outlines_with is None
