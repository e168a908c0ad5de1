"""Lifted functions as one module, and in place of the originals in a copy of the input's object.

Each function's claim is checked again on the merged module: it must lower to the code that its
verdict is about. Static variables stay the input's: the module declares them, and `relink` makes
them visible. Safe to call from several threads, each with a folder of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.disassembly.agree import agree
from llm_compiler.disassembly.architectures.table import architecture_named
from llm_compiler.disassembly.binary import Binary, Origin
from llm_compiler.disassembly.claims import ClaimsJob, Modest
from llm_compiler.disassembly.direct_addresses import with_direct_addresses
from llm_compiler.disassembly.lift import Lift
from llm_compiler.disassembly.naming import quoted_name
from llm_compiler.disassembly.prototypes import Shape
from llm_compiler.disassembly.read_function import Variable
from llm_compiler.disassembly.weak_symbols import weak_names, with_weak
from llm_compiler.errors import CompileFailed, CompilerError, InputError, ResourceError
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.elf import Binding, Symbol
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.records import Status
from llm_compiler.verify.lifted import DetachJob
from llm_compiler.verify.round_trip import (
    LOWER_FLAGS,
    LOWER_PLAIN_FLAGS,
    difference,
    lower,
    lower_flags,
    read_code_object,
)
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "Merged",
    "Reverify",
    "comment",
    "detached_texts",
    "link_modules",
    "merge",
    "recheck",
    "relink",
    "same_variables",
    "verdict_lines",
    "without_header",
]

_TIMEOUT_S = 120.0
_HEADER = re.compile(r"^; ModuleID = .*\n(?:source_filename = .*\n)?", re.MULTILINE)


Reverify = Callable[[Lift, str], Lift]
"""Gives a lift whose text was changed a new verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One module.

    `dropped`: functions that it does not define after all, and why. `lifts`: with the texts and
    verdicts that count in it.
    """

    text: str = field(repr=False)
    dropped: dict[str, str]
    lifts: tuple[Lift, ...] = ()


def merge(
    binary: Binary,
    lifts: Sequence[Lift],
    *,
    pool: WorkerPool,
    toolchain: Toolchain,
    folder: Path,
    reverify: Reverify | None = None,
    known: Callable[[str], Shape | None] = lambda name: None,
) -> Merged:
    """Put accepted functions into one module, which declares the rest.

    The texts are made modest (`claims`) and agree on each other's prototypes (`agree`) first.

    Args:
        reverify: of functions that this leaves with other code; without it they are left out.
        known: what other files of the program show of the functions that these call.
    """
    lifts, dropped = _united(lifts, pool, reverify, known)
    accepted = [
        lift for lift in lifts if lift.outcome.is_accepted and lift.outcome.name not in dropped
    ]
    kept = [lift for lift in accepted if not lift.outcome.alias_of]
    aliases = [lift for lift in accepted if lift.outcome.alias_of]
    sources: dict[str, Path] = {}
    texts = detached_texts(
        [lift.outcome.ir for lift in kept],
        kept,
        pool,
        aliases,
        alignments=_alignments(binary, kept),
    )
    texts = with_direct_addresses(texts)
    for index, (each_lift, text) in enumerate(zip(kept, texts, strict=True)):
        if text:
            path = folder / f"part-{index}.ll"
            path.write_text(text, "utf-8", "surrogateescape")
            sources[each_lift.outcome.name] = path
        else:
            dropped[each_lift.outcome.name] = "its variables cannot be left to the input"
    output, lowered = folder / "merged.ll", folder / "merged.o"
    linked: list[str] = []
    if sources and not (refused := link_modules(list(sources.values()), output, toolchain)):
        linked = list(sources)
    elif sources:
        # Find out which do not fit with the others (module flags, types of a symbol).
        for name, path in sources.items():
            trial = [*(sources[other] for other in linked), path]
            if refused := link_modules(trial, output, toolchain):
                dropped[name] = f"it does not link with the others: {refused}"
            else:
                linked.append(name)
    by_name = {lift.outcome.name: lift for lift in kept}
    while linked:
        wrong = recheck(binary, [by_name[name] for name in linked], output, lowered, toolchain)
        if not wrong:
            break
        dropped |= wrong
        linked = [name for name in linked if name not in wrong]
        if linked:
            link_modules([sources[name] for name in linked], output, toolchain)
    dropped |= {
        aliase.outcome.name: dropped[aliase.outcome.alias_of]
        for aliase in aliases
        if aliase.outcome.alias_of in dropped
    }
    body = output.read_text("utf-8", "surrogateescape") if linked else ""
    return Merged(text=_finished(body, binary, lifts, dropped), dropped=dropped, lifts=tuple(lifts))


def _united(
    lifts: Sequence[Lift],
    pool: WorkerPool,
    reverify: Reverify | None,
    known: Callable[[str], Shape | None],
) -> tuple[list[Lift], dict[str, str]]:
    """Return lifts whose accepted texts claim little and agree, and which of them cannot."""
    named = {
        lift.outcome.name: lift
        for lift in lifts
        if lift.outcome.is_accepted and not lift.outcome.alias_of
    }
    if not named:
        return list(lifts), {}
    named = {name: _with_weak_symbols(lift) for name, lift in named.items()}
    found: list[Modest] = run_jobs(
        pool, [ClaimsJob(texts=tuple(lift.outcome.ir for lift in named.values()))]
    )[0]
    for (name, each_lift), modest in zip(list(named.items()), found, strict=True):
        if modest.status is not Status.OK:
            continue
        outcome = dataclasses.replace(each_lift.outcome, ir=modest.text, claims=modest.kept)
        named[name] = dataclasses.replace(
            each_lift, outcome=outcome, bare=modest.bare, nothrow=modest.nothrow
        )
    aliases = {
        lift.outcome.name: lift.outcome.alias_of
        for lift in lifts
        if lift.outcome.alias_of in named and not lift.outcome.is_ifunc
    }
    texts = {name: lift.outcome.ir for name, lift in named.items()}
    agreed = agree(texts, pool, aliases=aliases, known=known)
    dropped = dict(agreed.refused)
    for name, text in same_variables(agreed.texts).items():
        each_lift = named[name]
        is_changed = name in agreed.changed
        if is_changed and reverify is None:
            dropped[name] = "it lowers to other code once it agrees with its callers"
        elif is_changed or (each_lift.outcome.claims and reverify is not None):
            assert reverify is not None
            each_lift = reverify(dataclasses.replace(each_lift, is_changed=is_changed), text)
            if not each_lift.outcome.is_accepted:
                dropped[name] = each_lift.outcome.reason
        else:
            each_lift = dataclasses.replace(
                each_lift, outcome=dataclasses.replace(each_lift.outcome, ir=text)
            )
        named[name] = each_lift
    result = []
    for each_lift in lifts:
        if real := named.get(each_lift.outcome.alias_of or each_lift.outcome.name):
            result.append(_with_name(real, each_lift))
        else:
            result.append(each_lift)
    dropped |= {
        lift.outcome.name: dropped[lift.outcome.alias_of]
        for lift in lifts
        if lift.outcome.alias_of in dropped
    }
    return result, dropped


def _with_weak_symbols(lift: Lift) -> Lift:
    """Return a lift that says of which symbols the input's object does without."""
    assert lift.text is not None
    names = weak_names(lift.text.text, lift.text.name)
    ir = with_weak(lift.outcome.ir, names)
    return dataclasses.replace(lift, outcome=dataclasses.replace(lift.outcome, ir=ir))


