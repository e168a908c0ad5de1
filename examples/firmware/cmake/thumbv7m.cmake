# llm-cc for a Cortex-M3.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER llm-cc)
set(CMAKE_C_COMPILER_TARGET thumbv7m-none-eabi)
set(CMAKE_C_FLAGS_INIT -mcpu=cortex-m3)
# CMake's trial programs cannot be linked without start-up code.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(BOARD_LINK_FLAGS -Wl,--defsym=flash_origin=0,--defsym=ram_origin=0x20000000 -Wl,-e,vectors)
