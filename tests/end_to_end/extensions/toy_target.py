"""A target alias: one word for the triple of a board."""

from llm_compiler.llvm.targets import add_alias

add_alias("board", "aarch64-unknown-linux-gnu")
