"""Processes and sockets of this machine: what is there, and waiting for it."""

import os
import pathlib
import socket
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENDPOINTS = ("get_config", "start_agent", "stop_agent")

# Slow machines, sanitizers and valgrind stretch every limit alike.
WRAPPED = bool(os.environ.get("PROGRAM_WRAPPER"))
PATIENCE = 10.0 if WRAPPED else 1.0
# Starting a program takes a second under valgrind and 50 ms with ASan.
SANITIZED = "asan" in os.environ.get("B", "")
SLOW = WRAPPED or SANITIZED


def wait_until(condition, seconds, what):
    """Polls until ${condition} holds and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def can_connect(address):
    """Whether somebody accepts connections at a port or a socket's path."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect(address)
        except OSError:
            return False
    return True


def children(pid):
    """The direct child processes of ${pid}."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(child) for child in f.read().split()]
    except OSError:
        return []


def descendants(pid):
    """The child processes of ${pid}, theirs, and so on."""
    found = children(pid)
    for child in found:  # which grows meanwhile
        found += children(child)
    return found


def alive(pid):
    """Whether the process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii",
                  errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid):
    """The processor time of a process and of the children it waited for."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
