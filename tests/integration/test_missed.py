"""Code that clang -Oz leaves larger than other levels do: what a search over recipes reaches.

The bounds are bytes of .text and .rodata that another level or compiler makes of these shapes. What
no recipe reaches has a bound that says what is lost today, and a reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.api import optimize
from llm_compiler.llvm.object_file import section_groups
from llm_compiler.optimize import OptimizeOptions, Proposer
from llm_compiler.records import VerdictKind
from llm_compiler.workers import LocalPool

CASES = Path(__file__).resolve().parents[1] / "cases" / "missed"

# Case: clang -Oz and what is to be reached, bytes of .text + .rodata, x86-64 then AArch64.
REACHED = {
    "constant_nest.c": ((61, 6), (92, 8)),
    "constant_product.c": ((219, 13), (248, 8)),
    "two_trips.c": ((45, 6), (80, 8)),
    "first_with_bit.c": ((65, 60), (92, 84)),
    "sum_of_bytes.c": ((22, 21), (40, 36)),
}
NOT_REACHED = {
    # Both words are compared by branches; a subtraction with borrow (cmp, sbb; on AArch64 cmp,
    # sbcs: 20 bytes) needs a pattern that instruction selection of LLVM 19 does not have.
    "compare_pairs.c": ((20, 20), (36, 36)),
}


class Passed:
    """Stands in for `verify.checker.Checker`: what is tried here is run by other tests."""

    def search_space(self) -> tuple[str, ...]:
        return ("function(simplifycfg)", "function(mem2reg)", "function(instcombine)")

    def known(self, passes: object, target_triple: str) -> VerdictKind:
        return VerdictKind.PASSED

    check = known

    def why_unchecked(self, target_triple: str) -> str:
        return ""

    def not_checkable(self, target_triple: str) -> str:
        return ""


def code_bytes(data: bytes) -> int:
    groups = section_groups(data)
    return sum(size for name, size in groups.items() if name in (".text", ".rodata"))


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", sorted({**REACHED, **NOT_REACHED}))
def test_recipes_reach_what_other_levels_make(
    pool: LocalPool, tmp_path: Path, name: str, architecture: str
) -> None:
    pairs = {**REACHED, **NOT_REACHED}[name]
    before, wanted = pairs[0] if architecture == "x86_64" else pairs[1]
    options = {"proposer": Proposer.CORESET, "target_triple": f"{architecture}-linux-gnu"}
    plain = optimize(
        CASES / name, OptimizeOptions(candidates=0, **options), pool=pool, checker=Passed()
    )
    found = optimize(
        CASES / name,
        OptimizeOptions(candidates=16, budget=60, **options),
        pool=pool,
        checker=Passed(),
    )
    assert code_bytes(plain.output) == before
    assert code_bytes(found.output) <= wanted, found.recipe
