"""What a call of ``llm-cc`` asks for: objects that can be made smaller, a link, or clang itself.

Nothing is guessed: a call is taken only if each of its arguments is known (`words`) to have no
other effect than on objects, diagnostics and dependency files. All else is `PassOn`, and goes to
clang as it stands. Knows nothing of how anything is run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from llm_compiler.cc.link import Link, parse_link
from llm_compiler.cc.settings import CcSettings, Mode
from llm_compiler.cc.words import Input, NotUnderstood, Words, sort_words
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.clang_flags import ClangFlags, expand_response_files, parse_clang_flags
from llm_compiler.llvm.targets import front_end_flags

__all__ = ["STDIN", "Compilation", "Kind", "PassOn", "Relink", "Several", "classify"]

STDIN = "-"
_C_SUFFIXES = frozenset((".c",))
_CPP_SUFFIXES = frozenset((".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP"))
_LANGUAGES = frozenset(("c", "c++"))
_TINY_BYTES = 64
"""A source of so few bytes asks whether something compiles; there is nothing to save in it."""

# Clang writes or reads more with these in its environment.
_ENVIRONMENT = (
    "CCC_OVERRIDE_OPTIONS",
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    "CC_PRINT_OPTIONS",
    "CC_PRINT_HEADERS",
    "CC_LOG_DIAGNOSTICS",
    "CC_PRINT_PROC_STAT",
    "CC_PRINT_INTERNAL_STAT",
    "CLANG_CRASH_DIAGNOSTICS_DIR",
    "LLM_CC_DISABLE",
)
# How build systems find out what a compiler can do. They compare what it prints, and throw away
# what it makes.
_FEATURE_TEST = re.compile(
    r"(^|/)(conftest[^/]*|CMakeC(XX)?CompilerId\.[^/]*|CMakeFiles/CMakeTmp/.*|CMakeFiles/CMakeScratch/.*"
    r"|CMakeFiles/ShowIncludes/.*|CompilerIdC(XX)?/.*|meson-private/.*|sanitycheckc(pp)?\.[^/]*"
    r"|testfile\.c(pp)?|\.conf_check_[^/]*/.*|test-compile-[^/]*)$"
)
# A second link would write these again, or not be what the first one was.
_LINKED_ONCE = re.compile(
    r"^(-Wl,.*(-Map|-M(,|$)|--dependency-file|--out-implib|--print|--trace|-t(,|$)"
    r"|--verbose|--reproduce|--cref|-r(,|$)|--relocatable).*|-r|-flto.*)$"
)


# What `clang_flags` says of flags that are taken care of here.
_EXPECTED_NOTE = re.compile(r"^(.* is overridden|-gsplit-dwarf(=split)? is left out)")


class Kind(StrEnum):
    """What a unit is made into."""

    OBJECT = "object"
    ASSEMBLY = "assembly"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOn:
    """A call that clang answers alone."""

    reason: str
    is_plain: bool = True
    """False: a compilation that would be optimised, had it not this one flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """One source, and what is to be made of it."""

    source: str
    """As the call names it."""
    output: str
    kind: Kind = Kind.OBJECT
    language: str = ""
    """What ``-x`` says of the source."""
    preprocess: tuple[str, ...]
    """Arguments that preprocess the source to standard output, and say nothing of dependencies."""
    compile: tuple[str, ...]
    """Arguments that write clang's own object to standard output."""
    bitcode: tuple[str, ...]
    """Arguments that write unoptimised bitcode to standard output."""
    dependency_file: str = ""
    """Which file the call writes for make; empty: none."""
    dependencies: tuple[str, ...] = ()
    """The arguments that ask for it, without its name."""
    level: str
    """``-Oz``, ``-Os``, ...: what the user asked of clang."""
    flags: ClangFlags
    significant: tuple[str, ...]
    """The arguments that matter to the object beside the preprocessed source."""
    prefix_maps: tuple[tuple[str, str], ...] = ()
    """Of paths in the object: (old, new), the last first."""
    keeps_folder: bool = False
    """Whether the object names the folder that the compiler was started in."""
    precompiled: tuple[str, ...] = ()
    """Headers that were compiled before: the preprocessed source does not show what is in them."""
    splits_debug: bool = False
    """Debug information goes to a file of its own (``-gsplit-dwarf``)."""
    saves_temps: bool = False
    """The assembly is wanted as well (``-save-temps``)."""

    @property
    def reads_stdin(self) -> bool:
        """Whether the source is what the call is given at standard input."""
        return self.source == STDIN

    def is_cxx(self, driver_is_cxx: bool) -> bool:
        """Whether the source is C++, for clang or for clang++."""
        if self.language:
            return self.language == "c++"
        return driver_is_cxx or os.path.splitext(self.source)[1] in _CPP_SUFFIXES

    @property
    def has_side_files(self) -> bool:
        """Whether clang leaves more than the object and a dependency file."""
        return self.splits_debug or self.saves_temps


