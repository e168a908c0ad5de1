"""For mkdocs: links to files outside docs/ become their names, since the site holds docs/ alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return a page's text with links that lead out of the site as text."""
    docs = Path(config["docs_dir"]).resolve()
    here = docs / Path(page.file.src_uri).parent

    def shown(match: re.Match[str]) -> str:
        if "://" in match[2]:
            return match[0]
        target = (here / match[2]).resolve()
        is_page = target.is_relative_to(docs) and target.is_file() and target.suffix in _SHOWN
        return match[0] if is_page else f"{match[1]} (`{_name(target, docs)}`)"

    return _LINK.sub(shown, markdown)


_SHOWN = (".md", ".png")


def _name(target: Path, docs: Path) -> str:
    root = docs.parent
    return str(target.relative_to(root)) if target.is_relative_to(root) else target.name
