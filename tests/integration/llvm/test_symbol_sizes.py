"""Sizes by function are those that an object with a section for each function shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import SymbolKind, parse_elf
from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.stock import ClangFlags, Stock
from llm_compiler.llvm.symbol_sizes import symbol_sizes
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


def bitcode_of(toolchain: Toolchain, folder: Path, triple: str, *flags: str) -> bytes:
    source, output = folder / "unit.c", folder / f"unit-{triple}.bc"
    source.write_text(SOURCE)
    stock = Stock(toolchain=toolchain, target_triple=triple, flags=ClangFlags(kept=flags))
    stock.compile_source(stock.frontend_command(source, output), source)
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


@pytest.mark.parametrize("triple", TRIPLES)
def test_everything_belongs_to_somebody(toolchain: Toolchain, tmp_path: Path, triple: str) -> None:
    with Evaluator(bitcode_of(toolchain, tmp_path, triple)) as evaluator:
        measured = evaluator.measure(OZ, with_symbols=True)
    found = by_name(measured)
    total = sum(symbol.size_bytes for symbol in measured.symbols)
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


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(60)])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="64-bit little-endian"):
        symbol_sizes(data, {})
