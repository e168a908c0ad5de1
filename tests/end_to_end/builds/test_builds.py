"""The recipes of docs/builds.md, on a small program: each build system finds llm-cc and uses it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import find_toolchain

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "builds"
SCRIPTS = ROOT / "src" / "llm_compiler" / "cc" / "scripts"

_FILES = {
    "main.c": """\
#include <stdio.h>
int total(const int *v, int n);
int words(const char *text);
int main(int argc, char **argv) {
  int v[] = {3, 1, 4, 1, 5, 9, argc};
  for (int i = 0; i < 7; i++) v[i] += 2;
  printf("%d %d\\n", total(v, 7), words("one two three"));
  return argc - 1;
}
""",
    "lib.c": """\
struct node { struct node *next; int key; };
int total(const int *v, int n) { int s = 0; while (n--) s += v[n] * 3 + 1; return s; }
int sum(struct node *n) { int s = 0; while (n) { s += n->key * 3; n = n->next; } return s; }
int longest(struct node *n, int limit) {
  int best = 0;
  for (; n && best < limit; n = n->next) if (n->key > best) best = n->key;
  return best;
}
""",
    "words.cpp": """\
#include <string>
template <class T> static int count(const T &text, char what) {
  int found = 0;
  for (char one : text) found += one == what;
  return found;
}
extern "C" int words(const char *text) {
  std::string copy(text);
  copy += ' ';
  return count(copy, ' ') + count(std::string(text), '\\n');
}
""",
    "Makefile": """\
CFLAGS = -O2
CXXFLAGS = -O2
OBJECTS = main.o lib.o words.o
prog: $(OBJECTS)
\t$(CXX) $(LDFLAGS) $(OBJECTS) -o prog
check: prog
\t./prog
""",
    "configure.ac": """\
AC_INIT([prog], [1])
AC_PROG_CC
AC_PROG_CXX
AC_CHECK_HEADERS([stdio.h])
AC_CHECK_FUNCS([printf no_such_function])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
""",
    "Makefile.in": """\
CC = @CC@
CXX = @CXX@
CFLAGS = @CFLAGS@
CXXFLAGS = @CXXFLAGS@
OBJECTS = main.o lib.o words.o
prog: $(OBJECTS)
\t$(CXX) $(OBJECTS) -o prog
""",
    "CMakeLists.txt": """\
cmake_minimum_required(VERSION 3.18)
project(prog C CXX)
add_library(lib STATIC lib.c)
add_executable(prog main.c words.cpp)
target_link_libraries(prog lib)
""",
    "meson.build": """\
project('prog', ['c', 'cpp'])
executable('prog', ['main.c', 'lib.c', 'words.cpp'])
""",
    "debian/control": """\
Source: prog
Maintainer: Nobody <nobody@example.org>
Standards-Version: 4.6.2

Package: prog
Architecture: any
Description: a program
""",
    "debian/changelog": """\
prog (1) unstable; urgency=low

  * Begin.

 -- Nobody <nobody@example.org>  Thu, 01 Jan 2026 00:00:00 +0000
