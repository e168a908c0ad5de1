"""Size prediction: how well sizes after a pass list are stated."""
