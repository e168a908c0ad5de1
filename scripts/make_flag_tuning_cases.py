"""Make tests/cases/flag_tuning: labelled modules on which a test asks the shipped model.

Drawn by their hashes from the validation packages whose licences leave all freedom. Only what the
model is shown of a module is kept, its sketch (no names, no compilable code), with the size that
each list makes of it.

    python scripts/make_flag_tuning_cases.py work/samples data/labels-validation-x86_64.parquet
"""

from __future__ import annotations

import argparse
import json
import lzma
from pathlib import Path

from llm_compiler.corpus.shards import load_samples
from llm_compiler.model.sketch import sketch
from llm_compiler.output import write_atomically
from llm_compiler.search.labels import read_labels

OUT = Path(__file__).parents[1] / "tests" / "cases" / "flag_tuning" / "validation-x86_64.json.xz"
PACKAGES = (
    *("brotli", "double-conversion", "expat", "jansson", "libtommath"),
    *("ninja-build", "popt", "tidy-html5", "utf8proc"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--modules", type=int, default=100)
    options = parser.parse_args()
    lists, modules = read_labels(options.labels)
    modules = sorted(
        (module for module in modules if module.package in PACKAGES),
        key=lambda module_labels: module_labels.module_hash,
    )[: options.modules]
    wanted = {module.module_hash for module in modules}
    sketches = {
        sample.module_hash: sketch(sample.text)
        for sample in load_samples(options.samples, columns=["module_hash", "text"])
        if sample.module_hash in wanted
    }
    cases = {
        "lists": [recipe.pipeline for recipe in lists],
        "modules": [
            {
                "package": module.package,
                "target_triple": module.target_triple,
                "sketch": sketches[module.module_hash],
                "size_bytes": list(module.size_bytes),
            }
            for module in modules
        ],
    }
    write_atomically(OUT, lzma.compress(json.dumps(cases).encode(), preset=9))
    print(f"{OUT}: {len(modules)} modules, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
