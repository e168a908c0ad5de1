"""What clients may ask for: the shapes of requests, checked, and in one canonical form.

The shapes are the OpenAPI document's. What they cannot say (sizes, flags, pass names) is checked by
`canonical`, which returns what is sent to a sandbox and what names the result.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.targets import canonical_triple
from llm_compiler.search.objective import SIZE, objective_named
from llm_compiler.service.allowed_flags import allowed_flags
from llm_compiler.service.limits import Limits, Refusal

__all__ = [
    "DisassembleRequest",
    "EmulateRequest",
    "EvaluateRequest",
    "OptimizeRequest",
    "UnitRequest",
    "canonical",
    "content_key",
]

_TRIPLE = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_.]+){0,4}")
_BINARY = ("bitcode", "object")
_MAX_RECIPE = 4000

Source = Annotated[str, Field(description="the code; of bitcode and objects in base64")]
Flags = Annotated[
    str | list[str],
    Field(description="clang flags, as one text or a list; only those allowed (docs/service.md)"),
]
Triple = Annotated[str, Field(description="empty: the machine's own", max_length=64)]


class UnitRequest(BaseModel):
    """One translation unit."""

    model_config = ConfigDict(extra="forbid")

    language: Literal["c", "c++", "llvm-ir", "bitcode"] = "c"
    source: Source
    flags: Flags = ""
    target_triple: Triple = ""


class OptimizeRequest(UnitRequest):
    """Make the smallest verified object of a unit."""

    effort: Literal["fast", "default", "high", "max"] = "default"
    objective: Annotated[str, Field(description="a name of `optimize --objective`")] = SIZE.name
    explain: Annotated[bool, Field(description="say what each element of the recipe saves")] = False


class EmulateRequest(UnitRequest):
    """Predict what a pass list makes of a unit."""

    passes: Annotated[str, Field(max_length=_MAX_RECIPE, description="text for opt -passes=")]
    assembly: Annotated[bool, Field(description="predict assembly instead of IR")] = False
    check: Annotated[bool, Field(description="compare with what the compiler makes")] = True


class EvaluateRequest(UnitRequest):
    """Compile a unit with recipes of one's own."""

    recipes: Annotated[
        list[Annotated[str, Field(max_length=_MAX_RECIPE)]], Field(min_length=1, max_length=16)
    ]


class DisassembleRequest(BaseModel):
    """Lift assembly or an object to LLVM-IR; other code is compiled by clang -Oz first."""

    model_config = ConfigDict(extra="forbid")

    language: Literal["assembly", "object", "c", "c++", "llvm-ir"] = "assembly"
    source: Source
    flags: Flags = ""
    target_triple: Triple = ""


def canonical(verb: str, asked: BaseModel, limits: Limits) -> dict[str, Any]:
    """Return a request with its verb, checked.

    Raises:
        Refusal: it asks for what is not allowed, in one sentence.
    """
    request = asked.model_dump() | {"verb": verb, "seconds": limits.seconds}
    source: str = request["source"]
    data = source.encode("utf-8", "surrogatepass")
    if request["language"] in _BINARY:
        try:
            data = base64.b64decode(source, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refusal(f"the source is not base64: {error}", code="input") from error
    if len(data) > limits.source_bytes:
        raise Refusal(
            f"the source has {len(data)} bytes: at most {limits.source_bytes} are taken",
            status=413,
            code="size",
        )
    if not data.strip():
        raise Refusal("the source is empty", code="input")
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise Refusal("the source is no valid Unicode text", code="input") from error
    if request["target_triple"] and not _TRIPLE.fullmatch(request["target_triple"]):
        raise Refusal(f"'{request['target_triple']}' is not a target triple")
    request["target_triple"] = canonical_triple(request["target_triple"])
    request["flags"] = list(allowed_flags(request["flags"]))
    try:
        if "objective" in request:
            objective_named(request["objective"])
        _check_passes(request)
    except LlmCompilerError as error:
        raise Refusal(str(error), code="input") from error
    return request


def _check_passes(request: dict[str, Any]) -> None:
    """Refuse what is no pass, and passes that the registry does not hold to be safe."""
    lists = [parse_pass_list(request["passes"])] if "passes" in request else []
    lists += [parse_recipe(item).pass_list for item in request.get("recipes", ())]
    for passes in lists:
        for element, reason in unsafe_passes(passes):
            raise Refusal(f"the pass '{element}' is not allowed here: {reason}", code="input")


def content_key(request: dict[str, Any], fingerprint: str) -> str:
    """Return the name of a request's result: a hash of all that decides it.

    Args:
        fingerprint: of this package and its LLVM.
    """
    text = json.dumps([fingerprint, request], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
