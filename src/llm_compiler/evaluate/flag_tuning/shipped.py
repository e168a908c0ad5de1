"""`optimize` as a contender: what a user gets, with recipes and assemblies function by function.

The steps of `optimize` themselves are called on every module, with as many candidates as the
budget has evaluations; what it assembles beside them is counted in the row. Sizes are those of the
objects that the stock tools make, of modules of a corpus too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.console import warn
from llm_compiler.errors import LlmCompilerError
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import public_name
from llm_compiler.optimization.decide import decide
from llm_compiler.optimization.finish import finish
from llm_compiler.optimization.measure import measure
from llm_compiler.optimization.model_rounds import ProposingModel
from llm_compiler.optimization.options import OptimizeOptions, Proposer
from llm_compiler.optimization.prepare import prepare
from llm_compiler.optimization.result import Optimized
from llm_compiler.optimization.unit import Request, Unit
from llm_compiler.optimization.workplace import Workplace
from llm_compiler.output import write_atomically
from llm_compiler.records import content_hash
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.objective import Objective
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = ["OBJECTS", "Product", "ShippedOptimizer"]

OBJECTS = "objects"
"""Of a report's folder: where the objects of the user's own units are, for programs to be linked
from; named by their hashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What `optimize` handed out for a module."""

    recipe: str
    """Empty: clang -Oz's own object."""
    passes: str
    """Where the recipe is a pass list alone; else empty."""
    sizes: ObjectSizes
    verdict: str
    num_evaluations: int
    num_assemblies: int
    seconds: float
    object_name: str = ""
    """Of the object, in the folder of objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedOptimizer:
    """Runs `optimize` on modules.

    Args:
        engine: the model that proposes; None: the coreset does.
        check: as `Chooser`: else new lists that win count unchecked.
        objects: where objects of the user's own units are kept.
        scratch: a folder for modules that have none of their own.
    """

    toolchain: Toolchain
    pool: WorkerPool
    checker: Checker
    coreset: Coreset
    engine: Engine | None
    objective: Objective
    check: bool
    seed: int
    timeout_s: float
    objects: Path
    scratch: Path

    @property
    def model(self) -> str:
        """Name the weights; empty where there is no model."""
        return public_name(self.engine.model) if self.engine is not None else ""

    def optimize(
        self, modules: Sequence[EvaluationModule], budget: int
    ) -> Iterator[tuple[EvaluationModule, Product]]:
        """Yield what is handed out for each module, in their order; several are under way at once.

        Where `optimize` fails it says why, and nothing is handed out: clang -Oz stands.
        """
        workplace = Workplace(
            options=OptimizeOptions(
                candidates=budget,
                budget=0,
                objective=self.objective,
                proposer=Proposer.MODEL if self.engine is not None else Proposer.CORESET,
                trust=not self.check,
                seed=self.seed,
                timeout_s=self.timeout_s,
            ),
            pool=self.pool,
            checker=self.checker,
            coreset=self.coreset,
            model=ProposingModel(self.engine) if self.engine is not None else None,
        )

        def product(module: EvaluationModule) -> Product:
            try:
                return self._product(module, workplace)
            except LlmCompilerError as error:
                warn(f"optimize: {module.name}: {error}")
                return _nothing(module)

        with ThreadPoolExecutor(max_workers=self.pool.num_workers + 1) as threads:
            yield from zip(modules, threads.map(product, modules), strict=True)

    def _product(self, module: EvaluationModule, workplace: Workplace) -> Product:
        started = time.monotonic()
        unit = self._unit(module)
        found = measure(unit, workplace, lambda done: None)
        made = finish(unit, found, decide(unit, found, workplace), workplace, started=started)
        name = ""
        if module.unit is not None:
            name = content_hash(made.output)
            self.objects.mkdir(parents=True, exist_ok=True)
            write_atomically(self.objects / f"{name}.o", made.output)
        return _product_of(made, name)

    def _unit(self, module: EvaluationModule) -> Unit:
        folder = self.scratch / content_hash(module.key.encode())
        folder.mkdir(parents=True, exist_ok=True)
        if module.unit is not None:
            source, output = module.unit.source, module.unit.output
            stock = replace(module.unit.stock, scratch=folder)
        else:
            source, output = folder / "module.bc", Path("module.o")
            source.write_bytes(module.bitcode)
            stock = Stock(
                toolchain=self.toolchain,
                target_triple=module.target_triple,
                timeout_s=self.timeout_s,
                scratch=folder,
            )
        request = Request(source=source, output=output, folder=folder, stock=stock)
        return prepare(request, self.pool, with_text=self.engine is not None)


def _product_of(made: Optimized, object_name: str) -> Product:
    recipe = made.recipe
    return Product(
        recipe=recipe.text if recipe is not None else "",
        passes=recipe.pipeline if recipe is not None and recipe.is_pass_list else "",
        sizes=ObjectSizes(
            size_bytes=made.optimized_bytes, text_data_bytes=made.optimized_text_data_bytes
        ),
        verdict=made.verdict,
        num_evaluations=made.num_evaluations,
        num_assemblies=made.num_assemblies,
        seconds=made.seconds,
        object_name=object_name,
    )


def _nothing(module: EvaluationModule) -> Product:
    assert module.baseline is not None
    return Product(
        recipe="",
        passes="",
        sizes=module.baseline,
        verdict="baseline",
        num_evaluations=0,
        num_assemblies=0,
        seconds=0.0,
    )
