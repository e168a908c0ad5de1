"""From what a user names to the modules of an evaluation: samples, a corpus, folders of sources."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from llm_compiler.corpus.inputs import MANIFEST, SAMPLES_MANIFEST, Selection, corpus_modules
from llm_compiler.corpus.samples import ARCHITECTURES, Sample
from llm_compiler.corpus.shards import COLUMNS, load_samples
from llm_compiler.errors import InputError
from llm_compiler.evaluate.source_suites import suite_of_files
from llm_compiler.evaluate.suites import (
    EvaluationModule,
    Excluded,
    Suite,
    SuiteOptions,
    module_of_bitcode,
)
from llm_compiler.llvm.module_jobs import InspectJob
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.search.labels import choose_modules
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["load_suite"]


def load_suite(
    path: Path,
    options: SuiteOptions,
    *,
    toolchain: Toolchain,
    pool: WorkerPool,
    scratch: Path,
    name: str = "",
    known: Collection[str] = (),
    notify: Callable[[str], None] = lambda message: None,
) -> Suite:
    """Return the modules of a folder of samples, a corpus, a folder of sources or IR, or a file.

    Args:
        scratch: an own folder, which must live as long as the modules.
        name: for the report; default: the folder's.
        known: hashes of modules whose ceiling is known: of samples these are drawn first.

    Raises:
        InputError: there is nothing to measure, or nothing compiles.
        ShardCorrupt, ManifestMissing: samples or corpus are damaged.
    """
    if not path.exists():
        raise InputError(f"the suite {path} does not exist")
    name = name or path.resolve().name
    if (path / SAMPLES_MANIFEST).exists():
        return _from_samples(path, name, options, known)
    if (path / MANIFEST).exists():
        return _from_corpus(path, name, options, pool)
    return suite_of_files(path, name, options, toolchain, pool, scratch, notify)


def _from_samples(path: Path, name: str, options: SuiteOptions, known: Collection[str]) -> Suite:
    light = [column for column in COLUMNS if column not in ("bitcode", "text")]
    chosen: dict[str, Sample] = {}
    available = 0
    for architecture in ARCHITECTURES:
        if options.architecture not in ("", architecture):
            continue
        samples = list(
            load_samples(path, split=options.split, architecture=architecture, columns=light)
        )
        samples = [
            each_sample for each_sample in samples if each_sample.kind == options.kind
        ] or samples
        available += len(samples)
        for sample in choose_modules(
            samples,
            limit=options.modules or max(1, len(samples)),
            seed=options.seed,
            min_size_bytes=options.min_size_bytes,
            max_size_bytes=options.max_size_bytes,
            max_package_share=0.1 if options.modules else 1.0,
            known=known,
        ):
            chosen[sample.module_hash] = sample
    if not chosen:
        raise InputError(
            f"{path} has no sample of split '{options.split}' "
            + (f"for {options.architecture} " if options.architecture else "")
            + f"with at least {options.min_size_bytes} bytes"
            + (f" and at most {options.max_size_bytes}" if options.max_size_bytes else "")
        )
    whole = {
        sample.module_hash: sample
        for sample in load_samples(path, split=options.split)
        if sample.module_hash in chosen
    }
    modules = [
        EvaluationModule(
            suite=name,
            name=f"{unit.package}/{unit.function or unit.source} ({unit.architecture})",
            program=unit.package,
            bitcode=unit.bitcode,
            module_hash=unit.module_hash,
            target_triple=unit.target_triple,
            num_functions=unit.num_functions,
            num_instructions=unit.num_instructions,
            text=unit.text,
        )
        for unit in (whole[module_hash] for module_hash in chosen)
    ]
    how = (
        f"drawn with seed {options.seed}, in turn from each package, no package more than a tenth"
        if options.modules
        else "all of them"
    )
    limits = f"at least {options.min_size_bytes} bytes"
    if options.max_size_bytes:
        limits += f" and at most {options.max_size_bytes}"
    what = (
        f"{len(modules)} of {available} samples of split '{options.split}' with {limits}, {how}; "
        "the baseline is default<Oz> in process"
    )
    return Suite(name=name, what=what, modules=modules, excluded=[])


def _from_corpus(path: Path, name: str, options: SuiteOptions, pool: WorkerPool) -> Suite:
    selection = Selection(split=options.split, limit=options.modules or None, seed=options.seed)
    found = corpus_modules(path, selection)
    suite = Suite(
        name=name,
        what=f"{len(found)} units of split '{options.split}' of a corpus, spread evenly over its "
        "packages; the baseline is default<Oz> in process",
        modules=[],
        excluded=[],
    )
    jobs = [InspectJob(inputs=(module.bitcode,), names=(module.name,)) for module in found]
    for named_module, (inspection, *_) in zip(found, run_jobs(pool, jobs), strict=True):
        made = module_of_bitcode(
            name, named_module.name, named_module.package, named_module.bitcode, inspection
        )
        if isinstance(made, Excluded):
            suite.excluded.append(made)
        else:
            suite.modules.append(made)
    return suite
