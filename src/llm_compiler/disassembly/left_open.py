"""Which unproved answers leave something open that another answer may not. Pure functions."""

from __future__ import annotations

import re

from llm_compiler.verify.execute import Execution
from llm_compiler.verify.lifted import LiftInspection, LiftVerdict
from llm_compiler.verify.side_by_side.comparison import MAY_TAKE_MORE, OTHER_CONTENTS

__all__ = ["guesses_of", "has_own_doubt", "leaves_open", "rank_of"]

_PASSES_UNDEFINED = re.compile(r"^.* call .*[( ]undef[,)]", re.MULTILINE)
_CALL = re.compile(r"^ .* call .*@.*$", re.MULTILINE)
_OBJECT = re.compile(r"^ +%\S+ = alloca ", re.MULTILINE)


def leaves_open(inspection: LiftInspection, result: Execution) -> bool:
    """Whether an answer may lack a result, arguments or a part of an object on the stack.

    To return what is left in the register does no harm, nor does an object that is too large; in
    one that is too small, what is read of the rest is not defined.
    """
    if result.verdict is not LiftVerdict.UNPROVED:
        return False
    is_lacking = has_own_doubt(result) or _PASSES_UNDEFINED.search(inspection.text)
    return not inspection.signature.results or bool(is_lacking)


def has_own_doubt(result: Execution) -> bool:
    """Whether a doubt is this answer's: another that gets the same inputs may be free of it."""
    return MAY_TAKE_MORE in result.reason or OTHER_CONTENTS in result.reason


def guesses_of(inspection: LiftInspection) -> tuple[int, int]:
    """Return a key that is less for an answer that guesses less of what code does not show.

    Where objects of the frame end is guessed: one is sound. So is what calls read: to pass all that
    registers hold is sound.
    """
    calls = _CALL.findall(inspection.text)
    return len(_OBJECT.findall(inspection.text)), -sum(call.count(",") for call in calls)


def rank_of(inspection: LiftInspection, result: Execution) -> tuple[int, bool]:
    """Return a key that is least for the best answer."""
    return result.verdict.rank, leaves_open(inspection, result)
