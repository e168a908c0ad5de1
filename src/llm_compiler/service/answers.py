"""What the service answers, computed inside a sandbox with the package's own functions.

Each answer is one JSON object. Knows nothing of HTTP and of jobs. What happens on the way is
handed to `Tell`, an event at a time. Files are written to the current folder, which is the job's.
"""

from __future__ import annotations

import base64
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler import process
from llm_compiler.disassemble import DisassembleOptions, disassemble
from llm_compiler.emulate import EmulateOptions, emulate
from llm_compiler.errors import CompileFailed, InputError, LlmCompilerError, TimedOut
from llm_compiler.llvm.clang_flags import parse_clang_flags
from llm_compiler.llvm.module_jobs import InspectJob
from llm_compiler.llvm.object_file import section_groups, section_sizes
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.optimize import Effort, OptimizeOptions, optimize_each
from llm_compiler.records import Measurement, PassList, Recipe, Status
from llm_compiler.search.objective import SIZE, Objective, objective_named
from llm_compiler.verify.accepted import refuse_unreadable
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import run_jobs

__all__ = ["ANSWERS", "SUFFIXES", "Tell"]

Tell = Callable[[dict[str, Any]], None]

SUFFIXES = {
    "c": ".c",
    "c++": ".cpp",
    "llvm-ir": ".ll",
    "bitcode": ".bc",
    "assembly": ".s",
    "object": ".o",
}
_BASE64 = ("bitcode", "object")
_SHARE_OF_TIME = 0.5
"""Of a job's time, for searching; the rest is for what comes before and after."""
_SHARE_UNTIL_STOP = 0.65
"""Of a job's time, until checks and assemblies end too, with the best that is there."""
_TIME_WAS_UP = "the job's time was nearly up: this is the best that was found until then"
_MAX_RECIPE = 1000
_MAX_TEXT = 2_000_000
"""Characters of one text in an answer."""


def optimize_unit(request: dict[str, Any], engine: Engine | None, tell: Tell) -> dict[str, Any]:
    """Make the smallest object; answer with sizes, recipe, and all texts before and after."""
    began = time.monotonic()
    source = _write_source(request)
    effort = Effort(request["effort"])
    objective = objective_named(request["objective"])
    stock = _stock(request)
    baseline = _baseline(stock, source, objective, tell)
    options = OptimizeOptions(
        candidates=effort.candidates,
        budget=effort.budget,
        seconds=_SHARE_OF_TIME * request["seconds"],
        objective=objective,
        explain=request["explain"],
        target_triple=request["target_triple"],
        clang_flags=tuple(request["flags"]),
        timeout_s=_SHARE_OF_TIME * request["seconds"],
    )
    watch = _Watch(tell=tell, objective=objective)
    stop = threading.Event()
    with LocalPool(1) as pool:

        def end_all() -> None:
            stop.set()
            pool.interrupt()

        left = _SHARE_UNTIL_STOP * request["seconds"] - (time.monotonic() - began)
        alarm = threading.Timer(max(0.0, left), end_all)
        alarm.daemon = True
        alarm.start()
        try:
            ((_, result),) = optimize_each(
                [source],
                options,
                pool=pool,
                engine=engine,
                outputs=[Path("output.o")],
                store=watch,
                stop=stop,
                on_progress=lambda _, done, total: tell(
                    {"event": "progress", "done": done, "total": total}
                ),
            )
        finally:
            alarm.cancel()
    if isinstance(result, LlmCompilerError):
        if stop.is_set():
            raise TimedOut(f"{request['seconds']:g} s do not suffice for this unit") from result
        raise result
    warnings = list(result.warnings)
    if stop.is_set():
        said_otherwise = [warning for warning in warnings if not warning.startswith("interrupted:")]
        warnings = [*said_otherwise, _TIME_WAS_UP]
    tell({"event": "stage", "stage": "texts"})
    after = _replayed(stock, [shlex.split(word) for word in result.replay], result.output)
    return result.to_json() | {
        "warnings": warnings,
        "diagnostics": _short(result.diagnostics),
        "candidates": watch.candidates,
        "baseline_sections": baseline.sections,
        "optimized_sections": section_groups(result.output),
        "ir": {
            "unoptimized": _unoptimized_text(stock, source),
            "baseline": baseline.ir,
            "optimized": after.ir or baseline.ir,
        },
        "assembly": {"baseline": baseline.assembly, "optimized": after.assembly},
        "replay_makes_same_object": after.is_same,
        "object_base64": base64.b64encode(result.output).decode(),
    }


def explain_unit(request: dict[str, Any], engine: Engine | None, tell: Tell) -> dict[str, Any]:
    """Optimise, and find out which element of the recipe brings how many bytes."""
    return optimize_unit(request | {"explain": True}, engine, tell)


