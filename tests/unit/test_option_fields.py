"""Options declared as fields: what argparse is given, and what comes back."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from llm_compiler.option_fields import (
    add_options,
    argument,
    default_of,
    from_namespace,
    one_of,
    option,
    positive,
    share,
    values_for,
)


@dataclass(frozen=True, kw_only=True)
class Shared:
    json: bool = option("--json", False, help="as JSON")
    times: int = option("--times", 1, type=positive, metavar="N", help="default: %(default)s")


@dataclass(frozen=True, kw_only=True)
class Greeting(Shared):
    names: tuple[str, ...] = argument("NAME", many=True, optional=True)
    output: Path | None = option("-o --output", None)
    out: Path = option("--out")
    quiet: bool = option("--quiet", False)
    polite: bool = option("--rude", True)
    add: tuple[str, ...] = option("--add", ("x",), repeat=True)
    levels: tuple[int, ...] = option("--levels", (), many=True)
    kind: str = one_of("", {"-c": ("object", "an object"), "-S": ("assembly", "")})
    keep: bool = option("--keep", True, yes_or_no=True)
    objective: str = option("--objective", "a", choices=lambda: ("a", "b"))
    weight: float = option("--weight", 0.5, type=share, help="default: %(default)s")
    clang_flags: tuple[str, ...] = ()


def parse(*arguments: str, **more: object) -> Greeting:
    parser = argparse.ArgumentParser()
    add_options(parser, Greeting)
    return from_namespace(Greeting, parser.parse_args(list(arguments)), **more)


def test_what_is_not_typed_has_the_default_of_the_field() -> None:
    assert parse("--out", "o") == Greeting(names=(), out=Path("o"))


def test_what_is_typed_has_the_type_of_the_field() -> None:
    found = parse(
        *("ann", "bob", "--out", "o", "-o", "p", "--quiet", "--rude", "--add", "y", "--add", "z"),
        *("--levels", "1", "2", "-S", "--no-keep", "--objective", "b", "--weight", "0.25"),
        *("--json", "--times", "3"),
        clang_flags=("-O2",),
    )
    assert found == Greeting(
        names=("ann", "bob"),
        out=Path("o"),
        output=Path("p"),
        quiet=True,
        polite=False,
        add=("y", "z"),
        levels=(1, 2),
        kind="assembly",
        keep=False,
        objective="b",
        weight=0.25,
        json=True,
        times=3,
        clang_flags=("-O2",),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--out", "o", "-c", "-S"],
        ["--out", "o", "--times", "0"],
        ["--out", "o", "--objective", "c"],
        ["--out", "o", "--weight", "1"],
        ["--out", "o", "--levels", "one"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert "error: " in capsys.readouterr().err


def test_help_shows_defaults_and_the_shared_options_last() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Greeting)
    words = parser.format_help()
    assert "default: 0.5" in words
    assert "default: 1" in words
    assert words.rindex("--weight") < words.rindex("--json") < words.rindex("--times")
    assert "SUPPRESS" not in words


def test_a_default_is_written_in_one_dataclass_only() -> None:
    assert default_of(Greeting, "weight") == 0.5
    found = replace(parse("--out", "o"), times=4)
    assert values_for(Shared, found) == {"json": False, "times": 4}
    assert values_for(Greeting, found, "times") == {"times": 4}
