"""What the machine can do: its rate of matrix products, its clock, the memory that was taken."""

from __future__ import annotations

import resource
import time

import torch


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of a large product; the best of some."""
    n = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(5):
        began = now(device)
        a @ b
        times.append(now(device) - began)
    return 2 * n**3 / min(times)


def now(device: torch.device) -> float:
    """Seconds, once all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def memory() -> float:
    """GiB that the process has held at most, so far; on a GPU, its memory."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
