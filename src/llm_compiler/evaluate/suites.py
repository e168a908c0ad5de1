"""From what a user names to the modules of an evaluation: samples, a corpus, folders of sources.

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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_compiler.corpus.inputs import (
    MANIFEST,
    SAMPLES_MANIFEST,
    collect_files,
    corpus_modules,
)
from llm_compiler.corpus.samples import ARCHITECTURES, Sample
from llm_compiler.corpus.shards import COLUMNS, load_samples
from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.compile_commands import COMPILE_COMMANDS, read_compile_commands
from llm_compiler.llvm.jobs import InspectJob
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, Stock
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.optimization.prepare import prepare_all
from llm_compiler.optimization.unit import Request, Unit
from llm_compiler.records import content_hash
from llm_compiler.search.labels import choose_modules
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "CLANG_BASELINE",
    "IN_PROCESS_BASELINE",
    "EvaluationModule",
    "Excluded",
    "Suite",
    "SuiteOptions",
    "load_suite",
    "module_of_bitcode",
]

CLANG_BASELINE = "clang -Oz"
IN_PROCESS_BASELINE = "default<Oz> in process"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """How modules are chosen and compiled.

    The first five are of samples, `split` and `modules` of corpora too: modules per target,
    of that size after default<Oz> (0: no limit); `architecture` is empty for all.
    """

    split: str = "test"
    architecture: str = ""
    modules: int = 0
    min_size_bytes: int = 200
    max_size_bytes: int = 0
    seed: int = 0
    clang_flags: tuple[str, ...] = ()
    target_triple: str = ""
    timeout_s: float = 60.0
    kind: str = ""
    """Of samples: "function" or "unit", if the folder has any of that kind; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationModule:
    """One module to be measured. `unit` is there where it was compiled from the user's files."""

    suite: str
    name: str
    program: str
    bitcode: bytes = field(repr=False)
    target_triple: str
    num_functions: int
    num_instructions: int
    module_hash: str = ""
    text: str = field(default="", repr=False)
    """In normal form, for models to read; made on demand."""
    flags: str = ""
    unit: Unit | None = field(default=None, repr=False)
    baseline: ObjectSizes | None = None
    """None: default<Oz> in process, which is yet to be measured."""

    def __post_init__(self) -> None:
        if not self.module_hash:
            object.__setattr__(self, "module_hash", content_hash(self.bitcode))

    @property
    def key(self) -> str:
        """What names this module in a run."""
        return f"{self.suite}|{self.name}|{self.module_hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A unit that is not measured, and why."""

    suite: str
    name: str
    cause: str


@dataclass(slots=True, kw_only=True)
class Suite:
    """The modules of one thing that the user named."""

    name: str
    what: str
    """One sentence: how they were chosen or compiled, and against what they are measured."""
    modules: list[EvaluationModule]
    excluded: list[Excluded]
    notes: list[str] = field(default_factory=list)
    """What it took to compile some of them."""
    units: dict[Path, Unit] = field(default_factory=dict, repr=False)
    """Of the user's files, by source: all that compile, those without a function too."""


def load_suite(
    path: Path,
    options: SuiteOptions,
    *,
    toolchain: Toolchain,
    pool: WorkerPool,
    scratch: Path,
    name: str = "",
    known: Collection[str] = (),
    notify: Callable[[str], None] = lambda message: None,
) -> Suite:
    """Return the modules of a folder of samples, a corpus, a folder of sources or IR, or a file.

    Args:
        scratch: an own folder, which must live as long as the modules.
        name: for the report; default: the folder's.
        known: hashes of modules whose ceiling is known: of samples these are drawn first.

    Raises:
        InputError: there is nothing to measure, or nothing compiles.
        ShardCorrupt, ManifestMissing: samples or corpus are damaged.
    """
    if not path.exists():
        raise InputError(f"the suite {path} does not exist")
    name = name or path.resolve().name
    if (path / SAMPLES_MANIFEST).exists():
        return _from_samples(path, name, options, known)
    if (path / MANIFEST).exists():
        return _from_corpus(path, name, options, pool)
    return _from_files(path, name, options, toolchain, pool, scratch, notify)


