from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import ArtifactError, ManifestMissing, ShardCorrupt
from llm_compiler.model.label_shards import LabelShards, cut_prompt, is_label_shards, pack_labels
from llm_compiler.model.prompts import CompactPrompts, parse_answer
from llm_compiler.model.tokenizer import IrTokenizer

from .label_tables import LISTS, sample, write_samples, write_table


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_samples(tmp_path / "samples", 20)


def test_what_is_packed(samples: Path, tokenizer: IrTokenizer, tmp_path: Path) -> None:
    tables = [
        write_table(tmp_path / "a.parquet", range(15)),
        write_table(tmp_path / "b.parquet", range(12, 25), size=2000),
        write_table(tmp_path / "c.parquet", range(3), lists=LISTS[:1]),
    ]
    out = tmp_path / "out"
    report = pack_labels(
        [samples], tables, tokenizer.folder, out, max_prompt_tokens=200, hold_out=0.4
    )
    assert (report.num_modules, report.num_unmatched) == (23, 5)
    assert report.num_cut > 0
    shards = LabelShards(out)
    assert (len(shards), is_label_shards(out)) == (23, True)
    modules = [shards[place] for place in range(len(shards))]
    by_name = {(module.module_hash, module.table): module for module in modules}
    first = by_name[sample(3).module_hash, 0]
    assert first.sizes["size_bytes"].tolist() == [1000, 1003, 993]
    assert first.sizes["text_data_bytes"].tolist() == [900, 913, 903]
    # The later table of the same lists wins; another sequence of lists stands by itself.
    assert by_name[sample(13).module_hash, 0].sizes["size_bytes"][0] == 2000
    assert by_name[sample(2).module_hash, 1].sizes["size_bytes"].tolist() == [1000, 1002]
    prompts = CompactPrompts(tokenizer)
    for n in range(3):
        whole = prompts.prompt(
            StageSample(
                stage="flag-tuning",
                task="flag-tuning",
                seed=0,
                index=0,
                draw=0,
                target_triple="x86_64-pc-linux-gnu",
                input_code=sample(n).text,
                size_bytes_before=1000,
            )
        )
        found = by_name[sample(n).module_hash, 0].prompt
        assert found.tolist() == whole[: len(found) - 2] + found.tolist()[-2:]
        assert len(found) == min(len(whole), 200)
    answers = [parse_answer(ids, tokenizer).passes for ids in shards.tables[0].answers]
    assert answers == list(shards.tables[0].lists) == [recipe.pipeline for recipe in LISTS]
    # Whole packages are held out.
    splits = {
        split: {modules[i].package for i in shards.of_split(split)}
        for split in ("train", "validation")
    }
    assert splits["train"]
    assert splits["validation"]
    assert not splits["train"] & splits["validation"]


def test_cutting_again(tokenizer: IrTokenizer, samples: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.parquet", range(15))
    for room in (150, 200):
        pack_labels(
            [samples], [table], tokenizer.folder, tmp_path / str(room), max_prompt_tokens=room
        )
    short, long = (LabelShards(tmp_path / str(room)) for room in (150, 200))
    assert len(long) == 15
    for position in range(len(long)):
        cut = cut_prompt(long[position].prompt, 150, cut=long.cut, answer=long.answer)
        assert cut.tolist() == short[position].prompt.tolist()


def test_damage(samples: Path, tokenizer: IrTokenizer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ManifestMissing, match="has not finished"):
        LabelShards(out)
    unknown = write_table(tmp_path / "unknown.parquet", range(30, 33))
    with pytest.raises(ArtifactError, match="none of the 3 labelled modules"):
        pack_labels([samples], [unknown], tokenizer.folder, out, max_prompt_tokens=200)
    table = write_table(tmp_path / "a.parquet", range(5))
    pack_labels([samples], [table], tokenizer.folder, out, max_prompt_tokens=200)
    path = out / "lists-00.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ShardCorrupt, match="pack again"):
        LabelShards(out)
