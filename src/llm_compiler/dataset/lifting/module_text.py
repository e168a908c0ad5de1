"""A whole module of a body in short form: names, data, declarations, attributes.

All but the body follows from the assembly or from a rule:

* the function is global under its own name (hidden if the assembly says so), with the attributes
  that clang gives functions at -Oz;
* data of the assembly becomes constants and variables with the same bytes and pointers;
* what else the body names is declared: functions by the types of their first call, intrinsics too;
  variables as external ones, ``dso_local`` unless the code reads their address from the GOT.

Pure functions on text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llm_compiler.dataset.lifting.assembly import DataItem, ShortAssembly
from llm_compiler.dataset.lifting.strip import NAME, call_parts, with_bools
from llm_compiler.dataset.lifting.types import TypeReader, closing, split_commas
from llm_compiler.errors import InputError

__all__ = ["CALL", "DIRECTIVE_BYTES", "build_module_text", "called_functions", "signature"]

_FLAGS: Final = """
!llvm.module.flags = !{!0, !1, !2}

!0 = !{i32 8, !"PIC Level", i32 2}
!1 = !{i32 7, !"PIE Level", i32 2}
!2 = !{i32 7, !"uwtable", i32 2}
"""
_HEAD: Final = re.compile(
    r"^(define (?:[^{\n]|\{[^{}\n]*\})*?)((?: personality ptr \S+)?) \{$", re.MULTILINE
)
CALL: Final = re.compile(r"(?:^|= )(?:tail |musttail |notail )?(?:call|invoke) ")
"""Up to after the word that makes an instruction a call."""
DIRECTIVE_BYTES: Final = {
    ".byte": 1,
    ".short": 2,
    ".hword": 2,
    ".value": 2,
    ".2byte": 2,
    ".long": 4,
    ".word": 4,
    ".int": 4,
    ".4byte": 4,
    ".quad": 8,
    ".xword": 8,
    ".8byte": 8,
}
"""What an item of data takes, by its directive."""
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED: Final = re.compile(r"\\([0-7]{1,3}|.)")
_ESCAPES: Final = {"b": 8, "t": 9, "n": 10, "f": 12, "r": 13, '"': 34, "\\": 92}
_TERM: Final = re.compile(r'\s*([+-]?)\s*([A-Za-z_.$][\w.$]*|"(?:[^"\\]|\\.)*"|-?\w+)')


def build_module_text(body: str, short: ShortAssembly, *, attributes: str = "") -> str:
    """Return the text of the module that a body stands for.

    The body may be anything: what is no IR stays none.

    Args:
        attributes: of the function; by default those that clang gives it at -Oz.

    Raises:
        InputError: the assembly's data holds what this has no word for.
    """
    names = {shortened: name for name, shortened in short.symbols}
    own = names.get("f0", short.function)

    def long_name(match: re.Match[str]) -> str:
        name = names.get(match[0][1:].strip('"'))
        if name is None:
            return match[0]
        return _global(name)

    body = re.sub(NAME, long_name, with_bools(body))
    body = re.sub(_HEAD, r"\1 #0\2 {", body)
    if short.is_hidden:
        body = re.sub(r"(?m)^define ", "define hidden ", body, count=1)
    target = short.target
    lines = [
        'source_filename = "-"',
        f'target datalayout = "{target.data_layout}"',
        f'target triple = "{target.triple}"',
        "",
    ]
    used = set(re.findall(NAME, body)) - {_global(own)}
    defined, more = _definitions(short, used)
    lines += defined
    used |= more - {_global(own)}
    declared = _declarations(body, used, short, {_global(item.name) for item in short.data})
    lines += declared
    attributes = attributes or target.attributes
    lines += ["", body.rstrip("\n"), "", f"attributes #0 = {{ {attributes} }}"]
    return "\n".join(lines) + "\n" + _FLAGS


def _global(name: str) -> str:
    """Return the IR's name of a symbol of the assembly."""
    plain = name.strip('"')
    plain = plain.removeprefix(".L") if plain.startswith(".L") else plain
    return f"@{plain}" if re.fullmatch(r"[\w.-]+", plain) else f'@"{plain}"'


