"""What ``LLM_CC_EFFORT=fast`` tries of a unit: few recipes, each worth what it costs.

A build pays for every try, so that these are not the coreset's first, which save most, but those
that save most for their seconds (`benchmarks/fast_lists.py`, docs/experiments). None has a pass
whose result differs from run to run (``gvn-sink`` and ``gvn-hoist`` order by addresses): a build
must be reproducible. The second is there for code that is the same many times, as inline functions,
templates and C's own by macros are: on most C it brings nothing for a fifth of the seconds, and of
brotli it saves 8 % of what is linked. All have verdicts, plainly and under the coreset's settings.
"""

from __future__ import annotations

from dataclasses import replace

from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.search.coreset import Coreset, Pick

__all__ = ["FAST_LISTS", "fast_coreset"]

FAST_LISTS = (
    "function(early-cse<memssa>),function(mem2reg),function(loop-mssa(licm)),"
    "function(jump-threading),function(instcombine<no-verify-fixpoint>),function(mem2reg),"
    "function(jump-threading),iroutliner,iroutliner,iroutliner,function(break-crit-edges),"
    "lto<Oz>,function(loop(loop-reduce)),function(mergereturn)",
    "lto<O2>,mergefunc",
    "function(loop(loop-rotate)),function(aggressive-instcombine),function(reassociate),"
    "ipsccp<func-spec>,function(sroa<modify-cfg>),function(gvn<no-pre;no-load-pre>),"
    "cgscc(inline),function(jump-threading),function(gvn<no-pre;no-load-pre>),"
    "function(mem2reg)",
    "function(instcombine<no-verify-fixpoint>),function(early-cse<memssa>),"
    "function(jump-threading),function(mem2reg)",
)
"""In the order in which they are tried, after default<Oz> under the settings of the coreset."""


def fast_coreset(shipped: Coreset) -> Coreset:
    """Return a coreset of the fast lists, with the settings of the shipped one."""
    picks = tuple(
        Pick(passes=parse_pass_list(text), geomean_gain=0.0, total_gain=0.0, num_best=0)
        for text in FAST_LISTS
    )
    return replace(shipped, picks=picks, extras={})
