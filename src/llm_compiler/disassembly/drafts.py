"""What was not shown right, beside what was: drafts that can be read and are never linked against.

A draft is defined under the function's name and its verdict (``name.unproved``), internal, with the
reason above it. Nothing refers to it: all calls go to the name, which the module declares. One that
does not link with the module stands there as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.disassembly.lift import Lift
from llm_compiler.disassembly.merge import (
    comment,
    link_modules,
    verdict_lines,
    without_header,
)
from llm_compiler.disassembly.naming import quoted_name
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.job_steps import OneStepJob, TextsJob
from llm_compiler.llvm.module import EXTERNAL, INTERNAL, Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["VERDICT_ATTRIBUTE", "DraftJob", "with_drafts"]

VERDICT_ATTRIBUTE = "llm-compiler-verdict"
_FUNCTION = 0xFFFFFFFF
_HIDDEN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftJob(TextsJob):
    """Turn texts into drafts; each step's result is a text, empty where LLVM refuses it."""

    functions: tuple[str, ...]
    drafts: tuple[str, ...]
    """New names."""
    verdicts: tuple[str, ...]
    variables: tuple[tuple[str, ...], ...]
    """Of each text, those that stay the input's."""

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        """Yield each draft."""
        for step in range(first_step, len(self.texts)):
            try:
                yield self._draft(step)
            except LlmCompilerError:
                yield ""

    def _draft(self, step: int) -> str:
        with Context() as context:
            text = self.texts[step].encode("utf-8", "surrogateescape")
            module = context.parse(text, "draft")
            library = context.library
            library.LLVMStripModuleDebugInfo(module.handle)
            handle = module.function_handle(self.functions[step])
            if not handle:
                return ""
            for variable in list(module.variable_handles()):
                if module.name_of(variable) in self.variables[step]:
                    library.LLVMSetInitializer(variable, None)
                    library.LLVMSetLinkage(variable, EXTERNAL)
                    library.LLVMSetVisibility(variable, _HIDDEN)
            library.LLVMSetVisibility(handle, 0)
            library.LLVMSetComdat(handle, None)
            # Internal only when all is linked: the linker leaves out what nothing refers to.
            library.LLVMSetLinkage(handle, EXTERNAL)
            name = self.drafts[step].encode("utf-8", "surrogateescape")
            library.LLVMSetValueName2(handle, name, len(name))
            key, value = VERDICT_ATTRIBUTE.encode(), self.verdicts[step].encode()
            attribute = library.LLVMCreateStringAttribute(
                context.handle, key, len(key), value, len(value)
            )
            library.LLVMAddAttributeAtIndex(handle, _FUNCTION, attribute)
            return "" if module.verify() else module.to_text()

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        """Return nothing."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealJob(OneStepJob):
    """Make functions of a module internal; the result is a text, empty where LLVM refuses it."""

    text: str = field(repr=False)
    functions: tuple[str, ...]

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        """Yield the text."""
        with Context() as context:
            module = context.parse(self.text.encode("utf-8", "surrogateescape"), "drafts")
            for name in self.functions:
                if handle := module.function_handle(name):
                    context.library.LLVMSetLinkage(handle, INTERNAL)
            yield "" if module.verify() else module.to_text()

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        """Return nothing."""
        return ""


def with_drafts(
    module: str, lifts: Sequence[Lift], *, pool: WorkerPool, toolchain: Toolchain, folder: Path
) -> str:
    """Return a module with the drafts of what it does not define.

    Args:
        lifts: of functions that the module leaves out; without IR they add nothing.
    """
    found = [
        each_lift for each_lift in lifts if each_lift.outcome.ir and not each_lift.outcome.alias_of
    ]
    if not found:
        return module
    names = {
        f"{each_lift.outcome.name}.{each_lift.outcome.verdict.value}": each_lift.outcome.reason
        for each_lift in found
    }
    job = DraftJob(
        texts=tuple(each_lift.outcome.ir for each_lift in found),
        functions=tuple(each_lift.outcome.name for each_lift in found),
        drafts=tuple(names),
        verdicts=tuple(each_lift.outcome.verdict.value for each_lift in found),
        variables=tuple(
            tuple(variable.name for variable in each_lift.text.variables) if each_lift.text else ()
            for each_lift in found
        ),
    )
    texts: list[str] = run_jobs(pool, [job])[0]
    linked, output = folder / "drafts-0.ll", folder / "drafts.ll"
    linked.write_text(module, "utf-8", "surrogateescape")
    commented: list[str] = []
    number = 0
    for name, text, lift in zip(names, texts, found, strict=True):
        number += 1
        path = folder / f"draft-{number}.ll"
        path.write_text(text or lift.outcome.ir, "utf-8", "surrogateescape")
        if text and not link_modules([linked, path], output, toolchain):
            linked = folder / f"drafts-{number}.ll"
            output.rename(linked)
            continue
        commented.append(comment(f"{name}: {names[name]}"))
        commented += [f";   {line}" for line in lift.outcome.ir.splitlines() if line.strip()]
    body = linked.read_text("utf-8", "surrogateescape")
    if linked.name != "drafts-0.ll":
        body = run_jobs(pool, [SealJob(text=body, functions=tuple(names))])[0][0]
        if not body:
            return module
    body = without_header(body)
    for name, reason in names.items():
        said = comment(f"{name}: {reason}")
        start = rf"^(?:; Function Attrs: .*\n)?define [^\n]*@{re.escape(quoted_name(name))}\("
        if match := re.search(start, body, re.MULTILINE):
            body = f"{body[: match.start()]}{said}\n{body[match.start() :]}"
    if linked.name != "drafts-0.ll":
        # The linker keeps no comments.
        body = "\n".join([*verdict_lines(module), "", body])
    return "\n".join([body.rstrip("\n"), *(["", *commented] if commented else []), ""])
