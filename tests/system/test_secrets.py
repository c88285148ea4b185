"""Where the certificate must not be found: the environment, command lines,
cores, other people's hands."""

import contextlib
import json
import os
import pwd
import resource
import signal
import subprocess
import sys
import threading

import pytest

import fcgi_client
from memory import image, needs_memory
from processes import ENDPOINTS, PATIENCE, can_connect, children, wait_until
from programs import WRAPPED, Program
from servers import WEB_USER, Apache, share
from transports import Http, cgi_params, parse_cgi
from watch import WATCH

CANARIES = {name: "".join(f"{byte:02x}" for byte in os.urandom(16))
            for name in ("AGORA_APP_CERTIFICATE", "ASR_DEEPGRAM_API_KEY",
                         "OPENAI_API_KEY", "TTS_ELEVENLABS_API_KEY")}
for _name, _value in CANARIES.items():
    WATCH.keep(_name, _value)
SANITIZED = "asan" in os.environ.get("B", "")

unwrapped = pytest.mark.skipif(
    WRAPPED, reason="the wrapper is between us and the program")
as_root = pytest.mark.skipif(
    WRAPPED or SANITIZED or os.geteuid() != 0,
    reason="needs root, and a process that is not to be looked into")


def canary_env(rig):
    """An environment in which every secret is a canary, and its file has
    the rest."""
    settings = rig.upstream.settings()
    del settings["APP_CERTIFICATE"]
    env_file = rig.programs.env_file(settings, "rest.env", 0o640)
    share(env_file)
    return rig.programs.environment({"AGORA_ENV_FILE": env_file, **CANARIES})


def leaks(pid, *files):
    """The canaries in those files of /proc/PID."""
    found = []
    for file in files or ("environ", "cmdline"):
        try:
            with open(f"/proc/{pid}/{file}", "rb") as opened:
                text = opened.read()
        except OSError:  # it has ended
            continue
        found += [(file, name) for name, value in CANARIES.items()
                  if value.encode() in text]
    return found


def get_config(path):
    """An answer over the socket at ${path}."""
    answer = fcgi_client.request(path, cgi_params("GET", "/get_config", [],
                                                  b""))
    return parse_cgi(answer.stdout)


@pytest.fixture(name="run")
def _run(rig):
    """Starts get_config on a socket with the canaries in its environment."""
    started = []

    def run(*arguments, **how):
        folder = rig.programs.file("sockets")
        os.mkdir(folder, 0o755)
        if "user" in how:
            os.chown(folder, how["user"], -1)
        path = os.path.join(folder, "s")
        log = rig.programs.log_file("canary.log")
        process = rig.programs.spawn(
            "get_config", ["--listen", path, *arguments], canary_env(rig),
            log, **how)
        started.append(Program(process, path, log))
        wait_until(lambda: can_connect(path), 10 * PATIENCE, "it listens")
        return started[-1]

    yield run
    for program in started:
        program.stop()


# ---- H02: the environment ---------------------------------------------------

@unwrapped
def test_h02_a_process_has_no_secret_in_its_environment(run):
    """And serves with those that it had."""
    program = run()
    assert get_config(program.socket).status == 200
    assert not leaks(program.pid)


@unwrapped
def test_h02_parent_and_workers_have_none(run):
    """Also after a restart, for which the parent must have kept them."""
    program = run("--workers", "2")
    for _ in range(3):
        old = program.workers(2)
        assert get_config(program.socket).status == 200
        assert not [leaks(pid) for pid in (program.pid, *old) if leaks(pid)]
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(old) & set(program.workers()),
                   10 * PATIENCE, "new workers")
    assert get_config(program.socket).status == 200


@unwrapped
def test_h02_no_worker_has_them_even_when_it_begins(run):
    """What is handed over is in no environment, at no time."""
    program = run("--workers", "4")
    found, over = [], threading.Event()

    def look():
        while not over.is_set():
            for pid in children(program.pid):
                found.extend(leaks(pid))

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(5):
        old = program.workers(4)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        # The kernel's list may lack some while others end: ask for all.
        wait_until(lambda: len(set(program.workers()) - set(old)) == 4,
                   20 * PATIENCE, "new workers")
    over.set()
    thread.join()
    assert not found
    assert get_config(program.socket).status == 200


@unwrapped
def test_h02_cgi(rig):
    """While it waits for its body."""
    params = cgi_params("POST", "/v2/startAgent",
                        [("Content-Type", "application/json")], b"{}")
    process = subprocess.Popen(
        [rig.programs.path("start_agent")], stdin=subprocess.PIPE,
        env={**canary_env(rig), **params}, stdout=subprocess.PIPE)
    wait_until(lambda: not leaks(process.pid), 5 * PATIENCE, "wiped")
    assert process.poll() is None
    output, _ = process.communicate(b"{}")
    assert parse_cgi(output).status == 400


@as_root
def test_h02_mod_fcgid(rig, folder):
    """Where Apache's configuration has them: FcgidInitialEnv."""
    env = canary_env(rig)
    server = Apache(folder, "fcgid", build=rig.programs.build, env=env)
    try:
        answer = Http("apache-fcgid", server).request("GET", "/get_config")
        assert answer.status == 200, answer.body
        below = [(pid, child) for pid in children(server.pid)
                 for child in children(pid)]
        started = [child for _, child in below
                   if "get_config" in os.readlink(f"/proc/{child}/exe")]
        assert started and not [leaks(pid) for pid in started if leaks(pid)]
    finally:
        server.stop()


