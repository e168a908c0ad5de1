"""The package's shape: who may import whom, and that exported names exist."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import llm_compiler
from llm_compiler.llvm import targets

ROOT = Path(llm_compiler.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# docs/decisions/0023: imports go upward in this list only. Groups on one line do not know each
# other or are one package; `user_folders`, `output`, `console` know nothing but errors.
LAYERS = (
    ("isolation", "signals"),
    ("errors",),
    ("records",),
    ("process",),
    (
        "user_folders",
        "output",
        "console",
        "closing",
        "notebook",
        "option_values",
        "option_fields",
        "plugins",
        "extras",
        "config_file",
    ),
    ("parquet", "remote_output", "content_cache"),
    ("llvm",),
    ("workers",),
    ("verify",),
    ("corpus",),
    ("search",),
    ("dataset",),
    ("model",),
    ("train",),
    ("optimization", "disassembly"),
    ("optimize", "disassemble", "emulate"),
    ("optimize_program",),
    ("api",),
    ("evaluate",),
    ("kit", "service"),
    ("size_report",),
    ("commands",),
    ("cli",),
    ("__main__",),
    ("cc",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


TESTS = Path(__file__).resolve().parents[1]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "llm_compiler":
                found |= {f"llm_compiler.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> str:
    return name.removeprefix("llm_compiler").lstrip(".").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_upward_only(path: Path) -> None:
    own = layer(module_name(path))
    if not own:
        return  # the package's own __init__
    assert own in RANK, f"{path} belongs to no layer: name it in LAYERS"
    wrong = [
        name
        for name in imports_of(path)
        if name.startswith("llm_compiler.")
        and layer(name) in RANK
        and layer(name) != own
        and RANK[layer(name)] >= RANK[own]
    ]
    assert wrong == []


def test_every_layer_is_there() -> None:
    there = {layer(module_name(path)) for path in FILES}
    assert {name for name in RANK if name not in there} == set()


def test_the_architecture_page_names_every_layer() -> None:
    page = (TESTS.parent / "docs" / "architecture.md").read_text()
    heads = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [name for head in heads for name in re.findall(r"`([\w/]+)`", head)]
    tops = {name.split("/")[0] for name in named}
    assert {name for name in RANK if name not in tops} == set()
    assert [name for name in named if not (ROOT / name).with_suffix(".py").exists()] == [
        name for name in named if (ROOT / name).is_dir()
    ]
    ranks = [
        max(RANK[n.split("/")[0]] for n in re.findall(r"`([\w/]+)`", head)) for head in heads[:-1]
    ]
    assert ranks == sorted(ranks), "imports go upward in the table, too"


def test_no_test_imports_another_test() -> None:
    """What two tests need is in a module of its own, or in a conftest."""
    found = [
        f"{path.relative_to(TESTS)}: {node.module}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").rpartition(".")[2].startswith("test_")
    ]
    assert found == []


def test_only_process_starts_subprocesses() -> None:
    users = {module_name(path) for path in FILES if "subprocess" in imports_of(path)}
    # workers.local names the types that process.spawn returns; see the next test.
    assert users <= {"process", "workers.local"}


def test_the_local_pool_uses_subprocess_for_types_only() -> None:
    tree = ast.parse((ROOT / "workers" / "local.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "subprocess"
    }
    assert used <= {"Popen", "TimeoutExpired"}
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "subprocess"
    }
    assert called == set()


def test_ray_is_imported_in_its_pool_only() -> None:
    users = {
        module_name(path)
        for path in FILES
        if any(name == "ray" or name.startswith("ray.") for name in imports_of(path))
    }
    assert users <= {"workers.ray_pool"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_exported_names_exist_and_are_sorted(path: Path) -> None:
    if path in NEED_TORCH:
        pytest.importorskip("torch", reason="needs the extra train: make test-train")
    if is_of_service(path):
        pytest.importorskip("fastapi", reason="needs the extra serve")
    module = importlib.import_module(f"llm_compiler.{module_name(path)}".rstrip("."))
    names = getattr(module, "__all__", [])
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(set(names)) == len(names)
    if module_name(path) and path.name != "__init__.py" and not names:
        tree = ast.parse(path.read_text())
        public = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        assert public == [], f"{path} exports {public} without __all__"


def imports_torch(path: Path) -> bool:
    """Whether a module imports PyTorch when it is imported itself."""
    heads = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import)]
    return "torch" in {alias.name for node in heads for alias in node.names}


def files_that_need_torch() -> frozenset[Path]:
    """Files that import PyTorch, and those that import such files, when they are imported."""
    heads = {
        path: {
            node.module
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ImportFrom) and node.module
        }
        for path in FILES
    }
    found = {path for path in FILES if imports_torch(path)}
    while True:
        names = {f"llm_compiler.{module_name(path)}" for path in found}
        more = {path for path, modules in heads.items() if modules & names} - found
        if not more:
            return frozenset(found)
        found |= more


NEED_TORCH = files_that_need_torch()


def is_of_service(path: Path) -> bool:
    """Whether a module may need the packages of the extra serve."""
    return module_name(path).startswith("service.")


def test_torch_is_imported_by_training_only() -> None:
    assert {module_name(path) for path in FILES if imports_torch(path)} == {
        "kit.engine",
        "train.cpu_attention",
        "train.language_model",
        "train.lean",
        "train.row_attention",
        "train.sharded_state",
        "train.optimizers",
        "train.learner",
        "train.processes",
        "train.run_state",
        "train.validation",
    }


def test_importing_everything_loads_no_llvm_and_prints_nothing() -> None:
    has_serve = find_spec("fastapi") is not None
    names = [
        f"llm_compiler.{module_name(path)}".rstrip(".")
        for path in FILES
        if path not in NEED_TORCH and (has_serve or not is_of_service(path))
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "maps = open('/proc/self/maps').read()\n"
        "sys.exit('libLLVM' in maps or 'torch' in sys.modules or 'rich' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


RECORDS_OF_ARCHITECTURES = (
    "llvm.targets",
    "llvm.more_targets",
    "verify.architectures",
    "disassembly.architectures",
    "disassembly.rules.targets",
    "disassembly.rules.x86_64",
    "disassembly.rules.aarch64",
)
# Other modules that name an architecture, and why they may.
NAMES_ARCHITECTURES = {
    "corpus.commands": "commands are captured on one machine, whose flags fit no other",
    "disassembly.retarget": "from one architecture to another: what is checked holds for the pair",
    "llvm.settings": "a table: for which architectures a setting is worth a try",
    "model.special": "tokens of the vocabulary, which never change",
    "commands.options.labels": "a default that the help shows",
}


def names_an_architecture(path: Path) -> bool:
    """Whether a module names a record or writes an architecture's name, but in a docstring."""
    names = {
        name
        for target_record in targets.TARGETS
        for name in (target_record.name, *target_record.aliases)
    }
    records = {target_record.name.upper() for target_record in targets.TARGETS}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and node.value in names:
            return True
        if isinstance(node, ast.Name) and node.id in records:
            return True
        if isinstance(node, ast.Attribute) and node.attr in records:
            return True
    return False


