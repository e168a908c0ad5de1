"""Keep the best that an autotuned store knows of each module, as a small table without code.

    python benchmarks/autotuned_table.py work/autotune.db --modules work/samples \
        -o data/autotuned-train-functions.parquet

The columns are those of `labels ceiling`: sizes of default<Oz> and of the best lists by both
metrics, the lists, and the evaluations spent. `--modules` is what was searched: a folder of samples
or a corpus; it tells split, target and package.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from llm_compiler.corpus.inputs import SAMPLES_MANIFEST
from llm_compiler.corpus.manifest import load_manifest
from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import load_samples
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import PassList, content_hash
from llm_compiler.search.labels import Ceiling, write_ceilings
from llm_compiler.search.store import Store
from llm_compiler.search.trial import Trial

OZ = PassList(("default<Oz>",))


def described(folder: Path, hashes: set[str]) -> dict[str, Sample]:
    """Return split, target and package of the modules of these hashes, without their code."""
    if (folder / SAMPLES_MANIFEST).exists():
        columns = ("module_hash", "package", "split", "target_triple")
        samples = load_samples(folder, columns=columns)
        return {sample.module_hash: sample for sample in samples if sample.module_hash in hashes}
    found = {}
    for unit in load_manifest(folder):
        if (name := content_hash((folder / unit.path).read_bytes())) in hashes:
            found[name] = Sample(
                module_hash=name,
                package=unit.package,
                split=unit.split,
                target_triple=unit.target_triple,
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--modules", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--min-evaluations", type=int, default=100, help="fewer: the search was not finished"
    )
    options = parser.parse_args()
    ceilings = []
    with Store(options.store, llvm_version=find_toolchain().version) as store:
        hashes = {row[0] for row in store.modules()}
        samples = described(options.modules, hashes)
        for name, sample in sorted(samples.items()):
            known = {parse_pass_list(p): m for p, m in store.all_measurements(name).items()}
            baseline = known.get(OZ)
            if baseline is None or not baseline.ok or len(known) < options.min_evaluations:
                continue
            trial = Trial(bitcode=b"", budget=len(known), module_hash=name, known=known)
            found = Ceiling.of(trial, sample, baseline)
            ceilings.append(dataclasses.replace(found, num_evaluations=len(known)))
    rows = write_ceilings(ceilings, options.output)
    print(f"{rows} of {len(hashes)} modules of {options.store}: {options.output}")


if __name__ == "__main__":
    main()
