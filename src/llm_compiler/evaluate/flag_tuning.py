"""Flag tuning, evaluated: every contender on every module at equal budgets, one row each.

Lists are measured in worker processes (`search.trial`), winners are verified (`choose`), and a
module whose contenders are all done is one line of the journal: a killed run goes on with the next.
Measurements are kept in a store beside it, so that contenders share them, and so that a module that
was under way is quick to do again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from llm_compiler.dataset.records import StageSample, render_paper
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.evaluate.choose import Chooser
from llm_compiler.evaluate.contenders import (
    PLAIN,
    Attempt,
    Contender,
    ContenderKind,
    contenders_of,
)
from llm_compiler.evaluate.jobs import NormalizeJob
from llm_compiler.evaluate.rows import Journal, Row
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import (
    CLANG_BASELINE,
    IN_PROCESS_BASELINE,
    EvaluationModule,
    Excluded,
    Suite,
    module_of_bitcode,
)
from llm_compiler.llvm.jobs import ExtractJob, InspectJob
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import public_name
from llm_compiler.model.engines.questions import flag_tuning_question
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts, load_prompts
from llm_compiler.model.tokenizer import TOKENIZER_FILE
from llm_compiler.records import Measurement, PassList, Status, VerdictKind, content_hash
from llm_compiler.search.autotune import measure_baselines
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.labels import Ceiling, lists_hash
from llm_compiler.search.objective import SIZE, Objective, object_objectives
from llm_compiler.search.store import Store
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.verify.checker import Checker
from llm_compiler.verify.target import architecture_of
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "FlagTuningOptions",
    "Protocol",
    "evaluate_flag_tuning",
    "fits_context",
    "model_fingerprint",
    "prepare_modules",
    "prompts_of",
    "sample_fits",
    "settings_of",
]

_FORMAT = 1
_MODULES_A_WORKER = 4
"""Modules that are done together, between two writes of the journal."""
_EDGE_BYTES = 1 << 20
_ANSWER_TOKENS = 100
"""What an answer needs of the context: the longest list, and sizes."""


class Protocol(StrEnum):
    """The rules of measurement."""

    OURS = "ours"
    PAPER = "paper"
    """One shot, .text + .data, long units split by function, what is still too long counts as
    -Oz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTuningOptions:
    """What is compared and how."""

    contenders: tuple[ContenderKind, ...]
    budgets: tuple[int, ...] = (1, 4, 16, 64, 256)
    protocol: Protocol = Protocol.OURS
    objective: Objective = SIZE
    check: bool = True
    """Put new lists that win to PassListEval."""
    seed: int = 0
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.contenders:
            raise ConfigError("there is no contender to measure")
        if not self.budgets or min(self.budgets) < 1:
            raise ConfigError("budgets are numbers of evaluations of at least 1")
        if not self.objective.column:
            known = " or ".join(one.name for one in object_objectives())
            raise ConfigError(f"an evaluation is about sizes: --objective {known}")


@dataclass(slots=True, kw_only=True)
class Prepared:
    """Modules with their baselines and, if a model reads them, their texts."""

    modules: list[EvaluationModule]
    excluded: list[Excluded] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    oz: dict[str, Measurement] = field(default_factory=dict)
    """default<Oz> in process, by module hash."""


def fits_context(
    engine: Engine, prompts: CompactPrompts | PaperPrompts | None, module: EvaluationModule
) -> bool:
    """Whether a module's prompt for flag tuning and an answer fit a model's context, uncut."""
    return sample_fits(engine, prompts, flag_tuning_question(module.text, module.target_triple))


def sample_fits(
    engine: Engine, prompts: CompactPrompts | PaperPrompts | None, sample: StageSample
) -> bool:
    """Whether a sample's prompt and a short answer fit a model's context, uncut.

    Args:
        prompts: None (a server's, which nobody can count here): it fits.

    Raises:
        InputError: it cannot be put into the model's words.
    """
    if prompts is None:
        return True
    if isinstance(prompts, CompactPrompts):
        count = len(prompts.prompt(sample))
    else:
        count = len(prompts.prompt_ids(render_paper(sample)[0]))
    return count + _ANSWER_TOKENS <= engine.context


