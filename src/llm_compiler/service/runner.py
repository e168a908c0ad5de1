"""The process inside a sandbox: one request on standard input, events and an answer as JSON lines.

It loads what it needs before it reads, and says then that it is ready: one that waits answers
faster, and no client pays for the loading with its job's time. It runs one request and ends:
nothing of one client is left for the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from typing import IO, Any

from llm_compiler.errors import ArtifactError, LlmCompilerError
from llm_compiler.model.engines.engine import Engine
from llm_compiler.service.limits import refusal_code

__all__ = ["main"]


def main() -> None:
    """Answer one request."""
    # What is printed by anything else goes to standard error.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        channel.write(json.dumps(event).encode() + b"\n")
        channel.flush()

    engine = _load()
    tell({"event": "ready"})
    request = json.loads(_all_input(sys.stdin.buffer))
    from llm_compiler.service.answers import ANSWERS

    try:
        answer = ANSWERS[request["verb"]](request, engine, tell)
        tell({"event": "done", "result": answer})
    except LlmCompilerError as error:
        tell(
            {
                "event": "refused",
                "code": refusal_code(error),
                "message": str(error),
                "detail": error.detail[-20_000:],
            }
        )
    except (MemoryError, RecursionError, OSError) as error:
        message = f"the job ran out of what it may take: {type(error).__name__}: {error}"
        tell({"event": "refused", "code": "resources", "message": message, "detail": ""})
    except Exception:
        tell({"event": "broken", "detail": traceback.format_exc()})


def _load() -> Engine | None:
    import llm_compiler.service.answers  # noqa: F401
    from llm_compiler.llvm.toolchain import find_toolchain
    from llm_compiler.model.engines.loader import has_shipped_model, load_engine

    find_toolchain()
    if has_shipped_model():
        with contextlib.suppress(ArtifactError):
            return load_engine(threads=1)
    return None


def _all_input(stream: IO[bytes]) -> bytes:
    data = stream.read()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return data