def disassemble_unit(request: dict[str, Any], engine: Engine | None, tell: Tell) -> dict[str, Any]:
    """Lift assembly or an object; code of another kind is compiled by clang -Oz first."""
    source = _write_source(request)
    stock = _stock(request)
    compiled = ""
    if request["language"] not in ("assembly", "object"):
        assembly = Path("compiled.s")
        stock.compile_source(stock.baseline_command(source, assembly, kind="-S"), source)
        compiled = assembly.read_text("utf-8", "replace")
        source = assembly
        tell({"event": "stage", "stage": "compiled"})
    with LocalPool(1) as pool:
        result = disassemble(
            source,
            _required(engine),
            DisassembleOptions(
                target_triple=request["target_triple"],
                timeout_s=request["seconds"] / 4,
                search_s=0.0,
                annotate=True,
            ),
            pool=pool,
            on_progress=lambda name, done, total: tell(
                {"event": "progress", "name": name, "done": done, "total": total}
            ),
        )
    functions = []
    for function in result.functions:
        more = {"assembly": function.assembly, "lowered": function.lowered, "ir": function.ir}
        functions.append(function.to_json() | {name: _short(text) for name, text in more.items()})
    return result.to_json() | {
        "functions": functions,
        "module": _short(result.module),
        "compiled": _short(compiled),
        "warnings": list(result.warnings),
    }


def emulate_unit(request: dict[str, Any], engine: Engine | None, tell: Tell) -> dict[str, Any]:
    """Predict what a pass list makes of code, and compare it with what the compiler makes."""
    source = _write_source(request)
    passes = parse_pass_list(request["passes"])
    if not passes:
        raise InputError("the pass list names no pass")
    with LocalPool(1) as pool:
        refuse_unreadable(pool, [passes])
        tell({"event": "stage", "stage": "model"})
        result = emulate(
            source,
            passes,
            _required(engine),
            EmulateOptions(
                assembly=request["assembly"],
                lower_ir=request["assembly"],
                check=request["check"],
                target_triple=request["target_triple"],
                clang_flags=tuple(request["flags"]),
                timeout_s=request["seconds"] / 2,
            ),
            pool=pool,
        )
    return result.to_json()


def evaluate_unit(request: dict[str, Any], engine: Engine | None, tell: Tell) -> dict[str, Any]:
    """Compile with each recipe of the client's by the stock tools; answer with sizes and verdicts.

    A recipe that fails is a row with the compiler's words.
    """
    source = _write_source(request)
    stock = _stock(request)
    baseline = _baseline(stock, source, SIZE, tell)
    unoptimized = Path("unoptimized.bc")
    stock.compile_source(stock.frontend_command(source, unoptimized), source)
    rows = []
    recipes = [parse_recipe(text) for text in request["recipes"]]
    with LocalPool(1) as pool, Checker(toolchain=stock.toolchain, pool=pool) as checker:
        (found,) = run_jobs(pool, [InspectJob(inputs=(unoptimized.read_bytes(),))])[0]
        if found.status is not Status.OK:
            raise InputError(f"LLVM cannot read {source.name}: {found.detail}")
        refuse_unreadable(
            pool, [each_recipe.pass_list for each_recipe in recipes if each_recipe.elements]
        )
        for number, recipe in enumerate(recipes):
            row = _evaluated(stock, unoptimized, recipe, number, pic=found.pic)
            row["verdict"] = checker.known(recipe, found.target_triple).value
            tell({"event": "candidate", "number": number, **row})
            rows.append(row)
    return {
        "input": source.name,
        "llvm_version": stock.toolchain.version,
        "baseline_bytes": baseline.size_bytes,
        "baseline_sections": baseline.sections,
        "rows": rows,
    }


def _evaluated(
    stock: Stock, unoptimized: Path, recipe: Recipe, number: int, *, pic: bool
) -> dict[str, Any]:
    optimized, output = Path(f"{number}.bc"), Path(f"{number}.o")
    row: dict[str, Any] = {"recipe": recipe.text, "ok": False, "size_bytes": 0}
    try:
        stock.run_opt(recipe, unoptimized, optimized, pic=pic)
        stock.run_backend(optimized, output, recipe=recipe)
        data = output.read_bytes()
    except LlmCompilerError as error:
        return row | {"detail": str(error)[:500]}
    sizes = section_sizes(data)
    return row | {
        "ok": True,
        "size_bytes": sizes.size_bytes,
        "text_data_bytes": sizes.text_data_bytes,
        "sections": section_groups(data),
    }


