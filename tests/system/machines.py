"""Machines that share nothing but a network: network namespaces, on a bridge
that is in the first of them. Wants root; unavailable() says what is missing.

    with Machines("192.0.2.1", "192.0.2.11", "192.0.2.12") as machines:
        with machines["192.0.2.11"].inside():
            … programs started and sockets made here are on that machine …
        machines.cut("192.0.2.11")

Files, and sockets that have a path, are common to all.
"""

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess

CLONE_NEWNET = 0x40000000
HERE = "/proc/thread-self/ns/net"
LIBC = ctypes.CDLL(None, use_errno=True)


def _done(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Namespace:
    """A network, for as long as somebody is in it or has it open."""

    def __init__(self):
        with self._returning():
            _done(LIBC.unshare(CLONE_NEWNET))
            self.descriptor = os.open(HERE, os.O_RDONLY)

    def close(self):
        """The network goes with the last process in it."""
        os.close(self.descriptor)

    @staticmethod
    @contextlib.contextmanager
    def _returning():
        """Back to where this thread was."""
        before = os.open(HERE, os.O_RDONLY)
        try:
            yield
        finally:
            _done(LIBC.setns(before, CLONE_NEWNET))
            os.close(before)

    @contextlib.contextmanager
    def inside(self):
        """Puts this thread, and no other, into it."""
        with self._returning():
            _done(LIBC.setns(self.descriptor, CLONE_NEWNET))
            yield

    def ip(self, *arguments):
        """ip(8) in there."""
        with self.inside():
            subprocess.run(["ip", *arguments], check=True)

    @property
    def path(self):
        """For ip(8)."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"


def _port(address):
    """The bridge's end of a machine's cable."""
    return "to" + address.rsplit(".", 1)[1]


class Machines:
    """One for each address of a /24; the first has the bridge."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.namespaces = {}

    def __getitem__(self, address):
        return self.namespaces[address]

    def __enter__(self):
        first, *others = self.addresses
        self.namespaces[first] = Namespace()
        self[first].ip("link", "add", "net0", "type", "bridge")
        for address in others:
            self.namespaces[address] = Namespace()
            self[first].ip("link", "add", _port(address), "type", "veth",
                           "peer", "name", "net0", "netns",
                           self[address].path)
            self[first].ip("link", "set", _port(address), "master", "net0",
                           "up")
        for address, namespace in self.namespaces.items():
            namespace.ip("link", "set", "lo", "up")
            namespace.ip("address", "add", f"{address}/24", "dev", "net0")
            namespace.ip("link", "set", "net0", "up")
        return self

    def __exit__(self, *unused):
        for namespace in self.namespaces.values():
            namespace.close()

    def cut(self, address):
        """Pulls the cable: nothing comes or goes, and nobody is told."""
        self[self.addresses[0]].ip("link", "set", _port(address), "down")

    def mend(self, address):
        """Puts it back."""
        self[self.addresses[0]].ip("link", "set", _port(address), "up")


@functools.cache
def unavailable():
    """Why there can be no such machines here, or None."""
    if shutil.which("ip") is None:
        return "ip is missing (package iproute2)"
    try:
        with Machines("192.0.2.1", "192.0.2.2"):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces want root and a kernel with veth: {error}"
