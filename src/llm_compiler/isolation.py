"""Keep what lies in a user's folder from being imported or executed by this tool.

Python looks for modules, and the system for programs and libraries, wherever a path variable says,
and an empty or relative entry of one means the current folder, which may be a stranger's. So the
command line drops such entries before it imports anything else (`secure_start`), every child gets
an environment without them (`child_environment`), and our own Python children start isolated, with
the search path of this process (`python_command`).

What is not covered is the start of the interpreter itself, which is over before the first line
here: under ``python -m llm_compiler`` it imports a few modules of its own with the current folder
on the path, and with PYTHONPATH naming the current folder its ``sitecustomize``. The script
``llm-compiler`` and ``python -P -m llm_compiler`` have no such gap.

Imports only what the interpreter has loaded already, and nothing from ``__future__``, which would
be looked for as a file. Safe in threads, but for `secure_start`.
"""

import os
import sys

__all__ = [
    "DEPTH_VARIABLE",
    "MAX_DEPTH",
    "child_environment",
    "depth",
    "python_command",
    "secure_start",
    "spawning_python",
]

DEPTH_VARIABLE = "LLM_COMPILER_DEPTH"
"""How many of this tool's processes are above a process: its own children see one more."""
MAX_DEPTH = 4
"""A tool started deeper than this was started by itself: an endless chain, not a build."""

_PATHS = ("PATH", "LD_LIBRARY_PATH", "COMPILER_PATH")
"""Variables whose entries name folders of programs or libraries."""


def _own_folder() -> str:
    """Return the folder that this package is imported from."""
    return os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _is_current(folder: str) -> bool:
    """Whether an entry means the current folder, and that is not the one of this package."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:
        return not os.path.isabs(folder)  # it was deleted
    found = os.path.realpath(folder or here)
    return found == here and found != _own_folder()


def _without_current(value: str) -> str:
    kept = [entry for entry in value.split(os.pathsep) if entry and not _is_current(entry)]
    return os.pathsep.join(os.path.abspath(entry) for entry in kept)


def child_environment(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a child: ours, or the one given, without ways into this folder.

    Programs and libraries are looked for in folders that are named whole, and the child's depth is
    one more than ours. (PYTHONSAFEPATH is not set: a package's build may need its own folder.)
    """
    env = dict(os.environ if environment is None else environment)
    for name in _PATHS:
        if name in env:
            entries = [entry for entry in env[name].split(os.pathsep) if os.path.isabs(entry)]
            env[name] = os.pathsep.join(entries)
            if not entries:
                del env[name]
    if "PYTHONPATH" in env:
        env["PYTHONPATH"] = _without_current(env["PYTHONPATH"])
        if not env["PYTHONPATH"]:
            del env["PYTHONPATH"]
    env[DEPTH_VARIABLE] = str(depth() + 1)
    return env


def depth() -> int:
    """Return how many of this tool's processes are above this process."""
    text = os.environ.get(DEPTH_VARIABLE, "")
    return int(text) if text.isdecimal() else 0


def _open_closed_streams() -> None:
    """Give standard streams that are closed something to be.

    Else the next file or socket that is opened takes their numbers, and what is printed ends up
    there. Standard output cannot be written to then, so that lost results are an error.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
            continue
        except OSError:
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        if getattr(sys, name) is None:
            stream = open(number, "r" if name == "stdin" else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def secure_start() -> None:
    """Take the current folder, and the script's, off the paths of this process.

    For the command line only: a library must leave its user's search path alone.
    """
    _open_closed_streams()
    added = "" if sys.flags.safe_path or not sys.path else sys.path[0]
    given = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(":")
    named = {os.path.abspath(entry) for entry in given}
    kept = []
    for index, entry in enumerate(sys.path):
        first = index == 0 and entry == added and not sys.flags.safe_path
        if first and os.path.realpath(entry or ".") != _own_folder():
            continue
        if (entry == "" or os.path.abspath(entry) in named) and _is_current(entry):
            continue
        kept.append(entry)
    sys.path[:] = kept
    mine = depth()
    os.environ.update(child := child_environment())
    for name in (*_PATHS, "PYTHONPATH"):
        if name not in child:
            os.environ.pop(name, None)
    os.environ[DEPTH_VARIABLE] = str(mine)


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs ``main()`` of a module of this package in an isolated Python.

    The child reads no variable, no ``site`` and no start-up file. Its search path is that of this
    process without the current folder, so that it finds the same packages, installed as a wheel,
    editable, or on PYTHONPATH.
    """
    # Entries that are no folder are archives; a path hook of an editable install is neither.
    path = [entry for entry in sys.path if os.path.isabs(entry) and not _is_current(entry)]
    if _own_folder() not in map(os.path.realpath, path):
        path.append(_own_folder())
    program = f"import sys; sys.path[:] = {path!r}; from {module} import main; main()"
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    if sys.flags.utf8_mode:
        options += ["-X", "utf8"]
    return [sys.executable, *options, "-c", program, *arguments]


class spawning_python:  # noqa: N801  # used as a context manager, like `contextlib.suppress`
    """While Python itself starts children (``multiprocessing``), they look for nothing in here.

    It starts them by ``python -c``, which has the current folder first on its path.
    """

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in ("PYTHONSAFEPATH", "PYTHONPATH")}
        os.environ["PYTHONSAFEPATH"] = "1"
        if self._before["PYTHONPATH"] is not None:
            os.environ["PYTHONPATH"] = _without_current(self._before["PYTHONPATH"])

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
