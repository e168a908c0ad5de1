"""Put every pass of the registry to PassListEval: alone, and beside the default pipelines.

How the registry's exclusions were found, and how they are found again for another LLVM. Results
go to a file of JSON lines as they come, and what is there already is not done again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_compiler.errors import OutputError
from llm_compiler.llvm.capi import Library
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.registry import PassEntry, all_entries, available, entry
from llm_compiler.records import PassList, VerdictKind
from llm_compiler.verify.pass_list_eval import PassListEval

__all__ = ["PLAUSIBLE", "SweepRow", "sweep", "sweep_entries", "sweep_lists"]

PIPELINES = ("default<Oz>", "default<Os>", "default<O1>", "default<O2>", "default<O3>")
PLAUSIBLE = (
    "structurizecfg",
    "unify-loop-exits",
    "lower-atomic",
    "lower-invoke",
    "assume-builder",
    "expand-variadics",
    "infer-address-spaces",
    "hardware-loops",
    "codegenprepare",
    "atomic-expand",
    "expand-reductions",
    "expand-large-div-rem",
    "indirectbr-expand",
    "safe-stack",
    "guard-widening",
    "strip",
    "redundant-dbg-inst-elim",
    "instnamer",
    "objc-arc",
)
"""Excluded passes that look as if they could preserve meaning: a sweep shows which do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One verdict: a pass's text, the list it was tried in, and what came of it."""

    entry: str
    pipeline: str
    architecture: str
    llvm_major: int
    kind: str
    program: str
    reason: str
    num_programs: int


def sweep_entries(library: Library) -> tuple[PassEntry, ...]:
    """Return what is swept: the safe entries that this LLVM has, and the plausible excluded ones.

    Asks LLVM in this process, which an empty module cannot crash.
    """
    plausible = [found for name in PLAUSIBLE if (found := entry(name)) and not found.safe]
    names = {item.text for item in all_entries()}
    return (*available(library), *(item for item in plausible if item.text in names))


def sweep_lists(
    entries: Sequence[PassEntry], pipelines: Sequence[str] = PIPELINES
) -> Iterator[tuple[str, PassList]]:
    """Yield (entry, list): every entry alone first, then before and after each pipeline."""
    for item in entries:
        yield item.text, PassList((item.element,))
    for pipeline in pipelines:
        whole = parse_pass_list(pipeline).elements
        for item in entries:
            if item.element not in whole:
                yield item.text, PassList((item.element, *whole))
                yield item.text, PassList((*whole, item.element))


def sweep(
    evaluator: PassListEval,
    entries: Sequence[PassEntry],
    path: Path,
    *,
    pipelines: Sequence[str] = PIPELINES,
) -> Iterator[SweepRow]:
    """Check all lists of a sweep, yielding each row and appending it to `path`.

    Goes on where an earlier run stopped; an entry that was rejected once is not tried further on
    that evaluation's architectures.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = _read(path)
    yield from rows
    done = {row.pipeline for row in rows}
    rejected = {row.entry for row in rows if row.kind == VerdictKind.REJECTED}
    for name, passes in sweep_lists(entries, pipelines):
        if passes.pipeline in done or name in rejected:
            continue
        for architecture, verdict in evaluator.check(passes).items():
            row = SweepRow(
                entry=name,
                pipeline=passes.pipeline,
                architecture=architecture,
                llvm_major=verdict.llvm_major,
                kind=verdict.kind.value,
                program=verdict.program,
                reason=verdict.reason,
                num_programs=verdict.num_programs,
            )
            if verdict.kind is VerdictKind.REJECTED:
                rejected.add(name)
            _append(path, row)
            yield row


def _read(path: Path) -> list[SweepRow]:
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text().splitlines():
            # The last line of a run that was killed may be cut short: its list is done again.
            with contextlib.suppress(ValueError, TypeError):
                rows.append(SweepRow(**json.loads(line)))
    return rows


def _append(path: Path, row: SweepRow) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
