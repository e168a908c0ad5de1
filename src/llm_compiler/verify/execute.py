"""Verdicts *tests_passed*, *refuted* and *unproved*: run a function and its lift side by side.

Each of the two becomes an executable of its own: the driver (``execute_driver.c``, freestanding),
the function's object, and stubs for all that it refers to. Both get the same inputs. Compared are
how a run ends, result registers, all memory that is reachable, static variables, and the sequence
of calls with their arguments. Where the original crashes, an input says nothing.

*tests_passed* needs `ExecuteOptions.min_inputs` inputs on which the original ran to its end, and
the share `min_coverage` of its basic blocks run by them. Differences that a caller might see, but
that the lifted signature does not name (a result register of a ``void`` function, an argument
register of a call), make *unproved*.

The executables run under resource limits and seccomp where the kernel grants it; AArch64 code on
other machines under qemu-user. Safe to call from several threads, each with an `Executor`.
"""

from __future__ import annotations

import dataclasses
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.elf import AARCH64, ElfFile, Symbol, SymbolKind, parse_elf
from llm_compiler.process import run
from llm_compiler.verify.inputs import (
    BUFFER_BYTES,
    CONTENT_BYTES,
    NUM_BUFFERS,
    STRIDE,
    Frame,
    Input,
    InputGenerator,
    Place,
    assign_places,
    buffer_address,
)
from llm_compiler.verify.library import ALLOCATORS, KNOWN_ARITIES, NO_RETURN, REAL
from llm_compiler.verify.lifted import LiftInspection, LiftVerdict, Scalar, Signature
from llm_compiler.verify.probes import (
    COVERAGE_SYMBOL,
    comparison_constants,
    makes_system_calls,
    memory_fields,
    with_probes,
)
from llm_compiler.verify.round_trip import CodeObject
from llm_compiler.verify.target import Target

__all__ = ["Counterexample", "ExecuteOptions", "Execution", "Executor"]

_MAGIC = 0x6C6C6D2D65786531
_IMAGE, _STUBS, _COVERAGE = 0x39D00000, 0x39C00000, 0x3C000000
_STUB_BYTES, _MAX_STUBS = 32, 200
_NUM_CALLBACKS = 6
_MAX_DATA_SYMBOLS = 10
_MAX_VARIABLE_BYTES = 64 * 1024
_CALL_WORDS = 40
_CLOBBER = 0xDEADBEEF5C000000
_STACK_TAG = 0xFEED000000000001
_ALL = (1 << 64) - 1
_FIRST_INPUTS = 8
_PIECE = 96
"""Inputs between two looks at the clock."""
_RETURNED, _ENDED, _TOO_MANY, _CRASHED, _HUNG = 1, 2, 4, 5, 6

