"""What functions could agree on."""

from __future__ import annotations

from llm_compiler.disassembly.prototypes import candidates


def test_who_is_neither_defined_nor_called_has_no_prototype() -> None:
    """A call may have become one of another function while others were made to agree."""
    assert candidates(None, []) == []
