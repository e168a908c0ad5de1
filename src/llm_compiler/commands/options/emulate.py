"""What ``llm-compiler emulate`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    AsJson,
    ClangFlags,
    engine_option,
    model_option,
    target_triple_option,
    timeout_option,
)
from llm_compiler.model.engines.requests import Capability
from llm_compiler.option_fields import argument, option

__all__ = ["COMMAND", "EmulateArguments"]


@dataclass(frozen=True, kw_only=True)
class EmulateArguments(AsJson, ClangFlags):
    """As typed."""

    file: Path = argument("FILE")
    passes: str = option("--passes", metavar="LIST", help="text for opt -passes=")
    assembly: bool = option(
        "-S", False, help="assembly instead of IR: what the compiler makes of the predicted IR"
    )
    direct: bool = option(
        "--direct",
        False,
        help="with -S: the assembly that the model itself writes, which takes a model that learnt "
        "to (checkpoints in Meta's format are always asked so)",
    )
    output: Path | None = option("-o", None, metavar="OUT", help="default: standard output")
    check: bool = option("--check", False, help="compare with the true result: verdict and diff")
    target_triple: str = target_triple_option()
    engine: str = engine_option(Capability.EMULATE)
    model: str | None = model_option()
    timeout_s: float = timeout_option()


COMMAND = Command(
    name="emulate",
    description="Predict the code after a pass list, its instruction count and sizes, for a "
    "C, C++, IR or bitcode file. With --check the compiler's own result stands beside it. Clang's "
    "own flags follow after --.",
    options=EmulateArguments,
    run="emulate:run",
    negative="no answer or (--check) a wrong one",
)
