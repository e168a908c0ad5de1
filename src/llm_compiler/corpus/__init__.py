"""Real code to measure and learn on: sources, compile commands, unoptimised IR."""
