"""The frozen values that travel between the parts, to the workers and into the store.

Nothing here knows how a value was made. All of them can be pickled and compared, and none holds a
C handle or an open file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

__all__ = [
    "OZ",
    "Measurement",
    "PassList",
    "Recipe",
    "Status",
    "SymbolSize",
    "Verdict",
    "VerdictKind",
    "content_hash",
]


def content_hash(data: bytes | memoryview) -> str:
    """Return the name that stored data goes by: 128 bits of BLAKE2b as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is compiled: a pass list, function attributes, code-generation options; all canonical.

    Each of `elements` is the text of one pass inside the adaptors that it needs, so that it stands
    as a whole module pipeline by itself: ``globalopt``, ``function(sroa<modify-cfg>)``. Joined with
    commas they are the text for ``opt -passes=``. A recipe of elements alone is a *pass list*.
    `llvm.passes.parse_pass_list` and `llvm.recipes.parse_recipe` make recipes.
    """

    elements: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    """``name=value`` each, sorted: given to every function that does not say otherwise."""
    options: tuple[str, ...] = ()
    """``name=value`` each, sorted: options of code generation, as ``-mllvm -name=value``."""
    functions: tuple[tuple[str, Recipe], ...] = ()
    """Functions with recipes of their own, sorted by name."""

    @property
    def pipeline(self) -> str:
        """The text for ``opt -passes=``; empty for the empty list."""
        return ",".join(self.elements)

    @property
    def settings(self) -> str:
        """The canonical text of attributes and options; empty where there are none."""
        words = [f"+{attribute}" for attribute in self.attributes] + [
            f"--{option}" for option in self.options
        ]
        return " ".join(words)

    @property
    def text(self) -> str:
        """The canonical text, which is what stores and verdicts are keyed by.

        Of a pass list it is the pipeline. Attributes follow as ``+name=value``, options as
        ``--name=value``, then the functions' own recipes as JSON.

        >>> Recipe(("globalopt",), ("frame-pointer=non-leaf",)).text
        'globalopt +frame-pointer=non-leaf'
        """
        words = [self.pipeline, self.settings]
        if self.functions:
            own = {name: recipe.text for name, recipe in self.functions}
            words.append(json.dumps(own, separators=(",", ":"), sort_keys=True))
        return " ".join(word for word in words if word)

    @property
    def pass_list(self) -> PassList:
        """The passes alone."""
        return PassList(self.elements)

    def to_json(self) -> dict[str, object]:
        """Return the parts as JSON says them (docs/json.md)."""
        return {
            "passes": self.pipeline,
            "attributes": list(self.attributes),
            "options": list(self.options),
            "functions": {name: recipe.to_json() for name, recipe in self.functions},
        }

    @property
    def is_pass_list(self) -> bool:
        """Whether there is nothing but passes."""
        return not (self.attributes or self.options or self.functions)

    def __len__(self) -> int:
        return len(self.elements)

    def __str__(self) -> str:
        return self.text

    def with_elements(self, elements: Iterable[str]) -> Recipe:
        """Return this recipe with other passes."""
        return replace(self, elements=tuple(elements))

    def with_settings_of(self, other: Recipe) -> Recipe:
        """Return these passes under the attributes and options of another recipe."""
        return replace(self, attributes=other.attributes, options=other.options)

    def without(self, index: int) -> Recipe:
        """Return this recipe with the element at `index` left out."""
        return self.with_elements(self.elements[:index] + self.elements[index + 1 :])

    def with_inserted(self, index: int, element: str) -> Recipe:
        """Return this recipe with `element` put in front of position `index`."""
        return self.with_elements((*self.elements[:index], element, *self.elements[index:]))

    def with_swapped(self, index: int) -> Recipe:
        """Return this recipe with the elements at `index` and `index + 1` exchanged."""
        first, second = self.elements[index : index + 2]
        return self.with_elements(
            (*self.elements[:index], second, first, *self.elements[index + 2 :])
        )

    def with_replaced(self, index: int, element: str) -> Recipe:
        """Return this recipe with the element at `index` exchanged for `element`."""
        return self.with_elements((*self.elements[:index], element, *self.elements[index + 1 :]))


PassList = Recipe
"""A recipe where only passes are meant."""

OZ = PassList(("default<Oz>",))
"""The baseline's pipeline, as an ordinary pass list."""


class Status(StrEnum):
    """How an evaluation ended. All but OK are data, not exceptions."""

    OK = "ok"
    REFUSED = "refused"
    """LLVM reported an error and gave no object."""
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSize:
    """What one function or variable brings to an object, and what it needs of it.

    A function's own nameless data (constants, jump tables, strings that only it uses) counts with
    it; what several use is divided among them.
    """

    name: str
    is_function: bool
    is_exported: bool
    """Whether others may refer to it by name; else it is there only while something needs it."""
    text_bytes: int = 0
    unwind_bytes: int = 0
    """Of ``.eh_frame`` and ``.gcc_except_table``; what all functions share (CIEs) is left out."""
    data_bytes: float = 0
    """Constants and variables that take space in the file."""
    references: tuple[str, ...] = ()
    """Names of the functions and variables of the same object that it refers to."""
    merged_bytes: int = 0
    """Of `text_bytes`, what a linker takes out of its calls (`llvm.relaxation`)."""

    @property
    def size_bytes(self) -> float:
        """All of it."""
        return self.text_bytes + self.unwind_bytes + self.data_bytes

    @property
    def flash_bytes(self) -> float:
        """What a linker map of firmware counts in flash."""
        return self.size_bytes - self.merged_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one recipe makes of one module.

    The sizes are 0 unless `status` is OK. `result_hash` names the module after the passes
    and the settings that its code was generated with: equal hashes mean one and the same object.
    """

    status: Status
    size_bytes: int = 0
    """All allocated sections that take space in the file (docs/decisions/0021)."""
    text_data_bytes: int = 0
    """.text* + .data*, the paper's metric."""
    merged_bytes: int = 0
    """Of `size_bytes`, what a linker takes away (`llvm.object_file`)."""
    num_instructions: int = 0
    """IR instructions after the passes."""
    result_hash: str = ""
    seconds: float = 0.0
    detail: str = ""
    """LLVM's own words, where `status` is not OK."""
    symbols: tuple[SymbolSize, ...] = field(default=(), compare=False, repr=False)
    """What each function and variable takes, where that was asked for; never stored."""

    def __post_init__(self) -> None:
        if self.status is Status.OK:
            assert 0 <= self.text_data_bytes <= self.size_bytes, self
        else:
            assert self.size_bytes == 0, self

    @property
    def flash_bytes(self) -> int:
        """What a linker map of firmware counts in flash."""
        return self.size_bytes - self.merged_bytes

    @property
    def ok(self) -> bool:
        """Whether there is an object."""
        return self.status is Status.OK


class VerdictKind(StrEnum):
    """What is known of a recipe's safety."""

    PASSED = "passed"
    REJECTED = "rejected"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What PassListEval said of a recipe, for one LLVM major version and one architecture."""

    kind: VerdictKind
    passes: PassList
    llvm_major: int
    architecture: str
    program: str = ""
    """The first program that the list breaks, where it is rejected."""
    reason: str = ""
    """How it breaks: crash, wrong output, timed out, compiler crash."""
    num_programs: int = 0
