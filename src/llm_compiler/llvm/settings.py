"""The registry of what a recipe may hold beside passes: function attributes, backend options.

An *attribute* is what ``opt`` gives the functions that it works on, where they do not carry it
already (``opt --NAME=VALUE``), or takes from them before the passes, as ``forceattrs`` does; or it
is a limit of the passes, as of the inliner, of which nothing stays in the module. An *option* is
one of code generation, ``-mllvm -NAME=VALUE`` to clang. Each entry says for which architectures it
is, what it is for, how the stock tools get it, and why it may not be used, if so. What changes what
an object offers to others (`contract`) is used only where the user allows it by name. Data only;
nothing here loads LLVM.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from llm_compiler.records import Recipe

__all__ = [
    "Setting",
    "SettingKind",
    "all_settings",
    "backend_flags",
    "find_setting",
    "given_attributes",
    "opt_flags",
    "opt_pipeline",
    "pass_options",
    "removed_attributes",
    "search_settings",
    "unfit_settings",
    "unsafe_settings",
]


class SettingKind(StrEnum):
    """What a setting is to LLVM."""

    ATTRIBUTE = "attribute"
    OPTION = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One attribute or option with the values that it may have."""

    kind: SettingKind
    name: str
    values: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    """Empty: all."""
    objectives: tuple[str, ...] = ("size", "flash")
    """Names of the objectives that it may serve; both count unwind tables."""
    effect: str
    """What it does to an object, in a few words."""
    reason: str = ""
    """Why it is not used; empty where it is."""
    removes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """For an attribute that takes away: by value, LLVM's names of what every function loses."""
    of_passes: bool = False
    """For an attribute: it is a limit of the passes, and nothing that functions carry."""
    contract: bool = False
    """Whether it changes what the object offers: to be allowed by name."""

    @property
    def safe(self) -> bool:
        """Whether searches and recipes may hold it without being asked for."""
        return not self.reason and not self.contract

    def removed(self, value: str) -> tuple[str, ...]:
        """Return LLVM's names of the attributes that a value takes away."""
        return dict(self.removes).get(value, ())

    def stock(self, value: str) -> str:
        """Return how the stock tools get it."""
        if self.removes:
            flags = " ".join(f"--force-remove-attribute={word}" for word in self.removed(value))
            return f"opt -passes=forceattrs,... {flags}"
        if self.kind is SettingKind.ATTRIBUTE:
            return f"opt --{self.name}={value}"
        return f"clang -mllvm -{self.name}={value}"


_BYTES = ("size", "text-data", "flash")
_X86: tuple[str, ...] = ("x86_64",)
_ARM: tuple[str, ...] = ("aarch64",)

_ATTRIBUTES = (
    Setting(
        kind=SettingKind.ATTRIBUTE,
        name="frame-pointer",
        values=("non-leaf", "all"),
        architectures=(*_X86, "i386"),
        effect="unwind tables no longer follow every push: .eh_frame shrinks, .text grows",
    ),
    Setting(
        kind=SettingKind.ATTRIBUTE,
        name="size-level",
        values=("s", "2"),
        objectives=_BYTES,
        removes=(("s", ("minsize",)), ("2", ("minsize", "optsize"))),
        effect="passes and code generation as for -Os or -O2: loops may be unrolled",
    ),
    Setting(
        kind=SettingKind.ATTRIBUTE,
        name="inline-threshold",
        values=("50", "100", "225", "500"),
        objectives=_BYTES,
        of_passes=True,
        effect="inlines larger functions than -Oz does: constants and stack slots go with the call",
    ),
    Setting(
        kind=SettingKind.ATTRIBUTE,
        name="enable-gvn-memdep",
        values=("false",),
        objectives=_BYTES,
        of_passes=True,
        effect="removes no loads by copying them into other blocks",
    ),
    Setting(
        kind=SettingKind.ATTRIBUTE,
        name="unwind-tables",
        values=("none",),
        removes=(("none", ("uwtable",)),),
        contract=True,
        effect="no .eh_frame for functions that never throw: no backtraces through them",
    ),
)


