"""What a call of ``llm-cc`` asks for: one object that can be made smaller, a link, or clang itself.

Nothing is guessed: a call is a `Compilation` only if each of its arguments is known to have no
other effect than on the object, its diagnostics and its dependency file. All else is `PassOn`, and
goes to clang as it stands. Knows nothing of how anything is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.cc.link import Link, parse_link
from llm_compiler.cc.settings import CcSettings, Mode
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.clang_flags import (
    ClangFlags,
    expand_response_files,
    parse_clang_flags,
    takes_value,
)

__all__ = ["Compilation", "PassOn", "classify"]

_C_SUFFIXES = frozenset((".c",))
_CPP_SUFFIXES = frozenset((".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP"))
_LANGUAGES = frozenset(("c", "c++"))
_LEVEL = re.compile(r"^-O([0-9]+|[sgz]|fast)?$")
_TINY_BYTES = 64
"""A source of so few bytes asks whether something compiles; there is nothing to save in it."""

# What else than the object these make, print, or read cannot be seen from the preprocessed source.
_NOT_UNDERSTOOD = re.compile(
    r"^(--|-|-v|--verbose|-H|-P|-C|-CC|-dD|-dI|-dM|-fdirectives-only|-fminimize-whitespace|-frewrite.*"
    r"|-R.*|-ftime-.*|--?config.*|-f(no-)?module.*|-fimplicit-module.*|-fprebuilt.*|-fcxx-module.*"
    r"|-include-pch|-fpch.*|-emit-pch|-building-pch.*|-x.*-header|-f?no-integrated-as|-fno-integrated-as"
    r"|-f?record-.*|-grecord.*|-frecord.*|-ffat-lto.*|-fwhole-program.*|-fstack-size-section"
    r"|-arch|-Xarch.*|-offload.*|--offload.*|--cuda.*|-foffload.*|-fopenmp-targets.*|-emit-.*|-Xassembler"
    r"|-Xpreprocessor|-specs.*|--specs.*|-wrapper|-fverify.*|-verify.*|-working-directory.*"
    r"|-fdiagnostics-format=.*|-fsplit-dwarf.*|-gsplit.*|-fms-.*|-bundle.*|-mllvm.*|-mmlir|-ivfsoverlay"
    r"|-fcrash-.*|-gen-.*|-fgen-.*|-dump.*|-ccc-.*|-fsycl.*|-fhlsl.*|-fembed-.*|-fthinlto.*|-fuse-ctor.*"
    r"|-fplugin.*|-fpass-plugin.*|-working-directory|-fuse-line-directives|-g(gdb)?3|-fdebug-macro"
    r"|-fintegrated-cc1.*|-fno-integrated-cc1)$"
)
_ASSEMBLER = frozenset(("-Wa,--noexecstack", "-Wa,--fatal-warnings"))
_PREPROCESSOR = re.compile(r"^-Wp,-[DU][^,]*$")
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
_DEPENDENCIES = ("-MD", "-MMD", "-MP", "-MV")
# What these do is seen in the preprocessed source.
_FINDS_SOURCE = re.compile(
    r"^(-I|-D|-U|-isystem|-iquote|-idirafter|-include|-imacros|-iprefix|-iwithprefix"
    r"|-cxx-isystem|-stdlib\+\+-isystem|-pipe$|-Wp,|-c$)"
)
_PREFIX_MAP = re.compile(r"^-f(?:file|debug|macro)-prefix-map=([^=]*)=(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOn:
    """A call that clang answers alone."""

    reason: str
    is_plain: bool = True
    """False: a compilation that would be optimised, had it not this one flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """A call that makes one object of one source."""

    source: str
    """As the call names it."""
    output: str
    preprocess: tuple[str, ...]
    """Arguments that preprocess the source to standard output, and say nothing of dependencies."""
    bitcode: tuple[str, ...]
    """Arguments that write unoptimised bitcode to standard output."""
    dependency_file: str
    """Which file the call writes for make; empty: none."""
    dependencies: tuple[str, ...]
    """The arguments that ask for it, without its name."""
    level: str
    """``-Oz``, ``-Os``, ...: what the user asked of clang."""
    flags: ClangFlags
    significant: tuple[str, ...]
    """The arguments that matter to the object beside the preprocessed source."""
    prefix_maps: tuple[tuple[str, str], ...]
    """Of paths in the object: (old, new), the last first."""
    keeps_folder: bool
    """Whether the object names the folder that the compiler was started in."""


def classify(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], settings: CcSettings
) -> Compilation | Link | PassOn:
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
    if "-c" in expanded:
        return _compilation(expanded, folder, settings)
    if settings.mode is Mode.LTO:
        link = parse_link(expanded)
        return link if isinstance(link, Link) else PassOn(reason=link)
    return PassOn(reason="it does not ask for an object (-c)")


@dataclass(slots=True)
class _Words:
    """The arguments of a call, sorted by what to do with them."""

    inputs: list[str]
    output: str = ""
    language: str = ""
    level: str = ""
    debug: bool = False
    dependency_file: str = ""
    num_objects: int = 0


