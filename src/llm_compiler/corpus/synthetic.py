"""Synthetic C: the small functions that textbooks, exercises and utility headers are full of.

Real packages are rich in calls, fields and error paths and poor in plain arithmetic: a model that
has learnt from them alone lifts `strbuf_append` better than `add`. Two sources fill that gap: forms
that everybody writes (`data/textbook.txt`), with types, constants and comparisons drawn anew each
time, and random expressions, branches, calls, switches and loops. All of it compiles as C17 without
headers, and none of it is meant to be run. A file depends on its seed alone.
"""

from __future__ import annotations

import functools
import random
import re
from importlib import resources
from pathlib import Path

from llm_compiler.errors import OutputError
from llm_compiler.output import write_atomically

__all__ = ["synthesize", "write_sources"]

_SIGNED = ("int", "long", "short", "signed char", "long long")
_UNSIGNED = ("unsigned", "unsigned long", "unsigned char", "unsigned short")
_FLOATS = ("double", "float")
_WIDE = ("int",) * 8 + ("long", "unsigned", "unsigned long") * 3 + ("long long",)
_INDEXES = ("int", "int", "unsigned", "long", "unsigned long")
_RELATIONS = ("<", "<=", ">", ">=", "==", "!=")
_MASKS = ("0xff", "0xf", "0x7f", "0xffff", "0x80", "0xf0", "0x3f", "1", "3", "7", "0x5555")
_LETTERS = ("' '", "'a'", "'0'", "'/'", "'.'", "','", "'\\n'", "':'", "'-'", "'\"'")
_FIELDS = ("w", "len", "size", "count", "flags", "id", "key", "value", "cap", "next", "left")


def synthesize(seed: int, num_functions: int) -> str:
    """Return a C file of `num_functions` functions."""
    return _File(random.Random(f"synthetic C {seed}"), num_functions).text


