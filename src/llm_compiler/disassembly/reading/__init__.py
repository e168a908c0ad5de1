"""How functions of binaries are read: code, references, data, names, text."""
