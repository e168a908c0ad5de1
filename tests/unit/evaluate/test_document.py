from __future__ import annotations

import re

from llm_compiler.evaluate.document import (
    Heading,
    Image,
    Items,
    Paragraph,
    Table,
    to_html,
    to_markdown,
)

BLOCKS = [
    Heading("Title <1>", 1),
    Paragraph("run `a < b`"),
    Items(("one", "two")),
    Table(("name", "n"), (("a|b", "1"),)),
    Image("plot.png", "a plot", b"\x89PNG"),
]


def test_markdown() -> None:
    text = to_markdown(BLOCKS)
    assert text.startswith("# Title <1>\n\nrun `a < b`\n\n* one\n* two\n\n| name | n |\n|---|---:|")
    assert "| a\\|b | 1 |" in text
    assert text.endswith("![a plot](plot.png)\n")


def test_the_page_needs_no_other_file() -> None:
    page = to_html(BLOCKS)
    assert "<title>Title &lt;1&gt;</title>" in page
    assert "<code>a &lt; b</code>" in page
    assert '<td class="number">1</td>' in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources == ["data:image/png;base64,iVBORw=="]
