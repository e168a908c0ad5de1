"""Objects that carry their unoptimised bitcode in a section beside their code.

The section is marked so that linkers leave it out (SHF_EXCLUDE): to whoever knows nothing of it,
such an object is like any other. It holds the flags of code generation, and the bitcode.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.clang_flags import ClangFlags, takes_value
from llm_compiler.llvm.object_file import section_data
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

__all__ = ["Fat", "code_flags", "fatten", "read_fat"]

_SECTION = ".llvm_cc_bitcode"
_MAGIC = b"llm-cc bitcode 1\n"
_TIMEOUT_S = 60.0
# What the back end must be asked for again, since bitcode does not say it.
_CODE = re.compile(
    r"^(-m.+|--target=.*|-f(PIC|pic|PIE|pie|no-PIC|no-pic|no-PIE|no-pie|no-plt|function-sections"
    r"|data-sections|no-function-sections|no-data-sections|emulated-tls|fast-math|no-math-errno"
    r"|unsafe-math-optimizations|ffp-contract=.*|fp-contract=.*|trapping-math|no-trapping-math"
    r"|no-unique-section-names|no-asynchronous-unwind-tables|asynchronous-unwind-tables"
    r"|unwind-tables|no-unwind-tables|semantic-interposition|no-semantic-interposition|common"
    r"|exceptions|no-exceptions|omit-frame-pointer|no-omit-frame-pointer))$"
)


@dataclass(frozen=True, slots=True)
class Fat:
    """What an object carries."""

    flags: tuple[str, ...]
    """Of code generation."""
    bitcode: bytes = field(repr=False)


def code_flags(flags: ClangFlags) -> tuple[str, ...]:
    """Return the flags that the back end must be given again, in their order."""
    kept: list[str] = []
    rest = iter(flags.kept)
    for word in rest:
        if takes_value(word):
            value = next(rest, "")
            if word in ("-target", "-mthread-model"):
                kept += [word, value]
        elif _CODE.match(word):
            kept.append(word)
    return tuple(kept)


def fatten(data: bytes, fat: Fat, toolchain: Toolchain, folder: Path) -> bytes:
    """Return an object with bitcode beside its code.

    Raises:
        InputError: llvm-objcopy does not take it.
    """
    body = _MAGIC + json.dumps(fat.flags).encode() + b"\n" + fat.bitcode
    with tempfile.TemporaryDirectory(prefix="fat-", dir=folder) as name:
        inside = Path(name)
        (inside / "bitcode").write_bytes(body)
        (inside / "in.o").write_bytes(data)
        command: list[str | Path] = [
            toolchain.tool("llvm-objcopy"),
            f"--add-section={_SECTION}={inside / 'bitcode'}",
            f"--set-section-flags={_SECTION}=exclude",
            inside / "in.o",
            inside / "out.o",
        ]
        done = run(command, timeout_s=_TIMEOUT_S)
        if not done.ok:
            raise InputError(f"no bitcode beside the code: {done.stderr_text.strip()[:200]}")
        return (inside / "out.o").read_bytes()


def read_fat(data: bytes) -> Fat | None:
    """Return what an object carries; None where that is nothing."""
    if _MAGIC not in data:
        return None
    try:
        body = section_data(data, _SECTION) or b""
        if not body.startswith(_MAGIC):
            return None
        flags, bitcode = body[len(_MAGIC) :].split(b"\n", 1)
        return Fat(tuple(json.loads(flags)), bitcode)
    except (LlmCompilerError, ValueError):
        return None
