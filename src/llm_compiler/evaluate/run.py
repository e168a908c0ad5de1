"""What the run of a task holds open: the report's folder, models, suites, workers."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_compiler.console import note, warn
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.evaluate.load_suite import load_suite
from llm_compiler.evaluate.models import ModelName, sample_fits
from llm_compiler.evaluate.plots import require_matplotlib
from llm_compiler.evaluate.rows import locked
from llm_compiler.evaluate.suites import EvaluationModule, Excluded, Suite, SuiteOptions
from llm_compiler.evaluate.task import Needs
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts
from llm_compiler.parquet import require_pyarrow
from llm_compiler.workers import PoolSpec, WorkerPool, open_pool

__all__ = ["OpenModel", "OpenModels", "Run", "RunOptions", "open_run"]


_LOCAL = PoolSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModel:
    """A model that is asked, and the name that rows have for it."""

    name: ModelName
    row_name: str
    """Distinct among the models of a run."""
    engine: Engine = field(repr=False)
    prompts: CompactPrompts | PaperPrompts | None = field(default=None, repr=False)
    """None: a server's, which nobody can count here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What every task is given."""

    task: str
    report: Path
    suites: tuple[Path, ...]
    suite_options: SuiteOptions
    jobs: int | None = None
    pool: PoolSpec = _LOCAL
    max_minutes: float | None = None
    command: str = ""
    """As it was typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A task's run."""

    options: RunOptions
    scratch: Path
    """For temporary files; lives as long as the run."""
    toolchain: Toolchain
    pool: WorkerPool
    models: tuple[OpenModel, ...]
    suites: tuple[Suite, ...] = field(repr=False)
    started: float
    has_rows: bool = False
    """Whether the journal has rows of a run before."""
    say: Callable[[str], None] = field(default=lambda what: None, repr=False)
    """Shows what is under way."""

    @property
    def folder(self) -> Path:
        """Where the report goes."""
        return self.options.report

    @property
    def modules(self) -> list[EvaluationModule]:
        """Each module once: folders of samples may share some."""
        found: dict[str, EvaluationModule] = {}
        for suite in self.suites:
            for module in suite.modules:
                identity = module.module_hash if module.unit is None else module.key
                found.setdefault(identity, module)
        return list(found.values())

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """What the suites leave out."""
        return tuple(each_excluded for suite in self.suites for each_excluded in suite.excluded)

    @property
    def notes(self) -> tuple[str, ...]:
        """What it took to compile some of them."""
        return tuple(f"{suite.name}: {line}." for suite in self.suites for line in suite.notes)

    @property
    def described_suites(self) -> tuple[str, ...]:
        """How their modules were chosen, one sentence each."""
        return tuple(f"{suite.name}: {suite.what}" for suite in self.suites)

    @property
    def settings(self) -> dict[str, object]:
        """What the settings of every run begin with: the task, its models, LLVM."""
        return {
            "task": self.options.task,
            "models": [model.name.to_json() for model in self.models],
            "llvm_version": self.toolchain.version,
        }

    @property
    def deadline(self) -> float | None:
        """When nothing more is begun, by the monotonic clock."""
        minutes = self.options.max_minutes
        return self.started + 60 * minutes if minutes else None

    @property
    def is_late(self) -> bool:
        """Whether that is now."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def fits(self, engine: Engine, sample: StageSample) -> bool:
        """Whether a question leaves a model room for a short answer."""
        (model,) = (open_model for open_model in self.models if open_model.engine is engine)
        return sample_fits(engine, model.prompts, sample)


OpenModels = Callable[[contextlib.ExitStack, bool], Sequence[OpenModel]]


@contextlib.contextmanager
def open_run(
    options: RunOptions,
    needs: Needs,
    open_models: OpenModels,
) -> Iterator[Run]:
    """Lock the report's folder, load models and suites, and let go of all of it in the end.

    Args:
        open_models: loads models, which the stack closes; called with whether there must be some.

    Raises:
        ConfigError, InputError, ArtifactError, ToolchainError: something is missing or held.
    """
    started = time.monotonic()
    # Before any work is done for them.
    require_pyarrow()
    require_matplotlib()
    toolchain = find_toolchain()
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(options.report))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        models = tuple(open_models(stack, needs.model))
        pool = stack.enter_context(open_pool(options.pool, options.jobs, on_event=_report_event))
        suites = _load_suites(options, needs, toolchain, pool, scratch)
        yield Run(
            options=options,
            scratch=scratch,
            toolchain=toolchain,
            pool=pool,
            models=models,
            suites=suites,
            started=started,
        )


def _report_event(sentence: str, is_loss: bool) -> None:
    (warn if is_loss else note)(sentence)


def _load_suites(
    options: RunOptions, needs: Needs, toolchain: Toolchain, pool: WorkerPool, scratch: Path
) -> tuple[Suite, ...]:
    """Load what the user named, each under a name of its own.

    Raises:
        InputError: one of them has nothing to measure.
    """
    how = replace(options.suite_options, modules=needs.count, kind=needs.kind)
    suites: list[Suite] = []
    for number, path in enumerate(options.suites if needs.suites is None else needs.suites):
        own = scratch / f"suite-{number}"
        own.mkdir()
        name = path.resolve().name
        if name in {suite.name for suite in suites}:
            name = f"{name} ({number + 1})"
        suites.append(
            load_suite(
                path,
                how,
                toolchain=toolchain,
                pool=pool,
                scratch=own,
                name=name,
                known=needs.known,
                notify=note,
            )
        )
    return tuple(suites)
