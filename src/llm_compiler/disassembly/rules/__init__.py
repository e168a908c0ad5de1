"""Lifting by rules: a small compiler front end for machine code, an answer for every function.

It reads top to bottom like one:

1. `code`: the proved text as instructions, labels, tables, exception ranges;
2. `translate`, with a target's table of semantics (`x86_64`) and the `builder`: basic blocks of
   `nodes`, the same for all targets;
3. `calls`, `liveness`, `webs`, `frame`: what calls are passed, what matters, what variables and
   objects there are. Machine code leaves choices open here: a `variant` makes them;
4. `emit` and `module`: LLVM-IR, which LLVM's own passes clean.

Nothing that comes out is trusted: the verdicts are the `Lifter`'s. How a target is added stands in
`target`.
"""
