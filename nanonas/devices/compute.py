"""Torch on this machine: the device, its precision, threads, random state and memory."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import torch

from ..core.errors import EvaluationError, SpecError
from .machine import cores

FEW_PIXELS = 16 * 16
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h

if "OMP_NUM_THREADS" not in os.environ:  # torch knows affinity, and no quota
    torch.set_num_threads(min(torch.get_num_threads(), cores()))


def select_device(name: str) -> torch.device:
    """`auto` is the best there is; raises SpecError for one that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise SpecError(f"device {name} is not available here; use device: auto or cpu")
    return torch.device(name)


def computes_in_bfloat16(device: torch.device, precision: str, pixels: int) -> bool:
    """What `precision` means on a device, for images of so many pixels.

    On a CPU without instructions for it (AMX tiles, or AVX-512 BF16), and on an old GPU, bfloat16 is emulated, and many
    times slower; with them it is faster than float32, but on a CPU slower on images so small that casting takes longer
    than computing.
    """
    instructions = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    computed = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    pays = computed or (device.type == "cpu" and instructions and pixels >= FEW_PIXELS)
    return precision == "bfloat16" or (precision == "auto" and pays)


@cache
def keep_freed_memory() -> None:
    """Has glibc keep what tensors free, up to 1 GB a piece, instead of handing every page back and fetching it again.

    Elsewhere nothing happens. Trainings of small networks take a few per cent less time.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generators, which initialization and dropout draw from, seeded inside and restored after."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def memory_checked(advice: str = "") -> Iterator[None]:
    """Out of memory, on CPU or GPU, is an EvaluationError: a candidate's failure, or a training's, with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        by_type = isinstance(error, (MemoryError, torch.OutOfMemoryError))  # on the CPU torch says so only in words
        if not by_type and not ("alloc" in str(error) and "memory" in str(error)):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise EvaluationError(f"out of memory{advice}") from None
