"""Training: data, stages, the loop, checkpoints, plans."""
