"""Assemble one unit from functions that were optimised by different pass lists."""
