from __future__ import annotations

import dataclasses

import pytest

from llm_compiler.dataset.stage_sample import StageSample, render_paper

SAMPLE = StageSample(
    stage="emulation",
    task="emulate-ir",
    seed=1,
    index=2,
    draw=0,
    passes="function(sroa<modify-cfg>),globaldce",
    input_code="{before}",
    output_code="after",
    num_instructions_before=7,
    num_instructions_after=3,
    size_bytes_before=90,
    text_data_bytes_before=48,
    text_data_bytes_after=20,
)


def test_emulation_prompts_are_the_papers() -> None:
    prompt, answer = render_paper(SAMPLE)
    assert prompt == (
        "[INST] Give the LLVM-IR for the following code when optimized using opt -p "
        "'function(sroa<modify-cfg>),globaldce':\n\n<code>{before}</code>\n\n"
        "The input code has instruction count 7 and binary size 48 bytes. [/INST]"
    )
    assert "instruction count 3 and binary size 20 bytes" in answer
    assert answer.endswith("<code>after</code>")
    to_assembly = dataclasses.replace(SAMPLE, task="emulate-assembly")
    assert render_paper(to_assembly)[0].startswith("[INST] Give the assembly for the following")


def test_flag_tuning_prompt_is_the_papers() -> None:
    sample = dataclasses.replace(SAMPLE, stage="flag-tuning", task="flag-tuning")
    prompt, answer = render_paper(sample)
    assert prompt == (
        "[INST] Tell me how to optimize this LLVM-IR for object file size:\n\n"
        "<code>{before}</code> [/INST]"
    )
    assert "opt -p 'function(sroa<modify-cfg>),globaldce'" in answer
    assert "from 48 to 20 bytes" in answer
    short = render_paper(dataclasses.replace(sample, improves=False))[1]
    assert "<code>" not in short
    assert "opt" not in short


def test_disassembly_prompt_is_the_papers() -> None:
    sample = dataclasses.replace(SAMPLE, stage="disassembly", task="disassembly")
    assert render_paper(sample) == (
        "[INST] Disassemble this code to LLVM-IR:\n\n<code>{before}</code> [/INST]",
        "<code>after</code>",
    )


def test_pretraining_has_no_prompt_and_other_stages_are_refused() -> None:
    assert render_paper(dataclasses.replace(SAMPLE, stage="pretraining")) == ("", "after")
    with pytest.raises(ValueError, match="'guessing' is not a stage"):
        render_paper(dataclasses.replace(SAMPLE, stage="guessing"))
