from __future__ import annotations

import pytest

from llm_compiler.service.allowed_flags import allowed_flags
from llm_compiler.service.limits import Refusal

ALLOWED = [
    "-DNDEBUG",
    "-DX=1",
    "-DSQUARE(x)=((x)*(x))",
    "-UFOO",
    "-std=c11",
    "-std=gnu++20",
    "-Wall",
    "-Wno-unused-parameter",
    "-Werror=implicit-function-declaration",
    "-w",
    "-g",
    "-O2",
    "-Oz",
    "-fno-exceptions",
    "-ffunction-sections",
    "-fvisibility=hidden",
    "-march=haswell",
    "-mcpu=cortex-a53+nofp",
    "-mno-red-zone",
    "-mavx2",
    "-fPIC",
    "-fno-builtin-memcpy",
]
REFUSED = [
    *[
        "-I/etc",
        "-I",
        "-include/etc/passwd",
        "-include",
        "-imacros/etc/passwd",
        "-isystem/etc",
        "-iquote/",
        "-idirafter/",
        "@file",
        "@/etc/passwd",
        "-fplugin=/tmp/x.so",
        "-fplugin-arg-x-y",
        "-fpass-plugin=/x.so",
        "-Xclang",
        "-load",
        "-Xpreprocessor",
        "-Xassembler",
        "-Xlinker",
        "-mllvm",
        "-mllvm=-load=/x.so",
        "--sysroot=/",
        "--sysroot",
        "-isysroot",
        "-B/tmp",
        "-resource-dir=/tmp",
        "-fmodules",
        "-fmodule-map-file=/etc/passwd",
        "-fmodule-file=/etc/passwd",
        "-fmodules-cache-path=/tmp",
        "-ivfsoverlay",
        "-o/etc/passwd",
        "-o",
        "-MF/tmp/x",
        "-MD",
        "--config=/etc/passwd",
        "--config",
        "-Wl,-T/etc/passwd",
        "-Wa,-I/etc",
        "-Wp,-include,/etc/passwd",
        "-fprofile-use=/etc/passwd",
        "-fprofile-instr-generate=/tmp/x",
        "-fsanitize-ignorelist=/etc/passwd",
        "-fembed-offload-object=/etc/passwd",
        "--embed-dir=/etc",
        "-ftime-trace=/tmp/x",
        "-save-temps",
        "-fsave-optimization-record",
        "-fcrash-diagnostics-dir=/tmp",
        "-fdebug-prefix-map=/x=/y",
        "-specs=/tmp/x",
        "-wrapper",
        "-x",
        "-xc++",
        "-E",
        "-M",
        "-v",
        "-###",
        "-cc1",
        "-fuse-ld=/bin/sh",
        "/etc/passwd",
        "-",
        "--",
        "-gsplit-dwarf",
        "-working-directory=/etc",
        "-Weverything=@/etc/passwd",
    ],
    "",
    "-DX\0Y",
    "-DX=1\nint y;",
]


@pytest.mark.parametrize("flag", ALLOWED)
def test_what_changes_only_code_is_allowed(flag: str) -> None:
    assert allowed_flags([flag]) == (flag,)


@pytest.mark.parametrize("flag", REFUSED)
def test_what_names_files_plugins_or_programs_is_refused(flag: str) -> None:
    with pytest.raises(Refusal, match="is not allowed here"):
        allowed_flags([flag])


def test_text_is_read_as_a_shell_would() -> None:
    assert allowed_flags("-D 'X=a b' -U Y -Wall") == ("-DX=a b", "-UY", "-Wall")


def test_a_value_after_a_flag_cannot_hide_one() -> None:
    with pytest.raises(Refusal, match="'-include'"):
        allowed_flags(["-D", "X", "-include"])
    with pytest.raises(Refusal, match="'-D-include'"):
        allowed_flags(["-D", "-include", "/etc/passwd"])


def test_open_quotes_and_many_flags_are_refused() -> None:
    with pytest.raises(Refusal, match="cannot be read"):
        allowed_flags("-D'X")
    with pytest.raises(Refusal, match="at most 64"):
        allowed_flags(["-w"] * 65)
    with pytest.raises(Refusal, match="longer than"):
        allowed_flags(["-DX=" + "y" * 1000])
