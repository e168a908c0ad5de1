"""The link of a whole program that was compiled to fat objects (`LLM_CC_MODE=lto`).

The user's own link comes first, and stands unless all of this works and gives a smaller file: lld
reads the bitcode in the place of the objects and says, by the linker's own rules, which symbols
nothing outside needs (its file after internalisation); that module is optimised as a unit is; and
the user's linker links the object that comes of it in the place of the fat ones. Archives keep
their place, since what they define is there already. A shared library must offer what it did.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.cc.board_links import (
    Piece,
    board_words,
    check_script,
    kept_names,
    links_board,
    lost_sections,
    read_scripts,
)
from llm_compiler.cc.fat_objects import Fat, read_fat
from llm_compiler.cc.protocol import Call, Connection
from llm_compiler.disassembly.archive import MAGIC, read_archive
from llm_compiler.errors import InputError
from llm_compiler.llvm.clang_flags import takes_value
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

__all__ = ["Joined", "Link", "join", "link_again", "linked_file", "linked_map", "parse_link"]

# With these the linker does what lld and the link that follows might do otherwise.
_FORBIDS = re.compile(
    r"^(-r|-T.*|-flto.*|-fno-lto|-Wl,.*(-T[,=]|--script|-r(,|$)|--relocatable|-Map|-M(,|$)|--wrap"
    r"|--defsym|--plugin|--dependency-file|--format|-b,|--oformat|--emit-relocs|-q(,|$)|--reproduce"
    r"|--print|--trace|-t(,|$)|--verbose|--image-base).*|-E|-S|-M|-MM|-fsyntax-only|-###|-v|--version"
    r"|-fsanitize.*|--coverage|-fprofile.*|-fplugin.*|-emit-llvm|-nostdlib|-nostartfiles|-ffreestanding"
    r"|-static-pie|-Xlinker|-x|--help|-dump.*|-print.*|--print.*|--config.*|-T|-save-temps.*|-fuse-ld=gold)$"
)
_SOURCES = re.compile(r"\.(c|cc|cp|cpp|cxx|c\+\+|C|CPP|m|mm|s|S|i|ii|ll|bc|f|F|f90)$")
_KEPT_BY_NAME = (b"__start_", b"__stop_")
"""The linker makes these of the names of sections, whose contents nothing else may need."""
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A call that links objects and archives."""

    arguments: tuple[str, ...]
    """Without response files, and for a board without the linker's map."""
    output: str
    is_board: bool = False
    scripts: tuple[str, ...] = ()
    """A board's linker scripts."""
    map_file: str = ""
    """Where a board's map is wanted; empty: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """An object that carries bitcode, or a member of an archive that does."""

    name: str
    """As the linker is given it."""
    data: bytes = field(repr=False)
    fat: Fat
    is_member: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A program as one module, in which all is static that nothing outside needs."""

    bitcode: bytes
    flags: tuple[str, ...]
    """Of code generation."""
    fat: frozenset[int]
    """Which of the link's arguments are objects that the module takes the place of."""
    num_units: int


def parse_link(arguments: Sequence[str]) -> Link | str:
    """Return a link that may be done again, or why it may not."""
    board = board_words(arguments) if links_board(arguments) else None
    if isinstance(board, str):
        return board
    judged = arguments if board is None else board.judged
    for word in judged:
        if _FORBIDS.match(word):
            return f"{word} forbids that the program is linked otherwise"
    words = tuple(arguments) if board is None else board.arguments
    output = "a.out"
    rest = iter(words)
    num_inputs = 0
    for word in rest:
        if word in ("-o", "--output"):
            output = next(rest, "")
        elif takes_value(word):
            if word in ("-z", "-Xlinker"):
                return f"{word} forbids that the program is linked otherwise"
            next(rest, None)
        elif word.startswith("-o"):
            output = word[2:]
        elif not word.startswith("-"):
            if _SOURCES.search(word):
                return "it compiles sources, too"
            num_inputs += 1
    if not num_inputs or not output:
        return "it links nothing"
    if board is None:
        return Link(arguments=words, output=output)
    return Link(
        arguments=words,
        output=output,
        is_board=True,
        scripts=board.scripts,
        map_file=board.map_file,
    )


