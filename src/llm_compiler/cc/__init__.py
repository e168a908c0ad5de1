"""``llm-cc`` and ``llm-c++``: clang's command line, and smaller objects (docs/builds.md).

A client in C (`client.c`; `client` is the same in Python) runs every compiler itself, where the
build runs it; a server that stays resident (`server`) says which, by `driver`, and makes objects
smaller (`improve`). Whatever goes wrong, what clang itself made stands.
"""
