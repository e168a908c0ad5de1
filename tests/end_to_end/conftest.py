from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.process import run
from llm_compiler.records import Verdict, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.verdicts import VerdictBook

# What a test installs as a package of others: importing it here would register it in every test.
collect_ignore = ["extensions"]

COMMAND = Path(sys.executable).parent / "llm-compiler"


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, standard output and error."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def errors(self) -> list[str]:
        return [x for x in self.err.splitlines() if x.startswith("llm-compiler: error: ")]


class User:
    """Types commands in a folder of its own, with caches and verdicts of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.env = {
            **os.environ,
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "NO_COLOR": "1",
        }

    def types(self, *arguments: str | Path, timeout_s: float = 100) -> Done:
        done = run([COMMAND, *arguments], timeout_s=timeout_s, cwd=self.folder, env=self.env)
        assert not done.timed_out
        assert "Traceback" not in done.stderr_text, done.stderr_text
        return Done(done.exit_status, done.stdout.decode(), done.stderr_text)

    def starts(self, *arguments: str) -> subprocess.Popen[str]:
        """The command while it runs, in a group of its own."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fails(self, code: int, *arguments: str | Path) -> str:
        """Type a command that must fail with one clear sentence and write nothing; return it."""
        before = self.files()
        done = self.types(*arguments)
        assert done.code == code, (done.code, done.err)
        assert len(done.errors) == 1, done.err
        assert done.out == ""
        assert self.files() == before
        return done.errors[0]

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return Path(name)

    def shell(self, *commands: str) -> None:
        for command in commands:
            done = run(["/bin/sh", "-c", command], timeout_s=60, cwd=self.folder)
            assert done.ok, (command, done.stderr_text)

    def judges(
        self, kind: VerdictKind, architectures: Sequence[str] = ("x86_64", "aarch64")
    ) -> None:
        """Give every list and recipe of the shipped coreset a verdict in the user's own book."""
        coreset = load_coreset()
        with VerdictBook(self.home / "data" / "llm-compiler" / "verdicts.db") as book:
            book.record(
                *(
                    Verdict(
                        kind=kind,
                        passes=passes,
                        llvm_major=find_toolchain().major,
                        architecture=architecture,
                    )
                    for architecture in architectures
                    for passes in (*coreset.lists, *coreset.extras_for(architecture))
                )
            )


@pytest.fixture
def user(tmp_path: Path) -> User:
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    return User(tmp_path / "work", tmp_path / "home")


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return find_toolchain()


# One of the lists of the coreset is smaller than clang -Oz on it.
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#ifndef LIMIT
#define LIMIT 12
#endif
struct item { int key; int value; char name[16]; };
static struct item items[32];
static int num_items;

static struct item *find(int key) {
    for (int i = 0; i < num_items; i++)
        if (items[i].key == key) return &items[i];
    return 0;
}
int put(int key, int value, const char *name) {
    struct item *one = find(key);
    if (!one) {
        if (num_items >= LIMIT) return -1;
        one = &items[num_items++];
        one->key = key;
    }
    one->value = value;
    strncpy(one->name, name, sizeof one->name - 1);
    one->name[sizeof one->name - 1] = 0;
    return num_items;
}
int classify(int x) {
    switch (x % 9) {
    case 0: return x * 2;
    case 1: return x + 7;
    case 2: return x - 3;
    case 3: return x ^ 0x55;
    case 5: return -x;
    case 7: return x / 3;
    default: return 0;
    }
}
long total(void) {
    long sum = 0;
    for (int i = 0; i < num_items; i++) {
        sum += items[i].value * 3L + classify(items[i].key);
        if (sum > 100000) sum -= 99999;
    }
    return sum;
}
int main(void) {
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i * i);
        put(i % 14, i * 11, name);
    }
    printf("%d %ld %s\n", num_items, total(), items[3].name);
    return 0;
}
"""
OUTPUT = "12 5083 n289\n"  # as at -O0

CPP_PROGRAM = r"""
#include <cstdio>
struct Shape { virtual ~Shape() {} virtual int area() const = 0; };
struct Square : Shape {
    int a;
    explicit Square(int a) : a(a) {}
    int area() const override { return a * a; }
};
struct Box : Shape {
    int a, b;
    Box(int a, int b) : a(a), b(b) {}
    int area() const override { return a * b; }
};
template <class T, int N> T sum(const T (&values)[N]) {
    T s{};
    for (auto v : values) s += v;
    return s;
}
int measure(const Shape &shape) {
    if (shape.area() > 1000) throw shape.area();
    return shape.area();
}
int main() {
    int found[3] = {measure(Square(5)), measure(Box(3, 4)), 0};
    try { found[2] = measure(Square(100)); } catch (int area) { found[2] = area / 100; }
    std::printf("%d\n", sum(found));
    return 0;
}
"""
CPP_OUTPUT = "137\n"


@pytest.fixture
def c_file(user: User) -> Path:
    return user.write("program.c", PROGRAM)


@pytest.fixture
def cpp_file(user: User) -> Path:
    return user.write("shapes.cpp", CPP_PROGRAM)


@pytest.fixture
def expected_output() -> tuple[str, str]:
    return OUTPUT, CPP_OUTPUT
