"""Options as people write them: text for an enum or a path, one text for a list of flags.

Dataclasses of options call `adopt_values` when they are made, so that the Python API takes what the
command line takes, and a wrong type is one clear sentence. Knows nothing of what the options mean.
"""

from __future__ import annotations

import operator
import os
import shlex
import types
import typing
from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from llm_compiler.errors import ConfigError

__all__ = ["adopt_values"]

_WORDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "True or False"}


def adopt_values(options: Any) -> None:
    """Bring each field of a (frozen) dataclass to its declared type.

    Text becomes the member of an enum, a path, or the only element of a tuple; a tuple named
    ``*_flags`` may be one text for a shell.

    Raises:
        ConfigError: a value is of a type that cannot be meant.
    """
    hints = typing.get_type_hints(type(options))
    for field in fields(options):
        value = getattr(options, field.name)
        adopted = _adopted(field.name, value, hints[field.name])
        if adopted is not value:
            object.__setattr__(options, field.name, adopted)


def _adopted(name: str, value: Any, hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = typing.get_args(hint)
        if value is None and type(None) in members:
            return None
        hint = next(member for member in members if member is not type(None))
    if typing.get_origin(hint) is tuple:
        return _texts(name, value) if typing.get_args(hint)[:1] == (str,) else value
    if not isinstance(hint, type):
        return value
    if issubclass(hint, Enum):
        return _member(name, value, hint)
    if hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if hasattr(value, "__index__") and not isinstance(value, bool):
            return operator.index(value)  # a number of NumPy's
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    elif hint is str:
        if isinstance(value, str | os.PathLike):
            return os.fspath(value)
    elif hint is Path:
        if isinstance(value, str | os.PathLike):
            return Path(value)
    elif isinstance(value, hint):
        return value
    wanted = _WORDS.get(
        hint, "text" if hint is str else "a path" if hint is Path else hint.__name__
    )
    raise ConfigError(f"{name} is {wanted}, not {_shown(value)}")


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value)) if name.endswith("_flags") else (value,)
        except ValueError as error:
            raise ConfigError(f"{name} cannot be split like a shell does: {error}") from error
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        texts = tuple(value)
        if all(isinstance(text, str | os.PathLike) for text in texts):
            return tuple(os.fspath(text) for text in texts)
    raise ConfigError(f"{name} is a list of texts, or one text, not {_shown(value)}")


def _member(name: str, value: Any, kind: type[Enum]) -> Enum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(enum.value) for enum in kind)
        raise ConfigError(f"{name} is one of {known}, not {_shown(value)}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a value of type {type(value).__name__}"
