"""Executables of a driver, a function and stubs: linked, and run on inputs.

The executables run under resource limits and seccomp where the kernel grants it; code of other
machines under an emulator.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llm_compiler.llvm.elf import ElfFile, Symbol, parse_elf
from llm_compiler.llvm.targets import target_of
from llm_compiler.process import run as run_process
from llm_compiler.verify.architectures import architecture_named
from llm_compiler.verify.inputs import (
    BUFFER_BYTES,
    CONTENT_BYTES,
    NUM_BUFFERS,
    STRIDE,
    Frame,
    Input,
    assign_locations,
    buffer_address,
)
from llm_compiler.verify.library import (
    ALLOCATORS,
    DEALLOCATORS,
    KNOWN_RESULTS,
    NO_RETURN,
    REAL,
    SAME_RESULT,
)
from llm_compiler.verify.probes import COVERAGE_SYMBOL
from llm_compiler.verify.side_by_side.jump_tables import jump_tables
from llm_compiler.verify.side_by_side.options import Unproved
from llm_compiler.verify.side_by_side.outcomes import Outcome, parse_outcomes
from llm_compiler.verify.side_by_side.throwing import (
    MAX_KINDS,
    PERSONALITIES,
    Site,
    how_often,
    sites_of,
)
from llm_compiler.verify.side_by_side.world import NUM_CALLBACKS, World
from llm_compiler.verify.target import Target

__all__ = ["Executable", "Programs", "Stub", "stub_address"]

_MAGIC = 0x6C6C6D2D65786531
_IMAGE, _STUBS, _COVERAGE = 0x39D00000, 0x39C00000, 0x3C000000
_STUB_BYTES = 32
_MAX_SITES = 2048
_KINDS = {**ALLOCATORS, **dict.fromkeys(SAME_RESULT, 5), **dict.fromkeys(DEALLOCATORS, 7)}
"""What stubs do for real, as execute_driver.c numbers it."""
_FIRST, _SECOND, _NUMBER = 1, 2, 4
_IDLE_RESULTS = {
    "void": _FIRST | _SECOND | _NUMBER,
    **dict.fromkeys(("i32", "i64", "ptr"), _SECOND | _NUMBER),
    **dict.fromkeys(("float", "double"), _FIRST | _SECOND),
}
"""By what a well-known function returns: registers that it returns nothing in."""

_SCRIPT = """
ENTRY(_start)
PHDRS {{ code PT_LOAD FLAGS(5); constants PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6);
         own_code PT_LOAD FLAGS(5); own_constants PT_LOAD FLAGS(4); own_data PT_LOAD FLAGS(6);
         stack PT_GNU_STACK FLAGS(6); }}
