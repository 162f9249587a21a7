"""models: a trained network, or its file, at work on pixels. Imports torch."""
