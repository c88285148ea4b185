"""Stopping with a queue, running out of things, and peers that behave oddly
at the end of a connection."""

import array
import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import termios
import time

import pytest

import fcgi_client as fc
from checks import UNCONFIGURED, refused, succeeded
from processes import (PATIENCE, WRAPPED, alive, can_connect, children,
                       cpu_seconds, wait_until)
from programs import Program
from test_protocol import GET, get, post_params, start_body
from transports import parse_cgi

KEPT = fc.request_bytes(GET, keep=True)


@pytest.fixture(name="single")
def single_process(rig):
    """get_config in one process: whatever blocks it blocks everybody."""
    program = rig.programs.listen("get_config", rig.env_file("default"), 0)
    yield program
    assert program.stop(40) == 0


def answered(connection):
    """Reads the answer to a get_config, which must be a good one."""
    return succeeded(parse_cgi(connection.read_answer().stdout))


def asked_in(path):
    """The seconds that a good request takes."""
    asked = time.monotonic()
    succeeded(get(path))
    return time.monotonic() - asked


# -- The queue ---------------------------------------------------------------

@pytest.mark.parametrize("workers", [0, 2])
def test_f05_all_that_is_queued_is_answered(rig, workers):
    """300 complete requests in the queue, then SIGTERM: 300 answers."""
    count = 300
    program = rig.programs.listen("get_config", rig.env_file("default"),
                                  workers)
    succeeded(get(program.socket))
    pids = [program.pid, *(program.workers(workers) if workers else ())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    queued = [fc.Connection(program.socket, 60 * PATIENCE)
              for _ in range(count)]
    for connection in queued:
        connection.send(fc.request_bytes(GET))
    for number in (signal.SIGTERM, signal.SIGCONT):
        os.kill(program.pid, number)
    for pid in pids[1:]:
        os.kill(pid, signal.SIGCONT)
    channels = set()
    for connection in queued:
        channels.add(answered(connection)["data"]["channel_name"])
        connection.close()
    assert len(channels) == count
    assert program.process.wait(20 * PATIENCE) == 0
    assert not os.path.exists(program.socket)


def test_f05_half_a_request_on_a_parked_connection(rig):
    """It comes while the process stops: it gets two seconds, not all."""
    program = rig.programs.listen("get_config", rig.env_file("default"), 0)
    with fc.Connection(program.socket, 60 * PATIENCE) as connection:
        connection.send(KEPT)
        answered(connection)
        os.kill(program.pid, signal.SIGSTOP)
        os.kill(program.pid, signal.SIGTERM)
        connection.send(KEPT[:20])
        os.kill(program.pid, signal.SIGCONT)
        assert program.process.wait(10 * PATIENCE) == 0


def test_f09_children_of_somebody_else(rig):
    """A parent that was given other children does not wait for them."""
    path, log = rig.programs.file("s"), rig.programs.log_file("others.log")
    env = rig.programs.environment({"AGORA_ENV_FILE":
                                    rig.env_file("default")})
    with open(log.path, "ab") as stderr:
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'sleep 30 & echo $!; exec "$@"', "sh",
             rig.programs.path("get_config"), "--listen", path,
             "--workers", "1"],
            env=env, stderr=stderr, stdout=subprocess.PIPE)
    other = int(process.stdout.readline())
    try:
        wait_until(lambda: can_connect(path), 10 * PATIENCE, "it listens")
        succeeded(get(path))
        process.terminate()
        assert process.wait(10 * PATIENCE) == 0
        assert alive(other)
    finally:
        os.kill(other, signal.SIGKILL)
        process.stdout.close()


def slow_start(program, upstream, seconds):
    """Sends a start that takes a while; returns its connection."""
    calls = upstream.calls()
    body = start_body(upstream)
    channel = json.loads(body)["channelName"]
    upstream.fault(channel, delay_s=seconds)
    connection = fc.Connection(program.socket, 60 * PATIENCE)
    connection.send(fc.request_bytes(post_params("/v2/startAgent", body),
                                     body))
    wait_until(lambda: upstream.calls() > calls, 20 * PATIENCE, "the call")
    return connection


