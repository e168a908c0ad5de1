"""Targets whose code is optimised and checked, but not lifted: Arm, RISC-V, i386, WebAssembly.

The first part of the triple that clang writes names them: ``--target=arm-none-eabi
-mcpu=cortex-m3`` is ``thumbv7m``. RISC-V has one name for each width: what ``-march`` adds or
leaves out is said by the functions' attributes. Boards are those that qemu-system emulates; code
for the Cortex-M0 runs on a Cortex-M3, which has all of its instructions. Data only.
"""

from __future__ import annotations

from llm_compiler.llvm.target_record import (
    BareMetalPrograms,
    LinuxPrograms,
    TargetRecord,
    WasiPrograms,
)

__all__ = ["BARE_ARM_FLAGS", "MORE_TARGETS"]

BARE_ARM_FLAGS = ("-fomit-frame-pointer",)
"""Without unwind tables a frame pointer only costs; GCC leaves it out, too."""
_ARM, _RISCV, _I386 = 40, 243, 3
"""ELF's numbers."""
_MEGABYTE = 1 << 20
_ARM_PACKAGES = "qemu-system-arm picolibc-arm-none-eabi gcc-arm-none-eabi"
_RISCV_PACKAGES = "qemu-system-misc picolibc-riscv64-unknown-elf gcc-riscv64-unknown-elf"


def _cortex_m(
    name: str, title: str, board: str, processor: str, multilib: str, *, abi: str = "eabi"
) -> TargetRecord:
    secure = 0x10000000 if board == "mps2-an505" else 0
    return TargetRecord(
        name=name,
        title=title,
        triple=f"{name}-none-{abi}",
        component="ARM",
        pointer_bytes=4,
        elf_machine=_ARM,
        front_end_flags=BARE_ARM_FLAGS,
        programs=BareMetalPrograms(
            triple=f"{name}-none-{abi}",
            flags=(f"-mcpu={processor}", *BARE_ARM_FLAGS),
            emulator="qemu-system-arm",
            machine=("-M", board),
            # Two memories of 4 MB for code and data, and one of 16 MB after them.
            flash=(secure, 4 * _MEGABYTE),
            ram=(0x80000000 if secure else 0x21000000, 16 * _MEGABYTE),
            tools="arm-none-eabi-",
            multilib=f"thumb/{multilib}",
            linker_emulation="armelf",
            package=_ARM_PACKAGES,
        ),
    )


def _arm_linux(name: str, title: str, flag: str, aliases: tuple[str, ...] = ()) -> TargetRecord:
    return TargetRecord(
        name=name,
        title=title,
        aliases=aliases,
        triple=f"{name}-unknown-linux-gnueabihf",
        component="ARM",
        pointer_bytes=4,
        elf_machine=_ARM,
        programs=LinuxPrograms(
            # Each its own: what was compiled for a suite is kept by it.
            triple=f"{name}-linux-gnueabihf",
            flags=(flag,),
            emulator="qemu-arm",
            sysroot="/usr/arm-linux-gnueabihf",
            package="g++-arm-linux-gnueabihf",
        ),
    )


MORE_TARGETS: tuple[TargetRecord, ...] = (
    _cortex_m("thumbv6m", "Armv6-M (Thumb)", "mps2-an385", "cortex-m0", "v6-m/nofp"),
    _cortex_m("thumbv7m", "Armv7-M (Thumb)", "mps2-an385", "cortex-m3", "v7-m/nofp"),
    _cortex_m(
        "thumbv7em",
        "Armv7E-M (Thumb)",
        "mps2-an386",
        "cortex-m4",
        "v7e-m+fp/hard",
        abi="eabihf",
    ),
    _cortex_m(
        "thumbv8m.main", "Armv8-M Mainline (Thumb)", "mps2-an505", "cortex-m33", "v8-m.main/nofp"
    ),
    _arm_linux("armv7", "Armv7 under Linux (Arm instructions)", "-marm", ("armv7l", "armv7a")),
    _arm_linux("thumbv7", "Armv7 under Linux (Thumb instructions)", "-mthumb"),
    TargetRecord(
        name="riscv32",
        title="32-bit RISC-V",
        aliases=("riscv32imac", "riscv32imc"),
        triple="riscv32-unknown-elf",
        component="RISCV",
        pointer_bytes=4,
        elf_machine=_RISCV,
        has_object_features=True,
        programs=BareMetalPrograms(
            triple="riscv32-unknown-elf",
            flags=("-march=rv32imac", "-mabi=ilp32"),
            emulator="qemu-system-riscv32",
            machine=("-M", "virt", "-bios", "none"),
            flash=(0x80000000, 8 * _MEGABYTE),
            ram=(0x80800000, 64 * _MEGABYTE),
            tools="riscv64-unknown-elf-",
            multilib="rv32imac/ilp32",
            linker_emulation="elf32lriscv",
            package=_RISCV_PACKAGES,
        ),
    ),
    TargetRecord(
        name="riscv64",
        title="64-bit RISC-V under Linux",
        triple="riscv64-unknown-linux-gnu",
        component="RISCV",
        elf_machine=_RISCV,
        has_object_features=True,
        programs=LinuxPrograms(
            triple="riscv64-linux-gnu",
            emulator="qemu-riscv64",
            sysroot="/usr/riscv64-linux-gnu",
            package="g++-riscv64-linux-gnu",
        ),
    ),
    TargetRecord(
        name="i386",
        title="32-bit x86 under Linux",
        aliases=("i486", "i586", "i686"),
        triple="i686-pc-linux-gnu",
        component="X86",
        pointer_bytes=4,
        elf_machine=_I386,
        programs=LinuxPrograms(
            triple="i686-linux-gnu",
            emulator="qemu-i386",
            sysroot="/usr/i686-linux-gnu",
            package="g++-i686-linux-gnu",
            left_out={
                "floating_point_environment": "the x87 holds values of 80 bits in registers, so "
                "that mem2reg alone changes when exceptions are raised"
            },
        ),
    ),
    TargetRecord(
        name="wasm32",
        title="WebAssembly",
        triple="wasm32-unknown-wasi",
        component="WebAssembly",
        pointer_bytes=4,
        elf_machine=0,
        programs=WasiPrograms(
            triple="wasm32-wasi",
            emulator="node",
            sysroot="/usr/lib/wasm32-wasi",
            package="nodejs wasi-libc lld-19 libclang-rt-19-dev-wasm32",
        ),
    ),
)
