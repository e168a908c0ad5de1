"""Instruction count and sizes after a pass list, as models state them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.evaluate.samples import SampleRow, identity_of
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.requests import Emulate

__all__ = ["SizeRow", "predict_sizes", "size_row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow(SampleRow):
    """One model's prediction for one module and pass list; -1 where it states nothing."""

    passes: str
    num_instructions_before: int
    num_instructions_after: int
    num_instructions_predicted: int
    size_bytes_before: int
    size_bytes_after: int
    size_bytes_predicted: int
    text_data_bytes_before: int
    text_data_bytes_after: int
    text_data_bytes_predicted: int
    seconds: float


def predict_sizes(engine: Engine, sample: StageSample) -> tuple[int, int, int]:
    """Return predicted instruction count, size, and .text + .data; -1 for what is not stated.

    Our own models state them before the code, which is not waited for; others are asked for all.
    """
    found = engine.answer(
        Emulate(
            code=sample.input_code,
            passes=parse_pass_list(sample.passes),
            target_triple=sample.target_triple,
            num_instructions=sample.num_instructions_before,
            size_bytes=sample.size_bytes_before,
            text_data_bytes=sample.text_data_bytes_before,
            only_numbers=True,
        )
    )
    if not found:
        return -1, -1, -1
    stated = found[0].num_instructions, found[0].size_bytes, found[0].text_data_bytes
    count, size, text_data = (-1 if index is None else index for index in stated)
    return count, size, text_data


def size_row(engine: Engine, sample: StageSample, *, suite: str, model: str) -> SizeRow:
    """Return the row of one emulation sample."""
    start = time.monotonic()
    count, size, text_data = predict_sizes(engine, sample)
    return SizeRow(
        **identity_of(sample, suite, model),
        passes=sample.passes,
        num_instructions_before=sample.num_instructions_before,
        num_instructions_after=sample.num_instructions_after,
        num_instructions_predicted=count,
        size_bytes_before=sample.size_bytes_before,
        size_bytes_after=sample.size_bytes_after,
        size_bytes_predicted=size,
        text_data_bytes_before=sample.text_data_bytes_before,
        text_data_bytes_after=sample.text_data_bytes_after,
        text_data_bytes_predicted=text_data,
        seconds=time.monotonic() - start,
    )
