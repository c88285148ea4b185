"""A systemd of one's own: process 1 of its own namespaces, on a copy of this
machine's root that is gone afterwards. Network and kernel are the machine's.

Needs root, and unshare(1), nsenter(1) and overlay file systems.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from processes import PATIENCE, children, wait_until

CGROUPS = pathlib.Path("/sys/fs/cgroup")

# What sets up a machine, and is not for us: the kernel is shared.
MASKED = ("systemd-sysctl.service", "systemd-binfmt.service",
          "systemd-modules-load.service", "systemd-remount-fs.service",
          "systemd-udevd.service", "systemd-udev-trigger.service",
          "systemd-random-seed.service", "systemd-update-utmp.service",
          "systemd-tmpfiles-setup-dev.service", "timers.target")

# $1: an empty folder. $2: the units that are masked. Then pairs: what is to
# be seen, and where.
BOOT = r"""
top=$1 masked=$2
shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay overlay -o \
    "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root"
cd "$top/root"
for unit in $masked; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
rm -rf etc/agora-agent
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --rbind /sys sys
if [ -d /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
else
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
while [ $# -gt 0 ]; do
    mkdir -p "./$2"
    mount --bind "$1" "./$2"
    shift 2
done
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nReadKMsg=no\n' >etc/systemd/journald.conf.d/test.conf
# Not chroot(1): from below one there are no user namespaces to be had.
mkdir old
pivot_root . old
cd /
umount -l old
rmdir old
# systemd hands credentials over by mounts that have to reach it.
mount --make-rshared /
exec /lib/systemd/systemd --system --unit=basic.target --log-target=journal
"""


def same_namespace(kind, one, other):
    """Whether two processes share a namespace, "pid" or "net" for example."""
    return os.stat(f"/proc/{one}/ns/{kind}").st_ino == os.stat(
        f"/proc/{other}/ns/{kind}").st_ino


class Systemd:
    """A running one.

    folder: an empty one of ours. seen: (folder of this machine, where it is
    seen in there), for what the two are to share.
    """

    def __init__(self, folder, seen=()):
        self.folder = pathlib.Path(folder)
        self.group = f"agora-agent-test-{os.getpid()}"
        top = self.folder / "top"
        top.mkdir(parents=True)
        self.log = self.folder / "console"
        pairs = [str(name) for pair in seen for name in pair]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-euc", self._join() + 'exec "$@"', "sh",
                 "unshare", "--mount", "--pid", "--fork", "--kill-child",
                 "--uts", "--ipc", "--cgroup", "env", "-i", "container=test",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                 "sh", "-euc", BOOT, "sh", top, " ".join(MASKED), *pairs],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._await()
        except AssertionError as error:
            said = self.log.read_text(encoding="utf-8", errors="replace")
            self.stop()
            raise AssertionError(f"systemd did not start: {said}") from error

    def _hierarchies(self):
        """Those of version 1, or the one of version 2. A cpuset would have
        to be filled in first, and systemd does not use it."""
        if (CGROUPS / "cgroup.procs").exists():
            return [CGROUPS]
        return [path for path in CGROUPS.iterdir()
                if (path / "cgroup.procs").exists() and not path.is_symlink()
                and path.name != "cpuset"]

    def _join(self):
        """Commands that put the shell into control groups of our own, which
        are then the roots of the namespace: nothing is done outside."""
        return "".join(f"mkdir -p {path}/{self.group}\n"
                       f"echo $$ >{path}/{self.group}/cgroup.procs\n"
                       for path in self._hierarchies())

    def _first_process(self):
        """The one that is or will be systemd; None if it is not there."""
        for pid in children(self.process.pid):
            with contextlib.suppress(OSError):
                if not same_namespace("pid", pid, "self"):
                    return pid
        return None

    def _await(self):
        self.pid = wait_until(
            lambda: self.process.poll() is None and self._first_process(),
            10 * PATIENCE, "a process 1")
        wait_until(lambda: self.process.poll() is not None or self.run(
            "systemctl", "is-system-running", check=False).strip() in (
                "running", "degraded"), 60 * PATIENCE, "a running system")
        assert self.process.poll() is None

    def run(self, *command, check=True, text=None):
        """Runs a command in there, with ${text} as its input; its output."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-a", "-r", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *map(str, command)],
            input=text or "", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
            timeout=120 * PATIENCE)
        assert done.returncode == 0 or not check, (command, done.stdout)
        return done.stdout

    def write(self, path, text, mode=0o644):
        """A file in there."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path,
                 text=text)

    def show(self, unit, name):
        """A property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def main_pid(self, unit):
        """The process of a service, by this machine's number; or None."""
        inner = self.show(unit, "MainPID")
        for path in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                text = path.read_text(encoding="utf-8")
                same = same_namespace("pid", path.parent.name, self.pid)
            except OSError:
                continue
            numbers = [line.split()[1:] for line in text.splitlines()
                       if line.startswith("NSpid:")][0]
            if same and numbers[-1] == inner and len(numbers) > 1:
                return int(numbers[0])
        return None

    def journal(self, unit):
        """What a unit has logged, and systemd about it."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-u", unit, "-o", "cat")

    def stop(self):
        """Ends it and everything in it."""
        if self.process.poll() is None:
            for child in children(self.process.pid):
                os.kill(child, signal.SIGKILL)
        self.process.wait(20 * PATIENCE)
        for path in self._hierarchies():
            self._remove(path / self.group)
        shutil.rmtree(self.folder)

    def _remove(self, group):
        """A control group that nobody is in, or will be in a moment."""
        deadline = time.monotonic() + 10
        for path in sorted((group, *group.rglob("*/")), reverse=True):
            while path.is_dir():
                try:
                    path.rmdir()
                except OSError:
                    assert time.monotonic() < deadline, f"{path} is in use"
                    time.sleep(0.01)
