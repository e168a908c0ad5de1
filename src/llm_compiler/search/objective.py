"""What a search makes small."""

from __future__ import annotations

from enum import StrEnum

from llm_compiler.records import Measurement

__all__ = ["Objective"]


class Objective(StrEnum):
    """The number that is to be small (DESIGN.md, rules of measurement)."""

    SIZE = "size"
    """Bytes of all allocated sections that take space in the file."""
    TEXT_DATA = "text-data"
    """Bytes of .text* and .data*: the paper's metric."""
    INSTRUCTIONS = "instructions"
    """IR instructions after the passes."""

    def of(self, measurement: Measurement) -> int:
        """Return the number of a measurement that is OK."""
        match self:
            case Objective.SIZE:
                return measurement.size_bytes
            case Objective.TEXT_DATA:
                return measurement.text_data_bytes
            case _:
                return measurement.num_instructions