def write_sources(
    out: Path, *, num_functions: int, seed: int = 0, functions_per_file: int = 40
) -> list[Path]:
    """Write `num_functions` functions as C files into a folder, and return the files.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    paths = []
    for number, first in enumerate(range(0, num_functions, functions_per_file)):
        path = out / f"synthetic-{number:05d}.c"
        count = min(functions_per_file, num_functions - first)
        write_atomically(path, synthesize(seed * 1_000_003 + number, count).encode())
        paths.append(path)
    return paths


@functools.cache
def _forms() -> tuple[str, ...]:
    text = resources.files("llm_compiler.data").joinpath("textbook.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


class _File:
    """One translation unit: what its functions share, and the functions."""

    def __init__(self, rng: random.Random, num_functions: int) -> None:
        self.rng = rng
        self.num_names = 0
        # Of each struct: numeric fields by name, and the names of its links.
        self.records: dict[str, tuple[dict[str, str], list[str]]] = {}
        self.globals: dict[str, str] = {}
        self.tables: dict[str, str] = {}
        self.externs: dict[str, tuple[str, list[str]]] = {}
        head = [self.record() for _ in range(2)] + self.data() + self.declare()
        own = (self.arithmetic, self.branches, self.wrapper, self.wrapper, self.switch, self.mixed)
        body = [
            self.form() if rng.random() < 0.6 else rng.choice(own)() for _ in range(num_functions)
        ]
        self.text = "\n".join(head + body) + "\n"

    # Names, types and constants.

    def name(self, prefix: str = "f") -> str:
        self.num_names += 1
        return f"{prefix}{self.num_names}"

    def integer(self) -> str:
        draw = self.rng.random()
        if draw < 0.6:
            return "int"
        return self.rng.choice(_SIGNED if draw < 0.8 else _UNSIGNED)

    def number(self) -> str:
        return self.rng.choice(_FLOATS) if self.rng.random() < 0.12 else self.integer()

    def constant(self, type_: str = "int") -> str:
        rng = self.rng
        if type_ in _FLOATS:
            return rng.choice(("0.5", "2.0", "1.0", "0.25", "100.0", f"{rng.uniform(-9, 9):.2f}"))
        kind = rng.random()
        if kind < 0.5:
            return str(rng.randint(1, 10))
        if kind < 0.6:
            return str(1 << rng.randint(0, 12))
        if kind < 0.7:
            return str((1 << rng.randint(1, 16)) - 1)
        if kind < 0.85:
            return str(rng.choice((10, 31, 32, 33, 60, 97, 100, 255, 1000, 1024, 3600, 65535)))
        return str(rng.randint(-200, 3000))

    # What a file declares.

    def record(self) -> str:
        rng, name = self.rng, self.name("s")
        fields = {field: self.number() for field in rng.sample(_FIELDS[:-2], rng.randint(2, 5))}
        links = ["next", "prev"]
        members = [f"{type_} {field};" for field, type_ in fields.items()]
        members += [f"struct {name} *{link};" for link in links]
        if rng.random() < 0.4:
            members.append(f"char text[{rng.choice((4, 8, 16, 32))}];")
        rng.shuffle(members)
        self.records[name] = fields, links
        return f"struct {name} {{ {' '.join(members)} }};"

    def data(self) -> list[str]:
        rng, lines = self.rng, []
        for _ in range(rng.randint(2, 4)):
            name, type_ = self.name("g"), self.number()
            self.globals[name] = type_
            lines.append(f"{rng.choice(('', '', 'extern '))}{type_} {name};")
        for _ in range(rng.randint(1, 2)):
            name, type_ = self.name("t"), self.integer()
            self.tables[name] = type_
            values = ", ".join(str(rng.randint(0, 100)) for _ in range(rng.choice((4, 8, 12))))
            lines.append(f"static const {type_} {name}[] = {{{values}}};")
        return lines

    def declare(self) -> list[str]:
        rng, lines = self.rng, []
        for _ in range(rng.randint(5, 9)):
            result = rng.choice(("void", "int", "int", "long", "double", "void *", "char *"))
            types = ("int", "int", "long", "unsigned", "const char *", "void *", "double")
            takes = rng.choices(types, k=rng.choice((0, 1, 1, 2, 2, 3)))
            name = self.name("e")
            self.externs[name] = result, takes
            lines.append(f"{result} {name}({', '.join(takes) or 'void'});")
        return lines

    # Functions.

    def form(self) -> str:
        """Return a line of `textbook.txt`, filled in."""
        rng = self.rng
        struct, (fields, links) = rng.choice(list(self.records.items()))
        (x, type_x), (y, type_y) = rng.choices(list(fields.items()), k=2)
        variable, other = rng.choices(list(self.globals), k=2)
        table = rng.choice(list(self.tables))
        number = self.number()
        once = {
            "T": number,
            "W": rng.choice(_WIDE),
            "U": rng.choice(("unsigned", "unsigned", *_UNSIGNED)),
            "I": rng.choice(_INDEXES),
            "F": rng.choice(_FLOATS),
            "f": self.name(),
            "S": struct,
            "x": x,
            "X": type_x,
            "y": y,
            "Y": type_y,
            "n": links[0],
            "p": links[1],
            "g": variable,
            "G": self.globals[variable],
            "h": other,
            "t": table,
            "E": self.tables[table],
        }

        def fill(found: re.Match[str]) -> str:
            match found[1]:
                case "K":
                    return self.constant(number)
                case "M":
                    return rng.choice(_MASKS)
                case "N":
                    return str(rng.randint(2, 12))
                case "R":
                    return rng.choice(_RELATIONS)
                case "C":
                    return rng.choice(_LETTERS)
                case "D":
                    return str(rng.randint(1, 31))
            return once[found[1]]

        return re.sub(r"\$(\w)", fill, rng.choice(_forms()))

    def arithmetic(self) -> str:
        rng = self.rng
        type_ = self.number() if rng.random() < 0.4 else rng.choice(_WIDE)
        names = dict.fromkeys("abcd"[: rng.choice((1, 2, 2, 3, 3, 4))], type_)
        if rng.random() < 0.15:
            names["a"] = self.number()
        return self.define(type_, names, [self.give(names, type_, rng.choice((1, 1, 2, 2, 3)))])

    def branches(self) -> str:
        rng, type_ = self.rng, self.rng.choice(_WIDE)
        names = dict.fromkeys("abc"[: rng.randint(1, 3)], type_)
        lines = []
        for _ in range(rng.randint(1, 4)):
            draw, name = rng.random(), rng.choice(list(names))
            if draw < 0.4:
                then = self.give(names, type_, rng.randint(0, 2))
            elif draw < 0.7:
                then = f"{name} {rng.choice(('+=', '-=', '=', '*='))} {self.constant()};"
            else:
                then = f"{self.call(names, [])[0]};"
            text = f"if ({self.condition(names)}) {then}"
            if draw >= 0.4 and rng.random() < 0.3:
                text += f" else {name} = {self.expression(names, type_, 1)};"
            lines.append(text)
        return self.define(type_, names, [*lines, self.give(names, type_, rng.randint(0, 2))])

    def wrapper(self) -> str:
        """Return a function that checks its arguments and calls another or two."""
        rng = self.rng
        names = {name: rng.choice(_WIDE) for name in "abc"[: rng.randint(0, 3)]}
        pointers = ["p"] if rng.random() < 0.5 else []
        call, kind = self.call(names, pointers)
        back = {"void": "", "void *": "0", "char *": "0"}.get(kind, self.constant(kind))
        lines, result = [], kind
        if pointers and rng.random() < 0.3:
            lines.append(f"if (!p) return {back};")
        elif names and rng.random() < 0.3:
            lines.append(f"if ({self.condition(names)}) return {back};")
        draw = rng.random()
        if kind == "void":
            lines += [f"{call};"] + [f"{self.call(names, pointers)[0]};"] * (draw < 0.5)
        elif "*" in kind or draw < 0.4:
            lines.append(f"return {call};")
        elif draw < 0.6:
            lines.append(f"return {call} {rng.choice('+-*')} {self.constant(kind)};")
        elif draw < 0.8:
            lines.append(f"{kind} t = {call}; {self.call(names, pointers)[0]}; return t;")
        else:
            result = "int"
            lines.append(f"return {call} {rng.choice(_RELATIONS)} {self.constant(kind)};")
        takes = {**names, **dict.fromkeys(pointers, rng.choice(("char *", "void *")))}
        return self.define(result, takes, lines)

    def switch(self) -> str:
        rng = self.rng
        start, count = rng.choice((0, 0, 1, 10, 97)), rng.randint(3, 9)
        every = range(start, start + count)
        labels = every if rng.random() < 0.7 else sorted(rng.sample(range(start + 200), count))
        names = {"b": "int"}
        cases = [f"case {n}: {self.give(names, 'int', rng.randint(0, 1))}" for n in labels]
        cases.append(f"default: return {self.constant()};")
        return self.define("int", {"a": "int", **names}, ["switch (a) {", *cases, "}"])

    def mixed(self) -> str:
        """Return a few statements of any kind in a row."""
        rng, type_ = self.rng, self.rng.choice(_WIDE)
        names = dict.fromkeys("abc"[: rng.randint(1, 3)], type_)
        lines = []
        for _ in range(rng.randint(2, 5)):
            draw, name = rng.random(), rng.choice(list(names))
            position, value = f"p[{rng.randint(0, 8)}]", self.expression(names, type_, 1)
            if draw < 0.25:
                lines.append(f"{name} {rng.choice(('+=', '-=', '^=', '='))} {value};")
            elif draw < 0.4:
                lines.append(f"{position} = {value};")
            elif draw < 0.55:
                lines.append(f"{name} += {rng.choice((position, f'p[{name}]'))};")
            elif draw < 0.7:
                lines.append(f"if ({self.condition(names)}) {name} = {value};")
            elif draw < 0.85:
                lines.append(f"{self.call(names, [])[0]};")
            else:
                bound = rng.choice((name, "4", "10"))
                lines.append(f"for (int i = 0; i < {bound}; i++) p[0] += p[i];")
        lines.append(self.give(names, type_, rng.randint(0, 1)))
        return self.define(type_, {**names, "p": f"{type_} *"}, lines)

    def define(self, result: str, takes: dict[str, str], lines: list[str]) -> str:
        items = [f"{type_} {name}" for name, type_ in takes.items()]
        self.rng.shuffle(items)
        return f"{result} {self.name()}({', '.join(items) or 'void'}) {{ {' '.join(lines)} }}"

    # Statements and expressions; `names` maps variables to their types.

    def give(self, names: dict[str, str], type_: str, depth: int) -> str:
        return f"return {self.expression(names, type_, depth)};"

    def leaf(self, names: dict[str, str], type_: str, avoid: str) -> str:
        """Return a variable or a constant, other than its neighbour."""
        others = [name for name in names if name != avoid]
        if others and self.rng.random() < 0.7:
            return self.rng.choice(others)
        return self.constant(type_)

    def expression(self, names: dict[str, str], type_: str, depth: int) -> str:
        rng = self.rng
        if depth == 0 or (depth < 3 and rng.random() < 0.15):
            return rng.choice(list(names))
        left = self.expression(names, type_, depth - 1)
        if depth == 1 or rng.random() < 0.3:
            right = self.leaf(names, type_, left)
        else:
            right = self.expression(names, type_, depth - 1)
        if type_ in _FLOATS or any(kind in _FLOATS for kind in names.values()):
            return f"({left} {rng.choice('+-*/')} {right})"
        kind = rng.random()
        if kind < 0.55:
            return f"({left} {rng.choices('+-*&|^', (6, 6, 4, 1, 1, 1))[0]} {right})"
        if kind < 0.66:
            return f"({left} {rng.choice(('<<', '>>'))} {rng.randint(1, 15)})"
        if kind < 0.74:
            return f"({left} {rng.choice('/%')} {rng.choice((2, 3, 4, 5, 7, 8, 10, 16, 60, 100))})"
        if kind < 0.8:
            return f"({left} {rng.choice('&|^')} {rng.choice(_MASKS)})"
        if kind < 0.86:
            return f"({rng.choice('-~!')}{left})"
        if kind < 0.93:
            return f"({left} {rng.choice(_RELATIONS)} {right})"
        return f"({self.condition(names)} ? {left} : {right})"

    def condition(self, names: dict[str, str]) -> str:
        rng = self.rng
        name, other = rng.choice(list(names)), rng.choice(list(names))
        draw = rng.random()
        if draw < 0.3 and name != other:
            test = f"{name} {rng.choice(_RELATIONS)} {other}"
        elif draw < 0.7:
            test = f"{name} {rng.choice(_RELATIONS)} {self.constant(names[name])}"
        elif draw < 0.8 and names[name] not in _FLOATS:
            test = f"{name} & {rng.choice(_MASKS)}"
        else:
            test = rng.choice((f"{name} == 0", f"{name} < 0", f"!{name}", name))
        if rng.random() < 0.2:
            bound = f"{other} {rng.choice(_RELATIONS)} {self.constant(names[other])}"
            test = f"({test}) {rng.choice(('&&', '||'))} ({bound})"
        return test

    def call(self, names: dict[str, str], pointers: list[str]) -> tuple[str, str]:
        """Return a call of a declared function, and the type of its result."""
        rng = self.rng
        callee = rng.choice(list(self.externs))
        result, takes = self.externs[callee]
        given = []
        for type_ in takes:
            if "*" in type_:
                text = '"text"' if type_ == "const char *" else "0"
                given.append(rng.choice(pointers) if pointers and rng.random() < 0.7 else text)
            elif names and rng.random() < 0.8:
                given.append(self.expression(names, type_, rng.randint(0, 1)))
            else:
                given.append(self.constant(type_))
        return f"{callee}({', '.join(given)})", result
