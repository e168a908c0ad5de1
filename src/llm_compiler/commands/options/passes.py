"""What ``llm-compiler passes`` takes."""

from __future__ import annotations

from dataclasses import dataclass

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson
from llm_compiler.option_fields import option

__all__ = ["COMMAND", "PassesArguments"]


@dataclass(frozen=True, kw_only=True)
class PassesArguments(AsJson):
    """As typed."""

    all: bool = option("--all", False, help="the excluded ones too, and why")


COMMAND = Command(name="passes", options=PassesArguments, run="passes:run")
