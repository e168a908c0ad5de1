"""What the environment says to ``llm-cc``: one variable a field (the table is in docs/builds.md).

Nothing here fails: a build must not stop since a variable has an odd value, so that one counts as
not set, and `CcSettings.troubles` says so in the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llm_compiler.optimization.options import Effort

__all__ = ["VARIABLES", "CcSettings", "Mode"]


class Mode(StrEnum):
    """What is made smaller."""

    OBJECT = "object"
    """Each object by itself."""
    LTO = "lto"
    """Each object, and the program as one when it is linked."""


VARIABLES = (
    ("LLM_CC_EFFORT", "fast", "`fast`, `default`, `high` or `max`: how much is tried"),
    ("LLM_CC_MODE", "object", "`object`: each object alone; `lto`: the program as one, too"),
    ("LLM_CC_FORCE", "0", "`1`: calls with -O1, -O2 and -O3 are made small, too"),
    ("LLM_CC_DISABLE", "0", "`1`: clang alone, whatever else is set"),
    (
        "LLM_CC_DIR",
        "`$XDG_CACHE_HOME/llm-compiler/cc`",
        "the folder of client, server, cache",
    ),
    ("LLM_CC_CACHE", "1", "`0`: nothing is looked up or kept"),
    ("LLM_CC_CACHE_MB", "2048", "how large the cache grows; the least recently used goes first"),
    ("LLM_CC_JOURNAL", "in the private folder", "the file that says what each unit saved"),
    ("LLM_CC_LAUNCHER", "", "a program in front of clang, such as `ccache`"),
    ("LLM_CC_PATIENCE_S", "30", "a server that says nothing for so long is given up"),
    ("LLM_CC_MEMORY_MB", "2048", "workers that together hold more are replaced by new ones"),
    ("LLM_CC_IDLE_S", "600", "a server that nobody asks for so long ends itself"),
)
"""Name, default and meaning of each, for the documentation."""
_SIZE_LEVELS = ("-Os", "-Oz")
_SPEED_LEVELS = ("-O", "-O1", "-O2", "-O3")


@dataclass(frozen=True, slots=True, kw_only=True)
class CcSettings:
    """The variables of one call."""

    effort: Effort = Effort.FAST
    mode: Mode = Mode.OBJECT
    force: bool = False
    use_cache: bool = True
    cache_bytes: int = 2048 << 20
    journal: Path | None = None
    troubles: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CcSettings:
        """Return what a call's variables say.

        >>> CcSettings.from_environment({"LLM_CC_EFFORT": "much"}).troubles
        ("LLM_CC_EFFORT: 'much' is none of fast, default, high, max",)
        """
        troubles: list[str] = []

        def one_of(name: str, kind: type[StrEnum], default: StrEnum) -> StrEnum:
            text = environment.get(name, "")
            if not text:
                return default
            try:
                return kind(text)
            except ValueError:
                known = ", ".join(str_enum.value for str_enum in kind)
                troubles.append(f"{name}: '{text}' is none of {known}")
                return default

        effort = one_of("LLM_CC_EFFORT", Effort, Effort.FAST)
        mode = one_of("LLM_CC_MODE", Mode, Mode.OBJECT)
        megabytes = environment.get("LLM_CC_CACHE_MB", "")
        if megabytes and not megabytes.isdecimal():
            troubles.append(f"LLM_CC_CACHE_MB: '{megabytes}' is no number")
            megabytes = ""
        journal = environment.get("LLM_CC_JOURNAL", "")
        return cls(
            effort=Effort(effort),
            mode=Mode(mode),
            force=environment.get("LLM_CC_FORCE") == "1",
            use_cache=environment.get("LLM_CC_CACHE") != "0",
            cache_bytes=int(megabytes or 2048) << 20,
            journal=Path(journal) if journal else None,
            troubles=tuple(troubles),
        )

    def wants(self, level: str) -> bool:
        """Whether code at clang's optimisation level is to be made smaller."""
        return level in _SIZE_LEVELS or (self.force and level in _SPEED_LEVELS)
