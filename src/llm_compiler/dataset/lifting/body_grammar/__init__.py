"""The grammar of bodies in short form: words, text, operands, instructions."""
