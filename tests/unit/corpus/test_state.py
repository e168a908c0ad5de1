from __future__ import annotations

import dataclasses
from pathlib import Path

from llm_compiler.corpus.commands import CompileCommand
from llm_compiler.corpus.config import LocalSpec
from llm_compiler.corpus.extract import Failure
from llm_compiler.corpus.sources import Prepared
from llm_compiler.corpus.state import Journal, JournalEntry, SourceState

SPEC = LocalSpec(name="mine", path=Path("/code"), kind="sources", split="train")
FAILURE = Failure(cause="timed out", message="a.c: after 3 s")


def prepared(root: Path) -> Prepared:
    command = CompileCommand(directory=".", source="a.c", language="c", flags=("-DA",))
    return Prepared(root=root, version="1", sha256="", successor=False, commands=(command,))


def state(folder: Path, spec: LocalSpec = SPEC, version: str = "19.1.7") -> SourceState:
    return SourceState(folder, spec=spec, llvm_version=version)


def test_a_journal_gives_back_what_it_was_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "units.jsonl")
    assert journal.read() == []
    entries = [JournalEntry(slug=name, failure=FAILURE) for name in ("a", "b")]
    for entry in entries:
        journal.append(entry)
    assert journal.read() == entries


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    journal = Journal(path)
    first, second, third = (JournalEntry(slug=name, failure=FAILURE) for name in "abc")
    journal.append(first)
    journal.append(second)
    path.write_bytes(path.read_bytes()[:-20])
    assert journal.read() == [first]
    journal.append(third)
    assert journal.read() == [first, third]


def test_a_prepared_source_is_remembered(tmp_path: Path) -> None:
    assert state(tmp_path).load_prepared() is None
    state(tmp_path).save_prepared(prepared(tmp_path))
    assert state(tmp_path).load_prepared() == prepared(tmp_path)


def test_another_configuration_or_compiler_starts_afresh(tmp_path: Path) -> None:
    state(tmp_path).save_prepared(prepared(tmp_path))
    assert state(tmp_path, version="20.1.0").load_prepared() is None
    changed = dataclasses.replace(SPEC, flags=("-DB",))
    assert state(tmp_path, spec=changed).load_prepared() is None
    moved = dataclasses.replace(SPEC, split="test", license="MIT", timeout_s=1.0)
    assert state(tmp_path, spec=moved).load_prepared() is not None


def test_a_lost_folder_is_prepared_again(tmp_path: Path) -> None:
    state(tmp_path).save_prepared(prepared(tmp_path / "gone"))
    assert state(tmp_path).load_prepared() is None


def test_a_new_preparation_drops_old_journals(tmp_path: Path) -> None:
    journal = state(tmp_path).journal("x86_64-pc-linux-gnu")
    journal.append(JournalEntry(slug="a", failure=FAILURE))
    state(tmp_path).save_prepared(prepared(tmp_path))
    assert journal.read() == []
