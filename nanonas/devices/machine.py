"""How many cores and how much memory this process may use, and how long it waits for a core.

joblib's `cpu_count` knows of quotas too, but takes a tenth of a second to import, knows nothing of memory, and reads
only the outermost control group that it sees, not the process's own and those between.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/")  # where /proc and /sys lie; tests have files of their own
LOOK_SECONDS = 0.5  # between two looks at how crowded the machine is
CROWDED = 0.2  # of a core: what other processes may take from us before threads are fewer
PATIENCE, LONGEST = 10.0, 320.0  # seconds until all threads are tried again; twice as long whenever that was too soon


def cores() -> int:
    """Processors that this process may use: by affinity, and by the quota of its control groups, rounded up."""
    quota = core_quota()
    return affinity() if quota is None else max(1, min(affinity(), math.ceil(quota)))


def affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_quota() -> float | None:
    """Cores that the control groups allow (`docker run --cpus`, Kubernetes' limits, most CI); None: any number."""
    quotas: list[float] = []
    for path, text in _told("cpu", "cpu.cfs_quota_us", "cpu.max"):
        with suppress(ValueError, OSError, ZeroDivisionError):  # "max" is no number
            quota, *period = text.split()
            per = int(period[0]) if period else int((path.parent / "cpu.cfs_period_us").read_text())
            quotas += [int(quota) / per] if int(quota) > 0 else []
    return min(quotas, default=None)


def memory_bytes() -> int | None:
    """The machine's memory, or less where a control group allows less; None where it is unknown."""
    return min((limit for limit in (physical_bytes(), memory_quota()) if limit is not None), default=None)


def physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def memory_quota() -> int | None:
    """Bytes that the control groups allow; None: any number, which version 1 writes as one of nearly 2**63."""
    texts = [text for _, text in _told("memory", "memory.limit_in_bytes", "memory.max")]
    limits = [int(text) for text in texts if text.strip().isdecimal()]
    return min((limit for limit in limits if limit < 2**60), default=None)


def _told(controller: str, first: str, second: str) -> Iterator[tuple[Path, str]]:
    """A file, named `first` in version 1 and `second` in version 2, of the control group of this process and of every
    group around it: the lowest limit counts. Inside a container the group's path may be the host's, of which nothing
    is seen but the root: the container's own group."""
    with suppress(OSError, ValueError):
        for line in (ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            tops, name = ["sys/fs/cgroup", "sys/fs/cgroup/unified"], second
            if controllers:
                tops, name = [f"sys/fs/cgroup/{controller}"], first
            if controllers and controller not in controllers.split(","):
                continue
            group = PurePosixPath(path.lstrip("/"))
            for file in (ROOT / top / around / name for top in tops for around in (group, *group.parents)):
                with suppress(OSError):
                    yield file, file.read_text()


def resident_bytes() -> int:
    """Memory of this process; 0 where the system has no /proc."""
    try:
        return int((ROOT / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def waited_seconds() -> float | None:
    """How long threads of this process, taken together, were ready to run and had no core; None where the system does
    not tell (all but Linux)."""
    waited, told = 0, False
    for path in (ROOT / "proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has just ended
            waited += int(path.read_text().split()[1])
            told = True
    return waited / 1e9 if told else None


class AdaptiveThreads:
    """How many threads find a core each.

    Threads that share the work of an operation wait for the slowest, and spin meanwhile: one that another process keeps
    from its core holds up all of them, at every operation. So while the threads wait for cores, they are fewer; all are
    tried again after ten seconds, and after ever longer ones when that was too soon.
    """

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        waited: Callable[[], float | None] = waited_seconds,
    ) -> None:
        self.most = self._count = most
        self._clock, self._told = clock, waited
        self._since, self._waited = clock(), waited()
        self._patience, self._again = PATIENCE, math.inf

    @property
    def threads(self) -> int:
        """For the next step; it costs nothing to ask."""
        now = self._clock()
        if self.most > 1 and self._waited is not None and now - self._since >= LOOK_SECONDS:
            waited = self._told() or 0.0
            self._look(now, (waited - self._waited) / (now - self._since))
            self._since, self._waited = self._clock(), waited
        return self._count

    def _look(self, now: float, missing: float) -> None:
        """Args: missing: how many cores fewer there were than threads that were ready."""
        if missing > CROWDED:
            self._again = now + self._patience
            if self._count == self.most:
                self._patience = min(2 * self._patience, LONGEST)
            self._count = max(1, math.floor(self._count - missing))
        elif self._count == self.most:
            self._patience = PATIENCE
        elif now >= self._again:
            self._count = self.most
