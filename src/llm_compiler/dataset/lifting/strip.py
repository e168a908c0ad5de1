"""The body of a function's IR, without what code generation does not look at.

`strip_module` makes of a module in the corpus's normal form a module with a plainer function, in
which are gone: attributes but those of the calling convention, metadata, names of types, alignments
that are the natural ones, flags (``nsw``, ``inbounds``; at `StripLevel.KEEP_FLAGS` they stay).
Address arithmetic has one spelling: the element's size and a byte offset.

    %7 = getelementptr inbounds %struct.S, ptr %0, i64 %3, i32 2, !tbaa !5
    %7 = getelementptr [24 x i8], ptr %0, i64 %3, i64 16

Some of that does change the code now and then: who makes pairs lowers the result, and takes a
milder level, or leaves the sample out. `body_of` is the function alone, with short names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from llm_compiler.dataset.lifting.types import TypeReader, closing, split_commas
from llm_compiler.errors import InputError

__all__ = ["StripLevel", "body_of", "call_parts", "named_types", "strip_module", "with_bools"]

NAME: Final = r'@(?:[\w.$-]+|"(?:[^"\\]|\\.)*")'
_TYPE_LINE: Final = re.compile(r'^(%(?:[\w.$-]+|"(?:[^"\\]|\\.)*")) = type (.*)$')
_METADATA: Final = re.compile(r"(?:, ![\w.]+ !\d+)+$")
_RANGE: Final = re.compile(r", !range (!\d+)")
_BOOL: Final = ", !range !{i8 0, i8 2}, !noundef !{}"
_LOAD_BOOL: Final = re.compile(rf"= load (volatile )?i8, ([^\n]*){re.escape(_BOOL)}$", re.MULTILINE)
_KEPT_OF_CALLS: Final = ("cold", "returns_twice")
_GROUP: Final = re.compile(r" #\d+(?=$| \[|,)")
_ALIGN: Final = re.compile(r", align (\d+)(?=$|, !range)")
_ATTRIBUTES_KEPT: Final = frozenset(
    {"zeroext", "signext", "inreg", "nest", "swiftself", "swifterror"}
)
_FLAG_WORDS: Final = frozenset(
    [
        "nuw",
        "nsw",
        "exact",
        "nneg",
        "disjoint",
        "inbounds",
        "nusw",
        "samesign",
        "nnan",
        "ninf",
        "nsz",
        "arcp",
        "contract",
        "afn",
        "reassoc",
        "fast",
    ]
)
_FLAGGED: Final = re.compile(
    r"^((?:%\d+ = )?(?:add|sub|mul|shl|udiv|sdiv|lshr|ashr|or|zext|uitofp|trunc|icmp|fcmp|fadd|fsub"
    r"|fmul|fdiv|frem|fneg|phi|select|getelementptr))((?: (?:nuw|nsw|exact|nneg|disjoint|inbounds"
    r"|nusw|samesign|nnan|ninf|nsz|arcp|contract|afn|reassoc|fast))+) "
)
_CONSTANT_FLAGS: Final = re.compile(
    r"\b(getelementptr|add|sub|mul|shl|trunc)((?: (?:nuw|nsw|inbounds|nusw"
    r"|inrange\([^)]*\)))+)(?= \()"
)
_DROPPED_CALLS: Final = re.compile(
    r"call void @llvm\.(?:experimental\.noalias\.scope\.decl|donothing|assume|lifetime\.\w+\.p0)\("
)
_CONVENTIONS: Final = re.compile(r"^(?:fastcc|ccc|coldcc|cc\d+|tailcc|preserve_\w+|swift\w*cc) ")


class StripLevel(IntEnum):
    """How much goes."""

    KEEP_FLAGS = 1
    """Flags of arithmetic and lifetimes of variables stay."""
    ALL = 2


def named_types(text: str) -> dict[str, str]:
    """Return the bodies of a module's named types."""
    return {
        match[1]: match[2]
        for line in text.splitlines()
        if line.startswith("%") and (match := _TYPE_LINE.match(line))
    }


