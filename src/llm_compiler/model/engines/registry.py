"""The engines there are, by name: one entry in one table for each.

Commands list the engines that can do what they need, and load what is asked for; a new engine is a
`register` call, made by an installed package (`plugins`) or by a program that uses this package::

    register(EngineKind(name="echo", title="repeats its prompt", load=Echo, ...))

What an engine needs is imported when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from llm_compiler.errors import CheckpointMismatch, ConfigError
from llm_compiler.model.configs import CONFIG_FILE
from llm_compiler.model.engines.requests import Capability
from llm_compiler.plugins import Table

if TYPE_CHECKING:
    from llm_compiler.model.engines.engine import Engine

__all__ = [
    "DEFAULT_ENGINE",
    "EngineKind",
    "LoadOptions",
    "ModelSource",
    "engine_kind",
    "engine_kinds",
    "engine_names",
    "register",
]

DEFAULT_ENGINE = "embedded"


class ModelSource(StrEnum):
    """What ``--model`` names."""

    CHECKPOINT = "a checkpoint's folder (default: the shipped weights)"
    CHECKPOINT_OR_HUB = "a checkpoint's folder or a name on the hub (default: the shipped weights)"
    SERVER = "a server's URL"
    FOLDER = "a folder, which must be named"
    NONE = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What an engine is loaded with, where it is not its own default."""

    precision: str | None = None
    """Of the matrices."""
    threads: int | None = None
    """None: as many as there are cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """An engine that can be loaded by name."""

    name: str
    title: str
    """For help: what it is."""
    load: str | Callable[[str | None, LoadOptions], Engine]
    """Makes the engine of what ``--model`` names, or None; text: ``module:function``."""
    capabilities: frozenset[Capability]
    """What commands may offer it for; a loaded engine knows what its model learnt."""
    source: ModelSource = ModelSource.NONE

    @property
    def uses_shipped_weights(self) -> bool:
        """Whether it has a model where none is named."""
        return self.source in (ModelSource.CHECKPOINT, ModelSource.CHECKPOINT_OR_HUB)

    def check_model(self, model: str | None) -> None:
        """Refuse a model that was named and is not there, before anything is done for it.

        A server that does not answer, or weights that are damaged, are found out later.

        Raises:
            ConfigError: it must be named.
            CheckpointMismatch: the folder does not exist, or is no checkpoint's.
        """
        if model is None:
            if self.source is ModelSource.FOLDER:
                raise ConfigError(
                    f"--engine {self.name} reads answers from files: name their --model FOLDER"
                )
            return
        folder = Path(model).expanduser()
        named = model.startswith(("/", ".", "~"))
        is_path = self.source is ModelSource.CHECKPOINT
        is_path = is_path or (self.source is ModelSource.CHECKPOINT_OR_HUB and named)
        if is_path and not folder.is_dir():
            raise CheckpointMismatch(f"there is no checkpoint at {model}")
        if self.source is ModelSource.CHECKPOINT and not (folder / CONFIG_FILE).is_file():
            raise CheckpointMismatch(f"{model} holds no checkpoint: it has no {CONFIG_FILE}")

    def make(self, model: str | None, options: LoadOptions) -> Engine:
        """Load it; the caller closes it.

        Raises:
            CheckpointMismatch, TokenizerMismatch, EngineError, ToolchainNotFound: it cannot be.
        """
        load = self.load
        if isinstance(load, str):
            module, _, name = load.partition(":")
            load = getattr(import_module(module), name)
        return load(model, options)


_ALL = frozenset({Capability.PROPOSE, Capability.LIFT, Capability.EMULATE})
_TABLE: Table[EngineKind] = Table("an engine")
register = _TABLE.register
"""Add an engine, so that every command that lists them has it."""


def engine_kinds(*needed: Capability) -> tuple[EngineKind, ...]:
    """Return the engines that may be asked for all of this, the default first."""
    return tuple(entry for entry in _TABLE.entries() if entry.capabilities >= set(needed))


def engine_names(*needed: Capability) -> tuple[str, ...]:
    """Return the names of the engines that may be asked for all of this."""
    return tuple(kind.name for kind in engine_kinds(*needed))


def engine_kind(name: str) -> EngineKind:
    """Return the engine of a name.

    Raises:
        ConfigError: there is none.
    """
    return _TABLE.find(name)


for _kind in (
    EngineKind(
        name=DEFAULT_ENGINE,
        title="our models, on a processor, with onnxruntime",
        load="llm_compiler.model.engines.embedded:load_by_options",
        capabilities=_ALL,
        source=ModelSource.CHECKPOINT,
    ),
    EngineKind(
        name="transformers",
        title="our models and Meta's, with PyTorch",
        load="llm_compiler.model.engines.transformers:load_by_options",
        capabilities=_ALL,
        source=ModelSource.CHECKPOINT_OR_HUB,
    ),
    EngineKind(
        name="openai",
        title="a model on a completion server",
        load="llm_compiler.model.engines.openai:load_by_options",
        capabilities=_ALL,
        source=ModelSource.SERVER,
    ),
    EngineKind(
        name="replay",
        title="files of your own, in the folder --model",
        load="llm_compiler.model.engines.replay:load_by_options",
        capabilities=frozenset({Capability.LIFT, Capability.EMULATE, Capability.VERBATIM}),
        source=ModelSource.FOLDER,
    ),
    EngineKind(
        name="none",
        title="rules alone",
        load="llm_compiler.model.engines.no_engine:load_by_options",
        capabilities=frozenset({Capability.LIFT}),
    ),
):
    register(_kind)
