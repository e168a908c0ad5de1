"""Functions whose addresses code takes without the GOT.

What is not position-independent, or is linked into an executable, reaches its own functions'
addresses directly: a declaration says so (``dso_local``), and where the functions come together in
one module, the definition decides. Calls are the same code either way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["with_direct_addresses"]

_NAME = r'@(?:"[^"]*"|[-\w.$]+)'
_DECLARED = re.compile(
    rf"^declare (?:extern_weak )?dso_local .*?({_NAME})\("
    rf"|^({_NAME}) = (?:external|extern_weak) dso_local ",
    re.MULTILINE,
)
"""A lift that only takes a function's address cannot know that it is one."""
_DEFINED = re.compile(
    r"^define ((?:weak|weak_odr|linkonce|linkonce_odr) )?"
    rf"(?!dso_local |internal |private |hidden |protected )(.*?({_NAME})\()",
    re.MULTILINE,
)
_HEADS = ("declare ", "define ")


def with_direct_addresses(texts: Sequence[str]) -> list[str]:
    """Return modules that are to be linked, each function defined as the others reach it."""
    names = {name for text in texts for name in _taken_directly(text)}
    if not names:
        return list(texts)

    def marked(match: re.Match[str]) -> str:
        word = "dso_local " if match[3] in names else ""
        return f"define {match[1] or ''}{word}{match[2]}"

    return [_DEFINED.sub(marked, text) for text in texts]


def _taken_directly(text: str) -> set[str]:
    declared = {function or variable for function, variable in _DECLARED.findall(text)}
    if not declared:
        return set()
    body = "\n".join(line for line in text.splitlines() if not line.startswith(_HEADS))
    return {name for name in declared if re.search(rf'{re.escape(name)}(?![\w.$"(-])', body)}
