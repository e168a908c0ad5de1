"""Emulation: what predicted code is worth."""