@unwrapped
def test_h02_check_finds_them(rig):
    """Though it takes them out of the environment first."""
    done = subprocess.run(
        [rig.programs.path("get_config"), "--check"], env=canary_env(rig),
        stdout=subprocess.PIPE, check=False, cwd=rig.programs.folder)
    assert done.returncode == 0, done.stdout
    for name, value in CANARIES.items():
        assert f"set in the process environment as {name}" in \
            done.stdout.decode() or "TTS_" in name or "ASR_" in name
        assert value.encode() not in done.stdout


LOOK = """
import ctypes, os, sys
pid = int(sys.argv[1])
for name in ("environ", "mem", "maps", "fd", "io"):
    try:
        path = f"/proc/{pid}/{name}"
        os.listdir(path) if name == "fd" else open(path, "rb").read(1)
        print(name, "read")
    except PermissionError:
        print(name, "refused")
libc = ctypes.CDLL(None, use_errno=True)
print("ptrace", "refused" if libc.ptrace(16, pid, 0, 0) == -1
      and ctypes.get_errno() == 1 else "read")
"""


@as_root
@pytest.mark.parametrize("arguments", [[], ["--workers", "1"]],
                         ids=["alone", "workers"])
def test_h02_the_same_user_may_not_look(run, arguments):
    """Another site's script that runs as the web server too."""
    user = pwd.getpwnam(WEB_USER)
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    program = run(*arguments, **who)
    assert get_config(program.socket).status == 200
    for pid in (program.pid, *children(program.pid)):
        seen = subprocess.run([sys.executable, "-c", LOOK, str(pid)],
                              stdout=subprocess.PIPE, check=True, text=True,
                              cwd="/", **who).stdout
        assert seen.count("refused") == 6 and "read" not in seen, seen


@needs_memory
def test_h02_the_parent_keeps_no_secret_in_memory(run):
    """It needs none: a sealed file has them for the workers."""
    program = run("--workers", "1")
    program.workers(1)
    memory = image(program.pid)
    assert [name for name, value in CANARIES.items()
            if value.encode() in memory] == []


# ---- H03: cores -------------------------------------------------------------

def unlimited_cores():
    """In a child: as a shell with "ulimit -c unlimited"."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def limits(pid):
    """What the process may write as a core, in bytes."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        line, = (line for line in file if line.startswith("Max core file"))
    return line.split()[4:6]


@unwrapped
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_h03_a_crash_leaves_no_core(rig, endpoint, number):
    """Not even where the shell asks for cores."""
    log = rig.programs.log_file("core.log")
    path = rig.programs.file("s")
    env = rig.programs.environment(
        {"AGORA_ENV_FILE": rig.env_file("default"),
         "ASAN_OPTIONS": "handle_segv=0:handle_abort=0:detect_leaks=0"})
    process = rig.programs.spawn(endpoint, ["--listen", path], env, log,
                                 preexec_fn=unlimited_cores,
                                 cwd=rig.programs.folder)
    wait_until(lambda: os.path.exists(path), 10, "a socket")
    process.send_signal(number)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -number
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
    assert not os.WCOREDUMP(status)
    assert not [name for name in os.listdir(rig.programs.folder)
                if name.startswith("core")]


@unwrapped
def test_h03_workers_may_write_no_core(run):
    """Neither they nor their parent. (Where the kernel pipes cores to a
    program, that they are not dumpable counts: H02.)"""
    program = run("--workers", "2", preexec_fn=unlimited_cores)
    for pid in (program.pid, *program.workers(2)):
        wait_until(lambda pid=pid: limits(pid) == ["0", "0"], 5 * PATIENCE,
                   "no cores")


# ---- H11: children ----------------------------------------------------------

def descriptors(pid):
    """What the descriptors of a process are, sorted."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return sorted(found)


@unwrapped
def test_h11_workers_inherit_the_socket_alone(run):
    """Of the parent's descriptors; and the hidden secrets are read and
    closed."""
    program = run("--workers", "2")
    assert get_config(program.socket).status == 200
    parents = descriptors(program.pid)
    assert "/memfd:secrets (deleted)" in parents
    listener, = (text for text in parents if text.startswith("socket"))
    expected = sorted([listener, "/dev/null", program.log.path,
                       "anon_inode:[eventpoll]", "anon_inode:[signalfd]"])
    for pid in program.workers(2):
        wait_until(lambda pid=pid: descriptors(pid) == expected,
                   5 * PATIENCE, f"{expected}, not {descriptors(pid)}")


@unwrapped
def test_h11_workers_get_what_is_left_of_the_environment(run):
    """Which has the descriptor's number instead of secrets."""
    program = run("--workers", "1")
    pid, = program.workers(1)

    def names():
        with open(f"/proc/{pid}/environ", "rb") as file:
            return {text.split(b"=")[0].decode()
                    for text in file.read().split(b"\0")}
    wait_until(lambda: "AGORA_AGENT_SECRETS_FD" in names(), 5 * PATIENCE,
               "its number")
    assert not names() & set(CANARIES)


# ---- the environment of libraries -------------------------------------------

def test_x13_library_settings_in_the_environment_change_nothing(rig):
    """A configuration of OpenSSL that lets no HMAC pass."""
    path = rig.programs.file("openssl.cnf")
    with open(path, "w", encoding="ascii") as file:
        file.write("openssl_conf = all\n[all]\nalg_section = evp\n"
                   "[evp]\ndefault_properties = fips=yes\n")
    transport = rig.transport("cgi")
    hostile = {"OPENSSL_CONF": path}
    answer = transport.request("GET", "/get_config", extra=hostile)
    assert answer.status == 200, answer.body
    body = json.dumps({"channelName": rig.upstream.channel(),
                       "rtcUid": "1", "userUid": "2"}).encode()
    answer = transport.request("POST", "/v2/startAgent",
                               [("Content-Type", "application/json")], body,
                               extra=hostile)
    assert answer.status == 200, answer.body
