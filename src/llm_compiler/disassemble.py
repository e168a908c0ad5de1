"""Lift machine code to LLVM-IR, each function with a verdict: propose, verify, fall back.

A function is read as assembly, which is proved to assemble to itself; an engine proposes IR; each
answer is parsed, lowered by clang and compared (*exact*), else run beside the original
(*tests_passed*, *refuted*, *unproved*). What is not at least *tests_passed* is declared in the
module, so that the original stays in its place. Importing this loads no LLVM and no model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from llm_compiler import Verb
from llm_compiler.disassembly.annotate import annotated
from llm_compiler.disassembly.binary import Binary, Origin, read_binary
from llm_compiler.disassembly.disassembled import Disassembled, DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.drafts import with_drafts
from llm_compiler.disassembly.lift import Lift, Lifter
from llm_compiler.disassembly.lift_all import lift_all
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.disassembly.merge import merge, relink
from llm_compiler.disassembly.prototypes import Shape
from llm_compiler.disassembly.retarget import check_retarget, retarget
from llm_compiler.disassembly.rules.known_functions import Program
from llm_compiler.disassembly.whole import whole_module
from llm_compiler.errors import ConfigError, InputError, ToolchainNotFound
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.shared import SharedEngine
from llm_compiler.verify.execute import Executor
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.verify.target import find_target
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "DisassembleOptions",
    "Disassembled",
    "LiftVerdict",
    "LiftedFunction",
    "disassemble",
    "read_program",
]

# What the C run-time brings into every executable.
_START_UP = frozenset(
    {
        "_start",
        "_init",
        "_fini",
        "deregister_tm_clones",
        "register_tm_clones",
        "__do_global_dtors_aux",
        "frame_dummy",
        "_dl_relocate_static_pie",
        "call_weak_fn",
        "__libc_csu_init",
        "__libc_csu_fini",
    }
)


def disassemble(
    source: Path,
    engine: Engine,
    options: DisassembleOptions | None = None,
    *,
    pool: WorkerPool | None = None,
    on_progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    name: str = "",
    cache: LiftCache | None = None,
    program: Program | None = None,
) -> Disassembled:
    """Lift an assembly file, object or executable.

    Args:
        name: what to call the input; default: its path.
        cache: where outcomes are looked up and kept; the caller closes it.
        program: the files that are linked with this one, as `read_program` returns them: what
            their functions take and return is known then.
        engine: proposes; nothing of it is trusted. The caller closes it.
        pool: worker processes; default: a pool made for this call.
        on_progress: called with (function, functions done, functions in all).

    Ctrl-C keeps what was lifted until then.

    Raises:
        InputError, UnsupportedTarget: the input cannot be read, or lacks a function asked for.
        EngineError: the engine failed.
        ToolchainError, WorkerLost: LLVM cannot be used.
    """
    options = options or DisassembleOptions()
    started = time.monotonic()
    toolchain = find_toolchain()
    warnings: list[str] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        if pool is None:
            from llm_compiler.workers import LocalPool

            pool = stack.enter_context(LocalPool(1))
        binary = read_binary(source, toolchain, folder, target_triple=options.target_triple)
        if options.relink and binary.origin is Origin.EXECUTABLE:
            raise ConfigError(f"{source} is linked already: --relink takes objects and assembly")
        if options.retarget:
            check_retarget(binary, options.retarget)
        symbols = _chosen(binary, options.functions)
        executor = None
        try:
            target = find_target(binary.elf.architecture, toolchain)
            executor = Executor(target, folder, options.execute)
        except ToolchainNotFound:
            warnings.append(
                f"{binary.elf.architecture} code cannot be run here (no C library for it, or no "
                "emulator): what is not exact stays unproved"
            )
        lifters = [
            Lifter(
                binary,
                each_engine,
                options,
                pool=each,
                toolchain=toolchain,
                executor=own,
                folder=position,
                cache=cache,
                program=program,
            )
            for each_engine, each, own, position in _workplaces(
                engine, pool, executor, folder, min(options.jobs, max(1, len(symbols))), stack
            )
        ]
        lifts, done = lift_all(binary, symbols, lifters, on_progress)
        lifts = [_taken(lift, options) for lift in lifts]
        if done < len(symbols):
            warnings.append(f"interrupted: {done} of {len(symbols)} functions were looked at")
        on_progress("one module of all", done, len(symbols))
        merged = merge(
            binary,
            lifts,
            pool=pool,
            toolchain=toolchain,
            folder=folder,
            reverify=lambda lift, ir: _taken(lifters[0].verify_again(lift, ir), options),
            known=lambda name: _known_shape(name, binary, program),
        )
        lifts = list(merged.lifts)
        whole = whole_module(binary, lifts, merged, pool=pool, toolchain=toolchain, folder=folder)
        module = whole.text or merged.text
        if options.keep_unproved:
            left = [
                lift
                for lift in lifts
                if lift.outcome.name in merged.dropped or not lift.outcome.is_accepted
            ]
            module = with_drafts(module, left, pool=pool, toolchain=toolchain, folder=folder)
        if options.annotate:
            position = folder / "input.o" if binary.origin is Origin.ASSEMBLY else source
            module = annotated(module, binary, lifts, toolchain, position)
        relinked = b""
        if options.relink:
            relinked = relink(binary, merged, lifts, toolchain, folder)
            if not any(_is_replaced(lift, merged.dropped) for lift in lifts):
                warnings.append("nothing was lifted: the object is the input's own")
        retargeted = None
        if options.retarget:
            retargeted = retarget(
                binary,
                lifts,
                merged.dropped,
                pool=pool,
                toolchain=toolchain,
                folder=folder,
                options=options.execute,
                timeout_s=options.timeout_s,
                accept_unproved=options.accept_unproved,
                on_progress=on_progress,
            )
    functions = [
        dataclasses.replace(
            lift.outcome,
            verdict=LiftVerdict.UNPROVED,
            reason=merged.dropped[lift.outcome.name],
            is_taken_unproved=False,
        )
        if lift.outcome.name in merged.dropped
        else lift.outcome
        for lift in lifts
    ]
    return Disassembled(
        input=name or str(source),
        target_triple=binary.target_triple,
        functions=tuple(functions),
        module=module,
        is_whole=bool(whole.text),
        obstacle=whole.obstacle,
        relinked=relinked,
        retargeted=retargeted,
        warnings=tuple(warnings),
        seconds=time.monotonic() - started,
    )


def read_program(
    files: Sequence[Path], *, toolchain: Toolchain | None = None, target_triple: str = ""
) -> Program:
    """Return what files that are linked into one program say of their functions.

    What is no object or assembly is left out.

    Args:
        target_triple: of assembly.

    Raises:
        ToolchainError: LLVM cannot be used.
    """
    toolchain = toolchain or find_toolchain()
    binaries = []
    with tempfile.TemporaryDirectory(prefix="llm-compiler-") as name:
        for path in files:
            with contextlib.suppress(InputError, ConfigError):
                binaries.append(
                    read_binary(path, toolchain, Path(name), target_triple=target_triple)
                )
    return Program([each for each in binaries if each.origin is not Origin.EXECUTABLE])


def _is_replaced(lift: Lift, dropped: Mapping[str, str]) -> bool:
    """Whether a lifted function takes the original's place."""
    return lift.outcome.is_accepted and lift.outcome.name not in dropped


