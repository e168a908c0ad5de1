"""One unit's object, made smaller by the package's own search: the server's seam to `optimization`.

A `Workshop` holds what takes long to make (worker processes with LLVM, verdicts, the model) and
makes it on first use. Threads share it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from llm_compiler.cc.fast import fast_coreset
from llm_compiler.closing import Closing
from llm_compiler.errors import InputError, LlmCompilerError, WorkerLost
from llm_compiler.llvm.clang_flags import ClangFlags
from llm_compiler.llvm.module_jobs import Inspection, InspectJob
from llm_compiler.llvm.object_file import has_sizes, object_format, section_sizes
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.optimization.decide import decide
from llm_compiler.optimization.finish import finish
from llm_compiler.optimization.measure import measure
from llm_compiler.optimization.model_rounds import ProposingModel
from llm_compiler.optimization.options import Effort, OptimizeOptions, OutputKind, Proposer
from llm_compiler.optimization.result import Optimized
from llm_compiler.optimization.unit import Found, Unit
from llm_compiler.optimization.workplace import Workplace
from llm_compiler.records import Status
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.verify.checker import Checker
from llm_compiler.verify.verdicts import VerdictBook
from llm_compiler.workers.pool import run_jobs

if TYPE_CHECKING:
    from llm_compiler.workers import LocalPool

__all__ = ["Improved", "Workshop"]

_TIMEOUT_S = 60.0
_BYTES_PER_TIMEOUT = 400_000
"""Of bitcode: a large module takes longer. What timed out on a busy machine is not kept."""
_PROGRAM_CANDIDATES = 16
"""Of a program at `FAST`, assembled function by function: 64 made mawk no smaller."""
_NOT_STABLE = (Status.TIMED_OUT, Status.OUT_OF_MEMORY)
_DATA_BYTES = 200_000
_DATA_BYTES_PER_INSTRUCTION = 400
"""Of bitcode: a larger module with more for each instruction is a table, and no recipe makes that
smaller. Code takes 5 to 15, with debug information up to 80."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Improved:
    """What became of a unit."""

    result: Optimized
    is_stable: bool
    """Whether the same inputs give the same again: nothing timed out, failed or was cut short."""
    assembly: bytes = field(default=b"", repr=False)
    """Of the same code, where it was asked for."""
    debug: bytes = field(default=b"", repr=False)
    """What ``-gsplit-dwarf`` puts beside the object."""


@dataclass(slots=True)
class _Tools:
    pool: LocalPool
    checker: Checker
    coreset: Coreset
    fast: dict[bool, Coreset]
    """For C++, and for C."""
    owned: contextlib.ExitStack
    """Closes the pool and the checker."""
    num_users: int = 0
    """Units that are being worked on with them."""
    is_retired: bool = False
    """The last user closes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is made smaller, and how."""

    name: str
    bitcode: bytes = field(repr=False)
    baseline: bytes = field(repr=False)
    flags: ClangFlags
    effort: Effort
    stop: threading.Event
    folder: Path
    timeout_s: float
    is_cxx: bool = False
    is_program: bool = False
    with_assembly: bool = False
    debug: Path | None = None
    """Where debug information goes, if it goes to a file of its own."""


