"""One sample of a training stage: its fields, not its tokens; and the paper's prompts for it.

Knows nothing of LLVM, of files or of how a sample was made. Frozen values; they can be pickled.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["LATER_FIELDS", "STAGES", "STAGE_FIELDS", "StageSample", "render_paper"]

STAGES: Final = ("pretraining", "emulation", "flag-tuning", "disassembly")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSample:
    """A sample, which (stage, seed, index) and the corpus give again, byte for byte.

    Sizes are bytes, counts are IR instructions; both 0 where the stage does not state them.
    """

    stage: str
    task: str
    """pretraining: ``ir``, ``assembly``, ``code`` or ``text``; emulation: ``emulate-ir`` or
    ``emulate-assembly``; disassembly: ``disassembly``, ``repair`` or ``finish``; else the stage's
    name."""
    seed: int
    index: int
    draw: int
    """How many draws of this index gave no sample before this one."""
    module_hash: str = ""
    """Empty for code and text."""
    target_triple: str = ""
    package: str = ""
    split: str = ""
    path: str = ""
    """Where code and text come from, within the package."""
    passes: str = ""
    """The canonical pass list between input and output (pretraining, disassembly: from the corpus's
    module to the code); empty for none."""
    improves: bool = True
    """flag-tuning: whether the list makes the module smaller than ``default<Oz>``."""
    input_code: str = field(default="", repr=False)
    output_code: str = field(default="", repr=False)
    attempt: str = field(default="", repr=False)
    """repair: a body in short form (`dataset.lifting`) that is wrong; finish: the one that rules
    have made."""
    report: str = field(default="", repr=False)
    """repair: what is wrong with it (`dataset.lifting.report`)."""
    num_instructions_before: int = 0
    num_instructions_after: int = 0
    size_bytes_before: int = 0
    size_bytes_after: int = 0
    text_data_bytes_before: int = 0
    text_data_bytes_after: int = 0

    def to_row(self) -> dict[str, Any]:
        """Return the fields by name, as a row of a shard."""
        return dataclasses.asdict(self)


STAGE_FIELDS: Final = tuple(each_field.name for each_field in dataclasses.fields(StageSample))
LATER_FIELDS: Final = ("attempt", "report")
"""Those that shards of earlier versions lack."""

# The answers' wording is not published (PAPER.md); these keep to what a reader by grammar finds.
_EMULATE = (
    "[INST] Give the {language} for the following code when optimized using opt -p '{passes}':\n\n"
    "<code>{code}</code>\n\n"
    "The input code has instruction count {count} and binary size {size} bytes. [/INST]"
)
_TUNE = (
    "[INST] Tell me how to optimize this LLVM-IR for object file size:\n\n"
    "<code>{code}</code> [/INST]"
)
_DISASSEMBLE = "[INST] Disassemble this code to LLVM-IR:\n\n<code>{code}</code> [/INST]"


def render_paper(sample: StageSample) -> tuple[str, str]:
    """Return a sample as the prompt of the paper's released weights, and an answer to it.

    Binary sizes are .text + .data, as in the paper. For pretraining the prompt is empty.

    Raises:
        ValueError: the sample's stage is unknown.
    """
    code = f"<code>{sample.output_code}</code>"
    match sample.stage:
        case "pretraining":
            return "", sample.output_code
        case "emulation":
            language = "LLVM-IR" if sample.task == "emulate-ir" else "assembly"
            prompt = _EMULATE.format(
                language=language,
                passes=sample.passes,
                code=sample.input_code,
                count=sample.num_instructions_before,
                size=sample.text_data_bytes_before,
            )
            return prompt, (
                f"The {language} will have instruction count {sample.num_instructions_after} and "
                f"binary size {sample.text_data_bytes_after} bytes:\n\n{code}"
            )
        case "flag-tuning":
            prompt = _TUNE.format(code=sample.input_code)
            if not sample.improves:
                return prompt, "No pass list makes this code smaller."
            return prompt, (
                f"opt -p '{sample.passes}' reduces the binary size from "
                f"{sample.text_data_bytes_before} to {sample.text_data_bytes_after} bytes:"
                f"\n\n{code}"
            )
        case "disassembly":
            return _DISASSEMBLE.format(code=sample.input_code), code
    raise ValueError(f"'{sample.stage}' is not a stage")
