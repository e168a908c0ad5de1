"""What Python programs call: ``from llm_compiler import optimize, disassemble, emulate``.

Paths are text or `Path`, enums their texts, options keywords, models and engines names; one input
gives one result, a list of inputs a list. Loads LLVM and models on the first call, not before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from llm_compiler.errors import ConfigError, LlmCompilerError

if TYPE_CHECKING:
    from llm_compiler.disassemble import Disassembled, DisassembleOptions
    from llm_compiler.emulate import Emulated, EmulateOptions
    from llm_compiler.model.engines.engine import Engine
    from llm_compiler.optimize import Optimized, OptimizeOptions
    from llm_compiler.records import PassList
    from llm_compiler.verify.checker import Checker
    from llm_compiler.workers.pool import WorkerPool

__all__ = ["disassemble", "emulate", "optimize"]

Input = str | os.PathLike[str]
_Options = TypeVar("_Options")


@overload
def optimize(source: Input, options: OptimizeOptions | None = None, **more: Any) -> Optimized: ...


@overload
def optimize(
    source: Iterable[Input], options: OptimizeOptions | None = None, **more: Any
) -> list[Optimized]: ...


def optimize(
    source: Input | Iterable[Input],
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool | None = None,
    checker: Checker | None = None,
    engine: Engine | str | None = None,
    model: Input | None = None,
    output: Input | None = None,
    **settings: Any,
) -> Optimized | list[Optimized]:
    """Make the smallest verified object of C, C++, IR or bitcode files; nothing is written.

    >>> from llm_compiler import optimize
    >>> result = optimize("foo.c", budget=50, clang_flags="-Iinclude -DNDEBUG")  # doctest: +SKIP
    >>> Path("foo.o").write_bytes(result.output)  # doctest: +SKIP

    Args:
        pool: worker processes; default: made for this call.
        engine: what runs the model, or its name; default: the embedded engine.
        model: the checkpoint's folder; default: the shipped weights.
        output: the name that the replay commands write to, of a single input.
        settings: fields of `OptimizeOptions`.

    Raises:
        ConfigError: a setting is unknown or of the wrong type.
        LlmCompilerError: the first input that fails; see `errors`.
    """
    from llm_compiler.optimize import OptimizeOptions, optimize_many
    from llm_compiler.workers import LocalPool

    sources, is_one = _inputs(source)
    if options is None and "objective" not in settings:
        settings["objective_by_target"] = True
    chosen = _options(OptimizeOptions, options, settings, "optimize")
    if output is not None and not is_one:
        raise ConfigError("output names the object of one input, and there are several")
    with contextlib.ExitStack() as stack:
        loaded = _engine(engine, model, stack) if engine or model else None
        results = optimize_many(
            sources,
            chosen,
            pool=pool or stack.enter_context(LocalPool()),
            checker=checker,
            engine=loaded,
            outputs=[Path(output)] if output is not None else None,
        )
        found = [_raised(result) for result in list(results)]
    return found[0] if is_one else found


@overload
def disassemble(
    source: Input,
    engine: Engine | str | None = None,
    options: DisassembleOptions | None = None,
    **more: Any,
) -> Disassembled: ...


@overload
def disassemble(
    source: Iterable[Input],
    engine: Engine | str | None = None,
    options: DisassembleOptions | None = None,
    **more: Any,
) -> list[Disassembled]: ...


def disassemble(
    source: Input | Iterable[Input],
    engine: Engine | str | None = None,
    options: DisassembleOptions | None = None,
    *,
    model: Input | None = None,
    pool: WorkerPool | None = None,
    **settings: Any,
) -> Disassembled | list[Disassembled]:
    """Lift assembly, objects or executables to LLVM-IR, with a verdict for each function.

    Args:
        engine: what proposes IR, or its name; default: the embedded engine.
        model: the checkpoint's folder; default: the shipped weights.
        settings: fields of `DisassembleOptions`.

    Raises:
        ConfigError: a setting is unknown or of the wrong type.
        LlmCompilerError: the first input that fails; see `errors`.
    """
    from llm_compiler.disassemble import DisassembleOptions
    from llm_compiler.disassemble import disassemble as lift

    sources, is_one = _inputs(source)
    chosen = _options(DisassembleOptions, options, settings, "disassemble")
    with contextlib.ExitStack() as stack:
        loaded = _engine(engine, model, stack)
        found = [lift(path, loaded, chosen, pool=pool) for path in sources]
    return found[0] if is_one else found


@overload
def emulate(
    source: Input,
    passes: PassList | str,
    engine: Engine | str | None = None,
    options: EmulateOptions | None = None,
    **more: Any,
) -> Emulated: ...


@overload
def emulate(
    source: Iterable[Input],
    passes: PassList | str,
    engine: Engine | str | None = None,
    options: EmulateOptions | None = None,
    **more: Any,
) -> list[Emulated]: ...


def emulate(
    source: Input | Iterable[Input],
    passes: PassList | str,
    engine: Engine | str | None = None,
    options: EmulateOptions | None = None,
    *,
    model: Input | None = None,
    pool: WorkerPool | None = None,
    **settings: Any,
) -> Emulated | list[Emulated]:
    """Predict what a pass list makes of code, its instruction count and its sizes.

    Args:
        passes: a list, or text for ``opt -passes=``.
        engine: what predicts, or its name; default: the embedded engine.
        model: the checkpoint's folder; default: the shipped weights.
        settings: fields of `EmulateOptions`.

    Raises:
        ConfigError: a setting is unknown or of the wrong type.
        LlmCompilerError: the first input that fails; see `errors`.
    """
    from llm_compiler.emulate import EmulateOptions
    from llm_compiler.emulate import emulate as predict
    from llm_compiler.llvm.passes import parse_pass_list
    from llm_compiler.workers import LocalPool

    sources, is_one = _inputs(source)
    chosen = _options(EmulateOptions, options, settings, "emulate")
    wanted = parse_pass_list(passes) if isinstance(passes, str) else passes
    with contextlib.ExitStack() as stack:
        loaded = _engine(engine, model, stack)
        workers = pool or stack.enter_context(LocalPool(1))
        found = [predict(path, wanted, loaded, chosen, pool=workers) for path in sources]
    return found[0] if is_one else found


def _inputs(source: Input | Iterable[Input]) -> tuple[list[Path], bool]:
    if isinstance(source, str | os.PathLike):
        return [Path(source)], True
    if isinstance(source, Iterable):
        sources = list(source)
        if all(isinstance(item, str | os.PathLike) for item in sources):
            return [Path(item) for item in sources], False
    raise ConfigError(f"an input is a path, or a list of paths, not {type(source).__name__}")


def _options(
    kind: type[_Options], options: _Options | None, settings: dict[str, Any], verb: str
) -> _Options:
    if options is not None and not isinstance(options, kind):
        raise ConfigError(f"options is {kind.__name__}(...), not {type(options).__name__}")
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise ConfigError(f"{verb} has no setting '{name}': {hint}")
    if options is None:
        return kind(**settings)
    return dataclasses.replace(options, **settings)  # type: ignore[type-var]


def _engine(
    engine: Engine | str | None, model: Input | None, stack: contextlib.ExitStack
) -> Engine:
    """Return an engine; one that is made here is closed with the stack."""
    from llm_compiler.model.engines.loader import load_engine
    from llm_compiler.model.engines.registry import DEFAULT_ENGINE, ModelSource, engine_kind

    if engine is not None and not isinstance(engine, str):
        return engine
    path = os.fspath(model) if model is not None else None
    kind = engine_kind(engine or DEFAULT_ENGINE)
    if path is None and kind.source is ModelSource.FOLDER:
        raise ConfigError(
            f"the engine '{kind.name}' reads answers from files: name their model=FOLDER"
        )
    made = load_engine(kind.name, path)
    stack.callback(made.close)
    return made


_T = TypeVar("_T")


def _raised(result: _T | LlmCompilerError) -> _T:
    if isinstance(result, LlmCompilerError):
        raise result
    return result
