"""Lifted functions as one module, and in place of the originals in a copy of the input's object.

Each function's claim is checked again on the merged module: it must lower to the code that was
judged. Static variables stay the input's: the module declares them, and `relink` makes them
visible. Safe to call from several threads, each with a folder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.disassembly.binary import Binary, Origin
from llm_compiler.disassembly.lift import Lift
from llm_compiler.disassembly.read_function import Variable
from llm_compiler.errors import CompileFailed, CompilerError, InputError, ResourceError
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.elf import Binding, Symbol
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.verify.lifted import DetachJob
from llm_compiler.verify.round_trip import difference, lower, read_code_object
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Merged", "merge", "relink"]

_TIMEOUT_S = 120.0
_HEADER = re.compile(r"^; ModuleID = .*\n(?:source_filename = .*\n)?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One module. `dropped`: functions that it does not define after all, and why."""

    text: str = field(repr=False)
    dropped: dict[str, str]


def merge(
    binary: Binary,
    lifts: Sequence[Lift],
    *,
    pool: WorkerPool,
    toolchain: Toolchain,
    folder: Path,
) -> Merged:
    """Put accepted functions into one module, which declares the rest."""
    kept = [one for one in lifts if one.outcome.verdict.is_accepted]
    dropped: dict[str, str] = {}
    sources: dict[str, Path] = {}
    for index, (one, text) in enumerate(zip(kept, _detached(kept, pool), strict=True)):
        if text:
            path = folder / f"part-{index}.ll"
            path.write_text(text)
            sources[one.outcome.name] = path
        else:
            dropped[one.outcome.name] = "its variables cannot be left to the input"
    output, lowered = folder / "merged.ll", folder / "merged.o"
    linked: list[str] = []
    if sources and not (refused := _link_modules(list(sources.values()), output, toolchain)):
        linked = list(sources)
    elif sources:
        # Find out which do not fit with the others (module flags, types of a symbol).
        for name, path in sources.items():
            trial = [*(sources[other] for other in linked), path]
            if refused := _link_modules(trial, output, toolchain):
                dropped[name] = f"it does not link with the others: {refused}"
            else:
                linked.append(name)
    by_name = {one.outcome.name: one for one in kept}
    while linked:
        wrong = _recheck(binary, [by_name[name] for name in linked], output, lowered, toolchain)
        if not wrong:
            break
        dropped |= wrong
        linked = [name for name in linked if name not in wrong]
        if linked:
            _link_modules([sources[name] for name in linked], output, toolchain)
    body = output.read_text() if linked else ""
    return Merged(
        text=_finished(body, binary, lifts, dropped),
        dropped=dropped,
    )


def _detached(kept: Sequence[Lift], pool: WorkerPool) -> list[str]:
    job = DetachJob(
        texts=tuple(one.outcome.ir for one in kept),
        variables=tuple(
            tuple(variable.name for variable in one.text.variables) if one.text else ()
            for one in kept
        ),
    )
    found: list[str] = run_jobs(pool, [job])[0] if kept else []
    return found


def _link_modules(sources: Sequence[Path], output: Path, toolchain: Toolchain) -> str:
    """Link modules; return the linker's complaint, empty if there is none."""
    command: list[str | Path] = [toolchain.tool("llvm-link"), "-S", *sources, "-o", output]
    completed = run(command, timeout_s=_TIMEOUT_S)
    if completed.ok:
        return ""
    lines = [line for line in completed.stderr_text.splitlines() if line.strip()]
    return (lines or ["no message"])[-1][:200]


def _recheck(
    binary: Binary, lifts: Sequence[Lift], source: Path, output: Path, toolchain: Toolchain
) -> dict[str, str]:
    """Return the functions that the merged module lowers to other code, and how it differs."""
    try:
        lower(source, output, binary.elf.architecture, toolchain, timeout_s=_TIMEOUT_S)
        code = read_code_object(output, toolchain)
    except (CompilerError, ResourceError, InputError) as error:
        return {one.outcome.name: f"the merged module does not lower: {error}" for one in lifts}
    found = {}
    for one in lifts:
        assert one.lowered is not None
        assert one.text is not None
        detached = frozenset(variable.name for variable in one.text.variables)
        name = one.outcome.name
        if change := difference(one.lowered, code, name, alone=False, detached=detached):
            found[name] = f"it becomes other code when merged: {change}"
    return found


def _finished(body: str, binary: Binary, lifts: Sequence[Lift], dropped: dict[str, str]) -> str:
    """Return the module with a comment for each verdict, and all other functions declared."""
    lines = [f"; Lifted from {binary.path.name}: for each function its verdict."]
    declared = []
    for one in lifts:
        name, verdict = one.outcome.name, one.outcome.verdict
        reason = dropped.get(name, one.outcome.reason)
        said = f"{verdict.value} (declared: {reason})" if name in dropped else verdict.value
        if not verdict.is_accepted and reason:
            said += f": {reason}"
        lines.append(_comment(f"{name}: {said}"))
        if name in dropped or not verdict.is_accepted:
            declared.append(name)
    text = _HEADER.sub("", body, count=1)
    if not body:
        text = f'target triple = "{binary.target_triple}"\n'
    parts = ["\n".join(lines) + "\n", text]
    missing = [name for name in declared if not _mentions(text, name)]
    if missing:
        parts.append("".join(f"declare void @{_quoted(name)}(...)\n" for name in missing))
    return "\n".join(parts)


