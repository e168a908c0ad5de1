from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError, ShardCorrupt
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.rows import Journal, locked, read_rows, write_rows

from .one_row import ROW

SETTINGS = {"seed": 1, "budgets": (1, 4)}


def test_a_journal_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, SETTINGS, Row) as journal:
        journal.add("a", [ROW])
        journal.add("b", [ROW, replace(ROW, budget=1)])
    # Killed in the middle of a line.
    path.write_bytes(path.read_bytes()[:-40])
    with Journal(path, SETTINGS, Row) as journal:
        assert journal.rows("a") == [ROW]
        assert journal.rows("b") is None
        journal.add("b", [ROW])
    with Journal(path, SETTINGS, Row) as journal:
        assert (journal.rows("a"), journal.rows("b")) == ([ROW], [ROW])


def test_what_is_asked_again_counts_its_round(tmp_path: Path) -> None:
    path, later = tmp_path / "journal.jsonl", replace(ROW, verdict="rejected")
    with Journal(path, SETTINGS, Row) as journal:
        journal.add("a", [ROW])
        journal.add("b", [ROW])
        journal.add("b", [later], round=2)
    with Journal(path, SETTINGS, Row) as journal:
        assert (journal.rows("a"), journal.round("a")) == ([ROW], 0)
        assert (journal.rows("b"), journal.round("b")) == ([later], 2)
        assert journal.round("c") == 0


def test_a_journal_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, SETTINGS, Row).close()
    with pytest.raises(ConfigError, match=r"another evaluation \(other seed\)"):
        Journal(path, {**SETTINGS, "seed": 2}, Row)


def test_one_run_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path / "report"):
        with pytest.raises(ConfigError, match="another evaluation is writing"):
            with locked(tmp_path / "report"):
                pass
    with locked(tmp_path / "report"):
        pass


def test_rows_come_back_from_parquet(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, module="ü", passes="", verdict="baseline")]
    write_rows(rows, tmp_path / "rows.parquet", SETTINGS, Row)
    assert read_rows(tmp_path / "rows.parquet", Row) == rows
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(ShardCorrupt):
        read_rows(tmp_path / "bad.parquet", Row)
