"""Debian machines to install on: a copy of a fresh Debian with a systemd that
runs as process 1 in namespaces of its own.

    with Machine() as machine:
        machine.run("apt-get install -y nginx")
        machine.run("sudo systemctl reload nginx", user=STRANGER)

The Debian is made once, in build-chroot/, by debootstrap from where apt has
its packages from. It is what one gets with a rented machine: systemd, sudo,
curl, no web server. What tests install is downloaded beforehand (download()),
and the machines share the network of the test process, which has only a
loopback interface (leave_network()): nothing is fetched while a test runs.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import uuid

from processes import ROOT, children, wait_until

HERE = pathlib.Path(__file__).resolve().parent
CACHE = ROOT / "build-chroot"
BASE = CACHE / "base"
LOG = CACHE / "log"
# A user who may use sudo, as whoever rents a machine.
STRANGER = "stranger"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                       "/sbin:/bin",
               "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
CLONE_NEWNET = 0x40000000
BOOT_S = 60
RUN_S = 300


def logged(*command, **more):
    """Runs a command of the host; what it says goes into the log."""
    with open(LOG, "ab") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log,
                              stderr=log, check=False, **more)
    assert done.returncode == 0, f"{command[0]} failed; see {LOG}"


def sources(form, *filters):
    """Where apt has Debian itself from, one line each."""
    return subprocess.run(
        ["apt-get", "indextargets", "--format", form,
         "Created-By: Packages", "Origin: Debian", *filters],
        stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()


def in_base(root, script):
    """Runs a shell script in the Debian ${root} with the host's network."""
    logged("unshare", "--mount", "--pid", "--fork", "sh", "-euc", """
        mount -t proc proc "$0/proc"
        mount --rbind /dev "$0/dev"
        cp /etc/resolv.conf "$0/etc/resolv.conf"
        exec chroot "$0" sh -euc "$1"
        """, str(root), script, env=ENVIRONMENT)


def make_base():
    """Makes the Debian that all machines begin with."""
    new = CACHE / "base.new"
    shutil.rmtree(new, ignore_errors=True)
    archives = sources("$(CODENAME) $(SITE)", "Label: Debian")
    assert archives, "apt has no packages of Debian here"
    codename, site = archives[0].split()
    logged("debootstrap", "--variant=minbase", codename, str(new), site)
    (new / "etc/apt/sources.list").write_text(
        "".join(line + "\n" for line in
                sources("deb $(SITE) $(RELEASE) $(COMPONENT)")),
        encoding="ascii")
    in_base(new, f"""
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends systemd systemd-sysv \
            sudo curl ca-certificates
        echo machine >/etc/hostname
        echo '127.0.0.1 localhost machine' >/etc/hosts
        useradd --create-home --shell /bin/bash {STRANGER}
        echo '{STRANGER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{STRANGER}
        """)
    new.rename(BASE)


def download(*sets):
    """Makes sure that each of the sets of packages, written as for apt, can
    be installed without a network."""
    CACHE.mkdir(exist_ok=True)
    if not BASE.exists():
        make_base()
    script = "".join(f"apt-get install -y -qq -d {names}\n" for names in sets)
    try:
        in_base(BASE, script)
    except AssertionError:  # the lists may be older than the archive
        in_base(BASE, "apt-get update -qq\n" + script)


def leave_network():
    """From now on this process and its children have a loopback interface
    and nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Failed(AssertionError):
    """A command in a machine has failed."""


class Machine:
    """One machine, for the length of a with statement."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=CACHE))
        self.cgroup = f"agora-agent-{uuid.uuid4()}"
        self.process = None
        self.pid = None

    def __enter__(self):
        with open(LOG, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork",
                 "--kill-child", HERE / "machine.sh", BASE, self.folder,
                 self.cgroup], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
        try:
            self.pid = wait_until(lambda: children(self.process.pid),
                                  BOOT_S, "a process 1")[0]
            wait_until(lambda: os.path.exists(
                f"/proc/{self.pid}/root/run/systemd/private"), BOOT_S,
                "systemd")
            self.run("systemctl is-system-running --wait")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        """Ends process 1, and with it all the others."""
        os.kill(self.pid or self.process.pid, signal.SIGKILL)
        self.process.wait()
        subprocess.run(
            ["unshare", "--mount", "sh", "-euc", """
             mount -t cgroup2 cgroup2 "$0"
             find "$0/$1" -depth -type d -exec rmdir {} +
             """, self.folder, self.cgroup], check=True)
        self.folder.rmdir()

    def path(self, inside):
        """Where the host sees a file of the machine."""
        return pathlib.Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def run(self, script, user="root", folder=None, **environment):
        """Runs a shell script; returns what it printed. Failed if it has
        another exit status than 0. To a question the answer is yes."""
        home = "/root" if user == "root" else f"/home/{user}"
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-i", "-u", "-C",
             "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
             "sh", "-euc", f"cd {folder or home}\n{script}"],
            env={**ENVIRONMENT, "HOME": home, "USER": user, **environment},
            input="y\n", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=RUN_S)
        if done.returncode != 0:
            raise Failed(f"{script}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def put(self, file, inside):
        """Copies a file of the host, for everybody to read."""
        target = self.path(inside)
        shutil.copyfile(file, target)
        target.chmod(0o644)
