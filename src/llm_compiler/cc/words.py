"""The words of a call of ``llm-cc``, sorted by what to do with them.

What is not known to have no other effect than on objects, diagnostics and dependency files is named
as the reason why clang answers alone. Knows nothing of how anything is run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_compiler.llvm.clang_flags import takes_value

__all__ = ["Input", "NotUnderstood", "Words", "sort_words"]

# What else than the object these make, print, or read cannot be seen from the preprocessed source.
_NOT_UNDERSTOOD = re.compile(
    r"^(--|-v|--verbose|-H|-P|-C|-CC|-dD|-dI|-dM|-fdirectives-only|-fminimize-whitespace|-frewrite.*"
    r"|-R.*|-ftime-.*|--?config.*|-f(no-)?module.*|-fimplicit-module.*|-fprebuilt.*|-fcxx-module.*"
    r"|-fpch.*|-emit-pch|-building-pch.*|-x.*-header|-f?no-integrated-as|-fno-integrated-as"
    r"|-f?record-.*|-grecord.*|-frecord.*|-ffat-lto.*|-fwhole-program.*|-fstack-size-section"
    r"|-arch|-Xarch.*|-offload.*|--offload.*|--cuda.*|-foffload.*|-fopenmp-targets.*|-emit-.*|-Xassembler"
    r"|-Xpreprocessor|-specs.*|--specs.*|-wrapper|-fverify.*|-verify.*|-working-directory.*"
    r"|-fdiagnostics-format=.*|-fsplit-dwarf.*|-fms-(?!extensions$).*|-bundle.*|-mllvm.*|-mmlir|-ivfsoverlay"
    r"|-fcrash-.*|-gen-.*|-fgen-.*|-dump.*|-ccc-.*|-fsycl.*|-fhlsl.*|-fembed-.*|-fthinlto.*|-fuse-ctor.*"
    r"|-fplugin.*|-fpass-plugin.*|-working-directory|-fuse-line-directives|-fdebug-macro"
    r"|-fintegrated-cc1.*|-fno-integrated-cc1|-E|--preprocess|-###|-fsyntax-only)$"
)
_ASSEMBLER = frozenset(("-Wa,--noexecstack", "-Wa,--fatal-warnings"))
_PREPROCESSOR = re.compile(r"^-Wp(,-[DU][^,]*)+$")
_KBUILD_DEPENDENCY = re.compile(r"^-Wp,(-MM?D)(?:,([^,]+))?$")
"""What clang's driver takes for ``-MD -MF FILE``, as Kbuild and what grew from it write it."""
_LEVEL = re.compile(r"^-O([0-9]+|[sgz]|fast)?$")
_DEPENDENCIES = ("-MD", "-MMD", "-MP", "-MV")
# What these do is seen in the preprocessed source.
_FINDS_SOURCE = re.compile(
    r"^(-I|-D|-U|-isystem|-iquote|-idirafter|-include$|-imacros|-iprefix|-iwithprefix"
    r"|-cxx-isystem|-stdlib\+\+-isystem|-pipe$|-Wp,)"
)
_PREFIX_MAP = re.compile(r"^-f(?:file|debug|macro)-prefix-map=([^=]*)=(.*)$", re.DOTALL)
_SAVES_TEMPS = re.compile(r"^--?save-temps(=(cwd|obj))?$")
# What only the linker is given, and no compiler of one unit.
_LINKER = re.compile(
    r"^(-shared|-r|-s|-rdynamic|-nostartfiles|-nodefaultlibs|-nostdlib(\+\+)?|-nolibc|-static-lib.*"
    r"|-l.*|-L.*|-Wl,.*|-fuse-ld=.*|--ld-path=.*|--?rtlib=.*|--?unwindlib=.*|-z|-u|-e|-T.*|-Xlinker"
    r"|-rpath)$"
)


class NotUnderstood(Exception):
    """A word that is not known to do no harm, or that lacks its value: clang answers alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file that a call names."""

    word: str
    at: int
    """Its place among the arguments."""
    language: str
    """What ``-x`` says of it; empty: its name decides."""


