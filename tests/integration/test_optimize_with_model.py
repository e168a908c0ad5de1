"""Optimising led by a model: a real engine with random weights, which nobody needs to trust."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.errors import EngineError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.embedded import EmbeddedDecoder, load_embedded
from llm_compiler.model.engines.engine import BaseEngine, Engine
from llm_compiler.model.engines.loader import has_shipped_model, shipped_model
from llm_compiler.model.engines.requests import Capability, Proposal, Propose
from llm_compiler.model.prompts import load_prompts
from llm_compiler.model.tokenizer import train_tokenizer
from llm_compiler.optimization.model_rounds import first_lists, round_counts
from llm_compiler.optimize import OptimizeOptions, Proposer, optimize_many
from llm_compiler.records import VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

from ..unit.model.reference import tiny_config, write_checkpoint
from .model.completion_server import SLOW_S, CompletionServer, serving
from .small_source import SOURCE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(iter([SOURCE] * 3), folder / "tokenizer", vocab_size=600)
    config = tiny_config(tokenizer.vocab_size, context=2048)
    return write_checkpoint(folder / "checkpoint", config, tokenizer=tokenizer)


@pytest.fixture
def engine(checkpoint: Path) -> Iterator[Engine]:
    compact_engine = load_embedded(checkpoint, threads=1)
    yield compact_engine
    compact_engine.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "unit.c"
    path.write_text(SOURCE)
    return path


def test_rounds_spend_all_candidates() -> None:
    for candidates in range(1, 40):
        first = first_lists(candidates)
        counts = round_counts(candidates - first)
        assert first + sum(counts) == candidates
        assert all(counts)


@pytest.mark.parametrize("candidates", [1, 9])
def test_the_model_chooses_among_passed_lists(
    pool: LocalPool, engine: Engine, source: Path, candidates: int
) -> None:
    options = OptimizeOptions(proposer=Proposer.MODEL, candidates=candidates)
    with Checker(toolchain=find_toolchain(), pool=pool) as checker:
        found, again = (
            next(iter(optimize_many([source], options, pool=pool, checker=checker, engine=engine)))
            for _ in range(2)
        )
        assert not isinstance(found, Exception)
        assert not isinstance(again, Exception)
        assert found.num_evaluations == candidates
        assert found.optimized_bytes <= found.baseline_bytes
        assert (found.passes, found.optimized_bytes) == (again.passes, again.optimized_bytes)
        if found.passes is not None:
            assert found.verdict == "passed"
            assert found.proposer in ("model", "coreset")


def test_what_was_tried_is_told_and_not_proposed_again(engine: Engine) -> None:
    lists = load_coreset().lists[:12]
    code = "define i32 @f() {\n  ret i32 0\n}\n"
    triple = "x86_64-pc-linux-gnu"
    question = Propose(
        code=code, target_triple=triple, num_candidates=12, lists=lists, oz_size_bytes=300
    )
    first = engine.answer(question)
    assert {proposal.passes for proposal in first} == set(lists)
    tried = [(lists[0], 280), (lists[1], -1)]
    later = engine.answer(replace(question, tried=tried))
    assert {proposal.passes for proposal in later} == set(lists[2:])
    other = engine.answer(replace(question, tried=[(lists[0], 330), (lists[1], 300)]))
    assert [proposal.log_probability for proposal in other] != [
        proposal.log_probability for proposal in later
    ]


def test_command(
    checkpoint: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "unit.o"
    arguments = ["optimize", str(source), "-o", str(out), "--model", str(checkpoint), "--json"]
    assert main([*arguments, "--candidates", "6"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["num_evaluations"] == 6
    assert printed["optimized_bytes"] <= printed["baseline_bytes"]
    assert out.stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--proposer", "coreset", "--model", "somewhere"], "--proposer model"),
        (["--proposer", "search", "--novel"], "--proposer model"),
        (["--engine", "openai"], "no server is named"),
    ],
)
def test_options_that_contradict_each_other(
    arguments: list[str],
    word: str,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LLM_COMPILER_API_BASE", raising=False)
    assert main(["optimize", str(source), *arguments]) == 2
    assert word in capsys.readouterr().err


class AsTheCoreset:
    """Runs the command with the coreset, then with a model that fails.

    A model that cannot be loaded changes nothing. One that fails when it is asked had part of the
    evaluations for its lists, which are the coreset's then: other objects, after as many.
    """

    def __init__(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        other = source.with_name("other.c")
        other.write_text(SOURCE.replace("0", "7"))
        self.sources, self.capsys = [source, other], capsys
        self.expected, warnings = self._run("--proposer", "coreset")
        assert warnings == []

    def check(self, *arguments: str, word: str, when_asked: bool = False) -> None:
        """Two files are optimised, and one line warns, with this word."""
        found, warnings = self._run(*arguments)
        if when_asked:
            assert [made[1] for made in found] == [made[1] for made in self.expected]
        else:
            assert found == self.expected
        assert len(warnings) == 1
        assert "the coreset chooses, since the model failed" in warnings[0]
        assert word in warnings[0]

    def _run(self, *arguments: str) -> tuple[list[tuple[str, int, bytes]], list[str]]:
        command = ["optimize", *map(str, self.sources), "--json", "--candidates", "4"]
        assert main([*command, *arguments]) == 0
        printed = self.capsys.readouterr()
        # A file's line comes when it is done, whichever is first.
        rows = sorted(map(json.loads, printed.out.splitlines()), key=lambda row: row["input"])
        objects = [Path(source.stem + ".o") for source in sorted(self.sources)]
        assert all(row["optimized_bytes"] <= row["baseline_bytes"] for row in rows)
        found = [
            (row["passes"], row["num_evaluations"], path.read_bytes())
            for row, path in zip(rows, objects, strict=True)
        ]
        for path in objects:
            path.unlink()
        return found, [line for line in printed.err.splitlines() if "warning:" in line]


@pytest.fixture
def as_the_coreset(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsTheCoreset:
    monkeypatch.chdir(source.parent)
    return AsTheCoreset(source, capsys)


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copied"))


@pytest.mark.parametrize("proposer", [[], ["--proposer", "model"], ["--novel"]], ids=str)
def test_a_model_that_was_typed_and_is_not_there_is_an_error(
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    proposer: list[str],
) -> None:
    monkeypatch.chdir(source.parent)
    assert main(["optimize", source.name, "--model", "nowhere", *proposer]) == 7
    captured = capsys.readouterr()
    assert captured.err == "llm-compiler: error: there is no checkpoint at nowhere\n"
    (source.parent / "empty").mkdir()
    assert main(["optimize", source.name, "--model", "empty", *proposer]) == 7
    assert "empty holds no checkpoint: it has no config.json" in capsys.readouterr().err
    assert not (source.parent / f"{source.stem}.o").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_truncated_weights_end_no_build(
    as_the_coreset: AsTheCoreset, copied: Path, name: str
) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    as_the_coreset.check("--proposer", "model", "--model", str(copied), word="copied")


def test_another_models_tokenizer_ends_no_build(as_the_coreset: AsTheCoreset, copied: Path) -> None:
    other = train_tokenizer(iter([SOURCE] * 3), copied.parent / "other", vocab_size=540)
    for path in (copied.parent / "other").iterdir():
        shutil.copy(path, copied)
    as_the_coreset.check(
        "--model", str(copied), word=f"600 tokens, its tokenizer {other.vocab_size}"
    )


@pytest.mark.skipif(not has_shipped_model(), reason="this installation has no weights")
def test_a_tokenizer_as_large_that_is_another_ends_no_build(
    as_the_coreset: AsTheCoreset, tmp_path: Path
) -> None:
    # Only the checkpoint's record of its training tells the two apart.
    copied = Path(shutil.copytree(shipped_model(), tmp_path / "copied"))
    path = copied / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b"\n")
    as_the_coreset.check("--model", str(copied), word="trained with another tokenizer")


@pytest.fixture
def server(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CompletionServer]:
    monkeypatch.setenv("LLM_COMPILER_API_TOKENIZER", str(checkpoint))
    monkeypatch.setenv("LLM_COMPILER_API_RETRIES", "0")
    monkeypatch.setenv("LLM_COMPILER_API_TIMEOUT", str(SLOW_S / 3))
    decoder = EmbeddedDecoder(checkpoint, precision="fp32", threads=1, cache=tmp_path / "cache")
    with serving(decoder, load_prompts(checkpoint)) as completion_server:
        yield completion_server
    decoder.close()


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("drop", "does not answer"),
        ("half", "does not answer"),
        ("slow", "no answer within"),
        ("broken", "http://127.0.0.1"),
        ("nonsense", "http://127.0.0.1"),
        (500, "answers 500"),
        (401, "answers 401"),
    ],
    ids=str,
)
def test_a_server_that_fails_ends_no_build(
    as_the_coreset: AsTheCoreset, server: CompletionServer, fault: str | int, word: str
) -> None:
    server.faults.extend([fault] * 100)
    as_the_coreset.check("--engine", "openai", "--model", server.url, word=word, when_asked=True)
    assert server.faults, "it was asked again and again"


def test_a_server_that_is_down_ends_no_build(as_the_coreset: AsTheCoreset) -> None:
    with socket.create_server(("127.0.0.1", 0)) as each_socket:
        url = f"http://127.0.0.1:{each_socket.getsockname()[1]}/v1"
    as_the_coreset.check("--engine", "openai", "--model", url, word="does not answer")


def test_new_lists_of_the_model_are_checked_if_they_win(
    pool: LocalPool, engine: Engine, source: Path
) -> None:
    options = OptimizeOptions(proposer=Proposer.MODEL, candidates=6, novel=True)
    with Checker(toolchain=find_toolchain(), pool=pool) as checker:
        (found,) = optimize_many([source], options, pool=pool, checker=checker, engine=engine)
        assert not isinstance(found, Exception)
        assert found.num_evaluations <= 6
        assert found.optimized_bytes <= found.baseline_bytes
        assert found.verdict in (VerdictKind.PASSED.value, "baseline")


class Failing(BaseEngine):
    """An engine whose server has gone away."""

    name = model = "gone"
    context = 4096
    capabilities = frozenset({Capability.PROPOSE})

    def __init__(self) -> None:
        self.num_asked = 0

    def propose(self, request: Propose) -> list[Proposal]:
        self.num_asked += 1
        raise EngineError("http://localhost:1 does not answer")


def test_the_coreset_stands_in_for_a_model_that_fails(
    pool: LocalPool, source: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.c"
    other.write_text(SOURCE)
    engine = Failing()
    with Checker(toolchain=find_toolchain(), pool=pool) as checker:
        options = OptimizeOptions(proposer=Proposer.MODEL, candidates=6)
        found = list(
            optimize_many(
                [source, other],
                options,
                pool=pool,
                checker=checker,
                engine=engine,
            )
        )
    for item in found:
        assert not isinstance(item, Exception)
        assert item.num_evaluations == 6
        assert item.optimized_bytes <= item.baseline_bytes
    assert engine.num_asked == 1
    warnings = [text for value in found for text in value.warnings]  # type: ignore[union-attr]
    assert sum("does not answer" in text for text in warnings) == 1


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An installation whose shipped file of this name is cut short."""
    folder = tmp_path / "shipped"
    shutil.copytree(shipped_model(), folder)
    path = folder / request.param
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr("llm_compiler.model.engines.loader._shipped_folder", lambda: folder)
    return path.name


