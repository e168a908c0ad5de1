"""Read recipes as text, and carry out their settings in process.

The text is `records.Recipe.text`: a pass list in any of the spellings that `llvm.passes` reads,
then ``+name=value`` for attributes and ``--name=value`` for options of code generation::

    default<Oz>,globalopt +frame-pointer=non-leaf --outliner-benefit-threshold=24

In process, attributes are given just before code generation: what they change is made there, and
lists that end in one module share it whatever the settings. (The stock tools give them before the
passes; they decide in the end.) What is taken away is taken before the passes, and limits of the
passes are set while they run.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from ctypes import c_char_p

from llm_compiler.errors import InputError
from llm_compiler.llvm.capi import Library
from llm_compiler.llvm.module import Module
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.settings import (
    SettingKind,
    find_setting,
    given_attributes,
)
from llm_compiler.records import Recipe

__all__ = ["give_attributes", "llvm_options", "parse_recipe", "take_attributes"]

_SETTING = re.compile(r"^(\+|--)([a-z0-9-]+)=(\S+)$")
_BEGIN_SETTINGS = re.compile(r"(?:^|\s)(?:\+|--)[A-Za-z0-9-]+=")
_MADE_BY_PASSES = ("outlined_ir_func_",)
"""Functions that the stock tools make after the attributes were given, so that they have none."""
_FUNCTION_INDEX = 0xFFFFFFFF


def parse_recipe(text: str) -> Recipe:
    """Return the canonical recipe of a text; a pass list alone is one too.

    Raises:
        UnknownPass: a name that is no pass.
        InputError: anything else that is not a recipe.
    """
    text, functions = _split_functions(text)
    passes = parse_pass_list(text[: _settings_start(text)])
    attributes: dict[str, str] = {}
    options: dict[str, str] = {}
    for word in text[_settings_start(text) :].split():
        match = _SETTING.match(word)
        if not match:
            raise InputError(
                f"recipe: '{word[:80]}' is neither '+attribute=value' nor '--option=value'"
            )
        mark, name, value = match.groups()
        kind = SettingKind.ATTRIBUTE if mark == "+" else SettingKind.OPTION
        known = find_setting(kind, name)
        if known is None:
            raise InputError(
                f"recipe: there is no {kind} '{name}' ('llm-compiler passes --all' lists them)"
            )
        if value not in known.values:
            raise InputError(
                f"recipe: {kind} '{name}' is one of {', '.join(known.values)}, not '{value[:40]}'"
            )
        group = attributes if kind is SettingKind.ATTRIBUTE else options
        if group.setdefault(name, value) != value:
            raise InputError(f"recipe: {kind} '{name}' is given twice")
    return Recipe(
        passes.elements,
        tuple(sorted(f"{name}={value}" for name, value in attributes.items())),
        tuple(sorted(f"{name}={value}" for name, value in options.items())),
        functions,
    )


def _settings_start(text: str) -> int:
    # "--passes=..." and "-p ..." open a pass list as people write it, not settings.
    body = re.match(r"\s*(?:\S*opt(?:-\d+)?\s+)?-{1,2}(?:p|passes)[= ]\s*", text)
    match = _BEGIN_SETTINGS.search(text, body.end() if body else 0)
    return match.start() if match else len(text)


def _split_functions(text: str) -> tuple[str, tuple[tuple[str, Recipe], ...]]:
    """Cut the recipes of single functions off the end of a text."""
    start = text.find("{")
    if start < 0:
        return text, ()
    try:
        own = json.loads(text[start:])
        pairs = sorted((str(name), str(item)) for name, item in own.items())
    except (ValueError, AttributeError) as error:
        raise InputError(f"recipe: the functions' own recipes are not JSON: {error}") from error
    return text[:start], tuple((name, parse_recipe(word)) for name, word in pairs)


def give_attributes(module: Module, recipe: Recipe) -> None:
    """Give a recipe's attributes to every function that lacks them, as opt does."""
    if not recipe.attributes:
        return
    library = module.context.library
    made = []
    for text in given_attributes(recipe):
        key, _, value = text.encode().partition(b"=")
        made.append(
            (
                key,
                library.LLVMCreateStringAttribute(
                    module.context.handle, key, len(key), value, len(value)
                ),
            )
        )
    for function in module.function_handles():
        if module.name_of(function).startswith(_MADE_BY_PASSES):
            continue
        for key, attribute in made:
            if not library.LLVMGetStringAttributeAtIndex(function, _FUNCTION_INDEX, key, len(key)):
                library.LLVMAddAttributeAtIndex(function, _FUNCTION_INDEX, attribute)


def take_attributes(module: Module, names: Sequence[str]) -> None:
    """Take attributes away from every function, by LLVM's names."""
    library = module.context.library
    kinds = [library.LLVMGetEnumAttributeKindForName(name.encode(), len(name)) for name in names]
    for function in module.function_handles():
        for kind in kinds:
            library.LLVMRemoveEnumAttributeAtIndex(function, _FUNCTION_INDEX, kind)


@contextlib.contextmanager
def llvm_options(library: Library, options: Sequence[str]) -> Iterator[None]:
    """Set options of LLVM for this process, and set all back afterwards.

    LLVM keeps options in global variables: one thread of a process may do this at a time.
    """
    if not options:
        yield
        return
    arguments = [b"llm-compiler", *(f"-{option}".encode() for option in options)]
    array = (c_char_p * len(arguments))(*arguments)
    library.LLVMParseCommandLineOptions(len(arguments), array, None)
    try:
        yield
    finally:
        library.reset_options()
