"""What a process does before it holds keys: no core files, no look from outside, a fitting allocator."""

import ctypes
import os
import resource
import sys
from collections.abc import MutableMapping
from typing import Final

_PR_SET_DUMPABLE: Final = 4

ALLOCATOR: Final = {
    # Buffers of some megabytes come and go with every write: served from the heap they need no page faults. What is
    # larger, contexts for large deltas above all, would leave holes there. The trim threshold bounds what an idle
    # process keeps.
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    "MALLOC_TOP_PAD_": str(4 << 20),
    # Else each worker thread keeps a heap of its own of what it once needed.
    "MALLOC_ARENA_MAX": "2",
}
"""Read by glibc before a process starts, so they must stand in its environment."""


def keep_memory_private() -> None:
    """No core dumps, and no ptrace or /proc/PID/mem for other processes of this user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_back_memory() -> None:
    """What is free in the allocator's heaps goes back to the system; some ms. Where there is no glibc, nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def set_allocator(environment: MutableMapping[str, str]) -> bool:
    """Puts the settings into an environment; False when they all stood there. The user's own are kept."""
    missing = {name: value for name, value in ALLOCATOR.items() if name not in environment}
    environment.update(missing)
    return bool(missing)


def start_again_with_allocator() -> None:
    """Replaces this process by itself, once, when glibc's settings are missing."""
    if set_allocator(os.environ):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
