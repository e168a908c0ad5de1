# llm-cc for 32-bit RISC-V.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR riscv32)
set(CMAKE_C_COMPILER llm-cc)
set(CMAKE_C_COMPILER_TARGET riscv32-unknown-elf)
set(CMAKE_C_FLAGS_INIT "-march=rv32imac -mabi=ilp32")
# CMake's trial programs cannot be linked without start-up code.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(BOARD_LINK_FLAGS -Wl,--defsym=flash_origin=0x80000000,--defsym=ram_origin=0x80010000 -Wl,-e,_start)
