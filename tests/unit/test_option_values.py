"""Options as people write them, and what is said where that cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_compiler.disassemble import DisassembleOptions
from llm_compiler.emulate import EmulateOptions
from llm_compiler.errors import ConfigError
from llm_compiler.optimize import OptimizeOptions, OutputKind, Proposer


def test_texts_stand_for_enums_flags_and_paths() -> None:
    options = OptimizeOptions(
        kind="assembly",  # type: ignore[arg-type]
        proposer="coreset",  # type: ignore[arg-type]
        clang_flags="-I 'some where' -DX=1",  # type: ignore[arg-type]
    )
    assert options.kind is OutputKind.ASSEMBLY
    assert options.proposer is Proposer.CORESET
    assert options.clang_flags == ("-I", "some where", "-DX=1")
    listed: Any = ["-I", Path("inc")]
    assert EmulateOptions(clang_flags=listed).clang_flags == ("-I", "inc")
    name: Any = "main"
    assert DisassembleOptions(functions=name).functions == ("main",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": "many"}, "candidates is a whole number, not 'many'"),
        ({"candidates": 1.5}, "candidates is a whole number, not 1.5"),
        ({"budget": True}, "budget is a whole number, not True"),
        ({"trust": "yes"}, "trust is True or False, not 'yes'"),
        ({"timeout_s": "fast"}, "timeout_s is a number, not 'fast'"),
        ({"kind": "elf"}, "kind is one of object, assembly, bitcode, text, passes, not 'elf'"),
        ({"clang_flags": 3}, "clang_flags is a list of texts, or one text, not 3"),
        ({"clang_flags": "-D'"}, "clang_flags cannot be split like a shell does"),
        ({"target_triple": None}, "target_triple is text, not None"),
        ({"objective": "speed"}, "no objective 'speed'"),
    ],
    ids=str,
)
def test_a_wrong_type_is_one_clear_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        OptimizeOptions(**settings)
    assert message in str(raised.value)
