"""The table of objectives: what commands list, and how a new one joins."""

from __future__ import annotations

import copy
import pickle

import pytest

from llm_compiler.commands.parser import build_parser
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.settings import all_settings
from llm_compiler.optimize import OptimizeOptions
from llm_compiler.records import Measurement, Status
from llm_compiler.search import objective as table
from llm_compiler.search.objective import (
    FLASH,
    INSTRUCTIONS,
    SIZE,
    TEXT_DATA,
    Objective,
    objective_named,
    register,
)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no objective 'speed': it is one of size, text-data"):
        objective_named("speed")
    with pytest.raises(ConfigError, match="no objective 'speed'"):
        OptimizeOptions(objective="speed")  # type: ignore[arg-type]


def test_names_stand_for_objectives() -> None:
    assert OptimizeOptions(objective="text-data").objective.unit == "bytes"  # type: ignore[arg-type]
    assert objective_named(SIZE) is SIZE


def test_the_shipped_ones_can_be_pickled() -> None:
    measured = Measurement(status=Status.OK, size_bytes=7, text_data_bytes=3, num_instructions=2)
    for objective in (SIZE, TEXT_DATA, FLASH, INSTRUCTIONS):
        again = pickle.loads(pickle.dumps(objective))
        assert again == objective
        assert again.of(measured) == objective.of(measured)


def test_a_registered_one_is_an_option_of_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_TABLE", copy.copy(table._TABLE))
    cold = register(
        Objective(
            name="rest",
            title="bytes of neither .text nor .data",
            unit="bytes",
            of=lambda found: found.size_bytes - found.text_data_bytes,
        )
    )
    measured = Measurement(status=Status.OK, size_bytes=7, text_data_bytes=3)
    assert objective_named("rest").of(measured) == 4
    parser = build_parser()
    for command in (["optimize", "a.c"], ["autotune", "a.c", "--budget", "3"]):
        assert parser.parse_args([*command, "--objective", "rest"]).objective == cold.name
    with pytest.raises(ConfigError, match="'rest' already"):
        register(Objective(name="rest", title="", unit="", of=lambda found: 0))


def test_flash_leaves_out_what_a_linker_merges() -> None:
    measured = Measurement(status=Status.OK, size_bytes=70, text_data_bytes=3, merged_bytes=16)
    assert FLASH.rank(measured) == (54, 70)


@pytest.mark.parametrize(
    ("triple", "expected"),
    [
        ("thumbv7m-unknown-none-eabi", FLASH),
        ("riscv32-unknown-unknown-elf", FLASH),
        ("aarch64-unknown-none-elf", FLASH),
        ("x86_64-pc-linux-gnu", SIZE),
        ("armv7-unknown-linux-gnueabihf", SIZE),
    ],
)
def test_flash_is_what_counts_where_there_is_no_operating_system(
    triple: str, expected: Objective
) -> None:
    assert OptimizeOptions(objective_by_target=True).for_target(triple).objective is expected
    named = OptimizeOptions(objective=TEXT_DATA).for_target(triple)
    assert named.objective is TEXT_DATA


def test_what_serves_all_bytes_serves_flash_too() -> None:
    """On x86-64 without operating system both are the same number."""
    for setting in all_settings():
        assert (SIZE.name in setting.objectives) == (FLASH.name in setting.objectives), setting
