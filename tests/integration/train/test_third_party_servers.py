"""The openai engine against servers of others: llama.cpp's, and `transformers serve`.

Each starts as docs/engines.md says. Skipped where it is not installed: `pip install xllamacpp
gguf`, `pip install 'transformers[serving]'`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from llm_compiler.errors import EngineError
from llm_compiler.model.engines.completions import ApiOptions, CompletionServer
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.openai import load_openai
from llm_compiler.model.engines.requests import Lift, Propose
from llm_compiler.model.prompts import PaperPrompts
from llm_compiler.records import PassList

from .lessons import ASSEMBLY, BETTER, FIRST, SECOND, SMALL, TRIPLE, check_emulation, teach

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "src/llm_compiler/data/model"
LISTS = [PassList(("function(sroa<modify-cfg>)",)), SECOND, FIRST]
llamacpp = pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("gguf")), reason="pip install xllamacpp gguf"
)
serving = pytest.mark.skipif(
    not (find_spec("fastapi") and find_spec("uvicorn") and find_spec("openai")),
    reason="pip install 'transformers[serving]'",
)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teach(tmp_path_factory.mktemp("taught"))


def free_port() -> int:
    with socket.socket() as each_socket:
        each_socket.bind(("127.0.0.1", 0))
        port: int = each_socket.getsockname()[1]
    return port


@contextlib.contextmanager
def started(words: list[str], port: int, log: Path) -> Iterator[str]:
    """Start a server, wait until it answers, and end it."""
    url = f"http://127.0.0.1:{port}/v1"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, env=environment, cwd=log.parent)
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"{url}/models", timeout=5):
                        break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, log.read_text()[-2000:]
                    time.sleep(0.2)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def llama_server(folder: Path, work: Path) -> Iterator[str]:
    from llm_compiler.model.gguf_export import export_gguf

    work.mkdir(parents=True, exist_ok=True)
    export_gguf(folder, work / "model.gguf", kind="f32")
    port = free_port()
    words = [sys.executable, str(ROOT / "scripts/serve_gguf.py"), str(work / "model.gguf")]
    with started([*words, "--port", str(port), "--threads", "1"], port, work / "log") as url:
        yield url


@llamacpp
def test_llama_cpp_continues_token_ids_as_transformers_does(tmp_path: Path) -> None:
    with llama_server(SHIPPED, tmp_path / "served") as url:
        server = CompletionServer(ApiOptions(base_url=url))
        model = server.find_model()
        assert model.owner == "llamacpp"
        assert model.context == 4096
        theirs = AutoModelForCausalLM.from_pretrained(SHIPPED, dtype=torch.float32).eval()
        rng = np.random.default_rng(0)
        for _ in range(3):
            ids = rng.integers(300, 16_384, 40).tolist()
            (found,) = server.complete(model.name, ids, max_tokens=12)
            with torch.no_grad():
                written = theirs.generate(
                    torch.tensor([ids]), max_new_tokens=12, do_sample=False, pad_token_id=1
                )[0, 40:]
                logits = theirs(torch.tensor([[*ids, *written.tolist()]])).logits[0, 39:-1]
            count = len(found.ids)
            assert list(found.ids) == written.tolist()[:count]
            log_probs = logits.log_softmax(dim=1)[range(count), list(found.ids)].tolist()
            assert list(found.log_probabilities) == pytest.approx(
                log_probs, abs=1e-2
            )  # keys in fp16
        server.close()


@llamacpp
def test_the_shipped_model_over_llama_cpp(tmp_path: Path) -> None:
    code = "define i32 @f(i32 %0) #0 {\n  ret i32 %0\n}\n\nattributes #0 = { minsize optsize }\n"
    with llama_server(SHIPPED, tmp_path / "served") as url:
        options = ApiOptions(base_url=url, tokenizer=SHIPPED)
        with load_openai(options) as ours, load_engine("embedded", str(SHIPPED)) as embedded:
            lists = [
                proposal.passes
                for proposal in embedded.answer(
                    Propose(code=code, target_triple=TRIPLE, num_candidates=8, lists=LISTS)
                )
            ]
            found = ours.answer(
                Propose(code=code, target_triple=TRIPLE, num_candidates=1, lists=LISTS)
            )
            assert [proposal.passes for proposal in found] in ([], lists[:1])


@llamacpp
def test_their_tokens_are_llama_cpps(taught: Path, tmp_path: Path) -> None:
    prompts = PaperPrompts(taught)
    with llama_server(taught, tmp_path / "served") as url:
        for text in (SMALL, ASSEMBLY, "[INST] x  y\n\n<code>%7 = é</code> [/INST]", BETTER * 3):
            body = json.dumps({"content": text, "add_special": True}).encode()
            request = urllib.request.Request(
                url.removesuffix("/v1") + "/tokenize", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert json.load(answer)["tokens"] == prompts.prompt_ids(text)
        check_answers(ApiOptions(base_url=url, context=900))


@serving
def test_transformers_serve(taught: Path, tmp_path: Path) -> None:
    port = free_port()
    words = ["-c", "from transformers.cli.transformers import main; main()", "serve", str(taught)]
    words += ["--port", str(port), "--host", "127.0.0.1", "--device", "cpu", "--dtype", "float32"]
    with started([sys.executable, *words], port, tmp_path / "log") as url:
        check_answers(ApiOptions(base_url=url, context=900, model=str(taught)))
        with pytest.raises(EngineError, match=r"does not serve|pinned"):
            load_openai(ApiOptions(base_url=url, model="another"))


def check_answers(options: ApiOptions) -> None:
    with load_openai(options) as engine:
        found = engine.answer(
            Propose(code=SMALL, target_triple=TRIPLE, num_candidates=1, lists=LISTS)
        )
        assert [proposal.passes for proposal in found] == [FIRST]
        codes = engine.answer(Lift(assembly=ASSEMBLY, target_triple=TRIPLE, num_candidates=1))
        assert codes[0].code == SMALL
        check_emulation(engine)
