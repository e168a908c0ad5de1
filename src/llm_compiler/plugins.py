"""What installed packages add: objectives, targets, engines, evaluation tasks.

A package names modules in its entry points of the group ``llm_compiler.plugins``; importing one
registers what it brings (docs/extending.md). Only what is installed where Python looks for packages
is found: nothing of the current folder or of an input's is ever imported (`isolation`). Knows
nothing of what is registered.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from llm_compiler.errors import ConfigError

__all__ = ["load_plugins"]

_GROUP = "llm_compiler.plugins"
_loaded: set[str] = set()


def load_plugins() -> None:
    """Import, once in a process, the modules that installed packages name.

    Raises:
        ConfigError: one cannot be imported; the sentence names its package.
    """
    for point in entry_points(group=_GROUP):
        if point.value in _loaded:
            continue
        _loaded.add(point.value)
        try:
            point.load()
        except Exception as error:
            raise ConfigError(
                f"the plug-in '{point.name}' of the package {_package(point)} cannot be loaded: "
                f"{type(error).__name__}: {error}; mend it, or remove the package"
            ) from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module
