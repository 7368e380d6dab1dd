"""What the machine, or the container, gives this process: cores and memory."""

import os
from pathlib import Path

GIB = 2**30
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


def core_count() -> int:
    """Cores that this process may use: those of the machine, of its affinity or of its container, the fewest."""
    from joblib import cpu_count  # a fifth of a second

    return int(cpu_count())


def memory_bytes() -> int:
    """Bytes of memory, used or not: those of the machine or of its container, the fewest."""
    texts = [Path(path).read_text().strip() for path in MEMORY_LIMITS if Path(path).exists()]
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([of_machine, *(int(text) for text in texts if text.isdecimal())])