""",
}
_RULES = """\
#!/usr/bin/make -f
include /usr/share/dpkg/buildflags.mk
clean:
build build-arch build-indep:
\t$(MAKE) CC="$(CC)" CXX="$(CXX)" CFLAGS="$(CFLAGS)" CXXFLAGS="$(CXXFLAGS)"
binary binary-arch: build
\tinstall -D prog debian/prog/usr/bin/prog
\tmkdir -p debian/prog/DEBIAN
\tdpkg-gencontrol -pprog -Pdebian/prog
\tdpkg-deb --build debian/prog ..
binary-indep:
"""


@dataclass(frozen=True)
class Surroundings:
    """A PATH on which llm-cc is, and a private folder."""

    bin: Path
    private: Path

    def run(self, command: str, folder: Path, /, **more: str) -> None:
        self.run_within(110, command, folder, **more)

    def run_within(self, timeout_s: int, command: str, folder: Path, /, **more: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LLM_CC_", "DEB_"))}
        path = f"{self.bin}:{kept['PATH']}"
        # A server takes long to start on a busy machine.
        patient = {"LLM_CC_DIR": str(self.private), "LLM_CC_PATIENCE_S": "100"}
        env = {**kept, "PATH": path, **patient, **more}
        with subprocess.Popen(
            ["sh", "-ec", command],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # a build goes on without its shell
                raise
        assert process.returncode == 0, (stdout + stderr).decode("utf-8", "replace")[-3000:]

    def outputs(self, folder: Path) -> dict[str, dict[str, object]]:
        lines = (self.private / "journal.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return {
            Path(str(item["source"])).name: item
            for item in found
            if str(item["output"]).startswith(f"{folder}{os.sep}") and item["source"]
        }


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    folder = Path(tempfile.mkdtemp(prefix="llm-cc-builds-"))
    bin_folder = folder / "bin"
    shutil.copytree(SCRIPTS, bin_folder)
    setup = bin_folder / "llm-cc-setup"
    setup.write_text(f"#!{sys.executable}\nfrom llm_compiler.cc.install import main\nmain()\n")
    setup.chmod(0o755)
    yield Surroundings(bin=bin_folder, private=folder / "private")
    for path in (folder / "private" / "run").glob("*"):
        if path.is_socket():
            path.unlink()
    time.sleep(2.5)  # the server sees that within a second
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = (tmp_path / "project").resolve()
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "debian" / "rules").write_text(_RULES)
    (folder / "debian" / "rules").chmod(0o755)
    return folder


RECIPES = {
    "make": (("make",), "make -j2 CC=llm-cc CXX=llm-c++ CFLAGS=-Oz CXXFLAGS=-Oz", "prog"),
    "autotools": (
        ("autoconf", "make"),
        "autoconf && ./configure CC=llm-cc CXX=llm-c++ CFLAGS=-Oz CXXFLAGS=-Oz && make -j2",
        "prog",
    ),
    "cmake": (
        ("cmake", "make"),
        f"cmake -S . -B build -DCMAKE_TOOLCHAIN_FILE={EXAMPLES}/llm-cc.cmake"
        " -DCMAKE_BUILD_TYPE=MinSizeRel && cmake --build build",
        "build/prog",
    ),
    "meson": (
        ("meson", "ninja"),
        f"meson setup build --native-file {EXAMPLES}/llm-cc.ini && ninja -C build",
        "build/prog",
    ),
    "dpkg-buildpackage": (
        ("dpkg-buildpackage", "make"),
        "CC=llm-cc CXX=llm-c++ DEB_CFLAGS_MAINT_APPEND=-Oz DEB_CXXFLAGS_MAINT_APPEND=-Oz "
        "dpkg-buildpackage -b -us -uc -d",
        "prog",
    ),
}


@pytest.mark.parametrize("system", RECIPES)
def test_a_build_system_uses_llm_cc(surroundings: Surroundings, project: Path, system: str) -> None:
    tools, command, program = RECIPES[system]
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"needs {missing[0]}")
    surroundings.run(command, project)
    done = subprocess.run([project / program], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"121 3\n")
    found = surroundings.outputs(project)
    assert set(found) == {"main.c", "lib.c", "words.cpp"}
    for table in found.values():
        data = Path(str(table["output"])).read_bytes()
        assert section_sizes(data).size_bytes == table["optimized_bytes"]
    saved = [int(str(o["baseline_bytes"])) - int(str(o["optimized_bytes"])) for o in found.values()]
    assert sum(saved) > 0


_CARGO = {
    "Cargo.toml": """\
[package]
name = "sized"
version = "0.1.0"
edition = "2021"
build = "build.rs"
[build-dependencies]
cc = "1.0"
[profile.release]
opt-level = "z"
""",
    "build.rs": 'fn main() { cc::Build::new().file("lib.c").compile("list"); }\n',
    "src/main.rs": """\
extern "C" { fn total(values: *const i32, count: i32) -> i32; }
fn main() { let v = [3, 1, 4]; println!("{}", unsafe { total(v.as_ptr(), 3) }); }
""",
    ".cargo/config.toml": """\
[source.crates-io]
replace-with = "installed"
[source.installed]
directory = "/usr/share/cargo/registry"
""",
}


def test_cargos_parts_in_c(surroundings: Surroundings, project: Path) -> None:
    """Debian's package librust-cc-dev holds the crate, so that no network is needed."""
    if shutil.which("cargo") is None or not [*Path("/usr/share/cargo/registry").glob("cc-1*")]:
        pytest.skip("needs cargo and the crate cc of librust-cc-dev")
    for name, text in _CARGO.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    surroundings.run("CC=llm-cc CFLAGS=-Oz cargo build --release --offline", project)
    program = project / "target" / "release" / "sized"
    done = subprocess.run([program], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"27\n")
    (table,) = surroundings.outputs(project).values()
    # The crate asks for frame pointers, which are most of what could be saved in so little code.
    assert 0 < int(str(table["optimized_bytes"])) <= int(str(table["baseline_bytes"]))
    assert table["level"] == "-Oz"


