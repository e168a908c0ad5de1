"""Numbers that are known on one input, and what they are on any: a value and a term beside it.

Terms are Bitwuzla's, over bit vectors, and floating-point numbers where those are computed with. A
value without a term does not depend on the input, or nobody knows how. Booleans (``i1``) have
Boolean terms.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from bitwuzla import Kind, Option, Options, RoundingMode, TermManager

__all__ = ["Crash", "Terms", "Value", "as_float", "float_bits", "signed"]

Term = Any
Value = tuple[int, Term | None]
"""A number of the type's width, without sign, and its term."""

_COMPARED = {
    "eq": Kind.EQUAL,
    "ne": Kind.DISTINCT,
    "ult": Kind.BV_ULT,
    "ule": Kind.BV_ULE,
    "ugt": Kind.BV_UGT,
    "uge": Kind.BV_UGE,
    "slt": Kind.BV_SLT,
    "sle": Kind.BV_SLE,
    "sgt": Kind.BV_SGT,
    "sge": Kind.BV_SGE,
}
_TWO = {
    "add": Kind.BV_ADD,
    "sub": Kind.BV_SUB,
    "mul": Kind.BV_MUL,
    "udiv": Kind.BV_UDIV,
    "sdiv": Kind.BV_SDIV,
    "urem": Kind.BV_UREM,
    "srem": Kind.BV_SREM,
    "shl": Kind.BV_SHL,
    "lshr": Kind.BV_SHR,
    "ashr": Kind.BV_ASHR,
    "and": Kind.BV_AND,
    "or": Kind.BV_OR,
    "xor": Kind.BV_XOR,
}
_BOOLEAN = {
    "and": Kind.AND,
    "or": Kind.OR,
    "xor": Kind.XOR,
    "add": Kind.XOR,
    "sub": Kind.XOR,
    "mul": Kind.AND,
}
_FLOAT_TWO = {"fadd": Kind.FP_ADD, "fsub": Kind.FP_SUB, "fmul": Kind.FP_MUL, "fdiv": Kind.FP_DIV}
_FORMATS = {32: (8, 24), 64: (11, 53)}
_PACKED = {32: "<f", 64: "<d"}


class Crash(Exception):
    """The program divides by zero: the run ends."""


def signed(value: int, bits: int) -> int:
    """Return a number of some bits with its sign."""
    return value - (1 << bits) if value >> (bits - 1) else value


