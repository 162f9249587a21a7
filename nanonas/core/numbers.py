"""Numbers as people read them."""

from collections.abc import Mapping
from typing import Any


def percent(estimate: Mapping[str, Any] | None, with_interval: bool = False) -> str:
    """`93.42 ± 0.11 % (n=3)`."""
    if estimate is None:
        return "–"
    mean, spread = f"{estimate['mean'] * 100:.2f}", ""
    if estimate["std"] is None:
        return f"{mean} % (n={estimate['n']})"
    if with_interval:
        spread = f", 95 % interval {points(estimate['interval'][0])} to {points(estimate['interval'][1])}"
    return f"{mean} ± {estimate['std'] * 100:.2f} % (n={estimate['n']}{spread})"


def count(value: float) -> str:
    """`1.29 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= 0.9995 * size:
            return f"{three_digits(value / size)} {unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """`42.0 s`, `12.5 min`, `3.10 h`."""
    if seconds < 120:
        return f"{three_digits(seconds)} s"
    return f"{three_digits(seconds / 60)} min" if seconds < 7200 else f"{three_digits(seconds / 3600)} h"


def three_digits(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def points(fraction: float, sign: str = "") -> str:
    """A difference of fractions in percentage points, with a real minus."""
    return f"{fraction * 100:{sign}.2f}".replace("-0.00", "0.00").replace("-", "−")


def p_text(p: float) -> str:
    return "p<0.001" if p < 0.001 else f"p={p:.3g}"
