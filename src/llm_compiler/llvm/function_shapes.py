"""The shape of each function of a module in a few counts: what a chooser of recipes reads.

Counts of instructions by kind, blocks, calls, parameters, and who may know the function. They are
taken from the unoptimised module in one walk over its instructions. Needs LLVM in this process;
not safe with one context in two threads.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from llm_compiler.llvm.module import EXTERNAL, LOCAL, Module
from llm_compiler.llvm.symbol_sizes import symbol_name

__all__ = ["KINDS", "FunctionShape", "function_shapes"]

# LLVMOpcode, llvm-c/Core.h, the same in LLVM 17 to 22.
_BR, _INVOKE, _CALL = 2, 5, 45
_KIND_OF_OPCODE = {
    1: "return",
    _BR: "branch",
    3: "switch",
    _INVOKE: "invoke",
    **dict.fromkeys((8, 10), "add"),
    **dict.fromkeys((12, 14, 15, 17, 18), "multiply"),
    **dict.fromkeys((9, 11, 13, 16, 19, 43, 66), "float"),
    **dict.fromkeys(range(20, 26), "bits"),
    26: "alloca",
    27: "load",
    28: "store",
    29: "element",
    **dict.fromkeys((*range(30, 42), 60), "cast"),
    42: "compare",
    44: "phi",
    _CALL: "call",
    46: "select",
}
KINDS = tuple(dict.fromkeys(_KIND_OF_OPCODE.values()))
"""Kinds of instructions that are counted apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionShape:
    """What one function with a body looks like before any pass."""

    name: str
    """Its symbol."""
    num_instructions: int
    num_blocks: int
    num_conditional: int
    """Branches with a condition."""
    num_calls_here: int
    """Calls of functions whose body is in the module."""
    num_intrinsics: int
    num_parameters: int
    num_uses: int
    is_local: bool
    is_discardable: bool
    """Others may know it, and it goes where nothing here uses it (inline functions of C++)."""
    kinds: tuple[int, ...]
    """Instructions of each of `KINDS`."""

    def numbers(self) -> tuple[float, ...]:
        """Return all counts as one row: the counts themselves, then shares of the instructions."""
        whole = max(1, self.num_instructions)
        return (
            float(self.num_instructions),
            float(self.num_blocks),
            float(self.num_parameters),
            float(self.num_uses),
            float(self.is_local),
            float(self.is_discardable),
            self.num_conditional / whole,
            self.num_calls_here / whole,
            self.num_intrinsics / whole,
            *(count / whole for count in self.kinds),
        )


def function_shapes(module: Module) -> tuple[FunctionShape, ...]:
    """Return the shape of every function with a body, in the module's order."""
    library = module.context.library
    found = []
    for function in module.function_handles():
        if library.LLVMIsDeclaration(function):
            continue
        kinds: Counter[str] = Counter()
        num_instructions = num_conditional = num_here = num_intrinsics = 0
        for instruction in module.instruction_handles(function):
            num_instructions += 1
            opcode = library.LLVMGetInstructionOpcode(instruction)
            if kind := _KIND_OF_OPCODE.get(opcode):
                kinds[kind] += 1
            if opcode == _BR:
                num_conditional += library.LLVMGetNumOperands(instruction) > 1
            elif opcode in (_CALL, _INVOKE):
                callee = library.LLVMGetCalledValue(instruction)
                if callee and library.LLVMIsAFunction(callee):
                    num_here += not library.LLVMIsDeclaration(callee)
                    num_intrinsics += library.LLVMGetIntrinsicID(callee) != 0
        linkage = library.LLVMGetLinkage(function)
        found.append(
            FunctionShape(
                name=symbol_name(module.name_of(function)),
                num_instructions=num_instructions,
                num_blocks=library.LLVMCountBasicBlocks(function),
                num_conditional=num_conditional,
                num_calls_here=num_here,
                num_intrinsics=num_intrinsics,
                num_parameters=library.LLVMCountParamTypes(
                    library.LLVMGlobalGetValueType(function)
                ),
                num_uses=sum(1 for _ in module.users(function)),
                is_local=linkage in LOCAL,
                is_discardable=linkage not in (EXTERNAL, *LOCAL),
                kinds=tuple(kinds[kind] for kind in KINDS),
            )
        )
    return tuple(found)