def strip_module(text: str, level: StripLevel = StripLevel.ALL) -> str:
    """Return a module with its one function stripped.

    Args:
        text: of a module in the corpus's normal form.

    Raises:
        InputError: it defines no function or several, or holds what is not known here.
    """
    bools = frozenset(re.findall(r"^(!\d+) = !\{i8 0, i8 2\}$", text, re.MULTILINE))
    groups = {
        match[1]: [word for word in _KEPT_OF_CALLS if word in match[2].split(" ")]
        for match in re.finditer(r"^attributes (#\d+) = \{ (.*) \}$", text, re.MULTILINE)
    }
    reader = _Reader(TypeReader(named_types(text)), level, bools, groups)
    lines: list[str] = []
    inside = False
    found = 0
    for line in text.splitlines():
        if line.startswith("define "):
            inside = True
            found += 1
            line = reader.define(line)
        elif inside and line == "}":
            inside = False
        elif inside and line.startswith("  "):
            changed = reader.instruction(line)
            if changed is None:
                continue
            line = changed
        lines.append(line)
    if found != 1:
        raise InputError(f"the short form is of one function, not of {found}")
    return "".join(line + "\n" for line in lines)


def body_of(text: str, names: Mapping[str, str]) -> str:
    """Return the short form of a stripped module's function.

    Args:
        text: what `strip_module` returned, or LLVM's print of it.
        names: the short names of assembly's symbols (`assembly.ShortAssembly.symbols`).

    Raises:
        InputError: it names what the assembly does not.
    """
    # LLVM prints alignments that are the natural ones, and numbers metadata.
    text = strip_module(text, StripLevel.KEEP_FLAGS)
    private = set(re.findall(rf"^({NAME}) = private ", text, re.MULTILINE))
    start = text.find("\ndefine ") + 1
    body = text[start : text.find("\n}\n", start) + 3]
    if not body.startswith("define "):
        raise InputError("no function is defined")

    def replace(match: re.Match[str]) -> str:
        name = match[0][1:].strip('"')
        if name.startswith("llvm."):
            return match[0]
        symbol = f".L{name}" if match[0] in private else name
        if symbol in names:
            return f"@{names[symbol]}"
        if f'"{symbol}"' in names:
            return "@" + names[f'"{symbol}"']
        raise InputError(f"the assembly does not name @{name}")

    head, _, rest = body.partition("\n")
    # Who may see the function, the assembly's directives tell, not the model.
    match = re.search(NAME, head)
    assert match is not None
    words = head[len("define ") : match.start()].split(" ")
    while words and words[0] in _LINKAGE:
        del words[0]
    signature = re.sub(r" #\d+(?: align \d+)?(?= (?:personality|\{))", "", head[match.start() :])
    head = f"define {' '.join(words).strip()} {signature}"
    rest = _LOAD_BOOL.sub(lambda match: f"= load {match[1] or ''}bool, {match[2]}", rest)
    return re.sub(NAME, replace, f"{head}\n{rest}")


def with_bools(body: str) -> str:
    """Spell out the loads of a byte that holds a bool, which a body writes as ``load bool``."""
    return re.sub(
        r"(?m)= load (volatile )?bool, ([^\n]*)$",
        lambda match: f"= load {match[1] or ''}i8, {match[2]}{_BOOL}",
        body,
    )


