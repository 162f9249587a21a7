"""Say: how what happens is told, so that nothing below the command line prints."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Gets what happens, a line at a time."""
