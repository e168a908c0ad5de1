"""A function of AArch64 with the code that was outlined of it back in its place.

That is what the code generator had before its last step, which moves code that several functions
share into functions of its own. Lifts are compared with it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.reassemble import Reassembled
from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.outlined import PREFIX, inline_outlined
from llm_compiler.errors import CompileFailed, InputError
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.round_trip import read_code_object

__all__ = ["without_outlined"]


def without_outlined(
    binary: Binary,
    reader: FunctionReader,
    toolchain: Toolchain,
    text: FunctionText,
    proof: Reassembled,
    output: Path,
) -> tuple[FunctionText, Reassembled]:
    """Return a function's text and object with outlined code where it is called.

    Where that is not known, both stay as they are.
    """
    pieces: list[FunctionText] = []

    def read(name: str) -> str | None:
        symbol = binary.elf.symbol(name)
        if symbol is None or not symbol.is_defined:
            return None
        pieces.append(reader.read(symbol))
        return pieces[-1].text

    try:
        whole = inline_outlined(text.text, read)
        assemble(whole, binary.elf.architecture, toolchain, output, name=text.name)
        code = read_code_object(output, toolchain)
    except (Unliftable, Unreadable, CompileFailed, InputError):
        return text, proof
    all_ = (text, *pieces)
    variables = {variable.name: variable for each in all_ for variable in each.variables}
    functions = dict.fromkeys(name for each in all_ for name in each.static_functions)
    text = dataclasses.replace(
        text,
        text=whole,
        variables=tuple(variables.values()),
        static_functions=tuple(
            function for function in functions if not function.startswith(PREFIX)
        ),
        opened=tuple(dict.fromkeys(index for each in all_ for index in each.opened)),
    )
    return text, dataclasses.replace(proof, code=code)
