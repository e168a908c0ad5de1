"""One JSON object a line on standard error for everything that happens; never code, never keys."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

__all__ = ["log_event", "set_up_log"]

_LOGGER = logging.getLogger("llm_compiler.service")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_log(level: str = "info") -> None:
    """Send the log of this service and of its server to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name in ("llm_compiler.service", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())


def log_event(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one line."""
    _LOGGER.log(level, event, extra={"fields": fields})
