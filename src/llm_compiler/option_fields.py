"""Command-line options as fields of a frozen dataclass, which argparse parses.

::

    @dataclass(frozen=True, kw_only=True)
    class Greeting:
        names: tuple[str, ...] = argument("NAME", help="whom", many=True)
        times: int = option("--times", 1, type=positive, metavar="N", help="default: %(default)s")

A field says flag, type, default and help once: `add_options` hands them to argparse, and
`from_namespace` makes the value. Bases are groups of options that several commands share; they
follow a class's own. Knows no command. No library for this (tyro, simple-parsing) is in the base
install: they bring more code than these lines, and name options by rules of their own.
"""

from __future__ import annotations

import argparse
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "add_options",
    "argument",
    "default_of",
    "from_namespace",
    "minutes",
    "natural",
    "one_of",
    "option",
    "positive",
    "seconds",
    "share",
    "values_for",
]

_KEY = "option"
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """What argparse is given of a field."""

    flags: tuple[str, ...]
    """Empty: a positional argument."""
    help: str | Callable[[], str] = ""
    type: Callable[[str], Any] | None = None
    choices: Sequence[str] | Callable[[], Sequence[str]] | None = None
    metavar: str | None = None
    many: bool = False
    """Several values after a flag, or several arguments."""
    repeat: bool = False
    """The flag may be given again."""
    yes_or_no: bool = False
    """Two flags, ``--x`` and ``--no-x``."""
    constants: Mapping[str, tuple[str, str]] | None = None
    """Flags that exclude each other: value and help of each."""


def option(
    flags: str,
    default: Any = MISSING,
    *,
    help: str | Callable[[], str] = "",
    type: Callable[[str], Any] | None = None,
    choices: Sequence[str] | Callable[[], Sequence[str]] | None = None,
    metavar: str | None = None,
    many: bool = False,
    repeat: bool = False,
    yes_or_no: bool = False,
) -> Any:
    """Declare an option; without a default it is required.

    Args:
        flags: with spaces: ``"-o --output"``.
        default: of a field of type bool: what stands without the flag.
        type: what makes the value of the text; by default the field's own type does.
        choices: like `help`, or a function that returns it, called when the parser is made.
    """
    made = _Option(
        flags=tuple(flags.split()),
        help=help,
        type=type,
        choices=choices,
        metavar=metavar,
        many=many,
        repeat=repeat,
        yes_or_no=yes_or_no,
    )
    if default is MISSING:
        return field(metadata={_KEY: made})
    return field(default=default, metadata={_KEY: made})


def argument(
    metavar: str,
    *,
    help: str = "",
    choices: Sequence[str] | None = None,
    many: bool = False,
    optional: bool = False,
) -> Any:
    """Declare a positional argument; `optional`: none of `many` may be there."""
    made = _Option(flags=(), help=help, metavar=metavar, choices=choices, many=many)
    return field(default=(), metadata={_KEY: made}) if optional else field(metadata={_KEY: made})


def one_of(default: str, flags: Mapping[str, tuple[str, str]]) -> Any:
    """Declare flags that exclude each other; each stands for a value.

    Args:
        flags: value and help of each flag.
    """
    return field(default=default, metadata={_KEY: _Option(flags=(), constants=flags)})


def default_of(kind: type[Any], name: str) -> Any:
    """Return the default that a dataclass gives a field: it is written there only."""
    return next(option_field.default for option_field in fields(kind) if option_field.name == name)


def values_for(kind: type[Any], options: object, *names: str) -> dict[str, Any]:
    """Return the fields of a dataclass that options have under the same names.

    Args:
        names: only these; none: all.
    """
    wanted = names or tuple(option_field.name for option_field in fields(kind))
    return {name: getattr(options, name) for name in wanted if hasattr(options, name)}


def add_options(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """Add the options that a dataclass declares: its own first, then those of its bases."""
    hints = typing.get_type_hints(kind)
    for item in _ordered(kind):
        made: _Option = item.metadata[_KEY]
        if made.constants is not None:
            group = parser.add_mutually_exclusive_group()
            for flag, (value, words) in made.constants.items():
                group.add_argument(
                    flag,
                    dest=item.name,
                    action="store_const",
                    const=value,
                    default=argparse.SUPPRESS,
                    help=words or None,
                )
            continue
        _add(parser, item.name, made, hints[item.name], item.default)


def _ordered(kind: type[Any]) -> Iterator[Any]:
    declared = {
        option_field.name: option_field
        for option_field in fields(kind)
        if _KEY in option_field.metadata
    }
    for base in kind.__mro__:
        for name in inspect.get_annotations(base):
            if name in declared:
                yield declared.pop(name)


def _add(
    parser: argparse.ArgumentParser, name: str, made: _Option, hint: Any, default: Any
) -> None:
    plain = _plain(hint)
    words = made.help() if callable(made.help) else made.help
    given: dict[str, Any] = {"help": words.replace("%(default)s", _shown(default)) or None}
    if made.flags:
        given |= {"dest": name, "required": default is MISSING}
    if made.yes_or_no:
        given["action"] = argparse.BooleanOptionalAction
    elif plain is bool:
        given |= {"action": "store_const", "const": default is not True}
    else:
        choices = made.choices() if callable(made.choices) else made.choices
        given |= {
            "type": made.type or (None if plain is str else plain),
            "choices": choices,
            "metavar": made.metavar,
        }
        if made.many:
            given["nargs"] = "*" if not made.flags and default is not MISSING else "+"
        if made.repeat:
            given["action"] = "append"
    # What is not typed is not in the namespace: the dataclass has the defaults.
    parser.add_argument(*(made.flags or (name,)), default=argparse.SUPPRESS, **given)


def _plain(hint: Any) -> Any:
    """Return the type of a value: of a tuple its elements', of X | None X."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    return hint if isinstance(hint, type) and hint in (bool, int, float, str, Path) else str


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def from_namespace(kind: type[_Made], namespace: argparse.Namespace, **more: Any) -> _Made:
    """Make the value of what argparse has read.

    Args:
        more: fields that no option stands for.

    Raises:
        ConfigError: the dataclass refuses the values together.
    """
    given = {}
    for option_field in fields(kind):  # type: ignore[arg-type]
        if option_field.name in more:
            given[option_field.name] = more[option_field.name]
        elif hasattr(namespace, option_field.name):
            value = getattr(namespace, option_field.name)
            given[option_field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 1")
    return value


def natural(text: str) -> int:
    """Read a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is negative")
    return value


def seconds(text: str) -> float:
    """Read a time in seconds, more than 0."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return value


def minutes(text: str) -> float:
    """Read a time in minutes, more than 0."""
    value = float(text)
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes")
    return value


def share(text: str) -> float:
    """Read a number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to below 1")
    return value


for _type in (positive, natural, seconds, minutes, share):
    _type.__name__ = "number"  # argparse says it: invalid number value
