"""The transformers engine: our checkpoints as the embedded engine, others in the paper's words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.errors import CheckpointMismatch, ConfigError, EngineError, TokenizerMismatch
from llm_compiler.model.decoding import Asked
from llm_compiler.model.engines import torch_decoder
from llm_compiler.model.engines.compact import CompactEngine
from llm_compiler.model.engines.embedded import EmbeddedDecoder, load_embedded
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.paper import DecoderText, PaperEngine
from llm_compiler.model.engines.requests import Emulate, Lift, Propose
from llm_compiler.model.engines.torch_decoder import TorchDecoder
from llm_compiler.model.engines.transformers import load_transformers
from llm_compiler.model.prompts import PaperPrompts, load_prompts
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.records import PassList
from llm_compiler.search.coreset import load_coreset

from ...unit.model.conftest import assembly, ir
from ...unit.model.llama_format import write_llama_checkpoint
from ...unit.model.reference import Reference, tiny_config, write_checkpoint
from .lessons import ASSEMBLY, BETTER, FIRST, SECOND, SIZES, SMALL, TRIPLE, teach

LISTS = load_coreset().lists[:24]
TEXTS = [word for n in range(30) for word in (ir(n), assembly(n))]


@pytest.fixture(scope="module")
def ours(tokenizer: IrTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(tokenizer.vocab_size, context=1024)
    return write_checkpoint(tmp_path_factory.mktemp("ours"), config, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama_checkpoint(tmp_path_factory.mktemp("theirs"), TEXTS, context=1500)


def decoder_of(folder: Path) -> TorchDecoder:
    engine = load_transformers(folder, precision="fp32", device="cpu")
    assert isinstance(engine, CompactEngine)
    assert isinstance(engine.decoder, TorchDecoder)
    return engine.decoder


def test_our_checkpoints_answer_as_embedded(ours: Path, tmp_path: Path) -> None:
    question = {"lists": LISTS, "oz_size_bytes": 300, "tried": [(LISTS[3], 280), (LISTS[5], -1)]}
    with (
        load_transformers(ours, precision="fp32", device="cpu") as each_engine,
        load_embedded(ours, precision="fp32", threads=1, cache=tmp_path) as other,
    ):
        assert (each_engine.name, each_engine.context) == ("transformers", other.context)
        mine, expected = (
            engine.answer(Propose(code=ir(3), target_triple=TRIPLE, num_candidates=30, **question))
            for engine in (each_engine, other)
        )
        assert len(mine) == len(LISTS) - 2
        assert [a.passes for a in mine] == [a.passes for a in expected]
        np.testing.assert_allclose(
            [a.log_probability for a in mine],
            [a.log_probability for a in expected],
            atol=1e-3,
        )
        texts, others = (
            engine.answer(Lift(assembly="f:\nretq\n", target_triple=TRIPLE, num_candidates=2))
            for engine in (each_engine, other)
        )
        assert [a.code for a in texts] == [a.code for a in others]


def test_half_precision_is_near(ours: Path) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        with load_engine("transformers", ours, precision=precision) as engine:
            proposals = engine.answer(
                Propose(code=ir(3), target_triple=TRIPLE, num_candidates=30, lists=LISTS)
            )
            found.append({proposal.passes: proposal.log_probability for proposal in proposals})
    assert max(abs(found[0][recipe] - found[1][recipe]) for recipe in LISTS) < 0.3


def test_trees_and_shared_prompts(
    ours: Path, tokenizer: IrTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_decoder, "CHUNK", 16)
    random = np.random.default_rng(3)
    ids, tree = random.integers(0, tokenizer.vocab_size, (2, 70)).tolist()
    config = tiny_config(tokenizer.vocab_size, context=1024)
    reference = Reference(config)
    decoder = decoder_of(ours)
    state = decoder.start(ids)
    np.testing.assert_allclose(state.first, reference.log_probabilities(ids)[-1], atol=2e-3)
    parents = [-1, 0, 0, 1, 2, -1]
    found = np.concatenate(
        [
            state.extend(tree[:3], parents[:3]),
            state.extend(tree[3:6], parents[3:], Asked(tokens=np.arange(tokenizer.vocab_size))),
        ]
    )
    for node in range(6):
        path, index = [], node
        while index >= 0:
            path.insert(0, tree[index])
            index = parents[index]
        expected = reference.log_probabilities([*ids, *path])[-1]
        np.testing.assert_allclose(found[node], expected, atol=2e-3)
    # What is kept of the last prompt changes nothing, not even the last bit.
    other = [*ids[:50], *tree[:40]]
    after_another = decoder.start(other).first
    assert np.array_equal(after_another, decoder_of(ours).start(other).first)
    # A later prompt leaves the first one's state alone.
    again = state.extend(tree[6:8], [5, 5], Asked(rows=[1]))
    expected = reference.log_probabilities([*ids, tree[5], tree[7]])[-1]
    np.testing.assert_allclose(again[0], expected, atol=2e-3)
    decoder.close()
    decoder.close()
    with pytest.raises(EngineError, match="closed"):
        state.extend([1], [-1])


def test_their_format_ranks_lists_by_text(theirs: Path, tmp_path: Path) -> None:
    prompts = load_prompts(theirs)
    assert isinstance(prompts, PaperPrompts)
    decoder = EmbeddedDecoder(theirs, precision="fp32", threads=1, cache=tmp_path)
    with (
        load_engine("transformers", theirs) as each_engine,
        PaperEngine(DecoderText(decoder, prompts), name="embedded", model="m") as other,
    ):
        mine, expected = (
            engine.answer(
                Propose(
                    code=ir(3),
                    target_triple=TRIPLE,
                    num_candidates=40,
                    lists=LISTS,
                    tried=[(LISTS[0], 1)],
                )
            )
            for engine in (each_engine, other)
        )
        assert {proposal.passes for proposal in mine} == set(LISTS[1:])
        assert [a.passes for a in mine] == [a.passes for a in expected]
        assert 0 < sum(math.exp(proposal.log_probability) for proposal in mine) <= 1
        # More code than the context holds is cut, and fewer are the first of more.
        cut = each_engine.answer(
            Propose(code=ir(3) * 40, target_triple=TRIPLE, num_candidates=4, lists=LISTS)
        )
        assert len(cut) == 4
        assert (
            each_engine.answer(
                Lift(assembly=assembly(3) * 60, target_triple=TRIPLE, num_candidates=1)
            )
            == []
        )


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teach(tmp_path_factory.mktemp("taught"))


@pytest.fixture
def engine(taught: Path) -> Iterator[PaperEngine]:
    with load_transformers(taught, precision="fp32", device="cpu") as each_engine:
        assert isinstance(each_engine, PaperEngine)
        yield each_engine


def test_a_models_own_wording_is_used(engine: PaperEngine) -> None:
    assert engine.wording() == ('You should run opt -passes="', '",')
    lists = [PassList(("function(sroa<modify-cfg>)",)), SECOND, FIRST]
    first, *others = engine.answer(
        Propose(code=SMALL, target_triple=TRIPLE, num_candidates=3, lists=lists)
    )
    assert first.passes == FIRST
    assert first.log_probability > -0.1
    assert {other.passes for other in others} == {*lists} - {FIRST}
    assert engine.answer(
        Propose(code=SMALL, target_triple=TRIPLE, num_candidates=1, lists=lists)
    ) == [first]


def test_new_lists(engine: PaperEngine) -> None:
    (proposal,) = engine.answer(
        Propose(code=SMALL, target_triple=TRIPLE, num_candidates=1, lists=None)
    )
    assert proposal.passes == FIRST
    many = engine.answer(
        Propose(code=SMALL, target_triple=TRIPLE, num_candidates=3, lists=None, tried=[(FIRST, 90)])
    )
    assert FIRST not in {found.passes for found in many}
    assert len({found.passes for found in many}) == len(many)


def test_code_and_what_is_stated_of_it(engine: PaperEngine) -> None:
    first, *_ = engine.answer(Lift(assembly=ASSEMBLY, target_triple=TRIPLE, num_candidates=2))
    assert first.code == SMALL
    (answered,) = engine.answer(
        Emulate(code=SMALL, passes=FIRST, target_triple=TRIPLE, assembly=False, **SIZES)
    )
    assert (answered.code, answered.num_instructions, answered.text_data_bytes) == (BETTER, 7, 1077)
    assert answered.log_probability > -1
    drawn = engine.answer(
        Lift(assembly=ASSEMBLY, target_triple=TRIPLE, num_candidates=2, temperature=0.5, seed=1)
    )
    assert drawn[0].code == SMALL


def test_checkpoints_that_cannot_be_loaded(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointMismatch, match="could not be fetched from the hub"):
        load_engine("transformers", "facebook/llm-compiler-7b-ftd")
    with pytest.raises(CheckpointMismatch, match="no checkpoint at"):
        load_engine("transformers", "nowhere")
    with pytest.raises(ConfigError, match="precision 'int3'"):
        load_engine("transformers", theirs, precision="int3")
    with pytest.raises(ConfigError, match="device 'abacus'"):
        load_transformers(theirs, device="abacus")
    with pytest.raises(CheckpointMismatch, match=r"no config\.json"):
        load_engine("transformers", tmp_path)
    model_config = json.loads((theirs / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(model_config))
    with pytest.raises(TokenizerMismatch, match="tokenizer"):
        load_engine("transformers", tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((theirs / "tokenizer.json").read_bytes())
    with pytest.raises(CheckpointMismatch, match="cannot be loaded"):
        load_engine("transformers", tmp_path)
    (tmp_path / "model.safetensors").write_bytes((theirs / "model.safetensors").read_bytes())
    for name, value in (("num_hidden_layers", 3), ("vocab_size", 5)):
        (tmp_path / "config.json").write_text(json.dumps(model_config | {name: value}))
        with pytest.raises(CheckpointMismatch):
            load_engine("transformers", tmp_path)


def test_code_of_a_checkpoint_is_not_run(theirs: Path, tmp_path: Path) -> None:
    model_config = json.loads((theirs / "config.json").read_bytes())
    model_config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(model_config))
    (tmp_path / "tokenizer.json").write_bytes((theirs / "tokenizer.json").read_bytes())
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n")
    with pytest.raises(CheckpointMismatch, match="cannot be loaded"):
        load_engine("transformers", tmp_path)
    assert not (tmp_path / "run").exists()
