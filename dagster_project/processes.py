"""Processes beside the first one: how many, what each may use, and none that outlives it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import NoReturn


def cores() -> int:
    """Cores that this process may use, which a container can make fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads(n: int) -> Iterator[None]:
    """So many threads in torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stand_by_the_first() -> None:
    """Called in a process of several: the first says when to stop, and its death ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_with_the_first, daemon=True).start()


def leave(code: int = 0) -> NoReturn:
    """End this process now: to take apart what torch and Dagster have built needs 3 s."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_with_the_first() -> None:
    first = parent_process()
    assert first is not None
    wait([first.sentinel])
    os._exit(1)
