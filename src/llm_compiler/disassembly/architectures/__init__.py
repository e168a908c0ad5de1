"""What reading machine code must know of each architecture: a module and a record each."""
