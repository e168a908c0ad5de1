"""An engine that answers from files: to verify IR of other origin, and for tests.

``FOLDER/NAME.ll``, ``FOLDER/NAME.1.ll``, ``FOLDER/NAME.2.ll`` ... are the answers for the function
NAME, in this order; a ``/`` in a name is written ``_``. ``FOLDER/emulate.ll`` and
``FOLDER/emulate.s`` are the answers of emulation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from llm_compiler.errors import EngineError
from llm_compiler.model.engines.engine import CodeAnswer, Proposal
from llm_compiler.records import PassList

__all__ = ["ReplayEngine"]

_FUNCTION = re.compile(r'^\.type (?:"((?:[^"\\]|\\.)*)"|([^,\s]+)), @function$', re.MULTILINE)


class ReplayEngine:
    """Implements `Engine`; proposes no pass lists.

    Raises:
        EngineError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise EngineError(f"there is no folder {folder} with answers (--model FOLDER)")
        self._folder = folder

    name = "replay"
    context = 1 << 30

    @property
    def model(self) -> str:
        """The folder."""
        return str(self._folder)

    def propose(
        self,
        code: str,
        target_triple: str,
        *,
        num_candidates: int,
        lists: Sequence[PassList] | None,
        oz_size_bytes: int = 0,
        tried: Sequence[tuple[PassList, int]] = (),
        seed: int = 0,
    ) -> list[Proposal]:
        """Return nothing."""
        return []

    def disassemble(
        self,
        assembly: str,
        target_triple: str,
        *,
        num_candidates: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[CodeAnswer]:
        """Return the files of the function that the assembly holds."""
        match = _FUNCTION.search(assembly)
        if match is None:
            return []
        name = (match[1] or match[2]).replace("/", "_")
        places = [self._folder / f"{name}.ll"]
        places += [self._folder / f"{name}.{number}.ll" for number in range(1, num_candidates + 1)]
        found = [place.read_text("utf-8", "replace") for place in places if place.is_file()]
        return [CodeAnswer(code=text) for text in dict.fromkeys(found)][:num_candidates]

    def emulate(
        self,
        code: str,
        passes: PassList,
        target_triple: str,
        *,
        assembly: bool,
        num_instructions: int,
        size_bytes: int,
        text_data_bytes: int,
    ) -> CodeAnswer | None:
        """Return the file, if it is there."""
        place = self._folder / ("emulate.s" if assembly else "emulate.ll")
        return CodeAnswer(code=place.read_text("utf-8", "replace")) if place.is_file() else None

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
