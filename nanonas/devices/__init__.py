"""devices: what a machine is, has and may use, and how long it takes. Only `compute` imports torch."""
