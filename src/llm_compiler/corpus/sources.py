"""From a configured source to an unpacked folder and its compile commands.

Debian packages are fetched, unpacked and built; a local project is copied and built; a user's own
compile database or folder of sources is used where it lies. What a package's folder holds when
`prepare` returns is all that extraction needs. Safe in threads: each source has its own folder.
"""

from __future__ import annotations

import fnmatch
import shutil
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.corpus.capture import capture_commands, sources_alone
from llm_compiler.corpus.commands import (
    CompileCommand,
    read_compile_commands,
    unique_commands,
)
from llm_compiler.corpus.config import LocalSpec, PackageSpec, Spec
from llm_compiler.corpus.debian import Archive
from llm_compiler.corpus.exclusions import excluded_path
from llm_compiler.corpus.tools import Tools
from llm_compiler.errors import ArtifactError

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A source ready to be compiled unit by unit.

    `num_held_out` and `num_excluded` count the units left out by name: as held-out code, and by the
    configuration's own globs. `modules` are .ll and .bc files, which have no command.
    """

    root: Path
    version: str
    sha256: str
    successor: bool
    commands: tuple[CompileCommand, ...]
    modules: tuple[str, ...] = ()
    num_held_out: int = 0
    num_excluded: int = 0
    build_error: str = ""


def prepare(spec: Spec, *, work: Path, archive: Archive, tools: Tools) -> Prepared:
    """Bring a source to where its units can be compiled.

    Args:
        work: a folder of its own for the source; what it holds is thrown away first.

    Raises:
        ArtifactError: it cannot be fetched, unpacked, configured or read.
    """
    work = work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if isinstance(spec, PackageSpec):
        fetched = archive.fetch(spec, destination=work / spec.name)
        captured = capture_commands(spec, root=fetched.folder, work=work, tools=tools)
        return _without_exclusions(
            spec,
            Prepared(
                root=fetched.folder,
                version=fetched.version,
                sha256=fetched.sha256,
                successor=fetched.successor,
                commands=captured.commands,
                build_error=captured.build_error,
            ),
        )
    return _without_exclusions(spec, _prepare_local(spec, work=work, tools=tools))


def _prepare_local(spec: LocalSpec, *, work: Path, tools: Tools) -> Prepared:
    path = spec.path.resolve()
    if not path.exists():
        raise ArtifactError(f"{spec.name}: no such file or folder: {path}")
    commands: tuple[CompileCommand, ...] = ()
    modules: tuple[str, ...] = ()
    root, error = path, ""
    if spec.kind == "project":
        root = work / spec.name
        try:
            shutil.copytree(path, root, symlinks=True)
        except (OSError, shutil.Error) as problem:
            raise ArtifactError(f"{spec.name}: cannot copy {path}: {problem}") from problem
        captured = capture_commands(spec, root=root, work=work, tools=tools)
        commands, error = captured.commands, captured.build_error
    elif spec.kind == "compile-commands":
        file = path / "compile_commands.json" if path.is_dir() else path
        root = file.parent
        found = read_compile_commands(file, root=root)
        commands = tuple(unique_commands(found))
    elif spec.kind == "sources":
        commands = sources_alone(path, root=path, flags=spec.flags)
    else:
        modules = tuple(name for name in _files(path) if name.endswith((".ll", ".bc")))
    if not commands and not modules:
        raise ArtifactError(f"{spec.name}: {path} holds nothing to compile")
    return Prepared(
        root=root,
        version="local",
        sha256="",
        successor=False,
        commands=commands,
        modules=modules,
        build_error=error,
    )


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _without_exclusions(spec: Spec, prepared: Prepared) -> Prepared:
    def state(source: str) -> str:
        if excluded_path(source) is not None:
            return "held out"
        if any(fnmatch.fnmatchcase(source, pattern) for pattern in spec.exclude):
            return "excluded"
        return "kept"

    states = [state(command.source) for command in prepared.commands]
    states += [state(module) for module in prepared.modules]
    return Prepared(
        root=prepared.root,
        version=prepared.version,
        sha256=prepared.sha256,
        successor=prepared.successor,
        commands=tuple(c for c in prepared.commands if state(c.source) == "kept"),
        modules=tuple(m for m in prepared.modules if state(m) == "kept"),
        num_held_out=states.count("held out"),
        num_excluded=states.count("excluded"),
        build_error=prepared.build_error,
    )
