"""What each attribute and option of code generation saves alone, beside default<Oz>, in process.

On units of a corpus that are held out of training: every setting of the registry (and those named
with --also, whether the registry holds them or not) is measured on the module that default<Oz>
makes. One line a setting: all allocated bytes and .text + .data, total and geometric mean over the
units, the share where each unit keeps the better, and how many units it makes smaller or larger.

    python benchmarks/settings_alone.py work/corpus --architecture x86_64 --units 60
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.corpus.manifest import Unit, load_manifest
from llm_compiler.llvm.jobs import EvaluateJob
from llm_compiler.llvm.settings import SettingKind, all_settings
from llm_compiler.output import write_atomically
from llm_compiler.records import Measurement, Recipe
from llm_compiler.verify.target import architecture_of
from llm_compiler.workers import LocalPool, run_jobs

OZ = Recipe(("default<Oz>",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one setting saved, in percent; negative: it cost."""

    setting: str
    total: float
    geomean: float
    kept: float
    """Total, where each unit keeps the better of with and without."""
    text_data: float
    text_data_kept: float
    num_smaller: int
    num_larger: int
    num_failed: int


def draw_units(
    corpus: Path, architecture: str, count: int, *, seed: int = 0, max_bytes: int = 200_000
) -> list[Unit]:
    """Return units of the validation split, drawn evenly over its packages."""
    rng = random.Random(seed)
    by_package: dict[str, list[Unit]] = {}
    for unit in load_manifest(corpus):
        if (
            unit.split == "validation"
            and architecture_of(unit.target_triple) == architecture
            and unit.num_functions
            and unit.num_bytes <= max_bytes
        ):
            by_package.setdefault(unit.package, []).append(unit)
    for units in by_package.values():
        rng.shuffle(units)
    drawn: list[Unit] = []
    while any(by_package.values()) and len(drawn) < count:
        for name in sorted(by_package):
            if by_package[name] and len(drawn) < count:
                drawn.append(by_package[name].pop())
    return drawn


def settings_for(architecture: str, also: Sequence[str]) -> list[Recipe]:
    """Return a recipe for every value of every setting for an architecture."""
    texts = [
        (one.kind, f"{one.name}={value}")
        for one in all_settings()
        if not one.architectures or architecture in one.architectures
        for value in one.values
    ]
    texts += [
        (SettingKind.ATTRIBUTE if text.startswith("+") else SettingKind.OPTION, text.lstrip("+-"))
        for text in also
    ]
    return [
        Recipe(OZ.elements, attributes=(text,))
        if kind is SettingKind.ATTRIBUTE
        else Recipe(OZ.elements, options=(text,))
        for kind, text in dict.fromkeys(texts)
    ]


def row_of(
    setting: str, plain: Sequence[Measurement], found: Sequence[Measurement], base: str
) -> Row:
    """Add up one setting over the units; where it failed, the unit keeps what it had."""

    def saved(values: Sequence[tuple[int, int]]) -> float:
        return 100 * (1 - sum(new for _, new in values) / sum(old for old, _ in values))

    sizes = [
        (a.size_bytes, b.size_bytes if b.ok else a.size_bytes)
        for a, b in zip(plain, found, strict=True)
    ]
    texts = [
        (a.text_data_bytes, b.text_data_bytes if b.ok else a.text_data_bytes)
        for a, b in zip(plain, found, strict=True)
    ]
    logs = [math.log(max(new, 1) / max(old, 1)) for old, new in sizes]
    return Row(
        setting=setting.removeprefix(base).strip(),
        total=saved(sizes),
        geomean=100 * (1 - math.exp(sum(logs) / len(logs))),
        kept=saved([(old, min(old, new)) for old, new in sizes]),
        text_data=saved(texts),
        text_data_kept=saved([(old, min(old, new)) for old, new in texts]),
        num_smaller=sum(new < old for old, new in sizes),
        num_larger=sum(new > old for old, new in sizes),
        num_failed=sum(not one.ok for one in found),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--architecture", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout-s", type=float, default=10.0)
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--also-file", type=Path, help="one NAME=VALUE a line")
    parser.add_argument("--base", default="", metavar="+NAME=VALUE", help="beside each setting")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    also = list(options.also)
    if options.also_file:
        also += [line for line in options.also_file.read_text().split() if line]
    units = draw_units(options.corpus, options.architecture, options.units, seed=options.seed)
    base = OZ
    if options.base:
        base = Recipe(OZ.elements, attributes=(options.base.lstrip("+"),))
    recipes = [
        Recipe(one.elements, tuple(sorted({*one.attributes, *base.attributes})), one.options)
        for one in settings_for(options.architecture, also)
    ]
    recipes = [base, *(one for one in dict.fromkeys(recipes) if one != base)]
    jobs = [
        EvaluateJob(
            bitcode=(options.corpus / unit.path).read_bytes(),
            pass_lists=tuple(recipes),
            timeout_s=options.timeout_s,
            module_hash=unit.sha256,
        )
        for unit in units
    ]
    with LocalPool(options.jobs) as pool:
        found = run_jobs(pool, jobs)
    found = [one for one in found if one[0].ok]
    plain = [one[0] for one in found]
    rows = [
        row_of(recipe.text, plain, [one[place] for one in found], base.text)
        for place, recipe in enumerate(recipes)
        if place
    ]
    rows.sort(key=lambda row: -row.kept)
    total = sum(one.size_bytes for one in plain)
    print(f"{len(found)} units, {total} bytes at {base.text}, {options.architecture}")
    print_table(
        ("setting", "saved %", "geomean", "kept", ".text+.data", "kept", "smaller", "larger", "no"),
        [
            (
                row.setting,
                f"{row.total:.2f}",
                f"{row.geomean:.2f}",
                f"{row.kept:.2f}",
                f"{row.text_data:.2f}",
                f"{row.text_data_kept:.2f}",
                str(row.num_smaller),
                str(row.num_larger),
                str(row.num_failed),
            )
            for row in rows
        ],
        right="lrrrrrrrr",
    )
    if options.json:
        data = {
            "architecture": options.architecture,
            "num_units": len(found),
            "base": base.text,
            "rows": [{name: getattr(row, name) for name in Row.__slots__} for row in rows],
        }
        write_atomically(options.json, (json.dumps(data, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
