"""Disassembly: what lifted functions are worth."""
