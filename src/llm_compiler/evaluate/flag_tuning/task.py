"""Flag tuning as a task: what contenders' pass lists save over clang -Oz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from llm_compiler.console import note, progress, warn
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.flag_tuning.contenders import ContenderKind
from llm_compiler.evaluate.flag_tuning.contest import Contest, Fits, run_contest
from llm_compiler.evaluate.flag_tuning.options import FlagTuningOptions
from llm_compiler.evaluate.flag_tuning.prepare import Prepared, TuningItem, prepare_modules
from llm_compiler.evaluate.flag_tuning.program_files import PROGRAMS_FILE, Program, load_programs
from llm_compiler.evaluate.flag_tuning.programs import (
    ProgramRow,
    Ready,
    programs_hash,
    ready_programs,
    run_programs,
)
from llm_compiler.evaluate.flag_tuning.report import FlagTuningReport, make_report
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.flag_tuning.shipped import OBJECTS, ShippedOptimizer
from llm_compiler.evaluate.models import fits_context
from llm_compiler.evaluate.report import share_text
from llm_compiler.evaluate.rows import Journal
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.suites import EvaluationModule, Excluded, Suite
from llm_compiler.evaluate.task import Facts, HeadLine, Needs, Task, Work
from llm_compiler.model.engines.engine import Engine
from llm_compiler.records import content_hash
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.labels import Ceiling, lists_hash, read_ceilings
from llm_compiler.search.store import Store
from llm_compiler.verify.checker import Checker

__all__ = ["FlagTuningTask"]

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTuningTask(Task[TuningItem, Row, FlagTuningReport]):
    """An item is a module."""

    options: FlagTuningOptions
    modules: int = 0
    """Of samples and corpora, drawn per target; 0: all."""
    ceilings: tuple[Path, ...] = ()
    """Tables of what the autotuner found."""
    store: Path | None = None
    """Measurements; None: in the report's folder."""
    programs: Path | None = None
    """How programs are linked and run; None: as the suites say."""
    coreset: Path | None = None
    """None: the shipped one."""
    name: ClassVar[str] = "flag-tuning"
    row: ClassVar[type[Row]] = Row
    noun: ClassVar[str] = "modules"

    def needs(self) -> Needs:
        """Return modules, those with a known ceiling first; models only if some are named."""
        load_coreset(self.coreset)  # or say at once what is wrong with it
        return Needs(count=self.modules, model=False, known=self._ceilings())

    def items(self, run: Run) -> Work[TuningItem]:
        """Give every module its baseline and, for models, its text."""
        for _ in self._named_programs(run):
            pass  # or say at once what makes no sense
        with self._store(run) as store:
            prepared = prepare_modules(
                run.suites,
                self.options,
                pool=run.pool,
                store=store,
                engines=[model.engine for model in run.models],
                fits=_fits(run),
            )
        return Work(
            items=prepared.items,
            settings=self._settings(run, prepared),
            excluded=prepared.excluded,
            notes=tuple(f"{line}." for line in prepared.notes),
        )

    def ask(self, items: Sequence[TuningItem], run: Run) -> Iterator[tuple[TuningItem, list[Row]]]:
        """Let every contender try its lists, on several modules side by side."""
        with (
            self._store(run) as store,
            Checker(toolchain=run.toolchain, pool=run.pool, notify=note) as checker,
        ):
            contest = Contest(
                options=self.options,
                pool=run.pool,
                checker=checker,
                store=store,
                coreset=load_coreset(self.coreset),
                engines=[model.engine for model in run.models],
                fits=_fits(run),
                shipped=self._shipped(run, checker),
                ceilings=self._ceilings(),
                is_late=lambda begun: run.is_late and (begun or run.has_rows),
                say=run.say,
            )
            yield from run_contest(items, contest)

    def summary(self, rows: Sequence[Row], facts: Facts, run: Run) -> FlagTuningReport:
        """Link and run the suites' programs with the lists of the rows; compute all figures."""
        ready, unbuilt = self._ready_programs(run)
        programs: list[ProgramRow] = []
        if ready:
            settings = {**facts.settings, "programs": programs_hash(ready)}
            with (
                Journal(run.folder / "programs.jsonl", settings, ProgramRow) as journal,
                progress(1, "running programs") as bar,
            ):
                programs = run_programs(
                    ready,
                    rows,
                    journal,
                    pool=run.pool,
                    objects=run.folder / OBJECTS,
                    on_progress=lambda done, total, what: bar.update(done, f"of {total} builds"),
                )
        facts = replace(
            facts,
            notes=(*facts.notes, *_not_built(ready, programs)),
            excluded=(*facts.excluded, *unbuilt),
        )
        return make_report(rows, facts, self.options, programs=programs)

    def headline(self, summary: FlagTuningReport) -> Iterable[HeadLine]:
        """Yield gains, and shares of the autotuner's, per target of models and coreset."""
        for target, found in summary.by_group["target"].items():
            for each_summary in found:
                if each_summary.contender.split(" ")[0] not in (
                    "optimize",
                    "model",
                    "one-shot",
                    "coreset",
                ):
                    continue
                gain = each_summary.gains[summary.objective.name, summary.backup, "total"]
                yield HeadLine(
                    target=target,
                    who=each_summary.contender,
                    figure=f"smaller than -Oz at {summary.reference}, {summary.backup} backup",
                    n=each_summary.num_modules,
                    value=share_text(gain),
                )
                if each_summary.num_with_ceiling and summary.backup == "with":
                    yield HeadLine(
                        target=target,
                        who=each_summary.contender,
                        figure="share of the autotuner's",
                        n=each_summary.num_with_ceiling,
                        value=share_text(each_summary.potential),
                    )

    def _ceilings(self) -> dict[str, Ceiling]:
        return {
            ceiling.module_hash: ceiling
            for path in self.ceilings
            for ceiling in read_ceilings(path)
        }

    def _shipped(self, run: Run, checker: Checker) -> dict[str, ShippedOptimizer]:
        """Return `optimize` with each model, by the names of its rows; without one, with none."""
        if ContenderKind.OPTIMIZE not in self.options.contenders:
            return {}
        engines: list[Engine | None] = [model.engine for model in run.models]
        name = ContenderKind.OPTIMIZE.value
        return {
            f"{name} {number}" if len(engines) > 1 else name: ShippedOptimizer(
                toolchain=run.toolchain,
                pool=run.pool,
                checker=checker,
                coreset=load_coreset(self.coreset),
                engine=engine,
                objective=self.options.objective,
                check=self.options.check,
                seed=self.options.seed,
                timeout_s=self.options.timeout_s,
                objects=run.folder / OBJECTS,
                scratch=run.scratch / f"{name}-{number}",
            )
            for number, engine in enumerate(engines or [None], 1)
        }

    def _store(self, run: Run) -> Store:
        path = self.store or run.folder / "measurements.db"
        return Store(path, llvm_version=run.toolchain.version)

    def _settings(self, run: Run, prepared: Prepared) -> dict[str, object]:
        how = self.options
        keys = "\n".join(sorted(f"{item.key} {item.module.baseline}" for item in prepared.items))
        return {
            "format": _FORMAT,
            "task": self.name,
            "protocol": how.protocol.value,
            "objective": how.objective.name,
            "modules": content_hash(keys.encode()),
            "contenders": [contender.value for contender in how.contenders],
            "budgets": list(how.budgets),
            "models": [model.name.to_json() for model in run.models],
            "coreset": lists_hash(load_coreset(self.coreset).lists),
            "llvm_version": run.toolchain.version,
            "check": how.check,
            "seed": how.seed,
            "timeout_s": how.timeout_s,
        }

    def _named_programs(self, run: Run) -> Iterator[tuple[Suite, list[Program]]]:
        """Yield suites of sources with what is said of their programs.

        Raises:
            ConfigError: a file of programs makes no sense.
        """
        found = False
        for path, suite in zip(run.options.suites, run.suites, strict=True):
            root = path if path.is_dir() else path.parent
            named = self.programs or root / PROGRAMS_FILE
            if not suite.units or (self.programs is None and not named.is_file()):
                continue
            found = True
            yield suite, load_programs(named, root)
        if self.programs is not None and not found:
            raise ConfigError(f"{self.programs} names programs, but no suite is of sources")

    def _ready_programs(self, run: Run) -> tuple[list[Ready], list[Excluded]]:
        """Build programs at -O2; say which cannot be."""
        ready: list[Ready] = []
        excluded: list[Excluded] = []
        for suite, programs in self._named_programs(run):
            note(f"building the programs of {suite.name}")
            built, without = ready_programs(
                suite, programs, run.toolchain, run.scratch / "programs"
            )
            ready += built
            excluded += without
        for each_excluded in excluded:
            warn(f"{each_excluded.suite}: {each_excluded.name} is left out: {each_excluded.cause}")
        return ready, excluded


def _fits(run: Run) -> Fits:
    prompts = {id(model.engine): model.prompts for model in run.models}

    def fits(engine: Engine, module: EvaluationModule) -> bool:
        return fits_context(engine, prompts[id(engine)], module)

    return fits


def _not_built(ready: Sequence[Ready], rows: Sequence[ProgramRow]) -> Iterator[str]:
    """Say which programs were not linked: their lists are not all there."""
    built = {(row.suite, row.program) for row in rows}
    names = sorted(
        {
            f"'{each_ready.program.name}'"
            for each_ready in ready
            if (each_ready.suite.name, each_ready.program.name) not in built
        }
    )
    if names:
        yield (
            f"Not linked: {', '.join(names)}; some of their units have no list of their own, being "
            "not measured yet, or split by function."
        )