def _option(
    name: str,
    values: str,
    effect: str,
    *,
    architectures: tuple[str, ...] = (),
    objectives: tuple[str, ...] = _BYTES,
    reason: str = "",
) -> Setting:
    return Setting(
        kind=SettingKind.OPTION,
        name=name,
        values=tuple(values.split()),
        architectures=architectures,
        objectives=objectives,
        effect=effect,
        reason=reason,
    )


_NOTHING = "brings nothing on the packages that it was measured on"
_OPTIONS = (
    # Outlining by the backend: each outlined function costs an entry in the unwind tables.
    _option(
        "outliner-benefit-threshold",
        "8 16 24 40",
        "outlines only what pays for the unwind tables of the new function too",
        architectures=_ARM,
    ),
    _option(
        "enable-machine-outliner",
        "always never",
        "outlines on x86-64 too: .text shrinks, .eh_frame grows by more; never: the reverse",
        objectives=("text-data",),
    ),
    # Jump tables.
    _option("min-jump-table-entries", "6 16", "compares instead of small tables: .rodata shrinks"),
    # Where blocks and instructions go.
    _option("disable-block-placement", "true", "leaves blocks in the passes' order"),
    _option("enable-ext-tsp-block-placement", "true", "orders blocks by another model"),
    _option("disable-machine-licm", "true", "hoists nothing out of loops again: fewer spills"),
    _option("disable-machine-sink", "true", "sinks nothing into branches"),
    _option("aggressive-machine-cse", "true", "keeps common values in registers for longer"),
    _option("disable-lsr", "true", "leaves the addresses in loops as the passes made them"),
    _option("disable-phi-elim-edge-splitting", "true", "makes no blocks for copies"),
    _option("x86-br-merging-base-cost", "0", "branches once a condition", architectures=_X86),
    # Registers.
    _option("split-spill-mode", "size", "places spills for size"),
    _option("grow-region-complexity-budget", "100", "splits live ranges with less effort"),
    _option("greedy-reverse-local-assignment", "true", "assigns local ranges from their ends"),
    _option("tail-merge-size", "1", "merges tails of one instruction", reason=_NOTHING),
    _option("enable-shrink-wrap", "false", "saves registers at the entry", reason=_NOTHING),
    _option(
        "regalloc",
        "basic pbqp",
        "another register allocator",
        reason="basic brings nothing; pbqp takes minutes for functions of some size",
    ),
    _option("pre-RA-sched", "linearize fast", "another order", reason="larger on most units"),
    _option(
        "enable-ipra",
        "true",
        "callers know which registers their callees leave alone",
        reason="experimental; brings nothing on most units and costs on others",
    ),
    _option(
        "combiner-global-alias-analysis",
        "true",
        "merges more memory accesses",
        reason="experimental: off in every target",
    ),
    _option(
        "enable-misched",
        "false",
        "schedules nothing: equal code stays equal, so that more of it is outlined",
        architectures=_ARM,
    ),
    _option("no-stack-coloring", "true", "shares no stack slots", reason="larger on most units"),
    _option(
        "homogeneous-prolog-epilog",
        "true",
        "calls helpers that save and restore registers",
        architectures=_ARM,
        reason="LLVM does it for functions without unwind tables only",
    ),
)
_FRONT_END = tuple(
    _option(name, "user", effect, reason=f"changes what the object offers: pass {flag} after --")
    for name, flag, effect in (
        ("plt", "-fno-plt", "calls through the global offset table"),
        ("visibility", "-fvisibility=hidden", "names are hidden from other objects"),
        ("merge-all-constants", "-fmerge-all-constants", "constants may share an address"),
    )
)
"""What clang's front end does, and only on the user's own word."""


@lru_cache(maxsize=1)
def _by_name() -> dict[tuple[SettingKind, str], Setting]:
    return {(setting.kind, setting.name): setting for setting in all_settings()}


def all_settings() -> tuple[Setting, ...]:
    """Return every entry, attributes first."""
    return (*_ATTRIBUTES, *_OPTIONS, *_FRONT_END)


def find_setting(kind: SettingKind, name: str) -> Setting | None:
    """Return the entry of a name; None if there is none."""
    return _by_name().get((kind, name))