def _with_name(real: Lift, lift: Lift) -> Lift:
    """Return a function's lift as the lift of one of its names."""
    if not lift.outcome.alias_of:
        return real
    outcome = dataclasses.replace(
        real.outcome,
        name=lift.outcome.name,
        alias_of=lift.outcome.alias_of,
        is_ifunc=lift.outcome.is_ifunc,
        num_candidates=0,
        seconds=0.0,
    )
    return dataclasses.replace(real, outcome=outcome, text=lift.text)


_EXTERNAL = re.compile(r"^(@\S+) = (?:external|extern_weak) .*$", re.MULTILINE)
_ALIGNED = re.compile(r", align (\d+)")


def same_variables(texts: Mapping[str, str]) -> dict[str, str]:
    """Return texts that declare each variable of other files in the same way.

    The declaration with the largest alignment is taken: some function's code needs it. What only
    says which type is caught needs none.
    """
    declared: dict[str, dict[str, tuple[bool, int]]] = {}
    for text in texts.values():
        for match in _EXTERNAL.finditer(text):
            aligned = _ALIGNED.search(match[0])
            need = _is_code_s(match[1], text), int(aligned[1]) if aligned else 0
            lines = declared.setdefault(match[1], {})
            lines[match[0]] = max(need, lines.get(match[0], need))
    best = {
        name: max(lines, key=lambda line: (*lines[line], len(line)))
        for name, lines in declared.items()
        if len(lines) > 1
    }
    if not best:
        return dict(texts)
    return {
        name: _EXTERNAL.sub(lambda match: best.get(match[1], match[0]), text)
        for name, text in texts.items()
    }


def _is_code_s(name: str, text: str) -> bool:
    """Whether a text's code uses a variable, not its exception table alone."""
    uses = len(re.findall(rf"{re.escape(name)}(?![\w.$])", text)) - 1
    caught = rf"(?:catch ptr |typeid\.for\.p0\(ptr (?:nonnull )?){re.escape(name)}(?![\w.$])"
    return uses > len(re.findall(caught, text))


