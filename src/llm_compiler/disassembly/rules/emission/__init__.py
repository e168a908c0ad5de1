"""The parts that `rules.emit` writes a body with; each knows only those that it is given."""
