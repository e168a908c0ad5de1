"""The pass registry: what each pass of LLVM 17 to 22 is to us, and why some are left out.

A pass is *safe* here when it is meant to preserve the meaning of any valid module by itself, with
nothing to be run after it. Whether an implementation really does is PassListEval's business
(`verify`); passes that it was seen to reject are listed with the program that shows it. Data only;
which of them the LLVM found has, `available` asks LLVM itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.capi import Library

__all__ = [
    "EXCLUDED",
    "UNSTABLE",
    "Level",
    "PassEntry",
    "all_entries",
    "available",
    "entry",
    "level_of",
]


class Level(StrEnum):
    """What a pass runs on, and so which adaptors it needs in a module pipeline."""

    MODULE = "module"
    CGSCC = "cgscc"
    FUNCTION = "function"
    LOOP = "loop"
    LOOP_MSSA = "loop-mssa"

    def wrap(self, text: str) -> str:
        """Return a pass's text inside the adaptors that make it a module pipeline."""
        match self:
            case Level.MODULE:
                return text
            case Level.CGSCC:
                return f"cgscc({text})"
            case Level.FUNCTION:
                return f"function({text})"
            case _:
                return f"function({self.value}({text}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassEntry:
    """One line of the registry: a pass, with the parameters that make it an entry of its own."""

    text: str
    """As LLVM writes it: ``simplifycfg<sink-common-insts>``."""
    level: Level
    reason: str = ""
    """Why it is not used; empty: it is safe, and searches draw it."""

    @property
    def safe(self) -> bool:
        """Whether searches may draw it."""
        return not self.reason

    @property
    def element(self) -> str:
        """The canonical element of a `PassList`."""
        return self.level.wrap(self.text)


_SAFE: dict[Level, str] = {
    Level.MODULE: """
        default<O0> default<O1> default<O2> default<O3> default<Os> default<Oz>
        lto-pre-link<Oz> lto-pre-link<O2> thinlto-pre-link<Oz> thinlto-pre-link<O2> lto<Oz> lto<O2>
        always-inline annotation2metadata called-value-propagation
        canonicalize-aliases cg-profile constmerge deadargelim elim-avail-extern global-merge
        globaldce globalopt globalsplit hotcoldsplit inferattrs inliner-wrapper
        inliner-wrapper-no-mandatory-first scc-oz-module-inliner
        ipsccp ipsccp<func-spec> ipsccp<no-func-spec> iroutliner loop-extract loop-extract<single>
        mergefunc module-inline openmp-opt openmp-opt-postlink partial-inliner
        pre-isel-intrinsic-lowering recompute-globalsaa rel-lookup-table-converter
        rpo-function-attrs strip-dead-prototypes
        coro-early coro-cleanup
    """,
    Level.CGSCC: """
        argpromotion coro-split function-attrs
        function-attrs<skip-non-recursive-function-attrs> inline inline<only-mandatory>
        openmp-opt-cgscc
    """,
    Level.FUNCTION: """
        function-simplification<Oz> function-simplification<Os> function-simplification<O1>
        function-simplification<O2> function-simplification<O3>
        adce aggressive-instcombine alignment-from-assumptions assume-simplify bdce break-crit-edges
        callsite-splitting chr consthoist constraint-elimination correlated-propagation
        coro-elide dce dfa-jump-threading div-rem-pairs dse early-cse early-cse<memssa>
        expand-memcmp flatten-cfg float2int gvn gvn<no-pre> gvn<no-load-pre>
        gvn<no-pre;no-load-pre> infer-alignment
        inject-tli-mappings instcombine<no-verify-fixpoint>
        instcombine<max-iterations=2;no-verify-fixpoint>
        instsimplify interleaved-access interleaved-load-combine irce jump-threading
        jump-table-to-switch lcssa libcalls-shrinkwrap load-store-vectorizer loop-data-prefetch
        loop-distribute loop-fusion loop-load-elim loop-simplify loop-sink
        loop-unroll loop-unroll<O1> loop-unroll<O3> loop-unroll<full-unroll-max=4>
        loop-unroll<no-runtime;no-partial;no-upperbound> loop-unroll<peeling;no-runtime>
        loop-vectorize loop-vectorize<interleave-forced-only;vectorize-forced-only>
        loop-versioning lower-constant-intrinsics lower-expect lower-matrix-intrinsics lower-switch
        mem2reg memcpyopt mergeicmps mergereturn mldst-motion mldst-motion<split-footer-bb>
        move-auto-init nary-reassociate partially-inline-libcalls reassociate reg2mem
        scalarize-masked-mem-intrin scalarizer sccp select-optimize separate-const-offset-from-gep
        separate-const-offset-from-gep<lower-gep>
        simplifycfg simplifycfg<sink-common-insts> simplifycfg<hoist-common-insts>
        simplifycfg<hoist-common-insts;sink-common-insts>
        simplifycfg<switch-range-to-icmp> simplifycfg<no-switch-to-lookup>
        simplifycfg<switch-to-lookup> simplifycfg<forward-switch-cond>
        simplifycfg<no-keep-loops> simplifycfg<bonus-inst-threshold=4>
        simplifycfg<bonus-inst-threshold=0>
        simplifycfg<no-keep-loops;hoist-common-insts;sink-common-insts;switch-range-to-icmp>
        simplifycfg<forward-switch-cond;switch-range-to-icmp;switch-to-lookup;no-keep-loops;hoist-common-insts;sink-common-insts>
        sink slp-vectorizer slsr speculative-execution sroa<modify-cfg> sroa<preserve-cfg>
        tailcallelim tlshoist typepromotion vector-combine
    """,
    Level.LOOP: """
        canon-freeze indvars loop-bound-split loop-deletion loop-flatten loop-idiom
        loop-idiom-vectorize loop-instsimplify loop-interchange loop-predication loop-reduce
        loop-rotate loop-rotate<no-header-duplication> loop-rotate<header-duplication>
        loop-simplifycfg loop-unroll-and-jam loop-unroll-full loop-versioning-licm
        simple-loop-unswitch simple-loop-unswitch<nontrivial;trivial>
        simple-loop-unswitch<no-nontrivial;trivial>
    """,
    Level.LOOP_MSSA: """
        licm licm<allowspeculation> licm<no-allowspeculation> lnicm lnicm<allowspeculation>
        lnicm<no-allowspeculation>
    """,
}

