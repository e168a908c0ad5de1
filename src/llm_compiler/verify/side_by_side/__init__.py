"""Parts of `verify.execute`: options, surroundings, programs, inputs and comparisons."""
