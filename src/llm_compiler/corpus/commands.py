"""Compile commands: read from a compile database, cut down to what the honest baseline keeps.

A `CompileCommand` is relocatable: its folder and source count from the package's root, and flags
name files of the package relative to that folder, so that neither the machine nor the user's home
gets into the bitcode. Runs nothing. Safe in threads and processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.targets import X86_64, known_target

__all__ = [
    "CompileCommand",
    "commands_of_invocation",
    "flags_for_target",
    "language_of",
    "read_compile_commands",
    "unique_commands",
]

_C_SUFFIXES = (".c",)
_CXX_SUFFIXES = (".cc", ".cpp", ".cxx", ".c++", ".C", ".CC", ".CPP")

# Flags that take their value from the next argument, and are kept with it.
_CAPTURED_ON = X86_64
_KEEP_WITH_VALUE = frozenset(
    {"-I", "-isystem", "-iquote", "-idirafter", "-include", "-imacros", "-D", "-U", "-x"}
    | {"-iprefix", "-iwithprefix", "-iwithprefixbefore"}
)
# Flags whose next argument goes with them.
_DROP_WITH_VALUE = frozenset(
    {"-o", "-MF", "-MT", "-MQ", "-MJ", "-L", "-l", "-u", "-z", "-T", "-Xlinker", "-Xassembler"}
    | {"-Xpreprocessor", "-Xclang", "-mllvm", "-arch", "-target", "--param", "-e", "-h", "-G"}
    | {"-dumpdir", "-dumpbase", "-serialize-diagnostics", "--serialize-diagnostics", "-rpath"}
)
_KEEP = re.compile(
    r"-(I|isystem|iquote|idirafter|D|U).+|-std=.*|--std=.*|-ansi|-f.*|-m.*|-pthread|-trigraphs"
    r"|-nostdinc(\+\+)?|-ObjC.*"
)
# -f and -m flags that do not belong to the program but to how it is built, checked or tuned.
_DROP = re.compile(
    r"-f(no-)?(lto|sanitize|profile|coverage|test-coverage|diagnostics|color-diagnostics"
    r"|save-optimization-record|debug|stack-protector|stack-clash|cf-protection|instrument"
    r"|file-prefix-map|macro-prefix-map|xray|use-linker-plugin|fat-lto-objects|var-tracking"
    r"|message-length|max-errors|error-limit|plugin|dump|integrated-as|record-gcc|ident|pch"
    r"|modules|module|stack-usage|time-report|whole-program|uselinkerplugin|time-trace"
    r"|zero-call-used-regs|trivial-auto-var-init|hardened|strict-flex-arrays|crash-diag)([-=].*)?"
    r"|-fsyntax-only|-fdirectives-only|-m(arch|tune|cpu)=.*|-mllvm=.*|-module.*"
)
# What tells apart the shared and the static build of one library, but not their code.
_POSITION = re.compile(r"-f(?:pic|PIC|pie|PIE)")
_LINKAGE = re.compile(
    r"-f(no-)?(pic|PIC|pie|PIE)|-DPIC|-fvisibility.*|-D\w+_(EXPORTS|DLL)(=.*)?|-D\w*SHARED\w*(=.*)?"
    r"|-I.*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCommand:
    """How one translation unit is compiled.

    `source` and `directory` are relative to the package's root (or absolute, where they lie
    outside); `flags` are those that the honest baseline keeps, without language and target.
    """

    directory: str
    source: str
    language: str  # "c" or "c++"
    flags: tuple[str, ...]

    @property
    def slug(self) -> str:
        """A file name for the unit: its source, and a hash that tells its flags apart."""
        text = "\0".join((self.directory, self.source, self.language, *self.flags))
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        stem = re.sub(r"[^A-Za-z0-9._+-]", "_", self.source.replace("/", "__"))
        return f"{stem[-120:]}-{digest}"


def language_of(source: str) -> str | None:
    """Return "c" or "c++" by the suffix of a source file, None for anything else."""
    suffix = os.path.splitext(source)[1]
    if suffix in _C_SUFFIXES:
        return "c"
    return "c++" if suffix in _CXX_SUFFIXES else None


def read_compile_commands(path: Path, *, root: Path) -> list[CompileCommand]:
    """Read a compile_commands.json as CMake, Meson and bear write it.

    Raises:
        ArtifactError: the file cannot be read or is not a compile database.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))
        commands: list[CompileCommand] = []
        for entry in entries:
            arguments = entry.get("arguments") or shlex.split(entry["command"])
            directory = os.path.join(path.parent, entry["directory"])
            commands += commands_of_invocation(arguments[1:], directory, root=root)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is not a compile database: {error!r}") from error
    return commands


