from __future__ import annotations

import random

import pytest

from llm_compiler.corpus.manifest import Unit
from llm_compiler.corpus.plan import SampleConfig, order_units, plan_samples
from llm_compiler.corpus.sampling_jobs import FunctionInfo
from llm_compiler.errors import ConfigError


def unit(package: str, source: str, split: str = "train", triple: str = "x86_64-pc-linux") -> Unit:
    return Unit(
        package=package,
        version="1",
        license="MIT",
        split=split,
        language="c",
        target_triple=triple,
        source=source,
        path=f"{triple}/{package}/{source}.bc",
        flags=(),
        sha256=f"{triple}/{package}/{source}",
        num_bytes=100,
        num_functions=1,
        seconds=0.1,
    )


def function(name: str, *, repeated: bool = False, size: int = 10) -> FunctionInfo:
    return FunctionInfo(name=name, repeated=repeated, num_instructions=size)


def plan(
    units: list[Unit], functions: dict[str, list[FunctionInfo]], config: SampleConfig
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    plans, counts = plan_samples(
        order_units(units), {u.sha256: functions[u.source] for u in units}, config
    )
    return {
        unit_plan.unit.sha256.split("/", 1)[1]: unit_plan.functions for unit_plan in plans
    }, dict(counts)


def test_repeated_functions_are_taken_once_a_package_and_those_of_std_once() -> None:
    units = [unit("b", "x"), unit("a", "x"), unit("a", "y"), unit("t", "x", "test")]
    both = [
        function("_ZN1A3getEv", repeated=True),
        function("_ZNSt6vectorIiE3getEv", repeated=True),
        function("own"),
    ]
    chosen, counts = plan(units, {"x": both, "y": both}, SampleConfig())
    assert chosen == {
        "a/x": ("_ZN1A3getEv", "_ZNSt6vectorIiE3getEv", "own"),
        "a/y": ("own",),
        "b/x": ("_ZN1A3getEv", "own"),
        "t/x": ("_ZN1A3getEv", "own"),
    }
    assert counts == {"repeated": 4}


def test_the_order_of_the_units_makes_no_difference() -> None:
    names = [function(f"_ZNSt{i}", repeated=True) for i in range(20)]
    units = [unit("a", "x"), unit("a", "y"), unit("b", "x"), unit("v", "x", "validation")]
    config = SampleConfig(max_package_functions=7)
    expected = plan(units, {"x": names, "y": names[3:]}, config)
    random.Random(1).shuffle(units)
    assert plan(units, {"x": names, "y": names[3:]}, config) == expected


def test_sizes_and_the_limit_of_a_package_hold_for_each_target() -> None:
    units = [unit("a", "x"), unit("a", "x", triple="aarch64-linux-gnu")]
    functions = {"x": [function(f"f{i}", size=i) for i in range(30)]}
    config = SampleConfig(min_instructions=5, max_instructions=20, max_package_functions=10)
    plans, counts = plan_samples(
        order_units(units), {u.sha256: functions["x"] for u in units}, config
    )
    assert [len(unit_plan.functions) for unit_plan in plans] == [10, 10]
    assert plans[0].functions == plans[1].functions
    assert counts == {"too-small": 10, "too-long": 18, "over-limit": 12}
    assert {int(name[1:]) for name in plans[0].functions} <= set(range(5, 21))


def test_the_share_of_units_is_about_what_was_asked_for() -> None:
    units = [unit("a", f"{i}") for i in range(300)]
    plans, _ = plan_samples(
        units, {u.sha256: [function("f")] for u in units}, SampleConfig(unit_share=0.3)
    )
    assert 60 < sum(unit_plan.whole for unit_plan in plans) < 120


@pytest.mark.parametrize(
    "values",
    [{"unit_share": 2.0}, {"threshold": 0.1}, {"min_instructions": 9, "max_instructions": 5}],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SampleConfig(**values)  # type: ignore[arg-type]