SECTIONS {{
  . = {image:#x};
  .llm_code : {{ {subject}(.text .text.*) . = ALIGN(4096); }} :code ={fill}
  .llm_constants : {{ llm_constants_start = .;
    {subject}(.rodata .rodata.* .data.rel.ro .data.rel.ro.*) llm_constants_end = .; }} :constants
  . = ALIGN(4096);
  .llm_data : {{ llm_data_start = .; {subject}(.data .data.* .bss .bss.* COMMON)
    . = ALIGN(8); QUAD(0) llm_data_end = .; }} :data
  . = ALIGN(4096);
  .got : {{ *(.got .got.*) }} :data
  . = ALIGN(65536);
  .text : {{ {driver}(.text .text.*) *(.iplt .plt) }} :own_code
  . = ALIGN(65536);
  .rodata : {{ {driver}(.rodata .rodata.*) *(.rela.*) }} :own_constants
  . = ALIGN(65536);
  .data : {{ {driver}(.data .data.* .bss .bss.* COMMON) *(.igot .got.plt) }} :own_data
  /DISCARD/ : {{ *(.eh_frame .gcc_except_table .gcc_except_table.* .comment .note* .llvm_addrsig
    .debug*) }}
}}
"""


class Stub(NamedTuple):
    """What the driver does in a function's place.

    `kind`: as execute_driver.c numbers what it does for real; 1: it ends the run. `result_bits`: of
    a result that is extended. `followed`: argument registers that it may follow to memory, a bit
    each. `idle`: the two integer registers of a result, and the number's, a bit each, that it
    surely returns nothing in.
    """

    kind: int
    result_bits: int
    is_signed: int
    num_stack_words: int
    followed: int
    throws: int
    idle: int


_CALLBACK = Stub(0, 0, 0, 6, 0, 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A linked program, and where the function is in it."""

    path: Path
    elf: ElfFile
    entry: int
    sites: tuple[Site, ...] = ()
    """Of the function's exception table."""


def stub_address(index: int) -> int:
    """Return where the stub with a number stands."""
    return _STUBS + index * _STUB_BYTES


class Programs:
    """Links and runs programs of one target; owns nothing but files in its folder."""

    def __init__(self, target: Target, folder: Path, timeout_s: float) -> None:
        self.target, self.folder, self._timeout_s = target, folder, timeout_s
        self._driver = folder / f"driver-{target.architecture}.o"
        self._linker = ""

    def build_driver(self) -> None:
        """Compile the driver and find the linker, once."""
        if self._linker:
            return
        source = Path(__file__).parent.with_name("execute_driver.c")
        flags = ["-O1", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pic", "-w"]
        flags += ["-fno-asynchronous-unwind-tables"]
        flags += architecture_named(self.target.architecture).driver_flags
        self.target.compile([*flags, "-c", str(source), "-o", str(self._driver)])
        clang = self.target.toolchain.tool("clang")
        asked: list[str | Path] = [clang, f"--target={self.target.triple}", "-print-prog-name=ld"]
        self._linker = run_process(asked, timeout_s=30).stdout.decode().strip() or "ld"

    def link(self, subject: Path, name: str, world: World, stem: str) -> Executable:
        """Link a function's object with the driver and what surrounds it.

        Raises:
            Unproved: it does not link.
        """
        script = self.folder / f"{stem}.ld"
        output = self.folder / f"{stem}.run"
        trap = target_of(self.target.architecture).trap
        fill = f"0x{(trap * 4)[:4].hex()}"
        script.write_text(
            _SCRIPT.format(
                image=_IMAGE, subject=f"*{subject.name}", driver=f"*{self._driver.name}", fill=fill
            )
        )
        positions = {word: REAL[word] for word in REAL if word != name}
        for index, function in enumerate(world.functions):
            positions[function] = f"{stub_address(index):#x}"
        for index, function in enumerate(world.data):
            positions[function] = f"{buffer_address(NUM_BUFFERS + index):#x}"
        positions[COVERAGE_SYMBOL] = f"{_COVERAGE:#x}"
        positions["_GLOBAL_OFFSET_TABLE_"] = f"{_IMAGE:#x}"
        positions.update(dict.fromkeys(PERSONALITIES, "0"))
        positions.pop(name, None)
        command: list[str | Path] = [
            self._linker,
            "-static",
            "--no-warnings",
            "-z",
            "max-page-size=4096",
            "-T",
            script,
            *(f"--defsym={symbol}={place}" for symbol, place in positions.items()),
            self._driver,
            subject,
            "-o",
            output,
        ]
        completed = run_process(command, timeout_s=60)
        if not completed.ok:
            lines = [line for line in completed.stderr_text.splitlines() if line.strip()]
            raise Unproved(
                f"it does not link with the driver ({(lines or ['no message'])[0][:200]})"
            )
        elf = parse_elf(output.read_bytes(), output.name)
        entry = elf.symbol(name)
        if entry is None:
            raise Unproved("its symbol is gone when linked")
        thrown = world.thrown
        sites = sites_of(parse_elf(subject.read_bytes(), subject.name), name, thrown)
        if len(sites) > _MAX_SITES:
            raise Unproved(f"its exception table has {len(sites)} ranges")
        return Executable(path=output, elf=elf, entry=entry.value, sites=sites)

    def run(
        self,
        executable: Executable,
        inputs: Sequence[Input],
        world: World,
        frame: Frame,
        *,
        num_covered_bytes: int = 0,
        patience: float = 1,
    ) -> list[Outcome]:
        """Run a program on inputs; return an outcome for each.

        Args:
            num_covered_bytes: of a program with probes, whose marks and notes are reported.
            patience: how many times the usual limit a run may take.

        Raises:
            Unproved: the driver failed, or all runs together took too long.
        """
        if not inputs:
            return []
        elf = executable.elf

        def place(name: str) -> int:
            symbol = elf.symbol(name)
            assert symbol is not None, name
            return symbol.value

        variables = [(_variable(elf, name), size) for name, size in world.variables]
        stubs = self.stubs(world)
        num_buffers = NUM_BUFFERS + len(world.data) + 1
        code = next(section for section in elf.sections if section.name == ".llm_code")
        tables = jump_tables(elf)
        limit_us = round((500_000 if self.target.runner else 50_000) * patience)
        settings = (
            _MAGIC,
            len(inputs),
            executable.entry,
            frame.num_stack_words,
            place("llm_constants_start"),
            place("llm_constants_end"),
            place("llm_data_start"),
            place("llm_data_end"),
            code.address,
            code.address + code.size,
            len(stubs),
            len(variables),
            _COVERAGE if num_covered_bytes else 0,
            num_covered_bytes,
            limit_us,
            num_buffers * CONTENT_BYTES,
            num_buffers * STRIDE,
            # The heap: the whole of the last buffer.
            buffer_address(num_buffers - 1) + CONTENT_BYTES - BUFFER_BYTES,
            len(executable.sites),
            len(world.thrown),
            # An exception is what an argument may point to, too.
            buffer_address(NUM_BUFFERS - 1),
            bool(self.target.runner),
            world.num_repeats,
            len(tables),
        )
        data = b"".join(
            (
                struct.pack(f"<{len(settings)}Q", *settings),
                *(struct.pack("<7Q", *stub) for stub in stubs),
                *(struct.pack("<2Q", address, size) for address, size in variables),
                *(_packed_site(site, executable.entry) for site in executable.sites),
                struct.pack(f"<{len(tables)}Q", *tables),
                *(item.encoded() for item in inputs),
            )
        )
        completed = run_process(
            [*self.target.runner, executable.path],
            timeout_s=self._timeout_s * max(1, patience),
            stdin=data,
            env={},
        )
        outcomes = parse_outcomes(completed.stdout)
        if len(outcomes) < len(inputs):
            if completed.timed_out:
                raise Unproved("it takes too long on the inputs tried")
            raise Unproved(f"the driver failed on it (status {completed.exit_status})")
        return outcomes

    def stubs(self, world: World) -> list[Stub]:
        """Return what the driver is to know of the stubs, those of callbacks last."""
        named = [self._stub(function, world) for function in world.functions]
        return named + [_CALLBACK] * NUM_CALLBACKS

    def _stub(self, name: str, world: World) -> Stub:
        """Return a function's stub. What the lift names is the same in both."""
        ends = name in world.ending or NO_RETURN.match(name)
        kind = _KINDS.get(name, int(bool(ends)))
        signature = world.declared.get(name)
        frame = assign_locations(signature, self.target.architecture) if signature else None
        stack = followed = 0
        if signature is not None and frame is not None:
            for parameter, position in zip(signature.parameters, frame.locations, strict=True):
                if position.kind == "integer" and parameter.bits == 64 and world.leaves_traces:
                    followed |= 1 << position.index
                if position.kind == "stack":
                    stack = max(
                        stack,
                        position.index + max(1, parameter.memory_bytes // 8, parameter.bits // 64),
                    )
        bits, is_signed = world.extended.get(name, (0, False))
        throws = 0 if name in world.ending else how_often(name)
        idle = _IDLE_RESULTS.get(KNOWN_RESULTS.get(name, ""), 0)
        return Stub(kind, bits, int(is_signed), min(stack, 6), followed, throws, idle)


def _packed_site(site: Site, entry: int) -> bytes:
    selectors = (*site.selectors, *[0] * MAX_KINDS)[:MAX_KINDS]
    pad = entry + site.pad if site.pad else 0
    return struct.pack("<11Q", entry + site.start, entry + site.end, pad, *selectors)


def _variable(elf: ElfFile, name: str) -> int:
    found: Symbol | None = elf.symbol(name)
    assert found is not None
    return found.value