@pytest.mark.skipif(not has_shipped_model(), reason="this installation has no weights")
@pytest.mark.parametrize(
    "damaged", ["model.safetensors", "config.json", "tokenizer.json"], indirect=True
)
def test_damaged_weights_end_no_build(
    damaged: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "unit.o"
    arguments = ["optimize", str(source), "-o", str(out), "--json", "--candidates", "6"]
    arguments += ["--pass-lists-only"]
    assert main([*arguments, "--proposer", "coreset"]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["passes"], found["num_evaluations"]) == (expected["passes"], 6)
    assert found["proposer"] in ("coreset", "baseline")
    assert len([item for item in found["warnings"] if "the coreset chooses" in item]) == 1
    assert main([*arguments, "--proposer", "model"]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert (asked["passes"], asked["proposer"]) == (found["passes"], found["proposer"])


@pytest.mark.skipif(not has_shipped_model(), reason="this installation has no weights")
def test_the_model_is_the_default(pool: LocalPool, source: Path) -> None:
    with Checker(toolchain=find_toolchain(), pool=pool) as checker:
        found, same, other = (
            next(
                iter(
                    optimize_many(
                        [source],
                        OptimizeOptions(candidates=1, proposer=proposer),
                        pool=pool,
                        checker=checker,
                    )
                )
            )
            for proposer in (None, Proposer.MODEL, Proposer.CORESET)
        )
    assert not isinstance(found, Exception)
    assert not isinstance(same, Exception)
    assert not isinstance(other, Exception)
    assert (found.passes, found.proposer) == (same.passes, same.proposer)
    assert {found.proposer, other.proposer} <= {"model", "coreset", "baseline"}
    assert found.proposer != "coreset"
    assert other.proposer != "model"
