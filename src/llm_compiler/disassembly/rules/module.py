"""The module around a draft's body: data, declarations, attributes, as the short form has them."""

from __future__ import annotations

import dataclasses
import re

from llm_compiler.dataset.lifting.assembly import ShortAssembly, shorten_assembly
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.disassembly.rules.code import Code, Unliftable
from llm_compiler.disassembly.rules.constants import global_name
from llm_compiler.disassembly.weak_symbols import weak_names, with_weak
from llm_compiler.errors import InputError

__all__ = ["ModuleFrame"]


class ModuleFrame:
    """Makes modules of one function's bodies."""

    def __init__(self, code: Code, triple: str) -> None:
        """Read the data.

        Raises:
            Unliftable: it holds what the short form has no word for.
        """
        try:
            short = shorten_assembly(code.plain_text, triple)
        except InputError as error:
            raise Unliftable(str(error).partition(":")[0]) from None
        # Bodies of drafts have the long names already.
        self._short: ShortAssembly = dataclasses.replace(short, symbols=())
        self._personality = code.personality
        self._weak = weak_names(code.plain_text, code.name)

    def module(self, body: str, attributes: str) -> str:
        """Return the text of a module.

        Raises:
            Unliftable: data that it needs has no words.
        """
        try:
            text = build_module_text(body, self._short, attributes=attributes)
        except InputError as error:
            raise Unliftable(str(error).partition(":")[0]) from None
        if self._personality:
            name = re.escape(global_name(self._personality))
            text = re.sub(
                rf"(?m)^{name} = external (?:dso_local )?global i8, align 8$",
                f"declare i32 {global_name(self._personality)}(...)",
                text,
            )
        return with_weak(text, self._weak)
