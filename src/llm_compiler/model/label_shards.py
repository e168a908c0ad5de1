"""Label shards: whole tables of labels as flag tuning learns from them, without code or LLVM.

A folder holds, for each sequence of pass lists, `lists-NN.parquet` (zstd; one row per module: its
name, target, split and package, its prompt's tokens as uint16, and what every list makes of it by
both metrics, first default<Oz>; -1 where a list failed), and `manifest.json`, written last: the
lists, each as text and as the answer's tokens. About a byte a token of prompt: small enough to
travel. Reading needs numpy and pyarrow only: neither LLVM nor the tokenizer.

A prompt that is too long keeps its beginning, with ``<cut>`` after it (`model.prompts`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_compiler.corpus.manifest_errors import reading_manifest
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import ArtifactError, ConfigError, ShardCorrupt
from llm_compiler.model.prompts import CompactPrompts
from llm_compiler.model.special import TASKS, change_token, field_token
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.output import write_atomically
from llm_compiler.parquet import read_table, require_pyarrow, write_table
from llm_compiler.records import PassList, content_hash
from llm_compiler.search.labels import ModuleLabels, lists_hash, read_labels

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = [
    "METRICS",
    "LabelReport",
    "LabelShards",
    "LabelledPrompt",
    "ListTable",
    "cut_prompt",
    "is_label_shards",
    "pack_labels",
]

MANIFEST: Final = "manifest.json"
_FORMAT = "llm-compiler label shards, version 2"
METRICS: Final = ("size_bytes", "text_data_bytes")
_NAMES: Final = ("module_hash", "target_triple", "split", "package")
_TASK: Final = "flag-tuning"
MIN_PROMPT_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """What packing has made."""

    num_modules: int
    num_tokens: int
    """Of all prompts."""
    num_cut: int
    """Prompts that were too long."""
    num_unmatched: int
    """Labelled modules that are not among the samples."""
    num_bytes: int
    modules: dict[str, int]
    """By split and target: ``train x86_64-pc-linux-gnu``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTable:
    """The lists that a table of labels measured."""

    lists: tuple[str, ...]
    """Canonical, in the coreset's order: the first K are its choice of K."""
    answers: tuple[tuple[int, ...], ...] = field(repr=False)
    """Of each list, the tokens of the answer up to its end: ``<passes> P.. <size>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPrompt:
    """A module: what the model reads, and what every list makes of it."""

    module_hash: str
    target_triple: str
    split: str
    package: str
    table: int
    """The place of its lists in `LabelShards.tables`."""
    prompt: NDArray[numpy.uint16] = field(repr=False)
    sizes: dict[str, NDArray[numpy.int64]] = field(repr=False)
    """By metric, (lists + 1,): default<Oz>'s first, -1 for lists that failed."""


