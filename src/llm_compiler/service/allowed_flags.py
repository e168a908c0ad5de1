"""The clang flags that a stranger may give: a list of what is allowed, all else is refused.

Allowed is what changes the code that is made and names no file, plugin or second program. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from llm_compiler.service.limits import Refusal

__all__ = ["ALLOWED_IN_WORDS", "allowed_flags"]

ALLOWED_IN_WORDS = (
    "-D, -U, -std=, -W..., -g, -O..., -march=, -mcpu=, -mtune=, vector extensions, and the -f "
    "flags of language and code generation that name no file"
)
_MAX_FLAGS = 64
_MAX_CHARACTERS = 256

_WORD = r"[A-Za-z0-9_.+-]+"
_F_SWITCHES = [
    "exceptions",
    "cxx-exceptions",
    "rtti",
    "unwind-tables",
    "asynchronous-unwind-tables",
    "strict-aliasing",
    "wrapv",
    "strict-overflow",
    "PIC",
    "pic",
    "PIE",
    "pie",
    "common",
    "builtin",
    "function-sections",
    "data-sections",
    "jump-tables",
    "omit-frame-pointer",
    "stack-protector",
    "stack-protector-strong",
    "stack-protector-all",
    "signed-char",
    "unsigned-char",
    "short-enums",
    "short-wchar",
    "math-errno",
    "fast-math",
    "finite-math-only",
    "signed-zeros",
    "trapping-math",
    "associative-math",
    "reciprocal-math",
    "unsafe-math-optimizations",
    "rounding-math",
    "inline",
    "inline-functions",
    "merge-all-constants",
    "plt",
    "semantic-interposition",
    "threadsafe-statics",
    "char8_t",
    "freestanding",
    "hosted",
    "delete-null-pointer-checks",
    "zero-initialized-in-bss",
    "unroll-loops",
    "vectorize",
    "slp-vectorize",
    "tree-vectorize",
    "coroutines",
    "aligned-allocation",
    "sized-deallocation",
    "use-cxa-atexit",
    "visibility-inlines-hidden",
    "ms-extensions",
    "gnu89-inline",
    "stack-clash-protection",
    "addrsig",
    "ident",
    "optimize-sibling-calls",
    "strict-enums",
    "strict-vtable-pointers",
    "assume-sane-operator-new",
    "split-machine-functions",
    "keep-static-consts",
    "dollars-in-identifiers",
    "declspec",
    "blocks",
]
_M_SWITCHES = [
    "mmx",
    "sse",
    "sse2",
    "sse3",
    "ssse3",
    "sse4",
    "sse4.1",
    "sse4.2",
    "sse4a",
    "avx",
    "avx2",
    "avx512f",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512vl",
    "avxvnni",
    "bmi",
    "bmi2",
    "fma",
    "fma4",
    "f16c",
    "popcnt",
    "lzcnt",
    "aes",
    "sha",
    "pclmul",
    "rdrnd",
    "adx",
    "movbe",
    "cx16",
    "red-zone",
    "general-regs-only",
    "outline",
    "outline-atomics",
    "strict-align",
    "omit-leaf-frame-pointer",
    "unaligned-access",
    "implicit-float",
    "soft-float",
    "long-calls",
    "retpoline",
    "thumb",
    "arm",
]


def _any(names: Sequence[str]) -> str:
    return "|".join(re.escape(name) for name in names)


_ALLOWED = tuple(
    re.compile(pattern)
    for pattern in (
        r"-D[A-Za-z_]\w*(\([\w, .]*\))?(=[^\n\0]*)?",
        r"-U[A-Za-z_]\w*",
        rf"-std={_WORD}",
        r"-(ansi|pthread|w|pedantic|pedantic-errors|c|S|Oz|Os|O[0-3]?)",
        # Not -Wl, -Wa and -Wp, which speak to other programs.
        r"-W[a-z0-9][a-z0-9+-]*(=[a-z0-9+-]+)?",
        r"-g[0-3]?",
        rf"-f(no-)?({_any(_F_SWITCHES)})",
        r"-fno-builtin-[A-Za-z_]\w*",
        r"-fvisibility=(default|hidden|protected|internal)",
        r"-ffp-contract=(on|off|fast|fast-honor-pragmas)",
        r"-fcf-protection(=(none|branch|return|full))?",
        r"-(fconstexpr-depth|ftemplate-depth|fbracket-depth)=[0-9]{1,4}",
        r"-fpack-struct=[0-9]{1,2}",
        rf"-m(no-)?({_any(_M_SWITCHES)})",
        rf"-m(arch|cpu|tune|abi|float-abi|fpu|code-model|cmodel)={_WORD}",
        r"-mbranch-protection=[a-z+-]+",
        r"-mframe-pointer=(none|non-leaf|all)|-momit-leaf-frame-pointer",
        r"-m(32|64)",
    )
)
_WITH_VALUE = ("-D", "-U")
_COMMAS = re.compile(r"-W[alp],")


def allowed_flags(flags: str | Sequence[str]) -> tuple[str, ...]:
    """Return flags, each one word, if all are allowed.

    Args:
        flags: one text as typed for a shell, or a list.

    Raises:
        Refusal: with the first that is not.
    """
    if isinstance(flags, str):
        try:
            flags = shlex.split(flags)
        except ValueError as error:
            raise Refusal(f"the flags cannot be read: {error}") from error
    if len(flags) > _MAX_FLAGS:
        raise Refusal(f"there are {len(flags)} flags: at most {_MAX_FLAGS} are taken")
    found: list[str] = []
    rest = list(flags)
    while rest:
        flag = rest.pop(0)
        if flag in _WITH_VALUE and rest:
            flag += rest.pop(0)
        if len(flag) > _MAX_CHARACTERS:
            raise Refusal(f"the flag '{flag[:40]}...' is longer than {_MAX_CHARACTERS} characters")
        if _COMMAS.match(flag) or not any(
            each_pattern.fullmatch(flag) for each_pattern in _ALLOWED
        ):
            raise Refusal(f"the flag '{flag}' is not allowed here: allowed are {ALLOWED_IN_WORDS}")
        found.append(flag)
    return tuple(found)
