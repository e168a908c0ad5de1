"""Code that LLVM's machine outliner took out of functions, put back where it is called.

At ``-Oz`` for AArch64 it moves straight-line code that several functions share into functions of
its own, which follow no convention: they read and set whatever registers stood there. In their
place again, the code means what it meant. Pure functions on text in normal form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable

__all__ = ["PREFIX", "inline_outlined"]

PREFIX: Final = "OUTLINED_FUNCTION_"
_CALL: Final = re.compile(rf"^(bl|b) ({PREFIX}\d+)$")
_LABEL: Final = re.compile(r"^(\.L[\w.$]+):$")
_ANY_LABEL: Final = re.compile(r'^([\w.$]+|"(?:[^"\\]|\\.)*"):$')
_SECTION: Final = re.compile(r"^\.(?:section|text|data|bss)\b")
_OPENING: Final = (".section", ".text", ".data", ".bss", ".hidden", ".globl", ".weak", ".type")
_PUSH, _POP = "str x30, [sp, #-16]!", "ldr x30, [sp], #16"
_MOVE: Final = re.compile(r"^mov (x\d+), x30$")
_STACK: Final = re.compile(r"\[sp(?:, #(\d+))?\](?!,)")
_SAVED_BYTES: Final = 16
_MAX_DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class _Text:
    """A function's instructions and, by label, the data that they refer to."""

    head: tuple[str, ...]
    code: tuple[str, ...]
    data: dict[str, tuple[str, ...]]


def inline_outlined(text: str, read: Callable[[str], str | None]) -> str:
    """Return a function's text without calls of outlined code; the same if there are none.

    Args:
        read: gives an outlined function's text in normal form, None if there is none.

    Raises:
        Unliftable: the outlined code cannot be read.
    """
    number = 0
    for _ in range(_MAX_DEPTH):
        # Constants are named after the outlined code that they were read from: names are no calls.
        if not any(_CALL.match(line) for line in text.splitlines()):
            return text
        own = _parse(text)
        code: list[str] = []
        data = dict(own.data)
        lines = list(own.code)
        while lines:
            line = lines.pop(0)
            match = _CALL.match(line)
            if match is None:
                code.append(line)
                continue
            found = read(match[2])
            if found is None:
                raise Unliftable("a call of outlined code that cannot be read", line)
            number += 1
            outlined = _parse(_renamed(found, number))
            body = _body(outlined.code, is_call=match[1] == "bl")
            if match[1] == "bl" and _drop_saves(code, lines):
                body = _moved(body)
            code += body
            for label, piece in outlined.data.items():
                data.setdefault(label, piece)
        whole = [*own.head, *code, *(line for pair in data.values() for line in pair)]
        text = "".join(line + "\n" for line in whole)
    raise Unliftable("outlined code that calls outlined code without end")


def _drop_saves(before: list[str], after: list[str]) -> bool:
    """Take away what saves the return address around a call; whether that was on the stack.

    A function that had no need to save it does so for this call alone.
    """
    position = next((i for i in range(len(before) - 1, -1, -1) if not _is_note(before[i])), -1)
    next_ = next((i for i, line in enumerate(after) if not _is_note(line)), -1)
    if position < 0 or next_ < 0:
        return False
    first, last = before[position], after[next_]
    if (first, last) == (_PUSH, _POP):
        del before[position], after[next_]
        return True
    moved = _MOVE.match(first)
    if moved and last == f"mov x30, {moved[1]}":
        del before[position], after[next_]
    return False


def _is_note(line: str) -> bool:
    return line.startswith(".cfi_")


def _moved(body: list[str]) -> list[str]:
    """Return code whose accesses of the stack no longer skip a saved return address."""

    def lower(match: re.Match[str]) -> str:
        distance = int(match[1] or 0) - _SAVED_BYTES
        return f"[sp, #{distance}]" if distance else "[sp]"

    return [_STACK.sub(lower, line) for line in body]


def _body(code: tuple[str, ...], *, is_call: bool) -> list[str]:
    """Return what stands in a call's place: what a tail call ends is ended already."""
    lines = [line for line in code if not _is_note(line)]
    if lines[0] == _PUSH and _POP in lines[1:]:
        # Code that calls has saved the return address for itself.
        lines.remove(_PUSH)
        lines.remove(_POP)
        lines = _moved(lines)
    if not is_call:
        return lines
    *rest, last = lines
    if last == "ret":
        return rest
    if last.startswith("b "):
        return [*rest, f"bl {last[2:]}"]
    if last.startswith("br "):
        return [*rest, f"blr {last[3:]}"]
    raise Unliftable("outlined code that ends in another way", last)


def _renamed(text: str, number: int) -> str:
    """Return a text whose private labels no other text has."""
    labels = [match[1] for line in text.splitlines() if (match := _LABEL.match(line))]
    if not labels:
        return text
    pattern = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    return re.sub(rf"(?<![\w.$])({pattern})(?![\w.$])", rf"\1.{900 + number}", text)


def _parse(text: str) -> _Text:
    lines = [line for line in text.splitlines() if line]
    name = next(
        (line.split(" ")[1].rstrip(",") for line in lines if line.endswith("@function")), ""
    )
    if f"{name}:" not in lines:
        raise Unliftable("a text without function")
    start = lines.index(f"{name}:") + 1
    end = start
    while end < len(lines) and not lines[end].startswith(_OPENING):
        end += 1
    return _Text(tuple(lines[:start]), tuple(lines[start:end]), _chunks(lines[end:]))


def _chunks(lines: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the lines of each piece of data, with its section in front, by its first label."""
    found: dict[str, tuple[str, ...]] = {}
    section, current, label = "", [""], ""
    for line in [*lines, ".text"]:
        if line.startswith(_OPENING) and label:
            found[label] = tuple(word for word in current if word)
            current, label = [section], ""
        if _SECTION.match(line):
            section = line
            if current[0]:
                current[0] = ""
        current.append(line)
        if not label and (match := _ANY_LABEL.match(line)):
            label = match[1]
    return found
