"""``llm-compiler labels``: measure the coreset on every module, search, pack for training."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from llm_compiler.commands.options.labels import (
    BuildArguments,
    CeilingArguments,
    Chosen,
    PackArguments,
    ShowArguments,
)
from llm_compiler.commands.pools import open_pool, with_nodes
from llm_compiler.console import percent, print_json, print_table, progress, warn
from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import COLUMNS, load_samples
from llm_compiler.errors import ArtifactError, InputError, ShardCorrupt
from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.output import check_writable, resumable
from llm_compiler.records import PassList
from llm_compiler.remote_output import local_copy, shown
from llm_compiler.search.autotune import (
    Method,
    autotune_strategy,
    find_constructs,
    measure_baselines,
    module_rng,
)
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.labels import (
    Ceiling,
    ModuleLabels,
    choose_modules,
    label_modules,
    read_ceilings,
    read_journal,
    read_labels,
    write_ceilings,
    write_labels,
)
from llm_compiler.search.objective import SIZE, TEXT_DATA
from llm_compiler.search.store import Store
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.workers import WorkerPool, run_jobs

__all__ = ["build", "ceiling", "pack", "show"]

_STEPS = (1, 4, 16, 64, 256)


def _choose(options: Chosen, known: Collection[str] = ()) -> list[Sample]:
    select = {"split": options.split, "architecture": options.architecture}
    # Chosen without the code, which is read afterwards, of those chosen only.
    columns = [name for name in COLUMNS if name not in ("bitcode", "text")]
    chosen = choose_modules(
        load_samples(options.samples, columns=columns, **select),
        limit=options.max_modules,
        seed=options.seed,
        min_size_bytes=options.min_size_bytes,
        max_size_bytes=options.max_size_bytes,
        known=known,
    )
    if not chosen:
        raise InputError(
            f"{options.samples} has no module of split '{options.split}' for "
            f"{options.architecture} with at least {options.min_size_bytes} bytes"
        )
    if len(chosen) < options.max_modules:
        warn(f"{len(chosen)} modules are large enough, not {options.max_modules}")
    positions = {sample.module_hash: position for position, sample in enumerate(chosen)}
    columns = [name for name in COLUMNS if name != "text"]
    for sample in load_samples(options.samples, columns=columns, **select):
        if (position := positions.get(sample.module_hash)) is not None:
            chosen[position] = sample
    return chosen


@resumable()
def build(options: BuildArguments) -> int:
    """Measure every list on many modules."""
    with local_copy(options.output) as output:
        return _build(options, output)


def _build(options: BuildArguments, output: Path) -> int:
    check_writable(output)
    find_toolchain()
    lists = load_coreset(options.coreset).lists[: options.num_lists]
    journal = output.with_suffix(".journal.jsonl")
    earlier = _earlier(output, lists)
    known = {
        module_labels.module_hash for module_labels in (*earlier, *read_journal(journal, lists))
    }
    chosen = _choose(options, known)
    found: list[ModuleLabels] = []
    with (
        open_pool(options, options.jobs) as pool,
        progress(len(chosen), with_nodes("labelling", pool)) as bar,
    ):

        def show(done: int, sample: Sample) -> None:
            bar.update(done, f"{sample.package} {sample.function or sample.source}")

        try:
            for labels in label_modules(
                pool,
                chosen,
                lists,
                journal,
                known=earlier,
                timeout_s=options.timeout_s,
                on_progress=show,
            ):
                found.append(labels)
        except KeyboardInterrupt:
            warn(f"interrupted: {len(found)} modules are kept; the same command goes on from there")
    # A module on which default<Oz> itself fails has no yardstick.
    usable = [module_labels for module_labels in found if module_labels.size_bytes[0] > 0]
    rows = write_labels(usable, lists, output)
    print(
        f"{len(usable)} modules, {len(lists)} lists, {rows} rows, "
        f"{output.stat().st_size} bytes: {shown(options.output)}"
    )
    _print_gains(usable, as_json=options.json)
    return 0


def _earlier(path: Path, lists: Sequence[PassList]) -> list[ModuleLabels]:
    """Return the labels of a table that is already there, if it is of the same lists."""
    if not path.exists():
        return []
    earlier_lists, labels = read_labels(path)
    if list(earlier_lists) != list(lists):
        raise ArtifactError(
            f"{path} holds labels of other lists: name another output, or give the coreset that "
            "it was made with"
        )
    return labels


@resumable()
def ceiling(options: CeilingArguments) -> int:
    """Spend the full autotuner on a few modules."""
    with local_copy(options.output) as output:
        return _ceiling(options, output)


def _ceiling(options: CeilingArguments, output: Path) -> int:
    check_writable(output)
    toolchain = find_toolchain()
    chosen = _choose(options)
    with (
        open_pool(options, options.jobs) as pool,
        Store(options.store, llvm_version=toolchain.version) as store,
    ):
        ceilings = _search(chosen, pool, store, options)
    rows = write_ceilings(ceilings, output)
    print(f"{rows} modules, {options.budget} evaluations each: {shown(options.output)}")
    _print_ceilings(ceilings, as_json=options.json)
    return 0


def _search(
    chosen: Sequence[Sample], pool: WorkerPool, store: Store, options: CeilingArguments
) -> list[Ceiling]:
    space: tuple[str, ...] = run_jobs(pool, [RegistryJob()])[0][0]
    coreset = load_coreset(options.coreset)
    samples = {sample.module_hash: sample for sample in chosen}
    trials = [
        Trial(
            bitcode=sample.bitcode,
            budget=options.budget,
            name=f"{sample.package} {sample.function or sample.source}",
            timeout_s=options.timeout_s,
            module_hash=sample.module_hash,
        )
        for sample in chosen
    ]
    find_constructs(pool, trials)
    baselines = measure_baselines(pool, store, trials)
    pairs = [
        (
            trial,
            autotune_strategy(
                Method.LOCAL,
                space=space,
                budget=options.budget,
                rng=module_rng(options.seed, trial.module_hash),
                start=coreset.lists[: max(1, options.budget // 4)],
                weights=coreset.weights_for(space),
            ),
        )
        for trial in trials
        if baselines[trial.module_hash].ok
    ]
    ceilings = []
    with progress(len(pairs), with_nodes("searching", pool)) as bar:
        for done, trial in enumerate(run_trials(pool, pairs, store=store), 1):
            bar.update(done, f"{trial.name}: {trial.best_value}")
            sample = samples[trial.module_hash]
            ceilings.append(Ceiling.of(trial, sample, baselines[trial.module_hash]))
    return ceilings


@resumable()
def pack(options: PackArguments) -> int:
    """Make label shards of tables."""
    # Needs numpy and tokenizers: the other actions do without.
    from llm_compiler.model.label_shards import pack_labels

    with progress(100, "percent packed") as bar:
        report = pack_labels(
            options.samples,
            options.tables,
            options.tokenizer,
            options.output,
            max_prompt_tokens=options.max_prompt_tokens,
            hold_out=options.hold_out,
            seed=options.seed,
            on_progress=lambda done, total: bar.update(100 * done // total, f"{done} modules"),
        )
    if report.num_unmatched:
        warn(f"{report.num_unmatched} labelled modules are not among the samples")
    if options.json:
        print_json(asdict(report))
        return 0
    print(
        f"{report.num_modules} modules, {report.num_tokens} tokens of prompts "
        f"({report.num_cut} prompts cut), {report.num_bytes} bytes, in {options.output}"
    )
    rows = [(name, str(count)) for name, count in report.modules.items()]
    print_table(("split and target", "modules"), rows, right="lr")
    return 0


@resumable()
def show(options: ShowArguments) -> int:
    """Print what a table holds."""
    try:
        lists, labels = read_labels(options.table)
    except ShardCorrupt as error:
        try:
            ceilings = read_ceilings(options.table)
        except ShardCorrupt:
            raise error from None
        _print_ceilings(ceilings, as_json=options.json)
        return 0
    print(
        f"{len(labels)} modules of {len({label.package for label in labels})} packages, "
        f"{len(lists)} lists"
    )
    _print_gains(labels, as_json=options.json)
    if options.samples:
        present = {
            sample.module_hash for sample in load_samples(options.samples, columns=("module_hash",))
        }
        matched = sum(label.module_hash in present for label in labels)
        print(f"{matched} of {len(labels)} labelled modules are in {options.samples}")
    return 0


def _print_gains(labels: Sequence[ModuleLabels], *, as_json: bool) -> None:
    """Print what the first K lists save over default<Oz>, by both metrics, split by split."""
    rows = []
    for split in dict.fromkeys(label.split for label in labels):
        members = [label for label in labels if label.split == split]
        width = len(members[0].size_bytes) - 1
        for count in [*(k for k in _STEPS if k < width), width]:
            cells = [split, str(len(members)), str(count)]
            record: dict[str, object] = {
                "split": split,
                "num_modules": len(members),
                "num_lists": count,
            }
            for name in ("size_bytes", "text_data_bytes"):
                before, after = _first(members, name, count)
                total, geomean = _gains(before, after)
                cells += [percent(sum(before) - sum(after), sum(before)), f"{100 * geomean:.2f} %"]
                record[f"{name}_total_gain"], record[f"{name}_geomean_gain"] = total, geomean
            rows.append(tuple(cells))
            if as_json:
                print_json(record)
    if not as_json:
        header = (
            "split",
            "modules",
            "lists",
            "saved, total",
            "geomean",
            ".text+.data, total",
            "geomean",
        )
        print_table(header, rows, right="lrrrrrr")


def _first(members: Sequence[ModuleLabels], name: str, count: int) -> tuple[list[int], list[int]]:
    before, after = [], []
    for member in members:
        values = getattr(member, name)
        before.append(values[0])
        after.append(min([values[0], *(v for v in values[1 : count + 1] if v >= 0)]))
    return before, after


def _gains(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """Return the share saved in total, and in the geometric mean."""
    ratios = [math.log(a / b) for b, a in zip(before, after, strict=True) if b > 0 and a > 0]
    total = 1 - sum(after) / sum(before) if sum(before) else 0.0
    return total, 1 - math.exp(sum(ratios) / len(ratios)) if ratios else 0.0


def _print_ceilings(ceilings: Sequence[Ceiling], *, as_json: bool) -> None:
    metrics: tuple[tuple[str, Callable[[Ceiling], tuple[int, int]]], ...] = (
        (SIZE.name, lambda c: (c.oz_size_bytes, c.best_size_bytes)),
        (TEXT_DATA.name, lambda c: (c.oz_text_data_bytes, c.best_text_data_bytes)),
    )
    rows = []
    for split in dict.fromkeys(each_ceiling.split for each_ceiling in ceilings):
        members = [each_ceiling for each_ceiling in ceilings if each_ceiling.split == split]
        for name, values in metrics:
            before, after = map(list, zip(*map(values, members), strict=True))
            total, geomean = _gains(before, after)
            if as_json:
                print_json(
                    {
                        "split": split,
                        "num_modules": len(members),
                        "objective": name,
                        "total_gain": total,
                        "geomean_gain": geomean,
                    }
                )
            cells = (split, str(len(members)), name, f"{100 * total:.2f} %")
            rows.append((*cells, f"{100 * geomean:.2f} %"))
    if not as_json:
        print_table(
            ("split", "modules", "objective", "saved, total", "geomean"), rows, right="lrlrr"
        )