def prompts_of(engine: Engine, model: str | Path | None) -> CompactPrompts | PaperPrompts | None:
    """Return the prompts that an engine writes, if its tokenizer is at hand."""
    if engine.reader is not None:
        return engine.reader.prompts
    if model is not None and (Path(model) / TOKENIZER_FILE).is_file():
        return load_prompts(Path(model))
    return None


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
    found = Prepared(modules=[])
    seen: set[str] = set()
    num_repeated = 0
    for module in (module for suite in suites for module in suite.modules):
        # Folders of samples may share modules, a compile database may name one file twice; files
        # of the user's that are alike under other names count each.
        identity = module.module_hash if module.unit is None else module.key
        if identity in seen:
            num_repeated += 1
            continue
        seen.add(identity)
        found.modules.append(module)
    if num_repeated:
        found.notes.append(f"{num_repeated} modules were there twice and were measured once")
    if engines:
        _make_texts(found.modules, pool)
        if options.protocol is Protocol.PAPER:
            _split_long(found, pool, engines, fits)
            _make_texts(found.modules, pool)
    trials = [
        Trial(
            bitcode=module.bitcode,
            budget=1,
            module_hash=module.module_hash,
            timeout_s=options.timeout_s,
        )
        for module in found.modules
    ]
    found.oz = measure_baselines(pool, store, trials)
    kept = []
    for module in found.modules:
        measured = found.oz[module.module_hash]
        if not measured.ok:
            cause = f"LLVM {measured.status.value} at default<Oz> in process: {measured.detail}"
            found.excluded.append(Excluded(suite=module.suite, name=module.name, cause=cause))
            continue
        if module.baseline is None:
            module.baseline = ObjectSizes(
                size_bytes=measured.size_bytes, text_data_bytes=measured.text_data_bytes
            )
        kept.append(module)
    found.modules = kept
    if not kept:
        first = f": {found.excluded[0].cause}" if found.excluded else ""
        raise InputError(f"no module of the suites can be measured{first}")
    return found


def _make_texts(modules: Sequence[EvaluationModule], pool: WorkerPool) -> None:
    todo = [module for module in modules if not module.text]
    jobs = [NormalizeJob(bitcode=module.bitcode) for module in todo]
    failed = []
    for module, (emitted, *_) in zip(todo, run_jobs(pool, jobs), strict=True):
        if emitted.status is Status.OK:
            module.text = emitted.data.decode("utf-8", "replace")
        else:
            failed.append(module)
    # What cannot be brought into normal form is read as it is.
    inspections = [InspectJob(inputs=(module.bitcode,), with_text=True) for module in failed]
    for module, (inspection, *_) in zip(failed, run_jobs(pool, inspections), strict=True):
        module.text = inspection.text


def _split_long(
    found: Prepared,
    pool: WorkerPool,
    engines: Sequence[Engine],
    fits: Callable[[Engine, EvaluationModule], bool],
) -> None:
    """Replace modules that exceed a context by the modules of their functions."""
    kept: list[EvaluationModule] = []
    num_split = num_functions = 0
    for module in found.modules:
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
                found.excluded.append(
                    Excluded(suite=module.suite, name=name, cause=f"not extracted: {part.detail}")
                )
                continue
            (told,) = run_jobs(pool, [InspectJob(inputs=(part.data,))])[0]
            made = module_of_bitcode(module.suite, name, module.program, part.data, told)
            if isinstance(made, Excluded):
                found.excluded.append(made)
                continue
            num_functions += 1
            kept.append(made)
    found.modules = kept
    if num_split:
        found.notes.append(
            f"{num_split} units exceed the context and were split into {num_functions} modules of "
            f"one function, whose baseline is {IN_PROCESS_BASELINE}"
        )


def model_fingerprint(engine: Engine, model: str | Path | None) -> dict[str, Any]:
    """Name an engine and its weights so that other weights have another name.

    Of a folder the sizes, beginnings and ends of its weights count: reading all of them would take
    minutes for large models.
    """
    told: dict[str, Any] = {"engine": engine.name, "model": public_name(engine.model)}
    folder = Path(model) if model is not None else None
    if folder is not None and folder.is_dir():
        digest = hashlib.blake2b(digest_size=16)
        # Answers that are replayed (`*.ll`, `*.s`) are a model's weights, too.
        names = ("*.safetensors", "config.json", "*.ll", "*.s")
        for file in sorted(path for name in names for path in folder.glob(name)):
            size = file.stat().st_size
            with file.open("rb") as stream:
                digest.update(f"{file.name} {size} ".encode() + stream.read(_EDGE_BYTES))
                if size > _EDGE_BYTES:
                    stream.seek(-_EDGE_BYTES, 2)
                    digest.update(stream.read(_EDGE_BYTES))
        told["weights"] = digest.hexdigest()
    return told