def _definitions(short: ShortAssembly, used: set[str]) -> tuple[list[str], set[str]]:
    """Return the data that is used, and what names it refers to."""
    items = {_global(item.name): item for item in short.data}
    wanted = [name for name in items if name in used]
    seen = set(wanted)
    named: set[str] = set()
    lines: list[str] = []
    for name in wanted:  # grows
        item = items[name]
        text, others = _definition(name, item)
        lines.append(text)
        for other in sorted(others):
            named.add(other)
            if other in items and other not in seen:
                seen.add(other)
                wanted.append(other)
    return lines, named


def _definition(name: str, item: DataItem) -> tuple[str, set[str]]:
    private = item.name.startswith(".L")
    if private:
        linkage = "private unnamed_addr"
    elif item.is_hidden:
        linkage = "hidden"
    else:
        linkage = "dso_local" if item.is_visible else "internal"
    section = item.section.strip('"')
    if section.startswith((".tdata", ".tbss")):
        linkage += " thread_local"
    constant = section.startswith((".rodata", ".data.rel.ro"))
    kind = "constant" if constant else "global"
    alignment = f", align {item.alignment}"
    if item.num_zeros:
        return (
            f"{name} = {linkage} {kind} [{item.num_zeros} x i8] zeroinitializer{alignment}",
            set(),
        )
    parts: list[tuple[str, str]] = []
    named: set[str] = set()
    run = bytearray()

    def end_run() -> None:
        if run:
            zero = not any(run)
            value = "zeroinitializer" if zero else f'c"{_bytes(bytes(run))}"'
            parts.append((f"[{len(run)} x i8]", value))
            run.clear()

    for line in item.directives:
        word, _, rest = line.partition(" ")
        for element in _values(word, rest):
            if isinstance(element, bytes):
                run += element
            else:
                end_run()
                size, expression = element
                type_, value, symbols = _symbolic(size, expression)
                parts.append((type_, value))
                named |= symbols
    end_run()
    if len(parts) == 1:
        type_, value = parts[0]
    else:
        type_ = f"<{{ {', '.join(type_ for type_, _ in parts)} }}>"
        value = f"<{{ {', '.join(f'{type_} {value}' for type_, value in parts)} }}>"
        if not parts:
            type_, value = "[0 x i8]", "zeroinitializer"
    return f"{name} = {linkage} {kind} {type_} {value}{alignment}", named


def _bytes(data: bytes) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in (34, 92) else f"\\{byte:02X}" for byte in data
    )


def _values(word: str, rest: str) -> Iterator[bytes | tuple[int, str]]:
    """Yield what a directive puts down: bytes, or the size of a symbolic value and itself."""
    if word in (".ascii", ".asciz", ".string"):
        for literal in _STRING.findall(rest):
            yield _unquoted(literal) + (b"" if word == ".ascii" else b"\0")
        return
    if word in (".zero", ".space", ".skip"):
        count, *fill = split_commas(rest)
        yield bytes([int(fill[0], 0) & 255 if fill else 0]) * int(count, 0)
        return
    size = DIRECTIVE_BYTES.get(word)
    if size is None:
        raise InputError(f"the short form has no data of '{word}'")
    for value in split_commas(rest):
        try:
            yield (int(value, 0) % (1 << (8 * size))).to_bytes(size, "little")
        except ValueError:
            yield size, value


def _unquoted(literal: str) -> bytes:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code, 8) & 255 if code[0] in "01234567" else _ESCAPES.get(code, ord(code)))

    return _ESCAPED.sub(replace, literal[1:-1]).encode("latin-1", errors="replace")


