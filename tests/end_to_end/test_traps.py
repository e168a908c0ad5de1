"""Nothing of the current folder, an input's folder or a model's folder is imported or executed.

The folder that the commands run in holds a trap under the name of every standard module, of every
package that is installed, and of every program that a command may start. A trap that is executed
says so in a file; and what it stands for is then missing, so the command would fail as well.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from llm_compiler.isolation import DEPTH_VARIABLE, MAX_DEPTH
from llm_compiler.llvm.toolchain import find_toolchain

from .conftest import PROGRAM

SHIPPED_MODEL = Path(sys.modules["llm_compiler"].__file__ or "").parent / "data" / "model"
PROGRAMS = (
    *("clang", "clang-19", "clang++", "opt", "opt-19", "llc", "llvm-objdump", "ld", "ld.lld"),
    *("cc", "gcc", "as", "c++", "csmith", "qemu-aarch64", "qemu-aarch64-static", "python3", "sh"),
    *("python", "make", "cmake", "ldconfig", "objdump", "aarch64-linux-gnu-gcc", "uname", "git"),
)
TWICE = "int twice(int x) { return x + x; }\n"
QUICK = ("optimize", "unit.c", "-o", "unit.o", "--candidates", "1", "--proposer", "coreset")
LAUNCHER = """#!{python}
import sys
from llm_compiler.__main__ import main
sys.exit(main())
"""


def bare(
    command: Sequence[str | Path], cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in exactly this environment, as `process.run` would not."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        timeout=100,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def installed_modules() -> set[str]:
    names = set(importlib.metadata.packages_distributions())
    return {name for name in names if name.isidentifier()} | {"llm_compiler", "torch", "yaml"}


def module_names() -> list[str]:
    start_up = {"sitecustomize", "usercustomize", "conftest", "setup"}
    return sorted(set(sys.stdlib_module_names) | installed_modules() | start_up)


class Trapped:
    """A folder full of traps, and the file in which they say that they were executed."""

    def __init__(self, folder: Path, home: Path, launcher: Path) -> None:
        self.folder, self.launcher = folder, launcher
        self.log = home / "fired"
        self.env = {
            **os.environ,
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PATH": f":.:bin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": f":{os.environ.get('LD_LIBRARY_PATH', '')}",
        }
        self.env.pop("PYTHONPATH", None)

    def lay(self, folder: Path, *, packages: bool) -> None:
        """Write a trap for every module: half of them as packages, which half `packages` says."""
        folder.mkdir(parents=True, exist_ok=True)
        for index, name in enumerate(module_names()):
            code = f"open({str(self.log)!r}, 'a').write({'module ' + name + chr(10)!r})\n"
            if (index % 2 == 0) == packages:
                (folder / name).mkdir()
                (folder / name / "__init__.py").write_text(code)
            else:
                (folder / f"{name}.py").write_text(code)
        for position in (folder, folder / "bin"):
            position.mkdir(exist_ok=True)
            for name in PROGRAMS:
                if not (position / name).exists():
                    (position / name).write_text(f"#!/bin/sh\necho program {name} >> {self.log}\n")
                    (position / name).chmod(0o755)
        for name, text in {
            "clang.cfg": "-include trap.h\n",
            "x86_64-pc-linux-gnu-clang.cfg": "-include trap.h\n",
            "compile_flags.txt.bak": "-include trap.h\n",
            ".clang": "-include trap.h\n",
            "trap.h": "#error the trap was read\n",
            "traps.pth": f"import os; open({str(self.log)!r}, 'a').write('pth')\n",
            "pyproject.toml": "[tool.llm-compiler\n",
            "setup.cfg": "[options\n",
            "matplotlibrc": "backend: module://trap\n",
            "trap.py": f"open({str(self.log)!r}, 'a').write('matplotlib backend\\n')\n",
            "libLLVM-19.so": "no library\n",
            ".pythonrc.py": f"open({str(self.log)!r}, 'a').write('start-up file\\n')\n",
        }.items():
            (folder / name).write_text(text)

    def fired(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def types(
        self,
        *arguments: str | Path,
        start: tuple[str | Path, ...] = (),
        codes: tuple[int, ...] = (0,),
    ) -> str:
        done = bare([*(start or (self.launcher,)), *arguments], self.folder, self.env)
        assert self.fired() == [], (arguments, done.stderr)
        assert done.returncode in codes, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trapped]:
    root = tmp_path_factory.mktemp("trapped")
    for name in ("home", "programs"):
        (root / name).mkdir()
    launcher = root / "programs" / "llm-compiler"
    launcher.write_text(LAUNCHER.format(python=sys.executable))
    launcher.chmod(0o755)
    found = Trapped(root / "work", root / "home", launcher)
    found.lay(found.folder, packages=True)
    (found.folder / "unit.c").write_text(PROGRAM)
    found.env["PYTHONSTARTUP"] = str(found.folder / ".pythonrc.py")
    yield found
    assert found.fired() == []


@pytest.fixture
def other(trapped: Trapped, tmp_path: Path) -> Trapped:
    """A second folder in which what was a module is a package and the other way round."""
    (tmp_path / "home").mkdir()
    found = Trapped(tmp_path / "work", tmp_path / "home", trapped.launcher)
    found.lay(found.folder, packages=False)
    (found.folder / "unit.c").write_text(PROGRAM)
    return found


def test_a_trap_says_that_it_was_executed(other: Trapped) -> None:
    for command in ([sys.executable, "-c", "import dis"], ["sh", "-c", "./clang"]):
        bare(command, other.folder)
    assert other.fired()[-2:] == ["module dis", "program clang"]


@pytest.mark.parametrize(
    "command",
    [
        ("optimize", "unit.c", "-o", "unit.o", "--candidates", "4", "--json"),
        ("emulate", "twice.c", "--passes", "default<Oz>"),
        ("autotune", "unit.c", "--budget", "3", "--store", "m.db"),
        ("passes",),
        ("coreset", "show"),
        ("validate", "instcombine", "--architecture", "x86_64", "--suite", "own"),
    ],
    ids=lambda command: command[0],
)
def test_commands_on_one_file(trapped: Trapped, command: tuple[str, ...]) -> None:
    own = trapped.folder / "own"
    own.mkdir(exist_ok=True)
    shutil.copy(trapped.folder / "unit.c", own / "program.c")
    (trapped.folder / "twice.c").write_text(TWICE)
    trapped.types(*command, codes=(0, 1) if command[0] == "emulate" else (0,))


def test_disassemble_and_doctor(trapped: Trapped) -> None:
    (trapped.folder / "twice.c").write_text(TWICE)
    clang = find_toolchain().tool("clang")
    bare([clang, "-Oz", "-S", "twice.c"], trapped.folder)
    lift = ("disassemble", "twice.s", "-o", "twice.ll", "--candidates", "1")
    trapped.types(*lift, codes=(0, 1))
    assert "clang and opt" in trapped.types("doctor")


def test_commands_on_a_corpus(trapped: Trapped) -> None:
    (trapped.folder / "corpus.toml").write_text(
        '[[local]]\nname = "made"\npath = "made"\nkind = "sources"\nsplit = "train"\n'
        'license = "Apache-2.0"\n'
    )
    few = ("--jobs", "1")
    trapped.types("corpus", "synthesize", "--out", "made", "--functions", "3")
    trapped.types("corpus", "build", "--config", "corpus.toml", "--out", "corpus", *few)
    trapped.types("corpus", "stats", "corpus")
    sample = ("corpus", "sample", "corpus", "--out", "samples", "--min-instructions", "1")
    trapped.types(*sample, *few)
    trapped.types("corpus", "check", "samples")
    build = ("dataset", "build", "emulation", "samples", "--out", "stage", "--num-samples", "2")
    trapped.types(*build, *few)
    pack = ("tokenizer", "pack", "stage", "--tokenizer", str(SHIPPED_MODEL), "--out", "packed")
    trapped.types(*pack, *few)
    labels = ("labels", "build", "samples", "-o", "labels.parquet", "--num-lists", "2")
    trapped.types(*labels, "--max-modules", "1", "--min-size-bytes", "1", *few)
    trapped.types("labels", "show", "labels.parquet")


def test_commands_that_evaluate(trapped: Trapped) -> None:
    pytest.importorskip("matplotlib")
    suite = trapped.folder / "suite"
    suite.mkdir()
    shutil.copy(trapped.folder / "unit.c", suite / "unit.c")
    common = ("--suite", "suite", "--jobs", "1", "--report")
    trapped.types(
        *("evaluate", "flag-tuning", *common, "tuned", "--budgets", "1", "--modules", "1"),
        *("--contenders", "coreset", "--no-check"),
    )
    plan = ("train", "pretraining", "--plan", "--config")
    configuration = Path(__file__).parents[2] / "configs/train/small-pretraining.toml"
    if configuration.exists():
        trapped.types(*plan, configuration)


def test_the_other_form_of_every_trap(other: Trapped) -> None:
    (other.folder / "own").mkdir()
    shutil.copy(other.folder / "unit.c", other.folder / "own" / "program.c")
    other.types(*QUICK)
    other.types("validate", "instcombine", "--architecture", "x86_64", "--suite", "own")


def test_python_m_with_a_safe_path(other: Trapped) -> None:
    python: tuple[str | Path, ...] = (sys.executable, "-P", "-m", "llm_compiler")
    other.types(*QUICK, start=python)


def loaded_at_start(*options: str, cwd: Path) -> set[str]:
    """What the interpreter itself imports before the first line of a program."""
    (cwd / "nothing").mkdir(parents=True)
    (cwd / "nothing" / "__init__.py").touch()
    (cwd / "nothing" / "__main__.py").write_text("import sys; print(*sys.modules)\n")
    done = bare([sys.executable, *options], cwd)
    return {name.split(".")[0] for name in done.stdout.split()}


def without(folder: Path, names: set[str]) -> None:
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / f"{name}.py").unlink(missing_ok=True)


def test_python_m_imports_only_its_own_start_from_here(other: Trapped, tmp_path: Path) -> None:
    # The package itself would be taken from here too: Python looks nowhere else first.
    without(other.folder, loaded_at_start("-m", "nothing", cwd=tmp_path / "empty"))
    without(other.folder, {"llm_compiler"})
    python: tuple[str | Path, ...] = (sys.executable, "-m", "llm_compiler")
    other.types(*QUICK, start=python)


@pytest.mark.parametrize("entry", ["", ".", "HERE"])
def test_a_search_path_that_names_the_current_folder(
    other: Trapped, tmp_path: Path, entry: str
) -> None:
    start = loaded_at_start("-m", "nothing", cwd=tmp_path / "empty")
    without(other.folder, start | {"sitecustomize", "usercustomize", "llm_compiler", "sys"})
    named = str(other.folder) if entry == "HERE" else entry
    other.env["PYTHONPATH"] = f"{named}:/nonexistent"
    other.types(*QUICK)


class _Trap:
    def __init__(self, log: Path) -> None:
        self.log = log

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"echo pickle >> {self.log}",)


def test_nothing_of_a_models_folder_runs(other: Trapped) -> None:
    if not (SHIPPED_MODEL / "config.json").exists():
        pytest.skip("this installation has no model")
    model = other.folder / "model"
    shutil.copytree(SHIPPED_MODEL, model)
    other.lay(model, packages=True)
    code = f"open({str(other.log)!r}, 'a').write('code of the model\\n')\n"
    for name in ("modeling_llm", "configuration_llm", "tokenization_llm", "generation"):
        (model / f"{name}.py").write_text(code)
    for name in ("pytorch_model.bin", "adapter_model.bin", "state.pt", "training_args.bin"):
        (model / name).write_bytes(pickle.dumps(_Trap(other.log)))
    config = json.loads((model / "config.json").read_bytes())
    config["auto_map"] = {
        "AutoConfig": "configuration_llm.Config",
        "AutoModelForCausalLM": "modeling_llm.Model",
        "AutoTokenizer": ["tokenization_llm.Tokenizer", None],
    }
    (model / "config.json").write_text(json.dumps(config))
    out = other.types("optimize", "unit.c", "-o", "u.o", "--model", "model", "--json")
    assert json.loads(out)["warnings"] == []
    other.folder = model
    shutil.copy(model.parent / "unit.c", model / "unit.c")
    other.types("optimize", "unit.c", "-o", "u.o", "--model", ".", "--json")


def test_weights_that_are_a_pickle_are_refused(other: Trapped) -> None:
    if not (SHIPPED_MODEL / "config.json").exists():
        pytest.skip("this installation has no model")
    model = other.folder / "pickled"
    shutil.copytree(SHIPPED_MODEL, model)
    for weights in model.glob("*.safetensors"):
        weights.write_bytes(pickle.dumps(_Trap(other.log)))
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(other.log)))
    out = other.types("optimize", "unit.c", "-o", "u.o", "--model", "pickled", "--json")
    assert json.loads(out)["proposer"] != "model"


def test_a_tool_that_starts_itself_is_no_fork_bomb(user) -> None:
    for depth, code in ((MAX_DEPTH + 1, 2), (MAX_DEPTH, 0)):
        user.env[DEPTH_VARIABLE] = str(depth)
        done = bare([sys.executable, "-m", "llm_compiler", "passes"], user.folder, user.env)
        assert done.returncode == code
    assert "started by itself" not in done.stderr