def settings_of(
    prepared: Prepared,
    options: FlagTuningOptions,
    *,
    llvm_version: str,
    coreset: Coreset,
    models: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return what makes a run what it is: a run of other settings is another run."""
    keys = "\n".join(sorted(f"{one.key} {one.baseline}" for one in prepared.modules))
    return {
        "format": _FORMAT,
        "task": "flag-tuning",
        "protocol": options.protocol.value,
        "objective": options.objective.name,
        "modules": content_hash(keys.encode()),
        "contenders": [one.value for one in options.contenders],
        "budgets": list(options.budgets),
        "models": list(models),
        "coreset": lists_hash(coreset.lists),
        "llvm_version": llvm_version,
        "check": options.check,
        "seed": options.seed,
        "timeout_s": options.timeout_s,
    }


def evaluate_flag_tuning(
    prepared: Prepared,
    options: FlagTuningOptions,
    journal: Journal[Row],
    *,
    pool: WorkerPool,
    checker: Checker,
    store: Store,
    coreset: Coreset,
    engines: Sequence[Engine] = (),
    fits: Callable[[Engine, EvaluationModule], bool] = lambda engine, module: True,
    ceilings: Mapping[str, Ceiling] | None = None,
    deadline: float | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Row]:
    """Measure every contender on every module and return all rows, those of the journal included.

    Args:
        fits: as in `prepare_modules`.
        ceilings: by module hash.
        deadline: as `time.monotonic` counts; behind it no modules are begun, but the first few.
            Those that are done are spread over targets and programs.
        on_progress: called with (steps done, steps in all, what is under way).

    Ctrl-C and kills lose at most what was not in the store: the same call goes on.
    """
    by_architecture: dict[str, tuple[PassList, ...]] = {}

    def passed(module: EvaluationModule) -> Sequence[PassList]:
        architecture = architecture_of(module.target_triple)
        if architecture not in by_architecture:
            by_architecture[architecture] = tuple(
                passes
                for passes in coreset.lists
                if not options.check
                or checker.known(passes, module.target_triple) is VerdictKind.PASSED
            )
        return by_architecture[architecture]

    contenders = contenders_of(
        options.contenders,
        engines=engines,
        coreset=coreset,
        passed=passed,
        space=checker.search_space(),
        fits=fits if options.protocol is Protocol.PAPER else lambda engine, module: True,
        seed=options.seed,
    )
    chooser = Chooser(checker, options.objective, check=options.check)
    runner = _Runner(prepared, options, contenders, pool, store, chooser, ceilings or {})
    total = len(prepared.modules) * len(contenders)
    todo = draw_evenly(
        [module for module in prepared.modules if journal.rows(module.key) is None],
        lambda module: architecture_of(module.target_triple),
        (lambda module: module.program, lambda module: module.key),
        seed=options.seed,
    )
    runner.done = total - len(todo) * len(contenders)
    runner.on_progress = lambda what: on_progress(runner.done, total, what)
    size = max(1, pool.num_workers * _MODULES_A_WORKER)
    for start in range(0, len(todo), size):
        late = deadline is not None and time.monotonic() > deadline
        if late and (start or len(todo) < len(prepared.modules)):
            break
        for module, rows in runner.run(todo[start : start + size]):
            journal.add(module.key, rows)
    found: list[Row] = []
    for module in prepared.modules:
        found += journal.rows(module.key) or []
    return found


@dataclass(slots=True)
class _Runner:
    prepared: Prepared
    options: FlagTuningOptions
    contenders: Sequence[Contender]
    pool: WorkerPool
    store: Store
    chooser: Chooser
    ceilings: Mapping[str, Ceiling]
    done: int = 0
    on_progress: Callable[[str], None] = lambda what: None

    def run(
        self, modules: Sequence[EvaluationModule]
    ) -> Iterator[tuple[EvaluationModule, list[Row]]]:
        """Do some modules and yield each with its rows."""
        attempts: list[Attempt] = []
        for contender in self.contenders:
            attempts += self._try(contender, modules)
        tasks: dict[str, list[tuple[Attempt, str, int, list[tuple[PassList, Measurement]]]]] = {}
        for attempt in attempts:
            for name, budget, tried in self._readings(attempt):
                tasks.setdefault(attempt.module.key, []).append((attempt, name, budget, tried))
        # The smallest outcomes are rebuilt side by side; `choose` asks for more where need be.
        all_tried = [
            (attempt.module, tried) for found in tasks.values() for attempt, _, _, tried in found
        ]
        self.chooser.rebuild(all_tried, self.pool.num_workers)
        for module in modules:
            rows = [
                self._row(attempt, name, budget, tried)
                for attempt, name, budget, tried in tasks[module.key]
            ]
            yield module, rows

    def _try(self, contender: Contender, modules: Sequence[EvaluationModule]) -> list[Attempt]:
        budgets = contender.budgets(self.options.budgets)
        attempts: list[Attempt] = []
        for budget in [max(budgets)] if contender.anytime else budgets:
            now = [
                Attempt(
                    module=module,
                    contender=contender,
                    trial=Trial(
                        bitcode=module.bitcode,
                        budget=budget,
                        objective=self.options.objective,
                        name=module.name,
                        module_hash=module.module_hash,
                        timeout_s=self.options.timeout_s,
                    ),
                )
                for module in modules
            ]
            pairs = [
                (
                    attempt.trial,
                    contender.strategy(
                        attempt, self.prepared.oz[attempt.module.module_hash].size_bytes
                    ),
                )
                for attempt in now
            ]
            for trial in run_trials(self.pool, pairs, store=self.store):
                self.on_progress(f"{contender.name} {trial.name}")
            attempts += now
        self.done += len(modules)
        self.on_progress(contender.name)
        return attempts

    def _readings(
        self, attempt: Attempt
    ) -> Iterator[tuple[str, int, list[tuple[PassList, Measurement]]]]:
        """Yield what a contender had tried at each budget, under the name of the row."""
        tried = list(attempt.trial.known.items())
        contender = attempt.contender
        if contender.kind is ContenderKind.PLAIN:
            for name, passes in PLAIN.items():
                yield name, 1, [(passes, attempt.trial.known[passes])]
            yield "best of -Oz, -Os, -O2", len(PLAIN), tried
        elif contender.anytime:
            for budget in contender.budgets(self.options.budgets):
                yield contender.name, budget, tried[:budget]
        else:
            yield contender.name, attempt.trial.budget, tried

    def _row(
        self,
        attempt: Attempt,
        name: str,
        budget: int,
        tried: list[tuple[PassList, Measurement]],
    ) -> Row:
        module = attempt.module
        assert module.baseline is not None
        choice = self.chooser.choose(module, tried)
        ceiling = self.ceilings.get(module.module_hash)
        return Row(
            suite=module.suite,
            module=module.name,
            module_hash=module.module_hash,
            program=module.program,
            target_triple=module.target_triple,
            num_functions=module.num_functions,
            num_instructions=module.num_instructions,
            baseline=CLANG_BASELINE if module.unit is not None else IN_PROCESS_BASELINE,
            flags=module.flags,
            baseline_size_bytes=module.baseline.size_bytes,
            baseline_text_data_bytes=module.baseline.text_data_bytes,
            contender=name,
            model=attempt.contender.model,
            budget=budget,
            num_evaluations=len(tried),
            passes=choice.passes.pipeline if choice.passes is not None else "",
            size_bytes=choice.sizes.size_bytes,
            text_data_bytes=choice.sizes.text_data_bytes,
            in_process_size_bytes=choice.in_process_size_bytes,
            verdict=choice.verdict,
            num_rejected=choice.num_rejected,
            ceiling_size_bytes=ceiling.best_size_bytes if ceiling else -1,
            ceiling_text_data_bytes=ceiling.best_text_data_bytes if ceiling else -1,
            compile_seconds=sum(one.seconds for _, one in tried),
            model_seconds=attempt.model_seconds,
        )
