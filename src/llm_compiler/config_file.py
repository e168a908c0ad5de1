"""Configuration files: TOML read into frozen dataclasses, whose types say what each key may be.

A key that is missing, unknown or of another type is refused in one sentence with its place. What
the types cannot say, a dataclass checks when it is made. Knows nothing of what is configured.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from llm_compiler.errors import ConfigError

__all__ = ["read_tables", "read_toml", "read_value"]

_T = TypeVar("_T")
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a file holds.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration at {path}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def read_value(kind: type[_T], table: object, where: str) -> _T:
    """Build a dataclass from a table.

    Args:
        where: begins each message.

    Raises:
        ConfigError: a key is missing, unknown, or of another type; or what `kind` itself refuses.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: expected a table")
    hints = typing.get_type_hints(kind)
    fields: Any = dataclasses.fields(kind)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    if unknown := sorted(table.keys() - set(names)):
        raise ConfigError(f"{where}: unknown key {unknown[0]}; known are {', '.join(names)}")
    for field in fields:
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in table:
            raise ConfigError(f"{where}: {field.name} is missing")
    values = {name: _value(value, hints[name], f"{where}: {name}") for name, value in table.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def read_tables(data: Mapping[str, object], key: str, where: str) -> list[dict[str, Any]]:
    """Return the tables ``[[key]]`` of a file; none if there are none.

    Raises:
        ConfigError: the key holds something else.
    """
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{where}: {key} must be a list of tables: [[{key}]]")
    return value


def _value(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint = next(argument for argument in arguments if argument is not type(None))
        return _value(value, hint, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where} must be one of {', '.join(arguments)}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            what = "strings" if arguments[0] in (str, Path) else "tables"
            raise ConfigError(f"{where} must be a list of {what}")
        return tuple(_value(item, arguments[0], where) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table")
        return {key: _value(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
        return value
    if dataclasses.is_dataclass(hint):
        return read_value(typing.cast(type, hint), value, where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ConfigError(f"{where} is {value!r}: expected {_WORDS[hint]}")
