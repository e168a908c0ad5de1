#!/bin/sh
# A program of which only x86-64 assembly is left, for AArch64:
#
#     ./run.sh [DISASSEMBLE-FLAGS...]
#
# The flags say who lifts: `--model CHECKPOINT`, `--engine openai --model ...`. Without any, the
# answers are those of a perfect model (answers.py: clang's IR), so that the rest can be seen without
# one. Needs LLVM, a C library for AArch64 and qemu-user (`llm-compiler doctor`). All results go to
# build/ here, or to $BUILD.
set -eu
cd "$(dirname "$0")"
build=${BUILD:-build}
clang=${CLANG:-$(python3 -c 'from llm_compiler.llvm.toolchain import find_toolchain as f; print(f().tool("clang"))')}
mkdir -p "$build"

# What is left: assembly for x86-64, and what the program prints there, where this machine can run it.
"$clang" --target=x86_64-linux-gnu -Oz -fPIC -S inventory.c -o "$build/inventory.s"

# Lift each function; rewrite for AArch64 what means the same there; run each function on both.
if [ $# -eq 0 ]; then
    python3 answers.py inventory.c "$build/answers"
    set -- --engine replay --model "$build/answers"
fi
llm-compiler disassemble "$build/inventory.s" --retarget aarch64-linux-gnu -o "$build/inventory.ll" "$@"

# An ordinary AArch64 program, and what it prints.
"$clang" --target=aarch64-linux-gnu -Oz "$build/inventory.ll" -o "$build/inventory"
runner=
[ "$(uname -m)" = aarch64 ] || runner="qemu-aarch64 -L /usr/aarch64-linux-gnu"
$runner "$build/inventory" | tee "$build/output"
cmp "$build/output" expected
echo "the same as on x86-64"