def _taken(lift: Lift, options: DisassembleOptions) -> Lift:
    """Return a lift that is taken though it is unproved, if that was asked for."""
    is_taken = (
        options.accept_unproved
        and lift.outcome.verdict is LiftVerdict.UNPROVED
        and lift.lowered is not None
    )
    outcome = dataclasses.replace(lift.outcome, is_taken_unproved=is_taken)
    return dataclasses.replace(lift, outcome=outcome)


def _workplaces(
    engine: Engine,
    pool: WorkerPool,
    executor: Executor | None,
    folder: Path,
    number: int,
    stack: contextlib.ExitStack,
) -> list[tuple[Engine, WorkerPool, Executor | None, Path]]:
    """Return what each of several threads works with; the engine is the same, one at a time."""
    if number == 1:
        return [(engine, pool, executor, folder)]
    from llm_compiler.workers import LocalPool

    shared = SharedEngine(engine)
    found: list[tuple[Engine, WorkerPool, Executor | None, Path]] = []
    for index in range(number):
        position = folder / f"thread-{index}"
        position.mkdir()
        own = executor.moved(position, number) if executor is not None else None
        each = pool if index == 0 else stack.enter_context(LocalPool(1))
        found.append((shared, each, own, position))
    return found


def _known_shape(name: str, binary: Binary, program: Program | None) -> Shape | None:
    """Return what registers a function of another file of the program reads, if it is known."""
    home = program.home_of(name, binary.elf.architecture) if program is not None else None
    found = home.signature_with_types(name) if home is not None else None
    if found is None or found.stack or found.is_variadic:
        return None
    return Shape(found.integers, found.vectors)


def _chosen(binary: Binary, names: tuple[str, ...]) -> list[Symbol]:
    found = binary.functions()
    if not names:
        if binary.origin is Origin.EXECUTABLE:
            found = [each_symbol for each_symbol in found if each_symbol.name not in _START_UP]
        return found
    by_name = {each_symbol.name: each_symbol for each_symbol in found}
    for section in {each_symbol.section for each_symbol in found}:
        # Names that no symbol of a function has, but stand for its code, too.
        for symbol in binary.elf.symbols_in(section):
            by_name.setdefault(symbol.name, symbol)
    for name in names:
        if name not in by_name:
            known = ", ".join(each_symbol.name for each_symbol in found[:8]) + (
                ", ..." if len(found) > 8 else ""
            )
            raise InputError(f"{binary.path} has no function '{name}'; it has: {known}")
    return [by_name[name] for name in dict.fromkeys(names)]


sys.modules[__name__].__class__ = Verb
