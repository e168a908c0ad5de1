from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import InputError, TokenizerMismatch
from llm_compiler.model.prompts import (
    CompactPrompts,
    Document,
    PaperPrompts,
    load_prompts,
    parse_answer,
)
from llm_compiler.model.special import END, change_place, change_token, field_token
from llm_compiler.model.tokenizer import IrTokenizer

from .conftest import body, ir, make_sample

STAGES = [
    ("emulation", "emulate-ir"),
    ("emulation", "emulate-assembly"),
    ("flag-tuning", "flag-tuning"),
    ("disassembly", "disassembly"),
]


@pytest.fixture
def prompts(tokenizer: IrTokenizer) -> CompactPrompts:
    return CompactPrompts(tokenizer)


def only(documents: list[Document]) -> Document:
    (document,) = documents
    return document


def answer_code(sample: StageSample) -> str | None:
    """The code as the answer of a compact prompt has it: in short form, if the task has one."""
    if sample.stage == "flag-tuning":
        return None
    if sample.task in ("emulate-ir", "disassembly"):
        return body(4, m=5 * 37)
    return sample.output_code


@pytest.mark.parametrize(("stage", "task"), STAGES)
def test_answers_come_back(prompts: CompactPrompts, stage: str, task: str) -> None:
    sample = make_sample(stage, 4, task=task)
    document = only(prompts.documents(sample, 4096))
    assert list(document.prompt) == prompts.prompt(sample)
    answer = parse_answer(document.answer, prompts.tokenizer)
    # Flag tuning sees a sketch, which does not have the code after the list.
    assert answer.output_code == answer_code(sample)
    assert answer.improves
    assert answer.passes == (sample.passes if stage == "flag-tuning" else "")
    sized = {"emulation": ("after",), "flag-tuning": ("before", "after"), "disassembly": ()}
    for when in ("before", "after"):
        for metric in ("size_bytes", "text_data_bytes"):
            expected = getattr(sample, f"{metric}_{when}") if when in sized[stage] else None
            assert getattr(answer, f"{metric}_{when}") == expected
    expected_count = sample.num_instructions_after if stage == "emulation" else None
    assert answer.num_instructions_after == expected_count


def test_prompts_hold_what_is_given_and_nothing_of_the_answer(prompts: CompactPrompts) -> None:
    decode = prompts.tokenizer.decode
    text = decode(prompts.prompt(make_sample("emulation", 4, task="emulate-ir")))
    assert text == (
        "<|begin|><|task:emulate-ir|><|target:x86_64|><|passes|><|pass:function(sroa<modify-cfg>)|>"
        f"<|pass:globaldce|><|count|>11<|size|>1203<|text-data|>1100<|code|>{body(4)}<|answer|>"
    )
    for stage, task in STAGES:
        sample = make_sample(stage, 4, task=task)
        other = dataclasses.replace(
            sample,
            output_code=ir(4, 3),
            num_instructions_after=1,
            size_bytes_after=2,
            text_data_bytes_after=3,
        )
        if stage == "flag-tuning":
            other = dataclasses.replace(other, passes="dce", text_data_bytes_before=9)
        assert prompts.prompt(other) == prompts.prompt(sample)


def test_no_improvement(prompts: CompactPrompts) -> None:
    sample = make_sample("flag-tuning", 4)
    sample = dataclasses.replace(sample, improves=False, passes="", output_code="")
    answer = parse_answer(only(prompts.documents(sample, 4096)).answer, prompts.tokenizer)
    assert not answer.improves
    assert (answer.passes, answer.output_code, answer.size_bytes_before) == ("", None, 1203)


def test_a_pass_without_a_token_is_spelled_out(prompts: CompactPrompts) -> None:
    passes = (
        "globaldce,function(simplifycfg<bonus-inst-threshold=7>),"
        "function(simplifycfg<bonus-inst-threshold=8>),function(dce)"
    )
    sample = dataclasses.replace(make_sample("flag-tuning", 4), passes=passes)
    answer = parse_answer(only(prompts.documents(sample, 4096)).answer, prompts.tokenizer)
    assert answer.passes == passes


def test_a_list_costs_one_token_a_pass(prompts: CompactPrompts) -> None:
    assert len(prompts.pass_ids("globaldce,function(dce),function(sroa<modify-cfg>)")) == 1 + 3
    assert len(prompts.pass_ids("")) == 1


def test_long_pretraining_texts_are_cut_without_loss(prompts: CompactPrompts) -> None:
    sample = make_sample("pretraining", 4, task="ir", repeat=60)
    documents = prompts.documents(sample, 100)
    assert len(documents) > 3
    assert {len(document.ids) for document in documents[:-1]} == {100}
    ids = [id_ for document in documents for id_ in document.answer]
    assert prompts.tokenizer.decode(ids) == sample.output_code + END
    continued = prompts.tokenizer.special(field_token("continued"))
    assert [continued in document.prompt for document in documents] == [False] + [True] * (
        len(documents) - 1
    )


