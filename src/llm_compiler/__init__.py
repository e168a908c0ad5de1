"""A language model for compilers, with the real compiler always in the loop.

::

    from llm_compiler import optimize, disassemble, emulate

Nothing is loaded before it is used: neither LLVM nor a model. The three verbs are the modules of
their names as well (`llm_compiler.optimize.OptimizeOptions`), which can be called (`api`).

No module of the standard library is imported here: `__main__` has not yet taken the current folder
off the search path.
"""

import sys  # built in: no file of this name is looked for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from llm_compiler.api import disassemble, emulate, optimize

    __version__: str
else:
    ModuleType = type(sys)

__all__ = ["__version__", "disassemble", "emulate", "optimize"]

_VERBS = ("optimize", "disassemble", "emulate")


class Verb(ModuleType):
    """A module that is called like the function of its name in `api`."""

    def __call__(self, *arguments: object, **settings: object) -> object:
        """Call `api`'s function."""
        from llm_compiler import api

        return getattr(api, self.__name__.rpartition(".")[2])(*arguments, **settings)


def __getattr__(name: str) -> object:
    import importlib

    if name in _VERBS:
        return importlib.import_module(f"llm_compiler.{name}")
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("llm-compiler")
        except PackageNotFoundError:  # a copy of the sources that was never installed
            return "not installed"
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
