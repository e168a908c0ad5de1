"""Search for pass lists: objectives, strategies, minimisation, coresets, and their store."""
