"""The table of objectives: what commands list, and how a new one joins."""

from __future__ import annotations

import copy
import pickle

import pytest

from llm_compiler.commands.parser import build_parser
from llm_compiler.errors import ConfigError
from llm_compiler.optimize import OptimizeOptions
from llm_compiler.records import Measurement, Status
from llm_compiler.search import objective as table
from llm_compiler.search.objective import (
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
    for objective in (SIZE, TEXT_DATA, INSTRUCTIONS):
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
