"""From suites to modules that can be measured: each once, with its baseline and its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llm_compiler.errors import InputError
from llm_compiler.evaluate.flag_tuning.normal_form import NormalizeJob
from llm_compiler.evaluate.flag_tuning.options import FlagTuningOptions, Protocol
from llm_compiler.evaluate.suites import (
    IN_PROCESS_BASELINE,
    EvaluationModule,
    Excluded,
    Suite,
    module_of_bitcode,
)
from llm_compiler.llvm.module_jobs import ExtractJob, InspectJob
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.model.engines.engine import Engine
from llm_compiler.records import Status
from llm_compiler.search.autotune import measure_baselines
from llm_compiler.search.store import Store
from llm_compiler.search.trial import Trial
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Prepared", "TuningItem", "prepare_modules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningItem:
    """A module with its baseline and, if a model reads it, its text."""

    module: EvaluationModule
    oz_size_bytes: int
    """At default<Oz>, in process."""

    @property
    def key(self) -> str:
        """What names it in a run."""
        return self.module.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What can be measured, what cannot, and what had to be done for that."""

    items: tuple[TuningItem, ...]
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()


def prepare_modules(
    suites: Sequence[Suite],
    options: FlagTuningOptions,
    *,
    pool: WorkerPool,
    store: Store,
    engines: Sequence[Engine],
    fits: Callable[[Engine, EvaluationModule], bool] = lambda engine, module: True,
) -> Prepared:
    """Give every module its baseline and text; under the paper's protocol, split what is too long.

    Args:
        fits: whether a module fits an engine's context; asked under the paper's protocol only.

    Raises:
        InputError: no module is left.
    """
    modules, notes = _distinct(suites)
    excluded: tuple[Excluded, ...] = ()
    if engines:
        modules = _with_texts(modules, pool)
        if options.protocol is Protocol.PAPER:
            modules, excluded, split = _split_long(modules, pool, engines, fits)
            modules = _with_texts(modules, pool)
            notes += split
    trials = [
        Trial(
            bitcode=module.bitcode,
            budget=1,
            module_hash=module.module_hash,
            timeout_s=options.timeout_s,
        )
        for module in modules
    ]
    at_oz = measure_baselines(pool, store, trials)
    items: list[TuningItem] = []
    for module in modules:
        measured = at_oz[module.module_hash]
        if not measured.ok:
            cause = f"LLVM {measured.status.value} at default<Oz> in process: {measured.detail}"
            excluded += (Excluded(suite=module.suite, name=module.name, cause=cause),)
            continue
        baseline = module.baseline or ObjectSizes(
            size_bytes=measured.size_bytes, text_data_bytes=measured.text_data_bytes
        )
        items.append(
            TuningItem(module=replace(module, baseline=baseline), oz_size_bytes=measured.size_bytes)
        )
    if not items:
        first = f": {excluded[0].cause}" if excluded else ""
        raise InputError(f"no module of the suites can be measured{first}")
    return Prepared(items=tuple(items), excluded=excluded, notes=notes)


def _distinct(suites: Sequence[Suite]) -> tuple[list[EvaluationModule], tuple[str, ...]]:
    """Return each module once, and a note on those that were there twice."""
    found: dict[str, EvaluationModule] = {}
    num_repeated = 0
    for module in (module for suite in suites for module in suite.modules):
        # Folders of samples may share modules, a compile database may name one file twice; files
        # of the user's that are alike under other names count each.
        identity = module.module_hash if module.unit is None else module.key
        num_repeated += identity in found
        found.setdefault(identity, module)
    if not num_repeated:
        return list(found.values()), ()
    note = f"{num_repeated} modules were there twice and were measured once"
    return list(found.values()), (note,)


def _with_texts(modules: Sequence[EvaluationModule], pool: WorkerPool) -> list[EvaluationModule]:
    """Return modules with their texts in normal form; what has none is read as it is."""
    todo = [module for module in modules if not module.text]
    texts: dict[str, str] = {}
    failed = []
    jobs = [NormalizeJob(bitcode=module.bitcode) for module in todo]
    for module, (emitted, *_) in zip(todo, run_jobs(pool, jobs), strict=True):
        if emitted.status is Status.OK:
            texts[module.module_hash] = emitted.data.decode("utf-8", "replace")
        else:
            failed.append(module)
    inspections = [InspectJob(inputs=(module.bitcode,), with_text=True) for module in failed]
    for module, (inspection, *_) in zip(failed, run_jobs(pool, inspections), strict=True):
        texts[module.module_hash] = inspection.text
    return [replace(module, text=module.text or texts[module.module_hash]) for module in modules]


def _split_long(
    modules: Sequence[EvaluationModule],
    pool: WorkerPool,
    engines: Sequence[Engine],
    fits: Callable[[Engine, EvaluationModule], bool],
) -> tuple[list[EvaluationModule], tuple[Excluded, ...], tuple[str, ...]]:
    """Replace modules that exceed a context by the modules of their functions."""
    kept: list[EvaluationModule] = []
    excluded: list[Excluded] = []
    num_split = num_functions = 0
    for module in modules:
        if all(fits(engine, module) for engine in engines) or module.num_functions < 2:
            kept.append(module)
            continue
        (inspection,) = run_jobs(pool, [InspectJob(inputs=(module.bitcode,))])[0]
        (parts,) = run_jobs(
            pool, [ExtractJob(bitcode=module.bitcode, functions=inspection.functions)]
        )
        num_split += 1
        for function, part in zip(inspection.functions, parts, strict=True):
            name = f"{module.name}:{function}"
            if part.status is not Status.OK:
                cause = f"not extracted: {part.detail}"
                excluded.append(Excluded(suite=module.suite, name=name, cause=cause))
                continue
            (inspected,) = run_jobs(pool, [InspectJob(inputs=(part.data,))])[0]
            made = module_of_bitcode(module.suite, name, module.program, part.data, inspected)
            if isinstance(made, Excluded):
                excluded.append(made)
                continue
            num_functions += 1
            kept.append(made)
    if not num_split:
        return kept, tuple(excluded), ()
    note = (
        f"{num_split} units exceed the context and were split into {num_functions} modules of "
        f"one function, whose baseline is {IN_PROCESS_BASELINE}"
    )
    return kept, tuple(excluded), (note,)
