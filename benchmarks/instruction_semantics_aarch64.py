#!/usr/bin/env python3
"""The rules' semantics of AArch64 instructions, one by one, against the processor or qemu's.

    python benchmarks/instruction_semantics_aarch64.py [--states 4000] [--every 1] [--only REGEX]

As `instruction_semantics.py`, whose driver it uses: another processor, other cases. Needs a C
library for AArch64 and, on another processor, ``qemu-aarch64``. Exit code 1: a case differs.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))

from instruction_semantics import FLAGS, MEMORY, Case, check_all

from llm_compiler.disassembly.rules.aarch64 import RULES, VECTORS
from llm_compiler.disassembly.rules.aarch64.control import CONTROL
from llm_compiler.disassembly.rules.aarch64.flags import OPPOSITE

COMPARED = tuple(OPPOSITE)
NOT_TESTED = frozenset(
    # Places of symbols, threads and control: whole functions test them. Hints mean nothing.
    ["adrp", "adr", "mrs", "nop", "bti", "prfm"]
) | frozenset(CONTROL)
_LANES = re.compile(r"v\d+\.")
_TO_INTEGER = re.compile(r"fcvt[mpaz][su]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCase(Case):
    """One instruction of AArch64."""

    architecture: ClassVar[str] = "aarch64"

    def assembly(self, name: str) -> str:
        """Return the function."""
        lines = ["str x19, [sp, #-16]!", "mov x19, x0"]
        lines += ["ldp x1, x2, [x19]", "ldp x3, x4, [x19, #16]", "ldr x5, [x19, #32]"]
        lines += ["ldp q0, q1, [x19, #64]", *self.before, self.text]
        for position, condition in enumerate(self.conditions):
            lines += [f"cset w6, {condition}", f"strb w6, [x19, #{FLAGS + position}]"]
        lines += ["stp x1, x2, [x19]", "stp x3, x4, [x19, #16]", "str x5, [x19, #32]"]
        lines += ["stp q0, q1, [x19, #64]", "ldr x19, [sp], #16", "ret"]
        head = f".text\n.globl {name}\n.type {name}, @function\n{name}:\n"
        return head + "".join(f"{line}\n" for line in lines) + self.data


def _case(
    text: str,
    *,
    before: tuple[str, ...] = (),
    conditions: tuple[str, ...] = (),
    is_float: bool = False,
) -> ArmCase:
    return ArmCase(
        mnemonic=text.split(" ")[0],
        text=text,
        before=before,
        conditions=conditions,
        is_float=is_float,
    )


def cases() -> Iterator[ArmCase]:
    """Yield all cases."""
    for letter, bits in (("w", 32), ("x", 64)):
        yield from _arithmetic(letter, bits)
        yield from _fields(letter, bits)
        yield from _conditions(letter)
    yield from _products()
    yield from _memory()
    yield from _scalars()
    yield from _vectors()


def _arithmetic(letter: str, bits: int) -> Iterator[ArmCase]:
    word, two, three = (f"{letter}{number}" for number in (1, 2, 3))
    for name in ("add", "sub", "adds", "subs"):
        flags = COMPARED if name.endswith("s") else ()
        forms = [three, f"{three}, lsl #3", f"{three}, asr #5", f"{three}, lsr #{bits - 1}"]
        forms += ["#17", "#4095", "#1, lsl #12", "w3, sxtb", "w3, uxth #2", "w3, sxtw #3"]
        for form in forms:
            yield _case(f"{name} {word}, {two}, {form}", conditions=flags)
    for name in ("and", "orr", "eor", "ands", "bic", "orn", "eon", "bics"):
        flags = COMPARED if name.endswith("s") else ()
        forms = [three, f"{three}, lsl #3", f"{three}, ror #5"]
        forms += ["#0xff0", "#1"] if name in ("and", "orr", "eor", "ands") else []
        for form in forms:
            yield _case(f"{name} {word}, {two}, {form}", conditions=flags)
    for name in ("cmp", "cmn", "tst"):
        forms = [two, f"{two}, lsl #2", "#1" if name == "tst" else "#77"]
        forms += [] if name == "tst" else ["w2, uxtb", "#0"]
        for form in forms:
            yield _case(f"{name} {word}, {form}", conditions=COMPARED)
    for name in ("neg", "negs", "mvn"):
        flags = COMPARED if name == "negs" else ()
        for form in (two, f"{two}, lsl #7"):
            yield _case(f"{name} {word}, {form}", conditions=flags)
    for name in ("adc", "sbc", "adcs", "sbcs"):
        flags = ("eq", "ne", "mi", "pl", "hs", "lo") if name.endswith("s") else ()
        yield _case(
            f"{name} {word}, {two}, {three}", before=(f"cmp {word}, {two}",), conditions=flags
        )
    yield _case(f"ngc {word}, {two}", before=(f"cmp {word}, {two}",))
    for form in ("#5", "#-5", "#0x7f00", two):
        yield _case(f"mov {word}, {form}")
    yield _case(f"movz {word}, #1234, lsl #16")
    yield _case(f"movn {word}, #1234, lsl #16")
    yield _case(f"movk {word}, #4321, lsl #16")
    yield _case(f"movk {word}, #4321, lsl #16", before=(f"mov {word}, #99",))
    for name in ("mul", "mneg"):
        yield _case(f"{name} {word}, {two}, {three}")
    for name in ("madd", "msub"):
        yield _case(f"{name} {word}, {two}, {three}, {letter}4")
    for name in ("sdiv", "udiv"):
        # Division by 0 and the one quotient that is too large are undefined in IR.
        guard = (f"orr {three}, {three}, #1", f"and {two}, {two}, #{hex((1 << bits - 1) - 1)}")
        yield _case(f"{name} {word}, {two}, {three}", before=guard)


def _fields(letter: str, bits: int) -> Iterator[ArmCase]:
    word, two, three = (f"{letter}{number}" for number in (1, 2, 3))
    for name in ("lsl", "lsr", "asr", "ror"):
        for form in ("#1", f"#{bits - 1}", three):
            yield _case(f"{name} {word}, {two}, {form}")
        yield _case(f"{name}v {word}, {two}, {three}")
    yield _case(f"extr {word}, {two}, {three}, #7")
    for name in ("ubfx", "sbfx", "ubfiz", "sbfiz", "bfi", "bfxil"):
        for position, width in ((3, 5), (1, bits - 2), (9, 16)):
            yield _case(f"{name} {word}, {two}, #{position}, #{width}")
    yield _case(f"bfc {word}, #3, #5")
    names = ["sxtb", "sxth", "clz", "rbit", "rev", "rev16"]
    names += ["uxtb", "uxth"] if letter == "w" else ["rev32"]
    for name in names:
        source = "w2" if name.startswith(("sxt", "uxt")) else two
        yield _case(f"{name} {word}, {source}")
    if letter == "x":
        yield _case("sxtw x1, w2")
        yield _case("uxtw x1, w2")


def _conditions(letter: str) -> Iterator[ArmCase]:
    word, two, three = (f"{letter}{number}" for number in (1, 2, 3))
    before = (f"cmp {word}, {two}",)
    for code in COMPARED:
        yield _case(f"csel {word}, {two}, {three}, {code}", before=before)
        yield _case(f"cset {word}, {code}", before=before)
        for name in ("ccmp", "ccmn"):
            number = random.Random(code + name + letter).randrange(16)
            for form in (three, "#9"):
                yield _case(
                    f"{name} {two}, {form}, #{number}, {code}", before=before, conditions=COMPARED
                )
    for code in ("eq", "lt", "hi"):
        for name in ("csinc", "csinv", "csneg"):
            yield _case(f"{name} {word}, {two}, {three}, {code}", before=before)
        for name in ("cinc", "cinv", "cneg"):
            yield _case(f"{name} {word}, {two}, {code}", before=before)
        yield _case(f"csetm {word}, {code}", before=before)


def _products() -> Iterator[ArmCase]:
    for name in ("smulh", "umulh"):
        yield _case(f"{name} x1, x2, x3")
    for name in ("smull", "umull", "smnegl", "umnegl"):
        yield _case(f"{name} x1, w2, w3")
    for name in ("smaddl", "smsubl", "umaddl", "umsubl"):
        yield _case(f"{name} x1, w2, w3, x4")


def _memory() -> Iterator[ArmCase]:
    position = f"[x19, #{MEMORY}]"
    before = ("and x3, x3, #7", f"add x4, x19, #{MEMORY}")
    indexed = ("[x4, x3]", "[x4, w3, uxtw]", "[x4, w3, sxtw]")
    for suffix, registers in (("", "wxsdq"), ("b", "w"), ("h", "w")):
        for letter in registers:
            word = f"{letter}1" if letter in "wx" else f"{letter}0"
            shift = {"b": 0, "h": 1}.get(suffix, {"w": 2, "s": 2, "x": 3, "d": 3, "q": 4}[letter])
            for form in (position, *indexed):
                yield _case(f"ldr{suffix} {word}, {form}", before=before)
                yield _case(f"str{suffix} {word}, {form}", before=before)
            if shift:
                narrow = ("and x3, x3, #1", before[1])
                yield _case(f"ldr{suffix} {word}, [x4, x3, lsl #{shift}]", before=narrow)
                yield _case(f"str{suffix} {word}, [x4, w3, uxtw #{shift}]", before=narrow)
            for name in ("ldr", "str"):
                step = (before[1],)
                yield _case(f"{name}{suffix} {word}, [x4], #9", before=step)
                yield _case(f"{name}{suffix} {word}, [x4, #9]!", before=step)
            yield _case(f"ldur{suffix} {word}, [x4, #3]", before=before)
            yield _case(f"stur{suffix} {word}, [x4, #3]", before=before)
    for suffix, registers in (("", "wx"), ("b", "w"), ("h", "w")):
        for letter in registers:
            yield _case(f"ldar{suffix} {letter}1, [x4]", before=before[1:])
            yield _case(f"stlr{suffix} {letter}1, [x4]", before=before[1:])
    for name in ("ldrsb", "ldrsh", "ldursb", "ldursh"):
        for letter in "wx":
            yield _case(
                f"{name} {letter}1, {position.replace('96', '98') if 'u' in name else position}"
            )
    for name in ("ldrsw", "ldursw"):
        yield _case(f"{name} x1, {position}")
    for pair in ("w1, w2", "x1, x2", "s0, s1", "d0, d1", "q0, q1"):
        for name in ("ldp", "stp"):
            yield _case(f"{name} {pair}, {position}")
            yield _case(f"{name} {pair}, [x4, #16]!", before=(f"add x4, x19, #{MEMORY - 16}",))
            yield _case(f"{name} {pair}, [x4], #16", before=(before[1],))
    yield _case(f"ldpsw x1, x2, {position}")
    yield from _structures(before[1])


def _structures(sets_place: str) -> Iterator[ArmCase]:
    """Loads and stores of several vectors, whose registers follow one another."""
    for size in ("8b", "16b", "4h", "4s", "2d"):
        for step in (1, 2):
            listed = ", ".join(f"v{number}.{size}" for number in range(step))
            for name in ("ld", "st"):
                yield _case(f"{name}{step} {{ {listed} }}, [x4]", before=(sets_place,))
        both = f"{{ v0.{size}, v1.{size} }}, [x4]"
        for name in ("ld1", "st1"):
            yield _case(f"{name} {both}", before=(sets_place,))
        yield _case(f"ld1r {{ v0.{size} }}, [x4]", before=(sets_place,))
    # What a state does not hold comes from memory, or goes there.
    more = (sets_place, "ldp q2, q3, [x4]")
    for size in ("8b", "4s", "2d"):
        for step in (3, 4):
            listed = ", ".join(f"v{number}.{size}" for number in range(step))
            for name in ("ld", "st"):
                yield _case(f"{name}{step} {{ {listed} }}, [x4]", before=more)
    for name in ("ld1", "st1"):
        for lane in ("{ v0.s }[1]", "{ v1.b }[9]", "{ v0.d }[1]", "{ v1.h }[3]"):
            yield _case(f"{name} {lane}, [x4]", before=(sets_place,))
        yield _case(f"{name} {{ v0.4s }}, [x4], #16", before=(sets_place,))
        yield _case(f"{name} {{ v0.4s }}, [x4], x3", before=(sets_place,))
    for name in ("ld2", "st2"):
        yield _case(f"{name} {{ v0.s, v1.s }}[1], [x4]", before=(sets_place,))


def _scalars() -> Iterator[ArmCase]:
    for letter in "sd":
        word, two = f"{letter}0", f"{letter}1"
        names = [
            "fadd",
            "fsub",
            "fmul",
            "fdiv",
            "fnmul",
            "fabd",
            "fminnm",
            "fmaxnm",
            "fmin",
            "fmax",
        ]
        for name in names:
            yield _case(f"{name} {word}, {word}, {two}", is_float=True)
        for name in ("fmadd", "fmsub", "fnmadd", "fnmsub"):
            yield _case(f"{name} {word}, {word}, {two}, {word}", is_float=True)
        names = ["fabs", "fneg", "fsqrt", "frintm", "frintp", "frintz"]
        for name in [*names, "frinta", "frintx", "frinti", "frintn"]:
            yield _case(f"{name} {word}, {two}", is_float=True)
        for name in ("fcmp", "fcmpe"):
            for form in (two, "#0.0"):
                yield _case(f"{name} {word}, {form}", conditions=COMPARED)
        for code in COMPARED:
            yield _case(f"fcsel {word}, {word}, {two}, {code}", before=("cmp x1, x2",))
        yield _case(f"fccmp {word}, {two}, #4, lt", before=("cmp x1, x2",), conditions=COMPARED)
        for name in ("scvtf", "ucvtf"):
            for source in ("w1", "x1", word):
                yield _case(f"{name} {word}, {source}", is_float=True)
            yield _case(f"{name} {word}, w1, #15", is_float=True)
            yield _case(f"{name} {word}, x1, #3", is_float=True)
        for name in sorted(text for text in RULES if _TO_INTEGER.match(text)):
            # Numbers out of range are undefined in IR; small ones are not.
            small = ("and w1, w1, #0xffff", f"scvtf {two}, w1", f"fmov {word}, #2.5")
            divided = (*small, f"fdiv {two}, {two}, {word}")
            for target in ("w2", "x2", word):
                yield _case(f"{name} {target}, {two}", before=divided)
        for name in ("fcvtzs", "fcvtzu"):
            for target in ("w2", "x2"):
                yield _case(f"{name} {target}, {two}, #7", before=divided)
        yield _case(f"fmov {word}, #-1.25")
        yield _case(f"fmov {word}, {two}")
        yield _case(f"fmov {word}, {'w' if letter == 's' else 'x'}1")
        yield _case(f"fmov {'w' if letter == 's' else 'x'}1, {word}")
    yield _case("fcvt s0, d1", is_float=True)
    yield _case("fcvt d0, s1", is_float=True)


def _vectors() -> Iterator[ArmCase]:
    word, two = "v0.{0}", "v1.{0}"
    three = f"{word}, {word}, {two}"
    forms: list[tuple[str, str, str]] = []
    for name in ("add", "sub", "cmeq", "cmgt", "cmge", "cmhi", "cmhs"):
        forms += [(name, three, size) for size in ("16b", "4h", "8h", "4s", "2d")]
    for name in ("sqadd", "uqadd", "sqsub", "uqsub"):
        forms += [(name, three, size) for size in ("16b", "8h", "4s")]
    for name in ("cmeq", "cmgt", "cmge", "cmlt", "cmle"):
        forms += [(name, f"{word}, {two}, #0", size) for size in ("8b", "8h", "4s")]
    for name in ("mul", "mla", "mls", "smax", "smin", "umax", "umin"):
        forms += [(name, three, size) for size in ("16b", "8h", "4s", "2s")]
    for name in ("and", "orr", "eor", "bic", "orn", "bsl", "bit", "bif"):
        forms += [(name, three, size) for size in ("16b", "8b")]
    forms += [("orr", "v0.4s, #7", ""), ("bic", "v0.8h, #9, lsl #8", "")]
    for name in ("neg", "abs"):
        forms += [(name, f"{word}, {two}", size) for size in ("16b", "8h", "4s", "2d")]
    for name in ("mvn", "not", "cnt"):
        forms += [(name, f"{word}, {two}", size) for size in ("16b", "8b")]
    for name in ("shl", "ushr", "sshr"):
        forms += [(name, f"{word}, {two}, #5", size) for size in ("16b", "8h", "4s", "2d")]
    for letter in "us":
        forms += [(f"{letter}shll", "v0.8h, v1.8b, #3", ""), (f"{letter}xtl", "v0.4s, v1.4h", "")]
        forms += [(f"{letter}shll2", "v0.8h, v1.16b, #3", "")]
        forms += [(f"{letter}xtl2", "v0.2d, v1.4s", ""), (f"{letter}addlv", "h0, v1.8b", "")]
        forms += [(f"{letter}{way}v", "s0, v1.4s", "") for way in ("max", "min")]
    forms += [("xtn", "v0.8b, v1.8h", ""), ("shrn", "v0.4h, v1.4s, #7", "")]
    forms += [("addv", "s0, v1.4s", ""), ("addv", "b0, v1.8b", ""), ("addp", "d0, v1.2d", "")]
    for letter in "us":
        for name in ("shl", "abd", "aba", "maxp", "minp"):
            forms += [(f"{letter}{name}", three, size) for size in ("16b", "8h", "4s")]
        for name in ("mull", "addl", "subl", "mlal"):
            forms += [(f"{letter}{name}", "v0.8h, v0.8b, v1.8b", "")]
            forms += [(f"{letter}{name}", "v0.2d, v0.2s, v1.2s", "")]
            forms += [(f"{letter}{name}2", "v0.4s, v0.8h, v1.8h", "")]
        forms += [(f"{letter}mull", "v0.4s, v0.4h, v1.h[1]", "")]
    forms += [("addp", three, size) for size in ("16b", "8b", "4s", "2d")]
    for size in ("16b", "8b"):
        forms += [("tbl", f"v0.{size}, {{{{ v0.16b }}}}, v1.{size}", "")]
        forms += [("tbl", f"v0.{size}, {{{{ v0.16b, v1.16b }}}}, v1.{size}", "")]
    for name in ("zip1", "zip2", "uzp1", "uzp2", "trn1", "trn2"):
        forms += [(name, three, size) for size in ("16b", "4s", "2d")]
    forms += [("ext", "v0.16b, v0.16b, v1.16b, #5", ""), ("rev64", "v0.4s, v1.4s", "")]
    forms += [("rev32", "v0.16b, v1.16b", ""), ("rev16", "v0.8b, v1.8b", "")]
    forms += [("movi", "v0.4s, #5, lsl #8", ""), ("movi", "v0.2d, #0xff00ff00ff00ff00", "")]
    forms += [
        ("movi", "v0.8b, #9", ""),
        ("movi", "v0.4s, #5, msl #8", ""),
        ("movi", "d0, #0xff", ""),
    ]
    forms += [("mvni", "v0.4s, #5", ""), ("fmov", "v0.2d, #-1.5", ""), ("fmov", "v0.4s, #2.0", "")]
    forms += [("dup", "v0.16b, w1", ""), ("dup", "v0.2d, x1", ""), ("dup", "v0.4s, v1.s[2]", "")]
    forms += [
        ("mov", "v0.16b, v1.16b", ""),
        ("mov", "v0.8b, v1.8b", ""),
        ("mov", "w1, v1.s[3]", ""),
    ]
    forms += [
        ("mov", "v0.s[1], w1", ""),
        ("mov", "v0.d[1], v1.d[0]", ""),
        ("mov", "x1, v1.d[1]", ""),
    ]
    forms += [("mov", "s0, v1.s[2]", ""), ("mov", "d0, v1.d[1]", ""), ("ins", "v0.h[3], w1", "")]
    forms += [("umov", "w1, v1.b[3]", ""), ("smov", "x1, v1.h[2]", ""), ("smov", "w1, v1.b[2]", "")]
    for name, form, size in forms:
        yield _case(f"{name} {form.format(size)}")
    numbers: list[tuple[str, str]] = []
    for size in ("4s", "2s", "2d"):
        for name in ("fadd", "fsub", "fmul", "fdiv", "fmla", "fmls"):
            numbers.append((name, three.format(size)))
        for name in ("fminnm", "fmaxnm", "fmin", "fmax", "fcmeq", "fcmgt", "fcmge"):
            numbers.append((name, three.format(size)))
        for name in ("fneg", "fabs", "fsqrt", "scvtf", "ucvtf"):
            numbers.append((name, f"{word}, {two}".format(size)))
        for name in ("fcmlt", "fcmle", "fcmeq"):
            numbers.append((name, f"{word}, {two}, #0.0".format(size)))
    numbers += [("fmul", "v0.4s, v1.4s, v0.s[1]"), ("fmla", "v0.2d, v1.2d, v1.d[0]")]
    numbers += [("faddp", "v0.4s, v0.4s, v1.4s"), ("faddp", "v0.2d, v0.2d, v1.2d")]
    numbers += [("faddp", "d0, v1.2d"), ("faddp", "s0, v1.2s")]
    numbers += [("fcvtl", "v0.2d, v1.2s"), ("fcvtn", "v0.2s, v1.2d")]
    for name, form in numbers:
        yield _case(f"{name} {form}", is_float=True)
    small = ("movi v0.4s, #127, msl #8", "and v1.16b, v1.16b, v0.16b", "scvtf v1.4s, v1.4s")
    for name in ("fcvtzs", "fcvtzu"):
        yield _case(f"{name} v0.4s, v1.4s", before=small)


def untested() -> list[str]:
    """Return the mnemonics of the table that no case is of."""
    tested = {(arm_case.mnemonic, bool(_LANES.search(arm_case.text))) for arm_case in cases()}
    tables = [(name, False) for name in RULES if name not in NOT_TESTED]
    tables += [(name, True) for name in VECTORS]
    return sorted({name for name, has_lanes in tables if (name, has_lanes) not in tested})


def main() -> int:
    """Check all, and print what differs."""
    return check_all((__doc__ or "").splitlines()[0], list(cases()), untested())


if __name__ == "__main__":
    sys.exit(main())