def join(
    link: Link, call: Call, connection: Connection, toolchain: Toolchain, folder: Path
) -> Joined:
    """Make one module of a program.

    Raises:
        InputError: it cannot be joined, and why.
    """
    words, fat, inputs = _with_bitcode(link, call.folder, toolchain, folder)
    units = [found.fat for found in inputs]
    if not units:
        raise InputError("no input carries bitcode")
    for unit in units:
        if any(name in unit.bitcode for name in _KEPT_BY_NAME):
            raise InputError("a unit asks where a section begins")
    if link.is_board:
        words += [f"-Wl,-u,{name}" for name in _kept(link, inputs, call.folder, toolchain)]
    output = folder / "joined"
    clang = str(toolchain.tool("clang++" if call.is_cxx else "clang"))
    kept = [word for word in _without_output(words) if not word.startswith("-fuse-ld=")]
    command = [
        clang,
        *kept,
        "-flto",
        f"--ld-path={toolchain.tool('ld.lld')}",
        "-Wl,--lto-O0,--lto-emit-llvm,--save-temps",
        "-o",
        str(output),
    ]
    status, _, _, _ = connection.run_helper(command)
    if status:
        raise InputError("lld does not link it")
    found = sorted(folder.glob("joined*.0.2.internalize.bc"))
    if len(found) != 1:
        raise InputError("lld left no joined module")
    return Joined(
        bitcode=found[0].read_bytes(),
        flags=_agreed([unit.flags for unit in units]),
        fat=frozenset(fat),
        num_units=len(units),
    )


def link_again(
    link: Link,
    joined: Joined,
    data: bytes,
    call: Call,
    connection: Connection,
    toolchain: Toolchain,
    folder: Path,
) -> bytes:
    """Return the program linked from the object that the joined module became.

    Raises:
        InputError: the linker refuses it, or it does not offer what the plain one does.
    """
    whole, output = folder / "whole.o", folder / "linked"
    whole.write_bytes(data)
    words: list[str] = []
    for index, word in enumerate(link.arguments):
        if index not in joined.fat:
            words.append(word)
        elif index == min(joined.fat):
            words.append(str(whole))
    if not joined.fat:  # all of it is in archives
        words.insert(0, str(whole))
    if link.map_file:
        words.append(f"-Wl,-Map,{_map(folder)}")
    made = linked_file(_without_output(words), link.output, call, connection, toolchain, output)
    if link.is_board and (lost := lost_sections((call.folder / link.output).read_bytes(), made)):
        raise InputError(f"linked again it has no {', '.join(lost)}")
    return made


def _map(folder: Path) -> Path:
    return folder / "map"


def linked_map(link: Link, folder: Path) -> bytes:
    """Return the map of what `link_again` linked in a folder, without the folder's name."""
    text = _map(folder).read_bytes()
    return text.replace(os.fsencode(folder / "linked"), os.fsencode(link.output)).replace(
        os.fsencode(folder) + b"/", b""
    )


def _kept(
    link: Link, inputs: Sequence[_Input], folder: Path, toolchain: Toolchain
) -> tuple[str, ...]:
    """Return what stays of a board's program, whether or not something refers to it.

    Raises:
        InputError: its script, or its source, says more of where it lies than holds for one file.
    """
    pieces = []
    for found in inputs:
        command: list[str | Path] = [toolchain.tool("llvm-dis"), "-o", "-", "-"]
        done = run(command, stdin=found.fat.bitcode, timeout_s=_TIMEOUT_S)
        if not done.ok:
            raise InputError("a unit's bitcode cannot be read")
        pieces.append(
            Piece(
                name=found.name,
                data=found.data,
                text=done.stdout.decode("utf-8", "replace"),
                is_member=found.is_member,
            )
        )
    check_script(
        read_scripts(link.scripts, folder, _library_folders(link.arguments, folder)), pieces
    )
    return kept_names(pieces)


def linked_file(
    words: Sequence[str],
    name: str,
    call: Call,
    connection: Connection,
    toolchain: Toolchain,
    output: Path,
) -> bytes:
    """Return a file that a call's linker makes anew.

    Args:
        words: the linker's, without its output.
        name: what the call has linked.
        output: where the file may lie.

    Raises:
        InputError: the linker refuses it, or it does not offer what the plain one does.
    """
    clang = str(toolchain.tool("clang++" if call.is_cxx else "clang"))
    status, _, _, _ = connection.run_helper([clang, *words, "-o", str(output)])
    if status or not output.is_file():
        raise InputError("the linker refuses what was made smaller")
    if _offered(output, toolchain) != _offered(call.folder / name, toolchain):
        raise InputError("linked again it offers other symbols")
    return output.read_bytes()


