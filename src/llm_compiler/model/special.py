"""The special tokens: what has a token of its own beside bytes and their merges.

One for each task, target and field of a prompt, and one for each safe pass of the registry, so that
a pass list costs one token a pass. Data only; knows nothing of merges or of models.
"""

from __future__ import annotations

from typing import Final

from llm_compiler.llvm.registry import all_entries
from llm_compiler.records import content_hash

__all__ = [
    "BEGIN",
    "END",
    "FIELDS",
    "PAD",
    "TARGETS",
    "TASKS",
    "field_token",
    "pass_token",
    "pass_vocabulary_version",
    "registry_passes",
    "special_tokens",
    "target_token",
    "task_token",
]

END: Final = "<|end|>"
PAD: Final = "<|pad|>"
BEGIN: Final = "<|begin|>"

TASKS: Final = (
    "ir",
    "assembly",
    "code",
    "text",
    "emulate-ir",
    "emulate-assembly",
    "flag-tuning",
    "disassembly",
)
TARGETS: Final = ("x86_64", "aarch64", "other")
FIELDS: Final = (
    "passes",
    "pass-text",  # before a pass that has no token, spelled out
    "count",  # IR instructions
    "size",  # all allocated bytes of the object
    "text-data",  # .text + .data
    "code",
    "answer",
    "nothing-better",  # flag tuning: no list is smaller than default<Oz>
    "cut",  # the code goes on, but is left out
    "continued",  # the piece of a longer text that follows another
)
_NUM_RESERVED = 16


def task_token(task: str) -> str:
    """Return the token of a task of `TASKS`."""
    return f"<|task:{task}|>"


def target_token(target_triple: str) -> str:
    """Return the token of a target; code and text have none and count as ``other``."""
    architecture = target_triple.split("-", 1)[0]
    architecture = "aarch64" if architecture == "arm64" else architecture
    return f"<|target:{architecture if architecture in TARGETS else 'other'}|>"


def field_token(field: str) -> str:
    """Return the token of a field of `FIELDS`."""
    return f"<|{field}|>"


def pass_token(element: str) -> str:
    """Return the token of a canonical pass-list element."""
    return f"<|pass:{element}|>"


def registry_passes() -> tuple[str, ...]:
    """Return the canonical elements that get a token: the safe passes of the registry."""
    return tuple(entry.element for entry in all_entries() if entry.safe)


def pass_vocabulary_version(elements: tuple[str, ...]) -> str:
    """Name a pass vocabulary: equal for the same elements in the same order."""
    return content_hash("\n".join(elements).encode())


def special_tokens(passes: tuple[str, ...]) -> tuple[str, ...]:
    """Return all special tokens in the order of their ids, which begin at 0."""
    return (
        END,
        PAD,
        BEGIN,
        *map(task_token, TASKS),
        *(f"<|target:{name}|>" for name in TARGETS),
        *map(field_token, FIELDS),
        *(f"<|reserved:{number}|>" for number in range(_NUM_RESERVED)),
        *map(pass_token, passes),
    )
