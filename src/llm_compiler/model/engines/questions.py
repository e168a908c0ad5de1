"""The questions that engines put to models, as samples whose answers are not known."""

from __future__ import annotations

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.model.engines.requests import Emulate

__all__ = ["disassembly_question", "emulation_question", "flag_tuning_question"]


def flag_tuning_question(code: str, target_triple: str, oz_size_bytes: int = 0) -> StageSample:
    """Ask for the pass list that makes a module smallest."""
    return StageSample(
        stage="flag-tuning",
        task="flag-tuning",
        seed=0,
        index=0,
        draw=0,
        target_triple=target_triple,
        input_code=code,
        size_bytes_before=oz_size_bytes,
    )


def disassembly_question(assembly: str, target_triple: str) -> StageSample:
    """Ask for the IR of assembly."""
    return StageSample(
        stage="disassembly",
        task="disassembly",
        seed=0,
        index=0,
        draw=0,
        target_triple=target_triple,
        input_code=assembly,
    )


def emulation_question(request: Emulate) -> StageSample:
    """Ask for what passes make of a module."""
    return StageSample(
        stage="emulation",
        task="emulate-assembly" if request.assembly else "emulate-ir",
        seed=0,
        index=0,
        draw=0,
        target_triple=request.target_triple,
        input_code=request.code,
        passes=request.passes.pipeline,
        num_instructions_before=request.num_instructions,
        size_bytes_before=request.size_bytes,
        text_data_bytes_before=request.text_data_bytes,
    )