def _offered(path: Path, toolchain: Toolchain) -> list[str]:
    options = ("-D", "--defined-only", "--format=posix")
    command: list[str | Path] = [toolchain.tool("llvm-nm"), *options, path]
    done = run(command, timeout_s=_TIMEOUT_S)
    lines = (line.split() for line in done.stdout.decode("utf-8", "replace").splitlines())
    return sorted(f"{words[0]} {words[1]}" for words in lines if len(words) > 1)


def _without_output(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-o", "--output"):
            next(rest, None)
        elif takes_value(word):
            kept += [word, next(rest, "")]
        elif not (word.startswith("-o") and not word.startswith("-obj")):
            kept.append(word)
    return kept


def _with_bitcode(
    link: Link, folder: Path, toolchain: Toolchain, scratch: Path
) -> tuple[list[str], set[int], list[_Input]]:
    """Return the arguments with bitcode in the place of fat objects, which those are, and all."""
    words, fat, units = list(link.arguments), set(), []
    searched = _library_folders(link.arguments, folder)
    skip = False
    for index, word in enumerate(link.arguments):
        if skip:
            skip = False
            continue
        if takes_value(word) and word != "-l":
            skip = True
            continue
        path = folder / word
        if word.startswith("-l") and "-static" not in link.arguments:
            library = _static_library(word[2:], searched)
            if library is None:
                continue
            path = library
        elif word.startswith("-"):
            continue
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:
            continue
        if data.startswith(MAGIC):
            members = _archive(data, path, scratch / f"{index}", toolchain)
            if members is not None:
                words[index] = str(members[0])
                units += members[1]
        elif link.is_board and not data.startswith(b"\x7fELF"):
            raise InputError(f"{word} is a linker script, or none of the linker's files")
        elif (found := read_fat(data)) is not None:
            units.append(_Input(name=word, data=data, fat=found))
            fat.add(index)
            bitcode = scratch / f"{index}.bc"
            bitcode.write_bytes(found.bitcode)
            words[index] = str(bitcode)
    return words, fat, units


def _archive(
    data: bytes, path: Path, folder: Path, toolchain: Toolchain
) -> tuple[Path, list[_Input]] | None:
    """Write an archive of bitcode in the place of one of fat objects; None: it has none."""
    try:
        members = read_archive(data, str(path))
    except InputError:
        return None
    fats = [read_fat(member.data) for member in members]
    units = [
        _Input(name=f"{path}:{member.name}", data=member.data, fat=each_fat, is_member=True)
        for member, each_fat in zip(members, fats, strict=True)
        if each_fat is not None
    ]
    if not units:
        return None
    folder.mkdir()
    names = []
    for number, (member, fat) in enumerate(zip(members, fats, strict=True)):
        (inside := folder / str(number)).mkdir()
        name = inside / Path(member.name).name
        name.write_bytes(member.data if fat is None else fat.bitcode)
        names.append(name)
    made = folder / path.name
    done = run([toolchain.tool("llvm-ar"), "qcs", made, *names], timeout_s=_TIMEOUT_S)
    return (made, units) if done.ok else None


def _library_folders(arguments: Sequence[str], folder: Path) -> list[Path]:
    found = []
    rest = iter(arguments)
    for word in rest:
        if word == "-L":
            found.append(folder / next(rest, "."))
        elif word.startswith("-L"):
            found.append(folder / word[2:])
        elif takes_value(word):
            next(rest, None)
    return found


def _static_library(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the archive that ``-l`` finds in the build's own folders, as the linker looks."""
    for folder in folders:
        if (folder / f"lib{name}.so").exists():
            return None
        if (path := folder / f"lib{name}.a").is_file():
            return path
    return None


_POSITION = {"-fPIC": 3, "-fpic": 3, "-fPIE": 2, "-fpie": 2}
_NO_POSITION = re.compile(r"^-fno-(pic|PIC|pie|PIE)$")


def _agreed(flags: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the flags of code generation that serve all units.

    Raises:
        InputError: there are none.
    """

    def split(words: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        level, rest = 1, []
        for word in words:
            if word in _POSITION:
                level = _POSITION[word]
            elif _NO_POSITION.match(word):
                level = 0
            else:
                rest.append(word)
        return level, tuple(dict.fromkeys(rest))

    parts = [split(flag) for flag in flags]
    if len({frozenset(rest) for _, rest in parts}) > 1:
        raise InputError("units were compiled with different flags of code generation")
    # Code that may lie anywhere serves wherever code that may not would.
    level = max(level for level, _ in parts)
    names = {0: ("-fno-pic",), 1: (), 2: ("-fPIE",), 3: ("-fPIC",)}
    return (*parts[0][1], *names[level])
