"""Outcomes of lifting, by content: what is asked again is answered from the user's cache folder.

The function's text is read and proved on every run; what is kept is what came of it. A key holds
all that an outcome depends on: the text with its data, what its own file says of the functions that
it calls, the options, the engine's weights, LLVM's version, and the code of this package that lifts
and judges. Safe to share between threads and processes (`content_cache`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import llm_compiler
from llm_compiler.content_cache import ContentCache
from llm_compiler.disassembly.disassembled import DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.lift_records import Lift, Question
from llm_compiler.errors import InputError
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.lift_verdict import LiftVerdict
from llm_compiler.verify.round_trip import read_code_object
from llm_compiler.verify.side_by_side.options import Counterexample

__all__ = ["LiftCache"]

_MAGIC: Final = b"lift 1\n"
_ROOM_BYTES: Final = 512 << 20
_NEUTRAL: Final[dict[str, Any]] = {
    "functions": (),
    "relink": False,
    "retarget": "",
    "jobs": 1,
    "keep_unproved": True,
    "annotate": False,
    "target_triple": "",
}
"""Options that say what is done with a function's outcome, or which functions are asked for."""
_PARTS: Final = ("dataset", "disassembly", "llvm", "model", "verify", "workers")
_AFTER: Final = frozenset(
    {
        "agree",
        "annotate",
        "archive",
        "claims",
        "direct_addresses",
        "drafts",
        "graph",
        "lift_all",
        "merge",
        "portable",
        "prototypes",
        "register_values",
        "retarget",
        "rewrite",
        "variables",
        "whole",
    }
)
"""Modules of `disassembly` that see outcomes only."""
_PASSING: Final = re.compile(r"timed? ?out|too long|out of memory|killed|lost|crash", re.IGNORECASE)
"""Reasons that another run need not meet."""


class LiftCache(ContentCache):
    """What came of functions; keys are made by `key`.

    Nothing here raises: what cannot be read is a miss, what cannot be written is not kept.

    Args:
        folder: the cache's own.
        model: what names the engine and its weights; another name for other weights.
    """

    def __init__(
        self, folder: Path, *, model: str, toolchain: Toolchain, room_bytes: int = _ROOM_BYTES
    ) -> None:
        super().__init__(folder, _MAGIC)
        self._room_bytes = room_bytes
        self._identity = [_source_hash(), str(toolchain.version), model]

    def key(
        self,
        question: Question,
        options: DisassembleOptions,
        architecture: str,
        *,
        can_run: bool,
        callees: Mapping[str, object],
    ) -> str:
        """Return what names a function's outcome.

        Args:
            can_run: code of its target is run here.
            callees: what the file says of the functions that it calls; each has a stable `repr`.
        """
        text = question.text
        words = [
            *self._identity,
            architecture,
            repr(dataclasses.replace(options, **_NEUTRAL)),
            str(can_run),
            text.name,
            text.text,
            repr((text.is_static, question.has_outlined_code, question.proof.is_reencoded)),
            *(f"{name} {callees[name]!r}" for name in sorted(callees)),
        ]
        digest = hashlib.blake2b(digest_size=20)
        for word in words:
            digest.update(word.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()

    def get(self, key: str, question: Question, toolchain: Toolchain) -> Lift | None:
        """Return a function's lift, without the verdicts of single answers."""
        found = self.get_bytes(key)
        if found is None:
            return None
        head, _, data = found.partition(b"\n")
        try:
            facts: dict[str, Any] = json.loads(head)
            outcome = _outcome(facts)
        except (ValueError, TypeError, KeyError):
            return None
        lowered = None
        if data:
            path = question.folder / "known.o"
            path.write_bytes(data)
            try:
                lowered = read_code_object(path, toolchain)
            except InputError:
                return None
        return Lift(
            outcome=outcome, text=question.text, original=question.proof.code, lowered=lowered
        )

    def put(self, key: str, lift: Lift, *, was_hurried: bool = False) -> None:
        """Keep a lift, unless it lacks what another run might find.

        Args:
            was_hurried: the machine was too busy to try all that the options say.
        """
        outcome = lift.outcome
        is_passing = was_hurried or _PASSING.search(outcome.reason)
        if is_passing and not outcome.verdict.is_accepted:
            return
        facts = {field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome)}
        if outcome.counterexample is not None:
            facts["counterexample"] = dataclasses.asdict(outcome.counterexample)
        head = json.dumps(facts, sort_keys=True).encode()
        data = b""
        if lift.lowered is not None:
            try:
                data = lift.lowered.path.read_bytes()
            except OSError:
                return
        self.put_bytes(key, head + b"\n" + data, room_bytes=self._room_bytes)


def _outcome(facts: dict[str, Any]) -> LiftedFunction:
    """Return an outcome that was kept.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    facts["verdict"] = LiftVerdict(facts["verdict"])
    facts["claims"] = tuple(facts["claims"])
    if (example := facts["counterexample"]) is not None:
        example["arguments"] = tuple(example["arguments"])
        facts["counterexample"] = Counterexample(**example)
    return LiftedFunction(**{**facts, "is_cached": True})


@functools.cache
def _source_hash() -> str:
    """Return a hash of this package's code that lifts and judges.

    A version's number alone would let a checkout answer with what its older code had said.
    """
    digest = hashlib.blake2b(digest_size=16)
    root = Path(llm_compiler.__file__).parent
    for part in _PARTS:
        for path in sorted((root / part).rglob("*.py")):
            if part == "disassembly" and path.parent.name == part and path.stem in _AFTER:
                continue
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    for path in sorted((root / "verify").glob("*.c")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
