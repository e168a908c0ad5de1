from __future__ import annotations

import dataclasses
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest

from llm_compiler import process
from llm_compiler.corpus.shards import load_samples
from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.dataset.draws import Draw
from llm_compiler.dataset.engine import make_samples
from llm_compiler.dataset.iterable import StageStream
from llm_compiler.dataset.labels import Labels
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import STAGES, StageSample
from llm_compiler.dataset.stages import FlagTuning, Stage, StageOptions, make_stage
from llm_compiler.errors import ArtifactError, ConfigError, ShardCorrupt
from llm_compiler.llvm.module_jobs import EmitJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import PassList
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.labels import label_modules, write_labels
from llm_compiler.workers import LocalPool, run_jobs

METRICS = ("size_bytes", "text_data_bytes")
LISTS = load_coreset().lists[:12]

# The symbol table, in which the normal form lacks sizes and the file; relocations by its indexes
# (those by name are compared); and what call-frame directives fill.
UNCOMPARED = r"\.strtab|\.symtab|\.comment|\.rela|\[?\.eh_frame"


@pytest.fixture(scope="module")
def samples(samples_folder: Path) -> SampleSet:
    return SampleSet(samples_folder)


@pytest.fixture(scope="module")
def labels(
    samples_folder: Path, pool: LocalPool, tmp_path_factory: pytest.TempPathFactory
) -> Labels:
    """Really measured, of six of the eight modules, and of one that is no sample any more."""
    folder = tmp_path_factory.mktemp("labels")
    modules = list(load_samples(samples_folder))[:6]
    found = list(label_modules(pool, modules, LISTS, folder / "journal.jsonl"))
    found.append(dataclasses.replace(found[0], module_hash="0" * 32))
    write_labels(found, LISTS, folder / "labels.parquet")
    return Labels(folder / "labels.parquet")


@pytest.fixture(params=STAGES)
def stage(
    request: pytest.FixtureRequest, samples: SampleSet, labels: Labels, space: tuple[str, ...]
) -> Stage:
    return make_stage(request.param, samples, seed=7, space=space, labels=labels)


def made(stage: Stage, indexes: range | list[int], pool: LocalPool) -> list[StageSample]:
    return [result.sample for result in make_samples(stage, indexes, pool)]


def test_a_sample_depends_on_seed_and_index_alone(stage: Stage, pool: LocalPool) -> None:
    together = made(stage, range(24), pool)
    assert [sample.index for sample in together] == list(range(24))
    backwards = list(reversed(range(24)))
    with LocalPool(1) as other:
        again = made(pickle.loads(pickle.dumps(stage)), backwards, other)
    assert again == together[::-1]
    assert len({sample.module_hash for sample in together}) > 4


def test_every_disassembly_pair_lowers_to_its_assembly(
    samples: SampleSet, pool: LocalPool, toolchain: Toolchain, tmp_path: Path
) -> None:
    stage = make_stage("disassembly", samples, seed=1)
    pairs = made(stage, range(32), pool)
    assert {pair.target_triple.split("-")[0] for pair in pairs} == {"x86_64", "aarch64"}
    assert len({pair.passes for pair in pairs}) >= 4
    for pair in pairs:
        # Not the code that made the pair: the stock tool, from the file that a user would have.
        (tmp_path / "answer.ll").write_text(pair.output_code)
        flags = ["-O2", "-relocation-model=pic", "-filetype=asm", "-o", "-"]
        done = process.run([toolchain.tool("llc"), *flags, tmp_path / "answer.ll"], timeout_s=60)
        assert done.ok, done.stderr_text
        assert normalize_assembly(done.stdout.decode(), pair.target_triple) == pair.input_code


