"""LLVM: the toolchain on this machine, and libLLVM in process through its C API."""
