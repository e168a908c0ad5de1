"""Inputs by solving: a lift is interpreted, and its branches are asked to go elsewhere."""
