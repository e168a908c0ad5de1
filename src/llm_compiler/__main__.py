"""``python -m llm_compiler``, and what the script ``llm-compiler`` calls.

Before anything else is imported, the current folder is taken off the search path (`isolation`):
no ``from __future__`` here, and no module of the standard library.
"""

from llm_compiler.isolation import secure_start

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit code."""
    secure_start()
    from llm_compiler.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
