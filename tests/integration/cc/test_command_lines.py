"""Odd command lines: llm-cc leaves the files, the output and the exit code that clang leaves.

By default every so many of them; those that a regular expression finds with
``LLM_CC_LINES=. pytest tests/integration/cc/test_command_lines.py``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import find_toolchain

if TYPE_CHECKING:
    from .conftest import LlmCc

CASES = Path(__file__).parents[2] / "cases" / "llm_cc" / "command_lines.txt"
LINES = [line for line in CASES.read_text().splitlines() if line and not line.startswith("#")]
_EVERY = 23
_WANTED = os.environ.get("LLM_CC_LINES", "")
_MAIN = """\
#include <stdio.h>
int total(const int *v, int n);
int largest(const int *v, int n);
int main(int argc, char **argv) {
  int v[] = {3, 1, 4, 1, 5, 9, argc};
  for (int i = 0; i < argc; i++) v[i] += 2;
  printf("%d %d\\n", total(v, 7), largest(v, 7));
  return 0;
}
"""
_LIB = """\
int total(const int *v, int n) { int s = 0; while (n--) s += v[n] * 3 + 1; return s; }
int largest(const int *v, int n) {
  int best = v[0];
  for (int i = 1; i < n; i++) if (v[i] > best) best = v[i];
  return best;
}
"""
_FILES = {
    "a.c": _MAIN,
    "lib/lib.c": _LIB,
    "a.cpp": "#include <string>\nstd::string twice(const std::string &s) { return s + s + s; }\n"
    "template <class T> T add(T a, T b) { return a + b * 3; }\n"
    "int f(int x) { return add(x, 2); }\n",
    "b.cxx": _LIB,
    "sp ace/x y.c": _LIB,
    "noext_source": _LIB,
    "empty.c": "",
    "bad.c": "int f(void) { return missing + other; }\nint g(void) { return 1 }\n" * 2,
    "warn.c": "int f(int x) { int unused; return x * 3 + x / 5; }\n"
    "int g(int x) { long y = f(x); return f(y) + f(x + 1) + f(x + 2); }\n",
    "macros.c": "#define UNUSED 1\n" + _LIB,
    "frame.c": "void use(char *);\nint f(int x) { char b[300]; use(b); return b[x] + b[x + 1]; }\n",
    "inc/hdr.h": "#define FACTOR 7\n",
    "uses_inc.c": '#include "hdr.h"\n' + _LIB + "int factor(int x) { return x * FACTOR; }\n",
    "missing_header.c": '#include "no_such.h"\n' + _LIB,
    "pre.h": "#define PRE 3\nextern int from_pre;\n",
    "text.c": "const char *text(void) { return (const char *)TEXT; }\n" + _LIB,
    "error_directive.c": "#error this is refused\n" + _LIB,
    "warning_directive.c": "#warning this is odd\n" + _LIB,
    "incbin.c": '__asm__(".data\\n.incbin \\"a.c\\"\\n");\n' + _LIB,
    "time.c": "#ifdef NEVER\n__TIME__\n#endif\n" + _LIB,
    "toplevel_asm.c": '__asm__(".globl marker\\n.set marker, 1\\n");\n' + _LIB,
    "alias.c": _LIB + 'int sum(const int *v, int n) __attribute__((alias("total")));\n',
    "weak.c": "__attribute__((weak)) int maybe(void);\n"
    + _LIB
    + "int use(void) { return maybe ? maybe() : 3; }\n",
    "asm.s": ".globl from_asm\nfrom_asm:\n ret\n",
    "asm.S": "#define NAME from_asm\n.globl NAME\nNAME:\n ret\n",
    "args": "-Oz -c\na.c\n-o 'my out.o'\n",
    "nested": "@args -MD\n",
    "quoted": '-Oz -c "sp ace/x y.c" -o quoted\\ out.o -DX="1 2"\n',
    "self": "-Oz @self\n",
    "flags": "-fPIC -ffunction-sections\n",
    "empty_args": "",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    clang = str(find_toolchain().tool("clang"))
    for source, output in (("a.c", "prebuilt.o"), ("lib/lib.c", "lib/prebuilt.o")):
        subprocess.run([clang, "-Oz", "-c", source, "-o", output], cwd=folder, check=True)
    subprocess.run([clang, "-Oz", "-x", "c-header", "pre.h"], cwd=folder, check=True)
    return folder


def _run(
    words: list[str], template: Path, folder: Path, names: dict[str, str], llm_cc: LlmCc
) -> tuple[int, bytes, bytes, dict[str, bytes]]:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    more: dict[str, str] = {}
    rest = list(words)
    while ("=" in rest[0] and rest[0].split("=")[0].isupper()) or rest[0].startswith("LLM_"):
        name, _, value = rest.pop(0).partition("=")
        more[name] = value
    stdin = None
    if "<" in rest:
        stdin = (folder / rest[-1]).open("rb")
        rest = rest[: rest.index("<")]
    arguments = [word.replace("$PWD", str(folder)) for word in rest[1:]]
    done = subprocess.run(
        [names[rest[0]], *arguments],
        cwd=folder,
        env=llm_cc.environment(**more),
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=False,
    )
    if stdin:
        stdin.close()
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return done.returncode, done.stdout, done.stderr, files


_TEMPORARY = re.compile(rb"/[^\s\"']*?/[\w.-]+-[0-9a-f]{6}\.\w+|0x[0-9a-f]+|\d+\.\d+ s")


def _offered(data: bytes, folder: Path) -> list[str]:
    path = folder.parent / "looked.at"
    path.write_bytes(data)
    command = [find_toolchain().tool("llvm-nm"), "-g", "--defined-only", "--format=posix", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return sorted(line.split()[0] for line in done.stdout.splitlines() if line)


def _assembled(text: bytes, folder: Path) -> bytes:
    source = folder.parent / "assembled.s"
    source.write_bytes(text)
    command = [find_toolchain().tool("clang"), "-c", source, "-o", source.with_suffix(".o")]
    subprocess.run(command, check=True)
    return source.with_suffix(".o").read_bytes()


def _check(line: str, template: Path, folder: Path, llm_cc: LlmCc) -> None:
    words = shlex.split(line)
    clang = {"cc": llm_cc.clang, "c++": llm_cc.clang + "++"}
    ours = {"cc": str(llm_cc.client), "c++": str(llm_cc.client.with_name("llm-c++"))}
    expected = _run(words, template, folder, clang, llm_cc)
    for attempt in ("cold", "again"):
        found = _run(words, template, folder, ours, llm_cc)
        where = f"{attempt}: {line}"
        assert found[0] == expected[0], f"{where}\n{found[2].decode()}\n{expected[2].decode()}"
        for index in (1, 2):
            texts = [_TEMPORARY.sub(b"TEMPORARY", row[index]) for row in (found, expected)]
            assert texts[0] == texts[1], where
        assert sorted(found[3]) == sorted(expected[3]), where
        for name, data in found[3].items():
            theirs = expected[3][name]
            if data == theirs:
                continue
            if b".ident" in data and b".ident" in theirs:
                data, theirs = _assembled(data, folder), _assembled(theirs, folder)
            assert data[:4] == b"\x7fELF" == theirs[:4], f"{where}: {name}"
            assert _offered(data, folder) == _offered(theirs, folder), f"{where}: {name}"
            if "-g" not in line and "lto" not in line:
                sizes = [section_sizes(item).size_bytes for item in (data, theirs)]
                assert sizes[0] <= sizes[1], f"{where}: {name}: {sizes}"


@pytest.mark.timeout(0 if _WANTED else 120)
def test_command_lines_do_what_clang_does(llm_cc: LlmCc, template: Path, tmp_path: Path) -> None:
    chosen = [word for word in LINES if re.search(_WANTED, word)] if _WANTED else LINES[::_EVERY]
    wrong = []
    for line in chosen:
        try:
            _check(line, template, tmp_path / "work", llm_cc)
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0:12])
    assert wrong == [], "\n".join("\n".join(group) for group in wrong)
    assert len(LINES) >= 200


if _WANTED:
    test_command_lines_do_what_clang_does = pytest.mark.timeout(3000)(
        test_command_lines_do_what_clang_does
    )