@dataclass(frozen=True, slots=True, kw_only=True)
class Relink:
    """A link of what the same call compiles: how it is done again from objects."""

    words: tuple[str | int, ...]
    """The arguments but for what names outputs; a number stands for a unit, by its place."""
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """A call that compiles several sources, or links what it compiles."""

    units: tuple[Compilation, ...]
    link: Relink | None = None

    @property
    def reads_stdin(self) -> bool:
        """Whether one of the sources is what the call is given at standard input."""
        return any(unit.reads_stdin for unit in self.units)


def classify(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], settings: CcSettings
) -> Compilation | Several | Link | PassOn:
    """Say what a call asks for.

    Args:
        arguments: clang's, without its own name.
        folder: where the call is made.
    """
    for name in _ENVIRONMENT:
        if environment.get(name, "") not in ("", "0"):
            return PassOn(reason=f"{name} is set")
    try:
        expanded = list(expand_response_files(arguments, folder=folder))
    except ConfigError as error:
        return PassOn(reason=str(error))
    if settings.mode is Mode.LTO and "-c" not in expanded:
        link = parse_link(expanded)
        if isinstance(link, Link):
            return link
    try:
        words = sort_words(expanded)
        if len(words.inputs) == 1 and words.kind:
            return _only_unit(words, folder, settings)
        return _several(words, expanded, folder, settings)
    except _PassOn as reason:
        return PassOn(reason=str(reason), is_plain=reason.is_plain)
    except NotUnderstood as error:
        return PassOn(reason=str(error), is_plain=False)


class _PassOn(Exception):
    def __init__(self, reason: str, *, is_plain: bool = True) -> None:
        super().__init__(reason)
        self.is_plain = is_plain


def _only_unit(words: Words, folder: Path, settings: CcSettings) -> Compilation:
    if words.num_kinds != 1:
        raise _PassOn("it asks for an object or for assembly more than once", is_plain=False)
    if words.language_after_inputs:
        raise _PassOn("-x after the source")
    (source,) = words.inputs
    kind = Kind.OBJECT if words.kind == "-c" else Kind.ASSEMBLY
    output = words.output or _named_after(source.word, kind)
    if output == "-":
        raise _PassOn("what it makes goes to standard output")
    if kind is Kind.ASSEMBLY and (words.splits_debug or words.saves_temps):
        raise _PassOn("assembly with further files beside it", is_plain=False)
    asked = {"-MD", "-MMD"} & {*words.dependencies}
    if not asked and (words.dependencies or words.dependency_file):
        raise _PassOn("it says how to write dependencies, but not that", is_plain=False)
    dependencies = list(words.dependencies)
    dependency_file = ""
    if asked:
        dependency_file = words.dependency_file or str(Path(output).with_suffix(".d"))
        if not any(dependency.startswith(("-MT", "-MQ")) for dependency in dependencies):
            dependencies += ["-MQ", output]
    words.flags += words.linker  # clang warns of them
    return replace(
        _unit(words, source, output, kind, folder, settings),
        dependency_file=dependency_file,
        dependencies=tuple(dependencies),
    )