def _alignments(binary: Binary, lifts: Sequence[Lift]) -> dict[str, int]:
    """Return how the input's static variables are aligned in memory, in bytes."""
    found: dict[str, int] = {}
    for lift in lifts:
        for variable in lift.text.variables if lift.text else ():
            alignment = binary.elf.sections[variable.section].alignment or 1
            offset = variable.offset
            found[variable.name] = min(alignment, offset & -offset) if offset else alignment
    return found


def detached_texts(
    texts: Sequence[str],
    lifts: Sequence[Lift],
    pool: WorkerPool,
    aliases: Sequence[Lift] = (),
    *,
    alignments: Mapping[str, int] | None = None,
) -> list[str]:
    """Return modules of lifts with the input's variables declared; empty where LLVM refuses.

    Args:
        aliases: further names of the functions, which their modules define.
        alignments: of the variables, in bytes; more is not claimed.
    """
    job = DetachJob(
        texts=tuple(texts),
        variables=tuple(
            tuple(variable.name for variable in lift.text.variables) if lift.text else ()
            for lift in lifts
        ),
        functions=tuple(lift.outcome.name for lift in lifts),
        aliases=tuple(
            tuple(
                (
                    alias.outcome.name,
                    alias.text is not None and not alias.text.is_static,
                    alias.outcome.is_ifunc,
                )
                for alias in aliases
                if alias.outcome.alias_of == lift.outcome.name
            )
            for lift in lifts
        ),
        alignments=tuple((alignments or {}).items()),
        nothrow=frozenset(name for lift in lifts for name in lift.nothrow),
    )
    found: list[str] = run_jobs(pool, [job])[0] if lifts else []
    return found


def link_modules(sources: Sequence[Path], output: Path, toolchain: Toolchain) -> str:
    """Link modules; return the linker's complaint, empty if there is none."""
    command: list[str | Path] = [toolchain.tool("llvm-link"), "-S", *sources, "-o", output]
    completed = run(command, timeout_s=_TIMEOUT_S)
    if completed.ok:
        return ""
    lines = [line for line in completed.stderr_text.splitlines() if line.strip()]
    return (lines or ["no message"])[-1][:200]


def recheck(
    binary: Binary, lifts: Sequence[Lift], source: Path, output: Path, toolchain: Toolchain
) -> dict[str, str]:
    """Return the functions that a merged module lowers to other code, and how it differs.

    For some targets the code generator puts small variables of one module into one, which changes
    the code that uses them, not what it does: the code without that counts as well.
    """
    kinds: dict[tuple[str, ...], list[Lift]] = {}
    for lift in lifts:
        kinds.setdefault(lower_flags(lift.outcome.ir), []).append(lift)
    plain_ones = kinds.get(LOWER_PLAIN_FLAGS, [])
    found = {}
    if plain_ones:
        found = _changed_code(binary, plain_ones, source, output, toolchain, LOWER_PLAIN_FLAGS)
    if len(plain_ones) == len(lifts):
        return found
    lifts = kinds[LOWER_FLAGS]
    found |= _changed_code(binary, lifts, source, output, toolchain, LOWER_FLAGS)
    merged = architecture_named(binary.elf.architecture).merged_variables
    if found and merged is not None:
        flags = (*LOWER_FLAGS, *merged.clang_flags)
        plain = _changed_code(binary, lifts, source, output, toolchain, flags)
        names = {lift.outcome.name for lift in lifts}
        found = {
            name: reason for name, reason in found.items() if name in plain or name not in names
        }
    return found


def _changed_code(
    binary: Binary,
    lifts: Sequence[Lift],
    source: Path,
    output: Path,
    toolchain: Toolchain,
    flags: tuple[str, ...],
) -> dict[str, str]:
    try:
        lower(
            source,
            output,
            binary.elf.architecture,
            toolchain,
            timeout_s=_TIMEOUT_S,
            is_merged=True,
            flags=flags,
        )
        code = read_code_object(output, toolchain)
    except (CompilerError, ResourceError, InputError) as error:
        return {lift.outcome.name: f"the merged module does not lower: {error}" for lift in lifts}
    found = {}
    for lift in lifts:
        assert lift.lowered is not None
        assert lift.text is not None
        detached = frozenset(variable.name for variable in lift.text.variables)
        name = lift.outcome.name
        if change := difference(lift.lowered, code, name, alone=False, detached=detached):
            found[name] = f"it becomes other code when merged: {change}"
    return found


