"""The table by which a driver finds the programs that are linked with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["program_table"]


def program_table(symbols: Mapping[str, str]) -> str:
    """Return the C source of the table that a driver runs programs by.

    Args:
        symbols: what the ``main`` of each program is called.
    """
    lines = [
        "struct program { const char *name; int (*main)(int, char **); };",
        *(
            f'extern int main_{index}(int, char **) __attribute__((weak)) __asm__("{symbol}");'
            for index, symbol in enumerate(symbols.values())
        ),
        "const struct program llm_compiler_programs[] = {",
        *(f'    {{"{name}", main_{index}}},' for index, name in enumerate(symbols)),
        "};",
        f"const int llm_compiler_num_programs = {len(symbols)};",
    ]
    return "\n".join(lines) + "\n"
