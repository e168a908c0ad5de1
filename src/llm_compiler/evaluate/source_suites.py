"""Suites of the user's own files: sources and IR, compiled as their folders say.

A folder of sources may have a ``compile_commands.json`` at its top, or files ``compile_flags.txt``
(one flag a line, as clang's tools read them), each of which holds for its folder and those below.
Where a source does not compile with that, the headers' folders of its own program, those of the
whole suite, and older C are tried, as suites of the nineties need, and the flags that helped are
noted. What does not compile, or is a part of another source, is listed with its cause and stops
nothing. Runs clang; makes files in the scratch folder only.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.corpus.inputs import collect_files
from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.evaluate.suites import EvaluationModule, Excluded, Suite, SuiteOptions
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.compile_commands import COMPILE_COMMANDS, read_compile_commands
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, Stock
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.optimization.prepare import prepare_all
from llm_compiler.optimization.unit import Request, Unit
from llm_compiler.workers.pool import WorkerPool

__all__ = ["suite_of_files"]

COMPILE_FLAGS = "compile_flags.txt"
_OLD_C = (
    "-std=gnu89",
    # What compilers of the time let pass with a warning, and clang still did long after.
    "-Wno-error=incompatible-function-pointer-types",
    "-Wno-error=incompatible-pointer-types",
    "-Wno-error=int-conversion",
    "-Wno-error=return-mismatch",
    "-Wno-unknown-warning-option",
)
_INCLUDES_SOURCE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*["<][^">\n]+\.c[">]', re.MULTILINE)
_HEADERS = (".h", ".hh", ".hpp", ".H", ".hxx", ".def", ".inc")
_CPP_STANDARD = ("-std=", "--std=", "-ansi")


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    flags: tuple[str, ...]
    added: tuple[str, ...] = ()
    """What was tried beyond the suite's own flags."""


_Compiled = tuple[_Source, Unit | LlmCompilerError]


def suite_of_files(
    path: Path,
    name: str,
    options: SuiteOptions,
    toolchain: Toolchain,
    pool: WorkerPool,
    scratch: Path,
    notify: Callable[[str], None],
) -> Suite:
    """Return what compiles of a folder or file.

    Args:
        scratch: an own folder, which must live as long as the modules.

    Raises:
        InputError: nothing does.
    """
    root = path if path.is_dir() else path.parent
    suite = Suite(name=name, what="", modules=[], excluded=[])
    sources = list(_sources(path, root, options.clang_flags))
    numbers = iter(range(1_000_000_000))

    def compile_all(some: Sequence[_Source]) -> list[_Compiled]:
        if not some:
            return []
        requests: list[Request] = []
        kept: list[_Source] = []
        for source in some:
            folder = scratch / str(next(numbers))
            folder.mkdir()
            try:
                flags = parse_clang_flags(source.flags)
            except LlmCompilerError as error:
                suite.excluded.append(_excluded(suite, source, root, error))
                continue
            # Dependency files would be written beside the user's sources.
            flags = replace(flags, dependencies=())
            requests.append(_request(source.path, folder, flags, toolchain, options))
            kept.append(source)
        notify(f"compiling {len(requests)} files of {name}")
        return list(zip(kept, prepare_all(requests, pool), strict=True))

    done = compile_all(sources)
    headers = sorted({file.parent for file in root.rglob("*") if file.suffix in _HEADERS})
    for change in (_with_headers, _with_all_headers, _as_old_c):
        again: list[_Source] = []
        before: list[_Compiled] = []
        kept: list[_Compiled] = []
        for item in done:
            changed = None
            if isinstance(item[1], LlmCompilerError):
                changed = change(item[0], root, headers, item[1])
            if changed is None:
                kept.append(item)
            else:
                again.append(changed)
                before.append(item)
        for old, new in zip(before, compile_all(again), strict=True):
            # The first message is the more telling one, unless a header was missing.
            failed = isinstance(new[1], LlmCompilerError)
            kept.append(old if failed and change is _as_old_c else new)
        done = kept
    # A compile database says itself what is compiled; a folder may hold parts of other sources.
    parts = {} if (path / COMPILE_COMMANDS).is_file() else _parts(done)
    helped: dict[str, list[str]] = {}
    for source, unit in done:
        if source.added and isinstance(unit, Unit) and source.path not in parts:
            name_of = str(_relative(source.path, root))
            helped.setdefault(" and ".join(source.added), []).append(name_of)
    for what, names in helped.items():
        suite.notes.append(f"{len(names)} compile only with {what}: {', '.join(sorted(names))}")
    for source, unit in sorted(done, key=lambda value: str(value[0].path)):
        _take(suite, source, unit, root, part_of=parts.get(source.path))
    weak = [
        module.name
        for module in suite.modules
        if module.unit is not None
        and module.unit.source.suffix in IR_SUFFIXES
        and module.unit.inspection.functions_without_minsize
    ]
    if weak:
        suite.notes.append(
            f"{len(weak)} have functions without 'minsize', which clang -Oz on IR leaves larger "
            f"than clang -Oz on their source would, so gains are flattered: {', '.join(weak)}"
        )
    if not suite.modules:
        first_cause = f"; the first: {suite.excluded[0].cause}" if suite.excluded else ""
        raise InputError(
            f"nothing in {path} can be measured: none of its {len(suite.excluded)} files compiles "
            f"to code{first_cause}"
        )
    suite.what = (
        f"{len(suite.modules)} of {len(suite.modules) + len(suite.excluded)} files; the baseline "
        "is the object that clang -Oz makes of each with its flags, and each winning list is "
        "rebuilt with the stock tools, whose object's size counts"
    )
    return suite


