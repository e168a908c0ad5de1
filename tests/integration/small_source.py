"""A unit that several tests compile: a loop to fold, a switch, a static function."""

from __future__ import annotations

__all__ = ["SOURCE"]

SOURCE = """
static int square(int x) { return x * x; }
int sums(int n) { int s = 0; for (int i = 0; i < n; i++) s += square(i) + square(i + 1); return s; }
int pick(int x) { switch (x) { case 1: return 5; case 2: return 6; case 9: return 7; } return 0; }
"""
