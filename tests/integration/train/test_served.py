"""The openai engine over HTTP, on a server that runs a model with the transformers engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from llm_compiler.model.engines.completions import ApiOptions
from llm_compiler.model.engines.openai import load_openai
from llm_compiler.model.engines.paper import PaperEngine
from llm_compiler.model.engines.requests import Lift, Propose
from llm_compiler.model.engines.torch_decoder import TorchDecoder
from llm_compiler.model.prompts import PaperPrompts
from llm_compiler.records import PassList

from ..model.completion_server import CompletionServer, serving
from .lessons import ASSEMBLY, FIRST, SECOND, SMALL, TRIPLE, check_emulation, teach

LISTS = [PassList(("function(sroa<modify-cfg>)",)), SECOND, FIRST]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teach(tmp_path_factory.mktemp("taught"))


@pytest.fixture(params=["vllm", "llamacpp", "tgi"])
def server(request: pytest.FixtureRequest, taught: Path) -> Iterator[CompletionServer]:
    model = LlamaForCausalLM.from_pretrained(taught, dtype=torch.float32).eval()
    decoder = TorchDecoder(model, context=900)
    with serving(decoder, PaperPrompts(taught), kind=request.param) as completion_server:
        yield completion_server


def test_answers_over_http(server: CompletionServer) -> None:
    with load_openai(ApiOptions(base_url=server.url, context=900)) as engine:
        assert isinstance(engine, PaperEngine)
        assert engine.wording() == ('You should run opt -passes="', '",')
        found = engine.answer(
            Propose(code=SMALL, target_triple=TRIPLE, num_candidates=2, lists=LISTS)
        )
        assert found[0].passes == FIRST
        assert {proposal.passes for proposal in found} <= set(LISTS)
        (new,) = engine.answer(
            Propose(code=SMALL, target_triple=TRIPLE, num_candidates=1, lists=None)
        )
        assert new.passes == FIRST
        assert (
            engine.answer(
                Propose(
                    code=SMALL,
                    target_triple=TRIPLE,
                    num_candidates=1,
                    lists=[FIRST],
                    tried=[(FIRST, 9)],
                )
            )
            == []
        )
        codes = engine.answer(Lift(assembly=ASSEMBLY, target_triple=TRIPLE, num_candidates=2))
        assert codes[0].code == SMALL
        check_emulation(engine)
        if server.kind != "tgi":  # which says no probabilities
            assert -0.5 < codes[0].log_probability < 0
            assert -0.5 < new.log_probability < 0
