"""Sizes by function are those that an object with a section for each function shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import SymbolKind, parse_elf
from llm_compiler.llvm.elf_core import read_elf
from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.stock import ClangFlags, Stock
from llm_compiler.llvm.symbol_sizes import is_divisible, symbol_sizes
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import Measurement, PassList, SymbolSize
from llm_compiler.workers import LocalPool, run_jobs

SOURCE = r"""
int puts(const char *);
static int counter = 7;
static const int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
static int __attribute__((noinline)) leaf(int x) { return table[x & 7] * counter++ + x / 10; }
static int __attribute__((noinline)) middle(int x) { return leaf(x) - leaf(x + 1); }
static int __attribute__((noinline)) by_address(int x) { return x ^ 0x55; }
int (*const pointer)(int) = by_address;
int shared(int x) { return middle(x) + middle(x * 3) * 5; }
int alone(int x) {
    switch (x) {
    case 0: puts("zero"); return leaf(3);
    case 1: puts("one"); return 17;
    case 2: puts("two"); return 3;
    case 3: puts("three"); return leaf(8);
    case 4: puts("four"); return 99;
    case 5: puts("five"); return -1;
    }
    return 12;
}
extern int second_name(int) __attribute__((alias("alone")));
"""
OZ = PassList(("default<Oz>",))
TRIPLES = ("x86_64-linux-gnu", "aarch64-linux-gnu")
BOARDS = {
    "thumbv7m-none-eabi": ("-mcpu=cortex-m3",),
    "thumbv6m-none-eabi": ("-mcpu=cortex-m0",),
    "riscv32-unknown-elf": ("-march=rv32imac", "-mabi=ilp32"),
    "riscv64-linux-gnu": (),
    "armv7-linux-gnueabihf": (),
    "i686-linux-gnu": (),
}
"""Objects of 32 bits, or with linker relaxation, and the flags that lead to them."""


def bitcode_of(
    toolchain: Toolchain, folder: Path, triple: str, *flags: str, source: str = SOURCE
) -> bytes:
    path, output = folder / "unit.c", folder / f"unit-{triple}.bc"
    path.write_text(source)
    stock = Stock(toolchain=toolchain, target_triple=triple, flags=ClangFlags(kept=flags))
    stock.compile_source(stock.frontend_command(path, output), path)
    return output.read_bytes()


def by_name(measurement: Measurement) -> dict[str, SymbolSize]:
    return {symbol.name: symbol for symbol in measurement.symbols}


@pytest.mark.parametrize("triple", TRIPLES)
def test_sizes_are_those_of_sections_for_each_function(
    toolchain: Toolchain, tmp_path: Path, triple: str
) -> None:
    bitcode = bitcode_of(toolchain, tmp_path, triple)
    with Evaluator(bitcode) as evaluator:
        found = by_name(evaluator.measure(OZ, with_symbols=True))
    stock = Stock(
        toolchain=toolchain,
        target_triple=triple,
        flags=ClangFlags(kept=("-ffunction-sections", "-fdata-sections")),
    )
    unit, optimized, result = (tmp_path / name for name in ("u.bc", "o.bc", "o.o"))
    unit.write_bytes(bitcode)
    stock.run_opt(OZ, unit, optimized, pic=True)
    stock.run_backend(optimized, result)
    elf = parse_elf(result.read_bytes())
    functions = [s for s in elf.symbols if s.kind is SymbolKind.FUNCTION and s.is_defined]
    assert {"shared", "alone", "leaf", "middle", "by_address"} <= {
        symbol.name for symbol in functions
    }
    for function in functions:
        if function.name == "second_name":
            continue  # another name of `alone`
        # Outlined and tail calls within one section may be some bytes shorter.
        assert found[function.name].text_bytes == pytest.approx(function.size, abs=6), function
        assert found[function.name].is_exported is (not function.is_local)
        named = {
            relocation.symbol.name or elf.sections[relocation.symbol.section].name
            for relocation in elf.relocations_in(
                function.section, function.value, function.value + function.size
            )
        }
        for used in ("leaf", "middle"):
            uses = bool({used, f".text.{used}"} & named)
            assert (used in found[function.name].references) is uses, (function.name, used)


@pytest.mark.parametrize("triple", BOARDS)
def test_sizes_of_other_machines_are_those_of_sections_too(
    toolchain: Toolchain, tmp_path: Path, triple: str
) -> None:
    flags = BOARDS[triple]
    bitcode = bitcode_of(toolchain, tmp_path, triple, *flags)
    with Evaluator(bitcode) as evaluator:
        found = by_name(measured := evaluator.measure(OZ, with_symbols=True))
        apart = Stock(
            toolchain=toolchain,
            target_triple=triple,
            flags=ClangFlags(kept=(*flags, "-ffunction-sections", "-fdata-sections")),
        )
    unit, optimized, result = (tmp_path / name for name in ("u.bc", "o.bc", "o.o"))
    unit.write_bytes(bitcode)
    apart.run_opt(OZ, unit, optimized, pic="linux" in triple)
    apart.run_backend(optimized, result)
    elf = read_elf(result.read_bytes())
    sections = {elf.name(header).decode(): header for header in elf.headers}
    functions = {name for name, size in found.items() if size.is_function and name != "second_name"}
    assert {"shared", "alone", "leaf", "middle", "by_address"} <= functions
    for name in functions:
        # Calls within a section may be shorter.
        assert found[name].text_bytes == pytest.approx(sections[f".text.{name}"].size, abs=12)
    assert "leaf" in found["middle"].references
    assert found["leaf"].references == ("counter", "table")
    assert found["table"].data_bytes == 32
    assert "by_address" in found["pointer"].references
    assert found["alone"].data_bytes >= 29, "strings; on some a table"
    assert found["middle"].data_bytes == found["shared"].data_bytes == 0
    total = sum(symbol.flash_bytes for symbol in measured.symbols)
    assert measured.flash_bytes - 64 <= total <= measured.flash_bytes


OUTLINED = """
int ext(const char *, int);
#define BODY(p) p[0] = p[1] + p[2]; p[3] = p[4] * 17; p[5] = p[6] ^ 0x1234; p[7] = p[8] - p[11];
int first(int *p) { BODY(p) return ext("a", p[9]); }
int second(int *p) { int z = ext("z", 1); BODY(p) return p[9] + z; }
int third(int *p) { BODY(p) return ext("c", p[9]) + 5; }
"""


@pytest.mark.parametrize("triple", ["aarch64-linux-gnu", *BOARDS])
def test_what_outliners_made_is_needed_by_who_calls_it(
    toolchain: Toolchain, tmp_path: Path, triple: str
) -> None:
    bitcode = bitcode_of(toolchain, tmp_path, triple, *BOARDS.get(triple, ()), source=OUTLINED)
    always = replace(OZ, options=("enable-machine-outliner=always",))
    with Evaluator(bitcode) as evaluator:
        found = by_name(evaluator.measure(always, with_symbols=True))
    outlined = {name for name in found if name.startswith("OUTLINED_FUNCTION_")}
    if triple.startswith(("thumbv7m", "riscv", "i686")):
        assert outlined, "this test asks for nothing otherwise"
    assert outlined <= {used for size in found.values() for used in size.references}


@pytest.mark.parametrize("triple", TRIPLES)
def test_everything_belongs_to_somebody(toolchain: Toolchain, tmp_path: Path, triple: str) -> None:
    with Evaluator(bitcode_of(toolchain, tmp_path, triple)) as evaluator:
        measured = evaluator.measure(OZ, with_symbols=True)
    found = by_name(measured)
    total = sum(symbol.flash_bytes for symbol in measured.symbols)
    # Left over: the frames' common entry, padding.
    assert measured.size_bytes - 64 <= total <= measured.size_bytes
    assert found["alone"].data_bytes > found["shared"].data_bytes == 0, "strings, jump table"
    assert all(symbol.unwind_bytes > 0 for symbol in measured.symbols if symbol.is_function)
    assert "by_address" in found["pointer"].references
    assert not found["table"].is_function
    assert found["table"].data_bytes == 32
    assert "table" in found["leaf"].references


def test_a_static_that_others_call_is_named_in_each(toolchain: Toolchain, tmp_path: Path) -> None:
    with Evaluator(bitcode_of(toolchain, tmp_path, TRIPLES[0])) as evaluator:
        found = by_name(evaluator.measure(PassList(), with_symbols=True))
    assert {"leaf"} == {r for r in found["alone"].references if r in found and found[r].is_function}
    assert "middle" in found["shared"].references
    assert "leaf" in found["middle"].references


def test_asking_for_symbols_changes_nothing_else(
    toolchain: Toolchain, tmp_path: Path, pool: LocalPool
) -> None:
    bitcode = bitcode_of(toolchain, tmp_path, TRIPLES[0], "-fPIC")
    plain = run_jobs(pool, [EvaluateJob(bitcode=bitcode, pass_lists=(OZ,))])[0][0]
    asked = run_jobs(pool, [EvaluateJob(bitcode=bitcode, pass_lists=(OZ,), with_symbols=True)])[0][
        0
    ]
    assert plain.symbols == ()
    assert asked.symbols
    assert (plain.size_bytes, plain.text_data_bytes, plain.result_hash) == (
        asked.size_bytes,
        asked.text_data_bytes,
        asked.result_hash,
    )
    with Evaluator(bitcode) as evaluator:
        assert evaluator.measure(OZ).symbols == ()
        assert evaluator.measure(OZ, with_symbols=True).symbols, "known, but without them"
        assert evaluator.measure(OZ, with_symbols=True).symbols
        assert evaluator.num_code_generations == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "little-endian ELF objects only"),
        (b"\x7fELF", "little-endian ELF objects only"),
        (b"\x7fELF\x01\x02" + bytes(60), "little-endian ELF objects only"),
        (b"\x7fELF\x01\x01" + bytes(60), "not known of ELF machine 0 with 32 bits"),
        (b"\x7fELF\x01\x01" + bytes(12) + b"\x3e" + bytes(50), "machine 62 with 32 bits"),
    ],
)
def test_what_is_no_object_is_refused(data: bytes, reason: str) -> None:
    assert not is_divisible(data)
    with pytest.raises(InputError, match=reason):
        symbol_sizes(data, {})
