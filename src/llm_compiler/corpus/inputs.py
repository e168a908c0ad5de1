"""Turn what a user names (files, folders, a corpus) into unoptimised modules to search on."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, Stock

__all__ = ["NamedModule", "collect_files", "corpus_modules", "load_modules", "sample_modules"]

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


def corpus_modules(
    folder: Path,
    *,
    split: str = "",
    limit: int | None = None,
    max_bytes: int | None = None,
    seed: int = 0,
) -> list[NamedModule]:
    """Return the units of a built corpus.

    Args:
        split: only this split; empty for all.
        limit: at most this number, drawn by `seed`, spread evenly over the packages.
        max_bytes: no unit with more bytes of bitcode.

    Raises:
        InputError: no unit is left.
        ShardCorrupt, ManifestMissing: the corpus is damaged or its build never finished.
    """
    from llm_compiler.corpus.manifest import load_manifest

    units = [u for u in load_manifest(folder / MANIFEST) if not split or u.split == split]
    if not units:
        raise InputError(
            f"the corpus {folder} has no unit" + (f" of split {split}" if split else "")
        )
    if max_bytes is not None:
        units = [unit for unit in units if unit.num_bytes <= max_bytes]
        if not units:
            raise InputError(f"the corpus {folder} has no unit of at most {max_bytes} bytes")
    units = _spread(units, [unit.package for unit in units], limit, seed)
    return [
        NamedModule(
            name=f"{unit.package}/{Path(unit.path).name}",
            bitcode=(folder / unit.path).read_bytes(),
            package=unit.package,
        )
        for unit in units
    ]


def sample_modules(
    folder: Path,
    *,
    split: str = "",
    limit: int | None = None,
    max_bytes: int | None = None,
    min_size_bytes: int = 0,
    max_size_bytes: int = 0,
    seed: int = 0,
) -> list[NamedModule]:
    """Return the modules of a folder of samples (`corpus.shards`), each once.

    Args:
        limit: at most this number, drawn by `seed`, spread evenly over packages and targets.
        min_size_bytes, max_size_bytes: of the object after default<Oz>; a maximum of 0: any.

    Raises:
        InputError: no module is left.
        ShardCorrupt, ManifestMissing: the folder is damaged or not complete.
    """
    from llm_compiler.corpus.shards import load_samples

    columns = ("module_hash", "package", "function", "source", "target_triple", "size_bytes")
    # A unit of one function is that function's module too.
    found: dict[str, NamedModule] = {}
    groups: dict[str, str] = {}
    for sample in load_samples(folder, split=split, columns=(*columns, "bitcode")):
        if max_bytes is not None and len(sample.bitcode) > max_bytes:
            continue
        if not min_size_bytes <= sample.size_bytes <= (max_size_bytes or sample.size_bytes):
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
            + (" of these sizes" if min_size_bytes or max_size_bytes or max_bytes else "")
        )
    return _spread(list(found.values()), list(groups.values()), limit, seed)


def _spread(things: list[_T], groups: list[str], limit: int | None, seed: int) -> list[_T]:
    """Draw at most `limit`, spread evenly over the groups; the order stays."""
    if limit is None or limit >= len(things):
        return things
    by_group: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        by_group.setdefault(group, []).append(index)
    rng = random.Random(seed)
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
    *,
    jobs: int,
    split: str = "",
    limit: int | None = None,
    max_bytes: int | None = None,
    min_size_bytes: int = 0,
    max_size_bytes: int = 0,
    seed: int = 0,
) -> tuple[list[NamedModule], list[tuple[Path, LlmCompilerError]]]:
    """Return the modules of all inputs, and the files that do not compile with their errors.

    `min_size_bytes` and `max_size_bytes` choose among samples, whose size at -Oz is known.
    """
    modules: list[NamedModule] = []
    plain: list[Path] = []
    for path in inputs:
        if (path / SAMPLES_MANIFEST).exists():
            modules += sample_modules(
                path,
                split=split,
                limit=limit,
                max_bytes=max_bytes,
                min_size_bytes=min_size_bytes,
                max_size_bytes=max_size_bytes,
                seed=seed,
            )
        elif (path / MANIFEST).exists():
            modules += corpus_modules(
                path, split=split, limit=limit, max_bytes=max_bytes, seed=seed
            )
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