class Workshop(Closing):
    """Makes objects smaller.

    Args:
        scratch: a folder for temporary files.
        assembles_at_fast: assemble units function by function at `Effort.FAST`, too, which costs as
            much again (`benchmarks/llm_cc_search.py`).
    """

    def __init__(
        self, toolchain: Toolchain, scratch: Path, *, assembles_at_fast: bool = False
    ) -> None:
        self._assembles_at_fast = assembles_at_fast
        self._toolchain = toolchain
        self._scratch = scratch
        self._turn = threading.Lock()
        self._tools: _Tools | None = None
        self._loaded_model: ProposingModel | None = None
        self._asked_for_model = False
        """It is loaded when the first unit wants it."""
        self._owned = contextlib.ExitStack()

    def improve(
        self,
        *,
        name: str,
        bitcode: bytes,
        baseline: bytes,
        flags: ClangFlags,
        effort: Effort,
        stop: threading.Event,
        is_cxx: bool = False,
        with_assembly: bool = False,
        debug_path: str = "",
    ) -> Improved:
        """Search for a smaller object of a unit than clang's own.

        Args:
            name: of the source, for messages.
            bitcode: the unoptimised module.
            baseline: clang's own object, which is to be beaten.
            stop: set where nobody waits any more.
            is_cxx: whether the source is C++, on which more is worth its seconds.
            with_assembly: return the winner's assembly, too.
            debug_path: debug information goes to a file, which the object calls so.

        Raises:
            LlmCompilerError: there is none to be had; clang's object stands.
        """
        with self._folder() as folder:
            debug = folder / "final.dwo"
            if debug_path:
                flags = replace(flags, kept=(*flags.kept, *_split_into(debug_path, debug)))
            task = _Task(
                name=name,
                bitcode=bitcode,
                baseline=baseline,
                flags=flags,
                effort=effort,
                stop=stop,
                folder=folder,
                timeout_s=_timeout_s(bitcode),
                is_cxx=is_cxx,
                with_assembly=with_assembly,
                debug=debug if debug_path else None,
            )
            return self._improve(task)

    def improve_whole(
        self,
        *,
        name: str,
        bitcode: bytes,
        flags: tuple[str, ...],
        effort: Effort,
        stop: threading.Event,
    ) -> tuple[Improved, bytes]:
        """Do the same for a joined program; return also clang -Oz's object of its module.

        Raises:
            LlmCompilerError: clang makes no object of it.
        """
        timeout_s = _timeout_s(bitcode) + _TIMEOUT_S
        kept = ClangFlags(kept=flags)
        with self._folder() as folder:
            source, output = folder / "whole.bc", folder / "baseline.o"
            source.write_bytes(bitcode)
            stock = Stock(
                toolchain=self._toolchain, flags=kept, timeout_s=timeout_s, scratch=folder
            )
            command = (*stock.baseline_command(source, output), "-Wno-override-module")
            stock.compile_source(command, source)
            baseline = output.read_bytes()
            task = _Task(
                name=name,
                bitcode=bitcode,
                baseline=baseline,
                flags=kept,
                effort=effort,
                stop=stop,
                folder=folder,
                timeout_s=timeout_s,
                is_program=True,
            )
            return self._improve(task), baseline

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="unit-", dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _improve(self, task: _Task) -> Improved:
        started = time.monotonic()
        effort, stop, debug = task.effort, task.stop, task.debug
        tools = self._taken(effort)
        try:
            model = None if effort is Effort.FAST else self._loaded_model
            with_text = model is not None
            unit = self._unit(task, tools, with_text=with_text)
            options = _options(task, tools, with_text)
            options = options.for_target(unit.triple)
            if self._assembles_at_fast:
                options = replace(options, function_wise=True)
            if debug is not None:
                options = replace(options, function_wise=False)
            if _is_table(task.bitcode, unit):
                options = replace(options, candidates=0, budget=0)
            is_fast = effort is Effort.FAST and not task.is_program
            workplace = Workplace(
                options=options,
                pool=tools.pool,
                checker=tools.checker,
                coreset=tools.fast[task.is_cxx] if is_fast else tools.coreset,
                model=model,
                stop=stop,
                # make decides what runs side by side; a second worker would begin from the start.
                parts=1,
            )
            found = _measured(unit, task, workplace)
            stable = not stop.is_set() and not any(
                measurement.status in _NOT_STABLE for measurement in found.measured.values()
            )
            if unit.inspection.stripped and is_fast:
                found = _best_alone(found)
            chosen = decide(unit, found, workplace)
            result = finish(unit, found, chosen, workplace, started=started)
            if is_fast and result.recipe is not None:
                result = replace(result, proposer=Proposer.CORESET.value)
            assembly = split = b""
            if task.with_assembly and result.recipe is not None:
                wanted = replace(options, kind=OutputKind.ASSEMBLY)
                there = replace(workplace, options=wanted)
                assembly = finish(unit, found, chosen, there, started=started).output
            if debug is not None and result.recipe is not None:
                result, split = _with_debug(unit, result, debug)
        except WorkerLost:
            self.retire()  # the next unit gets new workers
            raise
        finally:
            self._give_back(tools)
        return Improved(
            result=result,
            is_stable=stable and not stop.is_set() and not _failed(found.warnings),
            assembly=assembly,
            debug=split,
        )

    def close(self) -> None:
        """End the workers, and let the model go; a later call makes new ones."""
        self.retire()
        with self._turn:
            self._owned.close()
            self._loaded_model, self._asked_for_model = None, False

    def retire(self) -> None:
        """Let units that come from now on have new workers; the old end after their last unit."""
        with self._turn:
            tools, self._tools = self._tools, None
            if tools is not None:
                tools.is_retired = True
                if not tools.num_users:
                    tools.owned.close()

    def _give_back(self, tools: _Tools) -> None:
        with self._turn:
            tools.num_users -= 1
            if tools.is_retired and not tools.num_users:
                tools.owned.close()

    def _taken(self, effort: Effort) -> _Tools:
        from llm_compiler.workers import LocalPool

        with self._turn:
            if self._tools is None:
                owned = contextlib.ExitStack()
                pool = owned.enter_context(LocalPool())
                # The user's own verdicts would make objects that another machine does not make.
                book = VerdictBook(Path("/nonexistent/verdicts.db"))
                checker = owned.enter_context(
                    Checker(toolchain=self._toolchain, pool=pool, book=book)
                )
                shipped = load_coreset()
                fast = {is_cxx: fast_coreset(shipped, is_cxx=is_cxx) for is_cxx in (True, False)}
                self._tools = _Tools(
                    pool=pool, checker=checker, coreset=shipped, fast=fast, owned=owned
                )
            if effort is not Effort.FAST and not self._asked_for_model:
                self._asked_for_model = True
                self._loaded_model = self._model()
            self._tools.num_users += 1
            return self._tools

    def _model(self) -> ProposingModel | None:
        from llm_compiler.model.engines.loader import has_shipped_model, load_engine

        if not has_shipped_model():
            return None
        try:
            engine = load_engine(threads=1)
        except LlmCompilerError:
            return None
        self._owned.callback(engine.close)
        return ProposingModel(engine)

    def _unit(self, task: _Task, tools: _Tools, *, with_text: bool) -> Unit:
        name, bitcode, baseline = task.name, task.bitcode, task.baseline
        if not has_sizes(baseline):
            raise InputError(f"{name}: its object is in the format {object_format(baseline)}")
        job = InspectJob(
            inputs=(bitcode,),
            names=(name,),
            with_text=with_text,
            strip=True,
            timeout_s=task.timeout_s,
        )
        inspection: Inspection = run_jobs(tools.pool, [job])[0][0]
        if inspection.status is not Status.OK:
            raise InputError(f"{name}: {inspection.detail}")
        unit = Unit(
            source=Path(name),
            output=Path(name).with_suffix(".o"),
            folder=task.folder,
            stock=Stock(
                toolchain=self._toolchain,
                flags=_without_defaults(task.flags, inspection.target_triple),
                timeout_s=task.timeout_s,
                scratch=task.folder,
            ),
            baseline=baseline,
            baseline_sizes=section_sizes(baseline),
            inspection=inspection,
        )
        unit.bitcode_path.write_bytes(bitcode)
        return unit


