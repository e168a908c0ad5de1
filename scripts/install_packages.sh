#!/bin/sh
# Install what is missing from Debian's or Ubuntu's own packages; say so first, and ask for root
# only then. Usage: install_packages.sh llvm|cross|browser
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
browser)
    need chromium /usr/bin/chromium
    ;;
*)
    echo "usage: $0 llvm|cross|browser" >&2
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
