"""Presets: one YAML file each, opening with its command, its cost and its measured result."""
