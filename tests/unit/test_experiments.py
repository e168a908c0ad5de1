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
    paragraphs, numbered = [""], False
    for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines():
        bare = line.strip()
        # A wrapped line that begins with a number is an item in a numbered list only.
        may_be_item = bare[:1] in "*-" or numbered or not paragraphs[-1]
        item = _ITEM.match(bare) if may_be_item else None
        numbered = bool(bare) and (bare[0].isdigit() if item else numbered)
        if not bare or bare.startswith(("|", "#")) or item:
            paragraphs.append("")
        if not bare.startswith(("|", "#")):
            paragraphs[-1] += " " + bare[item.end() if item else 0 :]
    for paragraph in paragraphs:
        yield from _END.split(_NO_FIGURE.sub("_", paragraph.strip()))


PROSE = [
    *ROOT.glob("*.md"),
    *(
        path
        for folder in ("docs", "examples", "src", "tests")
        for path in (ROOT / folder).rglob("*.md")
    ),
    ROOT / "data" / "README.md",
    ROOT / "configs" / "train" / "shipped" / "README.md",
]


@pytest.mark.parametrize("page", sorted(PROSE), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_nests_six_figures(page: Path) -> None:
    many = [
        sentence
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


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Between 3 to 5 % [2, 6] with LLVM 19.1.7 on 2026-11-27, seed `7`.", [1]),
        ("Half of 1,000, 2.5 or -4 [see 9](page-8.md).", [4]),
        ("It took 12 s. 3 of 4 passed (1 did not.) Then\n7. More: No figure.", [1, 3, 1, 0, 0]),
        ("1. first 2\n2. second", [1, 0]),
        ("* **Bold 1.** Then 2 and\n  3 again\n* next 4", [1, 2, 1]),
        ("Before 1\n\n| 2 | 3 |\n|---|---|\n\nafter 4", [1, 1]),
        ("```\n1 2 3\n```\nIn 5.5x and 10x, x86-64 and 8k.", [1]),
    ],
)
def test_what_counts_as_a_figure(text: str, counts: list[int]) -> None:
    assert [len(_FIGURE.findall(sentence)) for sentence in sentences(text) if sentence] == counts
