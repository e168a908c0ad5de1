"""Configure a package, build it where it must be built, and return its real compile commands.

CMake and Meson write a compile database themselves; anything else is built with the logging
wrapper as its compiler. The build runs one job at a time, at -O0, with a limit for the whole
package; a build that breaks off still gives the commands that it got to. Knows nothing of where
the package came from. Safe in threads: a package has a folder of its own.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from llm_compiler import process
from llm_compiler.corpus.commands import (
    CompileCommand,
    commands_of_invocation,
    language_of,
    read_compile_commands,
    unique_commands,
)
from llm_compiler.corpus.compiler_wrapper import (
    LOG_VARIABLE,
    TOLERANT_FLAGS,
    read_log,
    write_compiler_wrapper,
)
from llm_compiler.corpus.config import BuildSystem, Spec
from llm_compiler.corpus.tools import Tools
from llm_compiler.errors import ArtifactError

__all__ = ["Captured", "capture_commands", "detect_build_system", "sources_alone"]

# Patches touch configure.ac, so make would want to run autotools again: what is shipped will do.
_MAINTAINER_TOOLS = ("ACLOCAL", "AUTOCONF", "AUTOMAKE", "AUTOHEADER")
# Manuals are of no use here, but configure may insist on a makeinfo that has a version.
_MAKEINFO = "#!/bin/sh\necho 'makeinfo (GNU texinfo) 7.0'\n"
_SOURCE_DATE_EPOCH = "1700000000"
_BUILD_MEMORY_BYTES = 8 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The compile commands of a package, and the build's last words where it did not succeed."""

    commands: tuple[CompileCommand, ...]
    build_error: str


def detect_build_system(folder: Path) -> BuildSystem:
    """Return how a package is built, by the files at its top.

    Raises:
        ArtifactError: nothing there that we know how to build.
    """
    if (folder / "CMakeLists.txt").is_file():
        return "cmake"
    if (folder / "configure").is_file():
        return "autotools"
    if (folder / "meson.build").is_file():
        return "meson"
    if any((folder / name).is_file() for name in ("GNUmakefile", "makefile", "Makefile")):
        return "make"
    raise ArtifactError(f"no CMakeLists.txt, configure, meson.build or Makefile in {folder}")


def capture_commands(spec: Spec, *, root: Path, work: Path, tools: Tools) -> Captured:
    """Configure and build an unpacked package.

    Args:
        root: its folder; an in-tree build leaves its files here.
        work: an empty folder of its own for the wrapper, the log and an out-of-tree build.

    Raises:
        ArtifactError: it does not configure, or not one compile command was seen.
    """
    root, work = root.resolve(), work.resolve()
    folder = root / spec.subdirectory
    if not folder.is_dir():
        raise ArtifactError(f"{spec.name} has no folder {spec.subdirectory}")
    system = spec.build_system or detect_build_system(folder)
    if system == "none":
        return Captured(commands=sources_alone(folder, root=root, flags=spec.flags), build_error="")
    build = _Build(spec=spec, root=root, folder=folder, work=work, tools=tools)
    if system == "cmake":
        captured = build.with_cmake()
    elif system == "meson":
        captured = build.with_meson()
    else:
        captured = build.with_make(configure=system == "autotools")
    if not captured.commands:
        raise ArtifactError(
            f"the build of {spec.name} compiled no C or C++ file", detail=captured.build_error
        )
    return captured


def sources_alone(
    folder: Path, *, root: Path, flags: tuple[str, ...]
) -> tuple[CompileCommand, ...]:
    """Return a command for every C and C++ file below a folder, compiled in that folder."""
    files = sorted(path.relative_to(root) for path in folder.rglob("*") if path.is_file())
    return tuple(
        CompileCommand(
            directory=str(folder.relative_to(root)),
            source=str(path),
            language=language,
            flags=flags,
        )
        for path in files
        if (language := language_of(path.name)) is not None
    )


