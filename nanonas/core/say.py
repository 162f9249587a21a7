"""Say: how what happens is told, so that nothing below the command line prints."""

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Gets what happens, a line at a time."""


def paced(say: Say, text: str) -> Callable[[int, int], None]:
    """Says how far a job is, once it has taken longer than people wait without a word, and then now and again."""
    due = time.monotonic() + 2

    def report(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due and done < total:
            due = time.monotonic() + 5
            say(text.format(done, total))

    return report
