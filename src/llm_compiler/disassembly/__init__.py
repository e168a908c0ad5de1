"""Read functions out of assembly and ELF files, and put lifted ones in their place."""
