"""What a driver finds the programs by that are linked with it: names and a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["main_symbol", "program_table", "symbol_suffix"]


def symbol_suffix(program: str) -> str:
    """Return what is appended to every symbol that a program defines."""
    return f".{program}"


def main_symbol(program: str) -> str:
    """Return what a program's ``main`` is called in the common executable."""
    return "main" + symbol_suffix(program)


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