def _several(words: Words, arguments: Sequence[str], folder: Path, settings: CcSettings) -> Several:
    """Return the units of a call that clang carries out as it stands, before all else."""
    if words.num_kinds > 1:
        raise _PassOn("it asks for an object or for assembly more than once", is_plain=False)
    if words.saves_temps or words.splits_debug:
        raise _PassOn("several sources or a link with further files beside them", is_plain=False)
    kind = Kind.ASSEMBLY if words.kind == "-S" else Kind.OBJECT
    units: list[Compilation] = []
    positions: dict[int, int] = {}
    for source in words.inputs:
        try:
            output = _named_after(source.word, kind) if words.kind else ""
            unit = _unit(words, source, output, kind, folder, settings)
        except _PassOn as reason:
            if not reason.is_plain:
                raise
            continue  # an object, or a source that is left to clang
        positions[source.at] = len(units)
        units.append(unit)
    if not units:
        raise _PassOn("it compiles nothing")
    if words.kind:
        outputs = [compilation.output for compilation in units]
        if words.output or len(set(outputs)) != len(outputs):
            raise _PassOn("several sources would be one output")
        return Several(units=tuple(units))
    if any(_LINKED_ONCE.match(word) for word in (*words.linker, *words.flags)):
        raise _PassOn("its link may not be done again", is_plain=False)
    output = words.output or "a.out"
    if output == "-":
        raise _PassOn("what it makes goes to standard output")
    again: list[str | int] = []
    for at, word in enumerate(arguments):
        if at in positions:
            again.append(positions[at])
        elif at not in words.dropped:
            again.append(word)
    return Several(units=tuple(units), link=Relink(words=tuple(again), output=output))


def _named_after(source: str, kind: Kind) -> str:
    """Return the output that clang names by itself."""
    return Path(source).stem + (".o" if kind is Kind.OBJECT else ".s")


def _unit(
    words: Words, source: Input, output: str, kind: Kind, folder: Path, settings: CcSettings
) -> Compilation:
    if refusal := _refused_source(source, folder):
        raise _PassOn(refusal)
    if not settings.wants(words.level):
        raise _PassOn(f"at {words.level or '-O0'} nothing is asked of llm-cc")
    language = ("-x", source.language) if source.language else ()
    try:
        flags = parse_clang_flags((*words.flags, *language))
    except ConfigError as error:
        raise _PassOn(str(error), is_plain=False) from error
    if flags.kind:
        raise _PassOn(f"it asks for {flags.kind}", is_plain=False)
    if flags.baseline_only:
        raise _PassOn(f"{flags.baseline_only} is carried out by clang's own passes", is_plain=False)
    notes = [note for note in flags.notes if not _EXPECTED_NOTE.match(note)]
    if notes:
        raise _PassOn(notes[0], is_plain=False)
    all_words = (*words.flags, *language, source.word)
    level = words.level
    # The user's own flags follow, and may take it back.
    left_open = () if "-pg" in flags.kept else front_end_flags(flags.target)
    passes_off = ("-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm")
    return Compilation(
        source=source.word,
        output=output,
        kind=kind,
        language=source.language,
        preprocess=(*all_words, "-E", "-o", "-"),
        compile=(*all_words, "-c", "-o", "-"),
        bitcode=(*left_open, *all_words, *passes_off, "-c", "-o", "-"),
        level=level,
        flags=flags,
        significant=(*words.significant, *language),
        prefix_maps=tuple(words.prefix_maps),
        keeps_folder=words.debug and not words.folder_is_named,
        precompiled=_precompiled(words, folder),
        splits_debug=words.splits_debug,
        saves_temps=words.saves_temps,
    )


def _precompiled(words: Words, folder: Path) -> tuple[str, ...]:
    """Return the files of precompiled headers that clang takes in the place of headers."""
    found = list(words.precompiled)
    for name in words.included:
        for suffix in (".pch", ".gch"):
            path = folder / (name + suffix)
            if path.is_dir():
                raise _PassOn(f"{name}{suffix} is a folder of precompiled headers", is_plain=False)
            if path.exists():
                found.append(name + suffix)
    return tuple(found)


def _refused_source(source: Input, folder: Path) -> str:
    """Say why a source is left to clang; empty: it is not."""
    suffix = os.path.splitext(source.word)[1]
    if source.language:
        if source.language not in _LANGUAGES:
            return f"the language is {source.language}"
    elif suffix not in _C_SUFFIXES | _CPP_SUFFIXES:
        return f"{source.word} is neither C nor C++ by its name"
    if source.word == STDIN:
        return ""
    path = folder / source.word
    if _FEATURE_TEST.search(source.word) or _FEATURE_TEST.search(str(path)):
        return "it is a feature test of a build system"
    try:
        found = path.stat()
    except OSError as error:
        return f"{source.word}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{source.word} is no plain file"
    return "the source is tiny" if found.st_size < _TINY_BYTES else ""
