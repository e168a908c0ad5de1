"""What a target is to the rules: registers, the calling convention, one table of semantics.

How to add one: write a module with a class that has these members, give it a line in
`targets.TARGETS`, and run ``llm-compiler disassemble --engine none`` on an object. Nothing else in
this package knows a register or a mnemonic. `x86_64` is the example to read.

* `split` says how control leaves an instruction, so that the core can find basic blocks.
* `translate` gives an instruction its meaning with the `Builder`: ``builder.read("rdi", "i32")``,
  ``builder.write("rax", value)``, ``builder.binary("add", a, b)``, ``builder.load``, ``.store``,
  ``builder.flow.call``. Registers are named by their widest part. The stack pointer is an ordinary
  register: the builder folds what is added to it, so that ``sub sp, sp, #32`` and the accesses
  after it become places of the frame without any rule.
* Conditions: `builder.flags` is whatever the target likes to keep of the last comparison; where
  blocks join, the builder asks `condition` for each predecessor.
* `Unliftable("no rule for 'fldt'", line.text)` is raised for what the table lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from llm_compiler.disassembly.rules.code import Code, Line

if TYPE_CHECKING:
    from llm_compiler.disassembly.rules.builder import Builder
    from llm_compiler.disassembly.rules.nodes import Graph, Node

__all__ = ["Control", "Convention", "Target"]


@dataclass(frozen=True, slots=True)
class Convention:
    """Who passes what where. Registers by the names of their widest parts."""

    integer_arguments: tuple[str, ...]
    vector_arguments: tuple[str, ...]
    integer_results: tuple[str, ...]
    vector_results: tuple[str, ...]
    callee_saved: tuple[str, ...]
    caller_saved: tuple[str, ...]
    """Integer and vector registers that a call leaves undefined."""
    stack_pointer: str
    frame_pointer: str
    struct_result: str
    """Of the address of a result in memory; a register of its own or an argument's."""
    first_stack_argument: int
    """Bytes above the stack pointer at entry; the caller keeps this place aligned to 16."""
    last_temporaries: tuple[str, ...]
    """Argument registers that compilers take for temporaries last, the first argument's in front:
    one that was set since the last call is passed, also if it was read before."""
    vector_prefix: str
    """Begins the names of vector registers, and of no others."""
    calls_show_ellipsis: bool
    """Calls of functions with ``...`` say so: they set how many vector registers they pass."""

    @property
    def has_result_register(self) -> bool:
        """Whether the address of a result in memory has a register of its own."""
        return self.struct_result not in self.integer_arguments

    def is_vector(self, register: str) -> bool:
        """Whether a name is that of a vector register."""
        return register.startswith(self.vector_prefix)


@dataclass(frozen=True, slots=True)
class Control:
    """How control leaves an instruction.

    `targets`: labels in the function. `falls`: it may go on with the next one. `ends`: a block ends
    here. `table`: of a jump through a table, its label, if the instruction itself names it.
    """

    ends: bool = False
    falls: bool = True
    targets: tuple[str, ...] = ()
    is_indirect: bool = False
    call: str = ""
    """The function called, if it has a name."""


class Target(Protocol):
    """One architecture. Its methods keep no state between functions."""

    name: str
    triple: str
    convention: Convention
    unoptimised_start: re.Pattern[str]
    """How a function's text in normal form begins whose code was not optimised: as soon as the
    frame stands, without saving a register."""

    smallest_sign: re.Pattern[str] | None
    """What only code has that was compiled for the smallest size."""
    open_scans: frozenset[str]
    """Mnemonics of scans for a bit that leave their destination where there is none."""

    def attributes(self, text: str) -> str:
        """Return what a function's attributes say of the processor and the frame pointer.

        Args:
            text: in normal form; its prologue tells.
        """
        ...

    def control(self, line: Line, code: Code) -> Control:
        """Return how control leaves an instruction."""
        ...

    def has_frame_pointer(self, code: Code) -> bool:
        """Return whether the function's prologue sets a frame pointer."""
        ...

    def released_after(self, code: Code, number: int) -> int:
        """Return how many bytes of arguments the code takes off the stack right after a call.

        An unwinder takes them off before a landing pad runs. 0 too where they may be the frame's.

        Args:
            number: of the call's line.
        """
        ...

    def jump_table(self, code: Code, line: Line) -> tuple[str, ...]:
        """Return the labels that an indirect jump may go to; empty: it is a tail call."""
        ...

    def translate(self, builder: Builder, line: Line) -> None:
        """Append an instruction's meaning.

        Raises:
            Unliftable: there is no rule for it.
        """
        ...

    def finish(self, graph: Graph) -> None:
        """Change a translated graph where whole sequences mean something: ``va_start``."""
        ...

    def condition(self, builder: Builder, flags: Any, code: str) -> Node:
        """Return whether a condition holds after what set the flags; an ``i1``.

        Raises:
            Unliftable: the flags do not say.
        """
        ...