def as_float(bits_of: int, bits: int) -> float:
    """Return the number that bits stand for; of 32 or 64."""
    number: float = struct.unpack(_PACKED[bits], bits_of.to_bytes(bits // 8, "little"))[0]
    return number


def float_bits(number: float, bits: int) -> int:
    """Return a number's bits, rounded to 32 or 64."""
    try:
        return int.from_bytes(struct.pack(_PACKED[bits], number), "little")
    except OverflowError:
        return float_bits(math.copysign(math.inf, number), bits)


def _compare(predicate: str, left: int, right: int, bits: int) -> bool:
    if predicate[0] == "s":
        left, right = signed(left, bits), signed(right, bits)
    match predicate:
        case "eq":
            return left == right
        case "ne":
            return left != right
        case "ult" | "slt":
            return left < right
        case "ule" | "sle":
            return left <= right
        case "ugt" | "sgt":
            return left > right
    return left >= right


def _operate(operation: str, left: int, right: int, bits: int) -> int:
    mask = (1 << bits) - 1
    match operation:
        case "add":
            return (left + right) & mask
        case "sub":
            return (left - right) & mask
        case "mul":
            return (left * right) & mask
        case "and":
            return left & right
        case "or":
            return left | right
        case "xor":
            return left ^ right
        case "shl":
            return (left << right) & mask if right < bits else 0
        case "lshr":
            return left >> right if right < bits else 0
        case "ashr":
            return (signed(left, bits) >> min(right, bits - 1)) & mask
    if not right:
        raise Crash
    if operation in ("udiv", "urem"):
        return left // right if operation == "udiv" else left % right
    a, b = signed(left, bits), signed(right, bits)
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return (quotient if operation == "sdiv" else a - b * quotient) & mask


def _operate_on_floats(operation: str, left: float, right: float) -> float:
    try:
        match operation:
            case "fadd":
                return left + right
            case "fsub":
                return left - right
            case "fmul":
                return left * right
            case "fdiv":
                return left / right
        return math.fmod(left, right)
    except ZeroDivisionError:
        return (
            math.nan
            if not left or math.isnan(left)
            else math.copysign(math.inf, left) * (math.copysign(1.0, right))
        )
    except (ValueError, OverflowError):
        return math.nan


class Terms:
    """Makes terms, and values with them; one for all runs of a function."""

    def __init__(self, query_ms: int) -> None:
        """Make none yet.

        Args:
            query_ms: after which a question counts as not answered.
        """
        self.manager = TermManager()
        self.options = Options()
        self.options.set(Option.PRODUCE_MODELS, True)
        self.options.set(Option.TIME_LIMIT_PER, query_ms)
        self._variables: dict[tuple[str, int], Term] = {}
        self.names: dict[Term, tuple[str, int]] = {}
        """Of the input's words, by their variables: the part, and the number in it."""
        self._words_of_floats: dict[Term, Term] = {}
        self._used: dict[Term, frozenset[Term]] = {}
        self._rounding = self.manager.mk_rm_value(RoundingMode.RNE)
        self._to_zero = self.manager.mk_rm_value(RoundingMode.RTZ)
        self.sort = lru_cache(self.manager.mk_bv_sort)
        self.constant: Callable[[int, int], Term] = lru_cache(4096)(
            lambda value, bits: self.manager.mk_bv_value(self.sort(bits), value)
        )
        self.yes, self.no = self.manager.mk_true(), self.manager.mk_false()

    # -- leaves ------------------------------------------------------------------------------------

    def word(self, part: str, number: int) -> Term:
        """Return the variable of a word of the input, 64 bits."""
        key = part, number
        if key not in self._variables:
            made = self.manager.mk_const(self.sort(64), f"{part}:{number}")
            self._variables[key] = made
            self.names[made] = key
        return self._variables[key]

    def variables_of(self, term: Term) -> frozenset[Term]:
        """Return the variables that a term is made of."""
        pending = [term]
        while pending:
            last = pending[-1]
            if last in self._used:
                pending.pop()
                continue
            children = last.children()
            missing = [child for child in children if child not in self._used]
            if missing:
                pending.extend(missing)
                continue
            if last in self.names:
                self._used[last] = frozenset((last,))
            else:
                self._used[last] = frozenset().union(*(self._used[child] for child in children))
            pending.pop()
        return self._used[term]

    def of(self, value: Value, bits: int) -> Term:
        """Return a value's term, or its constant."""
        known, term = value
        if term is not None:
            return term
        if bits == 1:
            return self.yes if known else self.no
        return self.constant(known, bits)

    def make(self, kind: Kind, terms: list[Term], indices: list[int] | None = None) -> Term:
        """Return a term of others."""
        return (
            self.manager.mk_term(kind, terms, indices)
            if indices
            else self.manager.mk_term(kind, terms)
        )

    # -- integers ----------------------------------------------------------------------------------

    def operate(self, operation: str, left: Value, right: Value, bits: int) -> Value:
        """Return the result of a binary operation on integers.

        Raises:
            Crash: a division by zero.
        """
        known = _operate(operation, left[0], right[0], bits)
        if left[1] is None and right[1] is None:
            return known, None
        kinds = _BOOLEAN if bits == 1 else _TWO
        if operation not in kinds:
            return known, None
        return known, self.make(kinds[operation], [self.of(left, bits), self.of(right, bits)])

    def compare(self, predicate: str, left: Value, right: Value, bits: int) -> Value:
        """Return what a comparison of integers gives."""
        known = int(_compare(predicate, left[0], right[0], bits))
        if left[1] is None and right[1] is None:
            return known, None
        if bits == 1 and predicate not in ("eq", "ne"):
            return known, None
        terms = [self.of(left, bits), self.of(right, bits)]
        return known, self.make(_COMPARED[predicate], terms)

    def choose(self, condition: Value, yes: Value, no: Value, bits: int) -> Value:
        """Return one of two integers."""
        known = yes[0] if condition[0] else no[0]
        if condition[1] is None:
            return yes if condition[0] else no
        return known, self.make(Kind.ITE, [condition[1], self.of(yes, bits), self.of(no, bits)])

    def resized(self, operation: str, value: Value, bits: int, wanted: int) -> Value:
        """Return an integer of another width: ``trunc``, ``zext``, ``sext``."""
        known, term = value
        if operation == "sext":
            known = signed(known, bits) & ((1 << wanted) - 1)
        else:
            known &= (1 << wanted) - 1
        if term is None or bits == wanted:
            return known, term
        if wanted < bits:
            if wanted == 1:
                low = self.make(Kind.BV_EXTRACT, [term], [0, 0])
                return known, self.make(Kind.EQUAL, [low, self.constant(1, 1)])
            return known, self.make(Kind.BV_EXTRACT, [term], [wanted - 1, 0])
        if bits == 1:
            ones = (1 << wanted) - 1 if operation == "sext" else 1
            terms = [term, self.constant(ones, wanted), self.constant(0, wanted)]
            return known, self.make(Kind.ITE, terms)
        kind = Kind.BV_SIGN_EXTEND if operation == "sext" else Kind.BV_ZERO_EXTEND
        return known, self.make(kind, [term], [wanted - bits])

    def part(self, term: Term, high: int, low: int) -> Term:
        """Return some bits of a term."""
        return self.make(Kind.BV_EXTRACT, [term], [high, low])

    def joined(self, terms: list[Term]) -> Term:
        """Return terms in one, the highest first."""
        return terms[0] if len(terms) == 1 else self.make(Kind.BV_CONCAT, terms)

    # -- floating-point numbers --------------------------------------------------------------------

    def float_of(self, value: Value, bits: int) -> Value:
        """Return an integer's bits as a number."""
        known, term = value
        if term is None or bits not in _FORMATS:
            return known, None
        made = self.make(Kind.FP_TO_FP_FROM_BV, [term], list(_FORMATS[bits]))
        self._words_of_floats[made] = term
        return known, made

    def bits_of(self, value: Value) -> Value:
        """Return a number's bits as an integer; computed ones have no term."""
        known, term = value
        return known, None if term is None else self._words_of_floats.get(term)

    def _float(self, value: Value, bits: int) -> Term:
        if value[1] is not None:
            return value[1]
        word = self.constant(value[0], bits)
        return self.make(Kind.FP_TO_FP_FROM_BV, [word], list(_FORMATS[bits]))

    def operate_on_floats(self, operation: str, left: Value, right: Value, bits: int) -> Value:
        """Return the result of a binary operation on numbers of 32 or 64 bits."""
        a, b = as_float(left[0], bits), as_float(right[0], bits)
        known = float_bits(_operate_on_floats(operation, a, b), bits)
        if (left[1] is None and right[1] is None) or operation not in _FLOAT_TWO:
            return known, None
        terms = [self._rounding, self._float(left, bits), self._float(right, bits)]
        return known, self.make(_FLOAT_TWO[operation], terms)

    def of_number(self, function: str, values: Sequence[Value], bits: int) -> Term | None:
        """Return the term of a function of numbers: ``fabs``, ``sqrt``, ``fma``, ``fmuladd``."""
        if all(term is None for _, term in values):
            return None
        numbers = [self._float(value, bits) for value in values]
        if function == "fabs":
            return self.make(Kind.FP_ABS, numbers)
        if function == "sqrt":
            return self.make(Kind.FP_SQRT, [self._rounding, *numbers])
        if function in ("fma", "fmuladd"):
            # Rounded once or twice: which decides nothing that is solved for.
            return self.make(Kind.FP_FMA, [self._rounding, *numbers])
        return None

    def compare_floats(self, predicate: str, left: Value, right: Value, bits: int) -> Value:
        """Return what a comparison of numbers gives."""
        a, b = as_float(left[0], bits), as_float(right[0], bits)
        is_nan = math.isnan(a) or math.isnan(b)
        plain = {
            "eq": a == b,
            "ne": a != b,
            "lt": a < b,
            "le": a <= b,
            "gt": a > b,
            "ge": a >= b,
            "rd": True,
            "no": False,
        }
        if predicate in ("true", "false"):
            return int(predicate == "true"), None
        if predicate == "ord":
            known = not is_nan
        elif predicate == "uno":
            known = is_nan
        else:
            known = (predicate[0] == "u" and is_nan) or (
                plain[predicate[1:]] and not (predicate[0] == "o" and is_nan)
            )
        if left[1] is None and right[1] is None:
            return int(known), None
        x, y = self._float(left, bits), self._float(right, bits)
        unordered = self.make(
            Kind.OR, [self.make(Kind.FP_IS_NAN, [x]), self.make(Kind.FP_IS_NAN, [y])]
        )
        if predicate in ("ord", "uno"):
            return int(known), unordered if predicate == "uno" else self.negated(unordered)
        kinds = {
            "eq": Kind.FP_EQUAL,
            "lt": Kind.FP_LT,
            "le": Kind.FP_LEQ,
            "gt": Kind.FP_GT,
            "ge": Kind.FP_GEQ,
        }
        if predicate[1:] == "ne":
            term = self.negated(self.make(Kind.OR, [self.make(Kind.FP_EQUAL, [x, y]), unordered]))
        else:
            term = self.make(kinds[predicate[1:]], [x, y])
        if predicate[0] == "u":
            term = self.make(Kind.OR, [term, unordered])
        return int(known), term

    def converted(self, operation: str, value: Value, bits: int, wanted: int) -> Value:
        """Return a number as another one: to and from integers, and between formats."""
        known, term = value
        if operation in ("fpext", "fptrunc"):
            result = float_bits(as_float(known, bits), wanted)
            if term is None:
                return result, None
            made = self.make(Kind.FP_TO_FP_FROM_FP, [self._rounding, term], list(_FORMATS[wanted]))
            return result, made
        if operation in ("sitofp", "uitofp"):
            number = signed(known, bits) if operation == "sitofp" else known
            result = float_bits(float(number), wanted)
            if term is None or bits == 1:
                return result, None
            kind = Kind.FP_TO_FP_FROM_SBV if operation == "sitofp" else Kind.FP_TO_FP_FROM_UBV
            return result, self.make(kind, [self._rounding, term], list(_FORMATS[wanted]))
        exact = as_float(known, bits)
        if math.isnan(exact) or math.isinf(exact):
            return 1 << (wanted - 1), None
        result = int(exact) & ((1 << wanted) - 1)
        if term is None:
            return result, None
        kind = Kind.FP_TO_SBV if operation == "fptosi" else Kind.FP_TO_UBV
        return result, self.make(kind, [self._to_zero, term], [wanted])

    def either(self, left: Term, right: Term) -> Term:
        """Return whether one of two Boolean terms holds."""
        return self.make(Kind.OR, [left, right])

    def negated(self, term: Term) -> Term:
        """Return the opposite of a Boolean term."""
        return self.make(Kind.NOT, [term])
