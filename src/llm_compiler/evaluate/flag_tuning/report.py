"""The report of a flag-tuning evaluation, made of its rows alone: tables, plots, JSON, one page.

The same rows and settings give the same report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from llm_compiler.evaluate.document import (
    Block,
    Heading,
    Image,
    Items,
    Paragraph,
    Table,
)
from llm_compiler.evaluate.figures import Figure, share_of
from llm_compiler.evaluate.flag_tuning.options import FlagTuningOptions, Protocol
from llm_compiler.evaluate.flag_tuning.programs import DIFFERS, EQUAL, NOT_BUILT, ProgramRow
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.flag_tuning.summary import Summary, group_rows, size_class, summarize
from llm_compiler.evaluate.plots import anytime_plot, bar_plot
from llm_compiler.evaluate.report import not_measured
from llm_compiler.evaluate.suites import CLANG_BASELINE
from llm_compiler.evaluate.task import Facts, RowTable
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.search.objective import Objective, object_objectives

__all__ = ["FlagTuningReport", "make_report", "summary_table"]

_MAX_PROGRAMS = 24
_REFERENCE_BUDGET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTuningReport:
    """All that a report says, but for the page itself."""

    facts: Facts
    options: FlagTuningOptions
    rows: Sequence[Row] = field(repr=False)
    summaries: tuple[Summary, ...]
    by_group: dict[str, dict[str, list[Summary]]] = field(repr=False)
    """From "target", "size" and "program" to groups and their summaries at the budget that
    `reference` names."""
    programs: Sequence[ProgramRow] = field(default=(), repr=False)
    """Runs of linked programs, where the suites say how."""
    reference: int
    seconds: float
    """Of this run; of one that went on after a stop, only since then."""

    @property
    def objective(self) -> Objective:
        """What the winners were chosen by."""
        return self.options.objective

    @property
    def backup(self) -> str:
        """Whether the headline is with -Oz backup: "with" or "without"."""
        return "without" if self.options.protocol is Protocol.PAPER else "with"

    @property
    def table(self) -> Table:
        """The main table."""
        return summary_table(self, self.backup)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is printed above it."""
        return self.facts.notes

    @property
    def tables(self) -> tuple[RowTable, ...]:
        """The runs of linked programs."""
        if not self.programs:
            return ()
        return (RowTable(name="programs", rows=self.programs, row=ProgramRow),)

    def page(self) -> tuple[Block, ...]:
        """Return the page, its plots drawn.

        Raises:
            ToolchainNotFound: matplotlib is missing.
        """
        return tuple(_blocks(self, _images(self)))

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows as plain values."""
        return {
            "command": self.facts.command,
            "settings": dict(self.facts.settings),
            "suites": list(self.facts.suites),
            "notes": list(self.facts.notes),
            "excluded": [asdict(excluded) for excluded in self.facts.excluded],
            "num_modules": len({(r.suite, r.module, r.module_hash) for r in self.rows}),
            "summaries": [summary.to_json() for summary in self.summaries],
            "by_group": {
                kind: {
                    name: [summary.to_json() for summary in found] for name, found in groups.items()
                }
                for kind, groups in self.by_group.items()
            },
            "programs": [
                {
                    "contender": contender,
                    "budget": budget,
                    "num_programs": len({(r.suite, r.program) for r in found}),
                    "num_runs": len(found),
                    "equal": share_of([r.verdict == EQUAL for r in found]).to_json(),
                    "verdicts": dict(sorted(Counter(r.verdict for r in found).items())),
                }
                for (contender, budget), found in _by_build(self.programs).items()
            ],
            "reference_budget": self.reference,
            "seconds": round(self.seconds, 1),
        }


def _summaries(rows: Sequence[Row], objective: Objective, seed: int) -> list[Summary]:
    cells = group_rows(rows, lambda row: f"{row.contender} {row.budget}")
    return [
        summarize(
            found,
            objective=objective,
            coreset=cells.get(f"coreset {found[0].budget}", ()),
            seed=seed,
        )
        for found in cells.values()
    ]


def make_report(
    rows: Sequence[Row],
    facts: Facts,
    options: FlagTuningOptions,
    *,
    programs: Sequence[ProgramRow] = (),
) -> FlagTuningReport:
    """Compute all figures of a report."""
    objective, seed, budgets = options.objective, options.seed, options.budgets
    reference = max((b for b in budgets if b <= _REFERENCE_BUDGET), default=min(budgets))
    names = dict.fromkeys(row.contender for row in rows if row.budget in budgets)
    plain = dict.fromkeys(row.contender for row in rows if row.contender.startswith("-O"))
    kept = [
        row
        for row in rows
        if row.budget == reference and row.contender in names and row.contender not in plain
    ]
    keys: dict[str, Callable[[Row], str]] = {
        "target": lambda row: architecture_of(row.target_triple),
        "size": size_class,
        "program": lambda row: row.program,
    }
    by_group = {}
    for kind, key in keys.items():
        groups = group_rows(kept, key)
        by_group[kind] = {
            name: _summaries(groups[name], objective, seed) for name in _order(kind, groups)
        }
    return FlagTuningReport(
        facts=facts,
        options=options,
        rows=rows,
        summaries=tuple(_summaries(rows, objective, seed)),
        by_group=by_group,
        programs=programs,
        reference=reference,
        seconds=facts.seconds,
    )


def _order(kind: str, groups: dict[str, list[Row]]) -> list[str]:
    if kind == "size":
        return sorted(groups, key=lambda name: groups[name][0].baseline_size_bytes)
    if kind == "target":
        return sorted(groups)

    def weight(name: str) -> tuple[int, str]:
        first = groups[name][0].contender
        own = [row for row in groups[name] if row.contender == first]
        return -sum(row.baseline_size_bytes for row in own), name

    return sorted(groups, key=weight)[:_MAX_PROGRAMS]


def summary_table(report: FlagTuningReport, backup: str) -> Table:
    """Return the main table: every contender at every budget, both metrics."""
    rows = []
    shares = any(summary.num_with_ceiling for summary in report.summaries)
    coreset = any(summary.contender == "coreset" for summary in report.summaries)
    for summary in report.summaries:
        cells = [summary.contender, str(summary.budget), str(summary.num_modules)]
        cells += [
            summary.gains[metric.name, backup, mean].text()
            for metric in object_objectives()
            for mean in ("total", "geomean")
        ]
        if backup == "without":
            cells += [" / ".join(map(str, summary.counts[report.objective.name]))]
        else:
            improved, equal, regressed = summary.counts[report.objective.name]
            cells += [f"{improved} / {equal + regressed}"]
            if shares:
                cells += [_percent(summary.potential)]
            if coreset:
                cells += [_points(summary.ahead_of_coreset)]
        rows.append(tuple(cells))
    header = ["contender", "evaluations", "n", "size, total", "size, geomean"]
    header += [".text + .data, total", ".text + .data, geomean"]
    if backup == "without":
        header += ["improved / equal / regressed"]
    else:
        header += ["improved / equal"]
        if shares:
            header += ["share of the autotuner's"]
        if coreset:
            header += ["ahead of the coreset (points)"]
    return Table(tuple(header), tuple(rows))


def _percent(figure: Figure) -> str:
    if figure.value != figure.value:
        return "—"
    return f"{100 * figure.value:.0f} % [{100 * figure.low:.0f}, {100 * figure.high:.0f}]"


def _points(figure: Figure) -> str:
    if figure.value != figure.value:
        return "—"
    return f"{100 * figure.value:+.2f} [{100 * figure.low:+.2f}, {100 * figure.high:+.2f}]"


def _cost_table(report: FlagTuningReport) -> Table:
    rows = []
    for summary in report.summaries:
        count = max(1, summary.num_modules)
        rows.append(
            (
                summary.contender,
                str(summary.budget),
                f"{summary.num_evaluations / count:.1f}",
                f"{summary.compile_seconds / count:.2f}",
                f"{summary.model_seconds / count:.2f}",
                str(summary.verdicts.get("passed", 0)),
                str(summary.verdicts.get("unchecked", 0)),
                str(summary.verdicts.get("baseline", 0)),
                str(summary.num_rejected),
            )
        )
    header = ["contender", "evaluations", "spent a module", "compiling, s a module"]
    header += ["model, s a module", "passed", "unchecked", "none", "rejected lists"]
    return Table(tuple(header), tuple(rows))


def _group_blocks(report: FlagTuningReport, kind: str, images: dict[str, Image]) -> list[Block]:
    metric, backup = report.objective.name, report.backup
    rows = []
    for name, found in report.by_group[kind].items():
        for summary in found:
            rows.append(
                (
                    name,
                    summary.contender,
                    str(summary.num_modules),
                    summary.gains[metric, backup, "total"].text(),
                    summary.gains[metric, backup, "geomean"].text(),
                    " / ".join(map(str, summary.counts[metric])),
                )
            )
    header = (kind, "contender", "n", "total", "geometric mean", "improved / equal / regressed")
    title = {"target": "By target", "size": "By module size", "program": "By program"}[kind]
    blocks: list[Block] = [Heading(f"{title}, at {report.reference} evaluations")]
    if kind == "program" and len(report.by_group[kind]) == _MAX_PROGRAMS:
        blocks.append(Paragraph(f"The {_MAX_PROGRAMS} largest; all are in `rows.parquet`."))
    if kind in images:
        blocks.append(images[kind])
    return [*blocks, Table(header, tuple(rows), left=2)]


def _by_build(rows: Sequence[ProgramRow]) -> dict[tuple[str, int], list[ProgramRow]]:
    found: dict[tuple[str, int], list[ProgramRow]] = {}
    for row in rows:
        found.setdefault((row.contender, row.budget), []).append(row)
    return found


def _program_blocks(report: FlagTuningReport) -> list[Block]:
    """Return what running whole programs showed."""
    if not report.programs:
        return []
    lines = []
    for (contender, budget), found in _by_build(report.programs).items():
        counts = Counter(row.verdict for row in found)
        lines.append(
            (
                contender,
                str(budget),
                str(len({(row.suite, row.program) for row in found})),
                str(len(found)),
                f"{sum(row.num_changed for row in found if row.run == 0)}",
                share_of([row.verdict == EQUAL for row in found]).text(),
                str(counts[DIFFERS]),
                str(counts[NOT_BUILT]),
            )
        )
    header = ("contender", "evaluations", "programs", "runs", "units with a list", "equal to -O2")
    bad = {
        (row.suite, row.program, str(row.run), row.contender, str(row.budget), row.reason)
        for row in report.programs
        if row.verdict != EQUAL
    }
    blocks: list[Block] = [
        Heading("Whole programs, linked and run"),
        Paragraph(
            "Each program is linked from the objects of the chosen lists, smaller or not, and run "
            "as `programs.toml` says; exit status, standard output and output files are compared "
            "with those of the program that clang -O2 makes of the same sources. Every run is a "
            "row of `programs.parquet`."
        ),
        Table((*header, "differs", "not built"), tuple(lines)),
    ]
    if bad:
        names = ("suite", "program", "run", "contender", "evaluations", "what")
        blocks.append(Table(names, tuple(sorted(bad)), left=6))
    return blocks


def _blocks(report: FlagTuningReport, images: dict[str, Image]) -> list[Block]:
    facts, options = report.facts, report.options
    modules = {(r.suite, r.module, r.module_hash): r for r in report.rows}
    targets = group_rows(modules.values(), lambda row: architecture_of(row.target_triple))
    count = ", ".join(f"{len(found)} {name}" for name, found in sorted(targets.items()))
    paper = options.protocol is Protocol.PAPER
    rules = (
        "the paper's: one shot, winners by .text + .data, headline without -Oz backup, units that "
        "exceed the context split by function, what still does not fit counts as -Oz"
        if paper
        else "ours: winners by "
        + report.objective.title
        + "; clang -Oz's own object is everybody's fallback (with -Oz backup)"
    )
    said = [
        f"Protocol: {rules}.",
        f"Modules: {len(modules)} ({count}). Intervals: 95 %, bootstrap over modules, seed "
        f"{options.seed}.",
        f"LLVM {facts.llvm_version}; an evaluation is one pass list compiled and measured "
        "in process.",
        "`size` is all allocated bytes of the object that take space in the file; .text + .data "
        "is the paper's metric, of the same object.",
        *(f"Suite {suite}." for suite in facts.suites),
        *facts.notes,
        *(model.described(number) for number, model in enumerate(facts.models, 1)),
    ]
    if not options.check:
        said.append(
            "New lists were not put to PassListEval (`--no-check`): gains of searches may come "
            "from lists that break programs."
        )
    blocks: list[Block] = [
        Heading("Flag tuning", 1),
        Paragraph(f"`{facts.command}`"),
        Items(tuple(said)),
    ]
    order = ("without", "with") if paper else ("with", "without")
    for backup in order:
        blocks.append(Heading(f"Smaller than -Oz, {backup} -Oz backup"))
        if backup == report.backup and "anytime" in images:
            blocks.append(images["anytime"])
        blocks.append(summary_table(report, backup))
    blocks += [
        Paragraph(
            "`-Oz`, `-Os`, `-O2` are those pipelines on the same IR, which clang made for -Oz: "
            "every function is marked minsize. A contender without a list of its own (verdict "
            "`none`) counts as the baseline also without backup."
        ),
        Heading("What it cost, and verdicts of the winners"),
        _cost_table(report),
        Paragraph(
            "Compile time counts every evaluation at what it took when it was measured, on one "
            "core; lists that begin alike share work, and a model keeps what it has read of a "
            "prompt that was asked about before. Rejected: lists that were the smallest, but "
            "PassListEval says that they break programs."
        ),
    ]
    blocks += _program_blocks(report)
    for kind, groups in report.by_group.items():
        if groups:
            blocks += _group_blocks(report, kind, images)
    blocks += not_measured(facts.excluded)
    example = next((row for row in report.rows if row.passes and row.baseline != "-"), None)
    blocks.append(Heading("From a figure to its rows"))
    blocks.append(
        Paragraph(
            "Each row of `rows.parquet` is one module, contender and budget: its hash, the winning "
            "list, sizes, verdict and seconds. `size_bytes` is the winner's object, which may be "
            "larger than `baseline_size_bytes`; with backup the smaller counts."
        )
    )
    if example is not None:
        how = (
            "clang FLAGS -Oz -Xclang -disable-llvm-passes -emit-llvm, opt -passes=LIST, clang -Oz "
            "-Xclang -disable-llvm-passes make its object again"
            if example.baseline == CLANG_BASELINE
            else "opt -passes=LIST on the sample of that hash, then llc, make its object again, "
            "but for rare differences between opt and LLVM in process"
        )
        blocks.append(
            Paragraph(
                f"For example {example.module}: `{example.passes}` by {example.contender}, "
                f"{example.size_bytes} bytes instead of {example.baseline_size_bytes}; {how}."
            )
        )
    return blocks


def _images(report: FlagTuningReport) -> dict[str, Image]:
    metric, backup = report.objective.name, report.backup
    where = f"{metric}, {backup} -Oz backup"
    found = {
        "anytime": Image(
            "anytime.png",
            f"Gain by evaluations ({where})",
            anytime_plot(
                report.summaries,
                lambda summary, mean: summary.gains[metric, backup, mean],
                f"Smaller than -Oz: {where}",
            ),
        )
    }
    for kind, groups in report.by_group.items():
        if not groups:
            continue  # the plain pipelines alone
        figures = {
            f"{name} (n={found_[0].num_modules})": {
                summary.contender: summary.gains[metric, backup, "total"] for summary in found_
            }
            for name, found_ in groups.items()
        }
        title = f"By {kind} at {report.reference} evaluations ({where})"
        found[kind] = Image(f"by_{kind}.png", title, bar_plot(figures, title))
    return found
