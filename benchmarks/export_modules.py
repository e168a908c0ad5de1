"""Write the modules of a report as bitcode files, to be measured as a user's files are.

`evaluate flag-tuning` on samples has default<Oz> in process as its baseline. On files it is the
object that `clang -Oz -c` makes, and what wins is built by the stock tools and checked:

    python benchmarks/export_modules.py work/samples docs/reports/validation-2026-11 -o work/honest
    llm-compiler evaluate flag-tuning --suite work/honest/x86_64 --suite work/honest/aarch64 \
        --contenders model coreset --budgets 1,4,16 --report docs/reports/honest-2026-11
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from llm_compiler.corpus.shards import load_samples
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.rows import read_rows
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.output import write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("report", type=Path, help="of evaluate flag-tuning, on these samples")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    wanted = {row.module_hash for row in read_rows(options.report / "rows.parquet", Row)}
    columns = ["module_hash", "package", "target_triple", "bitcode"]
    left, total = set(wanted), len(wanted)
    for sample in load_samples(options.samples, columns=columns):
        if sample.module_hash not in left:
            continue  # or another package's copy
        left.remove(sample.module_hash)
        package = re.sub(r"[^\w.+-]", "_", sample.package)
        folder = options.output / architecture_of(sample.target_triple) / package
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{sample.module_hash[:16]}.bc", sample.bitcode)
    print(f"{total - len(left)} of {total} modules: {options.output}")


if __name__ == "__main__":
    main()
