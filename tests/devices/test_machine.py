"""How many cores, how much memory, and whether other processes want the same."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nanonas import load_spec
from nanonas.devices import machine
from nanonas.devices.environment import environment
from nanonas.devices.machine import AdaptiveThreads, cores
from nanonas.executors import EXECUTORS

GB = 2**30


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 cores, with files in place of /proc and /sys."""
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(machine, "affinity", lambda: 64)
    monkeypatch.setattr(machine, "physical_bytes", lambda: 256 * GB)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


V1 = "9:name=systemd:/\n4:memory:/pod/one\n1:cpu,cpuacct:/pod/one\n0::/"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"
CPU, MEMORY = "sys/fs/cgroup/cpu", "sys/fs/cgroup/memory"
GROUPS: dict[str, tuple[dict[str, str], int, int]] = {
    "none": ({}, 64, 256),
    "v2, no limit": (
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": "max"},
        64,
        256,
    ),
    "v2, in a container": (
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/cpu.max": "100000 100000",
            "sys/fs/cgroup/memory.max": str(2 * GB),
        },
        1,
        2,
    ),
    "v2, a part of a core": ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "50000 100000"}, 1, 256),
    "v2, the group around it has less": (
        {
            "proc/self/cgroup": "0::/pod/one",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000",
            "sys/fs/cgroup/pod/one/cpu.max": "400000 100000",
            "sys/fs/cgroup/pod/memory.max": str(3 * GB),
            "sys/fs/cgroup/pod/one/memory.max": "max",
        },
        2,
        3,
    ),
    "v1": (
        {
            "proc/self/cgroup": V1,
            f"{CPU}/pod/one/{QUOTA}": "100000",
            f"{CPU}/pod/one/{PERIOD}": "100000",
            f"{CPU}/{QUOTA}": "-1",
            f"{CPU}/{PERIOD}": "100000",
            f"{MEMORY}/pod/one/memory.limit_in_bytes": str(2 * GB),
            f"{MEMORY}/memory.limit_in_bytes": "9223372036854771712",
        },
        1,
        2,
    ),
    "v1, in a container that does not see its own path": (
        {
            "proc/self/cgroup": V1,
            f"{CPU}/{QUOTA}": "250000",
            f"{CPU}/{PERIOD}": "100000",
            f"{MEMORY}/memory.limit_in_bytes": str(4 * GB),
        },
        3,
        4,
    ),
    "no limit on memory, hardly any on cores": (
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "9900000 100000"},
        64,
        256,
    ),
    "damaged": ({"proc/self/cgroup": "?", "sys/fs/cgroup/cpu.max": ""}, 64, 256),
}


@pytest.mark.parametrize("name", GROUPS)
def test_control_groups_limit_cores_and_memory(name: str, root: Path) -> None:
    files, count, gigabytes = GROUPS[name]
    write(root, files)
    assert machine.cores() == count
    assert machine.memory_bytes() == gigabytes * GB


def test_workers_follow_a_group_of_one_core_and_two_gigabytes(root: Path) -> None:
    write(root, GROUPS["v2, in a container"][0])
    spec = load_spec("digits-evo")
    assert cores() == EXECUTORS["processes"](spec.executor, spec.assignment).workers == 1
    asked = load_spec("digits-evo", ["executor.workers=3"])
    assert EXECUTORS["processes"](asked.executor, asked.assignment).workers == 3
    told = environment(threads=1)
    assert told["cores"] == 1 and told["cores_found"] == {"affinity": 64, "quota": 1.0}
    assert told["memory_bytes"] == 2 * GB and told["memory_found"] == {"machine": 256 * GB, "quota": 2 * GB}


