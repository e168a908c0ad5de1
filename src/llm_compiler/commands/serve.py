"""``llm-compiler serve``: the HTTP service and its page."""

from __future__ import annotations

from llm_compiler.commands.options.serve import ServeArguments
from llm_compiler.errors import ConfigError
from llm_compiler.extras import require

__all__ = ["run"]


def run(options: ServeArguments) -> int:
    """Serve until a signal comes."""
    if options.port > 65535:
        raise ConfigError(f"--port {options.port}: a port is a number from 1 to 65535")
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        require(name, extra="serve")
    from llm_compiler.service.start import ServeOptions, serve

    serve(
        ServeOptions(
            host=options.host,
            port=options.port,
            keys=options.api_keys,
            allow_hosts=options.allow_hosts,
            data=options.data,
            sandbox=not options.no_sandbox,
            model=options.model,
            limits=options.limits,
            log_level=options.log_level,
        )
    )
    return 0
