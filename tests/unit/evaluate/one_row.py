"""A row of an evaluation."""

from __future__ import annotations

from llm_compiler.evaluate.flag_tuning.rows import Row

__all__ = ["ROW"]

ROW = Row(
    suite="s",
    module="m",
    module_hash="h",
    program="p",
    target_triple="x86_64-pc-linux-gnu",
    num_functions=1,
    num_instructions=10,
    baseline="clang -Oz",
    flags="",
    baseline_size_bytes=1000,
    baseline_text_data_bytes=500,
    contender="random",
    model="",
    budget=4,
    num_evaluations=4,
    passes="dce",
    size_bytes=900,
    text_data_bytes=400,
    in_process_size_bytes=900,
    verdict="passed",
    num_rejected=0,
    ceiling_size_bytes=-1,
    ceiling_text_data_bytes=-1,
    compile_seconds=0.5,
    model_seconds=0.0,
)
