"""The functions of a suite, compiled at each level."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.errors import InputError
from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.spread import draw_evenly
from llm_compiler.evaluate.suites import EvaluationModule, Excluded
from llm_compiler.llvm.module_jobs import EmitJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.records import Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["LiftItem", "lift_items"]

_FUNCTION = re.compile(
    r'^\s*\.type\s+(?:"((?:[^"\\]|\\.)*)"|([^,\s"]+)),\s*[@%]function$', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftItem:
    """One function at one level."""

    module: EvaluationModule
    level: str
    function: str
    assembly: Path
    """Of the whole module."""

    @property
    def key(self) -> str:
        """What names it in a run."""
        return f"{self.module.key}|{self.level}|{self.function}"


def lift_items(
    modules: Sequence[EvaluationModule], options: LiftOptions, pool: WorkerPool, folder: Path
) -> tuple[list[LiftItem], list[Excluded]]:
    """Compile modules at each level, and draw functions from them.

    Any beginning of what is returned is spread over targets, levels and programs: first one
    function of each module, program by program, then a second function. The order depends on the
    seed and the modules only.

    Args:
        folder: for the assembly files; must live as long as the items.

    Raises:
        InputError: no module has a function.
    """
    excluded: list[Excluded] = []
    found: list[LiftItem] = []
    for level in options.levels:
        passes = parse_pass_list(f"default<{level}>")
        jobs = [
            EmitJob(
                modules=(evaluation_module.bitcode,),
                passes=passes,
                kind="assembly",
                timeout_s=options.timeout_s,
            )
            for evaluation_module in modules
        ]
        for number, (module, (emitted, *_)) in enumerate(
            zip(modules, run_jobs(pool, jobs), strict=True)
        ):
            if emitted.status is not Status.OK:
                cause = f"LLVM {emitted.status.value} at default<{level}>: {emitted.detail}"
                excluded.append(Excluded(suite=module.suite, name=module.name, cause=cause))
                continue
            path = folder / f"{number}-{level}.s"
            path.write_bytes(emitted.data)
            text = emitted.data.decode("utf-8", "replace")
            every = {match[1] or match[2] for match in _FUNCTION.finditer(text)}
            # What LLVM outlined is part of the functions that call it.
            names = sorted(name for name in every if not name.startswith(PREFIX))
            random.Random(f"{options.seed}:{module.module_hash}").shuffle(names)
            found += [
                LiftItem(module=module, level=level, function=name, assembly=path) for name in names
            ]
    items = draw_evenly(
        found,
        lambda item: f"{architecture_of(item.module.target_triple)} {item.level}",
        (lambda item: item.module.program, lambda item: item.module.key),
        count=options.functions,
        seed=options.seed,
    )
    if not items:
        first = f": {excluded[0].cause}" if excluded else ""
        raise InputError(f"no module of the suites has a function to lift{first}")
    return items, excluded
