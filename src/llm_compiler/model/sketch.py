r"""A sketch of a module: what decides about passes, in a few tokens an instruction.

A flag-tuning prompt need not be code that one could compile. The sketch of a module's text keeps
one line an instruction: its opcode, types, small constants, flags, intrinsics, whether a call goes
to a known body, the shape of branches (``back`` for loops). Names, alignments, metadata,
attributes, declarations and the numbers of values are gone. It is an eighth to a tenth of the text
in tokens, so that whole units fit where single functions did not, and costs the model as much less.

Works on any textual IR that LLVM prints; pure text, no LLVM here. Never fails: what it does not
know it shortens like everything else.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["sketch"]

_SKIPPED: Final = (
    "source_filename",
    "target ",
    "attributes ",
    "declare ",
    "!",
    ";",
    "}",
    "$",
    "module asm",
    "uselistorder",
)
_BLOCK = re.compile(r"^([-\w$.]+|\"[^\"]*\"):")
_RESULT = re.compile(r"^%(?:[-\w$.]+|\"[^\"]*\") = ")
_GLOBAL = re.compile(r"^@(?:[-\w$.]+|\"[^\"]*\") = (.*)$")
_STRING = re.compile(r'c?"(?:[^"\\]|\\.)*"')
_KIND = re.compile(r"\b(global|constant|alias|ifunc)\b ?(.*)$")
_METADATA = re.compile(r",? ![\w.]+(?: !\d+)?(?:\([^)]*\))?")
_ALIGN = re.compile(r",? align \d+")
_GROUP = re.compile(r" #\d+")
_WORDS = re.compile(
    r"\b(?:noundef|nonnull|noalias|nocapture|readonly|readnone|writeonly|returned|nofree|nosync|"
    r"nounwind|immarg|local_unnamed_addr|unnamed_addr|dso_local|hidden|protected|inreg|"
    r"mustprogress|minsize|optsize|uwtable|noinline|inbounds|captures\([^)]*\)|"
    r"(?:dereferenceable|dereferenceable_or_null|align|range|memory|initializes|elementtype)"
    r"\((?:[^()]|\([^()]*\))*\)|comdat(?:\([^)]*\))?|personality ptr @[-\w$.]+) ?"
)
_ATTRIBUTE_ALIGN = re.compile(r"\balign \d+ ?")
_INTRINSIC = re.compile(r"@llvm\.([a-z][a-z0-9_]*(?:\.[a-z][a-z_]+)*)[-\w.$]*")
_SYMBOL = re.compile(r"@(?:[-\w$.]+|\"[^\"]*\")")
_TYPE_NAME = re.compile(
    r"%(?:\"(?:struct|class|union|\")[^\"]*\"|(?:struct|class|union)\.[-\w$.:]+)"
)
_VALUE = re.compile(r"%(?:[-\w$.]+|\"[^\"]*\")")
_LARGE = re.compile(r"(?<![\w.])-?\d{4,}\b")
_FLOAT = re.compile(r"(?<![\w.])-?\d+\.\d+e[-+]\d+|0x[0-9A-FKLMHR]+")
_LABEL = re.compile(r"label %([-\w$.]+|\"[^\"]*\")")
_PHI = re.compile(r"\[ ([^,\]]+), [^\]]*\]")
_POINTER = re.compile(r"\bptr\b")
_FIELD = re.compile(r"^getelementptr T, p, i32 0, i32 (\d+)$")
_LIFETIME = re.compile(r"^call void (lifetime\.(?:start|end))\(.*$")
_SPACES = re.compile(r" {2,}")


def sketch(text: str) -> str:
    """Return the sketch of a module's text, one line a global, block and instruction."""
    lines: list[str] = []
    seen: set[str] = set()
    bodies = set(re.findall(r"^define [^@\n]*@([-\w$.]+|\"[^\"]*\")\(", text, re.MULTILINE))
    num_cases = -1  # none: not within a switch
    for line in text.splitlines():
        if num_cases >= 0:
            # A switch goes on until its bracket: only the number of cases counts.
            if line.lstrip().startswith("]"):
                lines[-1] += f" {num_cases}"
                num_cases = -1
            else:
                num_cases += 1
            continue
        if not line or line.startswith(_SKIPPED) or (line[0] == "%" and " = type " in line):
            continue
        if line.startswith(("          to label ", "    #dbg_")):
            continue  # an invoke's second line; where a variable is, for debuggers
        if line[0] == "@":
            lines.append(_global(line))
        elif line.startswith("define "):
            seen.clear()
            lines.append(_shorten(line.rsplit(") ", 1)[0] + ")"))
        elif (block := _BLOCK.match(line)) is not None:
            seen.add(block[1])
            lines.append("block")
        else:
            code = _RESULT.sub("", line.strip())
            lines.append(_instruction(code, seen, bodies))
            if code.startswith("switch ") and code.endswith("["):
                num_cases = 0
    return "\n".join(lines) + "\n"


