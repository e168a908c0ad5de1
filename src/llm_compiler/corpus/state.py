"""What a corpus build has done so far, so that a killed build goes on where it was.

A source's folder under `OUT/.state/` holds `prepared.json`, written when its commands are known,
and one journal a target, to which every finished unit is appended. A journal's last line may be
torn by a kill: it is left out, and that unit is compiled again. All of it is bound to a
fingerprint of the configuration and the compiler: what was made from others is thrown away. One
writer a source.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.corpus.commands import CompileCommand
from llm_compiler.corpus.config import Spec
from llm_compiler.corpus.extract import Failure
from llm_compiler.corpus.manifest import Unit, write_text_atomically
from llm_compiler.corpus.sources import Prepared
from llm_compiler.errors import ArtifactError

__all__ = ["Journal", "JournalEntry", "SourceState"]

# To be raised when the same configuration would give other units.
_FORMAT = 1

# What may change in the configuration without any unit becoming another one.
_NOT_IN_UNITS = ("split", "license", "timeout_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """The outcome of one unit, by its slug: exactly one of `unit` and `failure` is there."""

    slug: str
    unit: Unit | None = None
    failure: Failure | None = None


class Journal:
    """The append-only record of one source's units for one target."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[JournalEntry]:
        """Return what is recorded, in order; a torn line ends it."""
        entries = []
        if self._path.is_file():
            for line in self._path.read_bytes().split(b"\n")[:-1]:
                try:
                    entries.append(_entry(json.loads(line)))
                except (ValueError, TypeError, KeyError):
                    continue
        return entries

    def append(self, entry: JournalEntry) -> None:
        """Add a unit's outcome.

        Raises:
            ArtifactError: the disk is full or the folder cannot be written.
        """
        line = json.dumps(dataclasses.asdict(entry), ensure_ascii=False) + "\n"
        try:
            with self._path.open("a+b") as stream:
                # After a torn line, start afresh, so that only that line is lost.
                if stream.tell() > 0:
                    stream.seek(-1, os.SEEK_END)
                    if stream.read(1) != b"\n":
                        stream.write(b"\n")
                stream.write(line.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise ArtifactError(f"cannot write {self._path}: {error}") from error


class SourceState:
    """The folder of one source within a build."""

    def __init__(self, folder: Path, *, spec: Spec, llvm_version: str) -> None:
        self._folder = folder
        values = {k: v for k, v in dataclasses.asdict(spec).items() if k not in _NOT_IN_UNITS}
        text = json.dumps([_FORMAT, llvm_version, values], sort_keys=True, default=str)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @property
    def work(self) -> Path:
        """Where the source is unpacked and built."""
        return self._folder / "work"

    def scratch(self) -> Path:
        """Return an empty folder for bitcode that is being written."""
        folder = self._folder / "scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def load_prepared(self) -> Prepared | None:
        """Return the prepared source, or None where it has to be prepared (again)."""
        try:
            data = json.loads((self._folder / "prepared.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if data.get("fingerprint") != self._fingerprint:
            return None
        prepared = _prepared(data["prepared"])
        return prepared if prepared.root.is_dir() else None

    def save_prepared(self, prepared: Prepared) -> None:
        """Record that the source is ready; journals of an earlier preparation go."""
        for journal in self._folder.glob("units-*.jsonl"):
            journal.unlink()
        data = {"fingerprint": self._fingerprint, "prepared": dataclasses.asdict(prepared)}
        write_text_atomically(
            self._folder / "prepared.json", json.dumps(data, ensure_ascii=False, default=str)
        )

    def journal(self, target_triple: str) -> Journal:
        """Return the journal for a target."""
        return Journal(self._folder / f"units-{target_triple}.jsonl")


def _entry(data: dict[str, Any]) -> JournalEntry:
    unit, failure = data["unit"], data["failure"]
    return JournalEntry(
        slug=data["slug"],
        unit=None if unit is None else Unit(**{**unit, "flags": tuple(unit["flags"])}),
        failure=None if failure is None else Failure(**failure),
    )


def _prepared(data: dict[str, Any]) -> Prepared:
    commands = tuple(
        CompileCommand(**{**command, "flags": tuple(command["flags"])})
        for command in data["commands"]
    )
    values = {**data, "root": Path(data["root"]), "commands": commands}
    return Prepared(**{**values, "modules": tuple(data["modules"])})