def _parts(done: Sequence[_Compiled]) -> dict[Path, Path]:
    """Return the sources that others include, which would count twice, with who includes them."""
    known = {source.path.resolve(): source.path for source, _ in done}
    found: dict[Path, Path] = {}
    for source, unit in done:
        if isinstance(unit, LlmCompilerError) or source.path.suffix not in C_SUFFIXES:
            continue
        if not _INCLUDES_SOURCE.search(source.path.read_bytes()):
            continue
        # An #include may be under a condition: clang knows.
        file = unit.folder / "dependencies.d"
        command = unit.stock.frontend_command(
            source.path, unit.folder / "again.bc", dependencies=("-MMD", "-MF", str(file))
        )
        try:
            unit.stock.compile_source(command, source.path)
        except LlmCompilerError:
            continue
        names = re.findall(r"(?:\\[ #]|[^\s\\])+", file.read_text("utf-8", "replace"))
        for name in names[1:]:
            part = known.get(Path(re.sub(r"\\([ #])", r"\1", name)).resolve())
            # A test elsewhere may include what it tests, which stays a module of its own.
            if part not in (None, source.path) and part.is_relative_to(source.path.parent):
                found.setdefault(part, source.path)
    return found


def _take(
    suite: Suite,
    source: _Source,
    unit: Unit | LlmCompilerError,
    root: Path,
    part_of: Path | None,
) -> None:
    name = str(_relative(source.path, root))
    cause = f"it is part of {_relative(part_of, root)}, which includes it" if part_of else ""
    if isinstance(unit, LlmCompilerError):
        excluded = _excluded(suite, source, root, unit)
        suite.excluded.append(replace(excluded, cause=cause) if cause else excluded)
        return
    suite.units[source.path] = unit
    inspection = unit.inspection
    if cause:
        pass  # kept for who links it by name
    elif flag := unit.stock.flags.baseline_only:
        cause = f"{flag} is carried out by clang's own passes"
    elif not inspection.functions:
        cause = "it has no function"
    elif not unit.baseline_sizes.size_bytes:
        cause = "its object is empty"
    if cause:
        suite.excluded.append(Excluded(suite=suite.name, name=name, cause=cause))
        return
    parts = Path(name).parts
    suite.modules.append(
        EvaluationModule(
            suite=suite.name,
            name=name,
            program="/".join(parts[: min(2, len(parts) - 1)]) or suite.name,
            bitcode=unit.bitcode_path.read_bytes(),
            target_triple=inspection.target_triple,
            num_functions=len(inspection.functions),
            num_instructions=inspection.num_instructions,
            flags=shlex.join(source.flags),
            unit=unit,
            baseline=unit.baseline_sizes,
        )
    )


def _excluded(suite: Suite, source: _Source, root: Path, error: LlmCompilerError) -> Excluded:
    name = str(_relative(source.path, root))
    cause = str(error).replace(f"{root}{os.sep}", "")
    return Excluded(suite=suite.name, name=name, cause=cause)


def _request(
    source: Path, folder: Path, flags: ClangFlags, toolchain: Toolchain, options: SuiteOptions
) -> Request:
    return Request(
        source=source,
        output=folder / "unit.o",
        folder=folder,
        stock=Stock(
            toolchain=toolchain,
            flags=flags,
            target_triple=options.target_triple,
            timeout_s=options.timeout_s,
            scratch=folder,
        ),
    )


