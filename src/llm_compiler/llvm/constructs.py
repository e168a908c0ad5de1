"""What a module is made of that passes are known to get wrong, or that nobody has tried.

A *construct* is something that few modules contain and that a pass must respect: a function that
returns twice, a coroutine that is not split yet, a calling convention. `constructs_of` names those
of a module, read from its text. Each is either *covered*, that is, self-testing programs of
PassListEval's suite contain it (`programs`), or not: no evidence says that a pass list keeps such a
module's meaning, so clang -Oz's object stands. What appears in none of the tables below
(an intrinsic, a function attribute, an operand bundle that LLVM gains later) is not covered either.
Which passes are refused for which construct says `llvm.refusals`.

Pure functions over text; no LLVM is loaded. Safe in threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["CONSTRUCTS", "Construct", "constructs_of", "describe", "uncovered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Construct:
    """One construct; `name` is how refusals and messages call it."""

    name: str
    words: str
    """For messages: "the module has ..."."""
    token: str = ""
    """A regular expression that a whole word of the module's text matches."""
    attribute: str = ""
    """The same for an attribute of a function, strings without their quotes."""
    text: str = ""
    """A regular expression over the text. It begins with letters, for speed."""
    programs: tuple[str, ...] = ()
    """Programs of the built-in suite that contain it, on both targets; none: it is not covered."""

    @property
    def covered(self) -> bool:
        """Whether any self-testing program contains it."""
        return bool(self.programs)


MIXED_TARGETS = "mixed-targets"
"""Seen by comparing the functions' attributes."""

