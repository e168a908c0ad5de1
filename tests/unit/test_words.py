"""Words of the code: names tell what things hold, in the field's or plain words.

What may not come back is here, with what to say instead.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_compiler

ROOT = Path(llm_compiler.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *REPOSITORY.glob("*.md"),
    *(page for name in ("docs", "examples", "src") for page in (REPOSITORY / name).rglob("*.md")),
]

INSTEAD = {
    "told": "what it is: a report, an answer, settings; or given, stated",
    "behind": "after, from, on",
    "made_up": "synthetic",
    "made-up": "synthetic",
    "so many": "N, at most N, per target",
    "N modules a target": "N modules per target",
}
# Of a file `jobs.py` nobody knows whose jobs they are.
VAGUE_FILES = frozenset(
    {
        "common",
        "helpers",
        "jobs",
        "judge",
        "known",
        "mapped",
        "misc",
        "places",
        "records",
        "util",
        "utils",
    }
)
# Values of the whole package.
VAGUE_FILES_KEPT = frozenset({"records.py"})
IN_NAMES = re.compile(r"(?:^|_)(?:told|behind|made_up)(?:_|$)", re.IGNORECASE)
IN_TEXTS = re.compile(r"\b(?:told|behind|made-up|so many(?! that))\b", re.IGNORECASE)

OF_EACH_TARGET = re.compile(r"\b(?:lifts|modules|functions|units|seconds|N)`? a target\b")

FILES = sorted(ROOT.rglob("*.py"))


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.lineno, node.arg or ""
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr


def prose_of(text: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every docstring, those of fields too, line by line, and every comment."""
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            yield from enumerate(node.value.value.splitlines(), node.lineno)
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("# "):
            yield number, line


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_of_code(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    found = [f"{line}: {name}" for line, name in names_of(tree) if IN_NAMES.search(name)]
    found += [f"{line}: {prose}" for line, prose in prose_of(text, tree) if IN_TEXTS.search(prose)]
    assert found == [], f"say instead: {INSTEAD}"


@pytest.mark.parametrize(
    "page",
    sorted(PAGES),
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_words_of_documents(page: Path) -> None:
    lines = page.read_text().replace("behind a proxy", "").splitlines()
    found = [f"{number}: {line}" for number, line in enumerate(lines, 1) if IN_TEXTS.search(line)]
    found += [
        f"{number}: {line}" for number, line in enumerate(lines, 1) if OF_EACH_TARGET.search(line)
    ]
    assert found == [], f"say instead: {INSTEAD}"


def test_names_of_files_tell_what_they_hold() -> None:
    vague = {
        str(path.relative_to(ROOT))
        for path in FILES
        if path.stem in VAGUE_FILES and str(path.relative_to(ROOT)) not in VAGUE_FILES_KEPT
    }
    assert vague == set()


def test_the_words_are_found_where_they_are() -> None:
    text = 'def f(told_once):\n    """Say what is behind."""\n    # so many a target\n'
    tree = ast.parse(text + "    return told_once\n")
    assert [name for _, name in names_of(tree) if IN_NAMES.search(name)] == [
        "told_once",
        "told_once",
    ]
    prose = [line for _, line in prose_of(text, tree) if IN_TEXTS.search(line)]
    assert prose == ["Say what is behind.", "    # so many a target"]
    assert OF_EACH_TARGET.search("110 modules a target") is not None
    assert OF_EACH_TARGET.search("An engine, a target and a task") is None