class _Reader:
    """Strips lines of one function."""

    def __init__(
        self,
        types: TypeReader,
        level: StripLevel,
        bools: frozenset[str],
        groups: Mapping[str, list[str]],
    ) -> None:
        self._types = types
        self._level = level
        self._bools = bools
        self._groups = groups

    def _attributed(self, text: str, *, named: bool) -> str:
        """Return ``TYPE attributes.. VALUE`` with the attributes that matter."""
        if text == "...":
            return text
        end = self._types.end(text, 0)
        type_ = self._types.literal(text[:end])
        kept = [type_]
        position = end
        by_value = False
        while position < len(text):
            while position < len(text) and text[position] == " ":
                position += 1
            match = re.compile(r"[a-z_]+(?=[ (]|$)|\"[^\"]*\"(?:=\"[^\"]*\")?").match(
                text, position
            )
            if match is None or match[0] in _VALUE_WORDS:
                break
            word = match[0]
            position = match.end()
            argument = ""
            if text[position : position + 1] == "(":
                stop = closing(text, position)
                argument = text[position + 1 : stop - 1]
                position = stop
            elif word == "align":
                number = re.compile(r" (\d+)").match(text, position)
                assert number is not None
                position = number.end()
                if by_value:
                    kept.append(f"align {number[1]}")
                continue
            if word in _ATTRIBUTES_KEPT:
                kept.append(word)
            elif word in ("sret", "byval"):
                by_value = word == "byval"
                kept.append(f"{word}({self._types.plain(argument)})")
        value = text[position:].strip()
        return " ".join([*kept, self.value(value)] if value else kept)

    def value(self, text: str) -> str:
        """Return an operand's value: constant expressions lose flags and names of types."""
        if "(" not in text and "%" not in text:
            return text
        if self._level is StripLevel.ALL:
            text = _CONSTANT_FLAGS.sub(lambda match: match[1], text)
        if "getelementptr" in text and (match := re.match(r"getelementptr[^(]*\(", text)):
            inner = text[match.end() : closing(text, match.end() - 1) - 1]
            flags = match[0][len("getelementptr") : -1].strip()
            return self._address(inner, flags, constant=True)
        return text

    def define(self, line: str) -> str:
        """Return the first line of a definition."""
        match = re.search(rf" ({NAME})\(", line)
        if match is None:
            raise InputError(f"no definition: '{line[:60]}'")
        stop = closing(line, match.end() - 1)
        before, after = line[len("define ") : match.start()], line[stop:]
        words = before
        kept: list[str] = []
        while True:
            words = words.strip()
            convention = _CONVENTIONS.match(words + " ")
            try:
                self._types.end(words, 0)
                if not convention:
                    break
            except InputError:
                pass
            found = re.match(r'[a-z_]+\d*|"[^"]*"', words)
            if found is None:
                raise InputError(f"no type of the result: '{line[:60]}'")
            word, words = found[0], words[found.end() :]
            if words.startswith("("):
                words = words[closing(words, 0) :]
            elif word == "align":
                words = re.sub(r"^ \d+", "", words)
            if word in ("zeroext", "signext", "inreg"):
                kept.append(word)
            elif word in _LINKAGE:
                kept.insert(0, word)
        parameters = [
            self._attributed(comma, named=True)
            for comma in split_commas(line[match.end() : stop - 1])
        ]
        tail = re.search(rf"( #\d+)?(?: .*?)?( personality ptr {NAME})? \{{$", after)
        group = re.search(r" #\d+(?: align \d+)?", after)
        personality = tail[2] if tail and tail[2] else ""
        result = " ".join([*kept, self._types.literal(words)])
        return (
            f"define {result} {match[1]}({', '.join(parameters)})"
            f"{group[0] if group else ''}{personality} {{"
        )

    def instruction(self, line: str) -> str | None:
        """Return an instruction stripped; None if it goes."""
        text = self._without_metadata(line.strip())
        is_call = re.match(r"(?:%\d+ = )?(?:tail |musttail |notail )?(?:call|invoke) ", text)
        if is_call:
            all_ = self._level is StripLevel.ALL
            if _DROPPED_CALLS.search(text) and (all_ or "lifetime" not in text):
                return None
            return "  " + self._call(_GROUP.sub(self._group, text), is_call.end())
        if self._level is StripLevel.ALL:
            text = _FLAGGED.sub(lambda match: f"{match[1]} ", text)
        text = self._without_natural_alignment(text)
        if match := re.match(r"(%\d+ = )getelementptr((?: (?:inbounds|nuw|nusw))*) ", text):
            return f"  {match[1]}{self._address(text[match.end() :], match[2].strip())}"
        if match := re.match(r"(%\d+ = alloca )(inalloca )?", text):
            stop = self._types.end(text, match.end())
            type_ = text[match.end() : stop]
            rest = text[stop:]
            if "%" in type_ or type_[0] in "{<[":
                alignment = self._types.layout(type_)[1]
                type_ = self._types.plain(type_) if "%" in type_ else type_
                rest = rest if ", align" in rest else f"{rest}, align {alignment}"
            return f"  {match[0]}{type_}{rest}"
        if "%" in text and re.search(r'%(?:[A-Za-z_.$"-])', text):
            text = self._types.literal(text)
        if "(" in text:
            text = self._constants(text)
        return f"  {text}"

    def _group(self, match: re.Match[str]) -> str:
        """Return those attributes of a call that say where its block is put, or how."""
        return "".join(f" {word}" for word in self._groups.get(match[0].strip(), ()))

    def _without_metadata(self, text: str) -> str:
        match = _METADATA.search(text)
        if match is None:
            return text
        # What a byte that holds a bool may be: no bits are masked then.
        kept = [f"{_BOOL}" for item in _RANGE.findall(match[0]) if item in self._bools]
        return text[: match.start()] + "".join(kept)

    def _constants(self, text: str) -> str:
        """Strip the constant addresses within an instruction."""
        position = 0
        while (
            match := re.compile(r"getelementptr[a-z ()\-\d,]*?\(").search(text, position)
        ) is not None:
            stop = closing(text, match.end() - 1)
            changed = self.value(text[match.start() : stop])
            text = text[: match.start()] + changed + text[stop:]
            position = match.start() + len(changed)
        return text

    def _without_natural_alignment(self, text: str) -> str:
        match = _ALIGN.search(text)
        if match is None:
            return text
        opcode = re.match(r"(?:%\d+ = )?(load|store|alloca)( volatile)? ", text)
        if opcode is None:
            return text
        stop = self._types.end(text, opcode.end())
        natural = self._types.layout(self._types.literal(text[opcode.end() : stop]))[1]
        if opcode[1] == "alloca" and text[opcode.end()] in "%{[<":
            return text
        more = self._level is StripLevel.ALL and int(match[1]) > natural
        if int(match[1]) != natural and not more:
            return text
        return text[: match.start()] + text[match.end() :]

    def _address(self, text: str, flags: str, *, constant: bool = False) -> str:
        """Return the one spelling of an address; as it is, where several indexes vary."""
        stop = self._types.end(text, 0)
        type_ = text[:stop]
        pointer, *indexes = split_commas(text[stop:].removeprefix(",").strip())
        word = (
            "getelementptr"
            if self._level is StripLevel.ALL or not flags
            else (f"getelementptr {flags}")
        )
        pointer = self._constants(pointer) if "(" in pointer else pointer
        try:
            stride, variable, offset = self._linear(type_, indexes)
        except InputError:
            joined = ", ".join([self._types.literal(type_), pointer, *indexes])
            return f"{word} ({joined})" if constant else f"{word} {joined}"
        if variable is None:
            joined = f"i8, {pointer}, i64 {offset}"
        else:
            element = _ELEMENTS.get(stride, f"[{stride} x i8]")
            if offset:
                joined = f"[{stride} x i8], {pointer}, {variable}, i64 {offset}"
            else:
                joined = f"{element}, {pointer}, {variable}"
        return f"{word} ({joined})" if constant else f"{word} {joined}"

    def _linear(self, type_: str, indexes: list[str]) -> tuple[int, str | None, int]:
        """Return an address as stride, index, and offset in bytes."""
        stride, variable, offset = 0, None, 0
        for position, index in enumerate(indexes):
            kind, _, value = index.rpartition(" ")
            is_number = bool(re.fullmatch(r"-?\d+", value))
            if position == 0:
                size = self._types.layout(type_)[0]
            else:
                body = self._types.resolve(type_)
                if body.startswith(("{", "<{")):
                    if not is_number:
                        raise InputError("an index of fields that varies")
                    start, type_ = self._types.struct(body)[0][int(value)]
                    offset += start
                    continue
                if body[0] != "[":
                    raise InputError("an index into a vector")
                type_ = body[1:-1].partition(" x ")[2]
                size = self._types.layout(type_)[0]
            if is_number:
                offset += int(value) * size
            elif variable is None and not kind.startswith("<"):
                stride, variable = size, index
            else:
                raise InputError("several indexes vary")
        return stride, variable, offset

    def _call(self, text: str, place: int) -> str:
        start, parts = text[:place], call_parts(text, place, self._types)
        arguments = [self._attributed(comma, named=True) for comma in split_commas(parts.arguments)]
        words = [start.strip()]
        if self._level is not StripLevel.ALL and parts.flags:
            words.append(parts.flags)
        words += parts.kept
        words.append(self._types.literal(parts.type_))
        return f"{' '.join(words)} {parts.callee}({', '.join(arguments)}){parts.rest}"