# `instcombine` alone asks opt to abort where one iteration is not enough: a check for LLVM's own
# tests, which no default pipeline makes. The canonical spelling leaves it out.
_ANALYSIS = "an analysis, a printer or a check: it does not transform"
_INSTRUMENT = "instruments code: adds checks, counters or calls into a run-time library"
_DEBUG_TOOL = "a tool for testing or debugging LLVM itself"
_NEEDS_INPUT = "needs a profile, a summary or a file that is not part of the module"
_BACKEND = "a step of code generation that the code generator runs itself, or depends on"
_GC_GUARD = "lowers garbage-collection or guard intrinsics that C and C++ never contain"
_RENAMES = "changes symbols that other objects refer to"
_DEBUG_INFO = "only touches debug information, which takes no allocated bytes"
_OTHER_LANGUAGE = "only for Objective-C, HIP, DirectX or another front end"
_UNSTABLE = "its result differs from run to run: it orders by addresses (LLVM 19)"
_BROKEN = "breaks valid code, found by PassListEval with LLVM 19: {}"

# names (without parameters): level, reason
_EXCLUDED_BY_REASON: tuple[tuple[Level, str, str], ...] = (
    (Level.FUNCTION, _BROKEN.format("drops or crashes on switches"), "structurizecfg"),
    (Level.FUNCTION, _BROKEN.format("loses edges of switches and invokes"), "unify-loop-exits"),
    (Level.FUNCTION, _BROKEN.format("crashes on loops with switches"), "fix-irreducible"),
    (Level.MODULE, _BROKEN.format("a sorting program no longer ends"), "attributor"),
    (Level.CGSCC, _BROKEN.format("a base64 program gives wrong results"), "attributor-cgscc"),
    (Level.MODULE, _BROKEN.format("crashes in front of default<Oz>"), "attributor-light"),
    (Level.CGSCC, _BROKEN.format("crashes in front of default<Oz>"), "attributor-light-cgscc"),
    (Level.FUNCTION, _UNSTABLE, "gvn-hoist gvn-sink newgvn"),
    (Level.FUNCTION, "makes atomic operations plain ones: threads break", "lower-atomic"),
    (Level.FUNCTION, "turns every invoke into a call: exceptions are not caught", "lower-invoke"),
    (Level.FUNCTION, "adds assumptions for other passes and never shrinks code", "assume-builder"),
    (Level.MODULE, "changes the ABI of variadic functions", "expand-variadics"),
    (Level.MODULE, "obeys command-line options only", "forceattrs pgo-force-function-attrs"),
    (
        Level.MODULE,
        "assumes that the module is the whole program",
        "internalize wholeprogramdevirt lowertypetests cross-dso-cfi",
    ),
    (Level.MODULE, _RENAMES, "metarenamer rewrite-symbols name-anon-globals extract-blocks strip"),
    (
        Level.MODULE,
        _BACKEND,
        "lower-emutls lower-global-dtors lower-ifunc shadow-stack-gc-lowering embed-bitcode",
    ),
    (
        Level.FUNCTION,
        _BACKEND,
        """atomic-expand callbr-prepare codegenprepare dwarf-eh-prepare expand-large-div-rem
        expand-large-fp-convert expand-fp expand-ir-insts expand-reductions gc-lowering
        hardware-loops indirectbr-expand infer-address-spaces sjlj-eh-prepare safe-stack
        stack-protector win-eh-prepare cfguard kcfi wasm-eh-prepare complex-deinterleaving
        replace-with-veclib""",
    ),
    (
        Level.FUNCTION,
        _GC_GUARD,
        """guard-widening lower-guard-intrinsic lower-widenable-condition make-guards-explicit
        place-safepoints strip-gc-relocates lower-allow-check""",
    ),
    (Level.MODULE, _GC_GUARD, "rewrite-statepoints-for-gc"),
    (
        Level.MODULE,
        _INSTRUMENT,
        """asan dfsan hwasan msan nsan rtsan tsan-module sancov-module sanmd-module memprof-module
        insert-gcov-profiling instrprof pgo-instr-gen instrorderfile jmc-instrumenter
        poison-checking pseudo-probe pseudo-probe-update ctx-instr-lower tysan ctx-prof-flatten""",
    ),
    (
        Level.FUNCTION,
        _INSTRUMENT,
        """bounds-checking ee-instrument memprof tsan count-visits add-discriminators
        pgo-memop-opt""",
    ),
    (
        Level.MODULE,
        _NEEDS_INPUT,
        """function-import pgo-icall-prom pgo-instr-use sample-profile memprof-use
        memprof-context-disambiguation inliner-ml-advisor-release synthetic-counts-propagation
        thinlto""",
    ),
    (
        Level.MODULE,
        _ANALYSIS,
        """verify print print-callgraph print-callgraph-sccs print-ir-similarity print-lcg
        print-lcg-dot print-must-be-executed-contexts print-profile-summary print-stack-safety
        dot-callgraph view-callgraph no-op-module""",
    ),
    (
        Level.FUNCTION,
        _ANALYSIS,
        """aa-eval annotation-remarks instcount lint pa-eval transform-warning no-op-function
        invalidate require""",
    ),
    (Level.LOOP, _ANALYSIS, "no-op-loop no-op-loopnest"),
    (Level.CGSCC, _ANALYSIS, "no-op-cgscc"),
    (Level.MODULE, _DEBUG_TOOL, "check-debugify debugify trigger-crash-module"),
    (Level.FUNCTION, _DEBUG_TOOL, "helloworld instnamer trigger-crash-function"),
    (
        Level.MODULE,
        _DEBUG_INFO,
        """strip-dead-debug-info strip-debug-declare strip-nondebug
        strip-nonlinetable-debuginfo""",
    ),
    (Level.FUNCTION, _DEBUG_INFO, "declare-to-assign redundant-dbg-inst-elim"),
    (
        Level.MODULE,
        _OTHER_LANGUAGE,
        """dxil-upgrade hipstdpar-interpose-alloc hipstdpar-select-accelerator-code
        objc-arc-apelim""",
    ),
    (Level.FUNCTION, _OTHER_LANGUAGE, "objc-arc objc-arc-contract objc-arc-expand"),
)

