"""engine: the only search loop, what a search would cost, and what it has found."""
