"""runs: the run directory, the noun that travels through all commands, and what its files say."""