CONSTRUCTS: tuple[Construct, ...] = (
    # -- covered by programs -----------------------------------------------------------------
    Construct(
        name="returns-twice",
        words="calls of functions that return twice (setjmp, vfork, getcontext)",
        token="@(?:_?setjmp|(?:__)?sigsetjmp|savectx|(?:__)?vfork|getcontext)",
        attribute="returns_twice",
        programs=("context_switches", "setjmp_cleanup", "setjmp_in_loops", "vfork_in_loop"),
    ),
    Construct(
        name="coroutine",
        words="coroutines that are not split yet",
        token=r"@llvm\.coro\..*",
        attribute="presplitcoroutine",
        programs=("coroutine_generators", "coroutine_tasks"),
    ),
    Construct(
        name="expected-probability",
        words="branches with a stated probability",
        token=r"@llvm\.expect\.with\.probability\..*",
        programs=("cold_paths",),
    ),
    Construct(
        name="musttail",
        words="calls that must be tail calls",
        token="musttail",
        programs=("musttail_calls",),
    ),
    Construct(
        name="asm-goto",
        words="inline assembly that jumps (callbr)",
        token="callbr",
        programs=("asm_goto_flow",),
    ),
    Construct(
        name="naked", words="naked functions", attribute="naked", programs=("asm_goto_flow",)
    ),
    Construct(
        name="module-assembly",
        words="assembly at the level of the module",
        text='module asm "',
        programs=("asm_goto_flow",),
    ),
    Construct(
        name="block-address",
        words="addresses of blocks (computed goto)",
        token="blockaddress|indirectbr",
        programs=("computed_goto_vm",),
    ),
    Construct(
        name="optimiser-barrier",
        words="functions that must not be optimised, copied or moved",
        attribute="optnone|noduplicate|convergent|nomerge",
        programs=("optimiser_barriers",),
    ),
    Construct(
        name="calling-convention",
        words="calling conventions besides C's",
        token="preserve_mostcc|preserve_allcc|x86_vectorcallcc|x86_regcallcc|win64cc"
        "|x86_64_sysvcc|swiftcc|aarch64_vector_pcs|swiftself|swifterror",
        programs=("calling_conventions",),
    ),
    Construct(
        name="indirect-function",
        words="functions chosen at load time (ifunc)",
        token="ifunc",
        programs=("constructors_in_order",),
    ),
    Construct(
        name="constructor",
        words="constructors or destructors of the module",
        token=r"@llvm\.global_[cd]tors",
        programs=("constructors_in_order", "static_init_order"),
    ),
    Construct(
        name="thread-local",
        words="thread-local variables",
        token="thread_local",
        programs=("coroutine_tasks", "thread_cancellation", "atomics_threads"),
    ),
    Construct(
        name="strict-floating-point",
        words="floating point whose environment counts",
        token=r"@llvm\.experimental\.constrained\..*",
        attribute="strictfp",
        programs=("floating_point_environment",),
    ),
    Construct(
        name="null-is-valid",
        words="null pointers that may be valid",
        attribute="null_pointer_is_valid",
        programs=("null_pointer_is_valid",),
    ),
    Construct(
        name="extended-floating-point",
        words="floating point of other widths than 32 and 64 bits",
        token="half|x86_fp80|fp128",
        programs=("wide_and_half_floats", "complex_numbers"),
    ),
    Construct(
        name="odd-width-integer",
        words="integers of other widths than C's",
        token=r"i(?!(?:1|8|16|32|64|128)$)(?:\d\d?|1[01]\d|12[0-8])",
        programs=("bit_precise_integers",),
    ),
    Construct(
        name="target-intrinsic",
        words="instructions of the target, by intrinsics",
        token=r"@llvm\.(?:x86\.(?:sse|avx2?\.|ssse|mmx|bmi|aesni|sha|crc|pclmul|fma|f16c|vcvt)"
        r"|aarch64\.(?:neon|crypto|crc)).*",
        programs=("target_vectors",),
    ),
    Construct(
        name="assumption",
        words="assumptions",
        token=r"@llvm\.assume",
        programs=("assume_bundles",),
    ),
    Construct(
        name="dynamic-alloca",
        words="memory of the stack that is asked for at run time",
        token=r"@llvm\.stack(?:save|restore).*",
        text=r"= alloca [^\n]*, i\d+ %",
        programs=("alloca_in_loops", "vla_and_alloca"),
    ),
    Construct(
        name="frame-introspection",
        words="questions about the function's own frame (__builtin_return_address)",
        token=r"@llvm\.(?:returnaddress|frameaddress|addressofreturnaddress|sponentry"
        r"|get\.dynamic\.area\.offset).*",
        programs=("frames_and_callers",),
    ),
    Construct(
        name=MIXED_TARGETS,
        words="functions for different features of the processor",
        programs=("function_targets",),
    ),
    # -- not covered: clang -Oz's object stands ----------------------------------------------
    Construct(name="builtin-setjmp", words="__builtin_setjmp", token=r"@llvm\.eh\.sjlj\..*"),
    Construct(
        name="funclet",
        words="exception handling of Windows",
        token="catchswitch|catchpad|cleanuppad|catchret|cleanupret",
    ),
    Construct(
        name="garbage-collection",
        words="garbage collection",
        token=r"@llvm\.experimental\.gc\..*|@llvm\.gc(?:root|read|write)",
        text=' gc "',
    ),
    Construct(
        name="foreign-convention",
        words="a calling convention that no self-testing program uses",
        token="tailcc|swifttailcc|ghccc|anyregcc|preserve_nonecc|cfguard_checkcc|cxx_fast_tlscc"
        "|x86_intrcc|x86_stdcallcc|x86_fastcallcc|x86_thiscallcc|intel_ocl_bicc|graalcc"
        r"|aarch64_sve_vector_pcs|arm_\w+cc|spir_\w+|ptx_\w+|amdgpu_\w+|webkit_jscc|hhvm_?cc"
        r"|m68k_rtdcc|riscv_vector_cc|swiftasync|cc\d*",
    ),
    Construct(
        name="trampoline",
        words="trampolines of nested functions",
        token=r"@llvm\.(?:init|adjust)\.trampoline|nest",
    ),
    Construct(name="scalable-vector", words="vectors of no fixed length", token="vscale"),
    Construct(name="matrix", words="matrix types", token=r"@llvm\.matrix\..*"),
    Construct(
        name="unusual-type",
        words="a type that no self-testing program uses",
        # The last: integers wider than 128 bits.
        token=r"bfloat|ppc_fp128|x86_amx|x86_mmx|i(?:129|1[3-9]\d|[2-9]\d\d|\d{4,})",
        text=r'target\("',
    ),
    Construct(name="address-space", words="address spaces", text=r"addrspace\([1-9]"),
    Construct(
        name="unusual-parameter",
        words="parameters that no self-testing program has",
        token="inalloca|preallocated|byref",
    ),
    Construct(
        name="prefix-data",
        words="data in front of functions",
        text=" (?:prefix|prologue) [i%<\\[{]",
    ),
    Construct(
        name="foreign-personality",
        words="exceptions of another language",
        text="personality (?:ptr )?@(?!__gxx_personality_v0|__gcc_personality_v0)",
    ),
    Construct(name="openmp", words="OpenMP", token="@__kmpc_.*"),
    Construct(name="objective-c", words="Objective-C", token=r"@(?:objc_|llvm\.objc\.).*"),
    Construct(
        name="synchronisation-scope",
        words="synchronisation among some threads only",
        text=r'syncscope\((?!"singlethread")',
    ),
    Construct(
        name="instrumented",
        words="instrumentation",
        attribute="instrument-function-.*|function-instrument|patchable-function.*|xray-.*"
        "|fentry-call|split-stack|thunk|aarch64_.*",
    ),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BENIGN_ATTRIBUTES: frozenset[str] = _words(
    """
    allockind allocsize alignstack alwaysinline argmemonly builtin cold convergent
    disable_sanitizer_instrumentation hot inaccessiblememonly inaccessiblemem_or_argmemonly
    inlinehint memory minsize mustprogress naked nobuiltin nocallback nocf_check
    nocreateundeforpoison nodivergencesource noduplicate
    nofree noimplicitfloat noinline nomerge nonlazybind noprofile norecurse noredzone noreturn
    nosanitize_bounds nosanitize_coverage nosync nounwind null_pointer_is_valid optnone optsize
    presplitcoroutine readnone readonly returns_twice skipprofile speculatable ssp sspreq sspstrong
    strictfp uwtable willreturn writeonly
    """
)
"""Function attributes that covered constructs are made of, or that only tell passes more."""

_STRING_ATTRIBUTES = frozenset(["objc_arc_inert", "thunk", "nooutline"])
"""Those without a hyphen; unknown attributes in quotes tell the code generator something."""
_KNOWN_INTRINSICS = re.compile(
    r"(?:abs|acos|addressofreturnaddress|annotation|asin|assume|atan2?|bitreverse|bswap"
    r"|canonicalize|ceil|compiler\.used|copysign|cosh?|ctlz|ctpop|cttz|debugtrap|donothing"
    r"|eh\.typeid\.for|exp|exp2|exp10|expect|expect\.with\.probability|experimental\.constrained"
    r"|experimental\.noalias\.scope\.decl|experimental\.vector|fabs|floor|fma|fmuladd"
    r"|fpto[su]i\.sat|frameaddress|frexp|fsh[lr]|get\.dynamic\.area\.offset|global_[cd]tors"
    r"|invariant|is\.constant|is\.fpclass|launder|ldexp|lifetime|l?l(?:rint|round)"
    r"|load\.relative|log|log2|log10|masked|(?:max|min)(?:imum|num)|mem(?:cpy|move|set)|modf"
    r"|nearbyint|objectsize|powi?|prefetch|ptr\.annotation|ptrmask|readcyclecounter"
    r"|returnaddress|rint|round|roundeven|[su](?:add|sub|mul)\.with\.overflow"
    r"|[su](?:add|sub|shl)\.sat|sideeffect|sin|sinh|sincos|sincospi|[su]?(?:max|min)|[su]cmp"
    r"|[su]mul\.fix|sponentry|sqrt|ssa\.copy|stack(?:restore|save)|strip|tanh?"
    r"|threadlocal\.address|trap|trunc|ubsantrap|used|va_(?:copy|end|start)|var\.annotation"
    r"|vector|x86|aarch64|coro|dbg|allow|type\.test|public\.type\.test)(?=\.|$)"
)
"""Intrinsics by their names after ``llvm.``, up to a dot or the end."""
_DOUBTFUL_TARGET_INTRINSICS = re.compile(
    r"x86\.(?:seh|flags|xbegin|xend|xabort|xtest|rdsspq|incsspq|wrssq|setssbsy|t[a-z]+$|amx|avx512"
    r"|xsave|xrstor|eh)|aarch64\.(?:ld[a]?xr|st[l]?xr|ld[a]?xp|st[l]?xp|sve|sme|irg|addg|gmi|stg|"
    r"subp|clrex|hint|tstart|tcommit|tcancel|ttest)"
)
_BUNDLES: frozenset[str] = _words(
    "align nonnull dereferenceable dereferenceable_or_null noundef separate_storage cold"
)
_BUNDLE = re.compile(r"[\[,] ?\"([\w.-]+)\"\(")
_ATTRIBUTE_GROUP = re.compile(r"^attributes #\d+ = \{ ([^\n]*) \}$", re.MULTILINE)
_ATTRIBUTE = re.compile(
    r"\"(?P<string>[^\"]*)\"(?:=\"[^\"]*\")?|(?P<name>[a-z_]\w*)(?:\([^()]*\)|=\S+)?"
)
_STRINGS = re.compile(
    r" c\"[^\"\n]*\"|[%@$]\"[^\"\n]*\""
    r"|asm (?:(?:sideeffect|alignstack|inteldialect) )*\"[^\"\n]*\", \"[^\"\n]*\""
    r"|\"(?:target|tune)-cpu\"=\"[^\"\n]*\""
)
"""Data, names in quotes, inline assembly, and processors (i686 is no type); the strings of other
attributes and of bundles stay."""
_TARGET_FEATURES = re.compile(r"\"target-features\"=\"([^\"]*)\"")
_TOKEN = re.compile(r"[\w.%@$-]+")
_BY_NAME = {construct.name: construct for construct in CONSTRUCTS}


@dataclass(frozen=True, slots=True)
class _Matcher:
    name: str
    token: re.Pattern[str] | None
    attribute: re.Pattern[str] | None
    text: re.Pattern[str] | None


@lru_cache(maxsize=1)
def _matchers() -> tuple[_Matcher, ...]:
    def compiled(pattern: str) -> re.Pattern[str] | None:
        return re.compile(pattern) if pattern else None

    return tuple(
        _Matcher(
            construct.name,
            compiled(construct.token),
            compiled(construct.attribute),
            compiled(construct.text),
        )
        for construct in CONSTRUCTS
    )


def constructs_of(text: str) -> tuple[str, ...]:
    """Return the names of a module's constructs, in the table's order, then unknown parts.

    An unknown part is called after what it is: ``attribute safestack``, ``intrinsic foo``.

    >>> constructs_of("declare i32 @_setjmp(ptr)")
    ('returns-twice',)
    >>> constructs_of('@text = constant [17 x i8] c"musttail call cc 1"')
    ()
    >>> constructs_of('attributes #0 = { minsize "target-cpu"="i686" }')
    ()
    """
    # Metadata stands last, and names nothing that counts here.
    end = text.find("\n!")
    bare = _STRINGS.sub(" ", text if end < 0 else text[:end])
    start = bare.find("\nattributes #")
    attributes = set(_attributes(bare if start < 0 else bare[start:]))
    tokens = {item for item in set(_TOKEN.findall(bare)) if item[0] not in "%-0123456789."}
    found: list[str] = []
    explained: set[str] = set()
    for matcher in _matchers():
        hits: set[str] = set()
        if matcher.token:
            hits = {token for token in tokens if matcher.token.fullmatch(token)}
            explained |= hits
        if (
            hits
            or (matcher.attribute and any(map(matcher.attribute.fullmatch, attributes)))
            or (matcher.text and matcher.text.search(bare))
            or (matcher.name == MIXED_TARGETS and len(set(_TARGET_FEATURES.findall(bare))) > 1)
        ):
            found.append(matcher.name)
    unknown = {f"intrinsic {name[6:]}" for name in tokens - explained if _is_doubtful(name)}
    names = {name for name in attributes if "-" not in name and name not in _STRING_ATTRIBUTES}
    unknown |= {f"attribute {name}" for name in names - _BENIGN_ATTRIBUTES}
    unknown |= {f"operand bundle {tag}" for tag in set(_BUNDLE.findall(bare)) - _BUNDLES}
    return (*found, *sorted(unknown))


def _attributes(text: str) -> Iterator[str]:
    for group in _ATTRIBUTE_GROUP.findall(text):
        for word in _ATTRIBUTE.finditer(group):
            yield word["name"] or word["string"]


def _is_doubtful(token: str) -> bool:
    if not token.startswith("@llvm."):
        return False
    name = token[6:]
    if _DOUBTFUL_TARGET_INTRINSICS.match(name):
        return True
    return _KNOWN_INTRINSICS.match(name) is None


def uncovered(constructs: Iterable[str]) -> tuple[str, ...]:
    """Return those constructs that no self-testing program contains, as words for a message."""
    return tuple(
        describe(name)
        for name in constructs
        if (known := _BY_NAME.get(name)) is None or not known.covered
    )


def describe(name: str) -> str:
    """Return what a construct is called in messages."""
    known = _BY_NAME.get(name)
    return known.words if known else f"the {name}"
