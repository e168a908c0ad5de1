"""The special tokens: what has a token of its own beside bytes and their merges.

One for each task, target and field of a prompt, for how much a size changes, and one for each safe
pass of the registry, so that a pass list costs one token a pass. Data only; knows nothing of merges
or of models.
"""

from __future__ import annotations

import bisect
from typing import Final

from llm_compiler.llvm.registry import all_entries
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.records import content_hash

__all__ = [
    "BEGIN",
    "CHANGES",
    "END",
    "FIELDS",
    "PAD",
    "TARGETS",
    "TASKS",
    "change_place",
    "change_token",
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
    "repair",  # disassembly once more, of code that was lifted wrongly
    "finish",  # disassembly in view of what rules have made of the code
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
    "sketch",  # a module, shortened to what decides about passes
    "attempt",  # repair: the wrong body
    "report",  # repair: what is wrong with it
    "draft",  # finish: the body that rules have made
)
CHANGES: Final = (
    *(-0.3, -0.2, -0.1, -0.07, -0.05, -0.035, -0.025, -0.018, -0.012, -0.008, -0.005, -0.003),
    *(-0.0015, 0.0, 1e-9, 0.0015, 0.003, 0.005, 0.008, 0.012, 0.018, 0.025, 0.035, 0.05, 0.07),
    *(0.1, 0.2, 0.3),
)
"""What a list made of a module's size, as a share of that at default<Oz>: each has a token, which
stands for all changes from its own up to the next; 0 for exactly the same size."""
_NUM_RESERVED = 16
_LATER: Final = {"repair": 0, "attempt": 1, "report": 2, "finish": 3, "draft": 4}
"""Tasks and fields that came when tokenizers had been trained: at reserved tokens, so that those
know them too."""


def task_token(task: str) -> str:
    """Return the token of a task of `TASKS`."""
    return _reserved_token(_LATER[task]) if task in _LATER else f"<|task:{task}|>"


def target_token(target_triple: str) -> str:
    """Return the token of a target; code and text have none and count as ``other``."""
    architecture = architecture_of(target_triple)
    return f"<|target:{architecture if architecture in TARGETS else 'other'}|>"


def field_token(field: str) -> str:
    """Return the token of a field of `FIELDS`."""
    return _reserved_token(_LATER[field]) if field in _LATER else f"<|{field}|>"


def _reserved_token(number: int) -> str:
    return f"<|reserved:{number}|>"


def change_place(size_bytes: int, oz_size_bytes: int) -> int:
    """Return the place of a change among the tokens of changes, the last of which is "failed".

    Args:
        size_bytes: of a list's object; negative if the list failed.
        oz_size_bytes: of default<Oz>'s.
    """
    if size_bytes < 0 or oz_size_bytes <= 0:
        return len(CHANGES)
    change = (size_bytes - oz_size_bytes) / oz_size_bytes
    return max(bisect.bisect_right(CHANGES, change) - 1, 0)


def change_token(place: int) -> str:
    """Return the token of a change by its place."""
    return f"<|change:{CHANGES[place]:g}|>" if place < len(CHANGES) else "<|change:failed|>"


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
        *(task_token(name) for name in TASKS if name not in _LATER),
        *(f"<|target:{name}|>" for name in TARGETS),
        *(field_token(name) for name in FIELDS if name not in _LATER),
        *map(change_token, range(len(CHANGES) + 1)),
        *map(_reserved_token, range(_NUM_RESERVED)),
        *map(pass_token, passes),
    )
