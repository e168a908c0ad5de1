"""What forbids that a board's program is linked as one module, and what must stay of it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from llm_compiler.cc.board_links import (
    Piece,
    check_script,
    kept_names,
    links_board,
    lost_sections,
    read_scripts,
)
from llm_compiler.cc.link import Link, parse_link
from llm_compiler.errors import InputError

BOARD = "--target=thumbv7m-none-eabi -nostdlib"
# In the manner of scripts that vendors' tools write.
VENDORS_SCRIPT = """
ENTRY(Reset_Handler) /* startup.o says where */
_estack = ORIGIN(RAM) + LENGTH(RAM);
MEMORY { RAM (xrw) : ORIGIN = 0x20000000, LENGTH = 16K  FLASH (rx) : ORIGIN = 0x0, LENGTH = 64K }
SECTIONS
{
  .isr_vector : { . = ALIGN(4); KEEP(*(.isr_vector)) } >FLASH
  .text : { *(.text) *(.text*) *(.text.unlikely .text.unlikely.*) KEEP (*(.init)) } >FLASH
  .rodata : { *(.rodata) *(.rodata*) *(.rodata.cst4) *(.rodata.str1.1) } >FLASH
  .init_array (READONLY) : { KEEP (*(SORT(.init_array.*))) } >FLASH
  .ctors : { KEEP (*(EXCLUDE_FILE(*crtend.o *crtend?.o) .ctors)) } >FLASH
  .data : { _sdata = .; *(.data) *(.data*) _edata = .; } >RAM AT> FLASH
  .bss : { *(.bss) *(.bss*) *(COMMON) } >RAM
  /DISCARD/ : { libc.a ( * ) libm.a ( * ) libgcc.a ( * ) }
}
"""


def elf32_with_sections(names: Sequence[str]) -> bytes:
    """Return an ELF file of 32 bits with sections of four bytes that take memory."""
    strings, body = b"\0", struct.pack("<10I", *[0] * 10)
    for name in names:
        body += struct.pack("<10I", len(strings), 1, 2, 0, 0, 4, 0, 0, 1, 0)
        strings += name.encode() + b"\0"
    place = 52 + len(body) + 40
    body += struct.pack("<10I", 0, 3, 0, 0, place, len(strings), 0, 0, 1, 0)
    ident = b"\x7fELF\1\1\1" + bytes(9)
    numbers = (1, 40, 1, 0, 0, 52, 0, 52, 0, 0, 40, len(names) + 2, len(names) + 1)
    return ident + struct.pack("<HHIIIIIHHHHHH", *numbers) + body + strings


def piece(text: str = "", name: str = "src/main.o", *sections: str, member: bool = False) -> Piece:
    data = elf32_with_sections(sections or (".text",))
    return Piece(name=name, data=data, text=text, is_member=member)


def test_only_calls_that_name_a_board_are_a_boards() -> None:
    assert links_board(["-target", "arm-none-eabi", "a.o"])
    assert links_board(["a.o", "--target=riscv32-unknown-elf"])
    assert not links_board(["--target=armv7-linux-gnueabihf", "a.o"])
    assert not links_board(["a.o", "-T", "x.ld"])


@pytest.mark.parametrize(
    ("text", "scripts", "map_file"),
    [
        ("-T x.ld a.o", ("x.ld",), ""),
        ("-Tx.ld a.o", ("x.ld",), ""),
        ("-Wl,-T,x.ld a.o", ("x.ld",), ""),
        ("-Wl,--script=x.ld,--gc-sections a.o", ("x.ld",), ""),
        ("-Wl,-T,x.ld -Wl,-Map,x.map a.o", ("x.ld",), "x.map"),
        ("-Wl,-Map=x.map,--gc-sections -Wl,--defsym=flash=0x8000 a.o", (), "x.map"),
        ("-Wl,--print-memory-usage -Wl,-T,x.ld a.o", ("x.ld",), ""),
        ("a.o", (), ""),
    ],
)
def test_scripts_and_maps_are_read(text: str, scripts: tuple[str, ...], map_file: str) -> None:
    found = parse_link(f"{BOARD} {text} -o x.elf".split())
    assert isinstance(found, Link), found
    assert (found.is_board, found.scripts, found.map_file) == (True, scripts, map_file)
    assert not any("Map" in word or "print" in word for word in found.arguments)
    assert "a.o" in found.arguments
    assert ("--gc-sections" in text) == any("--gc-sections" in word for word in found.arguments)


@pytest.mark.parametrize(
    "text",
    [
        "-r a.o",
        "-Ttext=0x8000 a.o",
        "-Wl,--wrap=f a.o",
        "-Wl,--defsym=f=g a.o",
        "-Wl,-Map a.o",
        "-Wl,--print-map a.o",
        "-Wl,--emit-relocs a.o",
        "-Xlinker -T a.o",
        "-flto a.o",
        "a.c b.o",
    ],
)
def test_links_of_boards_that_are_left_alone(text: str) -> None:
    assert isinstance(parse_link(f"{BOARD} {text}".split()), str)


def test_a_script_that_names_kinds_alone_is_kept() -> None:
    check_script(
        VENDORS_SCRIPT, [piece("", "src/main.o", ".isr_vector", ".text.f", ".rodata.str1.1")]
    )


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("*main.o(.text)", "names files"),
        ("main.o (.data)", "names files"),
        ('"src/*" (.text*)', "names files"),
        ("./src/main.o(.text)", "names files"),
        ("*libapp.a:*(.text)", "names files"),
        ("KEEP(*(.text.f))", "says where .text.f lies"),
        ("*(.rodata.t*)", "says where .rodata.t"),
        ("INSERT AFTER .text;", "more than a plain one"),
    ],
)
def test_a_script_that_names_a_file_or_a_function_forbids_it(more: str, why: str) -> None:
    pieces = [
        piece("", "src/main.o", ".text.f", ".rodata.table"),
        piece("", "./src/main.o"),
        piece("", "lib/libapp.a:x.o", ".text.g", member=True),
    ]
    with pytest.raises(InputError, match=why):
        check_script(f"SECTIONS {{ .x : {{ {more} }} }}", pieces)


def test_scripts_are_read_with_what_they_include(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "a.ld").write_text("INCLUDE regions.ld /* main.o */\nINCLUDE a.ld\n")
    (tmp_path / "lib" / "regions.ld").write_text("MEMORY { }")
    text = read_scripts(["a.ld"], tmp_path, [tmp_path / "lib"])
    assert "MEMORY" in text
    assert "main.o" not in text
    with pytest.raises(InputError, match=r"regions\.ld cannot be read"):
        read_scripts(["a.ld"], tmp_path, [])


def test_what_the_source_places_and_assembly_names_stays() -> None:
    text = """\