def _finished(body: str, binary: Binary, lifts: Sequence[Lift], dropped: dict[str, str]) -> str:
    """Return the module with a comment for each verdict, and all other functions declared."""
    lines = [f"; Lifted from {binary.path.name}: for each function its verdict."]
    declared = []
    for lift in lifts:
        name, verdict = lift.outcome.name, lift.outcome.verdict
        reason = dropped.get(name, lift.outcome.reason)
        said = f"{verdict.value} (declared: {reason})" if name in dropped else verdict.value
        if lift.outcome.is_taken_unproved and name not in dropped:
            said += " (defined: asked for)"
        if not verdict.is_accepted and reason:
            said += f": {reason}"
        if lift.outcome.alias_of:
            kind = "chosen at load time by" if lift.outcome.is_ifunc else "another name of"
            said = f"{kind} {lift.outcome.alias_of}: {said}"
        lines.append(comment(f"{name}: {said}"))
        if name in dropped or not lift.outcome.is_accepted:
            declared.append(name)
    text = without_header(body)
    if not body:
        text = f'target triple = "{binary.target_triple}"\n'
    parts = ["\n".join(lines) + "\n", text]
    missing = [name for name in declared if not _mentions(text, name)]
    if missing:
        parts.append("".join(f"declare void @{quoted_name(name)}(...)\n" for name in missing))
    return "\n".join(parts)


def without_header(text: str) -> str:
    """Return a module's text without the names of files that it was made from."""
    return _HEADER.sub("", text, count=1)


def verdict_lines(text: str) -> list[str]:
    """Return the comments at a module's head: what it is made of, and the verdicts."""
    return list(itertools.takewhile(lambda line: line.startswith("; "), text.splitlines()))


def comment(text: str) -> str:
    """Return text as one line of comment."""
    return "; " + " ".join(text.split())


def _mentions(text: str, name: str) -> bool:
    """Whether a module defines or declares a name; tables of functions declare a variable."""
    quoted = re.escape(quoted_name(name))
    pattern = rf"^(?:(?:define|declare) .*@{quoted}\(|@{quoted} = )"
    return bool(re.search(pattern, text, re.MULTILINE))


# -- in place of the originals ---------------------------------------------------------------------


def relink(
    binary: Binary, merged: Merged, lifts: Sequence[Lift], toolchain: Toolchain, folder: Path
) -> bytes:
    """Return the input's object with lifted functions in place of the originals.

    Where none was lifted, that is the input's object itself. In a copy, the originals' symbols are
    weakened; what was static and lifted code needs is made visible for the link and local again
    after it. Calls within the copy that the assembler resolved (of static functions, mostly)
    still reach the original code, which does the same.

    Raises:
        InputError: the input is an executable.
        CompileFailed: in the linker's own words.
    """
    if binary.origin is Origin.EXECUTABLE:
        raise InputError(f"{binary.path} is linked already: --relink takes objects and assembly")
    accepted = [
        lift
        for lift in lifts
        if lift.outcome.is_accepted and lift.outcome.name not in merged.dropped
    ]
    architecture = binary.elf.architecture
    copy, output = folder / "copy.o", folder / "relinked.o"
    if binary.origin is Origin.ASSEMBLY:
        text = binary.path.read_text("utf-8", "surrogateescape")
        assemble(text, architecture, toolchain, copy, name=str(binary.path), keep_labels=False)
    else:
        copy.write_bytes(binary.data)
    if not accepted:
        return copy.read_bytes()
    symbols = {
        symbol.name: symbol for symbol in binary.elf.symbols if symbol.is_defined and symbol.name
    }
    edits: list[str] = []
    hidden: set[str] = set()
    for each_lift in accepted:
        assert each_lift.text is not None
        for name in (each_lift.outcome.name, *each_lift.text.static_functions):
            if name in symbols and symbols[name].is_local:
                hidden.add(name)
        for variable in each_lift.text.variables:
            edits += _variable_edits(binary, variable, symbols, hidden)
    for name in sorted(hidden):
        edits += [f"--globalize-symbol={name}"] if name in symbols else []
    edits += [f"--weaken-symbol={lift.outcome.name}" for lift in accepted]
    objcopy = toolchain.tool("llvm-objcopy")
    _tool([objcopy, *dict.fromkeys(edits), copy], "llvm-objcopy")
    source, lifted = folder / "lifted.ll", folder / "lifted.o"
    source.write_text(merged.text)
    lower(source, lifted, architecture, toolchain, timeout_s=_TIMEOUT_S, keep_labels=False)
    clang = toolchain.tool("clang")
    target = f"--target={architecture}-linux-gnu"
    _tool([clang, target, "-r", "-nostdlib", lifted, copy, "-o", output], "the linker")
    names = [lift.outcome.name for lift in accepted]
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
