"""What a linker script asks of a program that is to be linked as one module.

A script says where sections lie by their names and by those of files. Joined, the files are one, a
function may become part of another, and what nothing refers to goes. So: no word of a script may
name a file that is joined, or the section of a single function or variable; what the source itself
puts into a section is kept, and so is what inline assembly names; functions that the source puts
somewhere stay alone there only if they are naked, and others forbid the link as one. Scripts
themselves are the linker's to read. Pure but for the files it is asked to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from llm_compiler.errors import InputError
from llm_compiler.llvm.clang_flags import takes_value
from llm_compiler.llvm.object_file import allocated_sections
from llm_compiler.llvm.targets import is_bare_metal

__all__ = [
    "BoardWords",
    "Piece",
    "board_words",
    "check_script",
    "kept_names",
    "links_board",
    "lost_sections",
    "read_scripts",
]

_NUMBER = re.compile(r"^[\w.$]+=(0[xX][0-9a-fA-F]+|\d+[KM]?)$")
_SPECIAL = re.compile(r"^(?:(?P<script>--?script|-T)|(?P<map>--?Map)|(?P<symbol>--?defsym))(?:=|$)")
_ADDRESS = re.compile(r"^-T(text|data|bss|ldata|rodata)")
_FREESTANDING = ("-nostdlib", "-nostartfiles", "-ffreestanding", "-nodefaultlibs")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|[^\s(){};,=+&|<>!"]+')
_INCLUDE = re.compile(r'\bINCLUDE\s+"?([^\s;"]+)"?')
_KIND = r"\.(?:text|rodata|data|bss|sdata|sbss|srodata|sdata2|sbss2|tdata|tbss)"
_OF_ALL = re.compile(
    rf"^{_KIND}(?:\.(?:unlikely|hot|startup|exit|unknown|rel\.ro|local|cst\d*|str[\d.]*))*[.*]*\*?$"
)
"""Words that name sections of every function or variable of a kind, not of a single one."""
_OF_A_KIND = re.compile(rf"^{_KIND}(?:\.|$)")
_MADE_OF_ALL = re.compile(rf"^(?:{_KIND}|\.ARM\.ex|\.eh_frame)")
"""Sections that may be empty where there is less code."""
_NAME = re.compile(r'@(?:"([^"]*)"|([-\w.$]+))')
_KIND_OF_GLOBAL = frozenset(("global", "constant", "alias", "ifunc"))
_NOT_OFFERED = frozenset(("internal", "private", "external", "extern_weak", "available_externally"))
_GROUP = re.compile(r" (#\d+)\b")
_NAKED = re.compile(r"^attributes (#\d+) = \{ (?:[^}]* )?naked ", re.MULTILINE)
_ASSEMBLY = re.compile(r'\basm (?:[a-z ]*)"([^"]*)"')
_ESCAPED = re.compile(r"\\([0-9A-Fa-f]{2})")
_IDENTIFIER = re.compile(r"[A-Za-z_.$][\w.$]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardWords:
    """A board's link without its map."""

    arguments: tuple[str, ...]
    judged: tuple[str, ...]
    """Those of them that may forbid another link, the linker's one by one."""
    scripts: tuple[str, ...]
    map_file: str
    """Where the map is wanted; empty: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """An input that is joined."""

    name: str
    """As the linker is given it; of a member, its archive's and its own, with a colon."""
    data: bytes = field(repr=False)
    text: str = field(repr=False)
    """Its module."""
    is_member: bool = False


def links_board(arguments: Sequence[str]) -> bool:
    """Whether a call names a target without an operating system.

    >>> links_board(["--target=thumbv7m-none-eabi", "a.o"]), links_board(["a.o"])
    (True, False)
    """
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word.startswith("--target="):
            return is_bare_metal(word.removeprefix("--target="))
        if word in ("-target", "--target"):
            return is_bare_metal(following)
    return False


def board_words(arguments: Sequence[str]) -> BoardWords | str:
    """Take scripts, map and what is printed out of a board's link, or say what forbids another."""
    kept: list[str] = []
    judged: list[str] = []
    scripts: list[str] = []
    map_file = ""
    rest = iter(arguments)
    for word in rest:
        if word in _FREESTANDING:
            kept.append(word)
        elif word.startswith("-T") and not _ADDRESS.match(word):
            scripts.append(word[2:] or next(rest, ""))
            kept += ["-T", scripts[-1]]
        elif word.startswith("-Wl,"):
            parts = iter(word.split(",")[1:])
            passed: list[str] = []
            for part in parts:
                if part.lstrip("-") == "print-memory-usage":
                    continue  # printed by the link as it was called
                special = _SPECIAL.match(part)
                if special is None:
                    passed.append(part)
                    judged.append(f"-Wl,{part}")
                    continue
                value = part.partition("=")[2] or next(parts, "")
                if not value:
                    return f"{word} is said in two words"
                if special["map"]:
                    map_file = value
                    continue
                if special["script"]:
                    scripts.append(value)
                elif not _NUMBER.match(value):
                    return f"{value} makes a symbol that may be another's"
                passed += [part.partition("=")[0], value]
            if passed:
                kept.append("-Wl," + ",".join(passed))
        else:
            both = [word, next(rest, "")] if takes_value(word) else [word]
            kept += both
            judged += both
    return BoardWords(
        arguments=tuple(kept), judged=tuple(judged), scripts=tuple(scripts), map_file=map_file
    )