@dataclass(slots=True)
class Words:
    """The arguments of a call."""

    inputs: list[Input] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    """All that is for every compiler of a unit; ``-x`` is not among them."""
    linker: list[str] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    """Places of what names outputs and dependencies, for a link that is done again."""
    output: str = ""
    level: str = ""
    debug: bool = False
    num_kinds: int = 0
    """How often ``-c`` and ``-S`` are there."""
    kind: str = ""
    """``-c`` or ``-S``; empty: the call links."""
    dependencies: list[str] = field(default_factory=list)
    dependency_file: str = ""
    significant: list[str] = field(default_factory=list)
    """What matters to an object beside the preprocessed source."""
    prefix_maps: list[tuple[str, str]] = field(default_factory=list)
    folder_is_named: bool = False
    """By a flag, so that the folder of the call does not matter."""
    saves_temps: bool = False
    splits_debug: bool = False
    included: list[str] = field(default_factory=list)
    """What ``-include`` names: a precompiled header may lie beside it."""
    precompiled: list[str] = field(default_factory=list)
    language_after_inputs: bool = False


def sort_words(arguments: Sequence[str]) -> Words:
    """Sort the arguments of a call.

    Raises:
        NotUnderstood: clang must answer, and why.
    """
    words = Words()
    language = ""
    index = 0
    while index < len(arguments):
        word, at = arguments[index], index
        index += 1
        if match := _KBUILD_DEPENDENCY.match(word):
            words.dropped.add(at)
            words.dependencies.append(match[1])
            words.dependency_file = match[2] or words.dependency_file
            continue
        if (
            _NOT_UNDERSTOOD.match(word)
            or (word.startswith("-Wa,") and word not in _ASSEMBLER)
            or (word.startswith("-Wp,") and not _PREPROCESSOR.match(word))
        ):
            raise NotUnderstood(f"{word} is not understood")
        value = ""
        if takes_value(word):
            if index == len(arguments):
                raise NotUnderstood(f"{word} lacks its value")
            value = arguments[index]
            index += 1
        if word in ("-o", "--output"):
            words.output = value
            words.dropped |= {at, at + 1}
        elif word.startswith("--output=") or (
            word.startswith("-o") and len(word) > 2 and not word.startswith("-obj")
        ):
            words.output = word.removeprefix("--output=").removeprefix("-o")
            words.dropped.add(at)
        elif word in ("-c", "-S"):
            words.num_kinds += 1
            words.kind = word
        elif word.startswith("-M"):
            _take_dependency(words, word, value, at)
        elif word == "-" or not word.startswith("-"):
            words.inputs.append(Input(word=word, at=at, language=language))
        elif word in ("-x", "--language"):
            language = "" if value == "none" else value
            words.language_after_inputs |= bool(words.inputs)
        elif word.startswith("-x"):
            raise NotUnderstood(f"{word} is not understood")
        else:
            _take_flag(words, word, value)
    return words


def _take_dependency(words: Words, word: str, value: str, at: int) -> None:
    words.dropped.add(at)
    if word == "-MF":
        words.dependency_file = value
        words.dropped.add(at + 1)
    elif word.startswith("-MF"):
        words.dependency_file = word[3:]
    elif word in ("-MT", "-MQ"):
        words.dependencies += [word, value]
        words.dropped.add(at + 1)
    elif word.startswith(("-MT", "-MQ")) or word in _DEPENDENCIES:
        words.dependencies.append(word)
    else:
        raise NotUnderstood(f"{word} is not understood")


def _take_flag(words: Words, word: str, value: str) -> None:
    both = [word, value] if takes_value(word) else [word]
    if _SAVES_TEMPS.match(word):
        words.saves_temps = True
        return
    if _LINKER.match(word):
        words.linker += both
        return
    words.flags += both
    if word == "-include":
        words.included.append(value)
    elif word == "-include-pch":
        words.precompiled.append(value)
    if _LEVEL.match(word):
        words.level = word
    if word.startswith("-g"):
        words.debug = word not in ("-g0", "-ggdb0")
    if word.startswith("-gsplit-dwarf"):
        words.splits_debug = True
    if word.startswith("-fdebug-compilation-dir"):
        words.folder_is_named = True
    if match := _PREFIX_MAP.match(word):
        words.prefix_maps.insert(0, (match[1], match[2]))
        words.significant.append(f"-prefix-map={match[2]}")
    elif not _FINDS_SOURCE.match(word):
        words.significant += both
