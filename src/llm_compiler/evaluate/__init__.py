"""Measures models and searches on suites of programs, and reports what they save."""
