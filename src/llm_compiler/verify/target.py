"""How programs are compiled, linked and run for one architecture: natively or under qemu-user.

Boards without an operating system are `bare_metal`'s.

Knows nothing of pass lists. Safe to call from several threads.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import CompileFailed, ToolchainNotFound
from llm_compiler.llvm.targets import (
    TARGETS,
    BareMetalPrograms,
    LinuxPrograms,
    WasiPrograms,
    architecture_of,
    known_target,
    lifted_targets,
)
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import Completed, run, which
from llm_compiler.verify.harness_table import main_symbol, program_table

__all__ = ["ARCHITECTURES", "Target", "find_target", "native_target", "telling_words"]

ARCHITECTURES = tuple(target_record.name for target_record in lifted_targets())
"""Those that are checked unless others are named."""
_CLANG_TIMEOUT_S = 120.0
_TELLING = re.compile(r"undefined reference|multiple definition|relocation|error: (?!linker)")


def telling_words(words: str) -> str:
    """Return the line of a compiler's or linker's complaints that says most."""
    telling = [line for line in words.splitlines() if _TELLING.search(line)]
    return telling[0].strip()[-400:] if telling else words[-400:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The tools for one architecture. `runner` is put in front of an executable; empty: native."""

    architecture: str
    triple: str
    toolchain: Toolchain
    runner: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """Of clang, beside the triple."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Programs that cannot serve, whatever is done to them: names and reasons."""

    @property
    def languages(self) -> tuple[str, ...]:
        """What programs may be written in: those that there is a library for."""
        return ("c", "c++")

    def program_table(self, names: Sequence[str]) -> str:
        """Return the C source of the table that the driver runs programs by."""
        return program_table({name: main_symbol(name) for name in names})

    @property
    def driver(self) -> Path:
        """The source of what runs many programs that are linked with it."""
        return Path(__file__).with_name("driver.c")

    def compile(
        self, arguments: Sequence[str], *, language: str = "c", cwd: Path | None = None
    ) -> None:
        """Run clang or clang++ for this target.

        Raises:
            CompileFailed: with clang's own words.
        """
        clang = self.toolchain.tool("clang++" if language == "c++" else "clang")
        command = [str(clang), f"--target={self.triple}", *self.flags, *arguments]
        completed = run(command, timeout_s=_CLANG_TIMEOUT_S, cwd=cwd)
        if not completed.ok:
            words = completed.stderr_text.strip()
            reason = "took too long" if completed.timed_out else telling_words(words)
            raise CompileFailed(
                f"clang for {self.architecture} failed: {reason}", detail=words[:20000]
            )

    def link(self, objects: Sequence[Path], output: Path, flags: Sequence[str] = ()) -> None:
        """Link objects of C and C++ into an executable.

        Raises:
            CompileFailed: in the linker's own words.
        """
        # clang++ links C as well; the C++ library costs nothing where nothing refers to it.
        arguments = ["-Wl,--as-needed", *map(str, objects), "-o", str(output), "-pthread", "-lm"]
        self.compile([*arguments, *flags], language="c++")

    def build_reference(
        self,
        source: str,
        flags: Sequence[str],
        output: Path,
        *,
        language: str = "c",
        link_flags: Sequence[str] = (),
    ) -> None:
        """Compile a program without optimisation and link it, in the folder that it is in.

        Raises:
            CompileFailed: in clang's or the linker's own words.
        """
        # Relative names: a program may print them.
        arguments = ["-O0", *flags, source, "-o", output.name, "-pthread", "-lm", *link_flags]
        self.compile(arguments, language=language, cwd=output.parent)

    def run_reference(self, executable: Path, *, timeout_s: float) -> tuple[bytes, str]:
        """Return what a program that `build_reference` made prints, and what went wrong."""
        completed = self.run(executable, timeout_s=timeout_s)
        if completed.ok:
            return completed.stdout, ""
        return b"", "timed out" if completed.timed_out else f"ended with {completed.exit_status}"

    def run(
        self, executable: Path, arguments: Sequence[str] = (), *, timeout_s: float
    ) -> Completed:
        """Run an executable of this target in its own folder."""
        return run(
            [*self.runner, str(executable), *arguments],
            timeout_s=timeout_s,
            cwd=executable.parent,
        )


def native_target(toolchain: Toolchain) -> Target:
    """Return how to build and run for this machine itself."""
    architecture = architecture_of(platform.machine())
    triple = f"{architecture}-linux-gnu"
    return Target(architecture=architecture, triple=triple, toolchain=toolchain)


def find_target(architecture: str, toolchain: Toolchain) -> Target:
    """Return how to build and run for an architecture on this machine.

    Raises:
        ToolchainNotFound: there is no C library to link with, or no emulator.
    """
    native = native_target(toolchain)
    if native.architecture == architecture:
        return native
    record = known_target(architecture)
    if record is None:
        names = ", ".join(target_record.name for target_record in TARGETS)
        raise ToolchainNotFound(
            f"pass lists cannot be checked for {architecture}: only for {names}"
        )
    match record.programs:
        case LinuxPrograms() as programs:
            return _linux_target(record.name, programs, toolchain)
        case BareMetalPrograms() as programs:
            from llm_compiler.verify.bare_metal import bare_metal_target

            return bare_metal_target(record.name, programs, toolchain)
        case WasiPrograms() as programs:
            from llm_compiler.verify.wasm import wasm_target

            return wasm_target(record.name, programs, toolchain)
    raise ToolchainNotFound(
        f"pass lists cannot be checked for {architecture}: nothing here runs its programs"
    )


def _linux_target(architecture: str, programs: LinuxPrograms, toolchain: Toolchain) -> Target:
    root = Path(programs.sysroot)
    if not (root / "lib").is_dir() or not (root / "include").is_dir():
        raise ToolchainNotFound(
            f"pass lists cannot be checked for {architecture}: {root} has no C library; "
            f"install it with 'apt-get install {programs.package}'"
        )
    emulator = which(programs.emulator) or which(f"{programs.emulator}-static")
    if emulator is None:
        raise ToolchainNotFound(
            f"pass lists cannot be checked for {architecture}: {programs.emulator} is missing; "
            "install it with 'apt-get install qemu-user'"
        )
    return Target(
        architecture=architecture,
        triple=programs.triple,
        toolchain=toolchain,
        runner=(emulator, "-L", str(root)),
        flags=programs.flags,
        left_out=programs.left_out,
    )
