"""The choices that machine code leaves open, as one record: a draft is a graph and a `Variant`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["Variant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a draft is written. The defaults claim nothing that the code does not show."""

    result: str = ""
    """The function's result type; empty: the first that fits."""
    arguments: str = "written"
    """Of calls whose signature is not known: registers ``written`` since they were last read,
    ``near`` (written since the last call), ``all`` that hold something, or ``every`` up to the last
    that holds something on some way."""
    counts: tuple[tuple[int, int], ...] = ()
    """Of some calls, by their number in the code: how many integer registers they are passed."""
    natural_bits: int = 32
    """At least so wide is what a call is passed."""
    has_pointers: bool = True
    """Variables that addresses are made of are pointers."""
    guessed_pointers: int = 0
    """Variables of 64 bits that are passed or compared are pointers, though no address is made of
    them: 0 none, 1 all, others at random."""
    is_wide: bool = False
    """Variables are as wide as their widest use, though they were set narrower."""
    wide_constants: int = 0
    """Constants that calls are passed are 64 bits: 0 where it is known, 1 all, others at random."""
    frame: str = "parts"
    """``parts``: objects begin where the frame is pointed to; ``each``: also at accesses, but for
    those that can only be of fields of what is pointed to; ``slots``: at every access, as in code
    that was not optimised; ``whole``: one object, which is always sound."""
    alignment: int = 16
    """Of objects of the frame, at most, but for what their accesses ask."""
    overflow: str = ""
    """What sums are said not to do: ``nsw`` or ``nuw nsw``. Not shown by the code."""
    inbounds: bool = False
    """Addresses stay in their objects. Not shown by the code."""
    branches: str = "strict"
    """``strict``: non-strict comparisons are negated, as clang writes them; ``as is``; ``negated``:
    all are."""
    order: int = 0
    """Of the variables: 0 as found, 1 backwards, others at random."""
    placement: int = 1
    """Of the blocks: 0 as in the code; 1, 2: targets of some branches first; negative: by depth;
    others at random."""
    sums_first: bool = False
    """A displacement is added to the index before the base."""
    keeps_switch: bool = False
    """The range check in front of a jump table stays a branch of its own."""
    cold: int = 1
    """Calls that report errors are cold: 0 never, 1 where they name stderr, 2 more."""
    masks: bool = True
    """Amounts of shifts are cut to what the instruction reads."""
    keeps_scanned: bool = False
    """A scan for a bit leaves its destination where there is none, else that is not defined."""
    pipeline: int = 0
    """Which of `search.PIPELINES` cleans the draft."""

    @property
    def is_sound(self) -> bool:
        """Whether the draft has no undefined behaviour that the code does not have."""
        keeps_alignment = self.alignment == 16  # a callee may ask for what the code gives
        return not self.overflow and not self.inbounds and self.masks and keeps_alignment

    @property
    def sound(self) -> Variant:
        """The same without claims that the code does not show."""
        return dataclasses.replace(self, overflow="", inbounds=False, masks=True, alignment=16)

    @property
    def changes(self) -> str:
        """What differs from the default, in words; empty where nothing does."""
        default = Variant()
        found = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != getattr(default, field.name):
                found.append(f"{field.name}={value}")
        return " ".join(found)