def _symbolic(size: int, expression: str) -> tuple[str, str, set[str]]:
    """Return type, value and names of a pointer or of a distance between two."""
    plus: list[str] = []
    minus: list[str] = []
    number = 0
    position = 0
    text = expression.strip().strip("()")
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise InputError(f"the short form has no '{expression[:60]}'")
        position = match.end()
        try:
            number += int(match[2], 0) * (-1 if match[1] == "-" else 1)
        except ValueError:
            (minus if match[1] == "-" else plus).append(_global(match[2]))
    if any(name.startswith("@BB") for name in (*plus, *minus)):
        raise InputError("the short form has no data that refers to blocks")
    if len(plus) == 1 and not minus and size == 8:
        value = plus[0]
        if number:
            value = f"getelementptr (i8, ptr {plus[0]}, i64 {number})"
        return "ptr", value, set(plus)
    if len(plus) == 1 and len(minus) == 1 and size in (4, 8):
        first = f"ptrtoint (ptr {plus[0]} to i64)"
        if number:
            first = f"ptrtoint (ptr getelementptr (i8, ptr {plus[0]}, i64 {number}) to i64)"
        value = f"sub (i64 {first}, i64 ptrtoint (ptr {minus[0]} to i64))"
        value = value if size == 8 else f"trunc (i64 {value} to i32)"
        return f"i{8 * size}", value, {*plus, *minus}
    raise InputError(f"the short form has no '{expression[:60]}'")


def called_functions(body: str) -> dict[str, str]:
    """Return the signature of each function that a body calls by name, as its calls have it."""
    types = TypeReader({})
    functions: dict[str, str] = {}
    for line in body.splitlines():
        match = CALL.search(line.strip())
        if match is None:
            continue
        try:
            parts = call_parts(line.strip(), match.end(), types)
            if parts.callee.startswith("@") and parts.callee not in functions:
                functions[parts.callee] = signature(parts.callee, parts.type_, parts.arguments)
        except InputError:
            continue
    return functions


def _declarations(body: str, used: set[str], short: ShortAssembly, defined: set[str]) -> list[str]:
    functions = called_functions(body)
    indirect = {_global(name) for name in short.indirect}
    thread_local = {_global(name): model for name, model in short.thread_local}
    lines: list[str] = []
    for name in sorted(used - defined):
        if (declared := functions.get(name)) is not None:
            if name not in indirect and not name.startswith("@llvm."):
                # The address may be taken as well; calls have one relocation either way.
                declared = declared.replace("declare ", "declare dso_local ", 1)
            lines.append(declared)
            continue
        if name.startswith("@llvm."):
            continue
        words = ["external"]
        if name not in indirect and thread_local.get(name, "localexec") == "localexec":
            words.append("dso_local")
        if name in thread_local:
            model = thread_local[name]
            words.append(f"thread_local({model})" if model else "thread_local")
        # As aligned as most variables are: AArch64 folds low halves of addresses then.
        lines.append(f"{name} = {' '.join(words)} global i8, align 8")
    return lines


def signature(name: str, type_: str, arguments: str) -> str:
    """Return the declaration of a function by the types of a call.

    Raises:
        InputError: they do not read as types.
    """
    if type_.endswith(")") and "(" in type_:
        opening = _function_types(type_)
        return f"declare {type_[:opening].strip()} {name}{type_[opening:]}"
    reader = TypeReader({})
    kinds = []
    for comma in split_commas(arguments):
        end = reader.end(comma, 0)
        kept = re.findall(r"\b(?:zeroext|signext|inreg)\b|\b(?:sret|byval)\([^)]*\)", comma[end:])
        kinds.append(" ".join([comma[:end], *kept]))
    return f"declare {type_} {name}({', '.join(kinds)})"


def _function_types(type_: str) -> int:
    """Return where the parameters begin in ``i32 (ptr, ...)``."""
    for position, character in enumerate(type_):
        if character == "(" and closing(type_, position) == len(type_):
            return position
    raise InputError(f"no type of a function: '{type_}'")
