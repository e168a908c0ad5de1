"""Samples and label tables of a few modules."""

from __future__ import annotations

from pathlib import Path

from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import ShardManifest, write_manifest, write_shards
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.records import PassList, content_hash
from llm_compiler.search.labels import ModuleLabels, write_labels

from .conftest import ir

__all__ = ["LISTS", "sample", "write_samples", "write_table"]

LISTS = [parse_pass_list("globaldce"), parse_pass_list("function(instcombine),globaldce")]


def sample(n: int) -> Sample:
    return Sample(
        module_hash=content_hash(str(n).encode()),
        kind="function",
        package=f"p{n % 5}",
        split="train",
        target_triple="x86_64-pc-linux-gnu",
        bitcode=b"BC",
        text=ir(n) * (1 + n % 4 * 5),
    )


def write_samples(folder: Path, number: int) -> Path:
    shards = write_shards(folder, [sample(n) for n in range(number)])
    write_manifest(folder, ShardManifest(shards=tuple(shards), counts={}, config={}, tools={}))
    return folder


def write_table(
    path: Path, numbers: range, *, lists: list[PassList] = LISTS, size: int = 1000
) -> Path:
    def labels(n: int) -> ModuleLabels:
        each_sample = sample(n)
        sizes = tuple(size + n - 10 * place for place in range(len(lists)))
        return ModuleLabels(
            module_hash=each_sample.module_hash,
            target_triple=each_sample.target_triple,
            split=each_sample.split,
            package=each_sample.package,
            size_bytes=(size, *sizes),
            text_data_bytes=(size - 100, *(index - 90 for index in sizes)),
        )

    write_labels([labels(n) for n in numbers], lists, path)
    return path
