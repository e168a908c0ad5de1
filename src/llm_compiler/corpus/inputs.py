"""Turn what a user names (files, folders, a corpus) into unoptimised modules to search on."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, Stock

__all__ = [
    "NamedModule",
    "Selection",
    "collect_files",
    "corpus_modules",
    "load_modules",
    "sample_modules",
]

MANIFEST = "manifest.jsonl"
SAMPLES_MANIFEST = "manifest.json"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModule:
    """Unoptimised bitcode with a name for people, and the package it came from (or empty)."""

    name: str
    bitcode: bytes = field(repr=False)
    package: str = ""


def collect_files(inputs: Iterable[Path]) -> list[Path]:
    """Return the source and IR files among files and (recursively) folders, sorted.

    Raises:
        InputError: an input does not exist, or a folder holds nothing to compile.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix in C_SUFFIXES + IR_SUFFIXES and file.is_file()
            )
            if not inside:
                raise InputError(f"the folder {path} holds no C, C++, IR or bitcode file")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path} does not exist")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which modules of a corpus or of samples are taken."""

    split: str = ""
    """Only this split; empty for all."""
    limit: int | None = None
    """At most this number, drawn by `seed`, spread evenly over packages and targets."""
    max_bytes: int | None = None
    """No module with more bytes of bitcode."""
    min_size_bytes: int = 0
    """Of the object after default<Oz>, which is known of samples alone."""
    max_size_bytes: int = 0
    """Likewise; 0: any."""
    seed: int = 0


EVERYTHING: Final = Selection()


def corpus_modules(folder: Path, selection: Selection = EVERYTHING) -> list[NamedModule]:
    """Return the units of a built corpus.

    Raises:
        InputError: no unit is left.
        ShardCorrupt, ManifestMissing: the corpus is damaged or its build never finished.
    """
    from llm_compiler.corpus.manifest import load_manifest

    split, max_bytes = selection.split, selection.max_bytes
    units = [u for u in load_manifest(folder / MANIFEST) if not split or u.split == split]
    if not units:
        raise InputError(
            f"the corpus {folder} has no unit" + (f" of split {split}" if split else "")
        )
    if max_bytes is not None:
        units = [unit for unit in units if unit.num_bytes <= max_bytes]
        if not units:
            raise InputError(f"the corpus {folder} has no unit of at most {max_bytes} bytes")
    units = _spread(units, [unit.package for unit in units], selection)
    return [
        NamedModule(
            name=f"{unit.package}/{Path(unit.path).name}",
            bitcode=(folder / unit.path).read_bytes(),
            package=unit.package,
        )
        for unit in units
    ]


def sample_modules(folder: Path, selection: Selection = EVERYTHING) -> list[NamedModule]:
    """Return the modules of a folder of samples (`corpus.shards`), each once.

    Raises:
        InputError: no module is left.
        ShardCorrupt, ManifestMissing: the folder is damaged or not complete.
    """
    from llm_compiler.corpus.shards import load_samples

    split, max_bytes = selection.split, selection.max_bytes
    smallest, largest = selection.min_size_bytes, selection.max_size_bytes
    columns = ("module_hash", "package", "function", "source", "target_triple", "size_bytes")
    # A unit of one function is that function's module too.
    found: dict[str, NamedModule] = {}
    groups: dict[str, str] = {}
    for sample in load_samples(folder, split=split, columns=(*columns, "bitcode")):
        if max_bytes is not None and len(sample.bitcode) > max_bytes:
            continue
        if not smallest <= sample.size_bytes <= (largest or sample.size_bytes):
            continue
        if sample.module_hash in found:
            continue
        what = sample.function or sample.source
        name = f"{sample.package}/{what} ({sample.architecture})"
        module = NamedModule(name=name, bitcode=sample.bitcode, package=sample.package)
        found[sample.module_hash] = module
        groups[sample.module_hash] = f"{sample.package} {sample.architecture}"
    if not found:
        raise InputError(
            f"{folder} has no sample"
            + (f" of split {split}" if split else "")
            + (" of these sizes" if smallest or largest or max_bytes else "")
        )
    return _spread(list(found.values()), list(groups.values()), selection)


def _spread(things: list[_T], groups: list[str], selection: Selection) -> list[_T]:
    """Draw as many as are wanted, spread evenly over the groups; the order stays."""
    limit = selection.limit
    if limit is None or limit >= len(things):
        return things
    by_group: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        by_group.setdefault(group, []).append(index)
    rng = random.Random(selection.seed)
    for indices in by_group.values():
        rng.shuffle(indices)
    chosen: list[int] = []
    rank = 0
    while len(chosen) < limit:
        chosen += [indices[rank] for indices in by_group.values() if rank < len(indices)]
        rank += 1
    return [things[index] for index in sorted(chosen[:limit])]


def load_modules(
    inputs: Sequence[Path],
    stock: Stock,
    selection: Selection = EVERYTHING,
    *,
    jobs: int,
) -> tuple[list[NamedModule], list[tuple[Path, LlmCompilerError]]]:
    """Return the modules of all inputs, and the files that do not compile with their errors."""
    modules: list[NamedModule] = []
    plain: list[Path] = []
    for path in inputs:
        if (path / SAMPLES_MANIFEST).exists():
            modules += sample_modules(path, selection)
        elif (path / MANIFEST).exists():
            modules += corpus_modules(path, selection)
        else:
            plain.append(path)
    files = collect_files(plain)
    failures: list[tuple[Path, LlmCompilerError]] = []
    with tempfile.TemporaryDirectory(prefix="llm-compiler-") as scratch:

        def compile_one(pair: tuple[int, Path]) -> NamedModule | tuple[Path, LlmCompilerError]:
            index, source = pair
            output = Path(scratch) / f"{index}.bc"
            try:
                stock.compile_source(stock.frontend_command(source, output), source)
            except LlmCompilerError as error:
                return source, error
            return NamedModule(name=str(source), bitcode=output.read_bytes())

        with ThreadPoolExecutor(max_workers=jobs) as threads:
            for result in threads.map(compile_one, enumerate(files)):
                if isinstance(result, NamedModule):
                    modules.append(result)
                else:
                    failures.append(result)
    return modules, failures
