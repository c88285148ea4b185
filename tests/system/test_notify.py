"""What a service manager is told (sd_notify(3)), and what a watchdog does."""

import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

import servers
from processes import PATIENCE, WRAPPED, alive, wait_until

# Long enough for a slow machine, short enough for a test.
LIMIT = 0.5 * PATIENCE


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(10 * PATIENCE)
        # What begins with a NUL is an abstract one, written with "@".
        self.name = address.replace("\0", "@")

    def env(self, **more):
        """For the program."""
        return {"NOTIFY_SOCKET": self.name, **more}

    def hear(self):
        """The next message."""
        return self.sock.recv(4096).decode("ascii")

    def heard(self, seconds):
        """All messages of some time."""
        deadline = time.monotonic() + seconds
        said = []
        while time.monotonic() < deadline:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                said.append(self.hear())
            except TimeoutError:
                break
        self.sock.settimeout(10 * PATIENCE)
        return said

    def all(self):
        """What is left."""
        said = []
        self.sock.setblocking(False)
        try:
            while True:
                said.append(self.hear())
        except BlockingIOError:
            return said


@pytest.fixture
def manager(programs):
    """A manager that wants no signs of life."""
    made = Manager(programs.file("notify"))
    yield made
    made.sock.close()


@pytest.fixture
def watching(manager):
    """A manager that wants them, and the words that say so."""
    return manager, manager.env(WATCHDOG_USEC=str(int(LIMIT * 1e6)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_start_and_stop_are_told(programs, rig, workers, kind):
    """READY once it serves, STOPPING when it is about to end, once each,
    from the process that was started; without a watchdog nothing else."""
    path = programs.file("notify")
    manager = Manager(path if kind == "path" else "\0" + path)
    program = programs.listen("get_config", rig.env_file("default"),
                              workers=workers, env=manager.env())
    assert manager.hear() == "READY=1"
    assert program.stop() == 0
    assert manager.all() == ["STOPPING=1"]
    manager.sock.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_watchdog_is_fed(programs, rig, watching, workers):
    """Twice within its limit, from the loop: not while that stands still."""
    manager, env = watching
    program = programs.listen("start_agent", rig.env_file("default"),
                              workers=workers, env=env)
    assert manager.hear() == "READY=1"
    said = manager.heard(3 * LIMIT)
    assert set(said) == {"WATCHDOG=1"} and 3 <= len(said) <= 7, said
    os.kill(program.pid, signal.SIGSTOP)
    manager.all()
    assert not manager.heard(1.5 * LIMIT)
    os.kill(program.pid, signal.SIGCONT)
    assert manager.hear() == "WATCHDOG=1"
    assert program.stop() == 0


def test_a_watch_over_somebody_else(programs, rig, watching):
    """WATCHDOG_PID names the process that is watched; WATCHDOG_USEC may be
    nonsense."""
    manager, env = watching
    for more in ({"WATCHDOG_PID": str(os.getpid())},
                 {"WATCHDOG_PID": "x"}, {"WATCHDOG_USEC": "-1"}):
        program = programs.listen("get_config", rig.env_file("default"),
                                  workers=0, env={**env, **more})
        assert manager.hear() == "READY=1"
        assert not manager.heard(LIMIT / 2)
        assert program.stop() == 0
        assert manager.hear() == "STOPPING=1"


def test_f15_a_worker_that_hangs_is_replaced(programs, rig, watching):
    """The other one, and the parent, go on."""
    manager, env = watching
    program = programs.listen("get_config", rig.env_file("default"), env=env)
    first, second = program.workers(2)
    assert manager.hear() == "READY=1"
    began = time.monotonic()
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: not alive(first), 10 * LIMIT, "it is killed")
    assert time.monotonic() - began >= LIMIT / 2
    assert f"workers: {first} hangs, killing it" in (
        program.log.text().decode("ascii"))
    assert second in program.workers(2)
    # Nor is anybody else killed who is well.
    workers = program.workers(2)
    time.sleep(2 * LIMIT)
    assert program.workers(2) == workers
    assert program.stop() == 0


def test_f15_without_a_watchdog_nobody_is_killed(programs, rig, manager):
    """Somebody may be looking at it with a debugger."""
    program = programs.listen("get_config", rig.env_file("default"),
                              env=manager.env())
    first, _ = program.workers(2)
    os.kill(first, signal.SIGSTOP)
    time.sleep(2 * LIMIT)
    assert alive(first)
    os.kill(first, signal.SIGCONT)
    assert program.stop() == 0


@pytest.mark.skipif(WRAPPED or os.geteuid() != 0,
                    reason="only root can be somebody with a limit")
def test_why_there_is_no_worker(programs, watching):
    """A user who may have no other process, with a pulse made for it."""
    program = shutil.copy2(programs.build / "get_config.fcgi",
                           programs.file("get_config.fcgi"))
    os.chmod(program, 0o755)
    env = programs.environment({**watching[1],
                                # The leak check needs a process, too.
                                "ASAN_OPTIONS": "detect_leaks=0"})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(programs.file("s"))
        listener.listen()
        done = subprocess.run(
            [program, "--workers", "1"], stdin=listener, capture_output=True,
            env=env, check=False, timeout=10 * PATIENCE,
            user=pwd.getpwnam(servers.WEB_USER).pw_uid,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NPROC, (1, 1)))
    assert done.returncode == 1
    assert done.stderr.decode("ascii").splitlines() == [
        f"<3>agora-agent: workers: {what}Resource temporarily unavailable"
        for what in ("fork: ", "")]


def fill(path):
    """One sender's share of a queue; how many messages it was."""
    sent = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            while True:
                sender.sendto(b"WATCHDOG=1", path)
                sent += 1
        except BlockingIOError:
            return sent


def test_a_manager_that_does_not_listen(programs, rig):
    """Costs a line in the log and nothing else: no socket there, a name that
    is too long, or a queue that is full."""
    path = programs.file("deaf")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(path)
        while fill(path):
            pass
        for name in (path, programs.file("nobody"), "/" + "x" * 200):
            program = programs.listen(
                "get_config", rig.env_file("default"),
                env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "100000"})
            wait_until(lambda log=program.log:
                       b"agora-agent: notify: " in log.text(),
                       10 * PATIENCE, "a line about it")
            assert program.stop() == 0