_THREAD_LOCAL = {
    "x86_64": frozenset(range(16, 24)) | {32, 34, 35, 36},
    AARCH64: frozenset(range(512, 600)),
}
_BRANCHES = {"x86_64": frozenset({4}), AARCH64: frozenset({282, 283})}

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
  /DISCARD/ : {{ *(.eh_frame .comment .note* .llvm_addrsig .debug*) }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteOptions:
    """How much evidence is asked for."""

    num_inputs: int = 384
    """Drawn at first; half as many again for each further round."""
    num_rounds: int = 4
    """Further rounds, as long as blocks have not run: mutants of inputs that reached new ones."""
    num_searches: int = 24
    """Rounds after these, of which only inputs that reach new blocks are kept."""
    min_inputs: int = 48
    """On which the original must run to its end."""
    min_coverage: float = 1.0
    """Share of the original's basic blocks that these must run."""
    seed: int = 0
    run_timeout_s: float = 60.0
    max_seconds: float = 10.0
    """For one function and one lift: after that no more inputs are drawn or run. Code that never
    ends on most inputs would else cost minutes."""
    emulated_share: float = 1.0
    """Of `num_inputs`, and of `min_inputs`, where code runs under an emulator, which is slow."""

    def emulated(self) -> ExecuteOptions:
        """Return the options for code that runs under an emulator."""
        return dataclasses.replace(
            self,
            num_inputs=max(1, round(self.num_inputs * self.emulated_share)),
            min_inputs=max(1, round(self.min_inputs * self.emulated_share)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """An input on which the two differ."""

    arguments: tuple[str, ...]
    difference: str
    seed: int
    number: int
    """Of the input, in the order of the seed's inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A verdict from running, and the evidence behind it."""

    verdict: LiftVerdict
    reason: str = ""
    num_inputs: int = 0
    num_completed: int = 0
    """On which the original ran to its end."""
    num_blocks: int = 0
    num_covered: int = 0
    counterexample: Counterexample | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one run left, as the driver reports it."""

    kind: int
    detail: int
    integers: tuple[int, ...]
    floats: tuple[int, ...]
    broken: int
    calls: tuple[tuple[int, ...], ...] = field(repr=False)
    changes: bytes = field(repr=False)
    coverage: bytes = field(repr=False)

    @property
    def is_complete(self) -> bool:
        return self.kind in (_RETURNED, _ENDED, _TOO_MANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """What a function's surroundings are: the same for the original and the lift."""

    functions: tuple[str, ...]
    """Stubs, in the order of their numbers."""
    data: tuple[str, ...]
    variables: tuple[tuple[str, int], ...]
    """Static ones: name and bytes, in the order in which the driver reports them."""
    declared: dict[str, Signature]
    extended: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Bits and sign of results that functions promise to extend, where the stubs keep to it."""


class _Unproved(Exception):
    """There can be no evidence; the message says why."""


class Executor:
    """Runs functions of one target; owns nothing but files in its folder."""

    def __init__(self, target: Target, folder: Path, options: ExecuteOptions | None = None) -> None:
        self._target, self._folder = target, folder
        self._options = options or ExecuteOptions()
        if target.runner:
            self._options = self._options.emulated()
        self._architecture = target.architecture
        self._driver = folder / f"driver-{target.architecture}.o"
        self._linker = ""
        self._corpora: dict[tuple[object, ...], tuple[list[Input], int, int]] = {}

    def lighter(self, folder: Path) -> Executor:
        """Return one with fewer inputs and less time: to find plain differences only."""
        few = dataclasses.replace(
            self._options,
            num_inputs=min(96, self._options.num_inputs),
            num_rounds=1,
            max_seconds=min(3.0, self._options.max_seconds),
        )
        return Executor(self._target, folder, few)

    def moved(self, folder: Path) -> Executor:
        """Return another one with the same options, for another thread."""
        other = Executor(self._target, folder)
        other._options = self._options
        return other

    def _build_driver(self) -> None:
        if self._linker:
            return
        source = Path(__file__).with_name("execute_driver.c")
        flags = ["-O1", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pic", "-w"]
        flags += ["-fno-asynchronous-unwind-tables", "-fcf-protection=none"]
        if self._architecture == AARCH64:
            flags = [*flags[:-1], "-mno-outline-atomics"]
        self._target.compile([*flags, "-c", str(source), "-o", str(self._driver)])
        clang = self._target.toolchain.tool("clang")
        asked: list[str | Path] = [clang, f"--target={self._target.triple}", "-print-prog-name=ld"]
        self._linker = run(asked, timeout_s=30).stdout.decode().strip() or "ld"

    # -- the way through ---------------------------------------------------------------------------

    def verify(
        self, original: CodeObject, text: str, name: str, lifted: CodeObject, lift: LiftInspection
    ) -> Execution:
        """Compare a function's own object with the object of its lift.

        Args:
            text: the function's assembly, which `original` is the object of.
        """
        try:
            self._build_driver()
            return self._verify(original, text, name, lifted, lift)
        except _Unproved as error:
            return Execution(verdict=LiftVerdict.UNPROVED, reason=str(error))

    def verify_across(
        self,
        original: CodeObject,
        text: str,
        name: str,
        other: Executor,
        lifted: CodeObject,
        lift: LiftInspection,
        own: LiftInspection,
    ) -> Execution:
        """Compare a function's own object with code of its lift for another target.

        *refuted* needs that both refer to the same functions: where one target has an
        instruction, the other may have a call. Registers that no signature names are not looked
        at; NaN is equal to NaN, in memory too, since their signs differ.

        Args:
            text: the function's assembly, which `original` is the object of.
            other: of the target that `lifted` is for.
            lift: as it is for that target.
            own: as it is for the original's; what it says of extended arguments and results holds
                for the inputs.
        """
        try:
            self._build_driver()
            other._build_driver()
            return self._verify_across(original, text, name, other, lifted, lift, own)
        except _Unproved as error:
            return Execution(verdict=LiftVerdict.UNPROVED, reason=str(error))

    def _verify_across(
        self,
        original: CodeObject,
        text: str,
        name: str,
        other: Executor,
        lifted: CodeObject,
        lift: LiftInspection,
        own: LiftInspection,
    ) -> Execution:
        signature = lift.signature
        frame, moved = self._frame(own.signature), other._frame(signature)
        if any(one.kind == "integer" and one.bits > 64 for one in signature.parameters):
            raise _Unproved("it takes integers of 128 bits")
        if makes_system_calls(text, name):
            raise _Unproved("it makes system calls of its own")
        if any(one.name == ".gcc_except_table" for one in original.elf.sections):
            raise _Unproved("it catches exceptions, and what throws is not run")
        world = dataclasses.replace(
            self._world(original.elf, lifted.elf, lift, name, other),
            extended={
                callee: (one.results[0].bits, one.result_extension == "sign")
                for callee, one in own.declared.items()
                if one.result_extension
            },
        )
        ours = self._link(original.path, name, world, "original")
        theirs = other._link(lifted.path, name, world, "lifted")
        inputs, covered, blocks = self._inputs(text, name, world, own.signature, frame)
        evidence = Execution(
            verdict=LiftVerdict.TESTS_PASSED,
            num_inputs=len(inputs),
            num_blocks=blocks,
            num_covered=covered,
        )
        comparison = _Across(signature, world, self._architecture, other._architecture)

        def run_both(some: Sequence[Input]) -> Iterator[tuple[_Outcome, _Outcome]]:
            there = [_moved_input(one, signature, frame, moved) for one in some]
            first = self._run(ours, some, world, frame)
            return zip(first, other._run(theirs, there, world, moved), strict=True)

        end = time.monotonic() + self._options.max_seconds
        for number, (given, one, two) in enumerate(_in_turn(inputs, run_both, end)):
            completed = evidence.num_completed + one.is_complete
            evidence = dataclasses.replace(evidence, num_completed=completed)
            difference = comparison.compare(one, two) if one.is_complete else ""
            if not difference:
                continue
            if two.kind == _HUNG:
                raise _Unproved("it takes too long on the other target")
            if foreign := _foreign_calls(original.elf, lifted.elf) or _foreign_calls(
                lifted.elf, original.elf
            ):
                raise _Unproved(f"only one of both targets refers to {foreign}")
            example = Counterexample(
                arguments=describe_arguments(signature, frame, given),
                difference=difference,
                seed=self._options.seed,
                number=number,
            )
            return dataclasses.replace(
                evidence, verdict=LiftVerdict.REFUTED, reason=difference, counterexample=example
            )
        return self._with_doubts(evidence, "")

    def _frame(self, signature: Signature) -> Frame:
        if signature.unsupported:
            raise _Unproved(f"its signature has {signature.unsupported}")
        frame = assign_places(signature, self._architecture)
        if frame is None:
            raise _Unproved("its signature has too many parameters")
        return frame

    def _verify(
        self, original: CodeObject, text: str, name: str, lifted: CodeObject, lift: LiftInspection
    ) -> Execution:
        signature = lift.signature
        frame = self._frame(signature)
        if makes_system_calls(text, name):
            raise _Unproved("it makes system calls of its own")
        if any(one.name == ".gcc_except_table" for one in original.elf.sections):
            raise _Unproved("it catches exceptions, and what throws is not run")
        world = self._world(original.elf, lifted.elf, lift, name, self)
        ours = self._link(original.path, name, world, "original")
        theirs = self._link(lifted.path, name, world, "lifted")
        inputs, covered, blocks = self._inputs(text, name, world, signature, frame)
        evidence = Execution(
            verdict=LiftVerdict.TESTS_PASSED,
            num_inputs=len(inputs),
            num_blocks=blocks,
            num_covered=covered,
        )
        doubt = ""
        comparison = _Comparison(signature, world, self._architecture)

        def run_both(some: Sequence[Input]) -> Iterator[tuple[_Outcome, _Outcome]]:
            first = self._run(ours, some, world, frame)
            return zip(first, self._run(theirs, some, world, frame), strict=True)

        end = time.monotonic() + self._options.max_seconds
        for number, (given, one, other) in enumerate(_in_turn(inputs, run_both, end)):
            completed = evidence.num_completed + one.is_complete
            evidence = dataclasses.replace(evidence, num_completed=completed)
            if not one.is_complete:
                continue
            if other.kind == _HUNG:
                # Slow is not wrong: ask once more, with ten times the limit.
                one, other = (
                    self._run(each, [given], world, frame, patience=10)[0]
                    for each in (ours, theirs)
                )
                if not one.is_complete:
                    continue
            hard, soft = comparison.compare(given, one, other)
            if hard and (foreign := _foreign_calls(original.elf, lifted.elf)):
                # The original may have it inlined; a stub in its place shows nothing.
                doubt = f"it refers to {foreign}, which the original does not"
                break
            if hard:
                example = Counterexample(
                    arguments=describe_arguments(signature, frame, given),
                    difference=hard,
                    seed=self._options.seed,
                    number=number,
                )
                return dataclasses.replace(
                    evidence, verdict=LiftVerdict.REFUTED, reason=hard, counterexample=example
                )
            doubt = doubt or soft
        return self._with_doubts(evidence, doubt)

    def _with_doubts(self, evidence: Execution, doubt: str) -> Execution:
        """Return what inputs without a difference show."""
        found, blocks = evidence.num_completed, evidence.num_blocks
        if not doubt and found < self._options.min_inputs:
            doubt = f"the original ran to its end on {found} of {evidence.num_inputs} inputs"
        if not doubt and (evidence.num_covered < self._options.min_coverage * blocks or not blocks):
            doubt = f"the inputs run {evidence.num_covered} of its {blocks} basic blocks"
        if doubt:
            return dataclasses.replace(evidence, verdict=LiftVerdict.UNPROVED, reason=doubt)
        return evidence

    # -- surroundings ------------------------------------------------------------------------------

    def _branched(self, elf: ElfFile) -> set[str]:
        """Return the names that code jumps to or calls."""
        found = set()
        for relocations in elf.relocations.values():
            for one in relocations:
                if one.type in _THREAD_LOCAL[self._architecture]:
                    raise _Unproved("it uses thread-local storage")
                if one.type in _BRANCHES[self._architecture]:
                    found.add(one.symbol.name)
        return found

    def _world(
        self,
        original: ElfFile,
        lifted: ElfFile,
        lift: LiftInspection,
        name: str,
        other: Executor,
    ) -> _World:
        """Return the surroundings of both; `other` runs the lift."""
        functions: dict[str, None] = {}
        data: dict[str, None] = {}
        branched = self._branched(original) | other._branched(lifted)
        for elf in (original, lifted):
            for symbol in elf.symbols:
                if symbol.is_defined or not symbol.name or symbol.kind is SymbolKind.FILE:
                    continue
                if symbol.name in REAL or symbol.name == "_GLOBAL_OFFSET_TABLE_":
                    continue
                is_function = symbol.name in branched or (
                    symbol.name in lift.declared and symbol.name not in lift.external_variables
                )
                (functions if is_function else data)[symbol.name] = None
        if len(functions) > _MAX_STUBS - _NUM_CALLBACKS:
            raise _Unproved(f"it calls {len(functions)} other functions")
        if len(data) > _MAX_DATA_SYMBOLS:
            raise _Unproved(f"it refers to {len(data)} external variables")
        return _World(
            functions=tuple(sorted(functions)),
            data=tuple(sorted(data)),
            variables=self._variables(original, lifted),
            declared=lift.declared,
        )

    def _variables(self, original: ElfFile, lifted: ElfFile) -> tuple[tuple[str, int], ...]:
        ours, theirs = (
            {
                one.name: one
                for one in elf.symbols
                if one.is_defined and one.size and elf.sections[one.section].is_writable
            }
            for elf in (original, lifted)
        )
        for name in theirs:
            if name not in ours:
                raise _Unproved(f"it has a variable '{name}', which the original has not")
        for name, one in ours.items():
            if name not in theirs:
                raise _Unproved(f"it has no variable '{name}' of its own to compare")
            if theirs[name].size != one.size:
                raise _Unproved(f"its variable '{name}' is of another size")
        if sum(one.size + 8 for one in ours.values()) > _MAX_VARIABLE_BYTES:
            raise _Unproved("its static variables are too large")
        return tuple(sorted((name, one.size) for name, one in ours.items()))

    def _link(self, subject: Path, name: str, world: _World, stem: str) -> _Executable:
        script = self._folder / f"{stem}.ld"
        output = self._folder / f"{stem}.run"
        fill = "0x000020d4" if self._architecture == AARCH64 else "0xcccccccc"
        script.write_text(
            _SCRIPT.format(
                image=_IMAGE, subject=f"*{subject.name}", driver=f"*{self._driver.name}", fill=fill
            )
        )
        places = {one: REAL[one] for one in REAL if one != name}
        for index, one in enumerate(world.functions):
            places[one] = f"{_STUBS + index * _STUB_BYTES:#x}"
        for index, one in enumerate(world.data):
            places[one] = f"{buffer_address(NUM_BUFFERS + index):#x}"
        places[COVERAGE_SYMBOL] = f"{_COVERAGE:#x}"
        places["_GLOBAL_OFFSET_TABLE_"] = f"{_IMAGE:#x}"
        places.pop(name, None)
        command: list[str | Path] = [
            self._linker,
            "-static",
            "--no-warnings",
            "-z",
            "max-page-size=4096",
            "-T",
            script,
            *(f"--defsym={symbol}={place}" for symbol, place in places.items()),
            self._driver,
            subject,
            "-o",
            output,
        ]
        completed = run(command, timeout_s=60)
        if not completed.ok:
            lines = [line for line in completed.stderr_text.splitlines() if line.strip()]
            raise _Unproved(
                f"it does not link with the driver ({(lines or ['no message'])[0][:200]})"
            )
        elf = parse_elf(output.read_bytes(), output.name)
        entry = elf.symbol(name)
        if entry is None:
            raise _Unproved("its symbol is gone when linked")
        return _Executable(path=output, elf=elf, entry=entry.value)

    # -- inputs ------------------------------------------------------------------------------------

    def _inputs(
        self, text: str, name: str, world: _World, signature: Signature, frame: Frame
    ) -> tuple[list[Input], int, int]:
        """Return inputs, how many basic blocks of the original they run, and how many it has."""
        key = text, signature.parameters, world.functions, world.data, world.variables
        if key in self._corpora:
            return self._corpora[key]
        options = self._options
        generator = InputGenerator(
            signature,
            frame,
            seed=options.seed,
            constants=comparison_constants(text, name, self._architecture),
            num_extra_buffers=len(world.data) + 1,
            variable_bytes=sum((size + 7) // 8 * 8 for _, size in world.variables),
            fields=memory_fields(text, name, self._architecture),
            functions=[
                _STUBS + index * _STUB_BYTES
                for index in range(len(world.functions), len(world.functions) + _NUM_CALLBACKS)
            ],
        )
        probed, blocks = self._probed(text, name, world)
        inputs: list[Input] = []
        seen: set[int] = set()
        telling: list[Input] = []
        ending: list[Input] = []
        batch = [generator.draw() for _ in range(options.num_inputs)]
        end = time.monotonic() + options.max_seconds / 2
        for number in range(options.num_rounds + options.num_searches + 1):
            if probed is None:
                inputs += batch
                break
            hung = start = 0
            size = _FIRST_INPUTS if not number else _PIECE
            while start < len(batch):
                piece = batch[start : start + size]
                if number <= options.num_rounds:
                    inputs += piece
                outcomes = self._run(probed, piece, world, frame, num_blocks=blocks)
                for given, outcome in zip(piece, outcomes, strict=True):
                    ran = {i for i, byte in enumerate(outcome.coverage) if byte}
                    if outcome.is_complete:
                        ending.append(given)
                    if outcome.is_complete and not ran <= seen:
                        seen |= ran
                        telling.append(given)
                        if number > options.num_rounds:
                            inputs.append(given)
                never = sum(one.kind == _HUNG for one in outcomes)
                start += len(piece)
                if 4 * never > len(piece) and ending:
                    # Runs that never end cost their time limit: stay near those that end.
                    batch[start:] = [
                        generator.mutate(generator._random.choice(ending)) for _ in batch[start:]
                    ]
                hung, size = hung + never, _PIECE
                if time.monotonic() > end:
                    break
            if len(seen) == blocks or 4 * hung > len(batch) or time.monotonic() > end:
                break
            batch = [
                generator.mutate(generator._random.choice(telling[-8:] if even else telling))
                if telling and generator._random.random() < 0.7
                else generator.draw()
                for even in (index % 2 for index in range(options.num_inputs // 2))
            ]
        # What reaches most runs first: the comparison may be short of time.
        chosen = {id(one) for one in telling}
        inputs = telling + [one for one in inputs if id(one) not in chosen]
        found = inputs, len(seen), blocks
        self._corpora = {key: found}
        return found

    def _probed(self, text: str, name: str, world: _World) -> tuple[_Executable | None, int]:
        """Return the original with probes; None where these do not fit into its code."""
        probed, blocks = with_probes(text, name, self._architecture)
        output = self._folder / "probed.o"
        try:
            assemble(probed, self._architecture, self._target.toolchain, output, name=name)
            return self._link(output, name, world, "probed"), blocks
        except CompileFailed:
            return None, blocks

    # -- runs --------------------------------------------------------------------------------------

    def _run(
        self,
        executable: _Executable,
        inputs: Sequence[Input],
        world: _World,
        frame: Frame,
        *,
        num_blocks: int = 0,
        patience: int = 1,
    ) -> list[_Outcome]:
        if not inputs:
            return []
        elf = executable.elf

        def place(name: str) -> int:
            symbol = elf.symbol(name)
            assert symbol is not None, name
            return symbol.value

        variables = [(_variable(elf, name), size) for name, size in world.variables]
        stubs = [self._stub(one, world) for one in world.functions] + [
            (0, 0, 0, 6)
        ] * _NUM_CALLBACKS
        num_buffers = NUM_BUFFERS + len(world.data) + 1
        code = next(one for one in elf.sections if one.name == ".llm_code")
        limit_us = (500_000 if self._target.runner else 50_000) * patience
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
            _COVERAGE if num_blocks else 0,
            num_blocks,
            limit_us,
            num_buffers * CONTENT_BYTES,
            num_buffers * STRIDE,
            # The heap: the whole of the last buffer.
            buffer_address(num_buffers - 1) + CONTENT_BYTES - BUFFER_BYTES,
        )
        data = b"".join(
            (
                struct.pack(f"<{len(settings)}Q", *settings),
                *(struct.pack("<4Q", *stub) for stub in stubs),
                *(struct.pack("<2Q", address, size) for address, size in variables),
                *(one.encoded() for one in inputs),
            )
        )
        completed = run(
            [*self._target.runner, executable.path],
            timeout_s=self._options.run_timeout_s * patience,
            stdin=data,
            env={},
        )
        outcomes = _parse_outcomes(completed.stdout)
        if len(outcomes) < len(inputs):
            if completed.timed_out:
                raise _Unproved("it takes too long on the inputs tried")
            raise _Unproved(f"the driver failed on it (status {completed.exit_status})")
        return outcomes

    def _stub(self, name: str, world: _World) -> tuple[int, int, int, int]:
        """Return a stub's kind, its result's bits and sign, and how many stack words are seen."""
        kind = ALLOCATORS.get(name, 1 if NO_RETURN.match(name) else 0)
        signature = world.declared.get(name)
        frame = assign_places(signature, self._architecture) if signature else None
        stack = 0
        if signature is not None and frame is not None:
            for one, place in zip(signature.parameters, frame.places, strict=True):
                if place.kind == "stack":
                    stack = max(stack, place.index + max(1, one.memory_bytes // 8, one.bits // 64))
        bits, is_signed = world.extended.get(name, (0, False))
        return kind, bits, int(is_signed), min(stack, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Executable:
    path: Path
    elf: ElfFile
    entry: int


def _in_turn(
    inputs: Sequence[Input],
    run_both: Callable[[Sequence[Input]], Iterator[tuple[_Outcome, _Outcome]]],
    end: float,
) -> Iterator[tuple[Input, _Outcome, _Outcome]]:
    """Yield each input and what both make of it.

    A few inputs run first and more behind them: most wrong lifts differ on one of the first, and
    one that never ends costs its time limit on each.
    """
    start, size = 0, _FIRST_INPUTS
    while start < len(inputs) and time.monotonic() < end:
        some = inputs[start : start + size]
        for given, (one, other) in zip(some, run_both(some), strict=True):
            yield given, one, other
        start, size = start + size, min(size * 4, _PIECE)


def _foreign_calls(original: ElfFile, lifted: ElfFile) -> str:
    """Return an undefined symbol that only the lift refers to, empty if there is none."""
    ours, theirs = (
        {one.name for one in elf.symbols if one.section == 0 and one.name} - set(REAL)
        for elf in (original, lifted)
    )
    return min(theirs - ours, default="")


def _variable(elf: ElfFile, name: str) -> int:
    found: Symbol | None = elf.symbol(name)
    assert found is not None
    return found.value


_HEAD = struct.Struct("<4Q" + "2Q8Q8Q4Q")


def _parse_outcomes(data: bytes) -> list[_Outcome]:
    """Read the driver's reports, as many as are whole."""
    found = []
    position = 0
    while position + _HEAD.size <= len(data):
        words = _HEAD.unpack_from(data, position)
        calls, changes, variable_words, coverage = words[:4]
        start = position + _HEAD.size
        behind_calls = start + calls * _CALL_WORDS * 8
        behind_changes = behind_calls + changes * 16 + variable_words * 8
        end = behind_changes + coverage
        if end > len(data):
            break
        found.append(
            _Outcome(
                kind=words[4],
                detail=words[5],
                integers=words[6:14],
                floats=words[14:22],
                broken=words[22],
                calls=tuple(
                    struct.unpack_from(f"<{_CALL_WORDS}Q", data, start + i * _CALL_WORDS * 8)
                    for i in range(calls)
                ),
                changes=data[behind_calls:behind_changes],
                coverage=data[behind_changes:end],
            )
        )
        position = end
    return found


_SIGNALS = {
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
}


class _Comparison:
    """Compares outcomes: what must be the same (hard), and what may tell (soft)."""

    def __init__(self, signature: Signature, world: _World, architecture: str) -> None:
        self._signature, self._world = signature, world
        self._architecture = architecture
        self._num_registers = 8 if architecture == AARCH64 else 6
        self._entry: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        frame = assign_places(signature, architecture)
        self._parameters = {
            (place.kind, place.index + word)
            for one, place in zip(signature.parameters, frame.places if frame else (), strict=False)
            for word in range(2 if one.bits > 64 and place.kind == "integer" else 1)
        }

    def compare(self, given: Input, one: _Outcome, other: _Outcome) -> tuple[str, str]:
        """Return the first difference that refutes, and the first that raises doubt."""
        self._entry = given.integers, given.floats
        if other.kind in (_CRASHED, _HUNG):
            how = "does not end" if other.kind == _HUNG else "crashes"
            if other.kind == _CRASHED:
                how += f" with {_SIGNALS.get(other.detail, f'signal {other.detail}')}"
            return f"the lifted function {how}", ""
        doubt = ""
        for number, (ours, theirs) in enumerate(zip(one.calls, other.calls, strict=False), 1):
            hard, soft = self._compare_call(number, ours, theirs)
            if hard:
                return hard, ""
            doubt = doubt or soft
        if len(one.calls) != len(other.calls):
            return f"it makes {len(other.calls)} calls instead of {len(one.calls)}", ""
        if one.kind != other.kind:
            return "one returns and the other does not", ""
        if one.kind == _RETURNED:
            hard, soft = self._compare_results(one, other)
            if hard:
                return hard, ""
            doubt = doubt or soft
            if other.broken & ~one.broken:
                return "it does not preserve the registers that it must", ""
        if one.changes != other.changes:
            return "memory is different afterwards", ""
        return "", doubt

    def _name(self, number: int) -> str:
        functions = self._world.functions
        return functions[number] if number < len(functions) else "a function pointer"

    def _compare_call(
        self, number: int, ours: tuple[int, ...], theirs: tuple[int, ...]
    ) -> tuple[str, str]:
        name = self._name(ours[0])
        if ours[0] != theirs[0]:
            return f"call {number} is of {self._name(theirs[0])} instead of {name}", ""
        signature = self._world.declared.get(name)
        frame = None
        if signature is not None and not signature.unsupported:
            frame = assign_places(signature, self._architecture)
        doubt = ""
        declared: set[tuple[str, int]] = set()
        if signature is not None and frame is not None:
            for argument, (one, place) in enumerate(
                zip(signature.parameters, frame.places, strict=True), 1
            ):
                for word in range(max(1, (one.bits + 63) // 64) if place.kind != "float" else 1):
                    index = place.index + word
                    declared.add((place.kind, index))
                    if place.kind == "integer":
                        a, b = ours[1 + index], theirs[1 + index]
                        if not _same_integer(one, a, b):
                            return (
                                f"call {number}, of {name}, gets {b:#x} instead of {a:#x} as "
                                f"argument {argument}",
                                "",
                            )
                        if ours[9 + index] != theirs[9 + index] and a == _STACK_TAG:
                            doubt = f"{name} may be passed other contents of the stack"
                    elif place.kind == "float" and index < 8:
                        a, b = ours[17 + index], theirs[17 + index]
                        if not _same_float(one, a, b):
                            return f"call {number}, of {name}, gets another argument {argument}", ""
                    elif place.kind == "stack" and index < 6:
                        a, b = ours[25 + index], theirs[25 + index]
                        if not _same_integer(one, a, b):
                            return f"call {number}, of {name}, gets another argument {argument}", ""
        known = KNOWN_ARITIES.get(name)
        if known is not None and sum(kind != "float" for kind, _ in declared) >= known:
            return "", doubt
        for kind, start, count in (("integer", 1, self._num_registers), ("float", 17, 8)):
            for index in range(count):
                a, b = ours[start + index], theirs[start + index]
                if (kind, index) in declared or a == b or self._is_idle(kind, index, a):
                    continue
                what = "arguments" if kind == "integer" else "numbers"
                doubt = doubt or f"{name} may take more {what} than the lifted code passes"
        return "", doubt

    def _is_idle(self, kind: str, index: int, value: int) -> bool:
        """Whether the original cannot mean a register as an argument: nobody has set it.

        It holds what the last call left there, or what was there at the beginning, and that was no
        parameter.
        """
        if _CLOBBER <= value < _CLOBBER + 32:
            return True
        integers, floats = self._entry
        before = integers[index] if kind == "integer" else floats[2 * index]
        return value == before and (kind, index) not in self._parameters

    def _compare_results(self, one: _Outcome, other: _Outcome) -> tuple[str, str]:
        integers = floats = 0
        doubt = ""
        for result in self._signature.results:
            if result.kind in ("integer", "pointer"):
                for word in range((result.bits + 63) // 64):
                    a, b = one.integers[integers], other.integers[integers]
                    part = Scalar(
                        kind=result.kind,
                        bits=min(64, result.bits - 64 * word),
                        extension=result.extension,
                    )
                    if not _same_integer(part, a, b):
                        mask = (1 << part.bits) - 1
                        return f"it returns {b & mask:#x} instead of {a & mask:#x}", ""
                    if a != b and not doubt:
                        doubt = f"the results differ above bit {part.bits}"
                    integers += 1
            else:
                words = (result.bits + 63) // 64
                for word in range(words):
                    a, b = one.floats[2 * floats + word], other.floats[2 * floats + word]
                    if not _same_float(result, a, b):
                        return f"it returns the floating-point value {b:#x} instead of {a:#x}", ""
                floats += 1
        # AArch64 and x86-64: an empty result leaves what was there; 8 is what x86-64 starts with.
        idle = one.integers[0] in ((self._entry[0][0],) if self._architecture == AARCH64 else (8,))
        if not integers and one.integers[0] != other.integers[0] and not idle:
            doubt = doubt or "the original may return an integer, and the lifted function does not"
        idle = one.floats[0] == self._entry[1][0]
        if not floats and not integers and one.floats[0] != other.floats[0] and not idle:
            doubt = doubt or "the original may return a number, and the lifted function does not"
        return "", doubt


class _Across:
    """Compares outcomes on two targets, by what the lifted signatures name."""

    def __init__(self, signature: Signature, world: _World, first: str, second: str) -> None:
        self._signature, self._world = signature, world
        self._architectures = first, second

    def compare(self, one: _Outcome, other: _Outcome) -> str:
        """Return the first difference; empty if there is none."""
        if other.kind == _CRASHED:
            signal = _SIGNALS.get(other.detail, f"signal {other.detail}")
            return f"on the other target it crashes with {signal}"
        if other.kind == _HUNG:
            return "on the other target it does not end"
        for number, (ours, theirs) in enumerate(zip(one.calls, other.calls, strict=False), 1):
            if difference := self._compare_call(number, ours, theirs):
                return difference
        if len(one.calls) != len(other.calls):
            return f"it makes {len(other.calls)} calls instead of {len(one.calls)}"
        if one.kind != other.kind:
            return "one returns and the other does not"
        if one.kind == _RETURNED:
            if difference := self._compare_results(one, other):
                return difference
            if other.broken & ~one.broken:
                return "it does not preserve the registers that it must"
        if not _same_memory(one.changes, other.changes):
            return "memory is different afterwards"
        return ""

    def _name(self, number: int) -> str:
        functions = self._world.functions
        return functions[number] if number < len(functions) else "a function pointer"

    def _compare_call(self, number: int, ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
        name = self._name(ours[0])
        if ours[0] != theirs[0]:
            return f"call {number} is of {self._name(theirs[0])} instead of {name}"
        signature = self._world.declared.get(name)
        if signature is None or signature.unsupported:
            return ""
        frames = [assign_places(signature, one) for one in self._architectures]
        if frames[0] is None or frames[1] is None:
            return ""
        places = zip(signature.parameters, frames[0].places, frames[1].places, strict=True)
        for argument, (one, here, there) in enumerate(places, 1):
            a, b = _passed(ours, here), _passed(theirs, there)
            if a is None or b is None:
                continue
            is_float = one.kind in ("float", "vector")
            if not (_same_float(one, a, b) if is_float else _same_integer(one, a, b)):
                return (
                    f"call {number}, of {name}, gets {b:#x} instead of {a:#x} as argument "
                    + str(argument)
                )
        return ""

    def _compare_results(self, one: _Outcome, other: _Outcome) -> str:
        integers = floats = 0
        for result in self._signature.results:
            words = (result.bits + 63) // 64
            for word in range(words):
                if result.kind in ("integer", "pointer"):
                    a, b = one.integers[integers], other.integers[integers]
                    integers += 1
                    part = dataclasses.replace(result, bits=min(64, result.bits - 64 * word))
                    is_same = _same_integer(part, a, b)
                else:
                    a, b = one.floats[2 * floats + word], other.floats[2 * floats + word]
                    floats += word == words - 1
                    is_same = _same_float(result, a, b)
                if not is_same:
                    return f"it returns {b:#x} instead of {a:#x}"
        return ""


def _passed(call: tuple[int, ...], place: Place) -> int | None:
    """Return what a recorded call has at a place; None where that was not recorded."""
    start, count = {"integer": (1, 8), "float": (17, 8), "stack": (25, 6)}.get(place.kind, (0, 0))
    return call[start + place.index] if place.index < count else None


def _same_memory(ours: bytes, theirs: bytes) -> bool:
    """Whether words are equal or both NaN, as doubles or half by half as floats."""
    if ours == theirs:
        return True
    if len(ours) != len(theirs):
        return False
    double, single = Scalar(kind="float", bits=64), Scalar(kind="float", bits=32)
    for (a,), (b,) in zip(
        struct.iter_unpack("<Q", ours), struct.iter_unpack("<Q", theirs), strict=True
    ):
        halves = all(_same_float(single, a >> shift, b >> shift) for shift in (0, 32))
        if not (halves or _same_float(double, a, b)):
            return False
    return True


def _moved_input(given: Input, signature: Signature, frame: Frame, other: Frame) -> Input:
    """Return an input with its arguments where another calling convention has them."""
    integers, floats = list(given.integers), list(given.floats)
    stack = [*given.stack, *[0] * other.num_stack_words][: other.num_stack_words]
    indirect = given.indirect
    for one, here, there in zip(signature.parameters, frame.places, other.places, strict=True):
        words = 2 if one.bits > 64 else 1
        if here.kind == "float":
            values = given.floats[2 * here.index : 2 * here.index + words]
        elif here.kind == "stack":
            values = given.stack[here.index : here.index + words]
        elif here.kind == "integer":
            values = given.integers[here.index : here.index + words]
        else:
            values = (given.indirect,)
        if there.kind == "float":
            floats[2 * there.index : 2 * there.index + words] = values
        elif there.kind == "stack":
            stack[there.index : there.index + words] = values
        elif there.kind == "integer":
            integers[there.index : there.index + words] = values
        else:
            indirect = values[0]
    return dataclasses.replace(
        given,
        integers=tuple(integers),
        floats=tuple(floats),
        stack=tuple(stack),
        indirect=indirect,
    )


def _same_integer(one: Scalar, a: int, b: int) -> bool:
    bits = 64 if one.kind == "pointer" else min(64, one.bits)
    if one.extension and bits < 32:
        bits = 32
    mask = (1 << bits) - 1
    return a & mask == b & mask


def _same_float(one: Scalar, a: int, b: int) -> bool:
    if one.kind == "vector" or one.bits not in (32, 64):
        return a == b
    mask = (1 << one.bits) - 1
    a, b = a & mask, b & mask
    exponent = 0x7F800000 if one.bits == 32 else 0x7FF0000000000000
    sign = 1 << (one.bits - 1)
    are_nan = [value & ~sign > exponent for value in (a, b)]
    return a == b or all(are_nan)


def describe_arguments(signature: Signature, frame: Frame, given: Input) -> tuple[str, ...]:
    """Return an input's arguments as text, with the memory that they point to."""
    found = []
    for number, (one, place) in enumerate(zip(signature.parameters, frame.places, strict=True)):
        read: dict[str, Callable[[int], int]] = {
            "integer": lambda index: given.integers[index],
            "float": lambda index: given.floats[2 * index],
            "stack": lambda index: given.stack[index],
            "indirect": lambda index: given.indirect,
        }
        value = read[place.kind](place.index)
        if one.kind == "integer":
            value &= (1 << min(64, one.bits)) - 1
            found.append(f"argument {number + 1}: i{one.bits} {value}")
        elif one.kind == "pointer" and not one.memory_bytes:
            buffer, offset = divmod(value - buffer_address(0), STRIDE)
            text = f"argument {number + 1}: ptr {value:#x}"
            if value and 0 <= buffer < NUM_BUFFERS and offset < CONTENT_BYTES:
                start = buffer * CONTENT_BYTES + offset
                text += " -> " + given.arena[start : start + 32].hex(" ", 4)
            found.append(text)
        elif one.kind == "float":
            code, size = ("<f", 4) if one.bits == 32 else ("<d", 8)
            number_ = struct.unpack(code, value.to_bytes(8, "little")[:size])[0]
            found.append(f"argument {number + 1}: {'float' if size == 4 else 'double'} {number_!r}")
        else:
            found.append(f"argument {number + 1}: {value:#x}")
    return tuple(found)
