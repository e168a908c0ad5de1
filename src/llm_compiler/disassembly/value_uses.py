"""What is done with a value of a module: returned, passed on, joined with others, or nothing.

Values are handles of the LLVM C API that belong to the module.
"""

from __future__ import annotations

from typing import Final

from llm_compiler.llvm.module import Module

__all__ = ["drop_unused_join", "is_only_passed_on", "is_passed_in_place", "is_returned"]

_MAX_JOINED: Final = 16
"""Values that a result is followed through to where it is returned."""


def is_returned(module: Module, call: int) -> bool:
    """Whether a value is returned, also where ways join, and nothing else is done with it."""
    library = module.context.library
    pending, seen = [call], {call}
    while pending and len(seen) <= _MAX_JOINED:
        use = library.LLVMGetFirstUse(pending.pop())
        if not use:
            return False
        while use:
            user = library.LLVMGetUser(use)
            if not library.LLVMIsAReturnInst(user) and user not in seen:
                if not (library.LLVMIsAPHINode(user) or library.LLVMIsASelectInst(user)):
                    return False
                seen.add(user)
                pending.append(user)
            use = library.LLVMGetNextUse(use)
    return not pending


def is_only_passed_on(module: Module, value: int) -> bool:
    """Whether a value is an argument of calls, also where ways join, and nothing else."""
    library = module.context.library
    pending, seen = [value], {value}
    while pending:
        use = library.LLVMGetFirstUse(pending.pop())
        while use:
            user = library.LLVMGetUser(use)
            use = library.LLVMGetNextUse(use)
            if library.LLVMIsACallInst(user) or user in seen:
                continue
            if not (library.LLVMIsAPHINode(user) or library.LLVMIsACastInst(user)):
                return False
            seen.add(user)
            pending.append(user)
    return True


def is_passed_in_place(module: Module, value: int, index: int) -> bool:
    """Whether a value is nothing but the argument of that number in calls, counted from 0.

    Then a parameter of that number is in its register all the way: no code shows whether it is one.
    """
    library = module.context.library
    use = library.LLVMGetFirstUse(value)
    while use:
        user = library.LLVMGetUser(use)
        if not library.LLVMIsACallInst(user):
            return False
        count = library.LLVMGetNumArgOperands(user)
        at = [i for i in range(count) if library.LLVMGetOperand(user, i) == value]
        if at != [index]:
            return False
        use = library.LLVMGetNextUse(use)
    return True


def drop_unused_join(module: Module, value: int) -> None:
    """Drop what joins values, or converts one, and has no use; then what only it used."""
    library = module.context.library
    if not value or library.LLVMGetFirstUse(value):
        return
    if library.LLVMIsAPHINode(value):
        count = library.LLVMCountIncoming(value)
        joined = [library.LLVMGetIncomingValue(value, index) for index in range(count)]
    elif library.LLVMIsASelectInst(value) or library.LLVMIsACastInst(value):
        count = library.LLVMGetNumOperands(value)
        joined = [library.LLVMGetOperand(value, index) for index in range(count)]
    else:
        return
    library.LLVMInstructionEraseFromParent(value)
    for each in dict.fromkeys(joined):
        if each != value:
            drop_unused_join(module, each)
