"""What ``llm-compiler doctor`` takes."""

from __future__ import annotations

from dataclasses import dataclass

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson

__all__ = ["COMMAND", "DoctorArguments"]


@dataclass(frozen=True, kw_only=True)
class DoctorArguments(AsJson):
    """As typed."""


COMMAND = Command(
    name="doctor",
    options=DoctorArguments,
    run="doctor:run",
)
