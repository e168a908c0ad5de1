"""What a Debian package's `debian/copyright` says of the files that were compiled.

The configuration names one licence for a package; this is what it was checked against, file by
file, and goes into the build's report. Machine-readable files (DEP-5) name a licence for patterns
of paths, of which the last that fits counts; free text is searched for the wording of the licences
that it quotes, and then holds for every file. Names are Debian's short ones, as the file spells
them. Pure functions, safe in threads and processes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

__all__ = ["UNKNOWN", "licenses_of", "read_licenses", "read_paragraphs"]

UNKNOWN = "unknown"
"""The licence of a file that no pattern of a machine-readable file fits."""

_MACHINE_READABLE = re.compile(r"\s*Format(-Specification)?:", re.IGNORECASE)
_GNU = re.compile(
    r"GNU (?P<kind>Affero |Lesser |Library )?General Public License"
    r".{0,80}?version (?P<version>\d(?:\.\d)?)(?P<later>.{0,60}?any later version)?"
)
_BSD = "Redistribution and use in source and binary forms"
_BSD_3 = re.compile(r"(name|names) of .{0,80}?may .{0,10}?be used to endorse", re.IGNORECASE)
_MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"


def read_licenses(root: Path, sources: Iterable[str]) -> dict[str, int]:
    """Return how many of a package's files have which licence, the most frequent first.

    Args:
        root: the unpacked source package; without `debian/copyright` nothing is known of it.
        sources: paths within the package.
    """
    try:
        text = (root / "debian" / "copyright").read_text("utf-8", "replace")
    except OSError:
        return {}
    return licenses_of(text, sources)


def licenses_of(text: str, sources: Iterable[str]) -> dict[str, int]:
    """Return how many of `sources` have which licence by the text of a `debian/copyright`.

    Free text that quotes several licences names them all: "BSD-3-clause and GPL-3+".
    """
    if not _MACHINE_READABLE.match(text):
        found = " and ".join(_quoted(" ".join(text.split()))) or UNKNOWN
        counts = Counter(found for _ in sources)
        return dict(counts)
    rules = [
        (_matcher(" ".join(fields["files"]).split()), fields.get("license", [UNKNOWN])[0])
        for fields in read_paragraphs(text)
        if "files" in fields
    ]
    counts = Counter(
        next((name for fits, name in reversed(rules) if fits.fullmatch(source)), UNKNOWN)
        for source in sources
    )
    return dict(counts.most_common())


def read_paragraphs(text: str) -> list[dict[str, list[str]]]:
    """Read Debian's control syntax: for each paragraph, the lines of each field (names in small
    letters), stripped; the first is what stands after the colon."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                lines.append(line.strip())
            elif ":" in line:
                key, _, value = line.partition(":")
                lines = fields[key.lower()] = [value.strip()]
        if fields:
            paragraphs.append(fields)
    return paragraphs


def _matcher(patterns: list[str]) -> re.Pattern[str]:
    """DEP-5's patterns: `*` stands for any characters, `/` too, `?` for one of them."""
    parts = (
        re.escape(pattern.removeprefix("./")).replace(r"\*", ".*").replace(r"\?", ".")
        for pattern in patterns
    )
    return re.compile("|".join(parts), re.DOTALL)


def _quoted(text: str) -> list[str]:
    """Return the licences whose words a text of single blanks has, by name."""
    found = set()
    for match in _GNU.finditer(text):
        kind = (match["kind"] or "").strip()
        prefix = {"Affero": "A", "Lesser": "L", "Library": "L"}.get(kind, "")
        found.add(f"{prefix}GPL-{match['version']}{'+' if match['later'] else ''}")
    for name in re.findall(r"/common-licenses/([AL]?GPL)", text):
        # "lp_solve itself is LGPL": its version is stated nowhere.
        if not any(word.startswith(name) for word in found):
            found.add(name)
    if _BSD in text:
        found.add("BSD-3-clause" if _BSD_3.search(text) else "BSD-2-clause")
    if _MIT in text:
        found.add("Expat")
    return sorted(found)