def is_label_shards(folder: Path) -> bool:
    """Whether a folder holds finished label shards."""
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes())["format"] == _FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def pack_labels(
    folders: Sequence[Path],
    tables: Sequence[Path],
    tokenizer: Path,
    out: Path,
    *,
    max_prompt_tokens: int,
    hold_out: float = 0.0,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LabelReport:
    """Encode the labelled modules of samples, and write them with their labels.

    Args:
        folders: samples, of any splits and targets.
        tables: labels (`search.labels`). Tables of the same lists are put together; of a module
            that several of those have, the last one's sizes count.
        max_prompt_tokens: longer prompts are cut.
        hold_out: this share of the packages of the train split counts as validation: which ones,
            `seed` and their names alone decide.
        on_progress: called with the number of modules done, and of all.

    Raises:
        ArtifactError: no labelled module is among the samples, or these hold no text.
        ShardCorrupt: a table is damaged.
        TokenizerMismatch: the folder holds none of our tokenizers.
        OutputError: `out` cannot be written.
    """
    if max_prompt_tokens < MIN_PROMPT_TOKENS:
        raise ConfigError(
            f"prompts of {max_prompt_tokens} tokens hold no code: give {MIN_PROMPT_TOKENS} or more"
        )
    prompts = CompactPrompts(IrTokenizer(tokenizer))
    groups = _group(tables)
    texts = _Texts(folders)
    total = sum(len(modules) for _, modules in groups)
    wanted = [
        [module_labels for module_labels in modules if module_labels.module_hash in texts]
        for _, modules in groups
    ]
    num_matched = sum(map(len, wanted))
    if not num_matched:
        names = ", ".join(map(str, folders))
        raise ArtifactError(f"none of the {total} labelled modules is among the samples in {names}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write {out}: {error.strerror}") from error
    table_records: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    done = 0
    for number, ((lists, _), modules) in enumerate(zip(groups, wanted, strict=True)):
        modules = sorted(modules, key=lambda module_labels: module_labels.module_hash)
        modules = [_with_split(module_labels, hold_out, seed) for module_labels in modules]
        encoded = []
        for module in modules:
            encoded.append(_encode(module, texts[module.module_hash], prompts, max_prompt_tokens))
            done += 1
            on_progress(done, num_matched)
        name = f"lists-{number:02d}.parquet"
        _write(out / name, modules, [ids for ids, _ in encoded])
        counts["tokens"] += sum(len(ids) for ids, _ in encoded)
        counts["cut"] += sum(cut for _, cut in encoded)
        counts["bytes"] += (out / name).stat().st_size
        splits.update(
            f"{module_labels.split} {module_labels.target_triple}" for module_labels in modules
        )
        size = prompts.tokenizer.special(field_token("size"))
        table_records.append(
            {
                "name": name,
                "num_modules": len(modules),
                "hash": content_hash((out / name).read_bytes()),
                "lists": [recipe.pipeline for recipe in lists],
                "answers": [[*prompts.pass_ids(recipe.pipeline), size] for recipe in lists],
            }
        )
    report = LabelReport(
        num_modules=num_matched,
        num_tokens=counts["tokens"],
        num_cut=counts["cut"],
        num_unmatched=total - num_matched,
        num_bytes=counts["bytes"],
        modules=dict(sorted(splits.items())),
    )
    fields = ("answer", "cut", "nothing-better")
    manifest = {
        "format": _FORMAT,
        "prompts": prompts.fingerprint,
        "tokenizer": prompts.tokenizer_fingerprint,
        "vocab_size": prompts.vocab_size,
        "max_prompt_tokens": max_prompt_tokens,
        "hold_out": hold_out,
        "seed": seed,
        "fields": {name: prompts.tokenizer.special(field_token(name)) for name in fields},
        "changes": prompts.tokenizer.special(change_token(0)),
        "num_tokens": report.num_tokens,
        "modules": report.modules,
        "tables": table_records,
    }
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return report


def _group(tables: Sequence[Path]) -> list[tuple[list[PassList], list[ModuleLabels]]]:
    """Put tables of the same lists together."""
    groups: dict[str, tuple[list[PassList], dict[str, ModuleLabels]]] = {}
    for path in tables:
        if not path.is_file():
            raise ArtifactError(f"there are no labels at {path}: `llm-compiler labels` makes them")
        lists, modules = read_labels(path)
        _, known = groups.setdefault(lists_hash(lists), (lists, {}))
        # Without default<Oz> there is no yardstick.
        known |= {module.module_hash: module for module in modules if module.size_bytes[0] > 0}
    return [(lists, list(known.values())) for lists, known in groups.values()]


class _Texts:
    """The texts of samples, by hash."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._sets = [SampleSet(folder, split="", content="text") for folder in folders]
        for sample_set in self._sets:
            if sample_set.content != "text":
                raise ArtifactError(
                    f"{sample_set.folder} holds bitcode only: pack its samples as text"
                )
        self._places = {
            name: (number, place)
            for number, each_sample_set in enumerate(self._sets)
            for place, name in enumerate(each_sample_set.hashes)
        }

    def __contains__(self, module_hash: str) -> bool:
        return module_hash in self._places

    def __getitem__(self, module_hash: str) -> str:
        number, position = self._places[module_hash]
        return self._sets[number][position].module.decode("utf-8", "surrogateescape")


def _with_split(module: ModuleLabels, hold_out: float, seed: int) -> ModuleLabels:
    import dataclasses

    drawn = int(content_hash(f"hold out {seed} {module.package}".encode())[:12], 16) / 16**12
    if module.split == "train" and drawn < hold_out:
        return dataclasses.replace(module, split="validation")
    return module


def _encode(
    module: ModuleLabels, text: str, prompts: CompactPrompts, room: int
) -> tuple[list[int], bool]:
    """Return a module's prompt in at most `room` tokens, and whether it had to be cut."""
    sample = StageSample(
        stage=_TASK,
        task=_TASK,
        seed=0,
        index=0,
        draw=0,
        target_triple=module.target_triple,
        input_code=text,
        size_bytes_before=module.size_bytes[0],
    )
    ids = prompts.fit_prompt(sample, room)
    cut = prompts.tokenizer.special(field_token("cut"))
    return ids, len(ids) == room and ids[-2] == cut


def _write(path: Path, modules: Sequence[ModuleLabels], prompts: Sequence[list[int]]) -> None:
    pyarrow, _ = require_pyarrow()
    columns = {name: [getattr(module, name) for module in modules] for name in _NAMES}
    sizes = {name: [getattr(module, name) for module in modules] for name in METRICS}
    kinds = {name: pyarrow.string() for name in columns}
    kinds |= {"prompt": pyarrow.list_(pyarrow.uint16())}
    kinds |= {name: pyarrow.list_(pyarrow.int32()) for name in METRICS}
    table = pyarrow.table(
        {**columns, "prompt": list(prompts), **sizes}, schema=pyarrow.schema(list(kinds.items()))
    )
    write_table(table, path, compression_level=19, use_dictionary=list(_NAMES[1:]))


def cut_prompt(
    ids: NDArray[numpy.uint16], room: int, *, cut: int, answer: int
) -> NDArray[numpy.uint16]:
    """Return a prompt in at most `room` tokens, as `CompactPrompts.fit_prompt` cuts it."""
    import numpy

    if len(ids) <= room:
        return ids
    return numpy.concatenate([ids[: room - 2], numpy.array([cut, answer], dtype=ids.dtype)])


class LabelShards:
    """A finished folder of label shards, in memory, by module.

    Modules come in the order of their hashes, whatever table they are of, so that any beginning is
    a fair sample.

    Raises:
        ManifestMissing: the packing has not finished.
        ShardCorrupt: a file is missing, or does not match its recorded hash.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / MANIFEST
        with reading_manifest(path, "label shards"):
            manifest = json.loads(path.read_bytes())
            if manifest["format"] != _FORMAT:
                raise ShardCorrupt(f"{path} is no manifest of label shards")
            self.prompts: str = manifest["prompts"]
            self.tokenizer: str = manifest["tokenizer"]
            self.max_prompt_tokens: int = manifest["max_prompt_tokens"]
            self.cut: int = manifest["fields"]["cut"]
            self.answer: int = manifest["fields"]["answer"]
            self.nothing_better: int = manifest["fields"]["nothing-better"]
            self.changes: int = manifest["changes"]
            """The first of the tokens of changes (`special.change_place`)."""
            self.tables = tuple(
                ListTable(lists=tuple(item["lists"]), answers=tuple(map(tuple, item["answers"])))
                for item in manifest["tables"]
            )
            files = [(item["name"], item["hash"]) for item in manifest["tables"]]
        self.folder = folder
        self.fingerprint = content_hash(
            json.dumps([manifest["tables"], manifest["prompts"]]).encode()
        )
        """Names the modules, their prompts and their labels."""
        self.task = TASKS.index(_TASK)
        self._modules = sorted(
            (
                labelled_prompt
                for number, file in enumerate(files)
                for labelled_prompt in _read(folder, number, *file)
            ),
            key=lambda labelled_prompt: (labelled_prompt.module_hash, labelled_prompt.table),
        )

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, position: int) -> LabelledPrompt:
        return self._modules[position]

    def of_split(self, split: str) -> list[int]:
        """Return the positions of a split's modules."""
        return [place for place, module in enumerate(self._modules) if module.split == split]


def _read(folder: Path, number: int, name: str, expected: str) -> Iterator[LabelledPrompt]:
    import numpy

    path = folder / name
    try:
        found = content_hash(path.read_bytes())
    except OSError as error:
        raise ShardCorrupt(f"{path} cannot be read: {error.strerror}") from error
    if found != expected:
        raise ShardCorrupt(f"{path} does not match {folder / MANIFEST}: pack again")
    table = read_table(path, (*_NAMES, "prompt", *METRICS))
    names = [table.column(name).to_pylist() for name in _NAMES]
    prompts, *sizes = (table.column(name).combine_chunks() for name in ("prompt", *METRICS))
    bounds = prompts.offsets.to_numpy()
    tokens = prompts.values.to_numpy()
    tables = [
        siz.values.to_numpy().astype(numpy.int64).reshape(len(table), -1) if len(table) else None
        for siz in sizes
    ]
    for row, (module_hash, target_triple, split, package) in enumerate(zip(*names, strict=True)):
        yield LabelledPrompt(
            module_hash=module_hash,
            target_triple=target_triple,
            split=split,
            package=package,
            table=number,
            prompt=tokens[bounds[row] : bounds[row + 1]],
            sizes=dict(
                zip(METRICS, (item[row] for item in tables if item is not None), strict=True)
            ),
        )
