"""What ``llm-compiler completion`` takes."""

from __future__ import annotations

from dataclasses import dataclass

from llm_compiler.commands.command import Command
from llm_compiler.option_fields import argument

__all__ = ["COMMAND", "SHELLS", "CompletionArguments"]

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, kw_only=True)
class CompletionArguments:
    """As typed."""

    shell: str = argument("SHELL", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")


COMMAND = Command(
    name="completion",
    description="Print a script that completes commands, options and their values: bash: "
    'eval "$(llm-compiler completion bash)" in ~/.bashrc; zsh: write it to _llm-compiler in a '
    "folder of $fpath; fish: write it to ~/.config/fish/completions/llm-compiler.fish.",
    options=CompletionArguments,
    run="completion:run",
)
