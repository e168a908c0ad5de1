"""What each LLVM calls the pipelines that have a level: the one place that knows.

Recipes and their verdicts say ``default<Oz>`` (`records.OZ`), ``lto<Oz>`` and the like, as LLVM 17
to 22 do. LLVM 23 refuses the two levels of size, since the functions say what they are for: of code
with ``minsize``, O2 is what Oz was. Every module that recipes start from carries that. Whoever
hands a pipeline to LLVM, in process or as text for ``opt``, asks here. Pure; loads no LLVM.
"""

from __future__ import annotations

import re

__all__ = ["LAST_WITH_SIZE_LEVELS", "pipeline_for"]

LAST_WITH_SIZE_LEVELS = 22
_SIZE_LEVEL = re.compile(r"<O[sz](?=[>;])")


def pipeline_for(pipeline: str, major: int) -> str:
    """Return a pipeline as an LLVM of a major version reads it.

    >>> pipeline_for("function(sroa),default<Oz>,lto<Os>", 23)
    'function(sroa),default<O2>,lto<O2>'
    >>> pipeline_for("default<Oz>", 22)
    'default<Oz>'
    """
    return pipeline if major <= LAST_WITH_SIZE_LEVELS else _SIZE_LEVEL.sub("<O2", pipeline)
