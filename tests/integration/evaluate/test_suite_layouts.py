"""Folders laid out as public suites are: every file that a suite's own build compiles is measured.

The programs are ours; only the folders, the kinds of file in them and their age are the suites'.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.load_suite import load_suite
from llm_compiler.evaluate.rows import read_rows
from llm_compiler.evaluate.suites import Suite, SuiteOptions
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.workers import LocalPool

KERNEL = """
#include <stdio.h>
#include <polybench.h>
#include "KERNEL.h"
static void kernel(int n, VALUE *row) {
    for (int i = 1; i < n; i++) row[i] = row[i] * STEP + row[i - 1];
}
int main(void) {
    VALUE *row = polybench_room(SIZE);
    kernel(SIZE, row);
    printf("%f\\n", (double)row[SIZE - 1]);
    return 0;
}
"""
KERNEL_HEADER = "#define VALUE double\n#define STEP 0.5\n#define SIZE 100\n"
POLYBENCH = {
    "linear-algebra/blas/rows/rows.c": KERNEL.replace("KERNEL", "rows"),
    "linear-algebra/blas/rows/rows.h": KERNEL_HEADER,
    "linear-algebra/solvers/half/half.c": KERNEL.replace("KERNEL", "half"),
    "linear-algebra/solvers/half/half.h": KERNEL_HEADER,
    "stencils/line/line.c": KERNEL.replace("KERNEL", "line"),
    "stencils/line/line.h": KERNEL_HEADER,
    "utilities/polybench.c": '#include "polybench.h"\n#include <stdlib.h>\n'
    "void *polybench_room(int n) { return calloc(n, 8); }\n",
    "utilities/polybench.h": "void *polybench_room(int n);\n",
    # A header of the system's name, as suites have them, must not stand before the system's.
    "utilities/stdio.h": "#error not this one\n",
}

CHSTONE = {
    "fold/fold.c": '#include <stdio.h>\n#include "fold.h"\n#include "fold_step.c"\n'
    "int main(void) { int r = 0; for (int i = 0; i < SIZE; i++) r = step(r, input[i]);\n"
    '  printf("%d\\n", r); return r != 7; }\n',
    "fold/fold.h": "#define SIZE 4\nstatic const int input[SIZE] = {1, 2, 3, 4};\n",
    # Compiles only where it is included.
    "fold/fold_step.c": "static int step(int a, int b) { return a * SIZE ^ b; }\n"
    "int last(void) { return input[SIZE - 1]; }\n",
    "soft/soft.c": '#include "float.c"\nint main(void) { return (int)twice(21) != 42; }\n',
    # Compiles alone too, and would count twice.
    "soft/float.c": '#include "float-macros"\nunsigned twice(unsigned a) { return TWICE(a); }\n',
    "soft/float-macros": "#define TWICE(a) ((a) << 1)\n",
    # Compiles alone, and a test elsewhere includes it.
    "one/tests/check.c": '#include "../one.c"\nint check(void) { return square(3) == 9; }\n',
    "one/one.c": "int square(int i) { return i * i; }\n",
    "two/two.c": "int main(void) { volatile int i = 3; return i * i != 9; }\n",
}

OLD = """
#include "count.h"
#include <stdlib.h>
int by_value(a, b) int *a, *b; { return *a - *b; }
note(text) char *text; { if (!text) return; puts(text); }
count(values, n)
int *values;
{
    char *none = n;
    qsort(values, n, sizeof(int), by_value);
    note("counted");
    return values[0] * WEIGHT + !none;
}
"""
CBENCH = {
    "automotive_count/src/count.c": OLD,
    "automotive_count/src/count.h": "#define WEIGHT 2\n",
    "automotive_count/src/main.c": '#include "count.h"\nmain(argc, argv) char **argv; {\n'
    "int v[2]; v[0] = argc; v[1] = WEIGHT; return count(v, 2); }\n",
    "office_words/src/words.c": '#include "count.h"\nint words(int n) { return n * WEIGHT; }\n',
    "office_words/src/count.h": "#define WEIGHT 5\n",
    "office_words/src/Makefile": "all:\n",
}

MIBENCH = {
    "automotive/line/line.c": '#include "line.h"\nint line(int x) { return x * SLOPE; }\n',
    "automotive/line/line.h": "#define SLOPE 3\n",
    # Two programs of one group have a header of the same name: each is to find its own.
    "consumer/press/press-6a/press.c": '#include "config.h"\nint p(int x) { return x * PRESS; }\n',
    "consumer/press/config.h": "#define PRESS 3\n",
    "consumer/audio/include/config.h": "#define AUDIO 4\n",
    "consumer/audio/src/audio.c": '#include "config.h"\nint a(int x) { return x * AUDIO; }\n',
    "network/none/none.c": '#include "nowhere.h"\nint none(void) { return 1; }\n',
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def load(root: Path, toolchain: Toolchain, pool: LocalPool, scratch: Path) -> Suite:
    scratch.mkdir()
    return load_suite(root, SuiteOptions(), toolchain=toolchain, pool=pool, scratch=scratch)


@pytest.mark.parametrize(
    ("files", "excluded", "helped"),
    [
        pytest.param(
            POLYBENCH,
            {},
            {"of the whole suite": ["rows.c", "half.c", "line.c"]},
            id="PolyBench",
        ),
        pytest.param(
            CHSTONE,
            {
                "fold/fold_step.c": "it is part of fold/fold.c, which includes it",
                "soft/float.c": "it is part of soft/soft.c, which includes it",
            },
            {},
            id="CHStone",
        ),
        pytest.param(CBENCH, {}, {"-std=gnu89": ["count.c", "main.c"]}, id="cBench"),
        pytest.param(
            MIBENCH,
            {"network/none/none.c": "'nowhere.h' file not found"},
            {"of its program": ["press.c", "audio.c"]},
            id="MiBench",
        ),
    ],
)
def test_layouts_of_public_suites(
    files: dict[str, str],
    excluded: dict[str, str],
    helped: dict[str, list[str]],
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    root = write(tmp_path / "suite", files)
    suite = load(root, toolchain, pool, tmp_path / "scratch")
    sources = {name for name in files if name.endswith(".c")}
    assert {module.name for module in suite.modules} == sources - set(excluded)
    causes = {each_excluded.name: each_excluded.cause for each_excluded in suite.excluded}
    assert set(causes) == set(excluded)
    for name, words in excluded.items():
        assert words in causes[name]
    assert len(suite.notes) == len(helped)
    for words, names in helped.items():
        (note,) = (word for word in suite.notes if words in word)
        assert all(name in note for name in names)


def test_a_suite_laid_out_as_polybench_is_evaluated(tmp_path: Path) -> None:
    names = [name for name in POLYBENCH if name.startswith(("stencils", "utilities"))]
    root = write(tmp_path / "suite", {name: POLYBENCH[name] for name in names})
    report = tmp_path / "report"
    command = ["evaluate", "flag-tuning", "--suite", str(root), "--report", str(report)]
    command += ["--no-check", "--contenders", "coreset", "random", "--jobs", "1"]
    assert main(command) == 0
    rows = read_rows(report / "rows.parquet", Row)
    assert {row.module for row in rows} == {name for name in names if name.endswith(".c")}
    assert {row.budget for row in rows} == {1, 4, 16, 64, 256}
    spent = {(row.contender, row.budget): row.num_evaluations for row in rows}
    assert spent["random", 256] == 256
    assert spent["coreset", 64] == 64
