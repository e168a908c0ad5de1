"""How answers are scored for lm-evaluation-harness (benchmarks/lm_eval)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "lm_eval"


@pytest.fixture(scope="module")
def scoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scoring", FOLDER / "scoring.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("answer", "exact", "answered"),
    [
        ("<code>define void @f() {  \n  ret void\n}\n</code>", 1.0, 1.0),
        ("Here: <code>define void @f() {\n  ret void\n}", 1.0, 1.0),
        ("<code>define void @g() {\n  ret void\n}</code>", 0.0, 1.0),
        ("define void @f()", 0.0, 0.0),
        ("<code></code>", 0.0, 0.0),
    ],
)
def test_code(scoring: ModuleType, answer: str, exact: float, answered: float) -> None:
    document = {"answer": "define void @f() {\n  ret void\n}\n"}
    for task in (scoring.disassembly, scoring.emulation):
        assert task(document, [answer]) == {"exact": exact, "answered": answered}


@pytest.mark.parametrize(
    ("answer", "exact", "answered"),
    [
        ("opt -p 'globaldce,mergefunc' reduces the binary size", 1.0, 1.0),
        ('run opt -passes="function(instcombine<no-verify-fixpoint>)"', 1.0, 1.0),
        ("opt -p 'mergefunc,globaldce'", 0.0, 1.0),
        ("No pass list makes this code smaller.", 0.0, 0.0),
    ],
)
def test_pass_lists(scoring: ModuleType, answer: str, exact: float, answered: float) -> None:
    best = ["globaldce,mergefunc", "function(instcombine<no-verify-fixpoint>)"]
    found = scoring.flag_tuning({"best": best}, [answer])
    assert found == {"exact": exact, "answered": answered}


def test_every_task_of_the_group_is_there() -> None:
    group = (FOLDER / "llm_compiler.yaml").read_text()
    for name in ("flag_tuning", "disassembly", "emulation", "perplexity"):
        assert f"  - llm_compiler_{name}\n" in group
        assert f"task: llm_compiler_{name}\n" in (FOLDER / f"{name}.yaml").read_text()
