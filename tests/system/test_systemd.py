"""The units under a real systemd, behind nginx: installed and started as the
README says, restarted under load, hung, and taken away again.
"""

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys

import pytest

import load
import servers
from private_systemd import Systemd, same_namespace
from processes import (ENDPOINTS, PATIENCE, ROOT, WRAPPED, alive, children,
                       wait_until)
from rig import NO_LIMIT
from transports import Http

pytestmark = [
    pytest.mark.skipif(not os.environ.get("SLOW_TESTS"),
                       reason="takes a minute; SLOW_TESTS=1 runs it"),
    pytest.mark.skipif(os.geteuid() != 0 or WRAPPED,
                       reason="a systemd of one's own needs root"),
]

TARGET = "agora-agent.target"
SERVICES = "agora-agent@*.service"
ENV = "/etc/agora-agent/env"
WATCHDOG = 3  # seconds, in place of the unit's 30


def unit(endpoint, kind="service"):
    """The name of an endpoint's unit."""
    return f"agora-agent@{endpoint}.{kind}"


class Site:
    """A machine with systemd, and nginx in front of it."""

    def __init__(self, folder, rig):
        self.upstream = rig.upstream
        nginx = folder / "nginx"
        nginx.mkdir(mode=0o755)
        self.server = servers.Nginx(nginx, replace=NO_LIMIT)
        self.server.expect(servers.KEPT_ONE_CLOSED)
        self.http = Http("nginx", self.server)
        self.systemd = Systemd(folder / "systemd", [
            (ROOT, "mnt"), (self.server.folder / "run", "run/agora-agent")])
        try:
            self._install(rig.programs.build.relative_to(ROOT))
        except BaseException:
            self.systemd.stop()
            self.server.end()
            raise

    def _install(self, build):
        said = self.systemd.run("make", "-s", "-C", "/mnt", "-o", "all",
                                "install", f"B={build}")
        assert f"made {ENV}" in said
        with open(self.upstream.sandbox.ca_file, encoding="ascii") as file:
            self.systemd.write("/etc/agora-agent/ca.pem", file.read())
        self.configure()
        self.systemd.write(
            "/run/systemd/system/agora-agent@.service.d/test.conf",
            f"[Service]\nWatchdogSec={WATCHDOG}s\n")
        self.systemd.run("systemctl", "daemon-reload")

    def configure(self, **more):
        """Fills in the settings file, as root, with nobody else's rights."""
        settings = self.upstream.settings(**more)
        del settings["STATE_DIR"]
        settings["AGORA_CA_FILE"] = "/etc/agora-agent/ca.pem"
        self.systemd.write(ENV, "".join(
            f"{name}='{value}'\n" for name, value in settings.items()),
            0o600)

    def systemctl(self, *arguments):
        """Runs it; its output."""
        return self.systemd.run("systemctl", *arguments)

    def socket(self, endpoint):
        """Its path, on this side."""
        return self.server.sockets[endpoint]

    def get_config(self):
        """What the endpoint gives out."""
        answer = self.http.request("GET", "/get_config")
        assert answer.status == 200, answer.body
        return answer.json["data"]

    def post(self, path, **members):
        """A start or a stop; its answer."""
        return self.http.request("POST", path, [load.JSON],
                                 json.dumps(members).encode())

    def start(self, channel, **more):
        """Starts an agent; its id."""
        answer = self.post("/v2/startAgent", channelName=channel, rtcUid="5",
                           userUid="6", **more)
        assert answer.status == 200, answer.body
        return answer.json["data"]["agent_id"]

    def call_all(self):
        """get_config, a start and a stop."""
        self.get_config()
        agent = self.start(self.upstream.channel())
        answer = self.post("/v2/stopAgent", agentId=agent)
        assert answer.status == 200, answer.body

    def main(self, endpoint):
        """The process that systemd watches."""
        return self.systemd.main_pid(unit(endpoint))

    def end(self):
        """All of it."""
        try:
            self.server.stop()
        finally:
            self.systemd.stop()


@pytest.fixture(scope="module")
def site(rig):
    """One for all tests, with its sockets open."""
    folder = rig.programs.file("site")
    os.mkdir(folder, 0o755)
    made = Site(type(ROOT)(folder), rig)
    made.systemctl("enable", "--now", TARGET)
    yield made
    made.end()
    shutil.rmtree(folder)


def questions(upstream):
    """What clients ask meanwhile: a start in three is a paid one."""
    return [load.get_config, load.refused_start, load.start_of(upstream)]


def connects(path, user):
    """Whether a user may use a socket: None, or the error's name."""
    script = ("import socket, sys\ntry:\n"
              "  socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
              "except OSError as error: print(type(error).__name__)\n")
    return subprocess.run(
        [sys.executable, "-c", script, path], check=True, text=True,
        stdout=subprocess.PIPE, user=user, extra_groups=[],
        group=pwd.getpwnam(user).pw_gid).stdout.strip() or None


def test_the_sockets_are_the_web_servers(site):
    """0660 and its group: it may use them, nobody else may."""
    for endpoint in ENDPOINTS:
        path = site.socket(endpoint)
        found = os.stat(path)
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o660 and found.st_uid == 0
        assert connects(path, "www-data") is None
        assert connects(path, "nobody") == "PermissionError"


def test_all_endpoints_answer(site):
    """Through nginx, each of its own service, which a request started."""
    site.call_all()
    for endpoint in ENDPOINTS:
        service = unit(endpoint)
        assert site.systemd.show(service, "ActiveState") == "active"
        assert site.systemd.show(service, "StatusErrno") == "0"
        journal = site.systemd.journal(service)
        assert f"request endpoint={endpoint} " in journal
        assert " status=200 " in journal
        assert "permitted" not in journal and "warn" not in journal, journal