class _Call:
    """The parts of a call's text."""

    __slots__ = ("arguments", "callee", "flags", "kept", "rest", "type_")

    def __init__(
        self, flags: str, kept: list[str], type_: str, callee: str, arguments: str, rest: str
    ) -> None:
        self.flags, self.kept, self.type_ = flags, kept, type_
        self.callee, self.arguments, self.rest = callee, arguments, rest


def call_parts(text: str, place: int, types: TypeReader) -> _Call:
    """Return the parts of a call, read from after the word ``call``.

    Raises:
        InputError: it is none.
    """
    flags: list[str] = []
    kept: list[str] = []
    while True:
        while text[place : place + 1] == " ":
            place += 1
        match = re.compile(r'[a-z_]+\d*(?=[ (])|"[^"]*"(?:="[^"]*")?').match(text, place)
        if match is None or _starts_type(match[0]):
            break
        place = match.end()
        argument = text[place : place + 1] == "("
        if argument:
            place = closing(text, place)
        elif match[0] == "align":
            number = re.compile(r" \d+").match(text, place)
            place = number.end() if number else place
        if match[0] in _FLAG_WORDS:
            flags.append(match[0])
        elif match[0] in _ATTRIBUTES_KEPT:
            kept.append(match[0])
    stop = types.end(text, place)
    if text[stop : stop + 2] == " (":
        stop = closing(text, stop + 1)
    type_ = text[place:stop]
    if text[stop : stop + 5] == " asm ":
        match = re.compile(r' asm (?:[a-z]+ )*"[^"]*", "[^"]*"').match(text, stop)
        if match is None:
            raise InputError(f"no assembly: '{text[:60]}'")
        opening = match.end()
    else:
        match = re.compile(rf" (?:{NAME}|%\d+|[a-z]+ \()").match(text, stop)
        if match is None:
            raise InputError(f"no call: '{text[:60]}'")
        opening = match.end()
        if text[opening - 1] == "(":
            raise InputError("a call of a constant expression")
    if text[opening : opening + 1] != "(":
        raise InputError(f"no call: '{text[:60]}'")
    end = closing(text, opening)
    return _Call(
        " ".join(flags),
        kept,
        type_,
        text[stop:opening].strip(),
        text[opening + 1 : end - 1],
        text[end:],
    )


def _starts_type(word: str) -> bool:
    return bool(
        re.fullmatch(r"i\d+|half|bfloat|float|double|x86_fp80|fp128|ptr|void|token|metadata", word)
    )


_ELEMENTS: Final = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}
_VALUE_WORDS: Final = frozenset(
    [
        "null",
        "undef",
        "poison",
        "zeroinitializer",
        "true",
        "false",
        "none",
        "getelementptr",
        "ptrtoint",
        "inttoptr",
        "trunc",
        "add",
        "sub",
        "xor",
        "bitcast",
        "addrspacecast",
        "blockaddress",
        "dso_local_equivalent",
        "no_cfi",
        "splat",
        "shl",
        "mul",
        "asm",
        "c",
    ]
)
_LINKAGE: Final = frozenset(
    [
        "internal",
        "private",
        "weak",
        "weak_odr",
        "linkonce",
        "linkonce_odr",
        "hidden",
        "protected",
        "dso_local",
    ]
)
