"""Options that several commands have: each group is written once, and a base of their dataclasses.

Knows no command.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from llm_compiler.llvm.targets import canonical_triple, known_target, target_names
from llm_compiler.model.engines.registry import DEFAULT_ENGINE, engine_kinds, engine_names
from llm_compiler.model.engines.requests import Capability
from llm_compiler.option_fields import option, positive, seconds
from llm_compiler.search.objective import SIZE, object_objectives, objectives

__all__ = [
    "AsJson",
    "ClangFlags",
    "ObjectiveChoice",
    "PoolChoice",
    "Running",
    "Seed",
    "architecture",
    "architecture_option",
    "coreset_option",
    "engine_option",
    "engines_option",
    "jobs_option",
    "model_option",
    "models_option",
    "object_objective_names",
    "objective_option",
    "target_triple_option",
    "timeout_option",
]

_EVALUATION_S = 60.0


@dataclass(frozen=True, kw_only=True)
class AsJson:
    """How results are printed."""

    json: bool = option("--json", False, help="print JSON, one object a line")


def jobs_option() -> Any:
    """Return the field of how many processes work."""
    return option(
        "--jobs", None, type=positive, metavar="N", help="worker processes (default: all)"
    )


def timeout_option(default: float = _EVALUATION_S) -> Any:
    """Return the field of the limit of one evaluation."""
    return option(
        "--timeout-s",
        default,
        type=seconds,
        metavar="S",
        help="limit of each evaluation and each run of clang or opt (default: %(default)s)",
    )


@dataclass(frozen=True, kw_only=True)
class Running:
    """What all have that work in processes: workers, limit, output."""

    jobs: int | None = jobs_option()
    timeout_s: float = timeout_option()
    json: bool = option("--json", False, help="print JSON, one object a line")


def _pools() -> tuple[str, ...]:
    # Imported by those only that have the option: it brings the pools.
    from llm_compiler.workers.opening import POOLS

    return POOLS


@dataclass(frozen=True, kw_only=True)
class PoolChoice:
    """Where the workers are."""

    pool: str = option(
        "--pool",
        "local",
        choices=_pools,
        help="where work is done: in processes of this machine, or on the nodes of a Ray cluster, "
        "--jobs on each (default: %(default)s)",
    )
    ray_address: str = option(
        "--ray-address",
        "",
        metavar="A",
        help="of the cluster's head, HOST:PORT, or 'auto' on a node of it (default: a Ray of its "
        "own on this machine)",
    )


@dataclass(frozen=True, kw_only=True)
class Seed:
    """The seed of everything that is drawn."""

    seed: int = option("--seed", 0, metavar="N")


@dataclass(frozen=True, kw_only=True)
class ClangFlags:
    """What stands after ``--``."""

    clang_flags: tuple[str, ...] = ()


def _names() -> tuple[str, ...]:
    return tuple(objective.name for objective in objectives())


def object_objective_names() -> tuple[str, ...]:
    """Return the objectives that tables have a column for."""
    return tuple(objective.name for objective in object_objectives())


def objective_option(default: str | None, words: str = "%(default)s") -> Any:
    """Return the field of an objective's name; `words` say what is the default."""
    return option(
        "--objective",
        default,
        choices=_names,
        help=lambda: (
            "what to make small: "
            + "; ".join(
                f"{each_objective.name}: {each_objective.title}" for each_objective in objectives()
            )
            + f" (default: {words})"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ObjectiveChoice:
    """What is made small."""

    objective: str = objective_option(SIZE.name)


def target_triple_option(words: str = "default: clang's own") -> Any:
    """Return the field of a target."""
    return option(
        "--target-triple",
        "",
        type=canonical_triple,
        metavar="T",
        help=lambda: f"{words}; {', '.join(target_names())} stand for a whole triple",
    )


def architecture_option(default: str = "", words: str = "default: all") -> Any:
    """Return the field of one target's name."""
    return option(
        "--architecture",
        default,
        type=architecture,
        metavar="A",
        help=lambda: f"{words}: {', '.join(target_names())}",
    )


def architecture(text: str) -> str:
    """Read the name of a target, or an alias."""
    found = known_target(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no target: expected one of {', '.join(target_names())}"
        )
    return found.name


def coreset_option() -> Any:
    """Return the field of a file that holds a fixed list of lists."""
    return option("--coreset", None, metavar="JSON", help="default: the shipped one")


def engine_option(*needed: Capability) -> Any:
    """Return the field of an engine's name, of those that can be asked for what is needed."""
    return option(
        "--engine",
        DEFAULT_ENGINE,
        choices=lambda: engine_names(*needed),
        help=lambda: f"what runs the model: {_titles(*needed)} (default: %(default)s)",
    )


def _titles(*needed: Capability) -> str:
    return "; ".join(f"{kind.name}: {kind.title}" for kind in engine_kinds(*needed))


def model_option() -> Any:
    """Return the field of a model."""
    return option(
        "--model",
        None,
        metavar="M",
        help="a checkpoint's folder; transformers: also a name on the hub; openai: a server's URL "
        "(default: the shipped weights)",
    )


def engines_option(*needed: Capability) -> Any:
    """Return the field of engines, one engine for all models or an engine for each."""
    return option(
        "--engine",
        (),
        repeat=True,
        choices=lambda: engine_names(*needed),
        help=lambda: (
            "what runs the model; one for all, or one for each --model: "
            f"{_titles(*needed)} (default: {DEFAULT_ENGINE})"
        ),
    )


def models_option() -> Any:
    """Return the field of models that are contenders of one run."""
    return option(
        "--model",
        (),
        repeat=True,
        metavar="M",
        help="a checkpoint's folder, a name on the hub or a server's URL; may be given again "
        "(default: the shipped weights, if this installation has them)",
    )
