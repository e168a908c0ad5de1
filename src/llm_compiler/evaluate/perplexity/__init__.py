"""Perplexity: how probable code is to a model."""