def _measured(unit: Unit, task: _Task, workplace: Workplace) -> Found:
    """Return what recipes make of a unit, but for debug information, which would cost half as much.

    It is in what the stock tools rebuild, and is not among the bytes that count.
    """
    stripped = unit.inspection.stripped
    if stripped:
        unit.bitcode_path.write_bytes(stripped)
    try:
        return measure(unit, workplace)
    finally:
        if stripped:
            unit.bitcode_path.write_bytes(task.bitcode)


def _best_alone(found: Found) -> Found:
    """Keep the smallest: where sizes with debug information differ a little, three are rebuilt."""
    good = [pair for pair in found.measured.items() if pair[1].ok]
    if not good:
        return found
    best = min(good, key=lambda pair: (pair[1].size_bytes, len(pair[0].elements), pair[0].elements))
    return replace(found, measured=MappingProxyType(dict((best,))))


def _options(task: _Task, tools: _Tools, with_model: bool) -> OptimizeOptions:
    """Return what is tried of a unit or a program.

    Of a unit at `FAST`, what costs more than clang itself is left out. A program is linked once.
    """
    if task.effort is Effort.FAST:
        # Beside the lists stands default<Oz> under the coreset's settings.
        num_fast = 1 + len(tools.fast[task.is_cxx].picks)
        return OptimizeOptions(
            candidates=_PROGRAM_CANDIDATES if task.is_program else num_fast,
            budget=0,
            objective_by_target=True,
            proposer=Proposer.CORESET,
            function_wise=task.is_program,
            timeout_s=task.timeout_s,
        )
    return OptimizeOptions(
        candidates=task.effort.candidates,
        budget=task.effort.budget,
        objective_by_target=True,
        proposer=Proposer.MODEL if with_model else Proposer.CORESET,
        timeout_s=task.timeout_s,
    )


