"""finish: what becomes of a winner: the last training, its evaluation, its files and their card. Imports torch."""
