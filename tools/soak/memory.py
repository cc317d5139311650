"""How much memory a process holds."""

import psutil


def resident(process: int) -> int:
    """Bytes of a process that are in memory now."""
    return psutil.Process(process).memory_info().rss