def test_ir_that_lowers_to_something_else_is_no_pair(samples: SampleSet, pool: LocalPool) -> None:
    draw = make_stage("disassembly", samples, seed=1).draw(0, 0)
    assert isinstance(draw, Draw)
    plain = b'target triple = "x86_64-pc-linux-gnu"\ndefine i32 @f() { ret i32 1 }\n'
    assert made_of(dataclasses.replace(draw, module=plain), pool) == ""
    # The normal form drops what fills a section of its own.
    odd = plain + b'!llvm.commandline = !{!0}\n!0 = !{!"clang f.c"}\n'
    assert made_of(dataclasses.replace(draw, module=odd), pool) == "lowers to other assembly"
    short = dataclasses.replace(draw, max_characters=10)
    assert made_of(short, pool) == "too long"
    small = dataclasses.replace(draw, max_instructions=1)
    assert made_of(small, pool) == "grows too large"
    broken = dataclasses.replace(draw, passes=("no-such-pass",))
    assert made_of(broken, pool) == "refused"


def made_of(draw: Draw, pool: LocalPool) -> str:
    from llm_compiler.dataset.draws import DrawJob

    cause: str = run_jobs(pool, [DrawJob(draws=(draw,))])[0][0].cause
    return cause


def test_emulation_says_what_the_passes_do(
    samples: SampleSet, pool: LocalPool, space: tuple[str, ...]
) -> None:
    stage = make_stage("emulation", samples, seed=3, space=space)
    found = made(stage, range(40), pool)
    lengths = [len(parse_pass_list(sample.passes)) for sample in found]
    assert max(lengths) > 10
    assert Counter(sample.task for sample in found).keys() == {"emulate-ir", "emulate-assembly"}
    for sample in found[:8]:
        job = EmitJob(modules=(sample.input_code.encode(),), passes=PassList(), kind="object")
        (before,) = run_jobs(pool, [job])[0]
        assert before.data
        assert sample.size_bytes_before >= sample.text_data_bytes_before > 0
        assert sample.num_instructions_before > 0


