"""The last step of a unit: what is handed out, as the output that was asked for."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass

from llm_compiler.errors import CompileFailed, CompilerError, InputError, ResourceError
from llm_compiler.llvm.object_file import has_sizes
from llm_compiler.optimization.assembly import AssembledUnit
from llm_compiler.optimization.choose import Built, Step
from llm_compiler.optimization.decide import Chosen
from llm_compiler.optimization.explain import Explanation, explain
from llm_compiler.optimization.options import OptimizeOptions, OutputKind, Proposer
from llm_compiler.optimization.rebuild import rebuild
from llm_compiler.optimization.result import FROM_STORE, Optimized
from llm_compiler.optimization.unit import Found, Unit
from llm_compiler.optimization.workplace import Workplace
from llm_compiler.records import OZ, PassList, Recipe, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import Objective
from llm_compiler.workers.pool import WorkerPool

__all__ = ["finish"]


_MODULE_ID = re.compile(rb"\A; ModuleID = '[^'\n]*'")
_BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """What is handed out; `recipe` None: clang -Oz's own output."""

    recipe: Recipe | None
    built: Built
    data: bytes
    replay: tuple[str, ...]
    proposer: str = _BASELINE
    verdict: str = _BASELINE
    warnings: tuple[str, ...] = ()


def finish(
    unit: Unit, found: Found, chosen: Chosen, workplace: Workplace, *, started: float
) -> Optimized:
    """Return what becomes of a unit: its best verified object, or clang -Oz's.

    Args:
        started: when the unit's own work began, as `time.monotonic` counts.

    Raises:
        LlmCompilerError: clang fails on the output asked for.
    """
    objective = workplace.options.objective
    product = _product(unit, found, chosen, workplace)
    explanation = _explanation(unit, chosen, product.built, workplace)
    return Optimized(
        input=str(unit.source),
        target_triple=unit.triple,
        llvm_version=unit.stock.toolchain.version,
        baseline_bytes=unit.baseline_sizes.size_bytes,
        optimized_bytes=product.built.size_bytes,
        baseline_text_data_bytes=unit.baseline_sizes.text_data_bytes,
        optimized_text_data_bytes=product.built.text_data_bytes,
        baseline_ram_bytes=unit.baseline_sizes.ram_bytes,
        optimized_ram_bytes=product.built.ram_bytes,
        objective=objective,
        baseline_value=objective.of(chosen.baseline),
        optimized_value=objective.of(product.built),
        passes=product.recipe.pipeline if product.recipe is not None else None,
        recipe=product.recipe,
        replay=product.replay,
        proposer=product.proposer,
        verdict=product.verdict,
        num_evaluations=len(found.measured),
        num_assemblies=chosen.num_assemblies,
        seconds=time.monotonic() - started,
        explanation=explanation,
        warnings=(*unit.warnings, *found.warnings, *chosen.warnings, *product.warnings),
        diagnostics=unit.diagnostics,
        output=product.data,
    )


def _product(unit: Unit, found: Found, chosen: Chosen, workplace: Workplace) -> _Product:
    if chosen.assembled is not None:
        return _assembled(unit, found, chosen.assembled, workplace.options)
    winner = chosen.winner
    if winner is not None and winner.built is not None:
        return _whole(unit, found, winner, winner.built, workplace.options)
    if workplace.options.kind is OutputKind.PASSES:
        return _list_for_baseline(unit, chosen.baseline, workplace)
    data, replay = _baseline_output(unit, workplace.options.kind)
    return _Product(recipe=None, built=chosen.baseline, data=data, replay=replay)


def _assembled(
    unit: Unit, found: Found, assembled: AssembledUnit, options: OptimizeOptions
) -> _Product:
    verdict = VerdictKind.UNCHECKED if options.trust else VerdictKind.PASSED
    return _Product(
        recipe=assembled.recipe,
        built=assembled.built,
        data=_assembled_output(unit, assembled, options.kind),
        replay=assembled.commands.replay(unit.source, unit.output),
        proposer=_proposer_of(assembled.recipe, found, options),
        verdict=verdict.value,
    )


def _whole(
    unit: Unit, found: Found, winner: Step, built: Built, options: OptimizeOptions
) -> _Product:
    return _Product(
        recipe=winner.passes,
        built=built,
        data=_output(unit, winner.passes, built, options.kind),
        replay=unit.stock.replay(unit.source, winner.passes, unit.output, pic=_pic(unit)),
        proposer=_proposer_of(winner.passes, found, options),
        verdict=winner.verdict.value,
    )


def _list_for_baseline(unit: Unit, baseline: Built, workplace: Workplace) -> _Product:
    objective = workplace.options.objective
    recipe, built = _list_like_baseline(unit, baseline, objective, workplace.pool)
    warnings: tuple[str, ...] = ()
    if built.sizes != baseline.sizes:
        warnings = (
            f"no list makes clang -Oz's own object of {baseline.size_bytes} bytes: this "
            f"one makes {built.size_bytes}",
        )
    return _Product(
        recipe=recipe,
        built=built,
        data=(recipe.pipeline + "\n").encode(),
        replay=unit.stock.replay(unit.source, recipe, unit.output, pic=_pic(unit)),
        warnings=warnings,
    )


def _explanation(
    unit: Unit, chosen: Chosen, optimized: Built, workplace: Workplace
) -> Explanation | None:
    """Return what each element of the best whole recipe brings, where that was asked for."""
    winner = chosen.winner
    if not workplace.options.explain or workplace.is_stopped:
        return None
    if winner is None or winner.built is None:
        return None
    return explain(
        unit.bitcode_path.read_bytes(),
        winner.passes,
        baseline=unit.baseline,
        whole=winner.built.data,
        optimized=optimized.data,
        pool=workplace.pool,
        timeout_s=workplace.options.timeout_s,
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
            return _named(final.read_bytes(), unit)
    return final.read_bytes()


def _list_like_baseline(
    unit: Unit, baseline: Built, objective: Objective, pool: WorkerPool
) -> tuple[PassList, Built]:
    """Return a list that makes what clang -Oz makes: the default pipeline, or clang's own text.

    The two differ where clang adds passes of its own (the SLP vectoriser).
    """
    if not has_sizes(unit.baseline):
        return OZ, baseline  # nothing here can be compared
    best: tuple[PassList, Built] | None = None
    for text in (OZ.pipeline, unit.stock.baseline_pipeline(unit.source)):
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


def _named(text: bytes, unit: Unit) -> bytes:
    """Let IR name the user's source: clang names the file that it read, which nobody knows."""
    name = b"; ModuleID = '" + str(unit.source).encode("utf-8", "surrogateescape") + b"'"
    return _MODULE_ID.sub(lambda match: name, text, count=1)


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
            return _named(final.read_bytes(), unit)
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
