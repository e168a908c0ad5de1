"""Pools of worker processes that turn crashes, hangs and lack of memory into results."""
