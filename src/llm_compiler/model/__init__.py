"""The language model: its tokens, prompts and shapes."""
