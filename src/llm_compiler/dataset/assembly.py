"""The normal form of assembly: what models read and write, and what round trips are compared in.

AT&T syntax, as LLVM prints it, less what does not change the bytes of code and data. One line a
label, directive or instruction, not indented; one blank between mnemonic and operands; immediates
of 16 and 32 bits of x86-64 with their sign. Dropped:

* comments and blank lines;
* ``.file``, ``.ident``, ``.addrsig``, ``.addrsig_sym``, ``.loc`` and the section
  ``.note.GNU-stack``;
* ``.size`` of functions (the end is where the next begins), and local labels that nothing uses
  then. Those left of LLVM's numbered ones (``.LBB0_4``, ``.LCPI0_1``, ``.LJTI0_2``, ``.Ltmp7``) are
  numbered anew, in the order in which they stand: blocks and ``.Ltmp`` from 1, constants and jump
  tables from 0. Which numbers LLVM left out cannot be read from an object;
* ``.hidden`` and ``.weak`` of symbols that the text does not define stand at its end, in the order
  in which it refers to them;
* ``.cfi_*``, unless asked for: they follow from the code and only fill ``.eh_frame``. Functions
  with a personality keep ``.cfi_startproc``, ``.cfi_personality``, ``.cfi_lsda`` and
  ``.cfi_endproc``: these name the exception table.

The result is assembly too: it assembles to the same bytes and relocations in every section but
``.eh_frame`` (and the symbol table lacks sizes). Pure functions; safe in threads and processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_compiler.llvm.targets import target_of

__all__ = ["normalize_assembly"]

_DROPPED = frozenset({".file", ".ident", ".addrsig", ".addrsig_sym", ".loc", ".cfi_sections"})
_TABLE_LINKS = frozenset(
    {".cfi_startproc", ".cfi_personality", ".cfi_lsda", ".cfi_endproc"},
)
_STRING = r'"(?:[^"\\]|\\.)*"'
_LABEL = re.compile(rf"^([\w.$@]+|{_STRING}):\s*")
_LOCAL = re.compile(r"\.L[\w.$@]+")
_UNSIGNED = re.compile(r"^(\w+([lw])) \$(\d+)(?=, |$)")
_NUMBERED = re.compile(rf"{_STRING}|\.L(BB|CPI|JTI|tmp)(?:(\d+)_)?(\d+)(?![\w.$@])")
_DECLARATION = re.compile(rf"\.(?:hidden|weak) ([\w.$@]+|{_STRING})")
_SYMBOL = re.compile(rf"{_STRING}|(?<![\w.@%])[A-Za-z_.][\w.$]*")
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
    lines = _with_dense_labels(_without_unused_labels(lines))
    lines = _with_declarations_last(lines)
    return "".join(line + "\n" for line in lines)


def _comment_pattern(target_triple: str) -> re.Pattern[str]:
    mark = target_of(target_triple).assembly.comment_pattern
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
            line = _COMMA.sub(lambda match: match[1] or ", ", line)
            yield _with_sign(line) if "$" in line else line


def _with_sign(line: str) -> str:
    """The code generator prints both signs, for the same bytes."""
    if match := _UNSIGNED.match(line):
        bits = 32 if match[2] == "l" else 16
        value = int(match[3])
        if value >> (bits - 1) == 1:
            return f"{match[1]} ${value - (1 << bits)}{line[match.end() :]}"
    return line


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
                for position in reversed(procedure):
                    del kept[position]
    return kept


def _without_unused_labels(lines: list[str]) -> list[str]:
    used = {name for line in lines if not line.endswith(":") for name in _LOCAL.findall(line)}
    return [
        line
        for line in lines
        if not (line.startswith(".L") and line.endswith(":")) or line[:-1] in used
    ]


def _with_dense_labels(lines: list[str]) -> list[str]:
    """Number LLVM's labels anew within their function, in the order in which they stand."""
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for line in lines:
        match = _NUMBERED.fullmatch(line[:-1]) if line.endswith(":") else None
        if match and match[1]:
            stem = f".L{match[1]}" + (f"{match[2]}_" if match[2] else "")
            number = counts.get(stem, 1 if match[1] in ("BB", "tmp") else 0)
            counts[stem] = number + 1
            names[match[0]] = f"{stem}{number}"
    used = {match[0] for line in lines for match in _NUMBERED.finditer(line) if match[1]}
    # A label that is nowhere would else turn into one that is.
    if used - names.keys() or all(old == new for old, new in names.items()):
        return lines
    return [_NUMBERED.sub(lambda match: names.get(match[0], match[0]), line) for line in lines]


def _with_declarations_last(lines: list[str]) -> list[str]:
    """Put what is said of undefined symbols at the end, in the order of their first use."""
    defined = {line[:-1] for line in lines if line.endswith(":")}
    for line in lines:
        if line.startswith((".comm ", ".lcomm ", ".set ")):
            defined |= set(_SYMBOL.findall(line))
    said: dict[str, list[str]] = {}
    rest: list[str] = []
    for line in lines:
        match = _DECLARATION.fullmatch(line)
        if match and match[1] not in defined:
            said.setdefault(match[1], []).append(line)
        else:
            rest.append(line)
    if not said:
        return lines
    operands = (line.partition(" ")[2] for line in rest)
    used = (name for line in operands for name in _SYMBOL.findall(line) if name in said)
    return rest + [line for name in dict.fromkeys((*used, *said)) for line in said[name]]
