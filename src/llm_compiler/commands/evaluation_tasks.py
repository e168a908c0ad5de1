"""From what was typed to the tasks of the package."""

from __future__ import annotations

from llm_compiler.commands.evaluation import engines_of
from llm_compiler.commands.options.evaluate import (
    DisassemblyArguments,
    EmulationArguments,
    FlagTuningArguments,
    LanguageArguments,
    PerplexityArguments,
    SizePredictionArguments,
)
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.disassembly.task import DisassemblyTask
from llm_compiler.evaluate.emulation.ask import CODES, EmulationOptions
from llm_compiler.evaluate.emulation.task import EmulationTask
from llm_compiler.evaluate.flag_tuning.contenders import OF_MODELS, ContenderKind
from llm_compiler.evaluate.flag_tuning.options import FlagTuningOptions, Protocol
from llm_compiler.evaluate.flag_tuning.task import FlagTuningTask
from llm_compiler.evaluate.perplexity.task import PerplexityTask
from llm_compiler.evaluate.samples import SampleOptions
from llm_compiler.evaluate.size_prediction.task import SizePredictionTask
from llm_compiler.search.objective import objective_named

__all__ = ["disassembly", "emulation", "flag_tuning", "perplexity", "size_prediction"]

_ALL = tuple(ContenderKind)
_PAPER = (ContenderKind.ONE_SHOT, ContenderKind.CORESET, ContenderKind.PLAIN)


def flag_tuning(options: FlagTuningArguments) -> FlagTuningTask:
    """Return the task; contenders of models only where there are models.

    Raises:
        ConfigError: a contender needs a model, and there is none.
    """
    protocol = Protocol(options.protocol)
    paper = protocol is Protocol.PAPER
    has_model = bool(engines_of(options))
    if options.contenders:
        kinds = tuple(dict.fromkeys(ContenderKind(contender) for contender in options.contenders))
        if not has_model and (wanted := [kind.value for kind in kinds if kind in OF_MODELS]):
            raise ConfigError(
                f"'{wanted[0]}' needs a model: name a checkpoint with --model; this installation "
                "has none"
            )
    else:
        kinds = _PAPER if paper else _ALL
    if not has_model:
        kinds = tuple(kind for kind in kinds if kind not in OF_MODELS)
    objective = options.objective or ("text-data" if paper else "size")
    how = FlagTuningOptions(
        contenders=kinds,
        budgets=tuple(sorted(set(options.budgets or ((1,) if paper else (1, 4, 16, 64, 256))))),
        protocol=protocol,
        objective=objective_named(objective),
        check=not options.no_check,
        seed=options.seed,
        timeout_s=options.timeout_s,
    )
    return FlagTuningTask(
        options=how,
        modules=options.modules,
        ceilings=options.ceilings,
        store=options.store,
        programs=options.programs,
        coreset=options.coreset,
    )


def disassembly(options: DisassemblyArguments) -> DisassemblyTask:
    """Return the task."""
    return DisassemblyTask(
        LiftOptions(
            levels=tuple(dict.fromkeys(options.levels)),
            functions=options.functions,
            candidates=options.candidates,
            temperature=options.temperature,
            seed=options.seed,
            timeout_s=options.timeout_s,
            rules=options.rules,
            search_s=options.search_s,
            function_s=options.function_s,
            retry=options.retry,
        )
    )


def emulation(options: EmulationArguments) -> EmulationTask:
    """Return the task."""
    return EmulationTask(
        EmulationOptions(
            codes=CODES if options.code == "both" else (options.code,),
            modules=options.modules,
            seed=options.seed,
            timeout_s=options.timeout_s,
        )
    )


def size_prediction(options: SizePredictionArguments) -> SizePredictionTask:
    """Return the task."""
    return SizePredictionTask(_samples(options))


def perplexity(options: PerplexityArguments) -> PerplexityTask:
    """Return the task."""
    return PerplexityTask(_samples(options))


def _samples(options: LanguageArguments) -> SampleOptions:
    return SampleOptions(
        suites=options.suite,
        split=options.split,
        architecture=options.architecture,
        samples=options.samples,
        seed=options.seed,
        texts=options.texts if isinstance(options, PerplexityArguments) else None,
    )
