"""What processes use, from /proc."""

import os
import re

from processes import descendants


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:  # gone, or not ours to read
        return ""


def family(pid):
    """A process and its descendants."""
    return [pid, *descendants(pid)]


def cpu_us(pids):
    """Processor time so far of all threads, in microseconds."""
    total = 0
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            text = _read(f"/proc/{pid}/task/{task}/schedstat")
            total += int(text.split()[0]) if text else 0
    return total / 1000


def memory_kib(pids):
    """RSS and PSS, together; PSS is None where /proc does not show it."""
    rss = pss = 0
    for pid in pids:
        status = _read(f"/proc/{pid}/status")
        found = re.search(r"^VmRSS:\s+(\d+)", status, re.M)
        rss += int(found.group(1)) if found else 0
        rollup = _read(f"/proc/{pid}/smaps_rollup")
        found = re.search(r"^Pss:\s+(\d+)", rollup, re.M)
        pss = pss + int(found.group(1)) if found and pss is not None else None
    return rss, pss


def descriptors(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def connections_to(port):
    """Established TCP connections of this machine to a port of it."""
    count = 0
    for line in _read("/proc/net/tcp").splitlines()[1:]:
        fields = line.split()
        count += (fields[2].endswith(f":{port:04X}") and fields[3] == "01")
    return count


def listener_pids(port):
    """The processes that listen on a TCP port of this machine."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        for line in _read(f"/proc/net/{name}").splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                inodes.add(f"socket:[{fields[9]}]")
    return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc"))
            if inodes and _holds(pid, inodes)]


def _holds(pid, names):
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") in names:
                return True
    except OSError:
        pass
    return False
