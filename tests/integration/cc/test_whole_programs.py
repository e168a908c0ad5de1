"""`LLM_CC_MODE=lto`: what is linked as one, and what keeps its first link."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_compiler.cc.link import Link, parse_link
from llm_compiler.llvm.object_file import allocated_sections, section_sizes
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.process import which

if TYPE_CHECKING:
    from .conftest import LlmCc

MAIN = """\
#include <stdio.h>
int helper(const char *s);
int twice(int);
static int table[] = {1, 2, 3, 4, 5, 6};
int main(int argc, char **argv) {
  int s = 0;
  for (int i = 0; i < 6; i++) s += twice(table[i]);
  printf("%d %d\\n", helper(argv[0]) > 0, s);
  return argc - 1;
}
"""
LIB = """\
#include <string.h>
int twice(int x) { return x * 2; }
int unused(int x) { return twice(x) + 7; }
int helper(const char *s) { return (int)strlen(s) + twice(3); }
"""


@pytest.fixture(scope="module")
def objects(llm_cc: LlmCc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (find_toolchain().bin_dir / "ld.lld").exists():
        pytest.skip("needs lld")
    folder = tmp_path_factory.mktemp("objects")
    (folder / "m.c").write_text(MAIN)
    (folder / "l.c").write_text(LIB)
    for name, flags in (("m.o", ()), ("l.o", ()), ("pic.o", ("-fPIC",))):
        source = "m.c" if name == "m.o" else "l.c"
        arguments = ("-Oz", *flags, "-c", source, "-o", name)
        assert llm_cc(*arguments, cwd=folder, LLM_CC_MODE="lto").returncode == 0
    subprocess.run(["ar", "rcs", "libl.a", "l.o"], cwd=folder, check=True)
    (folder / "plain.ver").write_text("{ global: helper; local: *; };\n")
    (folder / "script.ld").write_text("INSERT AFTER .data;\nSECTIONS { .extra : { *(.extra) } }\n")
    return folder


def last(llm_cc: LlmCc) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        (llm_cc.folder / "journal.jsonl").read_text().splitlines()[-1]
    )
    return found


@pytest.mark.parametrize(
    "arguments",
    [("m.o", "l.o"), ("m.o", "libl.a"), ("m.o", "-L.", "-ll"), ("-static", "m.o", "l.o")],
)
def test_programs_get_smaller_and_run(
    llm_cc: LlmCc, objects: Path, arguments: tuple[str, ...]
) -> None:
    assert llm_cc.run_clang(*arguments, "-o", "plain", cwd=objects).returncode == 0
    done = llm_cc(*arguments, "-o", "prog", cwd=objects, LLM_CC_MODE="lto")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    sizes = [section_sizes((objects / n).read_bytes()).size_bytes for n in ("prog", "plain")]
    assert sizes[0] < sizes[1], last(llm_cc)
    ran = subprocess.run([objects / "prog"], capture_output=True, timeout=20, check=False)
    assert (ran.returncode, ran.stdout) == (0, b"1 42\n")
    assert (objects / "prog").stat().st_mode == (objects / "plain").stat().st_mode


def test_a_library_offers_what_it_did(llm_cc: LlmCc, objects: Path) -> None:
    for more in ((), ("-Wl,--version-script=plain.ver",)):
        arguments = ("-shared", "pic.o", *more, "-o")
        assert llm_cc.run_clang(*arguments, "plain.so", cwd=objects).returncode == 0
        assert llm_cc(*arguments, "ours.so", cwd=objects, LLM_CC_MODE="lto").returncode == 0
        nm = str(find_toolchain().tool("llvm-nm"))
        names = [
            [
                line.split()[-1]
                for line in subprocess.run(
                    [nm, "-D", "--defined-only", item],
                    cwd=objects,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.splitlines()
            ]
            for item in ("plain.so", "ours.so")
        ]
        assert names[0] == names[1]
        assert ("unused" in names[0]) == (not more)


def test_what_forbids_another_link_keeps_the_first(llm_cc: LlmCc, objects: Path) -> None:
    for arguments in (
        ("-r", "m.o", "l.o"),
        ("m.o", "l.o", "-Wl,-T,script.ld"),
        ("m.o", "l.o", "-Wl,--defsym=extra=1"),
    ):
        assert llm_cc.run_clang(*arguments, "-o", "kept", cwd=objects).returncode == 0
        first = (objects / "kept").read_bytes()
        assert llm_cc(*arguments, "-o", "kept", cwd=objects, LLM_CC_MODE="lto").returncode == 0
        assert (objects / "kept").read_bytes() == first
    # And what does not link fails as it does.
    ours = llm_cc("m.o", "-o", "prog", cwd=objects, LLM_CC_MODE="lto")
    clangs = llm_cc.run_clang("m.o", "-o", "prog", cwd=objects)
    assert (ours.returncode, ours.stderr) == (clangs.returncode, clangs.stderr)


@pytest.mark.parametrize(
    "text",
    [
        "-r a.o",
        "-T x.ld a.o",
        "-Wl,-T,x a.o",
        "-Wl,--wrap=f a.o",
        "a.c b.o",
        "a.o -Wl,-Map=x",
        "a.o -flto",
        "-E a.c",
        "-nostdlib a.o",
        "--version",
        "-Xlinker -r a.o",
        "-z x a.o",
    ],
)
def test_links_that_are_left_alone(text: str) -> None:
    assert isinstance(parse_link(text.split()), str)


FIRMWARE = Path(__file__).parents[3] / "examples" / "firmware"
BOARD = ("--target=thumbv7m-none-eabi", "-mcpu=cortex-m3")
ORIGINS = "-Wl,--defsym=flash_origin=0,--defsym=ram_origin=0x20000000,-e,vectors"
BOARD_LINK = (*BOARD, "-nostdlib", "-fuse-ld=lld", "-Wl,--gc-sections", ORIGINS)
RUN = (
    *("qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none"),
    *("-serial", "none", "-chardev", "stdio,id=host"),
    *("-semihosting-config", "enable=on,chardev=host", "-kernel"),
)


@pytest.fixture(scope="module")
def board(llm_cc: LlmCc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (find_toolchain().bin_dir / "ld.lld").exists():
        pytest.skip("needs lld")
    folder = tmp_path_factory.mktemp("board")
    flags = (*BOARD, "-Oz", "-std=c11", "-ffreestanding", "-fno-builtin", "-ffunction-sections")
    for source in FIRMWARE.glob("*.c"):
        arguments = (*flags, "-c", str(source), "-o", f"{source.stem}.o")
        assert llm_cc(*arguments, cwd=folder, LLM_CC_MODE="lto").returncode == 0
    script = (FIRMWARE / "firmware.ld").read_text()
    (folder / "firmware.ld").write_text(script)
    named = script.replace("*(.text .text.*)", "main.o(.text .text.*) *(.text .text.*)")
    (folder / "named.ld").write_text(named)
    return folder


def linked_board(llm_cc: LlmCc, board: Path, script: str) -> tuple[bytes, bytes]:
    """Return what clang and what llm-cc links by a script."""
    objects = ("board.o", "control.o", "command.o", "main.o")
    arguments = (*BOARD_LINK, "-Wl,-T," + script, *objects, "-Wl,-Map,board.map", "-o", "board.elf")
    assert llm_cc.run_clang(*arguments, cwd=board).returncode == 0
    plain = (board / "board.elf").read_bytes()
    done = llm_cc(*arguments, cwd=board, LLM_CC_MODE="lto")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return plain, (board / "board.elf").read_bytes()


def test_a_boards_program_is_linked_as_one_by_its_script(llm_cc: LlmCc, board: Path) -> None:
    plain, ours = linked_board(llm_cc, board, "firmware.ld")
    sizes = [section_sizes(data).size_bytes for data in (ours, plain)]
    assert sizes[0] < sizes[1], last(llm_cc)
    assert allocated_sections(ours) == allocated_sections(plain)
    text = (board / "board.map").read_text()
    assert "whole.o:(.start)" in text
    assert "main.o" not in text
    assert "/link-" not in text
    if which(RUN[0]) is None:
        pytest.skip(f"linked, not run: needs {RUN[0]}")
    done = subprocess.run([*RUN, board / "board.elf"], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, (FIRMWARE / "expected.out").read_bytes())


def test_a_script_that_names_a_file_keeps_the_first_link(llm_cc: LlmCc, board: Path) -> None:
    plain, ours = linked_board(llm_cc, board, "named.ld")
    assert ours == plain
    assert "names files: main.o" in str(last(llm_cc)["detail"])
    assert "main.o:(.text" in (board / "board.map").read_text()


STARTUP = """\
.syntax unified
.cpu cortex-m3
.thumb
.section .isr_vector, "a", %progbits
.word _estack, Reset_Handler
.rept 13
.word Default_Handler
.endr
.word SysTick_Handler
.weak SysTick_Handler
.thumb_set SysTick_Handler, Default_Handler
.section .text.Reset_Handler, "ax", %progbits
.global Reset_Handler
.type Reset_Handler, %function
Reset_Handler: bl main
b .
.section .text.Default_Handler, "ax", %progbits
.type Default_Handler, %function
Default_Handler: b .
"""
TICKS = """\
volatile int ticks;
int scale(int, int);
void SysTick_Handler(void) { ticks++; }
static void ask(unsigned operation, const void *parameter) {
  register unsigned r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = parameter;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}
