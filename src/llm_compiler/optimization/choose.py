"""From measured lists to what is handed out: rebuilt by the stock tools, verified, or clang -Oz."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from llm_compiler.errors import CompilerError, ResourceError
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes, undefined_symbols
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.optimization.records import Optimized, OptimizeOptions, OutputKind, Proposer
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import PassList, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import Objective
from llm_compiler.verify.checker import Checker

__all__ = ["finish"]

_MAX_FINALISTS = 3
"""Outcomes that are rebuilt with the stock tools where sizes in process and stock differ."""
_MAX_CHECKS = 6
"""New lists that are put to PassListEval for one input, smallest object first."""


@dataclass(frozen=True, slots=True)
class _Winner:
    passes: PassList
    data: bytes
    sizes: ObjectSizes
    verdict: VerdictKind


def finish(unit: Unit, options: OptimizeOptions, checker: Checker) -> Optimized:
    """Return what becomes of a unit: its best verified list, or clang -Oz.

    Raises:
        LlmCompilerError: clang fails on the output asked for.
    """
    winner = _choose(unit, options, checker) if unit.trial else None
    if winner is None:
        data, replay = _baseline_output(unit, options.kind)
        sizes, passes = unit.baseline_sizes, None
        proposer = verdict = "baseline"
    else:
        data, sizes, passes = winner.data, winner.sizes, winner.passes.pipeline
        replay = unit.stock.replay(unit.source, winner.passes, unit.output, pic=_pic(unit))
        proposer = _proposer_of(winner.passes, unit, options)
        verdict = winner.verdict.value
    return Optimized(
        input=str(unit.source),
        target_triple=unit.triple,
        llvm_version=unit.stock.toolchain.version,
        baseline_bytes=unit.baseline_sizes.size_bytes,
        optimized_bytes=sizes.size_bytes,
        baseline_text_data_bytes=unit.baseline_sizes.text_data_bytes,
        optimized_text_data_bytes=sizes.text_data_bytes,
        passes=passes,
        replay=replay,
        proposer=proposer,
        verdict=verdict,
        num_evaluations=unit.trial.num_evaluations if unit.trial else 0,
        seconds=time.monotonic() - unit.started,
        warnings=tuple(unit.warnings),
        diagnostics=unit.diagnostics,
        output=data,
    )


def _proposer_of(passes: PassList, unit: Unit, options: OptimizeOptions) -> str:
    if passes in unit.from_model:
        return Proposer.MODEL.value
    if options.proposer is not Proposer.SEARCH and passes in set(load_coreset().lists):
        return Proposer.CORESET.value
    return Proposer.SEARCH.value


def _outcomes(unit: Unit, checker: Checker) -> list[PassList]:
    """Return one list for each different result, best first; a passed one where there is one."""
    assert unit.trial is not None
    chosen: dict[str, PassList] = {}
    for passes in unit.trial.ranked():
        if unsafe_passes(passes):
            continue
        key = unit.trial.known[passes].result_hash
        if key not in chosen or (
            checker.known(chosen[key], unit.triple) is not VerdictKind.PASSED
            and checker.known(passes, unit.triple) is VerdictKind.PASSED
        ):
            chosen[key] = passes
    return [p for p in chosen.values() if checker.known(p, unit.triple) is not VerdictKind.REJECTED]


def _choose(unit: Unit, options: OptimizeOptions, checker: Checker) -> _Winner | None:
    """Rebuild the best outcomes with the stock tools and return the best verified one."""
    assert unit.trial is not None
    best: _Winner | None = None
    num_checks = num_built = 0
    for passes in _outcomes(unit, checker):
        measured = unit.trial.known[passes]
        known = checker.known(passes, unit.triple)
        if known is not VerdictKind.PASSED and not options.trust and num_checks >= _MAX_CHECKS:
            continue
        if num_built >= _MAX_FINALISTS and best is not None:
            break
        if num_built >= _MAX_FINALISTS + _MAX_CHECKS:
            break
        try:
            data = _rebuild(unit, passes)
        except (CompilerError, ResourceError) as error:
            unit.warnings.append(
                f"'{passes}' works in process but not with the stock tools: {error}"
            )
            num_built += 1
            continue
        sizes = section_sizes(data)
        num_built += 1
        if _needs_what_is_nowhere(unit, data):
            continue
        if _better(sizes, best.sizes if best else unit.baseline_sizes, unit, options):
            verdict = known
            if verdict is not VerdictKind.PASSED and not options.trust:
                num_checks += 1
                verdict = checker.check(passes, unit.triple)
                if verdict is not VerdictKind.PASSED:
                    num_built -= 1
                    continue
            best = _Winner(passes, data, sizes, verdict)
        if sizes.size_bytes == measured.size_bytes and (best is None or best.passes == passes):
            break  # in process and stock agree: the ranking holds
    if best is None or options.kind is OutputKind.OBJECT:
        return best
    return _Winner(
        best.passes, _other_output(unit, best.passes, options.kind), best.sizes, best.verdict
    )


def _needs_what_is_nowhere(unit: Unit, data: bytes) -> bool:
    """Whether an object calls an inline function that the baseline does not.

    A body that is there for inlining only promises a copy in another object, but some headers
    (libstdc++'s) break that promise for functions that clang always inlines.
    """
    assert unit.inspection is not None
    promised = frozenset(unit.inspection.available_externally)
    return bool((undefined_symbols(data) & promised) - undefined_symbols(unit.baseline))


def _better(sizes: ObjectSizes, than: ObjectSizes, unit: Unit, options: OptimizeOptions) -> bool:
    """Whether an object wins; whatever the objective, it is never larger than clang -Oz's."""
    if sizes.size_bytes > unit.baseline_sizes.size_bytes:
        return False
    if options.objective is Objective.TEXT_DATA:
        return (sizes.text_data_bytes, sizes.size_bytes) < (than.text_data_bytes, than.size_bytes)
    if options.objective is Objective.INSTRUCTIONS:
        return True  # outcomes come in the order of their instruction counts
    return sizes.size_bytes < than.size_bytes


def _pic(unit: Unit) -> bool:
    assert unit.inspection is not None
    return unit.inspection.pic


def _rebuild(unit: Unit, passes: PassList) -> bytes:
    optimized, final = unit.folder / "optimized.bc", unit.folder / "final.o"
    unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=_pic(unit))
    unit.stock.run_backend(optimized, final)
    return final.read_bytes()


