"""How programs of WebAssembly are compiled, linked and run: wasi-libc, wasm-ld, and Node.

Programs that are linked with a driver (``wasm_driver.c``) run in one start of Node, each in an
instance of its own, so that a trap ends that program alone (``run_wasm.mjs``). There is no library
of C++ here: programs in C++ are left out. Knows nothing of pass lists. Safe to call from several
threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.targets import WasiPrograms
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import Completed, which
from llm_compiler.verify.driver_records import driver_records
from llm_compiler.verify.harness_table import symbol_suffix
from llm_compiler.verify.target import Target

__all__ = ["WasmTarget", "wasm_target"]

_STACK_BYTES = 1 << 20
"""The linker's default of 64 kilobytes is less than programs are written for elsewhere."""
_SINGLE = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmTarget(Target):
    """The tools for WebAssembly."""

    @property
    def languages(self) -> tuple[str, ...]:
        """What programs may be written in."""
        return ("c",)

    @property
    def driver(self) -> Path:
        """The source of what runs one of many programs that are linked with it."""
        return Path(__file__).with_name("wasm_driver.c")

    def program_table(self, names: Sequence[str]) -> str:
        """Return the table with both kinds of main: clang names one with arguments differently."""
        pointers = "int (*with)(int, char **), (*without)(void)"
        lines = [f"struct program {{ const char *name; {pointers}; }};"]
        rows = []
        for index, name in enumerate(names):
            suffix = symbol_suffix(name)
            for kind, parameters, symbol in (
                ("with", "int, char **", "__main_argc_argv"),
                ("without", "void", "main"),
            ):
                lines.append(
                    f"extern int {kind}_{index}({parameters}) __attribute__((weak)) "
                    f'__asm__("{symbol}{suffix}");'
                )
            rows.append(f'    {{"{name}", with_{index}, without_{index}}},')
        lines += ["const struct program llm_compiler_programs[] = {", *rows, "};"]
        lines.append(f"const int llm_compiler_num_programs = {len(rows)};")
        return "\n".join(lines) + "\n"

    def link(self, objects: Sequence[Path], output: Path, flags: Sequence[str] = ()) -> None:
        """Link objects of C into a module.

        Raises:
            CompileFailed: in the linker's own words.
        """
        stack = f"-Wl,-z,stack-size={_STACK_BYTES},--stack-first"
        self.compile([stack, *map(str, objects), "-o", str(output), "-lm", *flags])

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
        made = f"{output.name}.o"
        self.compile(
            ["-O0", *flags, "-c", source, "-o", made], language=language, cwd=output.parent
        )
        self.link([output.parent / made], output, link_flags)

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
        """Run programs of a module; return records as the driver of Linux writes them.

        A program that took too long, or that Node died of, has a record like the others.
        """
        # Not by super(): dataclasses with slots are made anew.
        completed = Target.run(self, executable, arguments, timeout_s=timeout_s)
        ended = "timeout 0" if completed.timed_out else "signal 6"
        return replace(completed, stdout=driver_records(completed.stdout, ended))


def wasm_target(architecture: str, programs: WasiPrograms, toolchain: Toolchain) -> WasmTarget:
    """Return how to build and run for WebAssembly on this machine.

    Raises:
        ToolchainNotFound: Node, wasi-libc or the linker is missing.
    """
    node = which(programs.emulator)
    for missing, what in (
        (node is None, programs.emulator),
        (not (Path(programs.sysroot) / "libc.a").is_file(), f"{programs.sysroot}/libc.a"),
        (not (toolchain.bin_dir / "wasm-ld").exists(), "wasm-ld"),
    ):
        if missing:
            raise ToolchainNotFound(
                f"pass lists cannot be checked for {architecture}: {what} is missing; "
                f"install it with 'apt-get install {programs.package}'"
            )
    assert node is not None
    script = Path(__file__).with_name("run_wasm.mjs")
    return WasmTarget(
        architecture=architecture,
        triple=programs.triple,
        toolchain=toolchain,
        runner=(node, "--no-warnings", str(script)),
        flags=programs.compile_flags,
    )