def _comment(text: str) -> str:
    return "; " + " ".join(text.split())


def _quoted(name: str) -> str:
    if re.fullmatch(r"[A-Za-z$._-][\w$.-]*", name):
        return name
    return (
        '"'
        + "".join(c if c.isprintable() and c not in '"\\' else f"\\{ord(c):02X}" for c in name)
        + '"'
    )


def _mentions(text: str, name: str) -> bool:
    return bool(
        re.search(rf"^(?:define|declare) .*@{re.escape(_quoted(name))}\(", text, re.MULTILINE)
    )


# -- in place of the originals ---------------------------------------------------------------------


def relink(
    binary: Binary, merged: Merged, lifts: Sequence[Lift], toolchain: Toolchain, folder: Path
) -> bytes:
    """Return the input's object with lifted functions in place of the originals.

    In a copy, the originals' symbols are weakened; what was static and lifted code needs is made
    visible for the link and local again behind it. Calls within the copy that the assembler
    resolved (of static functions, mostly) still reach the original code, which does the same.

    Raises:
        InputError: the input is an executable, or nothing was lifted.
        CompileFailed: in the linker's own words.
    """
    if binary.origin is Origin.EXECUTABLE:
        raise InputError(f"{binary.path} is linked already: --relink takes objects and assembly")
    accepted = [
        one
        for one in lifts
        if one.outcome.verdict.is_accepted and one.outcome.name not in merged.dropped
    ]
    if not accepted:
        raise InputError(f"nothing of {binary.path} was lifted: there is nothing to link")
    architecture = binary.elf.architecture
    copy, output = folder / "copy.o", folder / "relinked.o"
    if binary.origin is Origin.ASSEMBLY:
        text = binary.path.read_text("utf-8", "surrogateescape")
        assemble(text, architecture, toolchain, copy, name=str(binary.path), keep_labels=False)
    else:
        copy.write_bytes(binary.data)
    symbols = {one.name: one for one in binary.elf.symbols if one.is_defined and one.name}
    edits: list[str] = []
    hidden: set[str] = set()
    for one in accepted:
        assert one.text is not None
        for name in (one.outcome.name, *one.text.static_functions):
            if name in symbols and symbols[name].is_local:
                hidden.add(name)
        for variable in one.text.variables:
            edits += _variable_edits(binary, variable, symbols, hidden)
    for name in sorted(hidden):
        edits += [f"--globalize-symbol={name}"] if name in symbols else []
    edits += [f"--weaken-symbol={one.outcome.name}" for one in accepted]
    objcopy = toolchain.tool("llvm-objcopy")
    _tool([objcopy, *dict.fromkeys(edits), copy], "llvm-objcopy")
    source, lifted = folder / "lifted.ll", folder / "lifted.o"
    source.write_text(merged.text)
    lower(source, lifted, architecture, toolchain, timeout_s=_TIMEOUT_S, keep_labels=False)
    clang = toolchain.tool("clang")
    target = f"--target={architecture}-linux-gnu"
    _tool([clang, target, "-r", "-nostdlib", lifted, copy, "-o", output], "the linker")
    names = [one.outcome.name for one in accepted]
    restored = [f"--localize-symbol={name}" for name in sorted(hidden)]
    restored += [
        f"--weaken-symbol={name}"
        for name in names
        if name in symbols and symbols[name].binding is Binding.WEAK
    ]
    if restored:
        _tool([objcopy, *restored, output], "llvm-objcopy")
    return output.read_bytes()


def _variable_edits(
    binary: Binary, variable: Variable, symbols: dict[str, Symbol], hidden: set[str]
) -> list[str]:
    if variable.name in symbols:
        if symbols[variable.name].is_local:
            hidden.add(variable.name)
        return []
    # The input has no symbol there: its code counts from the section's start.
    hidden.add(variable.name)
    section = binary.elf.sections[variable.section].name
    return [f"--add-symbol={variable.name}={section}:{variable.offset:#x},global,object"]


def _tool(command: Sequence[str | Path], name: str) -> None:
    completed = run(command, timeout_s=_TIMEOUT_S)
    if not completed.ok:
        lines = [line for line in completed.stderr_text.splitlines() if line.strip()]
        reason = "took too long" if completed.timed_out else (lines or ["no message"])[0][:300]
        raise CompileFailed(f"{name} failed: {reason}", detail=completed.stderr_text)
