#!/usr/bin/env python3
"""The rules' semantics of x86-64 instructions, one by one, against the processor.

    python benchmarks/instruction_semantics.py [--states 4000] [--every 1] [--only REGEX]

Each case is a function that loads registers from a block of memory, runs an instruction (some with
one in front that keeps operands in their domain), and writes registers, memory and the flags that
the instruction defines back. It is assembled as it is, and lifted and lowered; a driver runs both
on the same random states and compares all bytes. Exit code 1: a case differs.
"""

from __future__ import annotations

import argparse
import platform
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.disassembly.rules.code import Unliftable, parse_code
from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.emit import emit
from llm_compiler.disassembly.rules.module import ModuleFrame
from llm_compiler.disassembly.rules.targets import TARGETS
from llm_compiler.disassembly.rules.translate import translate
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.disassembly.rules.x86_64 import RULES
from llm_compiler.disassembly.rules.x86_64.control import CONTROL
from llm_compiler.errors import CompilerError
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.process import run

WIDTHS = {"b": 8, "w": 16, "l": 32, "q": 64}
NAMES = {
    "rax": ("al", "ax", "eax", "rax"),
    "rcx": ("cl", "cx", "ecx", "rcx"),
    "rdx": ("dl", "dx", "edx", "rdx"),
    "rsi": ("sil", "si", "esi", "rsi"),
}
REGISTERS = ("rax", "rcx", "rdx", "rsi", "rdi")
COMPARED = ["e", "ne", "l", "le", "g", "ge", "b", "be", "a", "ae", "s", "ns", "o", "no"]
MEMORY = 96
"""Where the operand in memory stands in the state; 48 bytes."""
FLAGS = 160
SIZE = 192
ATTRIBUTES = {
    "x86_64": 'minsize nounwind optsize uwtable "target-cpu"="x86-64" "target-features"="+popcnt"',
    "aarch64": 'minsize nounwind optsize uwtable "target-cpu"="generic" "target-features"="+neon"',
}
NOT_TESTED = frozenset(
    # Words on the stack and control: whole functions test them. Hints mean nothing.
    [
        "pushq",
        "push",
        "popq",
        "pop",
        "leave",
        "leaveq",
        "endbr64",
        "nop",
        "nopw",
        "nopl",
        "nopq",
        "pause",
        "mfence",
        "movntdq",
    ]
) | frozenset(CONTROL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One instruction, what stands in front of it, and the conditions that it defines."""

    mnemonic: str
    text: str
    before: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    is_float: bool = False
    """Any NaN counts as any other."""
    data: str = ""
    architecture: ClassVar[str] = "x86_64"

    def assembly(self, name: str) -> str:
        """Return the function."""
        lines = ["pushq %rbx", "movq %rdi, %rbx"]
        lines += [f"movq {8 * i}(%rbx), %{word}" for i, word in enumerate(REGISTERS)]
        lines += ["movdqu 64(%rbx), %xmm0", "movdqu 80(%rbx), %xmm1"]
        lines += [*self.before, self.text]
        lines += [
            f"set{condition} {FLAGS + i}(%rbx)" for i, condition in enumerate(self.conditions)
        ]
        lines += [f"movq %{word}, {8 * i}(%rbx)" for i, word in enumerate(REGISTERS)]
        lines += ["movdqu %xmm0, 64(%rbx)", "movdqu %xmm1, 80(%rbx)", "popq %rbx", "retq"]
        head = f".text\n.globl {name}\n.type {name}, @function\n{name}:\n"
        return head + "".join(f"{line}\n" for line in lines) + self.data


def part(register: str, letter: str) -> str:
    """Return the part of a register that a suffix means."""
    return f"%{NAMES[register]['bwlq'.index(letter)]}"


def cases() -> Iterator[Case]:
    """Yield all cases."""
    yield from _integers()
    yield from _shifts()
    yield from _bits()
    yield from _products()
    yield from _conditions()
    yield from _strings_and_atomics()
    yield from _vectors()


def _integers() -> Iterator[Case]:
    memory = f"{MEMORY}(%rbx)"
    for letter, bits in WIDTHS.items():
        first, second = part("rcx", letter), part("rdx", letter)
        forms = [
            f"{first}, {second}",
            f"$-77, {second}",
            f"{memory}, {second}",
            f"{first}, {memory}",
            f"$5, {memory}",
        ]
        for op in ("add", "sub", "and", "or", "xor", "cmp"):
            for form in [*forms, f"{second}, {second}"]:
                yield Case(
                    mnemonic=op + letter, text=f"{op}{letter} {form}", conditions=tuple(COMPARED)
                )
        for form in (forms[0], forms[1], forms[3], f"{second}, {second}"):
            yield Case(
                mnemonic=f"test{letter}", text=f"test{letter} {form}", conditions=tuple(COMPARED)
            )
        for form in forms:
            yield Case(mnemonic=f"mov{letter}", text=f"mov{letter} {form}")
        for op in ("inc", "dec"):
            for form in (second, memory):
                yield Case(
                    mnemonic=op + letter,
                    text=f"{op}{letter} {form}",
                    conditions=("e", "ne", "l", "le", "g", "ge", "s", "ns", "o", "no"),
                )
                yield Case(
                    mnemonic=op + letter,
                    text=f"{op}{letter} {form}",
                    before=(f"cmp{letter} {first}, {second}",),
                    conditions=("b", "ae"),
                )
        for form in (second, memory):
            yield Case(
                mnemonic=f"neg{letter}", text=f"neg{letter} {form}", conditions=tuple(COMPARED)
            )
            yield Case(mnemonic=f"not{letter}", text=f"not{letter} {form}")
        for op in ("adc", "sbb"):
            for form in (forms[0], forms[1], forms[3], f"{second}, {second}"):
                yield Case(
                    mnemonic=op + letter,
                    text=f"{op}{letter} {form}",
                    before=(f"cmp{letter} {part('rsi', letter)}, {first}",),
                    conditions=("e", "ne", "s", "ns", "b", "ae"),
                )
        yield Case(mnemonic=f"xchg{letter}", text=f"xchg{letter} {first}, {second}")
        yield Case(mnemonic=f"xchg{letter}", text=f"xchg{letter} {first}, {memory}")
        if bits > 8:
            for form in ("(%rcx, %rdx)", "7(%rcx, %rdx, 4)", "-9(%rsi)", "100(, %rdx, 8)"):
                yield Case(
                    mnemonic=f"lea{letter}", text=f"lea{letter} {form}, {part('rax', letter)}"
                )
        for small, width in WIDTHS.items():
            for op in ("movz", "movs"):
                if f"{op}{small}{letter}" in RULES and width < bits:
                    for form in (part("rcx", small), memory):
                        yield Case(
                            mnemonic=f"{op}{small}{letter}",
                            text=f"{op}{small}{letter} {form}, {second}",
                        )
    for high in ("movb %ah, %cl", "movb %cl, %dh", "addb %ch, %dl", "movzbl %dh, %eax"):
        yield Case(mnemonic=high.split(" ")[0], text=high)
    yield Case(mnemonic="movabsq", text="movabsq $1311768467463790320, %rdx")
    for item in ("cltq", "cwtl", "cbtw", "cltd", "cqto", "cwtd"):
        yield Case(mnemonic=item, text=item)


def _shifts() -> Iterator[Case]:
    memory = f"{MEMORY}(%rbx)"
    for letter, bits in WIDTHS.items():
        second = part("rdx", letter)
        for op in ("shl", "sal", "shr", "sar"):
            for count in (1, 3, bits - 1):
                for form in (second, memory):
                    yield Case(
                        mnemonic=op + letter,
                        text=f"{op}{letter} ${count}, {form}",
                        conditions=("e", "ne", "s", "ns", "b", "ae"),
                    )
            yield Case(
                mnemonic=op + letter,
                text=f"{op}{letter} %cl, {second}",
                before=(f"andb ${bits - 1}, %cl",),
            )
        for op in ("rol", "ror"):
            for by in ("$1", f"${bits - 3}", "%cl"):
                yield Case(mnemonic=op + letter, text=f"{op}{letter} {by}, {second}")
        if bits > 16:
            for op in ("shld", "shrd"):
                for by in ("$5", "%cl"):
                    yield Case(
                        mnemonic=op + letter,
                        text=f"{op}{letter} {by}, {part('rsi', letter)}, {second}",
                    )
        elif bits == 16:
            for op in ("shld", "shrd"):
                yield Case(
                    mnemonic=op + letter, text=f"{op}{letter} $5, {part('rsi', letter)}, {second}"
                )


def _bits() -> Iterator[Case]:
    for letter, bits in WIDTHS.items():
        if bits == 8:
            continue
        first, second = part("rcx", letter), part("rdx", letter)
        for op in ("bt", "bts", "btr", "btc"):
            for index in (first, f"${bits - 2}", "$0"):
                yield Case(
                    mnemonic=op + letter,
                    text=f"{op}{letter} {index}, {second}",
                    conditions=("b", "ae"),
                )
        for op in ("bsf", "bsr"):
            yield Case(
                mnemonic=op + letter,
                text=f"{op}{letter} {first}, {second}",
                before=(f"or{letter} $16, {first}",),
                conditions=("e", "ne"),
            )
        yield Case(
            mnemonic=f"popcnt{letter}",
            text=f"popcnt{letter} {first}, {second}",
            conditions=("e", "ne"),
        )
        for op in ("tzcnt", "lzcnt"):
            yield Case(mnemonic=op + letter, text=f"{op}{letter} {first}, {second}")
        if bits > 16:
            yield Case(mnemonic=f"bswap{letter}", text=f"bswap{letter} {second}")


def _products() -> Iterator[Case]:
    for letter, bits in WIDTHS.items():
        first, second = part("rcx", letter), part("rdx", letter)
        for op in ("mul", "imul"):
            for form in (first, f"{MEMORY}(%rbx)"):
                yield Case(
                    mnemonic=op + letter, text=f"{op}{letter} {form}", conditions=("b", "ae")
                )
        if bits > 8:
            for form in (f"{first}, {second}", f"$-7, {first}, {second}"):
                yield Case(
                    mnemonic=f"imul{letter}", text=f"imul{letter} {form}", conditions=("o", "no")
                )
            sign = {"w": "cwtd", "l": "cltd", "q": "cqto"}[letter]
            positive = (f"shr{letter} $1, {first}", f"or{letter} $3, {first}")
            for form in (first,):
                yield Case(
                    mnemonic=f"idiv{letter}", text=f"idiv{letter} {form}", before=(*positive, sign)
                )
                yield Case(
                    mnemonic=f"div{letter}",
                    text=f"div{letter} {form}",
                    before=(*positive, "xorl %edx, %edx"),
                )
                # A dividend of twice the width, whose quotient fits.
                yield Case(
                    mnemonic=f"div{letter}",
                    text=f"div{letter} {form}",
                    before=(*positive, f"and{letter} $1, {second}"),
                )
        else:
            positive = ("shrb $1, %cl", "orb $3, %cl")
            yield Case(mnemonic="divb", text="divb %cl", before=(*positive, "movzbl %al, %eax"))
            yield Case(mnemonic="idivb", text="idivb %cl", before=(*positive, "cbtw"))


def _conditions() -> Iterator[Case]:
    for name in RULES:
        if match := re.fullmatch(r"set(\w+)", name):
            before = (
                "ucomisd %xmm1, %xmm0"
                if match[1] in ("p", "np", "pe", "po")
                else ("cmpl %ecx, %edx")
            )
            yield Case(mnemonic=name, text=f"{name} %al", before=(before,))
        elif match := re.fullmatch(r"cmov(\w+?)([wlq])", name):
            before = (
                "ucomisd %xmm1, %xmm0"
                if match[1] in ("p", "np", "pe", "po")
                else ("cmpl %ecx, %edx")
            )
            text = f"{name} {part('rsi', match[2])}, {part('rax', match[2])}"
            yield Case(mnemonic=name, text=text, before=(before,))


def _strings_and_atomics() -> Iterator[Case]:
    position = (f"leaq {MEMORY}(%rbx), %rdi", f"leaq {MEMORY + 24}(%rbx), %rsi")
    memory = f"{MEMORY}(%rbx)"
    for letter, bits in WIDTHS.items():
        size = bits // 8
        count = (f"movl ${24 // size}, %ecx",)
        yield Case(
            mnemonic=f"movs{letter}", text=f"movs{letter} (%rsi), %es:(%rdi)", before=position
        )
        yield Case(
            mnemonic=f"movs{letter}",
            text=f"rep movs{letter} (%rsi), %es:(%rdi)",
            before=(*position, *count),
        )
        yield Case(
            mnemonic=f"stos{letter}",
            text=f"stos{letter} {part('rax', letter)}, %es:(%rdi)",
            before=position,
        )
        yield Case(
            mnemonic=f"stos{letter}",
            text=f"rep stos{letter} {part('rax', letter)}, %es:(%rdi)",
            before=(*position, *count, "xorl %eax, %eax"),
        )
        register = part("rcx", letter)
        # Where they are equal, the processor leaves the accumulator's upper half alone; compilers
        # take it for zero, as after any 32-bit result.
        yield Case(
            mnemonic=f"cmpxchg{letter}",
            text=f"lock cmpxchg{letter} {register}, {memory}",
            before=("movl %eax, %eax",) if letter == "l" else (),
            conditions=("e", "ne"),
        )
        yield Case(
            mnemonic=f"xadd{letter}",
            text=f"lock xadd{letter} {register}, {memory}",
            conditions=("e", "ne", "s", "ns"),
        )
        for op in ("add", "sub", "and", "or", "xor"):
            yield Case(
                mnemonic=op + letter,
                text=f"lock {op}{letter} {register}, {memory}",
                conditions=("e", "ne", "s", "ns"),
            )
        for op in ("inc", "dec"):
            yield Case(
                mnemonic=op + letter, text=f"lock {op}{letter} {memory}", conditions=("e", "ne")
            )


_NUMBERED = re.compile(r"^(?:pshufd|pshuflw|pshufhw|shufps|shufpd|cmpss|cmpsd|cmpps|cmppd)$")


def _vectors() -> Iterator[Case]:
    memory = f"{MEMORY}(%rbx)"
    data = (
        '.section .rodata.cst16, "aM", @progbits, 16\n.p2align 4, 0x0\n.LCPI0_0:\n'
        ".quad 0x8000000000000000\n.quad 0x8000000000000000\n"
    )
    yield Case(mnemonic="xorps", text="xorps .LCPI0_0(%rip), %xmm0", data=data)
    absolute = data.replace("0x8000000000000000", "0x7fffffffffffffff")
    yield Case(mnemonic="andps", text="andps .LCPI0_0(%rip), %xmm0", data=absolute)
    for name in sorted(RULES):
        if name in NOT_TESTED or not _is_vector(name):
            continue
        is_float = bool(re.search(r"(?:ss|sd|ps|pd)$", name)) and name[0] not in "p"
        for form in _vector_forms(name, memory):
            before: tuple[str, ...] = ()
            if re.match(r"cvtt?s[sd]2si|cvttp[sd]2dq", name):
                # Numbers out of range are undefined in IR; near 0, they are not.
                small = (
                    "cvtsi2sdl %ecx, %xmm1"
                    if "sd" in name or "pd" in name
                    else ("cvtsi2ssl %ecx, %xmm1")
                )
                before = ("andl $65535, %ecx", "xorps %xmm1, %xmm1", small)
            conditions: tuple[str, ...] = ()
            if "comis" in name:
                conditions = ("a", "ae", "b", "be", "e", "ne", "p", "np")
            yield Case(
                mnemonic=name,
                text=f"{name} {form}",
                before=before,
                conditions=conditions,
                is_float=is_float,
            )
    for text in (
        "movq %xmm1, %xmm0",
        f"movq {memory}, %xmm0",
        f"movq %xmm0, {memory}",
        "movq %rcx, %xmm0",
        "movq %xmm1, %rax",
    ):
        yield Case(mnemonic="movq", text=text)


def _is_vector(name: str) -> bool:
    if name in ("pushq", "popq", "pause") or re.match(r"(?:push|pop|popcnt)", name):
        return False
    return bool(re.match(r"p[a-z]", name)) or bool(
        re.match(
            r"(?:mov(?:[ahlu]+p[sd]|s[sd]$|d$|dq[au]|hlps|lhps|mskp[sd])|u?comis|cvt|cmp\w*[sp][sd]$|"
            r"(?:add|sub|mul|div|sqrt|max|min)[sp][sd]$|(?:and|andn|or|xor)p[sd]$|unpck|shuf)",
            name,
        )
    )


def _vector_forms(name: str, memory: str) -> list[str]:
    if name == "movd":
        return ["%ecx, %xmm0", "%xmm1, %eax", f"{memory}, %xmm0", f"%xmm0, {memory}"]
    if re.match(r"mov[hl]p[sd]$", name):
        return [f"{memory}, %xmm0", f"%xmm0, {memory}"]
    if name in ("movss", "movsd"):
        return ["%xmm1, %xmm0", f"{memory}, %xmm0", f"%xmm0, {memory}"]
    if re.match(r"mov(?:[au]p[sd]|dq[au])$", name):
        return ["%xmm1, %xmm0", f"{memory}, %xmm0", f"%xmm0, {memory}"]
    if name in ("pmovmskb", "movmskps", "movmskpd"):
        return ["%xmm1, %eax"]
    if re.match(r"cvtt?s[sd]2si$", name):
        return ["%xmm1, %eax", "%xmm1, %rax"]
    if match := re.match(r"cvtsi2s[sd]([lq]?)$", name):
        source = {"": "%ecx", "l": memory, "q": "%rcx"}[match[1]]
        return [f"{source}, %xmm0"]
    if name == "pinsrw":
        return ["$3, %ecx, %xmm0"]
    if name == "pextrw":
        return ["$3, %xmm1, %eax"]
    if _NUMBERED.match(name):
        return (
            ["$2, %xmm1, %xmm0"]
            if name.startswith("cmp")
            else ["$27, %xmm1, %xmm0", "$100, %xmm1, %xmm0"]
        )
    if name in ("pslldq", "psrldq"):
        return ["$3, %xmm0", "$15, %xmm0"]
    if re.match(r"ps(?:ll|rl|ra)[wdq]$", name):
        return ["$3, %xmm0", "$70, %xmm0"]
    if name in ("movhlps", "movlhps"):
        return ["%xmm1, %xmm0"]
    forms = ["%xmm1, %xmm0"]
    if re.search(r"s[sd]$", name) or name == "cvtss2sd":
        forms.append(f"{memory}, %xmm0")
    return forms


DRIVER = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef void function(unsigned char *);
struct one { const char *text; function *original, *lifted; int is_float; };
extern const struct one table[];
static uint64_t seed;
static uint64_t next(void) {
  seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed;
}
static uint64_t word(void) {
  static const uint64_t edges[] = {0, 1, 2, -1, -2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff,
    0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0x3ff0000000000000,
    0xbff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 0x3f800000bf800000,
    0x4059000000000000, 0x7f8000003f800000};
  uint64_t r = next();
  if (r % 3 == 0) return edges[next() % (sizeof edges / sizeof *edges)];
  if (r % 3 == 1) return next() >> (next() % 64);
  return next();
}
static int is_nan(const unsigned char *p, int bytes) {
  if (bytes == 8) { double x; memcpy(&x, p, 8); return x != x; }
  float x; memcpy(&x, p, 4); return x != x;
}
static int same(const unsigned char *a, const unsigned char *b, int is_float) {
  for (int i = 0; i < SIZE; i += 8) {
    if (!memcmp(a + i, b + i, 8)) continue;
    if (i == 32 || i == 24) { /* pointers into the two blocks */
      uint64_t x, y; memcpy(&x, a + i, 8); memcpy(&y, b + i, 8);
      if (x - (uint64_t)a == y - (uint64_t)b) continue;
    }
    if (is_float && is_nan(a + i, 8) && is_nan(b + i, 8)) continue;
    int halves = 1;
    for (int h = 0; h < 8; h += 4)
      halves &= !memcmp(a + i + h, b + i + h, 4) ||
                (is_float && is_nan(a + i + h, 4) && is_nan(b + i + h, 4));
    if (!halves) return 0;
  }
  return 1;
}
int main(void) {
  int wrong = 0;
  for (const struct one *t = table; t->text; t++) {
    seed = 88172645463325252u;
    for (int n = 0; n < STATES; n++) {
      _Alignas(16) unsigned char first[SIZE], second[SIZE];
      for (int i = 0; i < SIZE; i += 8) { uint64_t w = word(); memcpy(first + i, &w, 8); }
      memcpy(second, first, SIZE);
      t->original(first); t->lifted(second);
      if (!same(first, second, t->is_float)) { printf("%s\n", t->text); wrong++; break; }
    }
  }
  return wrong != 0;
}
"""


def lift(case: Case, name: str) -> bytes:
    """Return the object of a case's lifted function, called lifted_NAME.

    Raises:
        Unliftable: the rules lack something.
    """
    target = TARGETS[case.architecture]()
    code = parse_code(normalize_assembly(case.assembly(f"lifted_{name}"), target.triple))
    function = Function(code, translate(code, target), target, {})
    body = emit(function, Variant(result="void"))
    text = ModuleFrame(code, target.triple).module(body, ATTRIBUTES[case.architecture])
    with Context() as context, context.parse(text.encode(), case.text) as module:
        if broken := module.verify():
            raise CompilerError(f"{case.text}: {broken}")
        module.run_passes("function(sroa,instcombine<no-verify-fixpoint>,simplifycfg)")
        with TargetMachine.for_module(module) as machine:
            return machine.emit_object(module)


def check(
    chosen: Sequence[Case], toolchain: Toolchain, folder: Path, states: int
) -> tuple[list[str], list[str]]:
    """Return the cases that differ, and those that are not lifted, with the cause."""
    objects: list[Path] = []
    lacking: list[str] = []
    rows: list[str] = []
    originals: list[str] = []
    names: list[str] = []
    for number, case in enumerate(chosen):
        try:
            data = lift(case, str(number))
        except Unliftable as error:
            lacking.append(f"{case.text}: {error}")
            continue
        path = folder / f"lifted-{number}.o"
        path.write_bytes(data)
        objects.append(path)
        originals.append(case.assembly(f"original_{number}").replace(".LCPI0_0", f".LK{number}"))
        names += [f"original_{number}", f"lifted_{number}"]
        before = "; ".join(case.before)
        text = f"{before + '; ' if before else ''}{case.text}"
        rows.append(f'{{"{text}", original_{number}, lifted_{number}, {int(case.is_float)}}},')
    own = folder / "originals.o"
    architecture = chosen[0].architecture
    assemble("".join(originals), architecture, toolchain, own, keep_labels=False)
    is_foreign = architecture != platform.machine().replace("AMD64", "x86_64")
    declared = "".join(f"extern function {name};\n" for name in names)
    source = folder / "driver.c"
    table = "const struct one table[] = {\n" + "\n".join(rows) + "\n{0, 0, 0, 0}};\n"
    source.write_text(DRIVER + declared + table)
    program = folder / "driver"
    built = run(
        [
            toolchain.tool("clang"),
            *([f"--target={architecture}-linux-gnu", "-static"] if is_foreign else []),
            "-O1",
            "-w",
            f"-DSIZE={SIZE}",
            f"-DSTATES={states}",
            source,
            own,
            *objects,
            "-o",
            program,
        ],
        timeout_s=300,
    )
    if not built.ok:
        raise CompilerError(f"the driver does not link: {built.stderr_text[:2000]}")
    runner = [f"qemu-{architecture}"] if is_foreign else []
    done = run([*runner, program], timeout_s=600)
    if done.exit_status not in (0, 1):
        raise CompilerError(f"the driver ended with {done.exit_status}")
    return done.stdout.decode().splitlines(), lacking


def untested() -> list[str]:
    """Return the mnemonics of the table that no case is of."""
    tested = {item.mnemonic for item in cases()}
    return sorted(name for name in RULES if name not in tested and name not in NOT_TESTED)


def check_all(words: str, everything: Sequence[Case], untested: Sequence[str]) -> int:
    """Check what the command line chooses, and print what differs.

    Args:
        words: what the command does, in a sentence.
        untested: mnemonics of the table that no case is of.
    """
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--states", type=int, default=4000)
    parser.add_argument("--every", type=int, default=1, help="take every Nth case")
    parser.add_argument("--only", default="", help="cases whose text matches")
    options = parser.parse_args()
    chosen = [item for item in everything if re.search(options.only, item.text)]
    random.Random(0).shuffle(chosen)
    chosen = chosen[:: options.every]
    with tempfile.TemporaryDirectory() as folder:
        wrong, lacking = check(chosen, find_toolchain(), Path(folder), options.states)
    for word in lacking:
        print(f"not lifted: {word}")
    for word in wrong:
        print(f"differs: {word}")
    mnemonics = len({item.mnemonic for item in chosen})
    print(
        f"{len(chosen)} cases of {mnemonics} mnemonics, {options.states} states each: "
        f"{len(wrong)} differ, {len(lacking)} are not lifted"
    )
    for name in untested:
        print(f"no case: {name}")
    return 1 if wrong else 0


def main() -> int:
    """Check all, and print what differs."""
    return check_all((__doc__ or "").splitlines()[0], list(cases()), untested())


if __name__ == "__main__":
    sys.exit(main())