Answer = Callable[[dict[str, Any], Engine | None, Tell], dict[str, Any]]
ANSWERS: dict[str, Answer] = {
    "optimize": optimize_unit,
    "explain": explain_unit,
    "disassemble": disassemble_unit,
    "emulate": emulate_unit,
    "evaluate": evaluate_unit,
}


@dataclass(slots=True, kw_only=True)
class _Watch:
    """A store that knows nothing and tells of every measurement."""

    tell: Tell
    objective: Objective
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def lookup(self, module_hash: str, lists: Sequence[PassList]) -> dict[PassList, Measurement]:
        return {}

    def all_measurements(self, module_hash: str) -> dict[str, Measurement]:
        return {}

    def record(self, module_hash: str, found: dict[PassList, Measurement]) -> None:
        for recipe, measured in found.items():
            candidate = {
                "number": len(self.candidates) + 1,
                "ok": measured.ok,
                "size_bytes": measured.size_bytes,
                "value": self.objective.of(measured) if measured.ok else 0,
                "recipe": recipe.text[:_MAX_RECIPE],
            }
            self.candidates.append(candidate)
            self.tell({"event": "candidate", **candidate})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """An object and what it looks like."""

    size_bytes: int = 0
    sections: dict[str, int] = field(default_factory=dict)
    ir: str = ""
    assembly: str = ""
    is_same: bool = True


def _baseline(stock: Stock, source: Path, objective: Objective, tell: Tell) -> _Texts:
    """Return clang -Oz's own object, reported as soon as it is there, and its texts."""
    paths = {kind: Path(f"baseline.{kind}") for kind in ("o", "s", "ll")}
    stock.compile_source(stock.baseline_command(source, paths["o"]), source)
    data = paths["o"].read_bytes()
    sizes = section_sizes(data)
    tell(
        {
            "event": "baseline",
            "size_bytes": sizes.size_bytes,
            "text_data_bytes": sizes.text_data_bytes,
            "objective": objective.name,
        }
    )
    stock.compile_source(stock.baseline_command(source, paths["s"], kind="-S"), source)
    command = (*stock.baseline_command(source, paths["ll"], kind="-S"), "-emit-llvm")
    stock.compile_source(command, source)
    return _Texts(
        size_bytes=sizes.size_bytes,
        sections=section_groups(data),
        ir=_read(paths["ll"]),
        assembly=_read(paths["s"]),
    )


def _unoptimized_text(stock: Stock, source: Path) -> str:
    path = Path("unoptimized.ll")
    command = [word if word != "-c" else "-S" for word in stock.frontend_command(source, path)]
    stock.compile_source(command, source)
    return _read(path)


def _replayed(stock: Stock, commands: Sequence[Sequence[str]], output: bytes) -> _Texts:
    """Carry out the commands that make an object again; return what it looks like on the way."""
    for command in commands:
        done = process.run(command, timeout_s=stock.timeout_s)
        if not done.ok:
            words = done.stderr_text.strip()[-500:]
            raise CompileFailed(f"the replay of the result fails: {words}", detail=words)
    last = list(commands[-1])
    path = Path(last[last.index("-o") + 1])
    is_same = path.read_bytes() == output
    assembly = Path("optimized.s")
    shown = ["-S" if word == "-c" else word for word in last]
    shown[shown.index("-o") + 1] = str(assembly)
    stock.run_tool(shown, "clang on the result")
    ir = ""
    if module := next((word for word in last if word.endswith(".bc")), ""):
        text = Path("optimized.ll")
        stock.run_tool([str(stock.toolchain.tool("llvm-dis")), module, "-o", str(text)], "llvm-dis")
        ir = _read(text)
    return _Texts(ir=ir, assembly=_read(assembly), is_same=is_same)


def _stock(request: dict[str, Any]) -> Stock:
    return Stock(
        toolchain=find_toolchain(),
        flags=parse_clang_flags(request["flags"]),
        target_triple=request["target_triple"],
        timeout_s=request["seconds"] / 2,
        scratch=Path.cwd(),
    )


def _write_source(request: dict[str, Any]) -> Path:
    path = Path("input" + SUFFIXES[request["language"]])
    if request["language"] in _BASE64:
        path.write_bytes(base64.b64decode(request["source"]))
    else:
        path.write_text(request["source"], "utf-8", "surrogateescape")
    return path


def _read(path: Path) -> str:
    return _short(path.read_text("utf-8", "replace"))


def _short(text: str) -> str:
    if len(text) <= _MAX_TEXT:
        return text
    return text[:_MAX_TEXT] + f"\n... ({len(text) - _MAX_TEXT} more characters)\n"


def _required(engine: Engine | None) -> Engine:
    return engine if engine is not None else NoEngine()
