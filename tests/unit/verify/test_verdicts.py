from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.errors import ArtifactError, OutputError
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.records import Verdict, VerdictKind
from llm_compiler.verify.verdicts import VerdictBook, read_verdicts, write_verdicts


def _verdict(text: str, kind: VerdictKind, architecture: str = "x86_64") -> Verdict:
    return Verdict(
        kind=kind,
        passes=parse_pass_list(text),
        llvm_major=19,
        architecture=architecture,
        program="switch" if kind is VerdictKind.REJECTED else "",
        reason="wrong output" if kind is VerdictKind.REJECTED else "",
        num_programs=72,
    )


_PASSED = _verdict("sroa,licm", VerdictKind.PASSED)
_REJECTED = _verdict("structurizecfg", VerdictKind.REJECTED)


def test_json_lines_come_back_as_they_were() -> None:
    text = write_verdicts([_REJECTED, _PASSED, _PASSED])
    assert text.count("\n") == 2
    assert set(read_verdicts(text, "x")) == {_PASSED, _REJECTED}


@pytest.mark.parametrize("line", ["{", "{}", "[]"])
def test_a_damaged_line_is_named(line: str) -> None:
    with pytest.raises(ArtifactError, match="x:1 is not a verdict"):
        list(read_verdicts(line, "x"))


def test_a_pipeline_that_is_not_canonical_is_refused() -> None:
    text = write_verdicts([_PASSED]).replace("sroa<modify-cfg>", "sroa")
    with pytest.raises(ArtifactError, match="not canonical"):
        list(read_verdicts(text, "x"))


def test_the_users_own_verdict_comes_before_the_shipped_one(tmp_path: Path) -> None:
    shipped = write_verdicts([_PASSED])
    with VerdictBook(tmp_path / "v" / "verdicts.db", shipped=shipped) as book:
        assert book.lookup(_PASSED.passes, 19, "x86_64") == _PASSED
        assert not book.path.exists(), "looking up must not make a file"
        assert book.lookup(_PASSED.passes, 20, "x86_64") is None
        assert book.lookup(_PASSED.passes, 19, "aarch64") is None
        own = _verdict("sroa,licm", VerdictKind.REJECTED)
        book.record(own, _REJECTED)
        assert book.lookup(_PASSED.passes, 19, "x86_64") == own
        assert book.shipped(19, "x86_64") == (_PASSED,)
    with VerdictBook(tmp_path / "v" / "verdicts.db", shipped="") as again:
        assert set(again.own()) == {own, _REJECTED}


def test_unchecked_verdicts_are_not_kept(tmp_path: Path) -> None:
    with VerdictBook(tmp_path / "verdicts.db", shipped="") as book:
        book.record(_verdict("gvn", VerdictKind.UNCHECKED))
        assert book.own() == ()


def test_a_file_that_is_no_book_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.db"
    path.write_bytes(b"not SQLite at all, but long enough to be read as a header" * 20)
    with pytest.raises(ArtifactError, match="is no file of verdicts"):
        VerdictBook(path, shipped="").lookup(_PASSED.passes, 19, "x86_64")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        VerdictBook(tmp_path / "file" / "verdicts.db", shipped="").record(_PASSED)
