"""Which inline assembly an answer may hold: what no IR stands for, and the function has itself."""

from __future__ import annotations

import re

from llm_compiler.disassembly.read_function import FunctionText
from llm_compiler.verify.lifted import LiftInspection

__all__ = ["needless_assembly"]

# Instructions that no IR stands for: only they may come as inline assembly.
_ASM_ONLY = re.compile(
    r"^(?:syscall|sysenter|cpuid|hlt|cli|sti|int|in[bwl]?|out[bwl]?|rdmsr|wrmsr|xgetbv|xsetbv|"
    r"l[gi]dt|invlpg|svc|hvc|smc|mrs|msr|wfi|wfe|sev|isb|dsb|at|dc|ic|tlbi)$"
)


def needless_assembly(inspection: LiftInspection, text: FunctionText) -> str:
    """Say what assembly an answer holds that the function does not force upon it."""
    own = {line.split(" ", 1)[0] for line in text.text.splitlines()}
    for template in inspection.asm:
        for line in re.split(r"\\0A|\\09|;|\n", template):
            word = line.strip().split(" ", 1)[0].split("\t", 1)[0]
            if not _ASM_ONLY.match(word) or word not in own:
                return f"the answer holds assembly itself ('{template[:60]}')"
    return ""
