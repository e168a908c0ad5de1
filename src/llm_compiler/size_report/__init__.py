"""Where the bytes of objects and programs are: by section, file, symbol, template, inlined code.

Reads ELF files with pyelftools and their names with ``llvm-cxxfilt``; draws with Plotly. Both are
in the extra `report`, and imported on use. Knows nothing of how files were made.
"""
