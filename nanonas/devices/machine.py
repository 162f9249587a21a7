"""How many cores and how much memory this process may use.

joblib's `cpu_count` knows of control groups too, but takes a tenth of a second to import, knows nothing of memory, and
looks neither at the groups around the process's own nor, in version 1, at any but the outermost.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/")  # where /proc and /sys lie; tests have files of their own


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