_BAZEL = {
    "WORKSPACE": "",
    "BUILD": 'cc_binary(name = "prog", srcs = ["main.c", "lib.c", "words.cpp"])\n',
    # Bazel would fetch its own rules for C from the network (Debian's are for a later Bazel); these
    # stand in for them.
    "rules_cc/WORKSPACE": "",
    "rules_cc/cc/BUILD": "",
    "rules_cc/cc/defs.bzl": "\n".join(
        f"""\
def {rule}(**attributes):
    tags = (attributes.pop("tags", None) or []) + ["__CC_RULES_MIGRATION_DO_NOT_USE_WILL_BREAK__"]
    native.{rule}(tags = tags, **attributes)
"""
        for rule in (
            "cc_binary",
            "cc_library",
            "cc_toolchain",
            "cc_toolchain_suite",
            "objc_library",
        )
    )
    + """
def cc_flags_supplier(name, **attributes):
    native.filegroup(name = name)

def compiler_flag(name, **attributes):
    native.filegroup(name = name)
""",
}

_BAZEL_RULES = ("java", "proto")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bazel(surroundings: Surroundings, project: Path, tmp_path: Path) -> None:
    """Debian's packages hold Bazel 4, and rules that go with it, so that no network is needed."""
    rules = Path("/usr/share/bazel/rules")
    if shutil.which("bazel") is None or not all((rules / name).is_dir() for name in _BAZEL_RULES):
        pytest.skip("needs bazel of bazel-bootstrap, bazel-rules-java and bazel-rules-proto")
    for name, text in _BAZEL.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    bazel = f"bazel --output_user_root={tmp_path}/bazel"
    try:
        surroundings.run_within(
            540,
            f"{bazel} build --override_repository=rules_cc={project}/rules_cc"
            + "".join(
                f" --override_repository=rules_{name}={rules / name}" for name in _BAZEL_RULES
            )
            + " --action_env=PATH --action_env=LLM_CC_DIR --action_env=LLM_CC_PATIENCE_S"
            " --spawn_strategy=local"
            " --copt=-Oz --copt=-fomit-frame-pointer //:prog",
            project,
            CC="llm-cc",
        )
        program = project / "bazel-bin" / "prog"
        done = subprocess.run([program], capture_output=True, timeout=20, check=False)
        assert (done.returncode, done.stdout) == (0, b"121 3\n")
        found = surroundings.outputs((tmp_path / "bazel").resolve())
        assert set(found) == {"main.c", "lib.c", "words.cpp"}
        assert "frame-pointer" in str(found["words.cpp"]["recipe"])
    finally:
        surroundings.run(f"{bazel} shutdown", project)
        subprocess.run(["chmod", "-R", "u+w", tmp_path / "bazel"], check=False)


_ZIG = """\
extern fn total(values: [*]const c_int, count: c_int) c_int;
extern fn printf(format: [*:0]const u8, ...) c_int;
pub export fn main() c_int {
    const values = [_]c_int{ 3, 1, 4 };
    _ = printf("%d\\n", total(&values, 3));
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_zigs_parts_in_c(surroundings: Surroundings, project: Path, tmp_path: Path) -> None:
    """PyPI's package ziglang holds Zig."""
    if shutil.which("zig"):
        zig = "zig"
    elif importlib.util.find_spec("ziglang") is not None:
        zig = f"{sys.executable} -m ziglang"
    else:
        pytest.skip("needs zig")
    (project / "main.zig").write_text(_ZIG)
    shutil.copy(EXAMPLES / "build.zig", project)
    caches = {  # the options of this name differ between versions
        "ZIG_LOCAL_CACHE_DIR": f"{tmp_path}/zig",
        "ZIG_GLOBAL_CACHE_DIR": f"{tmp_path}/zig-global",
    }
    surroundings.run_within(540, f"{zig} build", project, **caches)
    program = project / "zig-out" / "bin" / "prog"
    done = subprocess.run([program], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"27\n")
    (unit,) = surroundings.outputs(tmp_path.resolve()).values()
    assert (unit["level"], Path(str(unit["source"])).name) == ("-Oz", "lib.c")


