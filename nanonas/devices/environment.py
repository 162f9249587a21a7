"""What a result was measured on: versions, processor, threads, commit."""

import platform
import subprocess
from pathlib import Path
from typing import Any

from ..core.version import version
from . import machine

# the widest first
INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}


def environment(threads: int) -> dict[str, Any]:
    """Cheap enough for every start: versions come from package metadata, torch is not imported.

    Args:
        threads: of each process that trains.
    """
    return {
        "nanonas": version("nanonas"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "onnxruntime": version("onnxruntime"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu(),
        "cores": machine.cores(),
        "cores_found": {"affinity": machine.affinity(), "quota": machine.core_quota()},
        "threads": threads,
        "memory_bytes": machine.memory_bytes(),
        "memory_found": {"machine": machine.physical_bytes(), "quota": machine.memory_quota()},
        "gpu": _gpus(),
    }


def _commit() -> str | None:
    """The git commit of nanonas itself, when it runs from a checkout; with `+` when that has changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None


def _gpus() -> list[str]:
    """NVIDIA's driver lists them in /proc."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        text = path.read_text(errors="replace")
        found += [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Model")]
    return found


def cpu() -> str:
    """The processor's name and, on x86 Linux, its widest instructions.

    Processors of one name differ in these, and train several times as fast with those for bfloat16.
    """
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        lines = []
    told = {name.strip(): value.strip() for name, _, value in lines}
    flags = told.get("flags", "").split()
    widest = [text for flag, text in INSTRUCTIONS.items() if flag in flags][:1]
    return ", ".join([told.get("model name") or platform.processor() or platform.machine(), *widest])
