#!/bin/sh
# Install what is missing from Debian's or Ubuntu's own packages; say so first, and ask for root
# only then. Usage: install_packages.sh llvm|cross|firmware|browser
set -eu

missing=""
need() { # need PACKAGE FILE...: the package, unless one of the files is there
    package=$1
    shift
    for file in "$@"; do
        [ -e "$file" ] && return 0
    done
    missing="$missing $package"
}

# Any supported version will do; 19 is the one that the shipped verdicts were made for.
have_llvm() {
    [ -n "${LLM_COMPILER_LLVM:-}" ] && return 0
    for major in 19 22 21 20 18 17; do
        if [ -x /usr/lib/llvm-$major/bin/clang ] && [ -x /usr/lib/llvm-$major/bin/opt ]; then
            return 0
        fi
    done
    return 1
}

case "${1:-llvm}" in
llvm)
    have_llvm || missing="clang-19 llvm-19 libllvm19"
    need g++ /usr/bin/g++ # its headers and libstdc++ are what clang compiles and links with
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
    ;;
cross)
    have_llvm || missing="clang-19 llvm-19 libllvm19"
    need bubblewrap /usr/bin/bwrap # the service's sandbox
    need csmith /usr/bin/csmith
    need libcsmith-dev /usr/include/csmith/csmith.h /usr/include/csmith.h
    need qemu-user /usr/bin/qemu-aarch64
    need g++-aarch64-linux-gnu /usr/bin/aarch64-linux-gnu-g++
    need libc6-dev-arm64-cross /usr/aarch64-linux-gnu/lib/libc.so
    ;;
firmware)
    # What checks recipes for boards and for other Linux targets; two gigabytes, most of it libraries
    # for every processor.
    have_llvm || missing="clang-19 llvm-19 libllvm19"
    need lld-19 /usr/lib/llvm-19/bin/ld.lld
    need qemu-system-arm /usr/bin/qemu-system-arm
    need qemu-system-misc /usr/bin/qemu-system-riscv32
    need gcc-arm-none-eabi /usr/bin/arm-none-eabi-gcc
    need picolibc-arm-none-eabi /usr/lib/picolibc/arm-none-eabi/include/stdio.h
    need gcc-riscv64-unknown-elf /usr/bin/riscv64-unknown-elf-gcc
    need picolibc-riscv64-unknown-elf /usr/lib/picolibc/riscv64-unknown-elf/include/stdio.h
    need qemu-user /usr/bin/qemu-arm
    need g++-arm-linux-gnueabihf /usr/bin/arm-linux-gnueabihf-g++
    need g++-riscv64-linux-gnu /usr/bin/riscv64-linux-gnu-g++
    need g++-i686-linux-gnu /usr/bin/i686-linux-gnu-g++
    need nodejs /usr/bin/node
    need wasi-libc /usr/lib/wasm32-wasi/libc.a
    need libclang-rt-19-dev-wasm32 /usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a
    ;;
browser)
    need chromium /usr/bin/chromium
    ;;
*)
    echo "usage: $0 llvm|cross|firmware|browser" >&2
    exit 2
    ;;
esac

[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null; then
    echo "Missing:$missing. This is not Debian or Ubuntu: install LLVM 19 yourself and set" \
        "LLM_COMPILER_LLVM to its folder." >&2
    exit 3
fi
echo "Installing from your distribution:$missing"
root=""
if [ "$(id -u)" -ne 0 ]; then
    root=sudo
    echo "This needs root; sudo will ask for your password."
fi
$root apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
    >/dev/null