def _global(line: str) -> str:
    match = _GLOBAL.match(line)
    rest = _STRING.sub("string", match[1] if match else line)
    kind = _KIND.search(rest)
    if kind is None:
        return "global"
    linkage = rest[: kind.start()].split(" ", 1)[0]
    value = _TYPE_NAME.sub("T", kind[2])
    # After the type an initialiser may go on for pages.
    value = _SYMBOL.sub("@", value).split(", align", 1)[0][:24]
    prefix = f"{linkage} " if linkage in ("private", "internal", "external") else ""
    return f"{prefix}{kind[1]} {_LARGE.sub('N', value)}".rstrip()


def _instruction(code: str, seen: set[str], bodies: set[str]) -> str:
    if code.startswith(("br ", "switch ", "indirectbr ", "invoke ")):
        back = any(label in seen for label in _LABEL.findall(code))
        num_labels = len(_LABEL.findall(code))
        if code.startswith("br "):
            return ("br i1" if num_labels > 1 else "br") + (" back" if back else "")
        code = code.split(" to label", 1)[0] if code.startswith("invoke ") else code
        if code.startswith("switch "):
            return " ".join(code.split(" ", 2)[:2]) + (" back" if back else "")
    if code.startswith("phi "):
        kind = _shorten(code.split(" [", 1)[0])
        constants = [item for item in _PHI.findall(code) if not item.startswith("%")]
        more = " ".join(_shorten(constant) for constant in constants[:4])
        return f"{kind} {code.count('[ ')} {more}".rstrip()
    if "call " in code[:24] or code.startswith("invoke "):
        callee = re.search(r"@([-\w$.]+|\"[^\"]*\")\(", code)
        if callee is not None and callee[1] in bodies:
            code = code.replace(f"@{callee[1]}(", "here(", 1)
    return _shorten(code)


def _shorten(code: str) -> str:
    code = _STRING.sub("string", code) if '"' in code and "asm" in code else code
    code = _METADATA.sub("", code)
    code = _GROUP.sub("", _ALIGN.sub("", code))
    code = _ATTRIBUTE_ALIGN.sub("", _WORDS.sub("", code))
    code = _TYPE_NAME.sub("T", code)
    code = _INTRINSIC.sub(r"\1", code)
    code = _VALUE.sub("", _SYMBOL.sub("@", code))
    code = _FLOAT.sub("F", _LARGE.sub("N", code))
    code = _SPACES.sub(" ", code)
    code = code.replace(" ,", ",").replace(" )", ")").strip()
    # What is loaded from and stored to is a pointer anyhow.
    code = _POINTER.sub("p", code.removesuffix(", ptr").rstrip(" ,"))
    code = _FIELD.sub(r"field \1", code)
    if code.startswith("getelementptr "):
        return "element" + code.removeprefix("getelementptr").split(", p", 1)[0]
    return _LIFETIME.sub(r"\1", code)
