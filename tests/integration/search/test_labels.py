from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.corpus.samples import Sample
from llm_compiler.errors import ShardCorrupt
from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.records import PassList, content_hash
from llm_compiler.search.labels import (
    MIN_SIZE_BYTES,
    Ceiling,
    choose_modules,
    label_modules,
    read_ceilings,
    read_journal,
    read_labels,
    write_ceilings,
    write_labels,
)
from llm_compiler.search.strategies import fixed
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.verify.suite import built_in_suite
from llm_compiler.workers import LocalPool, run_jobs

CompileUnit = Callable[[str], bytes]
OZ = PassList(("default<Oz>",))
LISTS = [
    parse_pass_list(text)
    for text in ("default<O2>", "sroa,simplifycfg", "default<Oz>,gvn-sink", "sroa,early-cse")
]
NAMES = ("switch_dense.c", "recursion_mutual.c", "bitfields_packed.c")


def sample_of(bitcode: bytes, *, package: str = "ours", size_bytes: int = 1000) -> Sample:
    return Sample(
        module_hash=content_hash(bitcode),
        kind="unit",
        function="",
        package=package,
        version="1",
        license="Apache-2.0",
        split="train",
        language="c",
        target_triple="x86_64-pc-linux-gnu",
        source=f"{package}.c",
        num_functions=1,
        num_instructions=1,
        bitcode=bitcode,
        text="",
        size_bytes=size_bytes,
        text_data_bytes=size_bytes,
        cluster="",
    )


@pytest.fixture(scope="module")
def samples(compile_unit: CompileUnit) -> list[Sample]:
    return [sample_of(compile_unit(name)) for name in NAMES]


def test_labels_are_what_each_list_makes(samples: list[Sample], tmp_path: Path) -> None:
    lists = [*LISTS, PassList(("no-such-pass",))]
    # Workers of its own: one that met the module before may know a state by another path, which
    # differs in the order of uses and so, now and then, by some bytes.
    with LocalPool(1) as pool:
        found = list(label_modules(pool, samples, lists, tmp_path / "journal.jsonl"))
    assert {module_labels.module_hash for module_labels in found} == {
        sample.module_hash for sample in samples
    }
    for labels in found:
        bitcode = next(s.bitcode for s in samples if s.module_hash == labels.module_hash)
        with LocalPool(1) as pool:
            job = EvaluateJob(bitcode=bitcode, pass_lists=(OZ, *LISTS), share=False)
            (expected,) = run_jobs(pool, [job])
        assert labels.size_bytes == (*(m.size_bytes for m in expected), -1)
        assert labels.text_data_bytes == (*(m.text_data_bytes for m in expected), -1)
    path = tmp_path / "labels.parquet"
    assert write_labels(found, lists, path) == len(found) * (len(lists) + 1)


def test_a_table_of_labels_is_read_as_it_was_written(
    pool: LocalPool, samples: list[Sample], tmp_path: Path
) -> None:
    found = list(label_modules(pool, samples, LISTS, tmp_path / "journal.jsonl"))
    path = tmp_path / "labels.parquet"
    write_labels(found, LISTS, path)
    lists, read = read_labels(path)
    assert lists == LISTS
    assert sorted(read, key=lambda module_labels: module_labels.module_hash) == sorted(
        found, key=lambda module_labels: module_labels.module_hash
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardCorrupt, match=r"labels\.parquet"):
        read_labels(path)


def test_labels_of_an_earlier_table_are_not_measured_again(
    pool: LocalPool, samples: list[Sample], tmp_path: Path
) -> None:
    first = list(label_modules(pool, samples[:2], LISTS, tmp_path / "first.jsonl"))
    marked = [
        dataclasses.replace(module_labels, size_bytes=(7,) * (len(LISTS) + 1))
        for module_labels in first
    ]
    journal = tmp_path / "journal.jsonl"
    found = list(label_modules(pool, samples, LISTS, journal, known=marked))
    assert len(found) == len(samples)
    assert all(module_labels in found for module_labels in marked)
    assert len(read_journal(journal, LISTS)) == 1


