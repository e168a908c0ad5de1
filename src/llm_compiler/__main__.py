"""``python -m llm_compiler``, and what the script ``llm-compiler`` calls.

Before anything else is imported, the current folder is taken off the search path (`isolation`):
no ``from __future__`` here, and no module of the standard library.
"""

from llm_compiler.isolation import secure_start

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit code."""
    secure_start()
    try:
        from llm_compiler.signals import default_signals, handle_signals

        handle_signals()
        from llm_compiler.cli import main as run

        code = run()
        default_signals()  # nothing is left that could be lost
        return code
    except KeyboardInterrupt:  # before or after the command itself
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
