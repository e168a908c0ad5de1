"""A language model for compilers, with the real compiler always in the loop."""
