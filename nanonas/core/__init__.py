"""core: the vocabulary of all rooms. It imports none of them, and no torch; what has a home of its own stays out."""
