"""What lies in the memory of a running program. Needs root, whom
PR_SET_DUMPABLE does not stop."""

import os
import re

import pytest

from processes import WRAPPED

MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) .w")

# AddressSanitizer keeps what was freed, valgrind all sorts of copies.
needs_memory = pytest.mark.skipif(
    WRAPPED or os.geteuid() != 0 or "asan" in os.environ.get("B", ""),
    reason="memory cannot be read, or shows more than the program's")


def image(pid):
    """Everything that the process can write to."""
    parts = []
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in (map(lambda text: int(text, 16), found.groups())
                           for found in map(MAPPING.match, maps) if found):
            memory.seek(start)
            try:
                parts.append(memory.read(end - start))
            except OSError:  # the kernel's own pages
                continue
    return b"".join(parts)
