from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.corpus.copyright import licenses_of, read_licenses, read_paragraphs

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

# Later stanzas win.
Files: *
Copyright: 2001 Somebody
License: BSD-3-clause

Files: lib/*.c ./tool?.c
 src/[odd].c
Copyright: 2002 Somebody
License: GPL-3+ with Bison exception
 You may copy it.

License: BSD-3-clause
 Redistribution and use in source and binary forms
"""


def test_the_last_stanza_that_fits_a_file_names_its_license() -> None:
    sources = ["a.c", "lib/x.c", "lib/deep/y.c", "tool1.c", "src/[odd].c", "src/o.c"]
    assert licenses_of(DEP5, sources) == {"GPL-3+ with Bison exception": 4, "BSD-3-clause": 2}
    assert list(licenses_of(DEP5, ["lib/x.c", "a.c", "b.c"])) == [
        "BSD-3-clause",
        "GPL-3+ with Bison exception",
    ]
    assert licenses_of(DEP5.replace("Files: *", "Files: b.c"), ["a.c"]) == {"unknown": 1}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (
            "under the terms of the GNU General Public License as published by the Free Software\n"
            "Foundation; either version 3 of the License, or (at your option) any later version.",
            "GPL-3+",
        ),
        ("the GNU Lesser General Public License, version 2.1, and no other.", "LGPL-2.1"),
        ("lp_solve itself is LGPL: see /usr/share/common-licenses/LGPL", "LGPL"),
        (
            "Redistribution and use in source and\n binary forms are permitted. The name of the\n"
            "author may not be used to endorse or promote products.",
            "BSD-3-clause",
        ),
        ("Redistribution and use in source and binary forms are permitted.", "BSD-2-clause"),
        (
            "Permission is hereby granted, free of charge, to any person obtaining a copy.\n"
            "The manual is under the GNU Affero General Public License version 3.",
            "AGPL-3 and Expat",
        ),
        ("All rights reserved.", "unknown"),
    ],
)
def test_free_text_is_known_by_the_licenses_words(words: str, name: str) -> None:
    assert licenses_of(f"This is the Debian package.\n\n{words}\n", ["a.c", "b.c"]) == {name: 2}


def test_a_package_without_the_file_says_nothing(tmp_path: Path) -> None:
    assert read_licenses(tmp_path, ["a.c"]) == {}
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "copyright").write_bytes(DEP5.encode() + b"\xff")
    assert read_licenses(tmp_path, ["a.c"]) == {"BSD-3-clause": 1}


def test_control_fields_are_folded_lines() -> None:
    assert read_paragraphs("A: 1\n 2\nB:\n\n\nC: d: e\n") == [
        {"a": ["1", "2"], "b": [""]},
        {"c": ["d: e"]},
    ]