class _Build:
    def __init__(self, *, spec: Spec, root: Path, folder: Path, work: Path, tools: Tools) -> None:
        self._spec = spec
        self._root = root
        self._folder = folder
        # Within the root, so that generated sources have a path within the package.
        self._build = root / "_build"
        self._log = work / "commands.log"
        self._deadline = time.monotonic() + spec.timeout_s
        self._cc, self._cxx = write_compiler_wrapper(work / "bin", clang=tools.clang)
        makeinfo = work / "bin" / "makeinfo"
        makeinfo.write_text(_MAKEINFO, "utf-8")
        makeinfo.chmod(0o755)
        home = work / "home"
        home.mkdir(exist_ok=True)
        self._env = {
            "PATH": f"{work / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": os.fspath(home),
            "TMPDIR": os.fspath(home),
            "LC_ALL": "C",
            "TERM": "dumb",
            "SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH,
            "CC": os.fspath(self._cc),
            "CXX": os.fspath(self._cxx),
            "FORCE_UNSAFE_CONFIGURE": "1",
        }

    def with_cmake(self) -> Captured:
        flags = " ".join(("-O0", *TOLERANT_FLAGS))
        done = self._run(
            "cmake",
            "-S",
            os.fspath(self._folder),
            "-B",
            os.fspath(self._build),
            "-G",
            "Unix Makefiles",
            "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
            "-DCMAKE_BUILD_TYPE=None",
            f"-DCMAKE_C_FLAGS={flags}",
            f"-DCMAKE_CXX_FLAGS={flags}",
            "-DCMAKE_INSTALL_PREFIX=/usr",
            # Clang reads a precompiled header only with the flags that made it.
            "-DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON",
            "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
            "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",
            *self._spec.configure,
        )
        database = self._build / "compile_commands.json"
        if not done.ok or not database.is_file():
            raise self._not_configured(done)
        error = ""
        if self._spec.build:
            error = self._make(self._build)
        return self._captured(read_compile_commands(database, root=self._root), error)

    def with_meson(self) -> Captured:
        done = self._run(
            "meson",
            "setup",
            "--buildtype=plain",
            "--wrap-mode=nodownload",
            "--prefix=/usr",
            *self._spec.configure,
            os.fspath(self._build),
            os.fspath(self._folder),
        )
        database = self._build / "compile_commands.json"
        if not done.ok or not database.is_file():
            raise self._not_configured(done)
        error = ""
        if self._spec.build is not False:
            built = self._run("ninja", "-j1", "-k0", "-C", os.fspath(self._build))
            error = "" if built.ok else _last_lines(built)
        return self._captured(read_compile_commands(database, root=self._root), error)

    def with_make(self, *, configure: bool) -> Captured:
        variables: tuple[str, ...] = (f"CC={self._cc}", f"CXX={self._cxx}")
        if configure:
            # Not always a script of autoconf: some take no variables as arguments.
            self._env.update(dict.fromkeys(_MAINTAINER_TOOLS, "true"))
            done = self._run("sh", "./configure", *self._spec.configure, cwd=self._folder)
            if not done.ok:
                raise self._not_configured(done)
            variables = tuple(f"{name}=true" for name in _MAINTAINER_TOOLS)
        self._env[LOG_VARIABLE] = os.fspath(self._log)
        error = self._make(self._folder, *variables)
        commands: list[CompileCommand] = []
        if self._log.is_file():
            for call in read_log(self._log):
                commands += commands_of_invocation(call.arguments, call.directory, root=self._root)
        return self._captured(commands, error)

    def _make(self, folder: Path, *variables: str) -> str:
        # Keep going: a manual that cannot be made must not cost the units after it.
        done = self._run("make", "-j1", "-k", *variables, *self._spec.make, cwd=folder)
        return "" if done.ok else _last_lines(done)

    def _captured(self, commands: list[CompileCommand], error: str) -> Captured:
        present = [
            command
            for command in unique_commands(commands)
            if not command.source.startswith("/") and (self._root / command.source).is_file()
        ]
        return Captured(commands=tuple(present), build_error=error)

    def _run(self, *arguments: str, cwd: Path | None = None) -> process.Completed:
        remaining_s = self._deadline - time.monotonic()
        program = arguments[0]
        if process.which(program) is None:
            raise ArtifactError(f"{self._spec.name} needs {program}, which is not installed")
        return process.run(
            arguments,
            timeout_s=max(remaining_s, 0.1),
            cwd=cwd or self._folder,
            env=self._env,
            memory_limit_bytes=_BUILD_MEMORY_BYTES,
        )

    def _not_configured(self, done: process.Completed) -> ArtifactError:
        how = "took too long to configure" if done.timed_out else "does not configure"
        return ArtifactError(f"{self._spec.name} {how}", detail=_last_lines(done))


def _last_lines(done: process.Completed) -> str:
    if done.timed_out:
        return f"timed out after {done.seconds:.0f} s"
    text = done.stdout.decode("utf-8", "replace")[-2000:] + "\n" + done.stderr_text[-2000:]
    return "\n".join(text.splitlines()[-30:])