def search_settings(architecture: str) -> tuple[Recipe, ...]:
    """Return a recipe without passes for each safe setting of an architecture, one at a time."""
    return tuple(
        Recipe(attributes=(text,))
        if setting.kind is SettingKind.ATTRIBUTE
        else Recipe(options=(text,))
        for setting in all_settings()
        if setting.safe and (not setting.architectures or architecture in setting.architectures)
        for text in (f"{setting.name}={value}" for value in setting.values)
    )


def unsafe_settings(
    recipe: Recipe, architecture: str, *, allowed: Container[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return (setting, reason) for each one that may not be used for an architecture.

    Args:
        allowed: names of settings that the user allows although they change the contract.
    """
    found = []
    for kind, texts in (
        (SettingKind.ATTRIBUTE, recipe.attributes),
        (SettingKind.OPTION, recipe.options),
    ):
        for text in texts:
            name, _, value = text.partition("=")
            known = find_setting(kind, name)
            if known is None or value not in known.values:
                found.append((text, "not in the registry"))
            elif known.reason:
                found.append((text, known.reason))
            elif known.architectures and architecture not in known.architectures:
                found.append((text, f"not for {architecture}"))
            elif known.contract and name not in allowed:
                found.append((text, "changes what the object offers: it must be allowed by name"))
    return tuple(found)


_ASM = re.compile(r'\basm (?:[a-z]+ )*"(?P<text>[^"]*)", "(?P<constraints>[^"]*)"')
_FRAME_REGISTER = re.compile(r"\b[er]?bpl?\b")
_OWN_FRAME_REGISTER = re.compile(r"^define .*\b(?:ghccc|cc 1[01])\b", re.MULTILINE)
_NAMED_REGISTER = re.compile(r'!\{!"[er]?bp"\}')


def unfit_settings(text: str) -> tuple[str, ...]:
    """Return the names of settings that a module's code cannot have, from the module's text.

    A frame pointer is not for functions that use its register otherwise: in inline assembly (LLVM
    does not save it around one), as a global register variable, or for arguments.
    """
    found = []
    assembly = any(
        _FRAME_REGISTER.search(match["text"]) or _FRAME_REGISTER.search(match["constraints"])
        for match in _ASM.finditer(text)
    )
    if assembly or _NAMED_REGISTER.search(text) or _OWN_FRAME_REGISTER.search(text):
        found.append("frame-pointer")
    return tuple(found)


def backend_flags(recipe: Recipe) -> Sequence[str]:
    """Return the flags that make clang's code generation take a recipe's options."""
    return [word for option in recipe.options for word in ("-mllvm", f"-{option}")]


def removed_attributes(recipe: Recipe) -> tuple[str, ...]:
    """Return LLVM's names of the attributes that every function loses, in order, each once."""
    found: dict[str, None] = {}
    for text in recipe.attributes:
        name, _, value = text.partition("=")
        known = find_setting(SettingKind.ATTRIBUTE, name)
        found |= dict.fromkeys(known.removed(value) if known is not None else ())
    return tuple(found)


def given_attributes(recipe: Recipe) -> tuple[str, ...]:
    """Return the ``name=value`` of LLVM's string attributes that every function is given."""
    found = []
    for text in recipe.attributes:
        known = find_setting(SettingKind.ATTRIBUTE, text.partition("=")[0])
        if known is None or not (known.removes or known.of_passes):
            found.append(text)
    return tuple(found)


def pass_options(recipe: Recipe) -> tuple[str, ...]:
    """Return the ``name=value`` of the options that a recipe's passes run with."""
    found = []
    for text in recipe.attributes:
        known = find_setting(SettingKind.ATTRIBUTE, text.partition("=")[0])
        if known is not None and known.of_passes:
            found.append(text)
    return tuple(found)


def opt_pipeline(recipe: Recipe) -> str:
    """Return the text for ``opt -passes=`` that makes opt take away attributes too."""
    first = ("forceattrs",) if removed_attributes(recipe) else ()
    return ",".join((*first, *recipe.elements))


def opt_flags(recipe: Recipe) -> Sequence[str]:
    """Return the flags beside `opt_pipeline` that make opt give and take a recipe's attributes."""
    return [
        *(f"--{attribute}" for attribute in given_attributes(recipe)),
        *(f"--{option}" for option in pass_options(recipe)),
        *(f"--force-remove-attribute={attribute}" for attribute in removed_attributes(recipe)),
    ]
