"""The report of a disassembly evaluation, made of its rows alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.disassembly.rows import BEYOND_CONTEXT, NO_ANSWER, UNREADABLE, LiftRow
from llm_compiler.evaluate.document import Block, Heading, Image, Items, Paragraph, Table
from llm_compiler.evaluate.figures import Figure, mean_of, share_of
from llm_compiler.evaluate.plots import bar_plot, curve_plot
from llm_compiler.evaluate.report import Report, decimal_text, facts_of, not_measured, short_name
from llm_compiler.evaluate.task import Facts
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.verify.lifted import LiftVerdict

__all__ = [
    "PAPER_DISASSEMBLY",
    "LiftFigure",
    "LiftSummary",
    "lifting_report",
    "summarize_lifts",
]

PAPER_DISASSEMBLY = (
    ("LLM Compiler FTD 7B", "2015", "46.5 %", "0.951", "12.7 %"),
    ("LLM Compiler FTD 13B", "2015", "44.9 %", "0.960", "13.8 %"),
)
"""The paper's own figures on functions of MiBench at -Oz: n, lowers, BLEU, exact; one answer."""
_EDGES = (8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftSummary:
    """What a model's first answers are worth on some functions; shares are of all of them."""

    model: str
    candidates: int
    """How many of its answers count."""
    n: int
    num_unreadable: int
    num_beyond_context: int
    num_without_answer: int
    """Of the others that could be read."""
    lowers: Figure
    exact: Figure
    accepted: Figure
    """At least tests_passed."""
    exact_of_answered: Figure
    """Of the functions that the model had an answer for."""
    accepted_of_answered: Figure
    bleu: Figure
    """Of the best answers that lower."""
    bleu_of_all: Figure
    """What does not lower counts as 0."""
    seconds: Figure
    """A function, in the mean: model and checks of these answers."""
    median_seconds: float
    most_seconds: float
    num_other_attributes: int
    """Of the exact ones: with function attributes other than the answer's own."""
    verdicts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return {
            "model": self.model,
            "candidates": self.candidates,
            "n": self.n,
            "num_unreadable": self.num_unreadable,
            "num_beyond_context": self.num_beyond_context,
            "num_without_answer": self.num_without_answer,
            **{
                name: getattr(self, name).to_json()
                for name in (
                    *("lowers", "exact", "accepted", "exact_of_answered"),
                    *("accepted_of_answered", "bleu", "bleu_of_all", "seconds"),
                )
            },
            "median_seconds": round(self.median_seconds, 4),
            "most_seconds": round(self.most_seconds, 4),
            "num_other_attributes": self.num_other_attributes,
            "verdicts": self.verdicts,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftFigure:
    """A summary, and of which functions: a group (``target``) and its member (``x86_64``)."""

    group: str
    name: str
    summary: LiftSummary

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        return {"group": self.group, "name": self.name, **self.summary.to_json()}


def _by_function(rows: Sequence[LiftRow]) -> list[list[LiftRow]]:
    found: dict[tuple[str, ...], list[LiftRow]] = {}
    for row in rows:
        key = row.model, row.suite, row.module, row.module_hash, row.level, row.function
        found.setdefault(key, []).append(row)
    return [sorted(group, key=lambda row: row.candidate) for group in found.values()]


def summarize_lifts(rows: Sequence[LiftRow], candidates: int, seed: int) -> LiftSummary:
    """Return what the first answers of one model are worth; there is at least one row."""
    functions = _by_function(rows)
    best: list[LiftRow] = []
    seconds: list[float] = []
    for function in functions:
        first = [row for row in function if row.candidate <= candidates]
        best.append(min(first, key=lambda row: (LiftVerdict(row.verdict).rank, -row.bleu)))
        seconds.append(function[0].model_seconds + sum(row.check_seconds for row in first))
    answered = [row for row in best if not row.cause]

    def exact(some: Sequence[LiftRow]) -> Figure:
        return share_of([row.verdict == LiftVerdict.EXACT for row in some], seed)

    def accepted(some: Sequence[LiftRow]) -> Figure:
        return share_of([LiftVerdict(row.verdict).is_accepted for row in some], seed)

    return LiftSummary(
        model=rows[0].model,
        candidates=candidates,
        n=len(best),
        num_unreadable=sum(row.cause == UNREADABLE for row in best),
        num_beyond_context=sum(row.cause == BEYOND_CONTEXT for row in best),
        num_without_answer=sum(row.cause == NO_ANSWER for row in best),
        lowers=share_of([bool(row.lowers) for row in best], seed),
        exact=exact(best),
        accepted=accepted(best),
        exact_of_answered=exact(answered),
        accepted_of_answered=accepted(answered),
        bleu=mean_of([row.bleu for row in best if row.lowers], seed),
        bleu_of_all=mean_of([row.bleu for row in best], seed),
        seconds=mean_of(seconds, seed),
        median_seconds=statistics.median(seconds),
        most_seconds=max(seconds),
        num_other_attributes=sum(bool(row.attributes) for row in best),
        verdicts={
            lift_verdict.value: count
            for lift_verdict in LiftVerdict
            if (count := sum(r.verdict == lift_verdict for r in best))
        },
    )


def _length(row: LiftRow) -> str:
    if not row.num_instructions:
        return UNREADABLE
    low = 1
    for edge in _EDGES:
        if row.num_instructions <= edge:
            return f"{low} to {edge}"
        low = edge + 1
    return f"{low} and more"


_HEADER = (
    *("answers", "n", "lowers", "BLEU, if it lowers", "exact", "at least tests_passed"),
    *("of answered: exact", "of answered: at least tests_passed"),
    *("beyond context", "no answer", "unreadable", "s a function"),
    *("median s", "most s"),
)


def _cells(lift_summary: LiftSummary) -> tuple[str, ...]:
    return (
        str(lift_summary.candidates),
        str(lift_summary.n),
        lift_summary.lowers.text(),
        decimal_text(lift_summary.bleu),
        lift_summary.exact.text(),
        lift_summary.accepted.text(),
        lift_summary.exact_of_answered.text(),
        lift_summary.accepted_of_answered.text(),
        str(lift_summary.num_beyond_context),
        str(lift_summary.num_without_answer),
        str(lift_summary.num_unreadable),
        f"{lift_summary.seconds.value:.2f}",
        f"{lift_summary.median_seconds:.2f}",
        f"{lift_summary.most_seconds:.1f}",
    )


def lifting_report(
    rows: Sequence[LiftRow], facts: Facts, options: LiftOptions
) -> Report[LiftFigure]:
    """Return the report of disassembly."""
    seed, most = options.seed, options.candidates
    models = list(dict.fromkeys(row.model for row in rows))
    budgets = sorted({1, most})
    lines: list[tuple[str, ...]] = []
    figures: list[LiftFigure] = []
    groups: dict[str, Callable[[LiftRow], str]] = {
        "target": lambda row: architecture_of(row.target_triple),
        "level": lambda row: row.level,
        "machine instructions": _length,
        "target and level": lambda row: f"{architecture_of(row.target_triple)}, {row.level}",
        "target and machine instructions": (
            lambda row: f"{architecture_of(row.target_triple)}, {_length(row)}"
        ),
    }
    num_targets = len({architecture_of(row.target_triple) for row in rows})
    if num_targets == 1:
        groups = {kind: key for kind, key in groups.items() if " and " not in kind}
    tables: dict[str, list[tuple[str, ...]]] = {}
    bars: dict[str, dict[str, Figure]] = {}
    curves: dict[str, list[tuple[int, Figure]]] = {}
    for model in models:
        own = [row for row in rows if row.model == model]
        short = short_name(model)
        for budget in budgets:
            lift_summary = summarize_lifts(own, budget, seed)
            figures.append(LiftFigure(group="all", name="all", summary=lift_summary))
            lines.append((short, *_cells(lift_summary)))
        every = [(k, summarize_lifts(own, k, seed)) for k in range(1, most + 1)]
        for what in ("accepted", "exact"):
            said = "at least tests_passed" if what == "accepted" else "exact"
            curves[f"{said}, {short}"] = [(k, getattr(found, what)) for k, found in every]
        figures += [
            LiftFigure(group="candidates", name=str(k), summary=found) for k, found in every
        ]
        for kind, key in groups.items():
            cells: dict[str, list[LiftRow]] = {}
            for row in own:
                cells.setdefault(key(row), []).append(row)
            for name in sorted(cells, key=_place):
                for budget in budgets:
                    lift_summary = summarize_lifts(cells[name], budget, seed)
                    figures.append(LiftFigure(group=kind, name=name, summary=lift_summary))
                    tables.setdefault(kind, []).append((name, short, *_cells(lift_summary)))
                    if kind == "machine instructions" and name != UNREADABLE:
                        said = f"{short}, K = {budget}"
                        bars.setdefault(f"{name} (n={lift_summary.n})", {})[said] = (
                            lift_summary.accepted
                        )
    table = Table(("model", *_HEADER), tuple(lines))
    blocks: list[Block] = [
        Heading("Disassembly", 1),
        Paragraph(f"`{facts.command}`"),
        Items(tuple(_said(rows, facts, options))),
        table,
        Paragraph(
            "The paper's figures, of its own models, on functions of MiBench at -Oz, one answer "
            "each, for comparison (other functions, other assembly, other checks):"
        ),
        Table(("model", "n", "lowers", "BLEU, if it lowers", "exact"), PAPER_DISASSEMBLY),
        Heading("What each further answer adds"),
        Image(
            "candidates.png",
            "Share of functions by answers",
            curve_plot(
                curves,
                "functions by the best of the first K answers",
                x="answers",
                y="% of functions",
            ),
        ),
    ]
    for kind, found in tables.items():
        if "level" in kind and len({row.level for row in rows}) == 1:
            continue
        blocks.append(Heading(f"By {kind}"))
        if kind == "machine instructions" and bars:
            blocks.append(
                Image(
                    "by_length.png",
                    "Share at least tests_passed by machine instructions",
                    bar_plot(bars, "at least tests_passed", y="% of functions"),
                )
            )
        blocks.append(Table((kind, "model", *_HEADER), tuple(found), left=2))
    blocks += _why(rows)
    blocks += not_measured(facts.excluded)
    blocks += [
        Heading("From a figure to its rows"),
        Paragraph(
            "Each row of `rows.parquet` is one answer of one model: the function as it was asked "
            "(`assembly`), the model's words (`answer`), verdict and reason. Written to "
            "`FOLDER/NAME.ll`, an answer is judged again with `llm-compiler disassemble --engine "
            "replay --model FOLDER`."
        ),
    ]
    return Report(facts=facts, figures=tuple(figures), blocks=tuple(blocks), table=table)


def _said(rows: Sequence[LiftRow], facts: Facts, options: LiftOptions) -> list[str]:
    functions = {(row.suite, row.module, row.module_hash, row.level, row.function) for row in rows}
    return [
        f"{len(functions)} functions at {', '.join(options.levels)}, compiled as for training: "
        "the pipeline on the IR that clang makes for -Oz, then code generation as clang -Oz sets "
        "it up; each is asked alone, in normal form.",
        "*Lowers*: well-formed IR of this function and nothing else, which clang lowers. *Exact*: "
        "lowered again, the same code and data. *tests_passed*: other code, which agreed with the "
        "original on all generated inputs, all its blocks run. docs/disassembly.md says what each "
        "shows.",
        f"Of {sum(row.verdict == LiftVerdict.EXACT for row in rows)} exact answers "
        f"{sum(bool(row.attributes) for row in rows)} are so with function attributes other than "
        "their own, as compilers' settings give them.",
        f"K = 1 is the model's greedy answer; K = {options.candidates} the best of its first "
        f"{options.candidates}, of which at most {options.max_executed} are run.",
        "All functions count. Beside stand those without answer, which 'of answered' leaves out: "
        "*beyond context* (the prompt leaves no room), *no answer* (none was finished within the "
        "context, or the model's form has no words for the function), *unreadable* (the function "
        "cannot be read from machine code; no model was asked).",
        "BLEU: round trip, of the lowered answer's assembly against the original's, both in normal "
        "form, words between blanks.",
        "Intervals are 95 %, bootstrap over functions "
        f"(seed {options.seed}; where all or none hit, Clopper and Pearson's).",
        *facts_of(facts),
    ]


def _why(rows: Sequence[LiftRow]) -> list[Block]:
    """Count what was wrong with first answers."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.candidate <= 1 and row.verdict != LiftVerdict.EXACT:
            reason = row.reason.partition(":")[0].partition("(")[0].strip()[:80]
            counts[row.verdict, reason] = counts.get((row.verdict, reason), 0) + 1
    order = sorted(counts.items(), key=lambda key: (LiftVerdict(key[0][0]).rank, -key[1], key[0]))
    lines = tuple((verdict, reason, str(count)) for (verdict, reason), count in order)
    if not lines:
        return []
    head = ("verdict", "reason", "functions")
    return [Heading("Why first answers were not exact"), Table(head, lines[:40], left=2)]


def _place(name: str) -> tuple[str, int, str]:
    """Order names of cells: by target, then by length or level."""
    target, _, rest = name.rpartition(", ")
    digits = rest.split(" ")[0]
    return target, (int(digits) if digits.isdigit() else 1 << 30), rest
