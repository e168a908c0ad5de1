"""Whole programs with the stock tools: clang's link-time optimisation, and sizes after linking.

What a program becomes is compared after a link that needs none of its libraries: lld with
``--gc-sections``, the same entry and exports, and undefined names ignored. The baseline is
``clang -Oz -flto``; its native object is kept, so that it can be handed out too. Safe in threads.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.llvm.function_wise.assemble import internalize_pipeline
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes
from llm_compiler.llvm.stock import Stock

__all__ = ["LinkTime", "as_text", "bitcode_command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTime:
    """The link steps of one program.

    Args:
        exports: what the program offers; the first is the entry.
        folder: for linked files; the caller owns it.
    """

    stock: Stock
    exports: tuple[str, ...]
    folder: Path

    def link_command(
        self, inputs: Sequence[Path], output: Path, *, native: Path | None = None
    ) -> tuple[str, ...]:
        """Return the command that links objects or bitcode for their size.

        Args:
            native: where the object of link-time optimisation is kept.
        """
        lld = self.stock.toolchain.tool("ld.lld")
        triple = self.stock.target_triple
        return (
            str(self.stock.toolchain.tool("clang")),
            "-Oz",
            *((f"--target={triple}",) if triple else ()),
            *_machine_flags(self.stock.flags.kept),
            *(("-flto", f"-Wl,--lto-obj-path={native}") if native else ()),
            f"--ld-path={lld}",
            "-nostdlib",
            "-static",
            "-Wl,--gc-sections,--unresolved-symbols=ignore-all",
            f"-Wl,-e,{self.exports[0]}",
            *(f"-Wl,-u,{name}" for name in self.exports[1:]),
            *map(str, inputs),
            "-o",
            str(output),
        )

    def linked_sizes(self, data: bytes, name: str) -> ObjectSizes:
        """Return what an object takes once it is linked.

        Raises:
            CompileFailed, TimedOut, ...: in the linker's own words.
        """
        path, linked = self.folder / f"{name}.o", self.folder / f"{name}.linked"
        path.write_bytes(data)
        self.stock.run_tool(self.link_command([path], linked), "the link")
        return section_sizes(linked.read_bytes())

    def baseline(self, inputs: Sequence[tuple[Stock, Path]]) -> tuple[bytes, ObjectSizes]:
        """Return the object of ``clang -Oz -flto``, and what it takes once it is linked.

        Args:
            inputs: each source with the tools and flags that compile it.

        Raises:
            LlmCompilerError: clang or the linker fails.
        """
        compiled = [self.folder / f"lto{index}.bc" for index in range(len(inputs))]
        for (stock, source), path in zip(inputs, compiled, strict=True):
            stock.compile_source(bitcode_command(stock, source, path), source)
        native, linked = self.folder / "lto.o", self.folder / "lto.linked"
        self.stock.run_tool(self.link_command(compiled, linked, native=native), "the link")
        return native.read_bytes(), section_sizes(linked.read_bytes())

    def join_commands(
        self, units: Sequence[Path], kept: tuple[str, ...], output: Path
    ) -> tuple[tuple[str, ...], ...]:
        """Return the commands that make one module of unoptimised units, all else static.

        Args:
            kept: what stays visible, of what is defined.
        """
        linked = Path(f"{output}.joined.bc")
        opt = str(self.stock.toolchain.tool("opt"))
        pipeline = f"{internalize_pipeline(kept)},globaldce"
        return (
            self.stock.link_command(units[0], units[1:], linked),
            (opt, f"-passes={pipeline}", str(linked), "-o", str(output)),
        )

    def merge_command(self, objects: Sequence[Path], output: Path) -> tuple[str, ...]:
        """Return the command that makes one object of several, as they are."""
        lld = str(self.stock.toolchain.tool("ld.lld"))
        return (lld, "-r", *map(str, objects), "-o", str(output))


def _machine_flags(flags: Sequence[str]) -> Iterator[str]:
    """Yield the flags that say what machine is linked for: target, processor and ABI."""
    words = iter(flags)
    for word in words:
        if word == "-target":
            yield from (word, next(words, ""))
        elif word.startswith("--target="):
            yield word
        elif word == "-mllvm":
            next(words, None)
        elif word.startswith("-m") and not word.startswith("-mllvm"):
            yield word


def bitcode_command(stock: Stock, source: Path, output: Path) -> tuple[str, ...]:
    """Return the command that compiles an input for the baseline's link."""
    return (*stock.baseline_command(source, output), "-flto")


def as_text(stock: Stock, command: Sequence[str]) -> str:
    """Return a command as text for a shell, in the folder that its tools are started in."""
    text = shlex.join(command)
    return text if stock.cwd is None else f"(cd {shlex.quote(str(stock.cwd))} && {text})"