int main(void) {
  volatile unsigned *timer = (volatile unsigned *)0xE000E010;
  unsigned parameters[2] = {0x20026, 0};
  timer[1] = 20000, timer[2] = 0, timer[0] = 7;
  while (ticks < 3) {
  }
  parameters[1] = (unsigned)scale(ticks, 5);
  ask(0x20, parameters);
  for (;;) {
  }
}
"""
SCALE = """\
int scale(int a, int b) { return a * b - (a > 3); }
int never(int a) { return scale(a, 3) * 7; }
"""
VENDORS_SCRIPT = """\
ENTRY(Reset_Handler)
MEMORY { RAM (xrw) : ORIGIN = 0x20000000, LENGTH = 16K  FLASH (rx) : ORIGIN = 0, LENGTH = 64K }
_estack = ORIGIN(RAM) + LENGTH(RAM);
SECTIONS {
  .isr_vector : { KEEP(*(.isr_vector)) } >FLASH
  .text : { *(.text) *(.text*) *(.rodata*) KEEP(*(.init)) } >FLASH
  .ARM : { *(.ARM.exidx*) } >FLASH
  .data : { *(.data) *(.data*) } >RAM AT> FLASH
  .bss (NOLOAD) : { *(.bss) *(.bss*) *(COMMON) } >RAM
  /DISCARD/ : { libc.a ( * ) libgcc.a ( * ) }
}
"""


def test_interrupts_of_a_table_in_assembly_still_come(llm_cc: LlmCc, tmp_path: Path) -> None:
    if not (find_toolchain().bin_dir / "ld.lld").exists():
        pytest.skip("needs lld")
    for name, text in (
        *(("startup.s", STARTUP), ("ticks.c", TICKS), ("scale.c", SCALE)),
        ("vendor.ld", VENDORS_SCRIPT),
    ):
        (tmp_path / name).write_text(text)
    assert llm_cc(*BOARD, "-c", "startup.s", cwd=tmp_path).returncode == 0
    for source in ("ticks.c", "scale.c"):
        done = llm_cc(
            *(*BOARD, "-Oz", "-ffreestanding", "-ffunction-sections", "-c", source),
            cwd=tmp_path,
            LLM_CC_MODE="lto",
        )
        assert done.returncode == 0
    link = (
        *(*BOARD, "startup.o", "ticks.o", "scale.o", "-nostdlib", "-fuse-ld=lld", "-Tvendor.ld"),
        *("-Wl,--gc-sections", "-Wl,-Map=app.map", "-o"),
    )
    assert llm_cc.run_clang(*link, "plain.elf", cwd=tmp_path).returncode == 0
    assert llm_cc(*link, "app.elf", cwd=tmp_path, LLM_CC_MODE="lto").returncode == 0
    sizes = [
        section_sizes((tmp_path / name).read_bytes()).size_bytes
        for name in ("app.elf", "plain.elf")
    ]
    assert sizes[0] < sizes[1], last(llm_cc)
    if which(RUN[0]) is None:
        pytest.skip(f"linked, not run: needs {RUN[0]}")
    done = subprocess.run([*RUN, tmp_path / "app.elf"], timeout=60, check=False)
    assert done.returncode == 15


def test_links_that_are_done_again() -> None:
    found = parse_link(
        ["-shared", "-Wl,-soname,x.so", "a.o", "b.a", "-lm", "-L", "lib", "-o", "x.so"]
    )
    assert isinstance(found, Link)
    assert found.output == "x.so"