def commands_of_invocation(
    arguments: Sequence[str], directory: str, *, root: Path
) -> list[CompileCommand]:
    """Return the units that one call of a compiler compiles: none for a link, several for many.

    Args:
        arguments: what the compiler was given, without its own name.
        directory: absolute; the folder it ran in.
    """
    sources: list[tuple[str, str]] = []
    flags: list[str] = []
    forced: str | None = None
    compiles = True
    iterator = iter(_expand_response_files(arguments, directory))
    for argument in iterator:
        if argument in ("-E", "-M", "-MM", "-S", "-fsyntax-only") or argument.startswith("-print"):
            compiles = False
        elif argument in _DROP_WITH_VALUE:
            next(iterator, None)
        elif argument in _KEEP_WITH_VALUE:
            value = next(iterator, "")
            if argument == "-x":
                forced = value
            elif argument in ("-D", "-U"):
                flags.append(argument + _neutral_define(value, root))
            else:
                flags += [argument, _relative(value, directory, root)]
        elif argument.startswith("-x") and len(argument) > 2:
            forced = argument[2:]
        elif argument.startswith("-"):
            if _KEEP.fullmatch(argument) and not _DROP.fullmatch(argument):
                flags.append(_relocate(argument, directory, root))
        else:
            language = forced if forced in ("c", "c++") else language_of(argument)
            if language is not None:
                sources.append((argument, language))
    if not compiles:
        return []
    return [
        CompileCommand(
            directory=_within(directory, root),
            source=_within(os.path.join(directory, source), root),
            language=language,
            flags=tuple(flags),
        )
        for source, language in sources
    ]


def unique_commands(commands: Iterable[CompileCommand]) -> list[CompileCommand]:
    """Drop repeated commands; of a unit built for a shared and a static library, keep the first."""
    seen: set[tuple[str, ...]] = set()
    kept = []
    for command in commands:
        flags = list(command.flags)
        while "-I" in flags:
            position = flags.index("-I")
            del flags[position : position + 2]
        plain = tuple(flag for flag in flags if not _LINKAGE.fullmatch(flag))
        key = (command.source, command.language, *plain)
        if key not in seen:
            seen.add(key)
            kept.append(command)
    return kept


def flags_for_target(flags: Sequence[str], target_triple: str) -> tuple[str, ...]:
    """Return the flags that make sense for a target.

    Commands are captured on an x86-64 machine: its -m flags and its own header folders mean
    nothing, or something wrong, on another architecture. Firmware is linked to fixed addresses.
    """
    record = known_target(target_triple)
    if record is _CAPTURED_ON:
        return tuple(flags)
    is_bare_metal = record is not None and record.is_bare_metal
    kept: list[str] = []
    iterator = iter(flags)
    for flag in iterator:
        if flag.startswith("-m") or (is_bare_metal and _POSITION.fullmatch(flag)):
            continue
        if flag in _KEEP_WITH_VALUE:
            value = next(iterator, "")
            if not _is_system_folder(value):
                kept += [flag, value]
        elif not (flag.startswith("-I") and _is_system_folder(flag[2:])):
            kept.append(flag)
    return tuple(kept)


def _is_system_folder(path: str) -> bool:
    return path.startswith(("/usr/include", "/usr/lib", "/usr/local/include"))


def _within(path: str, root: Path) -> str:
    normal = os.path.normpath(path)
    relative = os.path.relpath(normal, root)
    return normal if relative.startswith("..") else relative


def _relative(value: str, directory: str, root: Path) -> str:
    """Name a file or folder of the package relative to the command's folder."""
    if not value.startswith("/"):
        return value
    return value if _within(value, root).startswith("/") else os.path.relpath(value, directory)


def _neutral_define(value: str, root: Path) -> str:
    return value.replace(f"{root}", f"/usr/src/{root.name}")


def _relocate(flag: str, directory: str, root: Path) -> str:
    for prefix in ("-isystem", "-iquote", "-idirafter", "-I"):
        if flag.startswith(prefix):
            return prefix + _relative(flag[len(prefix) :], directory, root)
    return _neutral_define(flag, root) if flag[:2] in ("-D", "-U") else flag


def _expand_response_files(arguments: Sequence[str], directory: str) -> list[str]:
    expanded: list[str] = []
    for argument in arguments:
        if argument.startswith("@"):
            try:
                expanded += shlex.split(Path(directory, argument[1:]).read_text("utf-8"))
            except (OSError, ValueError):
                continue
        else:
            expanded.append(argument)
    return expanded