module asm "q: bl from_module_assembly"
@vectors = dso_local constant [2 x ptr] zeroinitializer, section ".start", align 4
@hidden = internal global i32 0, section ".noinit", align 4
@elsewhere = external global i32, section ".x", align 4
@plain = dso_local global i32 1, align 4
define dso_local void @_start() #1 section ".start2" {
  call void asm sideeffect "ldr r0, =plain\\0Ab handler", ""() #3
}
define dso_local void @handler() #0 {
}
define dso_local void @from_module_assembly() #0 {
}
define dso_local void @unused() #0 {
}
define internal void @static_handler() #0 {
}
define dso_local void @__aeabi_memclr4(ptr %0, i32 %1) #0 {
}
attributes #0 = { minsize "frame-pointer"="all" }
attributes #1 = { minsize naked noinline }
"""
    kept = ("__aeabi_memclr4", "_start", "from_module_assembly", "handler", "plain", "vectors")
    assert kept_names([piece(text)]) == kept


def test_a_function_in_a_section_of_its_own_forbids_it() -> None:
    # Others would be made part of it, or it of others, and what runs in RAM would not any more.
    text = 'define internal i32 @write_flash(i32 %0) #0 section ".ramfunc" {\n}\n'
    with pytest.raises(InputError, match="says where the function write_flash lies"):
        kept_names([piece(f"{text}attributes #0 = {{ noinline }}\n")])


def test_what_must_stay_in_an_archive_forbids_it() -> None:
    text = '@vectors = constant [2 x ptr] zeroinitializer, section ".start", align 4\n'
    with pytest.raises(InputError, match="vectors must stay, and is in an archive"):
        kept_names([piece(text, "liba.a:v.o", member=True)])
    # The run-time's names are found there when they are asked for.
    assert kept_names([piece("define void @__aeabi_x() {\n", "liba.a:v.o", member=True)]) == ()


def test_sections_that_are_lost_are_named() -> None:
    before = elf32_with_sections((".text", ".bss", ".vectors", ".ARM.exidx"))
    assert lost_sections(before, elf32_with_sections((".text",))) == [".vectors"]
