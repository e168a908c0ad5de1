"""What is wrong with a lifted body, in few words that a model reads: for a second answer.

* A body that is no IR: LLVM's diagnostic, with the line of the body that it is about;
* a body that lowers to other code: the lines of the assembly in which the two differ::

      @4
      -movslq %edi, %rax
      +movl %edi, %eax

  ``-`` is what was to be lifted, ``+`` what the body lowers to; ``@`` and a number where that is.

Names are the short form's. Pure functions on text.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from llm_compiler.dataset.lifting.assembly import ShortAssembly
from llm_compiler.dataset.lifting.strip import NAME

__all__ = ["describe_error", "differing_lines"]

MAX_LINES: Final = 24
"""Of a report; what comes later is left out."""
_MAX_LINE: Final = 160
_PLACE: Final = re.compile(r"^(?:[^:\s]*:)?(\d+):(\d+): (?:error: )?")
_LABELS: Final = re.compile(r"\bL\d+\b")
_SHORT: Final = re.compile(r"(?<![\w.%$@])[fg]\d+\b")


def describe_error(message: str, module: str, short: ShortAssembly) -> str:
    """Return a diagnostic of LLVM's in terms of the body.

    Args:
        message: with the place in front, if it has a place (``<answer>:12:5: error: ..``).
        module: the text that was parsed: what the body was completed to.
    """
    names = {_plain(name): shortened for name, shortened in short.symbols}

    def replace(match: re.Match[str]) -> str:
        name = match[0][1:].strip('"')
        return f"@{names.get(name, name)}"

    line = ""
    if match := _PLACE.match(message):
        message = message[match.end() :]
        lines = module.splitlines()
        first = next((i for i, word in enumerate(lines) if word.startswith("define ")), 0)
        number = int(match[1]) - 1
        if first <= number < len(lines):
            line = re.sub(r" #\d+", "", lines[number]).strip()
            message = f"line {number - first + 1}: {message}"
    said = [word.strip()[:_MAX_LINE] for word in message.splitlines() if word.strip()][:3]
    text = "\n".join([*said, *([line[:_MAX_LINE]] if line else [])])
    return re.sub(NAME, replace, text)


def _plain(name: str) -> str:
    return name.strip('"').removeprefix(".L") if name.startswith(".L") else name.strip('"')


def differing_lines(wanted: ShortAssembly, found: ShortAssembly) -> str:
    """Return the lines in which two functions' assembly differs; empty where none does.

    Labels count by where they stand, not by their numbers.
    """
    ours, theirs = wanted.text.splitlines(), _with_names_of(wanted, found).splitlines()
    if ours == theirs:
        return ""
    matcher = SequenceMatcher(
        None,
        [_LABELS.sub("L", our) for our in ours],
        [_LABELS.sub("L", their) for their in theirs],
        autojunk=False,
    )
    lines: list[str] = []
    for kind, start, end, their_start, their_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        hunk = [f"@{start + 1}"]
        hunk += [f"-{our[:_MAX_LINE]}" for our in ours[start:end]]
        hunk += [f"+{their[:_MAX_LINE]}" for their in theirs[their_start:their_end]]
        lines += hunk
        if len(lines) >= MAX_LINES:
            return "\n".join([*lines[:MAX_LINES], "..."])
    # Only labels differ: jumps go elsewhere.
    if not lines:
        for number, (word, other) in enumerate(zip(ours, theirs, strict=True), start=1):
            if word != other:
                lines += [f"@{number}", f"-{word[:_MAX_LINE]}", f"+{other[:_MAX_LINE]}"]
    return "\n".join(lines[:MAX_LINES])


def _with_names_of(wanted: ShortAssembly, found: ShortAssembly) -> str:
    """Return the second's text with the first one's short names."""
    ours = dict(wanted.symbols)
    names = {shortened: ours.get(name, name) for name, shortened in found.symbols}
    return _SHORT.sub(lambda match: names.get(match[0], match[0]), found.text)
