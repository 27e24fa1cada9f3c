"""How many files, sockets and pieces of shared memory the service may have open at once."""

import sys
from contextlib import suppress

try:
    import resource
except ImportError:  # Windows, where there is no such limit
    resource = None

WANTED = 4096
"""Systems begin with 256 (macOS) or 1024."""
OTHERS = 96
"""What is not for scenes: clients, workers, the log."""
A_SCENE = 2
"""Handles that a piece of shared memory takes."""
FEWEST = 8


def allow_many_handles() -> None:
    """Let this process open as many as it needs, where the system lets it."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= WANTED:
        return
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_scenes() -> int:
    """Scenes that this process has handles for."""
    if resource is None:
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(FEWEST, (soft - OTHERS) // A_SCENE)
