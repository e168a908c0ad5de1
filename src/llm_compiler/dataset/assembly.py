"""The normal form of assembly: what models read and write, and what round trips are compared in.

AT&T syntax, as LLVM prints it, less what does not change the bytes of code and data. One line a
label, directive or instruction, not indented; one blank between mnemonic and operands. Dropped:

* comments and blank lines;
* ``.file``, ``.ident``, ``.addrsig``, ``.addrsig_sym``, ``.loc`` and the section
  ``.note.GNU-stack``;
* ``.size`` of functions (the end is where the next begins), and local labels that nothing uses
  then;
* ``.cfi_*``, unless asked for: they follow from the code and only fill ``.eh_frame``. Functions
  with a personality keep ``.cfi_startproc``, ``.cfi_personality``, ``.cfi_lsda`` and
  ``.cfi_endproc``: these name the exception table.

The result is assembly too: it assembles to the same bytes and relocations in every section but
``.eh_frame`` (and the symbol table lacks sizes). Pure functions; safe in threads and processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["normalize_assembly"]

_DROPPED = frozenset({".file", ".ident", ".addrsig", ".addrsig_sym", ".loc", ".cfi_sections"})
_TABLE_LINKS = frozenset(
    {".cfi_startproc", ".cfi_personality", ".cfi_lsda", ".cfi_endproc"},
)
_STRING = r'"(?:[^"\\]|\\.)*"'
_LABEL = re.compile(rf"^([\w.$@]+|{_STRING}):\s*")
_LOCAL = re.compile(r"\.L[\w.$@]+")
_FUNCTION_SIZE = re.compile(r"^\.size [^,]+, \.L[\w.$]+-")
_SPACE = re.compile(rf"({_STRING})|\s+")
_COMMA = re.compile(rf"({_STRING})|\s*,\s*")


def normalize_assembly(text: str, target_triple: str, *, keep_cfi: bool = False) -> str:
    r"""Return the normal form of assembly; a fixed point: normalising again changes nothing.

    Args:
        target_triple: says what begins a comment: ``#`` on x86-64, ``//`` on AArch64.
        keep_cfi: keep the call-frame directives.

    >>> normalize_assembly("f:  # @f\n\tmovl\t$1,  %eax\n\n\tretq\n", "x86_64-linux-gnu")
    'f:\nmovl $1, %eax\nretq\n'
    """
    lines = list(_without_metadata(_lines(text, target_triple)))
    if not keep_cfi:
        lines = _without_cfi(lines)
    lines = _without_unused_labels(lines)
    return "".join(line + "\n" for line in lines)


def _comment_pattern(target_triple: str) -> re.Pattern[str]:
    # A '#' begins an immediate on AArch64; there, only a line that starts with one is a comment.
    mark = r"//.*|^\s*#.*" if target_triple.startswith(("aarch64", "arm64")) else r"\#.*"
    return re.compile(rf"({_STRING})|/\*.*?\*/|{mark}")


def _lines(text: str, target_triple: str) -> Iterator[str]:
    """Yield the lines that say something, in their final spelling."""
    comment = _comment_pattern(target_triple)
    for line in text.split("\n"):
        line = comment.sub(lambda match: match[1] or " ", line).strip()
        while match := _LABEL.match(line):
            yield f"{match[1]}:"
            line = line[match.end() :]
        if line:
            line = _SPACE.sub(lambda match: match[1] or " ", line)
            yield _COMMA.sub(lambda match: match[1] or ", ", line)


def _without_metadata(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        word = line.split(" ", 1)[0]
        if word in _DROPPED or line.startswith('.section ".note.GNU-stack"'):
            continue
        if line.startswith(".section .note.GNU-stack") or _FUNCTION_SIZE.match(line):
            continue
        yield line


def _without_cfi(lines: list[str]) -> list[str]:
    kept: list[str] = []
    procedure: list[int] = []  # places in `kept` of the table links of the function at hand
    has_personality = False
    for line in lines:
        word = line.split(" ", 1)[0]
        if not word.startswith(".cfi_"):
            kept.append(line)
        elif word in _TABLE_LINKS:
            if word == ".cfi_startproc":
                procedure, has_personality = [], False
            has_personality |= word == ".cfi_personality"
            procedure.append(len(kept))
            kept.append(line)
            if word == ".cfi_endproc" and not has_personality:
                for place in reversed(procedure):
                    del kept[place]
    return kept


def _without_unused_labels(lines: list[str]) -> list[str]:
    used = {name for line in lines if not line.endswith(":") for name in _LOCAL.findall(line)}
    return [
        line
        for line in lines
        if not (line.startswith(".L") and line.endswith(":")) or line[:-1] in used
    ]