def read_scripts(names: Iterable[str], folder: Path, searched: Sequence[Path]) -> str:
    """Return the text of scripts and of what they include, without comments.

    Raises:
        InputError: one cannot be read.
    """
    texts: list[str] = []
    pending = list(names)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for place in (folder, *searched):
            try:
                text = (place / name).read_text("utf-8", "replace")
            except OSError:
                continue
            break
        else:
            raise InputError(f"the linker script {name} cannot be read")
        texts.append(_COMMENT.sub(" ", text))
        pending += _INCLUDE.findall(texts[-1])
    return "\n".join(texts)


def check_script(text: str, pieces: Sequence[Piece]) -> None:
    """Make sure that a script means the same once the pieces are one file.

    Raises:
        InputError: it names a file, or the section of one function or variable.
    """
    words = {word.strip('"') for word in _WORD.findall(text)} - {"*"}
    if "INSERT" in words or "OVERLAY" in words:
        raise InputError("the linker script is more than a plain one")
    files = {name for piece in pieces for name in (piece.name, *_parts(piece.name))}
    single = [word for word in words if _OF_A_KIND.match(word) and not _OF_ALL.match(word)]
    for word in sorted(words):
        # Sections begin with a point, and of files those in a folder alone.
        is_section = word.startswith(".") and "/" not in word
        if not is_section and any(fnmatchcase(name, word) for name in files):
            raise InputError(f"the linker script names files: {word}")
    sections = {name for piece in pieces for name in allocated_sections(piece.data)}
    for word in sorted(single):
        if any(fnmatchcase(name, word) for name in sections):
            raise InputError(f"the linker script says where {word} lies")


def _parts(name: str) -> Iterator[str]:
    archive, _, member = name.partition(":")
    yield from (PurePath(archive).name, member, f"{PurePath(archive).name}:{member}")


@dataclass(frozen=True, slots=True)
class _Definition:
    """A line of a module's text that defines a symbol."""

    name: str
    is_offered: bool
    """Whether other files see it."""
    is_placed: bool
    """Whether the source says in which section it lies."""
    group: str
    """A function's attributes; empty: it is a variable or an alias."""


def _definitions(text: str) -> Iterator[_Definition]:
    for line in text.splitlines():
        if not line.startswith(("define ", "@")) or (match := _NAME.search(line)) is None:
            continue
        is_function = line.startswith("define ")
        words = line[: match.start()].split() if is_function else line[match.end() :].split()
        if not is_function:
            words = words[: next((i for i, w in enumerate(words) if w in _KIND_OF_GLOBAL), 0)]
        group = _GROUP.search(line, match.end()) if is_function else None
        yield _Definition(
            name=(match[1] or match[2]).removeprefix("\\01"),
            is_offered=bool(words) and _NOT_OFFERED.isdisjoint(words),
            is_placed=' section "' in line,
            group=("#" if group is None else group[1]) if is_function else "",
        )


def kept_names(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """Return the symbols that stay, whether or not something refers to them.

    Raises:
        InputError: a function lies where the source says, and others would become part of it, or
            what must stay is in an archive, so that naming it would bring it in.
    """
    placed: set[str] = set()
    in_assembly: set[str] = set()
    is_in_archive: dict[str, bool] = {}
    for piece in pieces:
        naked = set(_NAKED.findall(piece.text))
        for text in _ASSEMBLY.findall(piece.text):
            in_assembly.update(_IDENTIFIER.findall(_ESCAPED.sub(_character, text)))
        for found in _definitions(piece.text):
            if found.is_placed and found.group and found.group not in naked:
                raise InputError(f"the source says where the function {found.name} lies")
            if found.is_offered:
                is_in_archive[found.name] = is_in_archive.get(found.name, True) and piece.is_member
                if found.is_placed:
                    placed.add(found.name)
    kept = sorted(placed | (in_assembly & is_in_archive.keys()))
    for name in kept:
        if is_in_archive[name]:
            raise InputError(f"{name} must stay, and is in an archive")
    # Code generation calls the run-time by such names (`__aeabi_memclr4`), which no module says.
    # What is in an archive the linker takes from there.
    runtime = {name for name, inside in is_in_archive.items() if name[:2] == "__" and not inside}
    return tuple(sorted(runtime.union(kept)))


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def lost_sections(before: bytes, after: bytes) -> list[str]:
    """Return what a program has no longer, of the sections that take memory.

    Raises:
        InputError: one of them is no ELF file.
    """
    lost = allocated_sections(before) - allocated_sections(after)
    return sorted(name for name in lost if not _MADE_OF_ALL.match(name))
