"""A command: its name, what it takes, and which function runs it. Does no work itself."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, Protocol, cast

from llm_compiler.errors import ConfigError
from llm_compiler.option_fields import add_options, from_namespace

__all__ = ["Command", "add_command", "exit_codes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command or one of its actions.

    Either `actions` are chosen from, or `run` is called with the value of `options`.
    """

    name: str
    help: str = ""
    """One line; of commands it is in `COMMANDS`."""
    description: str = ""
    options: type[Any] | None = None
    """A dataclass of `option_fields`."""
    run: str = ""
    """``module:function`` below `commands`; imported when it is called, so that nobody waits for
    what other commands need."""
    negative: str = ""
    """What exit code 1 says; empty: it does not come."""
    actions: Sequence[Command] = ()
    placeholder: str = ""
    """Of the actions, in usages."""

    @property
    def takes_clang_flags(self) -> bool:
        """Whether arguments after ``--`` are clang's."""
        kinds = [self.options, *(action.options for action in self.actions)]
        return any(
            field.name == "clang_flags"
            for kind in kinds
            if kind is not None
            for field in fields(kind)
        )

    def __call__(self, namespace: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
        """Run the command with what was typed; return the exit code."""
        assert self.options is not None
        more = {}
        if self.takes_clang_flags:
            more["clang_flags"] = clang_flags
        elif clang_flags:
            raise ConfigError(f"'{namespace.command}' takes no clang flags after --")
        options = from_namespace(self.options, namespace, **more)
        module, _, name = self.run.partition(":")
        work = cast(_Work, getattr(import_module(f"llm_compiler.commands.{module}"), name))
        return work(options)


class _Work(Protocol):
    def __call__(self, options: Any) -> int: ...


def add_command(
    parsers: argparse._SubParsersAction[argparse.ArgumentParser], command: Command, *, help: str
) -> None:
    """Give a command's options and actions to argparse.

    What is parsed has the command itself as ``run_command``.
    """
    parser = parsers.add_parser(
        command.name,
        help=help,
        description=command.description or None,
        epilog=exit_codes(command.negative),
    )
    if command.options is not None:
        add_options(parser, command.options)
        parser.set_defaults(run_command=command)
    if command.actions:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar=command.placeholder or None
        )
        for action in command.actions:
            add_command(actions, action, help=action.help)


def exit_codes(negative: str = "") -> str:
    """Return the last paragraph of a command's help.

    Args:
        negative: what 1 says of the command; empty: it does not come.
    """
    return (
        f"Exit codes: 0 done, {f'1 {negative}, ' if negative else ''}2 bad usage, 3 toolchain, 4 "
        "bad input, 5 compiler failed, 6 out of time or memory, 7 corpus, store or checkpoint, 8 "
        "the output cannot be written, 130 interrupted (Ctrl-C), 143 ended (SIGTERM)."
    )