def test_workers_are_as_many_as_memory_holds(root: Path) -> None:
    write(root, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(2 * GB)})
    spec = load_spec("digits-evo", ["executor.lookahead=64"])
    assert cores() == 64
    assert EXECUTORS["processes"](spec.executor, spec.assignment).workers == 3  # half a gigabyte each, and one for us
    write(root, {"sys/fs/cgroup/memory.max": str(GB // 4)})
    assert EXECUTORS["processes"](spec.executor, spec.assignment).workers == 1


THREADS = """
import sys
from pathlib import Path
from nanonas.devices import machine
machine.affinity = lambda: 64
machine.ROOT = Path(sys.argv[1])
import torch
torch.set_num_threads(8)
from nanonas.devices import compute
print(torch.get_num_threads())
"""


@pytest.mark.parametrize(("variables", "count"), [({}, "1"), ({"OMP_NUM_THREADS": "8"}, "8")])
def test_threads_follow_the_group_unless_the_user_says_otherwise(
    variables: dict[str, str], count: str, root: Path
) -> None:
    write(root, GROUPS["v1"][0])
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | variables
    words = [sys.executable, "-c", THREADS, str(root)]
    assert subprocess.run(words, env=given, capture_output=True, text=True, check=True).stdout.strip() == count


INSIDE = """
import json, os, sys
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
from nanonas.devices import machine
print(json.dumps([machine.core_quota(), machine.cores()]))
"""


def test_a_real_group_is_found(tmp_path: Path) -> None:
    """Where this user may make one."""
    groups = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
    top = next((group for group in groups if (group / "cgroup.procs").exists()), None)
    group = (top or tmp_path) / f"nanonas-test-{os.getpid()}"
    try:
        if top is None:
            pytest.skip("there are no control groups here")
        try:
            group.mkdir()
            if top.name == "cpu":
                (group / QUOTA).write_text("50000")
            else:
                (group / "cpu.max").write_text("50000 100000")
        except OSError:
            pytest.skip("control groups are not ours to make")
        words = [sys.executable, "-c", INSIDE, str(group / "cgroup.procs")]
        said = subprocess.run(words, capture_output=True, text=True)
        if said.returncode:
            pytest.skip(f"processes are not ours to move: {said.stderr[-200:]}")
        assert json.loads(said.stdout) == [0.5, 1]
    finally:
        with suppress(OSError):
            group.rmdir()


class Machine:
    """A clock, and threads that wait: the more of them there are than cores that others leave."""

    def __init__(self, free: float = 4.0) -> None:
        self.now = self.waited = 0.0
        self.free = free

    def step(self, room: AdaptiveThreads, seconds: float = 1.0) -> int:
        count = room.threads
        self.now += seconds
        self.waited += seconds * max(0.0, count - self.free)
        return count

    def room(self, most: int = 4) -> AdaptiveThreads:
        return AdaptiveThreads(most, lambda: self.now, lambda: self.waited)

    def steps(self, room: AdaptiveThreads, count: int) -> list[int]:
        return [self.step(room) for _ in range(count)]


def test_on_a_quiet_machine_all_threads_train() -> None:
    there = Machine()
    assert set(there.steps(there.room(), 100)) == {4}


def test_threads_are_as_many_as_find_a_core() -> None:
    there = Machine(free=2.5)
    assert there.steps(there.room(), 5) == [4, 2, 2, 2, 2]
    there = Machine(free=0.3)
    assert there.steps(there.room(), 30)[1:] == [1] * 29


def test_all_threads_are_tried_again_ever_more_rarely_while_the_machine_is_busy() -> None:
    there = Machine(free=1.0)
    room = there.room()
    tried = [second for second, count in enumerate(there.steps(room, 200)) if count == 4]
    assert tried == [0, 11, 32, 73, 154]
    there.free = 4.0
    assert set(there.steps(room, 300)[-10:]) == {4}


def test_where_the_system_does_not_tell_all_threads_train() -> None:
    there = Machine(free=1.0)
    room = AdaptiveThreads(4, lambda: there.now, lambda: None)
    assert set(there.steps(room, 10)) == {4}


def test_the_kernel_tells_how_long_threads_waited(root: Path) -> None:
    assert machine.waited_seconds() is None
    write(root, {f"proc/self/task/{thread}/schedstat": f"7 {thread}000000000 9" for thread in (1, 2)})
    assert machine.waited_seconds() == 3.0
