"""How much memory this machine has."""

import ctypes
import os
import sys


class MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX; sizes in bytes."""

    _fields_ = [
        ("length", ctypes.c_uint32),
        ("percent_in_use", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 6),
    ]


def machine_memory() -> int | None:
    """Bytes of this machine's memory, None where the system doesn't tell."""
    if sys.platform == "win32":
        status = MemoryStatus(ctypes.sizeof(MemoryStatus))
        told = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status.total if told else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