class Deadly:
    """Emulation whose first draw of every odd index kills LLVM, or loops until the time is up."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.name, self.fingerprint = stage.name, "deadly"

    def draw(self, index: int, attempt: int) -> Draw | StageSample:
        draw = self._stage.draw(index, attempt)
        assert isinstance(draw, Draw)
        if index % 2 and attempt == 0:
            return dataclasses.replace(draw, passes=("trigger-crash-module",))
        return draw


def test_a_crash_costs_one_draw(
    samples: SampleSet, space: tuple[str, ...], pool: LocalPool
) -> None:
    stage = Deadly(make_stage("emulation", samples, seed=3, space=space))
    results = list(make_samples(stage, range(10), pool))
    assert [result.sample.index for result in results] == list(range(10))
    for result in results[1::2]:
        assert result.causes[0] == "crashed"
        assert result.sample.draw == len(result.causes)
    with LocalPool(1) as other:
        assert list(make_samples(stage, range(10), other)) == results


def test_samples_that_suit_nothing_are_an_error(samples: SampleSet, pool: LocalPool) -> None:
    stage = make_stage("disassembly", samples, seed=1, options=StageOptions(max_characters=5))
    with pytest.raises(ArtifactError, match=r"100 draws of index 0 gave no sample \(100 too long"):
        made(stage, [0], pool)
    # The pool serves the next caller.
    assert made(make_stage("disassembly", samples, seed=1), [0], pool)[0].index == 0


def test_flag_tuning_takes_the_best_list(
    samples: SampleSet, labels: Labels, pool: LocalPool
) -> None:
    assert labels.num_unmatched(samples.hashes) == 1
    stage = make_stage("flag-tuning", samples, seed=1, labels=labels)
    epoch = made(stage, range(6), pool)
    assert {sample.module_hash for sample in epoch} == set(samples.hashes) & {
        name for name in samples.hashes if name in labels
    }
    for sample in epoch:
        best, sizes = labels.best(sample.module_hash)
        baseline = labels.module(sample.module_hash).size_bytes[0]
        assert sample.improves == (best is not None)
        if best is not None:
            assert sample.passes == best.pipeline
            assert sample.size_bytes_after == sizes[best] == min(sizes.values()) < baseline
        else:
            assert min(sizes.values()) >= baseline
            assert (sample.passes, sample.output_code) == ("", "")
        assert sample.size_bytes_before > 0


def test_labels_of_other_modules(samples: SampleSet, labels: Labels, tmp_path: Path) -> None:
    lists = [parse_pass_list(text) for text in ("default<Oz>,mergefunc", "adce", "sroa")]
    stranger = dataclasses.replace(
        labels.module("0" * 32), **dict.fromkeys(METRICS, (100, 90, -1, 90))
    )
    write_labels([stranger], lists, tmp_path / "one.parquet")
    other = Labels(tmp_path / "one.parquet")
    # Failed lists have no size; of equal ones the shortest wins.
    assert other.best("0" * 32) == (lists[2], {lists[0]: 90, lists[2]: 90})
    with pytest.raises(ArtifactError, match="none of the 8 samples"):
        make_stage("flag-tuning", samples, seed=1, labels=other)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(ShardCorrupt, match=r"bad\.parquet cannot be read"):
        Labels(tmp_path / "bad.parquet")
    assert isinstance(make_stage("flag-tuning", samples, seed=1, labels=labels), FlagTuning)


def test_the_stream_shares_out_and_resumes(
    samples: SampleSet, space: tuple[str, ...], pool: LocalPool
) -> None:
    stage = make_stage("emulation", samples, seed=5, space=space)
    expected = made(stage, range(12), pool)
    whole = list(StageStream(stage, stop=12, num_workers=2, prefetch=2))
    assert whole == expected
    shares = [list(StageStream(stage, shard=(rank, 2), start=4, stop=12)) for rank in (0, 1)]
    assert shares == [expected[4::2], expected[5::2]]
    # Endless, and left in the middle.
    for sample in pickle.loads(pickle.dumps(StageStream(stage))):
        assert sample == expected[sample.index]
        if sample.index == 3:
            break


def test_the_streams_errors_reach_the_reader(samples: SampleSet) -> None:
    stage = make_stage("disassembly", samples, seed=1, options=StageOptions(max_characters=5))
    with pytest.raises(ArtifactError, match="gave no sample"):
        list(StageStream(stage, stop=1))
    with pytest.raises(ConfigError, match="shard 2 of 2"):
        StageStream(stage, shard=(2, 2))


@pytest.mark.parametrize("target", ["x86_64-pc-linux-gnu", "aarch64-linux-gnu"])
def test_the_normal_form_assembles_to_the_same_bytes(
    samples: SampleSet, pool: LocalPool, toolchain: Toolchain, target: str, tmp_path: Path
) -> None:
    dumps = []
    for number in range(len(samples)):
        sample = samples[number]
        if sample.target_triple != target:
            continue
        job = EmitJob(modules=(sample.module,), passes=PassList(("default<Oz>",)), kind="assembly")
        text = run_jobs(pool, [job])[0][0].data.decode()
        for form in (text, normalize_assembly(text, target)):
            (tmp_path / "f.s").write_text(form)
            clang = [toolchain.tool("clang"), f"--target={target}", "-c", "-o", tmp_path / "f.o"]
            done = process.run([*clang, tmp_path / "f.s"], timeout_s=60)
            assert done.ok, done.stderr_text
            dump = [toolchain.tool("llvm-objdump"), "-s", "-r", tmp_path / "f.o"]
            text = process.run(dump, timeout_s=60).stdout.decode()
            # A block a section: its bytes, or its relocations.
            _, *blocks = re.split(
                r"^(?:Contents of section|RELOCATION RECORDS FOR) ", text, flags=re.M
            )
            dumps.append([b.strip() for b in blocks if not re.match(UNCOMPARED, b)])
    assert len(dumps) == 8
    assert dumps[::2] == dumps[1::2]
    assert all(any(block.startswith(".text") for block in dump) for dump in dumps)
    assert any(block.startswith(".gcc_except_table") for dump in dumps for block in dump)