def _other_output(unit: Unit, passes: PassList, kind: OutputKind) -> bytes:
    """Return the winner as assembly, IR, bitcode or its pass list."""
    if kind is OutputKind.PASSES:
        return (passes.pipeline + "\n").encode()
    optimized, final = unit.folder / "optimized.bc", unit.folder / "final.out"
    unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=_pic(unit))
    match kind:
        case OutputKind.BITCODE:
            return optimized.read_bytes()
        case OutputKind.ASSEMBLY:
            unit.stock.run_backend(optimized, final, kind="-S")
        case _:
            unit.stock.disassemble_bitcode(optimized, final)
    return final.read_bytes()


def _baseline_output(unit: Unit, kind: OutputKind) -> tuple[bytes, tuple[str, ...]]:
    """Return clang -Oz's own output of a kind, and the command that makes it."""
    replay = (shlex.join(unit.stock.baseline_command(unit.source, unit.output)),)
    if kind is OutputKind.OBJECT:
        return unit.baseline, replay
    if kind is OutputKind.PASSES:
        return b"", replay
    path = unit.folder / "baseline.out"
    command = unit.stock.baseline_command(
        unit.source, path, kind="-c" if kind is OutputKind.BITCODE else "-S"
    )
    if kind is not OutputKind.ASSEMBLY:
        command = (*command, "-emit-llvm")
    unit.stock.compile_source(command, unit.source)
    return path.read_bytes(), replay
