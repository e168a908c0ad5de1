"""An evaluation task: how many functions the modules of suites have."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from llm_compiler.commands.options.evaluate import TaskArguments
from llm_compiler.evaluate.document import Heading, Table
from llm_compiler.evaluate.registry import TaskEntry, register
from llm_compiler.evaluate.report import Report
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.evaluate.task import Facts, Needs, Task, Work, each_in_turn
from llm_compiler.option_fields import natural, option


@dataclass(frozen=True, kw_only=True)
class CountArguments(TaskArguments):
    task: str = "count"
    at_least: int = option("--at-least", 0, type=natural, metavar="N", help="functions")
    min_size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A row, and a figure."""

    module: str
    functions: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class CountTask(Task[EvaluationModule, Count, Report[Count]]):
    name: ClassVar[str] = "count"
    row: ClassVar[type[Count]] = Count

    def __init__(self, options: CountArguments) -> None:
        self.at_least = options.at_least

    def needs(self) -> Needs:
        return Needs(model=False)

    def items(self, run: Run) -> Work[EvaluationModule]:
        found = [module for module in run.modules if module.num_functions >= self.at_least]
        return Work(items=found, settings=run.settings | {"at_least": self.at_least})

    def ask(self, items: Sequence[EvaluationModule], run: Run) -> Iterator[Any]:
        for module in each_in_turn(items, run):
            yield module, [Count(module=module.name, functions=module.num_functions)]

    def summary(self, rows: Sequence[Count], facts: Facts, run: Run) -> Report[Count]:
        table = Table(("module", "functions"), tuple((r.module, str(r.functions)) for r in rows))
        blocks = (Heading("Functions", 1), table)
        return Report(facts=facts, figures=tuple(rows), blocks=blocks, table=table)


register(TaskEntry(name="count", help="count functions", arguments=CountArguments, make=CountTask))
