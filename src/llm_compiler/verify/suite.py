"""Suites of self-testing programs: our own, a user's folder, HumanEval-X, Csmith's (`csmith`).

A program is one C or C++ file with ``int main``; exit code 0 means that its own checks hold, and
what it prints must not depend on how it was compiled. A first lines' comment ``/* flags: ... */``
adds compiler flags. Reads files only; compiles nothing. Safe in threads.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from llm_compiler.errors import InputError
from llm_compiler.records import content_hash

__all__ = [
    "Program",
    "Suite",
    "built_in_suite",
    "folder_suite",
    "humaneval_x_suite",
    "join_suites",
    "load_suite",
]

_LANGUAGES = {".c": "c", ".cc": "c++", ".cpp": "c++", ".cxx": "c++"}
_FLAGS = re.compile(r"(?:/\*|//)\s*flags:\s*(?P<flags>[^*\n]*)")
_FLAGS_WITHIN_CHARACTERS = 2000
_NOT_IN_A_SYMBOL = re.compile(r"[^A-Za-z0-9_]+")

# What upstream's evaluation puts in front of every C++ task (CodeGeeX, benchmark/utils.py).
_HUMANEVAL_HEADERS = (
    "stdlib.h",
    "algorithm",
    "math.h",
    "stdio.h",
    "vector",
    "string",
    "climits",
    "cstring",
    "iostream",
)
_HUMANEVAL_FIELDS = ("task_id", "prompt", "declaration", "canonical_solution", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One self-testing program. `language` is ``c`` or ``c++``, as for clang's ``-x``."""

    name: str
    """Unique in its suite; letters, digits and underscores."""
    source: str = field(repr=False)
    language: str = "c"
    flags: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.name, "a program needs a name"
        assert not _NOT_IN_A_SYMBOL.search(self.name), self.name
        assert self.language in ("c", "c++"), self.language

    @property
    def file_name(self) -> str:
        """A name for its source file."""
        return self.name + (".c" if self.language == "c" else ".cpp")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Programs in a fixed order, named for messages; `hash` changes with any of them."""

    name: str
    programs: tuple[Program, ...]

    def __post_init__(self) -> None:
        names = [program.name for program in self.programs]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"suite '{self.name}' has two programs of the name '{twice[0]}'")

    def __len__(self) -> int:
        return len(self.programs)

    @cached_property
    def hash(self) -> str:
        """The name that everything made from these programs is cached under."""
        parts = [
            [p.name, p.source, p.language, list(p.flags), list(p.link_flags)] for p in self.programs
        ]
        return content_hash(json.dumps(parts).encode())

    def subset(self, names: Iterable[str]) -> Suite:
        """Return the suite of the programs with these names, in this suite's order.

        Raises:
            InputError: a name that no program has.
        """
        wanted = set(names)
        if unknown := wanted - {program.name for program in self.programs}:
            raise InputError(f"suite '{self.name}' has no program '{sorted(unknown)[0]}'")
        kept = tuple(program for program in self.programs if program.name in wanted)
        return Suite(name=self.name, programs=kept)

    def __add__(self, other: Suite) -> Suite:
        return Suite(name=f"{self.name}+{other.name}", programs=self.programs + other.programs)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return data.decode("utf-8", "surrogateescape")


def _program(path: Path) -> Program:
    source = _read(path)
    match = _FLAGS.search(source, 0, _FLAGS_WITHIN_CHARACTERS)
    return Program(
        name=_NOT_IN_A_SYMBOL.sub("_", path.stem),
        source=source,
        language=_LANGUAGES[path.suffix],
        flags=tuple(match["flags"].split()) if match else (),
    )


def folder_suite(folder: Path, *, name: str = "") -> Suite:
    """Return the C and C++ files of a folder (not of folders in it), sorted by name.

    Raises:
        InputError: there is no such folder, or no program in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of self-testing programs")
    paths = sorted(path for path in folder.iterdir() if path.suffix in _LANGUAGES)
    if not paths:
        raise InputError(f"{folder} holds no .c, .cc, .cpp or .cxx files")
    return Suite(name=name or folder.name, programs=tuple(map(_program, paths)))


def built_in_suite() -> Suite:
    """Return the programs that come with this package."""
    return folder_suite(Path(__file__).with_name("programs"), name="built-in")


def humaneval_x_suite(path: Path) -> Suite:
    """Return the C++ tasks of a HumanEval-X file: JSON lines, or those under gzip.

    As upstream runs them: the usual headers, the prompt (or declaration), the canonical solution,
    the test with its ``main``, as C++11.

    Raises:
        InputError: the file cannot be read or a line is not such a task.
    """
    return Suite(name=path.name, programs=tuple(_humaneval_programs(path)))


def _humaneval_programs(path: Path) -> Iterator[Program]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as JSON lines: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            task = json.loads(line)
            fields = [task.get(name) or "" for name in _HUMANEVAL_FIELDS]
            task_id, prompt, declaration, solution, test = map(str, fields)
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path}:{number}: not a JSON object: {error}") from error
        if not task_id or not (prompt or declaration) or not solution or "main" not in test:
            raise InputError(
                f"{path}:{number}: not a HumanEval-X C++ task: it needs the fields task_id, "
                "prompt or declaration, canonical_solution, and a test with main"
            )
        headers = "".join(f"#include <{header}>\n" for header in _HUMANEVAL_HEADERS)
        # One task asks for MD5, for which upstream links OpenSSL.
        openssl = "openssl/" in prompt + declaration + solution
        yield Program(
            name="humaneval_" + _NOT_IN_A_SYMBOL.sub("_", task_id.split("/")[-1]),
            source=f"{headers}\n{prompt or declaration}{solution}\n{test}\n",
            language="c++",
            flags=("-std=c++11",),
            link_flags=("-lcrypto",) if openssl else (),
        )


def load_suite(path: Path) -> Suite:
    """Return the suite of a folder or of a HumanEval-X file.

    Raises:
        InputError: it is neither.
    """
    if path.is_dir():
        return folder_suite(path)
    if path.is_file():
        return humaneval_x_suite(path)
    raise InputError(f"{path} does not exist: expected a folder of programs or a .jsonl file")


def join_suites(suites: Sequence[Suite]) -> Suite:
    """Return all programs of several suites as one."""
    joined = suites[0]
    for suite in suites[1:]:
        joined += suite
    return joined
