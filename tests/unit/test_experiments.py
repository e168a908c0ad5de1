"""The documents' order: EXPERIMENTS.md is a table of pages; no sentence is a table in disguise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "experiments"
MOST_FIGURES = 5

_ROW = re.compile(r"^\| (20\d\d-\d\d-\d\d) \| \[(.+)\]\((?:docs/experiments/)?([\w-]+)\.md\) \|$")
_FIGURE = re.compile(r"(?<![\w.-])[-+]?\d[\d,]*(?:\.\d+)?(?![\w-]*[A-Za-z])")
_ITEM = re.compile(r"(?:[*-]|\d+\.) ")
# What is no figure: code, the targets of links, intervals (of the figure before them), the
# second number of a range, dates and versions.
_NO_FIGURE = re.compile(
    r"`[^`]*`|(?<=\])\([^)]*\)|\[[-+\d., ]+\]"
    r"|(?<=\d)(?: %)? to [-+]?\d[\d,]*(?:\.\d+)?|\b20\d\d-\d\d(?:-\d\d)?\b"
    r"|\b(?:LLVM|Python|Debian|Ubuntu|Lua|issue|section) \d[\d.]*"
)

_END = re.compile(r"(?<=[.!?])(?:\*\*|[)\"*])?\s+|(?<=:)(?:\*\*)?\s+(?=[A-Z*\[\"(])")


def rows(path: Path) -> list[tuple[str, str, str]]:
    found = (_ROW.match(line) for line in path.read_text().splitlines())
    return [match.group(1, 2, 3) for match in found if match is not None]


def test_every_study_has_a_page_whose_title_is_its_outcome() -> None:
    table = rows(ROOT / "EXPERIMENTS.md")
    assert table == rows(PAGES / "index.md")
    titles = {
        (page.stem[:10], page.read_text().partition("\n")[0].removeprefix("# "), page.stem)
        for page in PAGES.glob("20*.md")
    }
    assert set(table) == titles
    dates = [date for date, _, _ in table]
    assert dates == sorted(dates, reverse=True), "newest first"


def test_nothing_stands_below_the_table() -> None:
    lines = (ROOT / "EXPERIMENTS.md").read_text().splitlines()
    assert _ROW.match(lines[-1])
    assert [line for line in lines if line.startswith("## ")] == []


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a page, without code, tables, headings and what is no figure."""
    paragraphs = [""]
    for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines():
        bare = line.strip()
        # A wrapped line that begins with a number is no item of a list.
        item = _ITEM.match(bare) if bare[:1] in "*-" or not paragraphs[-1] else None
        if not bare or bare.startswith(("|", "#")) or item:
            paragraphs.append("")
        if not bare.startswith(("|", "#")):
            paragraphs[-1] += " " + bare[item.end() if item else 0 :]
    for paragraph in paragraphs:
        yield from _END.split(_NO_FIGURE.sub("_", paragraph.strip()))


@pytest.mark.parametrize(
    "page",
    [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "decisions").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_no_sentence_nests_six_figures(page: Path) -> None:
    if page.name == "command-line.md":
        pytest.skip("made from the options' help")
    many = [
        sentence.strip()
        for sentence in sentences(page.read_text())
        if len(_FIGURE.findall(sentence)) > MOST_FIGURES
    ]
    assert many == [], "a table says it better"


def test_figures_are_counted() -> None:
    _, sentence, other = list(
        sentences("* Of 1,000, 2.5 % at `x 3`,\n  -4 (5, 6), 7 more. Then 8.")
    )
    assert len(_FIGURE.findall(sentence)) == 6
    assert _FIGURE.findall(other) == ["8"]
    assert list(_FIGURE.findall("| 1 | 2 |")) == ["1", "2"]
    assert [word for word in sentences("| 1 | 2 |\n# 3") if word] == []
