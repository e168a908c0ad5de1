"""From what is typed to inputs and the files that are written for them.

FILE may be a file, ``-`` (standard input), or a ``compile_commands.json``. Outputs keep clear of
the user's inputs and of each other.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_compiler.errors import ConfigError, InputError
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.compile_commands import read_compile_commands
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES
from llm_compiler.optimization.options import OutputKind
from llm_compiler.optimization.sources import Source

__all__ = ["SUFFIX", "collect_sources", "name_outputs"]

SUFFIX = {
    OutputKind.OBJECT: ".o",
    OutputKind.ASSEMBLY: ".s",
    OutputKind.BITCODE: ".bc",
    OutputKind.TEXT: ".ll",
}
_STDIN = Path("-")
_STDIN_NAME = "<stdin>"
_LANGUAGES = ("c", "c++", "cpp-output", "c++-cpp-output")
_LTO = re.compile(r"^-(flto|fno-fat-lto|ffat-lto|fwhole-program-vtables)")
"""What a build links later is no object of a file."""
_IR = re.compile(rb"^(; ModuleID|source_filename =|target (triple|datalayout) =)", re.MULTILINE)


def collect_sources(
    files: Sequence[Path], flags: ClangFlags, make_folder: Callable[[], Path]
) -> list[Source]:
    """Return the inputs that the files stand for.

    Args:
        make_folder: makes a temporary folder, for standard input.

    Raises:
        InputError: a compile database cannot be read, or names no file to compile.
        ConfigError: nothing says what standard input is.
    """
    found: list[Source] = []
    if files.count(_STDIN) > 1:
        raise ConfigError("standard input (-) can be read once")
    for file in files:
        if file == _STDIN:
            found.append(_standard_input(flags, make_folder()))
        elif file.suffix == ".json":
            found += _of_database(file)
        else:
            found.append(Source(path=file))
    return found


def _of_database(file: Path) -> list[Source]:
    found = [
        Source(
            path=Path(command.source),
            clang_flags=tuple(flag for flag in command.flags if not _LTO.match(flag)),
            directory=command.directory,
            name=_from_here(command.path),
        )
        for command in read_compile_commands(file)
        if command.path.suffix in C_SUFFIXES + IR_SUFFIXES
    ]
    if not found:
        raise InputError(f"{file} names no C or C++ file to compile")
    return found


def _from_here(path: Path) -> str:
    here = os.path.relpath(path)
    return str(path) if here.startswith("..") else here


def _standard_input(flags: ClangFlags, folder: Path) -> Source:
    data = sys.stdin.buffer.read()
    if flags.language in _LANGUAGES:
        # Clang reads it itself, so that headers in quotes and __FILE__ are as ever.
        return Source(path=_STDIN, data=data, name=_STDIN_NAME)
    suffix = ".bc" if data[:4] == b"BC\xc0\xde" else ".ll"
    if flags.language not in ("", "ir"):
        raise ConfigError(
            f"-x {flags.language} cannot be optimised: one of {', '.join(_LANGUAGES)}, ir can"
        )
    if not flags.language and suffix == ".ll" and not _IR.search(data):
        raise ConfigError("say what standard input is: '-- -x c', or -x c++, or -x ir")
    path = folder / f"stdin{suffix}"
    path.write_bytes(data)
    return Source(path=path, name=_STDIN_NAME)


def name_outputs(
    sources: Sequence[Source], kind: OutputKind, *, output: Path | None, out_dir: Path | None
) -> list[Path]:
    """Name each input's output, and refuse names that would overwrite something of the user's.

    Raises:
        ConfigError: one -o for several inputs, two inputs with one output, output over an input.
    """
    if output is not None and out_dir is not None:
        raise ConfigError("-o and --out-dir exclude each other")
    if output is not None:
        if len(sources) > 1:
            raise ConfigError("-o names one output, but there are several inputs")
        outputs = [output]
    elif kind is OutputKind.PASSES and out_dir is None:
        return [_STDIN for _ in sources]
    elif out_dir is not None:
        outputs = _below(out_dir, sources, SUFFIX.get(kind, ".passes"))
    else:
        outputs = [_beside(source, SUFFIX[kind]) for source in sources]
    files = [source.file.resolve() for source in sources]
    seen: dict[Path, Source] = {}
    for out, source in zip(outputs, sources, strict=True):
        if str(out) == "-":
            continue
        position = out.resolve()
        if position == source.file.resolve():
            raise ConfigError(f"the output {out} would overwrite its own input")
        if position in files:
            raise ConfigError(f"the output {out} of {source.shown} would overwrite another input")
        if position in seen and seen[position].file.resolve() == source.file.resolve():
            raise ConfigError(f"{source.shown} is named twice")
        if position in seen:
            hint = "" if out_dir is not None else "; --out-dir DIR keeps their folders"
            raise ConfigError(
                f"{seen[position].shown} and {source.shown} would both be written to {out}{hint}"
            )
        seen[position] = source
    return outputs


def _beside(source: Source, suffix: str) -> Path:
    """Return the default name: the input's with another suffix, in the folder where we are."""
    if source.directory is not None:
        raise ConfigError("a compile database has many files: say where to with --out-dir DIR")
    if source.name == _STDIN_NAME:
        raise ConfigError("name the output of standard input: -o OUT, or -o - for standard output")
    out = Path(source.path.stem + suffix)
    if out.resolve() == source.path.resolve():
        out = out.with_suffix(".opt" + out.suffix)
    return out


def _below(out_dir: Path, sources: Sequence[Source], suffix: str) -> list[Path]:
    """Return names in a folder: relative paths stay, of a build the objects' paths."""
    here = Path.cwd()
    paths = [Path(os.path.abspath(source.file)) for source in sources]
    outside = [str(path.parent) for path in paths if not path.is_relative_to(here)]
    common = Path(os.path.commonpath(outside)) if outside else here
    found = []
    for source, path in zip(sources, paths, strict=True):
        if source.name == _STDIN_NAME:
            raise ConfigError("name the output of standard input with -o, not with --out-dir")
        relative = path.relative_to(here if path.is_relative_to(here) else common)
        name = relative.with_suffix(suffix)
        if source.directory is not None:
            object_name = parse_clang_flags(source.clang_flags).output
            position = Path(os.path.normpath(source.directory / object_name))
            if object_name and position.is_relative_to(source.directory):
                name = position.relative_to(source.directory)
                name = name if suffix == ".o" else name.with_suffix(suffix)
        found.append(out_dir / name)
    return found
