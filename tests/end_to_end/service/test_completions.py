"""``serve --model``: this package's own client, and plain requests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.engines.loader import has_shipped_model, load_engine, shipped_model
from llm_compiler.model.engines.requests import Propose

IR = "define i32 @f(i32 %x) minsize optsize {\n  %a = add i32 %x, 0\n  ret i32 %a\n}\n"


@pytest.fixture(scope="module")
def server(service_type: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not has_shipped_model():
        pytest.skip("this installation has no model")
    made = service_type(tmp_path_factory.mktemp("model"), "--model", "shipped", "--rate", "0")
    yield made
    made.stop()


def test_tokens_and_text_are_completed_the_same_each_time(server: Any) -> None:
    assert server.ask("/v1/models")[1]["data"][0]["id"] == "llm-compiler"
    body = {"prompt": "define i32 @f(", "max_tokens": 8, "temperature": 0, "logprobs": 1}
    status, found = server.ask("/v1/completions", body)
    (choice,) = found["choices"]
    assert status == 200
    assert len(choice["logprobs"]["token_logprobs"]) == len(choice["token_ids"]) <= 8
    assert all(value <= 0 for value in choice["logprobs"]["token_logprobs"])
    assert server.ask("/v1/completions", body)[1]["choices"] == found["choices"]
    # The greedy answer is at least as probable, token by token, as echo says of it.
    echoed = {"prompt": choice["token_ids"], "max_tokens": 0, "echo": True, "logprobs": 1}
    (again,) = server.ask("/v1/completions", echoed)[1]["choices"]
    assert again["token_ids"] == choice["token_ids"]
    assert again["logprobs"]["token_logprobs"][0] is None


def test_answers_are_drawn_by_seed(server: Any) -> None:
    body = {"prompt": "define i32 @f(", "n": 3, "max_tokens": 6, "temperature": 1.0, "seed": 7}
    first, second = (server.ask("/v1/completions", body)[1]["choices"] for _ in range(2))
    assert first == second
    assert [item["index"] for item in first] == [0, 1, 2]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"prompt": ""}, 400),
        ({"prompt": [10**9]}, 400),
        ({"prompt": [5] * 100_000}, 400),
        ({"prompt": "x", "model": "another"}, 404),
        ({"prompt": "x", "n": 1000}, 422),
        ({"prompt": "x", "stream": True}, 422),
        ({}, 422),
    ],
)
def test_what_is_refused_has_a_sentence(server: Any, body: dict[str, Any], status: int) -> None:
    found_status, found = server.ask("/v1/completions", body)
    assert found_status == status
    assert found["error"]["message"]


def test_the_openai_engine_answers_as_the_embedded_one(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("urllib3", reason="needs the extra openai")
    monkeypatch.setenv("LLM_COMPILER_API_TOKENIZER", str(shipped_model()))
    lists = [parse_pass_list(item) for item in ("mem2reg", "instcombine", "sroa,gvn")]
    found = []
    for name, model in (("openai", server.url + "/v1"), ("embedded", None)):
        engine = load_engine(name, model)
        try:
            asked = Propose(
                code=IR, target_triple="x86_64-linux-gnu", num_candidates=3, lists=lists
            )
            found.append(engine.answer(asked))
        finally:
            engine.close()
    assert [proposal.passes for proposal in found[0]] == [proposal.passes for proposal in found[1]]
    for served, own in zip(*found, strict=True):
        assert served.log_probability == pytest.approx(own.log_probability, abs=0.05)


@pytest.mark.slow
def test_ray_data_asks_it_for_many_answers(server: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray Data is not installed: `make test-ray` installs it")
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: `make test-ray` installs it")
    import pyarrow as pa
    import pyarrow.parquet as pq

    prompts = ["define i32 @f(", "define void @g(ptr", "  %a = add i32 %x, 0\n"]
    pq.write_table(pa.table({"prompt": prompts}), tmp_path / "prompts.parquet")
    script = Path(__file__).parents[3] / "examples" / "cluster" / "lift_by_ray_data.py"
    command = [sys.executable, str(script), str(tmp_path / "prompts.parquet")]
    command += [str(tmp_path / "answers"), "--url", f"{server.url}/v1/completions"]
    done = subprocess.run(
        [*command, "--model", "llm-compiler", "--max-tokens", "6", "--batch-size", "2"],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "answers").to_pylist()
    body = {"max_tokens": 6, "temperature": 0}
    for prompt in prompts:
        (choice,) = server.ask("/v1/completions", {"prompt": prompt, **body})[1]["choices"]
        assert {"prompt": prompt, "answer": choice["text"]} in rows