def test_f08_a_new_instance_beside_a_draining_one(rig, upstream):
    """The supervisor is killed while a start is under way: its worker
    answers that start, and the path is free for the next instance."""
    env_file = rig.env_file("default")
    program = rig.programs.listen("start_agent", env_file, 1)
    worker, = program.workers(1)
    with slow_start(program, upstream, 4) as connection:
        program.process.kill()
        program.process.wait()
        rig.programs.running.remove(program)
        wait_until(lambda: not can_connect(program.socket), 3 * PATIENCE,
                   "the end of the old socket")
        assert alive(worker)
        again = rig.programs.listen("start_agent", env_file, 1,
                                    path=program.socket)
        assert alive(worker), "it was gone before the new one came"
        assert again.process.poll() is None
        answer = parse_cgi(connection.read_answer().stdout)
        assert succeeded(answer)["data"]["status"] == "started"
    wait_until(lambda: not alive(worker), 5 * PATIENCE, "the old worker")
    assert again.stop() == 0


@pytest.mark.skipif(not os.environ.get("SLOW_TESTS"),
                    reason="takes 27 s; SLOW_TESTS=1 runs it")
def test_f09_a_hanging_old_worker_is_killed(rig):
    """One that is stopped during a restart is killed 27 s later, and the
    parent ends with it."""
    program = rig.programs.listen("get_config", rig.env_file("default"), 1)
    worker, = program.workers(1)
    os.kill(worker, signal.SIGSTOP)
    program.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(program.workers()) == 2, 5 * PATIENCE, "the new")
    time.sleep(1)
    begun = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(35) == 0
    assert time.monotonic() - begun > 20
    assert not alive(worker)
    assert b"does not end, killing it" in program.log.text()


# -- The end of a connection -------------------------------------------------

def large_request(params_size, body_size):
    """One that is refused before its end, on a kept connection."""
    params = {**post_params("/v2/startAgent", b"x" * body_size),
              "HTTP_X": "x" * params_size}
    return (fc.begin(keep=True) + fc.stream(fc.PARAMS, 1, fc.pairs(params))
            + fc.stream(fc.STDIN, 1, b"x" * body_size, end=False))


@pytest.mark.parametrize("status, params_size, body_size", [
    (413, 0, 30000), (431, 70000, 0)])
def test_a_refusal_is_followed_by_the_end(rig, status, params_size,
                                          body_size):
    """At once, though its sender may go on for 2 s."""
    program = rig.programs.listen("start_agent", rig.env_file("default"), 0)
    with fc.Connection(program.socket, 30 * PATIENCE) as connection:
        connection.send(large_request(params_size, body_size))
        refused(parse_cgi(connection.read_answer().stdout), status)
        assert connection.ended(1), "still open after a second"
    assert program.stop() == 0


def test_half_closed_kept_connection(single):
    """It is answered, and then it is over: no more can come."""
    with fc.Connection(single.socket, 30 * PATIENCE) as connection:
        connection.send(KEPT)
        connection.sock.shutdown(socket.SHUT_WR)
        answered(connection)
        assert connection.ended(3 * PATIENCE)
    with fc.Connection(single.socket, 30 * PATIENCE) as connection:
        connection.send(KEPT)
        answered(connection)
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.ended(3 * PATIENCE)


def unread(sock):
    """How many bytes wait to be read."""
    size = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, size)
    return size[0]


def never_read(connection):
    """Asks on until no more answers come."""
    for _ in range(5000):
        before = unread(connection.sock)
        try:
            connection.send(KEPT)
            wait_until(lambda b=before: unread(connection.sock) > b,
                       0.5 * PATIENCE, "an answer")
        except (OSError, AssertionError):
            return
    raise AssertionError("there is no end to what is kept for a peer")


def test_a_peer_that_never_reads(single):
    """Its answers fill the socket; then nobody waits for it. It used to be
    5 s."""
    with fc.Connection(single.socket, 30 * PATIENCE) as connection:
        never_read(connection)
        assert asked_in(single.socket) < 3 * PATIENCE
        if not WRAPPED:
            assert asked_in(single.socket) < 3


# -- Running out -------------------------------------------------------------

