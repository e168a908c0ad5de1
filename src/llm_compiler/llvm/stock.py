"""The stock tools as a user runs them: clang's baseline, and the commands that replay a list.

What a user is handed is always made here (docs/decisions/0021)::

    clang -Oz -Xclang -disable-llvm-passes -emit-llvm -c FLAGS input -o unoptimized.bc
    opt -passes=LIST --relocation-model=... ATTRIBUTES unoptimized.bc -o optimized.bc
    clang -Oz -Xclang -disable-llvm-passes OPTIONS -c FLAGS optimized.bc -o output.o

The user's flags are kept but for those that name outputs, levels or dependency files. Safe to call
from several threads.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import (
    CompileFailed,
    InputError,
    OutOfMemory,
    OutputError,
    PassCrashed,
    TimedOut,
)
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.levels import pipeline_for
from llm_compiler.llvm.settings import backend_flags, opt_flags, opt_pipeline
from llm_compiler.llvm.targets import front_end_flags
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import Completed, run
from llm_compiler.records import Recipe

__all__ = ["C_SUFFIXES", "IR_SUFFIXES", "ClangFlags", "Stock", "parse_clang_flags"]

C_SUFFIXES = (".c", ".i", ".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP", ".ii")
IR_SUFFIXES = (".ll", ".bc")
_CPP_SUFFIXES = (".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP", ".ii")

_PLAIN = Recipe()
_STDIN = Path("-")
_NO_FLAGS = ClangFlags()
_NO_PASSES = ("-Oz", "-Xclang", "-disable-llvm-passes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """The stock tools with one user's flags.

    Args:
        target_triple: empty for clang's own default.
        timeout_s: limit of each command.
        scratch: where the tools put temporary files, which they leave when they crash.
        stdin: what clang reads where the source is ``-``.
        cwd: where they are started; all paths but those of flags and sources are absolute then.
    """

    toolchain: Toolchain
    flags: ClangFlags = _NO_FLAGS
    target_triple: str = ""
    timeout_s: float = 120.0
    scratch: Path | None = None
    cwd: Path | None = None
    stdin: bytes | None = field(default=None, repr=False)

    # -- command lines -----------------------------------------------------------------------

    def _clang(self, source: Path) -> str:
        cpp = source.suffix in _CPP_SUFFIXES
        return str(self.toolchain.tool("clang++" if cpp else "clang"))

    def _target(self) -> tuple[str, ...]:
        return (f"--target={self.target_triple}",) if self.target_triple else ()

    def _left_open(self, source: Path) -> tuple[str, ...]:
        """Return flags that the user's own, which follow, may take back."""
        triple = self.target_triple or self.flags.target
        # Profiling by calls needs frame pointers: clang refuses both together.
        if source.suffix in IR_SUFFIXES or "-pg" in self.flags.kept:
            return ()
        return front_end_flags(triple)

    def _flags_for(self, source: Path) -> tuple[str, ...]:
        return self.flags.for_ir() if source.suffix in IR_SUFFIXES else self.flags.kept

    def baseline_command(
        self, source: Path, output: Path, *, kind: str = "-c", level: str = "-Oz"
    ) -> tuple[str, ...]:
        """Return the honest baseline: ``clang -Oz -c`` with the user's flags."""
        return (
            self._clang(source),
            level,
            kind,
            "-Wno-unused-command-line-argument",
            *self._target(),
            *self._flags_for(source),
            _positional(source),
            "-o",
            str(output),
        )

    def frontend_command(
        self, source: Path, output: Path, *, dependencies: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Return the command that makes the unoptimised bitcode."""
        return (
            self._clang(source),
            *_NO_PASSES,
            "-emit-llvm",
            "-c",
            "-Wno-unused-command-line-argument",
            *self._target(),
            *self._left_open(source),
            *self._flags_for(source),
            *dependencies,
            _positional(source),
            "-o",
            str(output),
        )

    def opt_command(
        self, passes: Recipe, source: Path, output: Path, *, pic: bool
    ) -> tuple[str, ...]:
        """Return the command that runs a pass list on bitcode."""
        return (
            str(self.toolchain.tool("opt")),
            f"-passes={pipeline_for(opt_pipeline(passes), self.toolchain.major)}",
            f"--relocation-model={'pic' if pic else 'static'}",
            *opt_flags(passes),
            str(source),
            "-o",
            str(output),
        )

    def backend_command(
        self, source: Path, output: Path, *, kind: str = "-c", recipe: Recipe = _PLAIN
    ) -> tuple[str, ...]:
        """Return the command that makes the object (``-c``) or assembly (``-S``) of bitcode.

        Args:
            recipe: its options of code generation are set; its passes have been run.
        """
        return (
            str(self.toolchain.tool("clang")),
            *_NO_PASSES,
            *backend_flags(recipe),
            kind,
            "-Wno-unused-command-line-argument",
            "-Wno-override-module",
            *self._target(),
            *self.flags.for_ir(),
            str(source),
            "-o",
            str(output),
        )

    def link_command(self, base: Path, others: Sequence[Path], output: Path) -> tuple[str, ...]:
        """Return the command that links bitcode files into the first; it keeps its file's name."""
        return (
            str(self.toolchain.tool("clang")),
            *_NO_PASSES,
            "-emit-llvm",
            "-c",
            "-Wno-unused-command-line-argument",
            "-Wno-override-module",
            *self._target(),
            *self.flags.for_ir(),
            *(
                word
                for other in others
                for word in ("-Xclang", "-mlink-bitcode-file", "-Xclang", str(other))
            ),
            str(base),
            "-o",
            str(output),
        )

    def replay(self, source: Path, passes: Recipe, output: Path, *, pic: bool) -> tuple[str, ...]:
        """Return the three commands, as text for a shell, that make `output` again."""
        unoptimized = output.with_name(output.name + ".unoptimized.bc")
        optimized = output.with_name(output.name + ".optimized.bc")
        return tuple(
            shlex.join(command)
            for command in (
                self.frontend_command(source, unoptimized),
                self.opt_command(passes, unoptimized, optimized, pic=pic),
                self.backend_command(optimized, output, recipe=passes),
            )
        )

    # -- running them --------------------------------------------------------------------------

    def compile_source(self, command: Sequence[str], source: Path) -> Completed:
        """Run clang on the user's input.

        Raises:
            InputError: clang rejects the input, with its first error.
            CompileFailed, PassCrashed, TimedOut, OutOfMemory: clang itself failed.
        """
        completed = self._run(command)
        if completed.ok:
            return completed
        shown = "<stdin>" if source == _STDIN else source
        self._raise_if_broken(completed, f"clang on {shown}")
        raise InputError(
            f"clang rejects {shown}: {_first_error(completed.stderr_text)}",
            detail=completed.stderr_text,
        )

    def baseline_pipeline(self, source: Path) -> str:
        """Return clang -Oz's own passes as text for ``opt -passes=``.

        Raises:
            LlmCompilerError: as of `compile_source`.
        """
        command = self.baseline_command(source, Path(os.devnull))
        done = self.compile_source((*command, "-mllvm", "-print-pipeline-passes"), source)
        return done.stdout.decode("utf-8", "replace").strip()

    def run_opt(self, passes: Recipe, source: Path, output: Path, *, pic: bool) -> None:
        """Run a pass list on bitcode.

        Raises:
            CompileFailed, PassCrashed, TimedOut, OutOfMemory: in opt's own words.
        """
        self._compile(
            self.opt_command(passes, source, output, pic=pic), f"opt with '{passes.text[:200]}'"
        )

    def run_backend(
        self, source: Path, output: Path, *, kind: str = "-c", recipe: Recipe = _PLAIN
    ) -> None:
        """Make the object or assembly of bitcode, with a recipe's options of code generation.

        Raises:
            CompileFailed, PassCrashed, TimedOut, OutOfMemory: in clang's own words.
        """
        command = self.backend_command(source, output, kind=kind, recipe=recipe)
        self._compile(command, f"clang on {source.name}")

    def disassemble_bitcode(self, source: Path, output: Path) -> None:
        """Write bitcode as textual IR.

        Raises:
            CompileFailed, PassCrashed, TimedOut, OutOfMemory: in clang's own words.
        """
        command = (*self.backend_command(source, output, kind="-S"), "-emit-llvm")
        self._compile(command, f"clang on {source.name}")

    def run_tool(self, command: Sequence[str], what: str) -> None:
        """Run one of LLVM's tools on bitcode.

        Raises:
            CompileFailed, PassCrashed, TimedOut, OutOfMemory: in the tool's own words.
        """
        self._compile(command, what)

    def _compile(self, command: Sequence[str], what: str) -> None:
        completed = self._run(command)
        if not completed.ok:
            self._raise_if_broken(completed, what)
            raise CompileFailed(
                f"{what} failed: {_first_error(completed.stderr_text)}",
                detail=completed.stderr_text,
            )

    def _run(self, command: Sequence[str]) -> Completed:
        env = None
        if self.scratch is not None:
            env = {**os.environ, "TMPDIR": str(self.scratch)}
        try:
            stdin = self.stdin if str(_STDIN) in command else None
            return run(command, timeout_s=self.timeout_s, env=env, cwd=self.cwd, stdin=stdin)
        except OSError as error:
            raise CompileFailed(f"{command[0]} cannot be started: {error.strerror}") from error

    def _raise_if_broken(self, completed: Completed, what: str) -> None:
        if completed.timed_out:
            raise TimedOut(f"{what} did not end within {self.timeout_s:g} s (--timeout-s)")
        text = completed.stderr_text
        if "No space left on device" in text:
            raise OutputError(
                f"{what} failed: No space left on device (temporary files: set TMPDIR)", detail=text
            )
        if "out of memory" in text or "bad_alloc" in text:
            raise OutOfMemory(f"{what} ran out of memory", detail=text)
        if completed.exit_status < 0 or "PLEASE submit a bug report" in text:
            raise PassCrashed(f"{what} crashed: {_first_error(text)}", detail=text)


def _positional(path: Path) -> str:
    """Return a file as clang takes it for one: a name that begins with a dash is no flag."""
    return f"./{path}" if str(path).startswith("-") and path != _STDIN else str(path)


_ERROR_LINE = re.compile(r"^.*?(?:fatal )?error: .*$", re.MULTILINE)


def _first_error(text: str) -> str:
    if match := _ERROR_LINE.search(text):
        return match[0].strip()[:500]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:500] if lines else "no message"
