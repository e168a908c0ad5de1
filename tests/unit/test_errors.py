from __future__ import annotations

import inspect
import re

import pytest

from llm_compiler import errors
from llm_compiler.errors import IrParseError, LlmCompilerError

CLASSES = [
    item
    for _, item in inspect.getmembers(errors, inspect.isclass)
    if issubclass(item, LlmCompilerError)
]


def documented_tree() -> dict[str, tuple[str, int]]:
    """The tree in the module's docstring: class -> (parent, exit code)."""
    assert errors.__doc__ is not None
    tree = errors.__doc__.split("::", 1)[1].split("A message is", 1)[0]
    tree = re.sub(r",\n\s*│\s+", ", ", tree)
    found = {"LlmCompilerError": ("Exception", 1)}
    for line in tree.splitlines():
        if not (match := re.match(r"^\s*[├└]─ (\w+)(?:: (.*?))?\s+(\d)$", line)):
            continue
        name, children, code = match[1], match[2] or "", int(match[3])
        found[name] = ("LlmCompilerError", code)
        for child in re.sub(r"\(.*?\)", "", children).split(","):
            if child.strip():
                found[child.strip()] = (name, code)
    return found


def test_the_docstring_shows_exactly_the_classes_there_are() -> None:
    assert set(documented_tree()) == {item.__name__ for item in CLASSES}
    assert set(errors.__all__) == set(documented_tree())


@pytest.mark.parametrize("value", CLASSES, ids=lambda item: item.__name__)
def test_parent_and_exit_code_are_as_documented(value: type[LlmCompilerError]) -> None:
    parent, code = documented_tree()[value.__name__]
    assert value.__bases__[0].__name__ == parent
    assert value.exit_code == code


def test_every_class_says_what_it_is_for() -> None:
    assert [item.__name__ for item in CLASSES if not (item.__doc__ or "").strip()] == []


def test_messages_carry_details_and_places() -> None:
    error = IrParseError("m.ll:3:7: expected type", line=3, column=7, detail="all of it")
    assert (str(error), error.line, error.column) == ("m.ll:3:7: expected type", 3, 7)
    assert error.detail == "all of it"
    assert IrParseError("x").line == 0