def spawned(rig, arguments=(), **how):
    """get_config on a socket of its own, started in a special way."""
    path = how.pop("path", None) or rig.programs.file("s")
    log = rig.programs.log_file("get_config.log")
    environment = rig.programs.environment(
        {"AGORA_ENV_FILE": how.pop("env_file", rig.env_file("default")),
         **how.pop("env", {})})
    process = rig.programs.spawn("get_config", ["--listen", path, *arguments],
                                 environment, log, **how)
    program = Program(process, path, log)
    rig.programs.running.append(program)
    wait_until(lambda: process.poll() is not None or can_connect(path),
               10 * PATIENCE, "it listens")
    assert process.poll() is None, log.text()
    return program


@pytest.mark.skipif(WRAPPED, reason="valgrind needs descriptors of its own")
def test_few_descriptors(rig):
    """40 of them and 34 parked connections: a new client is served, idle
    ones are closed for it."""
    program = spawned(rig, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (40, 40)))
    with contextlib.ExitStack() as stack:
        parked = []
        for _ in range(34):
            parked.append(stack.enter_context(
                fc.Connection(program.socket, 20)))
            parked[-1].send(KEPT)
            answered(parked[-1])
        for _ in range(20):
            assert asked_in(program.socket) < 3
        new = [stack.enter_context(fc.Connection(program.socket, 20))
               for _ in range(30)]
        for connection in new:
            connection.send(KEPT)
            answered(connection)
        assert any(connection.ended(0) for connection in parked)
        assert not new[-1].ended(0)
    assert program.stop() == 0


# A user that has no other processes, not even of another test run; for root
# there is no limit.
STRANGER = 50000 + os.getpid() % 10000


def as_stranger(rig):
    """How to start a program as a user with three processes at most."""
    folder = rig.programs.file("stranger")
    os.mkdir(folder, 0o700)
    env_file = rig.env_file("default")
    program = shutil.copy2(rig.programs.path("get_config"), folder)
    for path in (folder, env_file, program):
        os.chown(path, STRANGER, STRANGER)
    return {"path": os.path.join(folder, "s"), "env_file": env_file,
            "executable": program,  # the checkout may be closed to others
            # Looking for leaks takes a process more.
            "env": {"ASAN_OPTIONS": "detect_leaks=0"},
            "user": STRANGER, "group": STRANGER, "extra_groups": [],
            "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NPROC,
                                                     (3, 3))}


@pytest.mark.skipif(WRAPPED or os.geteuid() != 0,
                    reason="needs another user, and no wrapper")
def test_f11_no_more_processes(rig):
    """A worker that cannot be replaced is tried again now and then: the
    parent neither spins nor fills the log, and it gets over it."""
    program = spawned(rig, ["--workers", "2"], **as_stranger(rig))
    first = program.workers(2)
    before, lines = cpu_seconds(program.pid), len(program.log.lines())
    with subprocess.Popen(["/bin/sleep", "60"], user=STRANGER,
                          group=STRANGER, extra_groups=[]) as fourth:
        os.kill(first[0], signal.SIGKILL)
        time.sleep(2)
        assert children(program.pid) == first[1:]
        assert cpu_seconds(program.pid) - before < 0.5
        new = program.log.lines()[lines:]
        assert any(b"fork: " in line for line in new)
        assert len(new) < 20, new
        succeeded(get(program.socket))
        fourth.kill()
    wait_until(lambda: len(children(program.pid)) == 2, 20, "a new worker")
    assert program.stop() == 0


@pytest.mark.skipif(WRAPPED or os.geteuid() != 0,
                    reason="needs another user, and no wrapper")
def test_f10_settings_that_may_not_be_read(rig):
    """It is said once, with the name of the file, and answered."""
    how = as_stranger(rig)
    os.chown(how["env_file"], 0, 0)
    os.chmod(how["env_file"], 0o600)
    program = spawned(rig, **how)
    for _ in range(2):
        refused(get(program.socket), 500, UNCONFIGURED)
    named = [line for line in program.log.lines()
             if how["env_file"].encode() in line]
    assert len(named) == 1, program.log.text()
    assert program.stop() == 0


# -- Descriptors and pipes ----------------------------------------------------

