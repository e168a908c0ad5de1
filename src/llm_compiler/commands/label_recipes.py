"""``llm-compiler labels recipes``: what each recipe makes of units and of their functions."""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from importlib import resources
from pathlib import Path

from llm_compiler.commands.options.labels import RecipesArguments
from llm_compiler.commands.pools import open_pool, with_nodes
from llm_compiler.console import percent, print_json, print_table, progress, warn
from llm_compiler.corpus.manifest import MANIFEST_NAME, PARTIAL_NAME, Unit, read_units
from llm_compiler.errors import ArtifactError, InputError, ManifestMissing
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.output import resumable
from llm_compiler.records import Recipe
from llm_compiler.search.function_label_shards import LabelFolder, read_function_labels
from llm_compiler.search.function_labels import (
    UnitLabels,
    UnitToLabel,
    best_by_function,
    label_units,
)

__all__ = ["run", "shipped_label_recipes"]


def shipped_label_recipes(architecture: str) -> list[Recipe]:
    """Return the recipes that labels are made of, by architecture.

    Raises:
        InputError: there are none for it.
    """
    file = resources.files("llm_compiler") / "data" / f"label-recipes-{architecture}.txt"
    if not file.is_file():
        raise InputError(f"no recipes are shipped for {architecture}: name a file with --recipes")
    return [parse_recipe(line) for line in file.read_text().splitlines() if line]


def _read_recipes(path: Path) -> list[Recipe]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    found = list(dict.fromkeys(parse_recipe(line.strip()) for line in lines if line.strip()))
    if not found:
        raise InputError(f"{path} names no recipe")
    return found


def _load(corpus: Path) -> list[Unit]:
    """Return the units of a corpus; while it is built, those that are finished."""
    found: dict[str, Unit] = {}
    for name in (MANIFEST_NAME, PARTIAL_NAME):
        if (corpus / name).is_file():
            found |= {unit.path: unit for unit in read_units(corpus / name)}
    if not found:
        raise ManifestMissing(f"{corpus} has no {MANIFEST_NAME}: it is no corpus")
    return list(found.values())


def _choose(options: RecipesArguments, known: Collection[str]) -> list[Unit]:
    """Return the units to label, drawn by the seed and round robin over the packages."""
    by_package: dict[str, list[Unit]] = defaultdict(list)
    seen = set(known)
    for unit in sorted(_load(options.corpus), key=lambda each_unit: each_unit.path):
        architecture = architecture_of(unit.target_triple)
        fits = unit.num_functions > 0 and unit.num_bytes <= options.max_unit_bytes
        if unit.split != options.split or architecture != options.architecture or not fits:
            continue
        if unit.sha256 not in seen:
            seen.add(unit.sha256)
            by_package[unit.package].append(unit)
    for package, members in by_package.items():
        random.Random(f"{options.seed}:{package}").shuffle(members)
    turns = itertools.zip_longest(*(by_package[name] for name in sorted(by_package)))
    return [unit for turn in turns for unit in turn if unit is not None]


def _read_unit(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"{path} is not what the manifest says: build the corpus again")
    return data


def run(options: RecipesArguments) -> int:
    """Label units until all are done, the time is over, or Ctrl-C; then pack and say what is."""
    recipes = (
        _read_recipes(options.recipes)
        if options.recipes
        else shipped_label_recipes(options.architecture)
    )
    find_toolchain()
    with resumable():
        folder = LabelFolder(
            options.output,
            options.architecture,
            recipes,
            units_per_shard=options.units_per_shard,
        )
        chosen = _choose(options, folder.known)[: max(0, options.max_units - len(folder.known))]
        if not chosen and not folder.known:
            raise InputError(
                f"{options.corpus} has no unit of split '{options.split}' for "
                f"{options.architecture} of at most {options.max_unit_bytes} bytes"
            )
        _label(folder, chosen, recipes, options)
        if options.keep_journal:
            warn(f"{len(folder.known)} units are labelled")
            return 0
        folder.pack()
    units = list(_all_units(options.output, options.architecture))
    _print(units, recipes, folder.num_bytes, options)
    return 0


def _label(
    folder: LabelFolder,
    chosen: Sequence[Unit],
    recipes: Sequence[Recipe],
    options: RecipesArguments,
) -> None:
    end = time.monotonic() + options.seconds if options.seconds else None

    def units() -> Iterator[UnitToLabel]:
        for unit in chosen:
            if end is not None and time.monotonic() > end:
                return
            yield UnitToLabel(
                unit_hash=unit.sha256,
                target_triple=unit.target_triple,
                split=unit.split,
                package=unit.package,
                read=partial(_read_unit, options.corpus / unit.path, unit.sha256),
            )

    with (
        open_pool(options, options.jobs) as pool,
        progress(len(chosen), with_nodes("labelling", pool)) as bar,
    ):
        try:
            labels = label_units(pool, units(), recipes, timeout_s=options.timeout_s)
            for done, label in enumerate(labels, 1):
                folder.add(label)
                bar.update(done, label.package)
        except KeyboardInterrupt:
            warn("interrupted: finished units are kept; the same command goes on from there")


def _all_units(folder: Path, architecture: str) -> Iterator[UnitLabels]:
    for path in sorted(folder.glob(f"{architecture}-*.parquet")):
        yield from read_function_labels(path)[1]


def _print(
    units: Sequence[UnitLabels],
    recipes: Sequence[Recipe],
    num_bytes: int,
    options: RecipesArguments,
) -> None:
    """Print what is there, and what the best recipe of each unit and function would save."""
    usable = [unit for unit in units if unit.size_bytes[0] > 0]
    before = sum(unit_labels.size_bytes[0] for unit_labels in usable)
    saved = sum(
        unit_labels.size_bytes[0] - min(s for s in unit_labels.size_bytes if s >= 0)
        for unit_labels in usable
    )
    first = sum(best_by_function(unit_labels, [0]) for unit_labels in usable)
    best = sum(best_by_function(unit_labels, range(len(recipes))) for unit_labels in usable)
    num_functions = sum(len(unit.functions) for unit in units)
    if options.json:
        print_json(
            {
                "num_units": len(units),
                "num_functions": num_functions,
                "num_recipes": len(recipes),
                "num_bytes": num_bytes,
                "baseline": recipes[0].text,
                "saved_by_unit": saved / before if before else 0.0,
                "saved_by_function": 1 - best / first if first else 0.0,
            }
        )
        return
    rows = [
        ("the best recipe of each unit", percent(saved, before)),
        ("of each function, without variables (a forecast)", percent(first - best, first)),
    ]
    print(
        f"{len(units)} units, {num_functions} functions, {len(recipes)} recipes, "
        f"{num_bytes} bytes of Parquet: {options.output}"
    )
    print_table((f"saved over {recipes[0]}", "all bytes"), rows, right="lr")
