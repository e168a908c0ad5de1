"""The report of an emulation evaluation, made of its rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_compiler.emulate import EmulationVerdict
from llm_compiler.evaluate.document import Block, Heading, Image, Items, Paragraph, Table
from llm_compiler.evaluate.emulation.ask import FAILED, KINDS, EmulationOptions, EmulationRow
from llm_compiler.evaluate.figures import Figure, mean_of, share_of
from llm_compiler.evaluate.plots import bar_plot, scatter_plot
from llm_compiler.evaluate.report import Report, decimal_text, facts_of, not_measured, short_name
from llm_compiler.evaluate.suites import Excluded
from llm_compiler.evaluate.task import Facts
from llm_compiler.llvm.targets import architecture_of

__all__ = ["EmulationFigure", "EmulationSummary", "emulation_report", "summarize_emulation"]

_SAME = (EmulationVerdict.EXACT, EmulationVerdict.SAME_CODE)
_SHOWN = (*_SAME, EmulationVerdict.TESTS_PASSED)
_FORMED = (*_SHOWN, EmulationVerdict.COMPILES, EmulationVerdict.DIFFERS)
_COLUMNS = {
    "instructions": "num_instructions",
    "size": "size_bytes",
    "text-data": "text_data_bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationSummary:
    """What predictions are worth on some modules and lists; shares are of all of them."""

    model: str
    n: int
    num_without_answer: int
    num_unchanged: int
    """Of IR: lists that change nothing; whoever repeats the question is right there."""
    exact: Figure
    same_code: Figure
    """Exact, or other text that lowers to the same code."""
    shown: Figure
    """At least tests_passed."""
    compiles: Figure
    """Well-formed, right or wrong."""
    exact_of_changed: Figure
    """Of IR whose list changes something."""
    bleu: Figure
    """No answer counts as 0."""
    errors: dict[str, tuple[int, Figure, Figure]]
    """By ``instructions``, ``size``, ``text-data``: how many state it, their mean absolute error
    relative to the real value, and that of stating what was before."""
    seconds: Figure
    verdicts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return {
            "model": self.model,
            "n": self.n,
            "num_without_answer": self.num_without_answer,
            "num_unchanged": self.num_unchanged,
            **{
                name: getattr(self, name).to_json()
                for name in (
                    *("exact", "same_code", "shown", "compiles", "exact_of_changed"),
                    *("bleu", "seconds"),
                )
            },
            "errors": {
                name: {"n": n, "mape": mape.to_json(), "no_change": same.to_json()}
                for name, (n, mape, same) in self.errors.items()
            },
            "verdicts": self.verdicts,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationFigure:
    """A summary, and of which predictions."""

    code: str
    target: str
    lists: str
    summary: EmulationSummary

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        where = {"code": self.code, "target": self.target, "lists": self.lists}
        return {**where, **self.summary.to_json()}


def summarize_emulation(rows: Sequence[EmulationRow], seed: int) -> EmulationSummary:
    """Return what one model's predictions are worth; there is at least one row."""

    def share(verdicts: Sequence[EmulationVerdict], some: Sequence[EmulationRow] = rows) -> Figure:
        return share_of([row.verdict in verdicts for row in some], seed)

    errors = {}
    for name, column in _COLUMNS.items():
        triples = [
            (getattr(row, f"{column}_predicted"), getattr(row, f"{column}_after"), row)
            for row in rows
        ]
        stated = [(a, b, row) for a, b, row in triples if a >= 0 and b > 0]
        errors[name] = (
            len(stated),
            mean_of([abs(a - b) / b for a, b, _ in stated], seed),
            mean_of([abs(getattr(row, f"{column}_before") - b) / b for _, b, row in stated], seed),
        )
    return EmulationSummary(
        model=rows[0].model,
        n=len(rows),
        num_without_answer=sum(row.verdict == EmulationVerdict.NO_ANSWER for row in rows),
        num_unchanged=sum(row.unchanged == 1 for row in rows),
        exact=share((EmulationVerdict.EXACT,)),
        same_code=share(_SAME),
        shown=share(_SHOWN),
        compiles=share(_FORMED),
        exact_of_changed=share(
            (EmulationVerdict.EXACT,), [row for row in rows if row.unchanged == 0]
        ),
        bleu=mean_of([row.bleu for row in rows], seed),
        errors=errors,
        seconds=mean_of([row.model_seconds + row.check_seconds for row in rows], seed),
        verdicts={
            verdict.value: count
            for verdict in EmulationVerdict
            if (count := sum(row.verdict == verdict for row in rows))
        },
    )


_HEADER = (
    *("n", "exact", "same_code or exact", "at least tests_passed", "compiles", "BLEU"),
    *("exact, of lists that change it", "changes nothing", "no answer", "s a list"),
)


def _cells(summary: EmulationSummary) -> tuple[str, ...]:
    return (
        str(summary.n),
        summary.exact.text(),
        summary.same_code.text(),
        summary.shown.text(),
        summary.compiles.text(),
        decimal_text(summary.bleu),
        summary.exact_of_changed.text(),
        str(summary.num_unchanged),
        str(summary.num_without_answer),
        f"{summary.seconds.value:.2f}",
    )


