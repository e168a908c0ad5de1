"""Short form of what a pass list makes of one function: body to body, the rest from the input.

A model reads the function's body without attributes and metadata (flags stay: passes look at them),
its symbols numbered in order of appearance, and answers with the body after the passes. The module
around it is the input's: its first line of the definition, data, declarations; intrinsics that came
by are declared. Pure functions on text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llm_compiler.dataset.lifting.c_library import C_FUNCTIONS
from llm_compiler.dataset.lifting.module_text import called_functions
from llm_compiler.dataset.lifting.strip import (
    NAME,
    StripLevel,
    body_of,
    strip_module,
    with_bools,
)
from llm_compiler.errors import InputError

__all__ = ["ShortModule", "same_bodies", "shorten_module", "split_module"]

_DEFINITION = re.compile(r"^define .*?^\}\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortModule:
    """A module with one function, in short form."""

    body: str = field(repr=False)
    frame: str = field(repr=False)
    """The module as it was."""
    definition: str = field(repr=False)
    """Its function, or the one of several that is meant."""
    names: tuple[tuple[str, str], ...]
    """Pairs of a symbol's name and its short one."""

    def shorten(self, result: str) -> str:
        """Return the short form of what passes made of the module.

        Raises:
            InputError: it defines other functions, or names what the input does not.
        """
        return body_of(
            strip_module(result, StripLevel.KEEP_FLAGS), _symbols(result, dict(self.names))
        )

    def restore(self, body: str) -> str:
        """Return the module with another body; what is no IR stays none."""
        long = {short: name for name, short in self.names}

        def long_name(match: re.Match[str]) -> str:
            name = long.get(match[0][1:])
            return match[0] if name is None else _quoted(name)

        body = re.sub(NAME, long_name, with_bools(body))
        before, _, after = self.frame.partition(self.definition)
        # The first line with its attributes is the input's: passes seldom change it.
        first = self.definition.partition("\n")[0]
        inner = body.partition("\n")[2]
        text = f"{before}{first}\n{inner}{after}"
        declared = set(re.findall(rf"^(?:declare|define) .*?({NAME})\(", text, re.MULTILINE))
        declared |= set(re.findall(rf"^({NAME}) = ", text, re.MULTILINE))
        more = _new_declarations(inner, {_plain(name) for name in declared})
        return text + "".join(f"\n{line}\n" for line in more)


def shorten_module(text: str, *, function: str = "") -> ShortModule:
    """Return the short form of a module in the corpus's normal form.

    Args:
        function: of a module with several, the definition of the function that is meant.

    Raises:
        InputError: it does not define exactly one function, or holds what is not known here.
    """
    frame = text
    if function:
        text = _DEFINITION.sub("", text) + function
    stripped = strip_module(text, StripLevel.KEEP_FLAGS)
    found, own_text = _DEFINITION.search(stripped), _DEFINITION.search(text)
    if found is None or own_text is None:
        raise InputError("no function is defined")
    definition = found[0]
    own = re.search(NAME, definition)
    assert own is not None
    called = set(re.findall(rf"\b(?:call|invoke) .*?({NAME})\(", definition))
    names: dict[str, str] = {own[0]: "f0"}
    counts = {"f": 0, "g": 0}
    for name in re.findall(NAME, definition):
        plain = _plain(name)
        if name in names or plain.startswith("llvm."):
            continue
        if plain in C_FUNCTIONS:
            names[name] = plain
            continue
        kind = "f" if name in called else "g"
        counts[kind] += 1
        names[name] = f"{kind}{counts[kind]}"
    pairs = {_plain(name): short for name, short in names.items()}
    body = body_of(stripped, _symbols(text, pairs))
    return ShortModule(body=body, frame=frame, definition=own_text[0], names=tuple(pairs.items()))


def split_module(text: str) -> tuple[str, list[str]]:
    """Return a module without its definitions, and these."""
    definitions = [match[0] for match in _DEFINITION.finditer(text)]
    return _DEFINITION.sub("", text), definitions


def same_bodies(first: str, second: str) -> bool:
    """Say whether two modules define the same functions, but for attributes and metadata."""
    try:
        return _bodies(first) == _bodies(second)
    except InputError:
        return False


def _bodies(text: str) -> dict[str, str]:
    around, definitions = split_module(text)
    bodies = {}
    for definition in definitions:
        stripped = _DEFINITION.search(strip_module(around + definition, StripLevel.KEEP_FLAGS))
        name = re.search(NAME, definition)
        if stripped is None or name is None:
            raise InputError("no function is defined")
        # Groups of attributes have numbers of their own in each module.
        bodies[name[0]] = re.sub(r" #\d+(?= )", "", stripped[0])
    return bodies


def _symbols(text: str, names: dict[str, str]) -> dict[str, str]:
    """Return names as `body_of` wants them: as assembly has them."""
    private = {_plain(name) for name in re.findall(rf"^({NAME}) = private ", text, re.MULTILINE)}
    return {f".L{name}" if name in private else name: short for name, short in names.items()}


def _plain(name: str) -> str:
    return name[1:].strip('"')


def _quoted(name: str) -> str:
    return f"@{name}" if re.fullmatch(r"[\w.-]+", name) else f'@"{name}"'


def _new_declarations(body: str, declared: set[str]) -> list[str]:
    called = called_functions(body)
    return [declaration for name, declaration in called.items() if _plain(name) not in declared]
