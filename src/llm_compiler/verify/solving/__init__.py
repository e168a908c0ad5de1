"""Inputs by solving: a lift is interpreted on an input, and its branches are asked to go elsewhere."""
