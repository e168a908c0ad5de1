"""Flags that say what the level says already do not keep recipes away."""

from __future__ import annotations

import pytest

from llm_compiler.cc.improve import _without_defaults
from llm_compiler.llvm.clang_flags import ClangFlags

LINUX = "x86_64-pc-linux-gnu"


@pytest.mark.parametrize(
    ("words", "triple", "kept"),
    [
        (("-Wall", "-fomit-frame-pointer", "-fPIC"), LINUX, ("-Wall", "-fPIC")),
        (("-fomit-frame-pointer",), "x86_64-unknown-linux-musl", ()),
        # There clang keeps frame pointers by itself: the flag says something.
        (("-fomit-frame-pointer",), "x86_64-unknown-freebsd14", ("-fomit-frame-pointer",)),
        (("-fomit-frame-pointer",), "x86_64-linux-android", ("-fomit-frame-pointer",)),
        (("-fno-omit-frame-pointer",), LINUX, ("-fno-omit-frame-pointer",)),
        # The last counts.
        (("-fno-omit-frame-pointer", "-c", "-fomit-frame-pointer"), LINUX, ("-c",)),
        (
            ("-fomit-frame-pointer", "-fno-omit-frame-pointer"),
            LINUX,
            ("-fomit-frame-pointer", "-fno-omit-frame-pointer"),
        ),
        (
            ("-fomit-frame-pointer", "-mno-omit-leaf-frame-pointer"),
            LINUX,
            ("-fomit-frame-pointer", "-mno-omit-leaf-frame-pointer"),
        ),
    ],
)
def test_omitting_what_is_omitted_anyway(
    words: tuple[str, ...], triple: str, kept: tuple[str, ...]
) -> None:
    assert _without_defaults(ClangFlags(kept=words), triple).kept == kept