def _sources(path: Path, root: Path, flags: tuple[str, ...]) -> Iterator[_Source]:
    """Yield the sources of a suite with their flags; the user's own come last, so they count.

    Raises:
        InputError: there is none, or a compile database cannot be read.
    """
    database = path / COMPILE_COMMANDS
    if database.is_file():
        found = list(_of_database(database, flags))
        if not found:
            raise InputError(f"{database} names no C or C++ file that exists")
        yield from found
        return
    for file in collect_files([path]):
        yield _Source(file, (*_flags_of_folder(file.parent, root), *flags))


def _of_database(database: Path, flags: tuple[str, ...]) -> Iterator[_Source]:
    """Yield each compilation once, its folders made absolute: clang is run from elsewhere."""
    seen: set[_Source] = set()
    for command in read_compile_commands(database):
        if command.path.suffix not in C_SUFFIXES + IR_SUFFIXES or not command.path.is_file():
            continue
        source = _Source(command.path, (*_absolute(command.flags, command.directory), *flags))
        if source not in seen:
            seen.add(source)
            yield source


_FOLDER_FLAGS = ("-isystem", "-iquote", "-idirafter", "-include", "-imacros", "-I")


def _absolute(flags: Sequence[str], folder: Path) -> Iterator[str]:
    rest = iter(flags)
    for flag in rest:
        prefix = next((word for word in _FOLDER_FLAGS if flag.startswith(word)), None)
        if prefix is None:
            yield flag
            continue
        value = flag[len(prefix) :] or next(rest, "")
        inside = folder / value
        # A header that is named, but lies in one of the folders, keeps its name.
        keeps = prefix in ("-include", "-imacros") and not inside.exists()
        yield prefix
        yield value if keeps else os.path.normpath(inside)


def _flags_of_folder(folder: Path, root: Path) -> tuple[str, ...]:
    """Return the flags of the nearest ``compile_flags.txt`` from a folder up to the suite's."""
    while True:
        file = folder / COMPILE_FLAGS
        if file.is_file():
            lines = (line.strip() for line in file.read_text("utf-8").splitlines())
            return tuple(_absolute([line for line in lines if line], folder))
        if folder == root or folder == folder.parent:
            return ()
        folder = folder.parent


def _with_headers(
    source: _Source, root: Path, headers: Sequence[Path], error: LlmCompilerError
) -> _Source | None:
    """Add the header folders of the source's program, after all others, if a header is missing."""
    parts = _relative(source.path, root).parts
    # Suites have a folder a program, some a folder of programs above that; all of it is looked in.
    top = root / parts[0] if len(parts) > 1 else root
    own = [folder for folder in headers if folder.is_relative_to(top)]
    return _with_folders(source, own, "its program", error)


def _with_all_headers(
    source: _Source, root: Path, headers: Sequence[Path], error: LlmCompilerError
) -> _Source | None:
    """Add the header folders of the whole suite, which may lie beside the programs, likewise."""
    return _with_folders(source, headers, "the whole suite", error)


def _with_folders(
    source: _Source, folders: Sequence[Path], whose: str, error: LlmCompilerError
) -> _Source | None:
    if "file not found" not in str(error) + error.detail:
        return None
    # Programs have headers of the same names: the nearest is most likely the one that is meant.
    nearest = sorted(folders, key=lambda folder: -_num_shared(folder, source.path))
    new = [str(folder) for folder in nearest if str(folder) not in source.flags]
    if not new:
        return None
    flags = [part for folder in new for part in ("-idirafter", folder)]
    added = (f"-idirafter for the header folders of {whose}",)
    return _Source(source.path, (*source.flags, *flags), added)


def _num_shared(path: Path, other: Path) -> int:
    """Count the folders that two paths have in common."""
    shared = os.path.commonpath((os.path.abspath(path), os.path.abspath(other)))
    return len(Path(shared).parts)


def _as_old_c(
    source: _Source, root: Path, headers: Sequence[Path], error: LlmCompilerError
) -> _Source | None:
    if source.path.suffix not in (".c", ".i") or not isinstance(error, InputError):
        return None
    if any(flag.startswith(_CPP_STANDARD) for flag in source.flags):
        return None
    return _Source(source.path, (*source.flags, *_OLD_C), (*source.added, shlex.join(_OLD_C)))


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
