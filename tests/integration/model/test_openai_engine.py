"""The openai engine, over real HTTP, on a server that runs small checkpoints."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.errors import ConfigError, EngineError
from llm_compiler.model.engines.compact import CompactEngine
from llm_compiler.model.engines.completions import ApiOptions
from llm_compiler.model.engines.embedded import EmbeddedDecoder
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.openai import CompactServerEngine, load_openai
from llm_compiler.model.engines.requests import Lift, Propose
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.search.coreset import load_coreset

from ...unit.model.conftest import assembly, ir
from ...unit.model.llama_format import write_llama_checkpoint
from ...unit.model.reference import tiny_config, write_checkpoint
from .completion_server import SLOW_S, CompletionServer, serving

TRIPLE = "x86_64-pc-linux-gnu"
LISTS = load_coreset().lists[:20]
TEXTS = [word for n in range(30) for word in (ir(n), assembly(n))]
Connect = Callable[..., Engine]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    tokenizer = train_tokenizer(iter(TEXTS), folder / "tokenizer", vocab_size=700)
    config = tiny_config(tokenizer.vocab_size, context=700)
    return write_checkpoint(folder / "checkpoint", config, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama_checkpoint(tmp_path_factory.mktemp("theirs"), TEXTS, context=800)


@pytest.fixture(scope="module")
def decoders(
    ours: Path, theirs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, EmbeddedDecoder]]:
    cache = tmp_path_factory.mktemp("cache")
    made = {
        folder: EmbeddedDecoder(folder, precision="fp32", threads=1, cache=cache)
        for folder in (ours, theirs)
    }
    yield made
    for embedded_decoder in made.values():
        embedded_decoder.close()


@pytest.fixture(params=["vllm", "llamacpp", "tgi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def paper_server(
    theirs: Path, decoders: dict[Path, EmbeddedDecoder], kind: str
) -> Iterator[CompletionServer]:
    with serving(decoders[theirs], PaperPrompts(theirs), kind=kind) as server:
        yield server


@pytest.fixture
def vllm(theirs: Path, decoders: dict[Path, EmbeddedDecoder]) -> Iterator[CompletionServer]:
    with serving(decoders[theirs], PaperPrompts(theirs), key="secret") as server:
        yield server


def connect(server: CompletionServer, **changed: object) -> Engine:
    options = {"base_url": server.url, "key": server.key, "pause_s": 0.01, **changed}
    return load_openai(ApiOptions(**options))


def test_our_models_rank_as_embedded(ours: Path, decoders: dict[Path, EmbeddedDecoder]) -> None:
    prompts = CompactPrompts(IrTokenizer(ours))
    local = CompactEngine(decoders[ours], prompts, name="embedded", model="m")
    question = {"lists": LISTS, "oz_size_bytes": 300, "tried": [(LISTS[3], 280), (LISTS[5], -1)]}
    expected = local.answer(Propose(code=ir(3), target_triple=TRIPLE, num_candidates=5, **question))
    with serving(decoders[ours], prompts) as server, connect(server, tokenizer=ours) as engine:
        assert (engine.name, engine.context) == ("openai", 700)
        assert engine.model.startswith("tiny at http://")
        found = engine.answer(
            Propose(code=ir(3), target_triple=TRIPLE, num_candidates=5, **question)
        )
        assert [proposal.passes for proposal in found] == [proposal.passes for proposal in expected]
        np.testing.assert_allclose(
            [proposal.log_probability for proposal in found],
            [proposal.log_probability for proposal in expected],
            atol=1e-3,
        )
        assert len(server.requests) == 2
        assert engine.answer(
            Propose(code=ir(3) * 30, target_triple=TRIPLE, num_candidates=1, lists=LISTS)
        )
        assert (
            engine.answer(Lift(assembly=assembly(3, 900), target_triple=TRIPLE, num_candidates=1))
            == []
        )


def test_our_models_on_servers_that_do_not_echo(
    ours: Path, decoders: dict[Path, EmbeddedDecoder]
) -> None:
    prompts = CompactPrompts(IrTokenizer(ours))
    with (
        serving(decoders[ours], prompts, kind="llamacpp") as server,
        connect(server, tokenizer=ours) as engine,
    ):
        assert isinstance(engine, CompactServerEngine)
        assert engine.context == 700  # of /props
        for _ in range(2):
            found = engine.answer(
                Propose(code=ir(3), target_triple=TRIPLE, num_candidates=3, lists=LISTS)
            )
            assert {proposal.passes for proposal in found} <= set(LISTS)
        # It is asked to echo once, and not again.
        assert sum("echo" in request for request in server.requests) == 1
        assert all(isinstance(request["prompt"][0], int | list) for request in server.requests)


def test_lists_that_a_server_is_held_to(paper_server: CompletionServer) -> None:
    with connect(paper_server, context=800) as engine:
        found = engine.answer(
            Propose(code=ir(3), target_triple=TRIPLE, num_candidates=4, lists=LISTS, seed=1)
        )
    proposed = {proposal.passes for proposal in found}
    assert proposed <= set(LISTS)
    if paper_server.kind == "tgi":
        # Random weights write no list by themselves.
        assert proposed == set()
        return
    assert 1 <= len(proposed) == len(found) <= 4
    assert [proposal.log_probability for proposal in found] == sorted(
        (proposal.log_probability for proposal in found), reverse=True
    )
    assert all(proposal.log_probability < 0 for proposal in found)


def test_long_code_is_cut(vllm: CompletionServer, theirs: Path) -> None:
    # With the tokenizer tokens are counted; without, the server says what is too long.
    for tokenizer in (theirs, None):
        with connect(vllm, tokenizer=tokenizer) as engine:
            vllm.requests.clear()
            assert engine.answer(
                Propose(code=ir(3) * 20, target_triple=TRIPLE, num_candidates=2, lists=LISTS)
            )
            last = str(vllm.requests[-1]["prompt"])
            assert last.startswith("[INST] Tell me how to optimize this LLVM-IR")
            assert 1 <= last.count("define") < 20
            assert (
                engine.answer(
                    Lift(assembly=assembly(3, 900), target_triple=TRIPLE, num_candidates=1)
                )
                == []
            )


@pytest.mark.parametrize("faults", [[429, 503], [500], ["drop"], ["half", 502]], ids=str)
def test_what_passes_is_tried_again(vllm: CompletionServer, faults: list[str | int]) -> None:
    with connect(vllm) as engine:
        expected = engine.answer(
            Propose(code=ir(3), target_triple=TRIPLE, num_candidates=1, lists=LISTS)
        )
        vllm.faults.extend(faults)
        vllm.requests.clear()
        assert (
            engine.answer(Propose(code=ir(3), target_triple=TRIPLE, num_candidates=1, lists=LISTS))
            == expected
        )
        assert len(vllm.requests) > len(faults)


@pytest.mark.parametrize(
    ("faults", "changed", "message"),
    [
        ([500] * 3, {"retries": 2}, r"answers 500: fault 500 \(3 tries\)"),
        ([429] * 9, {"retries": 1}, r"answers 429: fault 429 \(2 tries\)"),
        (["drop"] * 3, {"retries": 2}, r"does not answer \(3 tries\)"),
        (["slow"], {"timeout_s": SLOW_S / 5}, r"gave no answer within 0\.3 s"),
        (["broken"], {}, "answers what is no completion"),
        (["nonsense"], {}, r"answers what is no completion: \{\"message\": \"hello\"\}"),
        ([418], {}, "answers 418: fault 418"),
    ],
    ids=str,
)
def test_what_does_not_pass_is_said(
    vllm: CompletionServer, faults: list[str | int], changed: dict[str, float], message: str
) -> None:
    with connect(vllm, **changed) as engine:
        vllm.faults.extend(faults)
        with pytest.raises(EngineError, match=message):
            engine.answer(Lift(assembly=assembly(1), target_triple=TRIPLE, num_candidates=1))
        assert len(vllm.requests) <= len(faults)


def test_servers_that_are_not_there(
    vllm: CompletionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="answers 401: Incorrect API key"):
        connect(vllm, key="wrong")
    with pytest.raises(EngineError, match=r"does not serve the model 'big' \(it has: tiny\)"):
        connect(vllm, model="big")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("LLM_COMPILER_API_RETRIES", "0")
    with pytest.raises(EngineError, match=r"does not answer \(one try\): .*refused"):
        load_engine("openai", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("LLM_COMPILER_API_BASE", vllm.url)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with load_engine("openai") as engine:
        assert engine.context == 800
        engine.close()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "no server is named"),
        ({"LLM_COMPILER_API_BASE": "localhost:8000"}, "is no address"),
        ({"LLM_COMPILER_API_BASE": "http://a:b@host/v1"}, "no user and password"),
        ({"LLM_COMPILER_API_BASE": "http://host/v1?x=1"}, "ends with its path"),
        ({"LLM_COMPILER_API_TIMEOUT": "soon"}, "LLM_COMPILER_API_TIMEOUT is 'soon'"),
        ({"LLM_COMPILER_API_RETRIES": "-1"}, "cannot be negative"),
    ],
)
def test_options_that_make_no_sense(environment: dict[str, str], message: str) -> None:
    given = {"LLM_COMPILER_API_BASE": "http://host"} if len(environment) == 1 else {}
    with pytest.raises(ConfigError, match=message):
        ApiOptions.from_environment(environment={**given, **environment})


def test_addresses() -> None:
    for given in ("http://host:8000", "http://host:8000/", "http://host:8000/v1/"):
        assert ApiOptions(base_url=given).base_url == "http://host:8000/v1"
    assert ApiOptions(base_url="https://host/api/llm").base_url == "https://host/api/llm"
    assert "secret" not in repr(ApiOptions(base_url="http://host", key="secret"))
