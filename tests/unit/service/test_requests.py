from __future__ import annotations

import base64

import pytest

pytest.importorskip("pydantic", reason="needs the extra serve")

from llm_compiler.service.limits import Limits, Refusal
from llm_compiler.service.requests import (
    DisassembleRequest,
    EmulateRequest,
    EvaluateRequest,
    OptimizeRequest,
    canonical,
    content_key,
)

LIMITS = Limits(source_bytes=1000)


def key_of(asked: OptimizeRequest, fingerprint: str = "") -> str:
    return content_key(canonical("optimize", asked, LIMITS), fingerprint)


def test_flags_in_any_spelling_give_one_result() -> None:
    spellings = ("-DX  -Wall", ["-DX", "-Wall"], "-D X '-Wall'")
    assert (
        len({key_of(OptimizeRequest(source="int x;", flags=spelling)) for spelling in spellings})
        == 1
    )


def test_every_field_and_the_toolchain_decide_the_result() -> None:
    base = OptimizeRequest(source="int x;")
    changes = (
        {"source": "int y;"},
        {"effort": "fast"},
        {"objective": "text-data"},
        {"flags": "-DX"},
        {"target_triple": "aarch64-linux-gnu"},
        {"explain": True},
        {"language": "c++"},
    )
    keys = [key_of(base), key_of(base, "another toolchain")]
    keys += [key_of(base.model_copy(update=change)) for change in changes]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("asked", "words", "status"),
    [
        (OptimizeRequest(source="x" * 1001), "at most 1000 are taken", 413),
        (OptimizeRequest(source=" \n"), "the source is empty", 422),
        (OptimizeRequest(source="int x;", objective="speed"), "no objective 'speed'", 422),
        (OptimizeRequest(source="int x;", target_triple="a b"), "not a target triple", 422),
        (OptimizeRequest(source="int x;", target_triple="-load"), "not a target triple", 422),
        (OptimizeRequest(source="int x;", target_triple="x86_64;id"), "not a target triple", 422),
        (OptimizeRequest(source="int x;", flags="-I/etc"), "'-I/etc' is not allowed", 422),
        (OptimizeRequest(language="bitcode", source="BC"), "not base64", 422),
        (EmulateRequest(source="int x;", passes="nonsense"), "nonsense", 422),
        (EmulateRequest(source="int x;", passes="structurizecfg"), "not allowed here", 422),
        (EvaluateRequest(source="int x;", recipes=["mem2reg +x=1"]), "there is no attribute", 422),
        (DisassembleRequest(language="object", source="!!"), "not base64", 422),
    ],
)
def test_what_is_refused_says_why(
    asked: OptimizeRequest | EmulateRequest | EvaluateRequest | DisassembleRequest,
    words: str,
    status: int,
) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        canonical("x", asked, LIMITS)
    assert refused.value.status == status


def test_binaries_are_counted_decoded() -> None:
    for size in (1000, 1001):
        source = base64.b64encode(b"x" * size).decode()
        asked = OptimizeRequest(language="bitcode", source=source)
        if size == 1000:
            assert canonical("optimize", asked, LIMITS)["source"] == source
            continue
        with pytest.raises(Refusal, match="1001 bytes"):
            canonical("optimize", asked, LIMITS)
