"""What two targets' outcomes show of a lift."""

from __future__ import annotations

from llm_compiler.verify.lifted import Scalar, Signature
from llm_compiler.verify.side_by_side.comparison_across import ComparisonAcross
from llm_compiler.verify.side_by_side.outcomes import RETURNED, Outcome
from llm_compiler.verify.side_by_side.world import World


def returned(value: int) -> Outcome:
    return Outcome(
        kind=RETURNED,
        detail=0,
        integers=(value, *[0] * 7),
        floats=(0,) * 8,
        broken=0,
        calls=(),
        changes=b"",
        coverage=b"",
    )


def test_an_index_beyond_all_tables_shows_nothing() -> None:
    """As utf8proc's unsafe_get_property of no character: each program has something else there."""
    result = Scalar(kind="pointer", bits=64)
    signature = Signature(parameters=(), results=(result,))
    world = World(functions=(), data=(), variables=(), declared={})
    comparison = ComparisonAcross(signature, world, "x86_64", "aarch64")
    beyond, constant = 0x39D4AE78, 0xC057756DA7845BAB
    assert comparison.compare(returned(beyond), returned(constant)) == ""
    assert comparison.compare(returned(constant), returned(constant)) == ""
    # A place in an object is another matter, in whichever of the two.
    assert "it returns" in comparison.compare(returned(constant), returned(beyond))
    assert "it returns" in comparison.compare(returned(5), returned(beyond))