def emulation_report(
    rows: Sequence[EmulationRow], facts: Facts, options: EmulationOptions
) -> Report[EmulationFigure]:
    """Return the report of emulation."""
    seed = options.seed
    counted = [row for row in rows if row.verdict != FAILED]
    failed = [row for row in rows if row.verdict == FAILED]
    cells: dict[tuple[str, str, str, str], list[EmulationRow]] = {}
    for row in counted:
        target = architecture_of(row.target_triple)
        for where in ("all", target):
            for kind in ("all lists", row.list_kind):
                cells.setdefault((row.code, where, kind, row.model), []).append(row)
    targets = {where for _, where, _, _ in cells}
    kinds = ("all lists", *KINDS)
    lines: list[tuple[str, ...]] = []
    numbers: list[tuple[str, ...]] = []
    figures: list[EmulationFigure] = []
    bars: dict[str, dict[str, Figure]] = {}
    order = sorted(
        cells,
        key=lambda cell: (
            cell[0] != "ir",
            cell[1] != "all",
            cell[1],
            kinds.index(cell[2]),
            cell[3],
        ),
    )
    for key in order:
        code, where, kind, model = key
        if where != "all" and len(targets) == 2:
            continue  # one target, which is all
        summary = summarize_emulation(cells[key], seed)
        figures.append(EmulationFigure(code=code, target=where, lists=kind, summary=summary))
        lines.append((code, where, kind, short_name(model), *_cells(summary)))
        if where == "all":
            bars.setdefault(f"{kind}, {code} (n={summary.n})", {})[short_name(model)] = (
                summary.exact
            )
            for name, (n, mape, same) in summary.errors.items():
                numbers.append(
                    (
                        code,
                        kind,
                        short_name(model),
                        name,
                        f"{n} of {summary.n}",
                        mape.text(),
                        same.text(),
                    )
                )
    table = Table(("code", "target", "lists", "model", *_HEADER), tuple(lines), left=4)
    points = {
        short_name(model): [
            (row.size_bytes_after, row.size_bytes_predicted)
            for row in counted
            if row.model == model and row.size_bytes_predicted > 0 and row.size_bytes_after > 0
        ]
        for model in dict.fromkeys(row.model for row in counted)
    }
    blocks: list[Block] = [
        Heading("Emulation", 1),
        Paragraph(f"`{facts.command}`"),
        Items(tuple(_said(counted, facts, options))),
        table,
        Paragraph(
            "The paper's figure, of its own models and on its own lists: emulated without a flaw "
            "in about 20 % of cases."
        ),
        Image(
            "exact.png",
            "Share exact by kind of list",
            bar_plot(bars, "predictions that are exact", y="% of lists"),
        ),
        Heading("Instruction counts and sizes"),
        Table(
            ("code", "lists", "model", "of what", "stated", "mean absolute error", "no change"),
            tuple(numbers),
            left=4,
        ),
        Image(
            "sizes.png",
            "Predicted and real sizes",
            scatter_plot(points, "predicted against real object size, bytes"),
        ),
        Paragraph(
            "Errors are relative to the real value (their mean is MAPE), over what is stated; 'no "
            "change' is the error of stating what was before the list."
        ),
    ]
    lost = [
        Excluded(suite=r.suite, name=f"{r.module}, {r.list_kind}", cause=r.reason) for r in failed
    ]
    facts = replace(facts, excluded=(*facts.excluded, *lost))
    blocks += not_measured(facts.excluded)
    blocks += [
        Heading("From a figure to its rows"),
        Paragraph(
            "Each row of `rows.parquet` is one module, list and model: the module as it was asked "
            "(`question`), the list, the model's words (`answer`), verdict and reason. "
            "`llm-compiler emulate FILE --passes LIST --check` asks again."
        ),
    ]
    return Report(facts=facts, figures=tuple(figures), blocks=tuple(blocks), table=table)


def _said(rows: Sequence[EmulationRow], facts: Facts, options: EmulationOptions) -> list[str]:
    return [
        f"{len({row.module_hash for row in rows})} modules, unoptimised IR; each with "
        + ", ".join(options.kinds)
        + ". Single passes and lists of 2 to 50 are drawn from the safe passes of this LLVM.",
        "*Exact*: the compiler's own text, but for attributes and metadata. *same_code*: other "
        "text, every function lowers to the same code. *compiles*: well-formed, right or wrong. "
        "docs/disassembly.md says what each shows.",
        "No answer: the question exceeds a model's context, or no answer was finished in it. Many "
        "single passes change nothing on a given module: a column tells how many, "
        "and the one beside it leaves these out.",
        "BLEU: of the predicted text against the compiler's, words between blanks; no answer "
        "counts as 0.",
        "Intervals are 95 %, bootstrap over lists "
        f"(seed {options.seed}; where all or none hit, Clopper and Pearson's).",
        *facts_of(facts),
    ]
