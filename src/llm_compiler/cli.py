"""The command line: finds the command, runs it, and turns what goes wrong into an exit code.

What commands take is in `commands.options`, what they do in `commands`. Exit: 0 done, 1 a negative
verdict, 2 bad usage, 3 toolchain, 4 bad input, 5 the compiler failed, 6 out of time or memory,
7 corpus or checkpoint, 8 the output cannot be written, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from llm_compiler.commands.parser import build_parser
from llm_compiler.errors import ConfigError, LlmCompilerError, OutputError
from llm_compiler.isolation import MAX_DEPTH, depth
from llm_compiler.llvm.clang_flags import expand_response_files
from llm_compiler.plugins import load_plugins
from llm_compiler.signals import described, forget, received

__all__ = ["main"]


def _split_clang_flags(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Everything after ``--`` is clang's; argparse itself would mix it with the files."""
    if "--" in arguments:
        position = list(arguments).index("--")
        return list(arguments[:position]), tuple(arguments[position + 1 :])
    return list(arguments), ()


def _run(arguments: Sequence[str]) -> int:
    own, clang_flags = _split_clang_flags(list(expand_response_files(arguments)))
    load_plugins()
    # Commands have no options in front of their names but --help and --version.
    named = next((word for word in own if not word.startswith("-")), "")
    options = build_parser(named).parse_args(own)
    code: int = options.run_command(options, clang_flags)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; never raises for the user's mistakes."""
    forget()
    try:
        if depth() > MAX_DEPTH:
            raise ConfigError(
                f"this tool was started by itself {depth()} times over: a program that it runs "
                "starts it again"
            )
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        # A command that ends by itself after a signal has said what it kept.
        return 128 + received() if received() else code
    except LlmCompilerError as error:
        if received():
            return _ended()
        from llm_compiler.console import print_error

        print_error(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (a pager, head); nothing more can be said to it.
        _drop_output()
        return OutputError.exit_code
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _drop_output()  # it may be what is full, or closed
        print(f"llm-compiler: error: {error}", file=sys.stderr)
        return OutputError.exit_code
    except KeyboardInterrupt:
        return _ended()


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process can flush it."""
    with contextlib.suppress(OSError, ValueError):  # not a file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ended() -> int:
    print(f"llm-compiler: {described()}: what is finished is kept", file=sys.stderr)
    return 128 + (received() or signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
