"""An engine that answers from files: to verify IR of other origin, and for tests.

``FOLDER/NAME.ll``, ``FOLDER/NAME.1.ll``, ``FOLDER/NAME.2.ll`` ... are the answers for the function
NAME, in this order; a ``/`` in a name is written ``_``. ``FOLDER/emulate.ll`` and
``FOLDER/emulate.s`` are the answers of emulation.
"""

from __future__ import annotations

import re
from pathlib import Path

from llm_compiler.errors import ConfigError, EngineError
from llm_compiler.model.engines.engine import BaseEngine
from llm_compiler.model.engines.requests import Capability, CodeAnswer, Emulate, Lift

__all__ = ["ReplayEngine", "load_by_options"]

_FUNCTION = re.compile(r'^\.type (?:"((?:[^"\\]|\\.)*)"|([^,\s]+)), @function$', re.MULTILINE)


class ReplayEngine(BaseEngine):
    """An `Engine` that reads its answers; it proposes no pass lists.

    Raises:
        EngineError: there is no such folder.
    """

    name = "replay"
    context = 1 << 30
    capabilities = frozenset(
        {Capability.LIFT, Capability.EMULATE, Capability.ASSEMBLY, Capability.VERBATIM}
    )

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise EngineError(f"there is no folder {folder} with answers (--model FOLDER)")
        self._folder, self.model = folder, str(folder)

    def lift(self, request: Lift) -> list[CodeAnswer]:
        """Return the files of the function that the assembly holds."""
        match = _FUNCTION.search(request.assembly)
        if match is None:
            return []
        num = request.num_candidates
        name = (match[1] or match[2]).replace("/", "_")
        paths = [self._folder / f"{name}.ll"]
        paths += [self._folder / f"{name}.{number}.ll" for number in range(1, num + 1)]
        found = [path.read_text("utf-8", "replace") for path in paths if path.is_file()]
        return [CodeAnswer(code=text) for text in dict.fromkeys(found)][:num]

    def emulate(self, request: Emulate) -> list[CodeAnswer]:
        """Return the file, if it is there."""
        path = self._folder / ("emulate.s" if request.assembly else "emulate.ll")
        return [CodeAnswer(code=path.read_text("utf-8", "replace"))] if path.is_file() else []


def load_by_options(model: str | None, options: object) -> ReplayEngine:
    """Return an engine that reads a folder; for the registry.

    Raises:
        ConfigError: none is named.
        EngineError: it is not there.
    """
    if model is None:
        raise ConfigError("--engine replay reads answers from files: name their --model FOLDER")
    return ReplayEngine(Path(model))
