"""Latency, measured."""

import time
from collections.abc import Callable, Mapping

import numpy as np

BATCHES = (1, 64)
MIN_RUNS, MAX_RUNS, SECONDS = 10, 200, 1.0


def latency_ms(
    run: Callable[[np.ndarray], object], input_size: tuple[int, int, int], batches: tuple[int, ...] = BATCHES
) -> Mapping[str, Mapping[str, float]]:
    """Milliseconds a batch: {"batch_1": {"median", "p95", "runs"}, …}, on random images, after three warm-up runs.

    A batch runs until a second has passed, but at least 10 and at most 200 times. The caller sets the threads.
    """
    result = {}
    for batch in batches:
        images = np.random.default_rng(0).standard_normal((batch, *input_size), dtype=np.float32)
        for _ in range(3):
            run(images)
        times: list[float] = []
        while len(times) < MIN_RUNS or (sum(times) < SECONDS and len(times) < MAX_RUNS):
            start = time.perf_counter()
            run(images)
            times.append(time.perf_counter() - start)
        median, p95 = (round(float(q) * 1000, 4) for q in np.percentile(times, [50, 95]))
        result[f"batch_{batch}"] = {"median": median, "p95": p95, "runs": len(times)}
    return result