def test_a_journal_of_other_lists_is_refused(
    pool: LocalPool, samples: list[Sample], tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    list(label_modules(pool, samples[:1], LISTS, journal))
    with pytest.raises(ShardCorrupt, match="other lists"):
        list(label_modules(pool, samples[:1], LISTS[:2], journal))


def test_a_torn_line_is_measured_again(
    pool: LocalPool, samples: list[Sample], tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    whole = list(label_modules(pool, samples, LISTS, journal))
    journal.write_bytes(journal.read_bytes()[:-20])
    assert len(read_journal(journal, LISTS)) == len(samples) - 1
    again = list(label_modules(pool, samples, LISTS, journal))
    key = lambda item: item.module_hash  # noqa: E731
    assert sorted(again, key=key) == sorted(whole, key=key)
    assert len(read_journal(journal, LISTS)) == len(samples)


_RUN = """
import pickle, sys
from pathlib import Path
from llm_compiler.search.labels import label_modules
from llm_compiler.workers import LocalPool, run_jobs
samples, lists = pickle.loads(Path(sys.argv[1]).read_bytes())
with LocalPool(1) as pool:
    for _ in label_modules(pool, samples, lists, Path(sys.argv[2])):
        pass
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_labels(
    pool: LocalPool, compile_unit: CompileUnit, tmp_path: Path
) -> None:
    rng = random.Random(int(os.environ.get("LLM_COMPILER_TEST_SEED", "0")))
    # Some bytes of that program's objects depend on what its worker compiled before (in process,
    # a few per cent of lists do): no label of it is the same twice.
    programs = [
        program
        for program in built_in_suite().programs
        if program.language == "c"
        and not program.flags
        and program.file_name != "constructors_in_order.c"
    ]
    samples = [sample_of(compile_unit(program.file_name)) for program in programs[:24]]
    expected = list(label_modules(pool, samples, LISTS, tmp_path / "expected.jsonl"))
    data, journal = tmp_path / "input.pickle", tmp_path / "journal.jsonl"
    data.write_bytes(pickle.dumps((samples, LISTS)))
    command = [sys.executable, "-c", _RUN, str(data), str(journal)]
    killed = 0
    for _ in range(40):
        process = subprocess.Popen(command, start_new_session=True)
        time.sleep(rng.uniform(0.4, 0.9))
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        if process.wait() == 0:
            break
        before = len(read_journal(journal, LISTS))
        assert before <= len(samples)
    else:
        subprocess.run(command, check=True, timeout=60)
    assert killed
    found = read_journal(journal, LISTS)
    key = lambda item: item.module_hash  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)


def test_no_package_gets_more_than_its_share_and_nothing_small_is_taken(
    samples: list[Sample],
) -> None:
    bitcode = samples[0].bitcode
    many = [sample_of(bitcode + bytes([0, 0, i, 0]), package="large") for i in range(100)]
    others = [
        sample_of(bitcode + bytes([p, 0, i, 0]), package=f"package{p}")
        for p in range(1, 20)
        for i in range(4)
    ]
    small = [sample_of(bitcode + b"s", package="small", size_bytes=MIN_SIZE_BYTES - 1)]
    chosen = choose_modules([*many, *others, *small], limit=40)
    assert len(chosen) == 40
    assert sum(sample.package == "large" for sample in chosen) == 2 < 40 * 0.1
    assert not any(sample.package == "small" for sample in chosen)
    assert chosen == choose_modules([*small, *others[::-1], *many], limit=40)
    only_large = choose_modules([*many, *others], limit=1000)
    assert sum(sample.package == "large" for sample in only_large) == 100


def test_large_modules_are_left_out_unless_labelled_already(samples: list[Sample]) -> None:
    bitcode = samples[0].bitcode
    modules = [
        sample_of(bitcode + bytes([0, 0, i, 0]), package="p", size_bytes=300 * (i + 1))
        for i in range(6)
    ]
    chosen = choose_modules(modules, limit=100, max_size_bytes=900)
    assert {sample.size_bytes for sample in chosen} == {300, 600, 900}
    known = {modules[5].module_hash}
    chosen = choose_modules(modules, limit=20, max_size_bytes=900, known=known)
    assert chosen[0].module_hash in known
    assert len(chosen) == 2


def test_a_unit_that_is_one_function_is_labelled_once(samples: list[Sample]) -> None:
    function = dataclasses.replace(samples[0], kind="function", function="main")
    assert choose_modules([samples[0], function], limit=10) == [samples[0]]


def test_ceilings_hold_the_best_by_both_metrics(
    pool: LocalPool, samples: list[Sample], tmp_path: Path
) -> None:
    sample = samples[0]
    trial = Trial(bitcode=sample.bitcode, budget=len(LISTS))
    list(run_trials(pool, [(trial, fixed(LISTS))]))
    with Evaluator(sample.bitcode) as evaluator:
        baseline = evaluator.measure(OZ)
    ceiling = Ceiling.of(trial, sample, baseline)
    measured = [m for m in trial.known.values() if m.ok]
    assert ceiling.best_size_bytes == min(m.size_bytes for m in [*measured, baseline])
    assert ceiling.best_text_data_bytes == min(m.text_data_bytes for m in [*measured, baseline])
    assert ceiling.num_evaluations == len(LISTS)
    path = tmp_path / "ceilings.parquet"
    write_ceilings([ceiling], path)
    assert read_ceilings(path) == [ceiling]
    assert json.dumps(ceiling.best_size_passes)
