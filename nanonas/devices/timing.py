"""Latency, measured."""

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from .machine import waited_seconds

BATCHES = (1, 64)
MIN_RUNS, MAX_RUNS, SECONDS = 10, 200, 1.0
BUSY = 0.05  # of the time, for which runs may wait for a core before their latency is doubtful


def latency_ms(
    run: Callable[[np.ndarray], object],
    input_size: tuple[int, int, int],
    batches: tuple[int, ...] = BATCHES,
    pixels: bool = False,
) -> Mapping[str, Mapping[str, float]]:
    """Milliseconds a batch: {"batch_1": {"median", "p95", "runs", "waited"}, …}, on random images. The caller sets the
    threads.

    `waited` is the share of the time in which a run was ready and had no core; it is missing where the system does not
    tell.

    Args:
        input_size: C, H, W.
        pixels: `run` takes (N, H, W, C) uint8, not (N, C, H, W) float32.
    """
    result = {}
    channels, height, width = input_size
    for batch in batches:
        rng = np.random.default_rng(0)
        images: np.ndarray = rng.standard_normal((batch, channels, height, width), dtype=np.float32)
        if pixels:
            images = rng.integers(0, 256, (batch, height, width, channels), dtype=np.uint8)
        before, start = waited_seconds(), time.perf_counter()
        times = run_seconds(partial(run, images))
        passed, after = time.perf_counter() - start, waited_seconds()
        median, p95 = (round(float(q) * 1000, 4) for q in np.percentile(times, [50, 95]))
        result[f"batch_{batch}"] = {"median": median, "p95": p95, "runs": len(times)}
        if before is not None and after is not None:
            result[f"batch_{batch}"]["waited"] = round(max(0.0, after - before) / passed, 4)
    return result


def when_busy(latency: Mapping[str, Mapping[str, float]]) -> str | None:
    """What to say when other processes had the core for part of the time."""
    waited = max((times.get("waited", 0.0) for times in latency.values()), default=0.0)
    if waited <= BUSY:
        return None
    return (
        f"warning: the machine was busy while latency was measured: for {waited:.0%} of the time it waited for a core; "
        "run it again when it is quiet"
    )


def run_seconds(run: Callable[[], object], limit: float = SECONDS) -> list[float]:
    """Of each run, after three warm-up runs: until `limit` seconds have passed, but 10 runs at least, 200 at most."""
    for _ in range(3):
        run()
    times: list[float] = []
    while len(times) < MIN_RUNS or (sum(times) < limit and len(times) < MAX_RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times