@pytest.mark.parametrize("task", ["emulate-ir", "disassembly"])
def test_what_must_be_whole_is_left_out(prompts: CompactPrompts, task: str) -> None:
    sample = make_sample("emulation" if task != "disassembly" else task, 4, task=task)
    length = len(only(prompts.documents(sample, 4096)).ids)
    assert len(prompts.documents(sample, length)) == 1
    assert prompts.documents(sample, length - 1) == []


def test_long_flag_tuning_loses_the_end_of_its_sketch(prompts: CompactPrompts) -> None:
    sample = make_sample("flag-tuning", 4, repeat=12)
    whole = only(prompts.documents(sample, 4096))
    room = len(whole.ids) - 20
    shorter = only(prompts.documents(sample, room))
    assert len(shorter.ids) == room
    assert shorter.answer == whole.answer
    assert list(shorter.prompt[:-2]) == list(whole.prompt[: len(shorter.prompt) - 2])
    assert prompts.tokenizer.decode(shorter.prompt[-2:]) == "<|cut|><|answer|>"
    assert prompts.documents(sample, 60) == []


def test_a_round_says_the_list_and_the_change(prompts: CompactPrompts) -> None:
    ids = prompts.round_ids("function(dce)", 990, 1000)
    assert (
        prompts.tokenizer.decode(ids) == "<|passes|><|pass:function(dce)|><|size|><|change:-0.012|>"
    )
    same, failed = (prompts.round_ids("", size, 1000)[-1] for size in (1000, -1))
    assert prompts.tokenizer.decode([same, failed]) == "<|change:0|><|change:failed|>"


def test_changes_are_told_apart_on_either_side_of_no_change() -> None:
    sizes = (500, 969, 999, 1000, 1001, 1031, 9000)
    found = [change_token(change_place(size, 1000)) for size in sizes]
    numbers = [float(word.removeprefix("<|change:").removesuffix("|>")) for word in found]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(numbers)
    assert numbers[2] < 0 == numbers[3] < numbers[4]


def mutilations(prompts: CompactPrompts) -> Iterator[tuple[str, list[int]]]:
    special = prompts.tokenizer.special
    text = prompts.tokenizer.encode("many words")
    size, passes = special(field_token("size")), special(field_token("passes"))
    dce = prompts.tokenizer.pass_id("function(dce)")
    assert dce is not None
    yield "begins with text", text
    yield "text in a pass list", [passes, dce, *text]
    yield "as size", [size, *text, prompts.tokenizer.end]
    yield "outside a pass list", [size, dce]
    yield "no field", [special("<|task:ir|>")]
    yield "too often", [*[size, *prompts.tokenizer.encode_number(7)] * 3, prompts.tokenizer.end]
    yield "no known pass", [passes, special(field_token("pass-text")), *text, size]


def test_nonsense_is_refused(prompts: CompactPrompts) -> None:
    for message, ids in mutilations(prompts):
        with pytest.raises(InputError, match=message):
            parse_answer(ids, prompts.tokenizer)


def test_an_answer_cut_off_states_what_is_finished(prompts: CompactPrompts) -> None:
    sample = make_sample("flag-tuning", 4)
    answer = list(only(prompts.documents(sample, 4096)).answer)
    size = answer.index(prompts.tokenizer.special(field_token("size")))
    found = parse_answer(answer[: size + 2], prompts.tokenizer)
    assert (found.passes, found.size_bytes_before) == (sample.passes, None)
    assert parse_answer(answer[:-5], prompts.tokenizer).output_code is None


@pytest.fixture(scope="session")
def llama_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for Code Llama's tokenizer, of the same format: sentencepiece-like BPE."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=specials,
        initial_alphabet=[*map(chr, range(33, 127)), "\n", "▁"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([ir(n) for n in range(40)], trainer)
    folder = tmp_path_factory.mktemp("llama")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(("stage", "task"), STAGES)
def test_paper_prompts(llama_tokenizer: Path, stage: str, task: str) -> None:
    from tokenizers import Tokenizer

    prompts = load_prompts(llama_tokenizer)
    assert isinstance(prompts, PaperPrompts)
    sample: StageSample = make_sample(stage, 4, task=task)
    document = only(prompts.documents(sample, 4096))
    tokenizer = Tokenizer.from_file(str(llama_tokenizer / "tokenizer.json"))
    prompt = tokenizer.decode(list(document.prompt), skip_special_tokens=True)
    assert prompt.startswith("[INST] ")
    assert prompt.endswith(" [/INST]")
    assert sample.input_code in prompt
    assert sample.output_code in tokenizer.decode(list(document.answer))
    assert (document.ids[0], document.ids[-1]) == (1, 2)
    assert prompts.documents(sample, 50) == []


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMismatch, match="no readable tokenizer"):
        load_prompts(tmp_path)
