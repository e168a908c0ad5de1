from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.dataset.lifting.emulation import same_bodies
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import CheckpointMismatch, ConfigError, TokenizerMismatch
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.decoding import ALL, Asked, FloatArray, log_softmax
from llm_compiler.model.engines import loader
from llm_compiler.model.engines.compact import AnswerGrammar, CompactEngine, PassGrammar
from llm_compiler.model.engines.embedded import EmbeddedDecoder, load_embedded
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.questions import flag_tuning_question
from llm_compiler.model.engines.requests import Emulate, Lift, Propose
from llm_compiler.model.prompts import CompactPrompts, parse_answer
from llm_compiler.model.special import field_token, registry_passes
from llm_compiler.model.tokenizer import TOKENIZER_FILE, IrTokenizer
from llm_compiler.records import PassList
from llm_compiler.search.coreset import load_coreset

from .conftest import assembly, body, ir, make_sample
from .reference import Reference, tiny_config, write_checkpoint

TRIPLE = "x86_64-pc-linux-gnu"
LISTS = load_coreset().lists


@pytest.fixture(scope="module")
def checkpoint(tokenizer: IrTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(tokenizer.vocab_size, context=900)
    return write_checkpoint(tmp_path_factory.mktemp("model"), config, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Iterator[CompactEngine]:
    with load_embedded(checkpoint, precision="fp32", threads=1, cache=checkpoint) as engine:
        yield engine


RANKED = Propose(
    code=ir(1), target_triple=TRIPLE, num_candidates=1000, lists=LISTS, oz_size_bytes=900
)
"""All lists for a module."""


def test_all_lists_are_ranked(engine: CompactEngine) -> None:
    found = engine.answer(RANKED)
    assert {proposal.passes for proposal in found} == set(LISTS)
    assert len(found) == len(set(LISTS))
    total = [proposal.log_probability for proposal in found]
    assert total == sorted(total, reverse=True)
    assert sum(map(math.exp, total)) == pytest.approx(1, abs=1e-4)
    assert engine.answer(replace(RANKED, num_candidates=4)) == found[:4]
    # The module, its size, and the target matter.
    for other in (
        replace(RANKED, code=ir(77)),
        replace(RANKED, oz_size_bytes=512),
        Propose(code=ir(1), target_triple="aarch64-linux-gnu", num_candidates=1000, lists=LISTS),
    ):
        assert [proposal.log_probability for proposal in engine.answer(other)] != total
    assert (
        engine.answer(Propose(code=ir(1), target_triple=TRIPLE, num_candidates=3, lists=[])) == []
    )
    assert (
        engine.answer(Propose(code=ir(1), target_triple=TRIPLE, num_candidates=0, lists=LISTS))
        == []
    )


def test_a_list_has_the_probability_that_its_document_gives_it(
    engine: CompactEngine, tokenizer: IrTokenizer
) -> None:
    """What training writes (`documents`) is what the engine asks for."""
    lists = [parse_pass_list(item) for item in ("globaldce", "function(sroa<modify-cfg>)", "")]
    sample = _tuning_sample(ir(3), "globaldce", 1203)
    (document,) = CompactPrompts(tokenizer).documents(sample, 900)
    reference = Reference(tiny_config(tokenizer.vocab_size, context=900))
    rows = reference.log_probabilities(document.ids)
    end = tokenizer.special(field_token("size"))
    choices = [tokenizer.pass_id("globaldce"), tokenizer.pass_id(lists[1].pipeline), end]
    row = rows[document.answer_start]  # after <passes>
    assert document.ids[document.answer_start + 1] == choices[0]
    expected = row[choices[0]] - math.log(sum(math.exp(row[choice]) for choice in choices))
    found = engine.answer(
        Propose(code=ir(3), target_triple=TRIPLE, num_candidates=3, lists=lists, oz_size_bytes=1203)
    )
    (chosen,) = (proposal for proposal in found if proposal.passes == lists[0])
    assert chosen.log_probability == pytest.approx(expected, abs=1e-3)


def _tuning_sample(code: str, passes: str, oz_size_bytes: int) -> StageSample:
    return replace(flag_tuning_question(code, TRIPLE, oz_size_bytes), passes=passes)


def test_what_was_tried_is_taken_into_account_and_not_proposed_again(
    engine: CompactEngine,
) -> None:
    fresh = engine.answer(RANKED)
    tried = [(fresh[0].passes, 880), (fresh[3].passes, -1)]
    found = engine.answer(replace(RANKED, tried=tried))
    assert {proposal.passes for proposal in found} == set(LISTS) - {
        fresh[0].passes,
        fresh[3].passes,
    }
    worse = [(fresh[0].passes, 950), (fresh[3].passes, -1)]
    other = engine.answer(replace(RANKED, tried=worse))
    assert [proposal.log_probability for proposal in found] != [
        proposal.log_probability for proposal in other
    ]
    free = replace(RANKED, num_candidates=4, lists=None)
    novel = engine.answer(free)
    again = engine.answer(replace(free, tried=[(proposal.passes, 900) for proposal in novel]))
    assert not {proposal.passes for proposal in novel} & {proposal.passes for proposal in again}


def test_new_lists_are_well_formed_safe_and_distinct(engine: CompactEngine) -> None:
    found = engine.answer(Propose(code=ir(1), target_triple=TRIPLE, num_candidates=16, lists=None))
    assert len({each_proposal.passes for each_proposal in found}) == len(found) == 16
    safe = set(registry_passes())
    for proposal in found:
        assert set(proposal.passes.elements) <= safe
        assert parse_pass_list(proposal.passes.pipeline) == proposal.passes


def test_modules_beyond_the_context_are_cut(engine: CompactEngine) -> None:
    long = "".join(ir(n) for n in range(200))
    found = engine.answer(Propose(code=long, target_triple=TRIPLE, num_candidates=4, lists=LISTS))
    assert len(found) == 4


def test_answers_with_code(checkpoint: Path) -> None:
    with load_embedded(checkpoint, precision="fp32", threads=1, cache=checkpoint) as engine:
        assert engine.constrain
        engine.constrain = False  # random weights end no well-formed body
        _check_answers(engine)


def _check_answers(engine: CompactEngine) -> None:
    found = engine.answer(
        Lift(assembly=assembly(1), target_triple=TRIPLE, num_candidates=12, temperature=1.5, seed=1)
    )
    # Random weights end a text with each token by chance: some of twelve do.
    assert found
    assert len({answer.code for answer in found}) == len(found) <= 12
    for code_answer in found:
        assert code_answer.num_tokens >= 2
        assert code_answer.log_probability < 0
        assert "<|" not in code_answer.code
    assert found == engine.answer(
        Lift(assembly=assembly(1), target_triple=TRIPLE, num_candidates=12, temperature=1.5, seed=1)
    )
    assert (
        engine.answer(Lift(assembly=assembly(1, 300), target_triple=TRIPLE, num_candidates=2)) == []
    )


class Scripted:
    """A model that knows one text by heart, as a `Decoder` and its own state."""

    context = 2000

    def __init__(self, vocab_size: int, text: Sequence[int]) -> None:
        self.vocab_size, self._text = vocab_size, list(text)

    def start(self, ids: Sequence[int]) -> Scripted:
        assert list(ids) == self._text[: len(ids)]
        self.num_prompt = len(ids)
        self._depths: list[int] = []
        return self

    @property
    def first(self) -> FloatArray:
        return self._row(0)

    def extend(self, ids: Sequence[int], parents: Sequence[int], asked: Asked = ALL) -> FloatArray:
        assert asked is ALL
        start = len(self._depths)
        self._depths += [self._depths[parent] + 1 if parent >= 0 else 1 for parent in parents]
        return np.stack([self._row(depth) for depth in self._depths[start:]])

    def _row(self, depth: int) -> FloatArray:
        row = np.zeros(self.vocab_size, np.float32)
        row[self._text[self.num_prompt + depth]] = 9
        return log_softmax(row)

    def close(self) -> None:
        pass


def knowing(text: Sequence[int], prompts: CompactPrompts) -> CompactEngine:
    """An engine whose model knows one text by heart."""
    decoder = Scripted(prompts.tokenizer.vocab_size, text)
    return CompactEngine(decoder, prompts, name="embedded", model="by heart")


@pytest.mark.parametrize("task", ["emulate-ir", "emulate-assembly"])
def test_emulation_asks_and_understands_what_was_learnt(tokenizer: IrTokenizer, task: str) -> None:
    prompts = CompactPrompts(tokenizer)
    sample = make_sample("emulation", task=task)
    (document,) = prompts.documents(sample, 2000)
    engine = knowing(document.ids, prompts)
    (answer,) = engine.answer(
        Emulate(
            code=sample.input_code,
            passes=parse_pass_list(sample.passes),
            target_triple=TRIPLE,
            assembly=task == "emulate-assembly",
            num_instructions=sample.num_instructions_before,
            size_bytes=sample.size_bytes_before,
            text_data_bytes=sample.text_data_bytes_before,
        )
    )
    if task == "emulate-ir":
        assert same_bodies(answer.code, sample.output_code)
        assert answer.code.count("\nattributes ") == 1
    else:
        assert answer.code == sample.output_code
    assert answer.num_instructions == sample.num_instructions_after
    assert answer.size_bytes == sample.size_bytes_after
    assert answer.text_data_bytes == sample.text_data_bytes_after
    assert answer.num_tokens == len(document.answer)


def test_disassembly_asks_and_understands_what_was_learnt(tokenizer: IrTokenizer) -> None:
    prompts = CompactPrompts(tokenizer)
    sample = make_sample("disassembly")
    (document,) = prompts.documents(sample, 2000)
    engine = knowing(document.ids, prompts)
    found = engine.answer(Lift(assembly=sample.input_code, target_triple=TRIPLE, num_candidates=1))
    (answer,) = found
    assert same_bodies(answer.code, sample.output_code.replace("dso_local ", ""))
    assert 'target triple = "x86_64-pc-linux-gnu"' in answer.code


def test_emulation_goes_function_by_function(tokenizer: IrTokenizer) -> None:
    prompts = CompactPrompts(tokenizer)
    first = make_sample("emulation", task="emulate-ir")
    first = replace(
        first, num_instructions_before=2, size_bytes_before=600, text_data_bytes_before=550
    )
    (document,) = prompts.documents(first, 2000)
    engine = knowing(document.ids, prompts)
    both = first.input_code + first.input_code.split("\n\n")[1].replace("sum_1", "sum_2") + "\n"
    (answer,) = engine.answer(
        Emulate(
            code=both,
            passes=parse_pass_list(first.passes),
            target_triple=TRIPLE,
            assembly=False,
            num_instructions=4,
            size_bytes=1200,
            text_data_bytes=1100,
        )
    )
    expected = first.output_code + (
        first.output_code.split("\n\n")[1].replace("sum_1", "sum_2") + "\n"
    )
    assert same_bodies(answer.code, expected)
    assert answer.num_instructions == 2 * first.num_instructions_after
    assert answer.size_bytes is None


def test_what_does_not_end_is_no_answer(engine: CompactEngine) -> None:
    question = Emulate(
        code=ir(1, 300),
        passes=PassList(("globaldce",)),
        target_triple=TRIPLE,
        assembly=False,
        num_instructions=7,
        size_bytes=70,
        text_data_bytes=60,
    )
    assert engine.answer(question) == []


def test_grammars_say_what_prompts_write(tokenizer: IrTokenizer) -> None:
    """Every answer of a document is of the grammar, and ends where it does."""
    prompts = CompactPrompts(tokenizer)
    for stage, task, numbers in (
        ("disassembly", "", ()),
        ("emulation", "emulate-ir", ("count", "size", "text-data")),
    ):
        (document,) = prompts.documents(make_sample(stage, task=task), 10_000)
        grammar = AnswerGrammar(tokenizer, numbers)
        state = grammar.start()
        for id_ in document.answer:
            assert id_ in grammar.allowed(state)
            state = grammar.advance(state, id_)
        assert len(grammar.allowed(state)) == 0
        assert parse_answer(document.answer, tokenizer).output_code == body(1, m=2 * 37)
    # A number ends where it would be a hundred times what was before.
    grammar = AnswerGrammar(tokenizer, ("count",), 2)
    state = grammar.start()
    for id_ in (tokenizer.special(field_token("count")), *tokenizer.encode_number(12)):
        state = grammar.advance(state, id_)
    assert grammar.allowed(state).tolist() == [tokenizer.special(field_token("code"))]
    passes = PassGrammar(tokenizer, 3)
    assert len(passes.tokens) == len(registry_passes()) + 1
    state = passes.start()
    for element in ("globaldce", "globaldce", "globaldce"):
        assert tokenizer.pass_id(element) in passes.allowed(state)
        state = passes.advance(state, tokenizer.pass_id(element))
    assert passes.allowed(state).tolist() == [tokenizer.special(field_token("size"))]


def test_model_and_tokenizer_must_belong_together(checkpoint: Path, tmp_path: Path) -> None:
    config = tiny_config(IrTokenizer(checkpoint).vocab_size + 1)
    write_checkpoint(tmp_path, config, tokenizer=IrTokenizer(checkpoint))
    with pytest.raises(CheckpointMismatch, match="do not belong together"):
        load_embedded(tmp_path, cache=tmp_path)
    (tmp_path / TOKENIZER_FILE).unlink()
    with pytest.raises(TokenizerMismatch):
        load_embedded(tmp_path, cache=tmp_path)


def test_engines_by_name(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = load_engine("embedded", checkpoint, threads=1)
    assert (engine.name, engine.model, engine.context) == ("embedded", str(checkpoint), 900)
    engine.close()
    assert len(list(tmp_path.rglob("*.graphs"))) == 1
    with pytest.raises(ConfigError, match="there is no engine 'no-such'"):
        load_engine("no-such", checkpoint)
    with pytest.raises(ConfigError, match="'int3' is unknown"):
        load_engine("embedded", checkpoint, precision="int3")
    with pytest.raises(CheckpointMismatch, match="there is no checkpoint at"):
        load_engine("embedded", tmp_path / "none")
    monkeypatch.setattr(loader.resources, "files", lambda _: tmp_path)
    with pytest.raises(CheckpointMismatch, match="has no model"):
        load_engine()
    shutil.copytree(checkpoint, tmp_path / "data" / "model")
    load_engine(threads=1).close()


def test_a_context_that_holds_no_prompt(tokenizer: IrTokenizer, tmp_path: Path) -> None:
    config = tiny_config(tokenizer.vocab_size, context=60)
    write_checkpoint(tmp_path, config)
    decoder = EmbeddedDecoder(tmp_path, threads=1, cache=tmp_path)
    engine = CompactEngine(decoder, CompactPrompts(tokenizer), name="embedded", model="small")
    with pytest.raises(CheckpointMismatch, match="holds no prompt"):
        engine.answer(Propose(code=ir(1) * 9, target_triple=TRIPLE, num_candidates=1, lists=LISTS))