def unread_pipe():
    """The writing end of a pipe that nobody will read."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.skipif(WRAPPED, reason="valgrind writes to stderr itself")
def test_a_log_reader_that_has_left(rig, upstream):
    """Workers live, and are replaced, though every line of theirs is lost;
    settings with a warning make one before the loop runs."""
    env_file = rig.programs.env_file(upstream.settings(), mode=0o660)
    writer = unread_pipe()
    path = rig.programs.file("s")
    process = subprocess.Popen(
        [rig.programs.path("get_config"), "--listen", path, "--workers", "1"],
        env=rig.programs.environment({"AGORA_ENV_FILE": env_file}),
        stderr=writer)
    os.close(writer)
    try:
        wait_until(lambda: can_connect(path), 10, "it listens")
        succeeded(get(path))
        os.kill(children(process.pid)[0], signal.SIGKILL)
        succeeded(get(path))
    finally:
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.skipif(WRAPPED, reason="valgrind writes to stderr itself")
def test_a_log_reader_that_has_left_cgi(rig):
    """Bad settings are said to nobody, and answered all the same."""
    writer = unread_pipe()
    done = subprocess.run(
        [rig.programs.path("get_config")], stdout=subprocess.PIPE,
        stderr=writer, check=False, env=rig.programs.environment(
            {**GET, "AGORA_ENV_FILE": rig.env_file("unconfigured")}))
    os.close(writer)
    refused(parse_cgi(done.stdout), 500)
    assert done.returncode == 0


@pytest.mark.skipif(WRAPPED, reason="the wrapper opens files of its own")
def test_closed_descriptors(rig):
    """Without stdout and stderr no socket becomes one of them."""
    path = rig.programs.file("s")
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh",
         rig.programs.path("get_config"), "--listen", path],
        env=rig.programs.environment(
            {"AGORA_ENV_FILE": rig.env_file("default")}))
    try:
        wait_until(lambda: can_connect(path), 10, "it listens")
        succeeded(get(path))
        for number in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == \
                "/dev/null"
    finally:
        process.terminate()
        assert process.wait(10) == 0


# -- Sockets that are handed over --------------------------------------------

@pytest.fixture(name="inherit")
def inheriting(rig):
    """Starts get_config with a listening socket on descriptor 0."""
    started = []

    def start(sock, *arguments, **env):
        log = rig.programs.log_file("inherit.log")
        process = rig.programs.spawn(
            "get_config", arguments, rig.programs.environment(
                {"AGORA_ENV_FILE": rig.env_file("default"), **env}),
            log, stdin=sock)
        started.append(process)
        return Program(process, None, log)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_workers_on_an_inherited_socket(rig, inherit):
    """As under spawn-fcgi: descriptor 0 is handed on to every worker."""
    path = rig.programs.file("s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)
        sock.listen(16)
        program = inherit(sock, "--workers", "2")
    workers = wait_until(lambda: len(children(program.pid)) == 2 and
                         children(program.pid), 10 * PATIENCE, "workers")
    for _ in range(4):
        succeeded(get(path))
    assert sorted(children(program.pid)) == sorted(workers), "they ended"
    assert program.stop() == 0


def test_abstract_socket_is_refused(inherit):
    """It has no mode: everybody on the machine could connect."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0agora-agent-test-{os.getpid()}")
        sock.listen(8)
        program = inherit(sock)
        assert program.process.wait(10 * PATIENCE) == 2
        assert b"abstract" in program.log.text()


def tcp_connection(address, source):
    """A FastCGI connection over TCP."""
    connection = fc.Connection.__new__(fc.Connection)
    connection.received = b""
    connection.sock = socket.create_connection(address, 20 * PATIENCE,
                                               (source, 0))
    return connection


def test_ipv4_peer_of_a_dual_stack_socket(inherit):
    """127.0.0.1 arrives there as ::ffff:127.0.0.1."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no dual-stack sockets here")
    with socket.create_server(("::", 0), family=socket.AF_INET6,
                              dualstack_ipv6=True) as sock:
        program = inherit(sock, FCGI_WEB_SERVER_ADDRS="127.0.0.1")
        address = ("127.0.0.1", sock.getsockname()[1])
        with tcp_connection(address, "127.0.0.1") as connection:
            connection.send(fc.request_bytes(GET))
            answered(connection)
        with tcp_connection(address, "127.0.0.2") as connection:
            assert connection.ended(10 * PATIENCE)
            assert not connection.received
        assert program.stop() == 0
