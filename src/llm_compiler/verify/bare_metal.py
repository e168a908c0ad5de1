"""How programs are compiled, linked and run on a board without an operating system.

picolibc is the C library, GCC's run-time does what instructions do not, GNU ld links, qemu-system
runs. Programs print through a driver (``bare_metal_driver.c``) that runs many of them one after
another in one start of the emulator. There is no C++ library: programs in C++ are left out.
Knows nothing of pass lists. Safe to call from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.errors import CompileFailed, ToolchainNotFound
from llm_compiler.llvm.targets import BareMetalPrograms
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import Completed, run, which
from llm_compiler.verify.driver_records import driver_records
from llm_compiler.verify.harness_table import program_table
from llm_compiler.verify.target import Target, telling_words

__all__ = ["BareMetalTarget", "bare_metal_target"]

_GCC = Path("/usr/lib/gcc")
_STACK_BYTES = 1 << 20
_LINK_TIMEOUT_S = 60.0
_EMULATOR = ("-display", "none", "-monitor", "none", "-serial", "none")
_MAIN_OF_SINGLE = "__real_main"
"""What GNU ld's --wrap calls the main function that start-up code no longer calls."""
_SINGLE = "program"
_MAKING = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class BareMetalTarget(Target):
    """The tools for one board."""

    programs: BareMetalPrograms
    linker: str
    library: Path
    """Folder of picolibc's start-up code and libraries for the flags."""
    script: Path
    """picolibc's linker script."""
    runtime: Path
    """Folder of GCC's run-time for the flags."""

    @property
    def languages(self) -> tuple[str, ...]:
        """What programs may be written in."""
        return ("c",)

    @property
    def driver(self) -> Path:
        """The source of what runs many programs that are linked with it."""
        return Path(__file__).with_name("bare_metal_driver.c")

    def link(self, objects: Sequence[Path], output: Path, flags: Sequence[str] = ()) -> None:
        """Link objects of C into an executable.

        Raises:
            CompileFailed: in the linker's own words.
        """
        (flash, flash_bytes), (ram, ram_bytes) = self.programs.flash, self.programs.ram
        command = [
            *(self.linker, "-m", self.programs.linker_emulation, "-T", str(self.script)),
            *(f"--defsym=__flash={flash:#x}", f"--defsym=__flash_size={flash_bytes:#x}"),
            *(f"--defsym=__ram={ram:#x}", f"--defsym=__ram_size={ram_bytes:#x}"),
            *(f"--defsym=__stack_size={_STACK_BYTES:#x}", "--no-warnings", *flags),
            *(str(self.library / "crt0.o"), *map(str, objects)),
            *(f"-L{self.library}", f"-L{self.runtime}", "--start-group", "-lc", "-lm", "-lgcc"),
            *("--end-group", "-o", str(output)),
        ]
        completed = run(command, timeout_s=_LINK_TIMEOUT_S)
        if not completed.ok:
            words = completed.stderr_text.strip()
            reason = "took too long" if completed.timed_out else telling_words(words)
            raise CompileFailed(
                f"the linker for {self.architecture} failed: {reason}", detail=words[:20000]
            )

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
        folder = output.parent
        self.compile(
            ["-O0", *flags, "-c", source, "-o", f"{output.name}.o"], language=language, cwd=folder
        )
        objects = [folder / f"{output.name}.o", *self._single_driver(folder.parent)]
        self.link(objects, output, ["--wrap=main", *link_flags])

    def _single_driver(self, folder: Path) -> list[Path]:
        """Return the objects of a driver for one program, made once in a folder."""
        made = [folder / "single-driver.o", folder / "single-table.o"]
        with _MAKING:
            if not made[-1].exists():
                table = folder / "single-table.c"
                table.write_text(program_table({_SINGLE: _MAIN_OF_SINGLE}))
                for source, output in zip((self.driver, table), made, strict=True):
                    self.compile(["-O1", "-w", "-DSINGLE", "-c", str(source), "-o", str(output)])
        return made

    def run_reference(self, executable: Path, *, timeout_s: float) -> tuple[bytes, str]:
        """Return what a program that `build_reference` made prints, and what went wrong."""
        completed = self.run(executable, ["1", _SINGLE], timeout_s=timeout_s)
        head, _, printed = completed.stdout.partition(b"\n")
        words = head.decode("utf-8", "replace").split()
        if words[1:3] == ["exit", "0"]:
            return printed, ""
        if completed.timed_out:
            return b"", "timed out"
        return b"", f"ended with {' '.join(words[1:3])}" if words else "does not start"

    def run(
        self, executable: Path, arguments: Sequence[str] = (), *, timeout_s: float
    ) -> Completed:
        """Run an executable that has the driver in it; return the driver's records.

        A program that the emulator died of, or that took too long, has a record like the others.
        """
        words = [f"arg={word}" for word in arguments]
        semihosting = ",".join(["enable=on", "target=native", *words])
        completed = run(
            [*self.runner, "-semihosting-config", semihosting, "-kernel", str(executable)],
            timeout_s=timeout_s,
            cwd=executable.parent,
        )
        ended = "timeout 0" if completed.timed_out else "signal 6"
        return replace(completed, stdout=driver_records(completed.stdout, ended))


def bare_metal_target(
    architecture: str, programs: BareMetalPrograms, toolchain: Toolchain
) -> BareMetalTarget:
    """Return how to build and run for a board on this machine.

    Raises:
        ToolchainNotFound: the emulator, the C library, the linker or the run-time is missing.
    """
    prefix = programs.tools.removesuffix("-")
    emulator, linker = which(programs.emulator), which(f"{programs.tools}ld")
    libraries = Path(programs.library_folder) / "lib"
    library, script = libraries / programs.multilib, libraries / "picolibc.ld"
    runtimes = sorted((_GCC / prefix).glob(f"*/{programs.multilib}/libgcc.a"))
    for missing, what in (
        (emulator is None, programs.emulator),
        (linker is None, f"{programs.tools}ld"),
        (not (library / "crt0.o").is_file() or not script.is_file(), str(library)),
        (not runtimes, f"GCC's run-time for {programs.multilib}"),
    ):
        if missing:
            raise ToolchainNotFound(
                f"pass lists cannot be checked for {architecture}: {what} is missing; "
                f"install it with 'apt-get install {programs.package}'"
            )
    assert emulator is not None
    assert linker is not None
    return BareMetalTarget(
        architecture=architecture,
        triple=programs.triple,
        toolchain=toolchain,
        runner=(emulator, *programs.machine, *_EMULATOR),
        flags=programs.compile_flags,
        programs=programs,
        linker=linker,
        library=library,
        script=script,
        runtime=runtimes[-1].parent,
    )
