"""The test's side of fail_alloc.c: arms failures in a running program."""

import mmap
import os
import re
import struct
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "fail_alloc.c")
FIELDS = struct.Struct("=QQQQq")
PLACE_SIZE = 4096
SIZE = FIELDS.size + 2 * PLACE_SIZE
FRAME = re.compile(r"(\S+)!(\S+)\+(0x[0-9a-f]+)")
FOREVER = 2 ** 63
# Where every call ends and none begins.
C_LIBRARY = ("libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")


def build(folder):
    """Compiles the library into the folder and returns its path."""
    library = os.path.join(str(folder), "fail_alloc.so")
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra",
         "-Werror", "-O2", "-fPIC", "-shared", "-o", library, SOURCE],
        check=True)
    return library


class Allocations:
    """The allocations of one program, and the file that controls them."""

    def __init__(self, library, path):
        self.library = library
        self.path = path
        with open(path, "wb") as file:
            file.truncate(SIZE)
        os.chmod(path, 0o666)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), SIZE)

    def close(self):
        """Ends the test's view of it."""
        self.map.close()

    def environment(self):
        """What to add to the program's environment."""
        return {"LD_PRELOAD": self.library, "FAIL_ALLOC": self.path,
                "ASAN_OPTIONS": ":".join(filter(None, (
                    os.environ.get("ASAN_OPTIONS"),
                    "verify_asan_link_order=0")))}

    def _fields(self):
        return FIELDS.unpack_from(self.map)

    def arm(self, number, sticky=False):
        """Lets the ${number}-th allocation from now on fail; with ${sticky}
        all that follow it too."""
        alive = self._fields()[4]
        self.map[FIELDS.size:] = bytes(2 * PLACE_SIZE)
        FIELDS.pack_into(self.map, 0, 0, int(sticky), 0, 0, alive)
        struct.pack_into("=Q", self.map, 0, number)

    def count_from_now(self):
        """Only counts."""
        self.arm(FOREVER)

    def disarm(self):
        """Nothing fails any more. Returns (allocations, failed)."""
        _, _, count, failed, _ = self._fields()
        struct.pack_into("=Q", self.map, 0, 0)
        return count, failed

    def start_over(self):
        """For a new process: nothing is alive, nothing armed."""
        self.map[:] = bytes(SIZE)

    @property
    def alive(self):
        """Blocks that were not freed."""
        return self._fields()[4]

    def _frames(self, offset):
        text = self.map[offset:offset + PLACE_SIZE].split(b"\0")[0]
        return [match.groups() for match in
                FRAME.finditer(text.decode("utf-8", "replace"))]

    @property
    def place(self):
        """The frames of the first failure, innermost first: (file, nearest
        symbol, offset)."""
        return self._frames(FIELDS.size)

    @property
    def crash(self):
        """The frames of the crash; empty if there was none."""
        return self._frames(FIELDS.size + PLACE_SIZE)


def culprit(frames):
    """Whose failure it is, as (file, function of it that was called). The C
    library ends the process for others, who are then to blame; but not when
    it was called by the program itself, which is the last of the frames."""
    file = called = None
    for name, symbol, _ in frames:
        if name == frames[-1][0] and file is not None:
            break
        if file in (None, name) or file in C_LIBRARY:
            file = name
            called = symbol
    return file, called