def test_what_differs_between_architectures_is_in_their_records() -> None:
    """To add an architecture, nobody has to look for comparisons of names."""
    found = {module_name(path) for path in FILES if names_an_architecture(path)}
    records = {
        name
        for name in found
        if any(name == word or name.startswith(f"{word}.") for word in RECORDS_OF_ARCHITECTURES)
    }
    assert found - records == set(NAMES_ARCHITECTURES)
    assert {"llvm.targets", "verify.architectures", "disassembly.rules.x86_64"} <= records


MOST_MODULE_LINES, MOST_CLASS_LINES = 600, 400
# What is still longer, and how long it may be: a number here only ever falls.
LONGER_MODULES: dict[str, int] = {}
LONGER_CLASSES: dict[str, int] = {}


def test_no_module_and_no_class_grows_too_long() -> None:
    modules = {module_name(path): len(path.read_text().splitlines()) for path in FILES}
    classes = {
        f"{module_name(path)}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    for lines, most, longer in (
        (modules, MOST_MODULE_LINES, LONGER_MODULES),
        (classes, MOST_CLASS_LINES, LONGER_CLASSES),
    ):
        too_long = {name: n for name, n in lines.items() if n > longer.get(name, most)}
        assert too_long == {}, f"cut in pieces: over {most} lines, or over what is written here"
        short = {name for name in longer if lines.get(name, 0) <= most}
        assert short == set(), "short enough now: take it from the list above"
