"""What results show of themselves in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

from llm_compiler.disassembly.disassembled import Disassembled, LiftedFunction
from llm_compiler.emulate import Emulated
from llm_compiler.optimize import Optimized
from llm_compiler.records import Recipe
from llm_compiler.verify.lifted import LiftVerdict

HOSTILE = "<script>alert(1)</script>&"


class Checker(HTMLParser):
    """Every tag is closed, and nothing hostile is a tag."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("div", "table", "thead", "tr", "th", "td")
        assert {name for name, _ in attrs} <= {"style"}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def text_of(html: str) -> str:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker.text


def test_an_optimised_unit() -> None:
    result = Optimized(
        input=HOSTILE,
        target_triple="x86_64-linux-gnu",
        llvm_version="19.1.7",
        baseline_bytes=200,
        optimized_bytes=150,
        baseline_text_data_bytes=100,
        optimized_text_data_bytes=90,
        baseline_value=200,
        optimized_value=150,
        passes="mem2reg",
        recipe=Recipe(("function(mem2reg)",)),
        replay=(),
        proposer="model",
        verdict="passed",
        num_evaluations=16,
        num_assemblies=0,
        seconds=1.0,
    )
    text = text_of(result._repr_html_())
    assert "-25.0 % of clang -Oz" in text
    assert HOSTILE in text
    assert "200 -> 150" in text


def test_a_lifted_file() -> None:
    functions = tuple(
        LiftedFunction(name=lift_verdict.value, verdict=lift_verdict, reason=HOSTILE)
        for lift_verdict in LiftVerdict
    )
    result = Disassembled(
        input="a.s", target_triple="x86_64-linux-gnu", functions=functions, module=""
    )
    text = text_of(result._repr_html_())
    assert f"2 of {len(functions)} functions lifted" in text
    assert "refuted" in text


def test_a_prediction_without_an_answer() -> None:
    result = Emulated(
        input="a.ll",
        passes="mem2reg",
        target_triple="x86_64-linux-gnu",
        assembly=False,
        model="shipped model",
        num_instructions_before=9,
        size_bytes_before=60,
        text_data_bytes_before=20,
        code=None,
        num_instructions=None,
        size_bytes=None,
        text_data_bytes=None,
        check=None,
        broken="no text",
        question="",
        seconds=1.0,
    )
    text = text_of(result._repr_html_())
    assert "prediction: not checked" in text
    assert "?" in text
