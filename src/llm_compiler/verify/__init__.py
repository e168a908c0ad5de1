"""What makes an answer trustworthy: self-testing programs, and verdicts."""
