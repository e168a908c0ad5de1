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
        (one for one in modules if one.package in PACKAGES), key=lambda one: one.module_hash
    )[: options.modules]
    wanted = {one.module_hash for one in modules}
    sketches = {
        one.module_hash: sketch(one.text)
        for one in load_samples(options.samples, columns=["module_hash", "text"])
        if one.module_hash in wanted
    }
    cases = {
        "lists": [one.pipeline for one in lists],
        "modules": [
            {
                "package": one.package,
                "target_triple": one.target_triple,
                "sketch": sketches[one.module_hash],
                "size_bytes": list(one.size_bytes),
            }
            for one in modules
        ],
    }
    write_atomically(OUT, lzma.compress(json.dumps(cases).encode(), preset=9))
    print(f"{OUT}: {len(modules)} modules, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