def _compilation(arguments: list[str], folder: Path, settings: CcSettings) -> Compilation | PassOn:
    words = _Words([])
    plain: list[str] = []
    dependencies: list[str] = []
    significant: list[str] = []
    maps: list[tuple[str, str]] = []
    keeps_folder_as: str | None = None
    rest = iter(arguments)
    for word in rest:
        if _NOT_UNDERSTOOD.match(word):
            return PassOn(reason=f"{word} is not understood", is_plain=False)
        if word.startswith("-Wa,") and word not in _ASSEMBLER:
            return PassOn(reason=f"{word} is not understood", is_plain=False)
        if word.startswith("-Wp,") and not _PREPROCESSOR.match(word):
            return PassOn(reason=f"{word} is not understood", is_plain=False)
        value = ""
        if takes_value(word):
            following = next(rest, None)
            if following is None:
                return PassOn(reason=f"{word} lacks its value")
            value = following
        if word in ("-o", "--output"):
            words.output = value
        elif word.startswith("--output=") or (
            word.startswith("-o") and len(word) > 2 and not word.startswith("-obj")
        ):
            words.output = word.removeprefix("--output=").removeprefix("-o")
        elif word == "-c":
            words.num_objects += 1
        elif word == "-MF":
            words.dependency_file = value
        elif word.startswith("-MF"):
            words.dependency_file = word[3:]
        elif word in ("-MT", "-MQ"):
            dependencies += [word, value]
        elif word.startswith(("-MT", "-MQ")) or word in _DEPENDENCIES:
            dependencies.append(word)
        elif word.startswith("-M"):
            return PassOn(reason=f"{word} is not understood", is_plain=False)
        elif not word.startswith("-"):
            words.inputs.append(word)
            plain.append(word)
        else:
            plain += [word, value] if takes_value(word) else [word]
            if word == "-x":
                if words.inputs:
                    return PassOn(reason="-x after the source")
                words.language = value
            elif _LEVEL.match(word):
                words.level = word
            if word.startswith("-g"):
                words.debug = word not in ("-g0", "-ggdb0")
            if word.startswith("-fdebug-compilation-dir"):
                keeps_folder_as = word
            if match := _PREFIX_MAP.match(word):
                maps.insert(0, (match[1], match[2]))
                significant.append(f"-prefix-map={match[2]}")
            elif not _FINDS_SOURCE.match(word):
                significant += [word, value] if takes_value(word) else [word]
    if words.num_objects != 1 or len(words.inputs) != 1:
        return PassOn(reason="it does not compile exactly one source", is_plain=False)
    source = words.inputs[0]
    if refusal := _refused_source(source, words.language, folder):
        return PassOn(reason=refusal)
    if not settings.wants(words.level):
        return PassOn(reason=f"at {words.level or '-O0'} nothing is asked of llm-cc")
    try:
        flags = parse_clang_flags(_without(plain, source))
    except ConfigError as error:
        return PassOn(reason=str(error), is_plain=False)
    if flags.kind:
        return PassOn(reason=f"it asks for {flags.kind}", is_plain=False)
    if flags.baseline_only:
        return PassOn(reason=f"{flags.baseline_only} is carried out by clang's own passes")
    notes = [one for one in flags.notes if "is overridden" not in one]
    if notes:
        return PassOn(reason=notes[0], is_plain=False)
    output = words.output or Path(source).stem + ".o"
    if output == "-":
        return PassOn(reason="the object goes to standard output")
    dependency_file = ""
    if not {"-MD", "-MMD"} & {*dependencies}:
        if dependencies or words.dependency_file:
            return PassOn(reason="it says how to write dependencies, but not that", is_plain=False)
    else:
        dependency_file = words.dependency_file or str(Path(output).with_suffix(".d"))
        if not any(one.startswith(("-MT", "-MQ")) for one in dependencies):
            dependencies += ["-MQ", output]
    return Compilation(
        source=source,
        output=output,
        preprocess=(*plain, "-E", "-o", "-"),
        bitcode=(*plain, "-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c", "-o", "-"),
        dependency_file=dependency_file,
        dependencies=tuple(dependencies),
        level=words.level,
        flags=flags,
        significant=tuple(significant),
        prefix_maps=tuple(maps),
        keeps_folder=words.debug and keeps_folder_as is None,
    )


def _without(words: Sequence[str], source: str) -> list[str]:
    """Return arguments without the source; a value of a flag stays, were it the same text."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if takes_value(word):
            kept += [word, next(rest, "")]
        elif word != source:
            kept.append(word)
    return kept


def _refused_source(source: str, language: str, folder: Path) -> str:
    """Say why a source is left to clang; empty: it is not."""
    suffix = os.path.splitext(source)[1]
    if language:
        if language not in _LANGUAGES:
            return f"the language is {language}"
    elif suffix not in _C_SUFFIXES | _CPP_SUFFIXES:
        return f"{source} is neither C nor C++ by its name"
    if _FEATURE_TEST.search(source) or _FEATURE_TEST.search(str(folder / source)):
        return "it is a feature test of a build system"
    try:
        if (folder / source).stat().st_size < _TINY_BYTES:
            return "the source is tiny"
    except OSError as error:
        return f"{source}: {error.strerror}"
    return ""
