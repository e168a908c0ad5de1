"""The steps of `optimize`: prepare, propose and measure, choose; and what passes between them."""
