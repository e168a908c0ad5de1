"""What ``LLM_CC_EFFORT=fast`` tries of a unit: few recipes, each worth what it costs.

A build pays for every try, so that these are not the coreset's first, which save most, but those
that save most for their seconds (`benchmarks/fast_lists.py`, docs/experiments). None has a pass
whose result differs from run to run (``gvn-sink`` and ``gvn-hoist`` order by addresses): a build
must be reproducible. Targets that are optimised and not lifted have recipes of their own, which
come first there: those were chosen for them. `CXX_LIST` is tried on C++ alone, where inline
functions and templates are the same code many times: on C it adds 0.02 % to the rest for a fifth of
their seconds. All have verdicts, plainly and under the coreset's settings.
"""

from __future__ import annotations

from dataclasses import replace

from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.targets import lifted_targets
from llm_compiler.search.coreset import Coreset, Pick

__all__ = ["CXX_LIST", "FAST_LISTS", "fast_coreset"]

CXX_LIST = "lto<O2>,mergefunc"
FAST_LISTS = (
    "function(early-cse<memssa>),function(mem2reg),function(loop-mssa(licm)),"
    "function(jump-threading),function(instcombine<no-verify-fixpoint>),function(mem2reg),"
    "function(jump-threading),iroutliner,iroutliner,iroutliner,function(break-crit-edges),"
    "lto<Oz>,function(loop(loop-reduce)),function(mergereturn)",
    CXX_LIST,
    "function(loop(loop-rotate)),function(aggressive-instcombine),function(reassociate),"
    "ipsccp<func-spec>,function(sroa<modify-cfg>),function(gvn<no-pre;no-load-pre>),"
    "cgscc(inline),function(jump-threading),function(gvn<no-pre;no-load-pre>),"
    "function(mem2reg)",
    "function(instcombine<no-verify-fixpoint>),function(early-cse<memssa>),"
    "function(jump-threading),function(mem2reg)",
)
"""In the order in which they are tried, after default<Oz> under the settings of the coreset."""


def fast_coreset(shipped: Coreset, *, is_cxx: bool = True) -> Coreset:
    """Return a coreset of the fast lists, with the likeliest settings of the shipped one.

    Each of the settings takes a try of default<Oz>, which a list would then lack.

    Args:
        is_cxx: whether the source is C++.
    """
    picks = tuple(
        Pick(passes=parse_pass_list(text), geomean_gain=0.0, total_gain=0.0, num_best=0)
        for text in FAST_LISTS
        if is_cxx or text != CXX_LIST
    )
    likeliest = {name: settings[:1] for name, settings in shipped.settings.items()}
    lifted = {target.name for target in lifted_targets()}
    own = {name: recipes for name, recipes in shipped.extras.items() if name not in lifted}
    return replace(shipped, picks=picks, extras=own, settings=likeliest)
