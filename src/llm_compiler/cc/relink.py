"""The link of what one call compiles, done again from smaller objects.

clang has carried the call out as it stands. Then the same link is done once more, to another place,
with objects where the call names sources; what has no smaller object is compiled again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_compiler.cc.command_line import Several
from llm_compiler.cc.link import linked_file
from llm_compiler.cc.protocol import Call, Connection
from llm_compiler.llvm.toolchain import Toolchain

__all__ = ["link_units"]


def link_units(
    asked: Several,
    objects: Sequence[bytes | None],
    call: Call,
    connection: Connection,
    toolchain: Toolchain,
    folder: Path,
) -> bytes:
    """Return the file that a call would link, from the objects there are for its units.

    Args:
        folder: for temporary files.

    Raises:
        InputError: the linker refuses it, or it does not offer what the plain one does.
    """
    assert asked.link is not None
    words: list[str] = []
    for word in asked.link.words:
        if isinstance(word, str):
            words.append(word)
            continue
        unit, data = asked.units[word], objects[word]
        if data is None:
            words.append(unit.source)
            continue
        path = folder / f"{word}.o"
        path.write_bytes(data)
        is_typed = bool(unit.language)
        words += ["-x", "none", str(path), "-x", unit.language] if is_typed else [str(path)]
    output = folder / "linked"
    return linked_file(words, asked.link.output, call, connection, toolchain, output)