@pytest.mark.parametrize("cache", ["ccache", "sccache"])
def test_compiler_caches_in_front_and_after(
    surroundings: Surroundings, project: Path, tmp_path: Path, cache: str
) -> None:
    if shutil.which(cache) is None:
        pytest.skip(f"needs {cache}")
    port = str(20_000 + os.getpid() % 20_000)
    more = {"CCACHE_DIR": str(tmp_path / "c"), "SCCACHE_DIR": str(tmp_path / "c")}
    more |= {"SCCACHE_SERVER_PORT": port, "SCCACHE_IDLE_TIMEOUT": "20", "LLM_CC_CACHE": "0"}
    made = []
    for name, command in (
        ("plain.o", "llm-cc"),
        ("front.o", f"{cache} llm-cc"),
        ("front.o", f"{cache} llm-cc"),  # a hit
    ):
        (project / name).unlink(missing_ok=True)
        surroundings.run(f"{command} -Oz -c lib.c -o {name}", project, **more)
        made.append((project / name).read_bytes())
    after = {**more, "LLM_CC_LAUNCHER": cache}
    for _ in range(2):
        surroundings.run("llm-cc -Oz -c lib.c -o after.o", project, **after)
        made.append((project / "after.o").read_bytes())
    assert len(set(made)) == 1


def test_a_whole_program_is_smaller_than_its_objects(
    surroundings: Surroundings, project: Path
) -> None:
    if shutil.which("make") is None:
        pytest.skip("needs make")
    if not (find_toolchain().bin_dir / "ld.lld").exists():
        pytest.skip("needs lld")
    command = "make -j2 CC=llm-cc CXX=llm-c++ CFLAGS=-Oz CXXFLAGS=-Oz"
    surroundings.run(command, project)
    alone = section_sizes((project / "prog").read_bytes()).size_bytes
    surroundings.run(f"rm -f prog *.o && {command}", project, LLM_CC_MODE="lto")
    whole = section_sizes((project / "prog").read_bytes()).size_bytes
    assert whole < alone
    done = subprocess.run([project / "prog"], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"121 3\n")


def _workflow_step(revision: str) -> tuple[str, str]:
    """Return the build command of the example workflow, and its step that makes the comment.

    As a runner of GitHub's would have them: what stands in ``${{ }}`` is put in its place.
    """
    text = (EXAMPLES / "size-comment.yml").read_text()
    (build,) = re.findall(r"^ +BUILD: (.*)$", text, re.MULTILINE)
    steps = re.findall(r"^ +- run: >-\n((?: {10}.*\n)+)", text, re.MULTILINE)  # folded lines
    (step,) = (" ".join(step.split()) for step in steps if "compare_sizes.sh" in step)
    base = "${{ github.event.pull_request.base.sha }}"
    assert base in step
    step = step.replace(base, revision)
    assert "${{" not in step
    return build, step


def test_the_workflows_step_comments_what_changed(
    surroundings: Surroundings, project: Path
) -> None:
    pytest.importorskip("elftools", reason="needs the extra report")
    if shutil.which("git") is None or shutil.which("make") is None:
        pytest.skip("needs git and make")
    tool = surroundings.bin / "llm-compiler"
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nfrom llm_compiler.cli import main\nsys.exit(main())\n"
    )
    tool.chmod(0o755)
    build, step = _workflow_step("HEAD~1")
    (project / ".github").mkdir()
    shutil.copy(EXAMPLES / "compare_sizes.sh", project / ".github")
    git = "git -c user.name=n -c user.email=n@example.org -c init.defaultBranch=main"
    surroundings.run(
        f"{git} init -q . && {git} add . && {git} commit -qm one"
        " && printf 'int more(int x) { return x * x * x + 5 %% (x + 1); }\\n' >> lib.c"
        f" && {git} commit -qam two && {step}",
        project,
        BUILD=build,
    )
    comment = (project / "comment.md").read_text()
    assert comment.startswith("**Size: ")
    assert "bytes, +" in comment
    assert "| `more` | 0 | " in comment


def test_both_scripts_are_the_same() -> None:
    first, second = (SCRIPTS / name for name in ("llm-cc", "llm-c++"))
    assert first.read_bytes() == second.read_bytes()
    for path in (first, second):
        assert os.access(path, os.X_OK)


def test_the_documents_table_is_what_the_code_says() -> None:
    from llm_compiler.cc.settings import VARIABLES

    text = (ROOT / "docs" / "builds.md").read_text()
    for name, default, meaning in VARIABLES:
        assert f"| `{name}` | {default} | {meaning} |" in text