_OMITS_BY_DEFAULT = re.compile(r"^x86_64-.*linux(-gnu.*|-musl.*)?$")
_OMIT = "-fomit-frame-pointer"
_FRAMES = re.compile(r"^-f(no-)?omit-frame-pointer$|^-m(no-)?omit-leaf-frame-pointer$")


def _without_defaults(flags: ClangFlags, triple: str) -> ClangFlags:
    """Return flags without a ``-fomit-frame-pointer`` that says what the level says already.

    Makefiles of the days when it did say more would else forbid what saves most on x86-64. A flag
    that asks for frame pointers, or for more than the default, is obeyed.
    """
    words = [word for word in flags.kept if _FRAMES.match(word)]
    # The last counts.
    says_default = words[-1:] == [_OMIT] and not any(word.startswith("-m") for word in words)
    if not says_default or not _OMITS_BY_DEFAULT.match(triple):
        return flags
    return replace(flags, kept=tuple(word for word in flags.kept if word not in words))


def _timeout_s(bitcode: bytes) -> float:
    return _TIMEOUT_S * (1 + len(bitcode) / _BYTES_PER_TIMEOUT)


def _is_table(bitcode: bytes, unit: Unit) -> bool:
    """Whether there is next to no code in a module."""
    limit = max(_DATA_BYTES, _DATA_BYTES_PER_INSTRUCTION * unit.inspection.num_instructions)
    return len(bitcode) > limit


def _split_into(name: str, path: Path) -> tuple[str, ...]:
    """Return the flags that write debug information to a path, and call it by another name.

    The driver would name it after the object, which lies elsewhere here.
    """
    words = ("-split-dwarf-file", name, "-split-dwarf-output", str(path))
    return tuple(part for word in words for part in ("-Xclang", word))


def _with_debug(unit: Unit, result: Optimized, debug: Path) -> tuple[Optimized, bytes]:
    """Make a unit's object once more; return it and the debug information that goes with it.

    The two name each other by a hash, so that they must come from one run.
    """
    assert result.recipe is not None
    optimized, final = unit.folder / "again.bc", unit.folder / "again.o"
    unit.stock.run_opt(result.recipe, unit.bitcode_path, optimized, pic=unit.inspection.pic)
    debug.unlink(missing_ok=True)
    unit.stock.run_backend(optimized, final, recipe=result.recipe)
    try:
        return replace(result, output=final.read_bytes()), debug.read_bytes()
    except OSError as error:
        raise InputError(f"clang splits no debug information off: {error.strerror}") from error


def _failed(warnings: Sequence[str]) -> bool:
    return any("since the model failed" in warning for warning in warnings)
