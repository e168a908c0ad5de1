"""The built page that is shipped is the one that its sources make.

A build writes down the hashes of the sources that it was made from and of what it made; a change of
either without the other is seen here, without node.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import llm_compiler

SOURCES = Path(__file__).parents[3] / "page"
BUILT = Path(llm_compiler.__file__).parent / "data" / "page"
MAX_BYTES = 1_500_000


def hashes(folder: Path, names: list[str]) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)
    }


def test_the_built_page_is_of_these_sources() -> None:
    manifest = json.loads((BUILT / "build.json").read_text())
    own = [path.relative_to(SOURCES).as_posix() for path in (SOURCES / "src").rglob("*.*")]
    own += ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"]
    assert manifest["sources"] == hashes(SOURCES, own), "run 'make page' and commit what it makes"


def test_nothing_was_changed_in_the_built_page() -> None:
    manifest = json.loads((BUILT / "build.json").read_text())
    files = [path for path in BUILT.rglob("*") if path.is_file() and path.name != "build.json"]
    built = [path.relative_to(BUILT).as_posix() for path in files]
    assert manifest["built"] == hashes(BUILT, built), "run 'make page' and commit what it makes"


def test_the_page_is_small_and_asks_no_other_host() -> None:
    files = [path for path in BUILT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
    for path in files:
        if path.suffix in (".html", ".css"):
            assert not re.search(r"(src|href)=\"?https?:|url\(\"?https?:|@import", path.read_text())
    names = re.findall(r'(?:src|href)="\./([^"]+)"', (BUILT / "index.html").read_text())
    assert len(names) == 3
    assert all((BUILT / name).is_file() for name in names)


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (SOURCES / "package-lock.json").read_text()