UNSTABLE: tuple[tuple[str, str], ...] = (("loop-extract", "iroutliner"),)
"""Passes that a list must not hold both of: its result differs from run to run (LLVM 19)."""

_DEFAULT_PIPELINES = ("default", "lto", "lto-pre-link", "thinlto", "thinlto-pre-link")


def base_name(text: str) -> str:
    """Return a pass's name without its parameters."""
    return text.split("<", 1)[0]


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, PassEntry], dict[str, PassEntry]]:
    safe = {
        text: PassEntry(text=text, level=level)
        for level, names in _SAFE.items()
        for text in names.split()
    }
    excluded = {
        name: PassEntry(text=name, level=level, reason=reason)
        for level, reason, names in _EXCLUDED_BY_REASON
        for name in names.split()
    }
    return safe, excluded


def all_entries() -> tuple[PassEntry, ...]:
    """Return every entry, safe ones first, each group by level and name."""
    safe, excluded = _tables()
    order = list(Level)

    def key(item: PassEntry) -> tuple[int, str]:
        return order.index(item.level), item.text

    return (*sorted(safe.values(), key=key), *sorted(excluded.values(), key=key))


EXCLUDED: frozenset[str] = frozenset(
    name for _, _, names in _EXCLUDED_BY_REASON for name in names.split()
)


def entry(text: str) -> PassEntry | None:
    """Return the entry for a pass with exactly these parameters; None if there is none."""
    safe, excluded = _tables()
    return safe.get(text) or excluded.get(base_name(text))


@lru_cache(maxsize=1)
def _levels() -> dict[str, Level]:
    safe, excluded = _tables()
    return {base_name(item.text): item.level for item in (*excluded.values(), *safe.values())}


def level_of(name: str) -> Level | None:
    """Return the level of a pass by its name without parameters; None if it is unknown."""
    return _levels().get(name)


def known_names() -> tuple[str, ...]:
    """Return every pass name of the registry, without parameters, sorted."""
    return tuple(sorted(_levels()))


def is_default_pipeline(name: str) -> bool:
    """Whether a name is one of LLVM's default pipelines rather than a single pass."""
    return name in _DEFAULT_PIPELINES


def available(library: Library) -> tuple[PassEntry, ...]:
    """Return the safe entries whose text the loaded LLVM accepts, asked on an empty module.

    Excluded passes are not asked for: some abort without the target or the file they need.
    """
    # Here, not above: only this function needs more than data.
    from llm_compiler.llvm.module import Context

    found = []
    with Context(library) as context:
        module = context.parse(b"; an empty module\n", "<probe>")
        for item in all_entries():
            if not item.safe:
                continue
            try:
                module.run_passes(item.element)
            except CompileFailed:
                continue
            found.append(item)
    return tuple(found)
