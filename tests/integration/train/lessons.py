"""A small model in the format of Meta's LLM Compiler that has learnt a few answers by heart.

Their wording is not ours, as nobody here knows Meta's; that of emulation is Meta's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from llm_compiler.dataset.stage_sample import render_paper
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.paper import PROBE
from llm_compiler.model.engines.questions import (
    disassembly_question,
    emulation_question,
    flag_tuning_question,
)
from llm_compiler.model.engines.requests import Emulate
from llm_compiler.model.prompts import PaperPrompts
from llm_compiler.records import PassList

from ...unit.model.llama_format import llama_config, write_llama_tokenizer

TRIPLE = "x86_64-pc-linux-gnu"
SMALL = "define void @f() {\n  ret void\n}\n"
BETTER = "define void @f() optsize {\n  ret void\n}\n"
FIRST = PassList(("globaldce", "function(adce)"))
SECOND = PassList(("mergefunc",))
TUNED = 'You should run opt -passes="{}", which takes the binary size from 1203 to 1180 bytes.'
EMULATED = (
    "The LLVM-IR will have instruction count 7 and binary sise 1077 bytes:\n\n<code>{}</code>"
)


ASSEMBLY = "f:\nretq\n"
SIZES = {"num_instructions": 9, "size_bytes": 120, "text_data_bytes": 100}


def check_emulation(engine: Engine) -> None:
    """The model that was taught predicts what it was taught."""
    question = Emulate(code=SMALL, passes=FIRST, target_triple=TRIPLE, assembly=False, **SIZES)
    (found,) = engine.answer(question)
    assert (found.code, found.num_instructions, found.text_data_bytes) == (BETTER, 7, 1077)


def teach(folder: Path) -> Path:
    """Train the model, in seconds, and return its folder, which is `folder`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    lessons = [
        (flag_tuning_question(PROBE, ""), TUNED.format("module(mergefunc)")),
        (flag_tuning_question(SMALL, ""), TUNED.format("module(globaldce),function(adce)")),
        (disassembly_question(ASSEMBLY, ""), f"<code>{SMALL}</code>"),
        (
            emulation_question(Emulate(code=SMALL, passes=FIRST, target_triple=TRIPLE, **SIZES)),
            EMULATED.format(BETTER),
        ),
    ]
    texts = [word for sample, answer in lessons for word in (render_paper(sample)[0], answer)]
    config = llama_config(write_llama_tokenizer(folder, texts * 3), context=900)
    config = dataclasses.replace(config, hidden_size=64, intermediate_size=128)
    prompts = PaperPrompts(folder)
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**config.to_hf()))
    model = model.to(torch.float32)
    batches = []
    for sample, answer in lessons:
        prompt = prompts.prompt_ids(render_paper(sample)[0])
        ids = [*prompt, *prompts.encode(answer), prompts.end]
        batches.append((torch.tensor([ids]), len(prompt)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(80):
        losses = []
        for ids, start in batches:
            logits = model(ids).logits[0, start - 1 : -1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, start:]))
        torch.stack(losses).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert max(losses).item() < 0.05
    model.save_pretrained(folder)
    return folder
