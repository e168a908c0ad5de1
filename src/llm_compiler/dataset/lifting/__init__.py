"""The short form that models lift in: one function's instructions, and the body of its IR.

Assembly and IR of a module carry much that a model need not read or say, as a rule gives it:
directives, declarations, data, attributes, names. What is left is short and regular:

* `assembly`: the instructions of the function, jump tables and constant pools as one line each,
  local labels and symbols numbered in order of appearance. It keeps aside what the names stand for
  and the data, so that
* `module_text` makes a whole module of a body: names, data, declarations, attributes;
* `strip` makes a body of a module, and a plainer module that means the same to code generation
  (which `dataset.draws` proves sample by sample, by lowering it).

Pure functions on text; nothing here needs LLVM.
"""
