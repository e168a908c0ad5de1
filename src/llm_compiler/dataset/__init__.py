"""Stage data: what the four training stages learn from, made from a corpus's samples on demand."""