def status_of(pid):
    """/proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file
                    if ":\t" in line)


def reads(pid, uid, path):
    """Whether a user can read a file where the process would see it."""
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-m", "setpriv", f"--reuid={uid}",
         f"--regid={uid}", "--clear-groups", "head", "-c1", path],
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.returncode == 0 or b"Permission denied" in done.stderr, done
    return done.returncode == 0


def test_the_sandbox(site):
    """A user of its own, without rights and, but for the calls to Agora,
    without network, for which the settings file is out of reach."""
    site.call_all()
    users = set()
    for endpoint in ENDPOINTS:
        pid = site.main(endpoint)
        status = status_of(pid)
        uid = status["Uid"].split()[0]
        users.add(uid)
        assert int(uid) >= 61184  # systemd's dynamic users
        assert set(status[f"Cap{kind}"] for kind in ("Eff", "Prm", "Bnd")) \
            == {"0" * 16}
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        copy = f"/run/credentials/{unit(endpoint)}/env"
        assert reads(pid, uid, copy)
        assert not reads(pid, uid, ENV)
        assert not reads(pid, "65534", copy)
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            names = {line.split(":")[0].strip() for line in file
                     if ":" in line}
        same = same_namespace("net", pid, "self")
        assert same == (endpoint != "get_config")
        assert same or names == {"lo"}
    assert len(users) == len(ENDPOINTS)


def test_agent_files_are_readable(site):
    """In /etc/agora-agent/agents, which the README names for them."""
    site.systemd.write("/etc/agora-agent/agents/support.json",
                       '{"name": "helper"}')
    site.configure(AGENT_DIR="/etc/agora-agent/agents")
    site.systemctl("restart", unit("start_agent"))
    channel = site.upstream.channel()
    site.start(channel, profile="support")
    assert site.upstream.join(channel)["name"].startswith("helper_")


def test_a_restart_loses_nothing(site):
    """Neither of the services nor of the target, nor a reload, while clients
    go on asking; and the sockets stay the same."""
    inodes = [os.stat(site.socket(name)).st_ino for name in ENDPOINTS]
    with load.Load(site.server, questions(site.upstream)) as clients:
        for _ in range(3):
            for command in (("restart", SERVICES), ("reload", SERVICES),
                            ("restart", TARGET)):
                before = site.main("start_agent")
                site.systemctl(*command)
                clients.more(100)
                same = before == site.main("start_agent")
                assert same == (command[0] == "reload")
    assert not clients.lost, clients.lost[:3]
    assert inodes == [os.stat(site.socket(name)).st_ino
                      for name in ENDPOINTS]


def test_settings_are_read_at_a_restart(site):
    """The copy that a program has is replaced then, soon after the target,
    which does not wait for it."""
    def lives():
        expires = site.get_config()["expires_at"]
        return expires - int(site.systemd.run("date", "+%s"))
    site.configure(TOKEN_TTL="600")
    site.systemctl("restart", TARGET)
    wait_until(lambda: 590 <= lives() <= 600, 20 * PATIENCE, "new settings")
    site.configure()
    site.systemctl("restart", TARGET)


def test_f15_a_program_that_hangs_is_killed(site):
    """By systemd, which starts another; the clients get their answers."""
    site.get_config()
    first = site.main("get_config")
    os.kill(first, signal.SIGSTOP)
    for pid in children(first):
        os.kill(pid, signal.SIGSTOP)
    answered = site.http.request("GET", "/get_config")
    assert answered.status == 200
    assert not alive(first) and site.main("get_config") not in (first, None)
    assert "Watchdog timeout" in site.systemd.journal(unit("get_config"))
    site.call_all()


def test_f15_a_worker_that_hangs_is_killed(site):
    """By the program, which goes on."""
    site.get_config()
    main = site.main("get_config")
    worker = children(main)[0]
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: not alive(worker), 5 * WATCHDOG * PATIENCE,
               "it is killed")
    wait_until(lambda: len(children(main)) == 2, 5 * PATIENCE,
               "it is replaced")
    assert site.main("get_config") == main
    assert "hangs, killing it" in site.systemd.journal(unit("get_config"))
    site.get_config()


def test_what_is_missing_may_come_later(site):
    """Without settings systemd starts nothing, and tries again: nobody has
    to reset a failed unit."""
    site.systemctl("stop", unit("get_config"))
    site.systemd.run("mv", ENV, f"{ENV}.away")
    with load.Load(site.server, [load.get_config], count=1) as clients:
        wait_until(lambda: int(site.systemd.show(
            unit("get_config"), "NRestarts")) >= 7, 40 * PATIENCE,
            "it is tried again and again")
        site.systemd.run("mv", f"{ENV}.away", ENV)
        clients.more(5)
    assert not clients.lost


def test_and_away_again(site):
    """Stopping the target closes the sockets and ends the programs; uninstall
    does both, and leaves the settings."""
    def gone():
        return not any(map(alive, pids)) and not any(
            os.path.exists(site.socket(name)) for name in ENDPOINTS)
    site.call_all()
    pids = [site.main(endpoint) for endpoint in ENDPOINTS]
    site.systemctl("stop", TARGET)
    wait_until(gone, 40 * PATIENCE, "programs and sockets are gone")
    site.systemctl("start", TARGET)
    site.call_all()
    pids = [site.main(endpoint) for endpoint in ENDPOINTS]
    said = site.systemd.run("make", "-s", "-C", "/mnt", "uninstall")
    assert f"kept {ENV}" in said
    wait_until(gone, 40 * PATIENCE, "programs and sockets are gone")
    left = site.systemd.run("find", "/usr/local", "/etc", "-name",
                            "*agora-agent*")
    assert left.split() == ["/etc/agora-agent"]