def _from_samples(path: Path, name: str, options: SuiteOptions, known: Collection[str]) -> Suite:
    light = [column for column in COLUMNS if column not in ("bitcode", "text")]
    chosen: dict[str, Sample] = {}
    available = 0
    for architecture in ARCHITECTURES:
        if options.architecture not in ("", architecture):
            continue
        samples = list(
            load_samples(path, split=options.split, architecture=architecture, columns=light)
        )
        samples = [one for one in samples if one.kind == options.kind] or samples
        available += len(samples)
        for sample in choose_modules(
            samples,
            limit=options.modules or max(1, len(samples)),
            seed=options.seed,
            min_size_bytes=options.min_size_bytes,
            max_size_bytes=options.max_size_bytes,
            max_package_share=0.1 if options.modules else 1.0,
            known=known,
        ):
            chosen[sample.module_hash] = sample
    if not chosen:
        raise InputError(
            f"{path} has no sample of split '{options.split}' "
            + (f"for {options.architecture} " if options.architecture else "")
            + f"with at least {options.min_size_bytes} bytes"
            + (f" and at most {options.max_size_bytes}" if options.max_size_bytes else "")
        )
    whole = {
        sample.module_hash: sample
        for sample in load_samples(path, split=options.split)
        if sample.module_hash in chosen
    }
    modules = [
        EvaluationModule(
            suite=name,
            name=f"{one.package}/{one.function or one.source} ({one.architecture})",
            program=one.package,
            bitcode=one.bitcode,
            module_hash=one.module_hash,
            target_triple=one.target_triple,
            num_functions=one.num_functions,
            num_instructions=one.num_instructions,
            text=one.text,
        )
        for one in (whole[module_hash] for module_hash in chosen)
    ]
    how = (
        f"drawn with seed {options.seed}, in turn from each package, no package more than a tenth"
        if options.modules
        else "all of them"
    )
    limits = f"at least {options.min_size_bytes} bytes"
    if options.max_size_bytes:
        limits += f" and at most {options.max_size_bytes}"
    what = (
        f"{len(modules)} of {available} samples of split '{options.split}' with {limits}, {how}; "
        "the baseline is default<Oz> in process"
    )
    return Suite(name=name, what=what, modules=modules, excluded=[])


def _from_corpus(path: Path, name: str, options: SuiteOptions, pool: WorkerPool) -> Suite:
    found = corpus_modules(
        path, split=options.split, limit=options.modules or None, seed=options.seed
    )
    suite = Suite(
        name=name,
        what=f"{len(found)} units of split '{options.split}' of a corpus, spread evenly over its "
        "packages; the baseline is default<Oz> in process",
        modules=[],
        excluded=[],
    )
    jobs = [InspectJob(inputs=(one.bitcode,), names=(one.name,)) for one in found]
    for one, (inspection, *_) in zip(found, run_jobs(pool, jobs), strict=True):
        made = module_of_bitcode(name, one.name, one.package, one.bitcode, inspection)
        if isinstance(made, Excluded):
            suite.excluded.append(made)
        else:
            suite.modules.append(made)
    return suite


def module_of_bitcode(
    suite: str, name: str, program: str, bitcode: bytes, inspection: object
) -> EvaluationModule | Excluded:
    """Return a module that is measured in process, by what LLVM says of it (an `Inspection`)."""
    from llm_compiler.llvm.jobs import Inspection

    assert isinstance(inspection, Inspection)
    if not inspection.functions:
        return Excluded(suite=suite, name=name, cause=inspection.detail or "it has no function")
    return EvaluationModule(
        suite=suite,
        name=name,
        program=program,
        bitcode=bitcode,
        target_triple=inspection.target_triple,
        num_functions=len(inspection.functions),
        num_instructions=inspection.num_instructions,
    )


# -- the user's own files ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    flags: tuple[str, ...]
    added: tuple[str, ...] = ()
    """What was tried beyond the suite's own flags."""


_Compiled = tuple[_Source, Unit | LlmCompilerError]


def _from_files(
    path: Path,
    name: str,
    options: SuiteOptions,
    toolchain: Toolchain,
    pool: WorkerPool,
    scratch: Path,
    notify: Callable[[str], None],
) -> Suite:
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
        for one in done:
            changed = None
            if isinstance(one[1], LlmCompilerError):
                changed = change(one[0], root, headers, one[1])
            if changed is None:
                kept.append(one)
            else:
                again.append(changed)
                before.append(one)
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
    for source, unit in sorted(done, key=lambda one: str(one[0].path)):
        _take(suite, source, unit, root, part_of=parts.get(source.path))
    weak = [
        one.name
        for one in suite.modules
        if one.unit is not None
        and one.unit.source.suffix in IR_SUFFIXES
        and one.unit.inspection.functions_without_minsize
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
    for one in read_compile_commands(database):
        if one.path.suffix not in C_SUFFIXES + IR_SUFFIXES or not one.path.is_file():
            continue
        source = _Source(one.path, (*_absolute(one.flags, one.directory), *flags))
        if source not in seen:
            seen.add(source)
            yield source


_FOLDER_FLAGS = ("-isystem", "-iquote", "-idirafter", "-include", "-imacros", "-I")


def _absolute(flags: Sequence[str], folder: Path) -> Iterator[str]:
    rest = iter(flags)
    for flag in rest:
        prefix = next((one for one in _FOLDER_FLAGS if flag.startswith(one)), None)
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


def _num_shared(one: Path, other: Path) -> int:
    """Count the folders that two paths have in common."""
    shared = os.path.commonpath((os.path.abspath(one), os.path.abspath(other)))
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
