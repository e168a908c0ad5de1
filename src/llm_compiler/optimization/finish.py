"""From a unit's measured lists to what is handed out: the winner's output, or clang -Oz's."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from dataclasses import dataclass

from llm_compiler.errors import CompileFailed, CompilerError, InputError, ResourceError
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.optimization.assembly import (
    AssembledUnit,
    Attempt,
    assemble_unit,
    assembly_wanted,
)
from llm_compiler.optimization.choose import Built, Decision, Outcome, choose
from llm_compiler.optimization.explain import explain
from llm_compiler.optimization.propose import Searcher
from llm_compiler.optimization.rebuild import baseline_of, rebuild
from llm_compiler.optimization.records import (
    FROM_STORE,
    Optimized,
    OptimizeOptions,
    OutputKind,
    Proposer,
)
from llm_compiler.optimization.settings import may_have
from llm_compiler.optimization.unit import Found, Unit
from llm_compiler.records import OZ, Measurement, PassList, Recipe, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import Objective
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import PoolInterrupted, WorkerPool

__all__ = ["finish"]


_MODULE_ID = re.compile(rb"\A; ModuleID = '[^'\n]*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class _StockBench:
    """Verdicts of the checker, objects of the stock tools."""

    unit: Unit
    searcher: Searcher

    def known(self, passes: PassList) -> VerdictKind:
        # A store may hold measurements from before a pass was refused for such modules.
        if refusal_of(passes, self.unit.inspection.constructs):
            return VerdictKind.REJECTED
        if not may_have(passes, self.unit, self.searcher.options):
            return VerdictKind.REJECTED
        return self.searcher.checker.known(passes, self.unit.triple)

    def check(self, passes: PassList) -> VerdictKind:
        # Checking may take a minute: nobody who stopped the search waits for that.
        if not self.searcher.stop.is_set():
            with contextlib.suppress(PoolInterrupted):
                return self.searcher.checker.check(passes, self.unit.triple)
        return self.known(passes)

    def build(self, passes: PassList, measured: Measurement) -> Built | str:
        try:
            objective = self.searcher.options.objective
            return rebuild(self.unit, passes, objective, pool=self.searcher.pool)
        except (CompilerError, ResourceError) as error:
            return str(error)


def finish(unit: Unit, found: Found, searcher: Searcher, *, started: float) -> Optimized:
    """Return what becomes of a unit: its best verified list, or clang -Oz.

    Args:
        searcher: what found it: its checker, pool and options count here too.
        started: when the unit's own work began, as `time.monotonic` counts.

    Raises:
        LlmCompilerError: clang fails on the output asked for.
    """
    options, pool = searcher.options, searcher.pool
    objective = options.objective
    baseline = Built.of(unit.baseline_sizes)
    decision: Decision | None = None
    warnings = [*unit.warnings, *found.warnings]
    if found.searched or not objective.of_object:
        baseline = baseline_of(unit, objective, pool=pool)
    if found.searched:
        bench = _StockBench(unit=unit, searcher=searcher)
        tried = found.measured.items()
        if options.kind is OutputKind.PASSES:
            # What `opt -passes=` alone cannot do again is not what was asked for.
            tried = {one: measured for one, measured in tried if one.is_pass_list}.items()
        decision = choose(tried, baseline, objective, bench, trust=options.trust)
        warnings += _discarded(decision, unit, searcher.checker)
    winner = decision.winner if decision is not None else None
    if winner is None or winner.built is None:
        recipe, built = None, baseline
        proposer = verdict = "baseline"
        if options.kind is OutputKind.PASSES:
            recipe, built = _list_like_baseline(unit, baseline, objective, pool)
            if built.sizes != baseline.sizes:
                warnings.append(
                    f"no list makes clang -Oz's own object of {baseline.size_bytes} bytes: this "
                    f"one makes {built.size_bytes}"
                )
            data = (recipe.pipeline + "\n").encode()
            replay = unit.stock.replay(unit.source, recipe, unit.output, pic=_pic(unit))
        else:
            data, replay = _baseline_output(unit, options.kind)
    else:
        recipe, built = winner.passes, winner.built
        data = _output(unit, winner.passes, built, options.kind)
        replay = unit.stock.replay(unit.source, winner.passes, unit.output, pic=_pic(unit))
        proposer = _proposer_of(winner.passes, found, options)
        verdict = winner.verdict.value
    num_assemblies = 0
    if found.searched and assembly_wanted(unit, options) and not searcher.stop.is_set():
        bench = _StockBench(unit=unit, searcher=searcher)
        attempt = Attempt()
        with contextlib.suppress(PoolInterrupted):
            attempt = assemble_unit(unit, found.measured, options, bench, baseline, built, pool)
        num_assemblies = attempt.num_assemblies
        warnings += attempt.warnings
        if (assembled := attempt.unit) is not None:
            recipe, built = assembled.recipe, assembled.built
            data = _assembled_output(unit, assembled, options.kind)
            replay = assembled.commands.replay(unit.source, unit.output)
            proposer = _proposer_of(recipe, found, options)
            verdict = VerdictKind.UNCHECKED.value if options.trust else VerdictKind.PASSED.value
    explanation = None
    stopped = searcher.stop.is_set()
    if options.explain and not stopped and winner is not None and winner.built is not None:
        explanation = explain(
            unit.bitcode_path.read_bytes(),
            winner.passes,
            baseline=unit.baseline,
            whole=winner.built.data,
            optimized=built.data,
            pool=pool,
            timeout_s=options.timeout_s,
        )
    return Optimized(
        input=str(unit.source),
        target_triple=unit.triple,
        llvm_version=unit.stock.toolchain.version,
        baseline_bytes=unit.baseline_sizes.size_bytes,
        optimized_bytes=built.size_bytes,
        baseline_text_data_bytes=unit.baseline_sizes.text_data_bytes,
        optimized_text_data_bytes=built.text_data_bytes,
        objective=objective,
        baseline_value=objective.of(baseline),
        optimized_value=objective.of(built),
        passes=recipe.pipeline if recipe is not None else None,
        recipe=recipe,
        replay=replay,
        proposer=proposer,
        verdict=verdict,
        num_evaluations=len(found.measured),
        num_assemblies=num_assemblies,
        seconds=time.monotonic() - started,
        explanation=explanation,
        warnings=tuple(warnings),
        diagnostics=unit.diagnostics,
        output=data,
    )


def _assembled_output(unit: Unit, assembled: AssembledUnit, kind: OutputKind) -> bytes:
    """Return an assembly as object, assembly text, IR or bitcode."""
    final = unit.folder / "final.out"
    match kind:
        case OutputKind.OBJECT:
            return assembled.built.data
        case OutputKind.BITCODE:
            return assembled.optimized.read_bytes()
        case OutputKind.ASSEMBLY:
            recipe = Recipe(options=assembled.recipe.options)
            unit.stock.run_backend(assembled.optimized, final, kind="-S", recipe=recipe)
        case _:
            unit.stock.disassemble_bitcode(assembled.optimized, final)
    return final.read_bytes()


def _discarded(decision: Decision, unit: Unit, checker: Checker) -> list[str]:
    """Say what became of lists that would have won, where that is no everyday matter."""
    found = [
        f"'{step.passes}' works in process but not with the stock tools: {step.detail}"
        for step in decision.with_outcome(Outcome.BUILD_FAILED)
    ]
    if unverified := decision.with_outcome(Outcome.UNVERIFIED):
        found.append(
            f"{len(unverified)} smaller results were discarded, since their lists are new: "
            + checker.why_unchecked(unit.triple)
        )
    rejected = decision.with_outcome(Outcome.REJECTED)
    if rejected and decision.winner is None:
        found.append(
            f"{len(rejected)} smaller results were discarded: PassListEval rejects their lists"
        )
    return found


def _list_like_baseline(
    unit: Unit, baseline: Built, objective: Objective, pool: WorkerPool
) -> tuple[PassList, Built]:
    """Return a list that makes what clang -Oz makes: the default pipeline, or clang's own text.

    The two differ where clang adds passes of its own (the SLP vectoriser).
    """
    if unit.object_format != "ELF":
        return OZ, baseline  # nothing here can be compared
    best: tuple[PassList, Built] | None = None
    for text in ("default<Oz>", unit.stock.baseline_pipeline(unit.source)):
        passes = PassList((text,))
        try:
            built = rebuild(unit, passes, objective, pool=pool)
        except (CompilerError, ResourceError, InputError):
            continue
        if best is None or objective.beats(built, best[1]):
            best = passes, built
        if best[1].sizes == baseline.sizes:
            return best
    if best is None:
        raise CompileFailed(f"{unit.source}: neither default<Oz> nor clang's own pipeline compiles")
    return best


def _proposer_of(passes: PassList, found: Found, options: OptimizeOptions) -> str:
    if passes in found.from_store:
        return FROM_STORE
    if passes.pass_list in found.from_model:
        return Proposer.MODEL.value
    fixed = {*load_coreset().lists, OZ}
    if options.proposer is not Proposer.SEARCH and passes.pass_list in fixed:
        return Proposer.CORESET.value
    return Proposer.SEARCH.value


def _pic(unit: Unit) -> bool:
    return unit.inspection.pic


def _output(unit: Unit, passes: PassList, built: Built, kind: OutputKind) -> bytes:
    """Return the winner as object, assembly, IR, bitcode or its pass list."""
    if kind is OutputKind.OBJECT:
        return built.data
    if kind is OutputKind.PASSES:
        return (passes.pipeline + "\n").encode()
    optimized, final = unit.folder / "optimized.bc", unit.folder / "final.out"
    unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=_pic(unit))
    match kind:
        case OutputKind.BITCODE:
            return optimized.read_bytes()
        case OutputKind.ASSEMBLY:
            unit.stock.run_backend(optimized, final, kind="-S", recipe=passes)
        case _:
            unit.stock.disassemble_bitcode(optimized, final)
            # Clang names the file that it read, which nobody knows.
            name = b"; ModuleID = '" + str(unit.source).encode("utf-8", "surrogateescape") + b"'"
            return _MODULE_ID.sub(lambda match: name, final.read_bytes(), count=1)
    return final.read_bytes()


def _baseline_output(unit: Unit, kind: OutputKind) -> tuple[bytes, tuple[str, ...]]:
    """Return clang -Oz's own output of a kind, and the command that makes it."""
    replay = (shlex.join(unit.stock.baseline_command(unit.source, unit.output)),)
    if kind is OutputKind.OBJECT:
        return unit.baseline, replay
    path = unit.folder / "baseline.out"
    command = unit.stock.baseline_command(
        unit.source, path, kind="-c" if kind is OutputKind.BITCODE else "-S"
    )
    if kind is not OutputKind.ASSEMBLY:
        command = (*command, "-emit-llvm")
    unit.stock.compile_source(command, unit.source)
    return path.read_bytes(), replay
