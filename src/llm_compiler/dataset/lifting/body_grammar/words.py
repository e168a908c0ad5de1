"""The words of LLVM-IR that bodies in short form are made of."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARGUMENT_WORDS",
    "CALLS",
    "CASTS",
    "CONSTANTS",
    "CONVENTIONS",
    "DEFINING",
    "EXPRESSIONS",
    "FLAGS",
    "FLOATS",
    "FLOAT_OPS",
    "FLOAT_PREDICATES",
    "INTEGER_OPS",
    "INTEGER_PREDICATES",
    "ORDERINGS",
    "RESULT_WORDS",
    "RMW",
    "SCALARS",
    "TAILS",
    "TERMINATORS",
    "TO_FLOAT",
    "TO_INTEGER",
    "TYPED_WORDS",
    "VOID",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


INTEGER_OPS: Final = _words("add sub mul udiv sdiv urem srem shl lshr ashr and or xor")
FLOAT_OPS: Final = _words("fadd fsub fmul fdiv frem")
CASTS: Final = _words(
    "trunc zext sext fptrunc fpext fptoui fptosi uitofp sitofp ptrtoint inttoptr bitcast"
)
TO_FLOAT: Final = frozenset(("fneg", "fptrunc", "fpext", "uitofp", "sitofp"))
TO_INTEGER: Final = frozenset(("trunc", "zext", "sext", "fptoui", "fptosi", "ptrtoint"))
DEFINING: Final = (
    INTEGER_OPS
    | FLOAT_OPS
    | CASTS
    | _words(
        "fneg icmp fcmp load getelementptr alloca phi select freeze extractvalue insertvalue "
        "extractelement insertelement shufflevector va_arg cmpxchg atomicrmw landingpad"
    )
)
CALLS: Final = frozenset(("call", "tail", "musttail", "notail", "invoke"))
TERMINATORS: Final = frozenset(("ret", "br", "switch", "unreachable", "indirectbr", "resume"))
VOID: Final = TERMINATORS | frozenset(("store", "fence"))
FLAGS: Final = _words(
    "nuw nsw exact nneg disjoint inbounds nusw samesign nnan ninf nsz arcp contract afn "
    "reassoc fast"
)
INTEGER_PREDICATES: Final = _words("eq ne ugt uge ult ule sgt sge slt sle")
FLOAT_PREDICATES: Final = _words(
    "false oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno true"
)
ORDERINGS: Final = _words("unordered monotonic acquire release acq_rel seq_cst")
RMW: Final = _words(
    "xchg add sub and nand or xor max min umax umin fadd fsub fmax fmin uinc_wrap udec_wrap "
    "usub_cond usub_sat"
)
SCALARS: Final = ("half", "bfloat", "float", "double", "x86_fp80", "fp128", "ptr")
FLOATS: Final = frozenset(SCALARS[:-1])
CONVENTIONS: Final = _words("fastcc coldcc tailcc preserve_mostcc preserve_allcc")
RESULT_WORDS: Final = frozenset(("zeroext", "signext", "inreg"))
ARGUMENT_WORDS: Final = _words("zeroext signext inreg nest swiftself swifterror swiftasync")
TYPED_WORDS: Final = frozenset(("sret", "byval"))
TAILS: Final = frozenset(("cold", "returns_twice"))
CONSTANTS: Final = frozenset(("undef", "poison", "zeroinitializer"))
EXPRESSIONS: Final = _words(
    "getelementptr ptrtoint inttoptr trunc add sub mul shl xor bitcast addrspacecast splat "
    "blockaddress dso_local_equivalent no_cfi"
)
