"""Something has run out: memory, random numbers, descriptors, the place for
the log, local ports, processor time, threads. Without one of them a request
is answered with an error, in JSON, or works; with it again, all works again.

SLOW_TESTS=1 adds what takes minutes.
"""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import fcgi_client as fc
import preload
import servers
from checks import JSON, any_error, refused, succeeded
from client import Sandbox
from processes import (PATIENCE, WRAPPED, alive, can_connect, children,
                       wait_until)
from programs import Program
from test_processes import unix_listener
from test_protocol import GET, get, post_params, rss_kib, start_body
from transports import Http, http_bytes, parse_cgi
from upstream import APP_ID

SANITIZED = "asan" in os.environ.get("B", "")
SLOW_TESTS = bool(os.environ.get("SLOW_TESTS"))
ROOT = os.geteuid() == 0
LIBFCGI = re.compile(rb"fcgiapp\.c:\d+: Malloc: Assertion")  # no memory
BUDGET_S = 20.5  # for a start, whatever happens

as_root = pytest.mark.skipif(not ROOT, reason="takes root")
plain = pytest.mark.skipif(
    WRAPPED or SANITIZED, reason="the sanitizer or wrapper has its own needs")


def limit(pid, which, soft):
    """Sets a soft limit of a running process; None lifts it."""
    hard = resource.prlimit(pid, which)[1]
    resource.prlimit(pid, which, (hard if soft is None else soft, hard))


def post(program, path, body, timeout=40):
    """One POST."""
    answer = fc.request(program.socket, post_params(path, body), body,
                        timeout=timeout * PATIENCE)
    return parse_cgi(answer.stdout)


def start(program, upstream, channel=None):
    """A start in a new channel: the channel and the answer."""
    channel = channel or upstream.channel()
    body = json.dumps({"channelName": channel, "rtcUid": "5",
                       "userUid": "6"}).encode()
    return channel, post(program, "/v2/startAgent", body)


def stop(program, agent_id):
    """A stop."""
    return post(program, "/v2/stopAgent",
                json.dumps({"agentId": agent_id}).encode())


def running(upstream, channel):
    """The ids of the agents in a channel that cost money."""
    return [agent["agent_id"] for agent in upstream.sandbox.running(channel)]


def known(upstream, channel, answer):
    """No agent runs in the channel but the one that the caller was told of;
    what needs cleaning up may take its time."""
    told = [answer.json["data"]["agent_id"]] if (
        answer is not None and answer.status == 200) else []
    wait_until(lambda: running(upstream, channel) == told, 15 * PATIENCE,
               f"agents of {channel}: {told}")


# -- E01: hardly any memory --------------------------------------------------

def address_space(pid):
    """Bytes of address space that a process takes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def crowd(program, count, request):
    """Sends ${count} requests at once; the answers, None for hanging up."""
    def one(_):
        try:
            return request()
        except (OSError, fc.ConnectionEnded):
            return None
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@plain
def test_e01_hardly_more_memory_than_when_idle(rig):
    """1,000 get_config, 100 at once, with 64 KiB to spare: answered, or the
    worker is replaced. Nobody waits in vain, and then all is well again."""
    program = rig.programs.listen("get_config", rig.env_file("default"), 1)
    program.log.ignore = LIBFCGI
    worker, = program.workers(1)
    succeeded(get(program.socket))
    limit(worker, resource.RLIMIT_AS, address_space(worker) + 65536)
    answers = []
    for _ in range(10):
        answers += crowd(program, 100, lambda: get(program.socket))
    told = [answer for answer in answers if answer is not None]
    for answer in told:
        if answer.status != 200:
            refused(answer, 500)
    assert len(told) > 500
    for _ in range(10):
        succeeded(get(program.socket))
    assert program.stop() == 0


@plain
def test_e01_starts_with_hardly_any_memory(rig, upstream):
    """40 starts at once, whose TLS does not find room for all; or libfcgi
    does not, which ends the worker (it asserts that there is memory)."""
    env_file = rig.env_file("default")
    program = rig.programs.listen("start_agent", env_file, 1)
    program.log.ignore = LIBFCGI
    other = rig.programs.listen("get_config", env_file, 0)
    worker, = program.workers(1)
    start(program, upstream)
    limit(worker, resource.RLIMIT_AS, address_space(worker) + 3 * 2 ** 20)
    outcomes = crowd(program, 40, lambda: start(
        program, upstream, f"fault-slow-1_{upstream.channel()}"))
    succeeded(get(other.socket))
    if alive(worker):
        limit(worker, resource.RLIMIT_AS, None)
    for channel, answer in filter(None, outcomes):
        if answer.status != 200:
            refused(answer, 500)
        known(upstream, channel, answer)
    succeeded(start(program, upstream)[1])
    assert program.stop() == 0 and other.stop() == 0


# -- E04: no random numbers --------------------------------------------------

GETRANDOM = {"x86_64": 318, "aarch64": 278}
SECCOMP_MODE_FILTER = 2
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38


def without_getrandom():
    """In a child: getrandom(2) fails with EPERM from now on."""
    code = b"".join(struct.pack("=HBBI", *line) for line in (
        (0x20, 0, 0, 0),                                    # load the number
        (0x15, 0, 1, GETRANDOM[platform.machine()]),        # is it this one?
        (0x06, 0, 0, 0x00050000 | 1),                       # EPERM
        (0x06, 0, 0, 0x7fff0000)))                          # go on
    text = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(text))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    zero = ctypes.c_ulong(0)
    if prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) or \
            prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER),
                  ctypes.create_string_buffer(program, len(program)), zero,
                  zero):
        os._exit(99)


@pytest.mark.skipif(platform.machine() not in GETRANDOM,
                    reason="getrandom's number is not known here")
@pytest.mark.skipif(WRAPPED, reason="the wrapper needs random numbers")
@pytest.mark.parametrize("cgi", [False, True], ids=["fastcgi", "cgi"])
def test_e04_no_random_numbers(rig, upstream, cgi):
    """No token whose salt is known, no call; an error."""
    requests = {"get_config": (GET, b"")}
    for name, path, body in (
            ("start_agent", "/v2/startAgent", start_body(upstream)),
            ("stop_agent", "/v2/stopAgent", b'{"agentId":"A1"}')):
        requests[name] = post_params(path, body), body
    before = upstream.calls()
    for endpoint, (params, body) in requests.items():
        # json-c's complaint, which has no end of line.
        log = rig.programs.log_file(
            "random.log", prefix=rb"^error from getrandom\(\): [^<]*")
        env = rig.programs.environment(
            {"AGORA_ENV_FILE": rig.env_file("default"),
             **(params if cgi else {})})
        if cgi:
            process = rig.programs.spawn(
                endpoint, [], env, log, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, preexec_fn=without_getrandom)
            out, _ = process.communicate(body, timeout=20 * PATIENCE)
        else:
            path = rig.programs.file("s")
            process = rig.programs.spawn(
                endpoint, ["--listen", path], env, log,
                preexec_fn=without_getrandom)
            wait_until(lambda p=path: can_connect(p), 20, "it listens")
            out = fc.request(path, params, body).stdout
            process.terminate()
        assert process.wait(20 * PATIENCE) == 0
        refused(parse_cgi(out), 500, "random")
        assert b"007" not in out
    assert upstream.calls() == before


# -- E06: no descriptors -----------------------------------------------------

def ask_with(program, upstream, endpoint, soft):
    """A request with that limit of descriptors. Returns its status and
    whether the limit was high enough for an answer."""
    channel = upstream.channel()
    agent = "" if endpoint == "start_agent" else \
        upstream.sandbox.join(channel).json()["agent_id"]
    body = json.dumps({"channelName": channel, "rtcUid": "5", "userUid": "6",
                       "agentId": agent}).encode()
    path = "/v2/startAgent" if not agent else "/v2/stopAgent"
    limit(program.pid, resource.RLIMIT_NOFILE, soft)
    with fc.Connection(program.socket, 40) as connection:
        connection.send(fc.request_bytes(post_params(path, body), body))
        enough = connection.readable(0.7)
        if not enough:
            limit(program.pid, resource.RLIMIT_NOFILE, None)
        answer = parse_cgi(connection.read_answer().stdout)
    limit(program.pid, resource.RLIMIT_NOFILE, None)
    if answer.status != 200:
        refused(answer, 500)
    if endpoint == "start_agent":
        known(upstream, channel, answer)
    else:
        assert running(upstream, channel) == (
            [] if answer.status == 200 else [agent])
    return answer.status, enough


@plain
@pytest.mark.parametrize("endpoint", ["start_agent", "stop_agent"])
def test_e06_no_descriptor_for_the_call(rig, upstream, endpoint):
    """With every limit from too few for the connection to enough for all:
    answered, at the latest when there are descriptors again."""
    env_file = rig.env_file("default")
    outcomes = []
    for more in range(8):
        program = rig.programs.listen(endpoint, env_file, 0)
        fc.wait_for_service(program.socket)
        soft = len(os.listdir(f"/proc/{program.pid}/fd")) + more
        outcomes.append(ask_with(program, upstream, endpoint, soft))
        assert ask_with(program, upstream, endpoint, None) == (200, True)
        assert program.stop() == 0, program.log.text()
        rig.programs.running.remove(program)
    assert (500, True) in outcomes and outcomes[-1] == (200, True), outcomes


# -- E07: nobody takes the log -----------------------------------------------

def full_pipe():
    """A pipe with no room: reader and writer."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


def quick(request, count=200):
    """Answers ${count} requests; hardly one may take long."""
    took = []
    for _ in range(count):
        begun = time.monotonic()
        succeeded(request())
        took.append(time.monotonic() - begun)
    assert sorted(took)[int(count * 0.98)] < 0.25 * PATIENCE, sorted(took)[-9:]


@contextlib.contextmanager
def logging_to(rig, stderr, how="exec"):
    """get_config with that descriptor, or none, as stderr."""
    path = rig.programs.file("s")
    closing = " 2>&-" if stderr is None else ""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'{how} "$@"{closing}', "sh",
         rig.programs.path("get_config"), "--listen", path],
        env=rig.programs.environment({"AGORA_ENV_FILE": rig.env_file(
            "default", LOG_LEVEL="info")}), stderr=stderr)
    try:
        wait_until(lambda: can_connect(path), 20 * PATIENCE, "it listens")
        yield path
    finally:
        process.terminate()
        assert process.wait(20 * PATIENCE) == 0


@pytest.mark.skipif(WRAPPED, reason="valgrind writes to stderr itself")
def test_e07_the_log_is_full_or_closed(rig):
    """A disk without room; no stderr at all."""
    with open("/dev/full", "wb") as full:
        with logging_to(rig, full) as path:
            quick(lambda: get(path))
        done = subprocess.run(
            [rig.programs.path("get_config")], stdout=subprocess.PIPE,
            stderr=full, check=False, env=rig.programs.environment(
                {**GET, "AGORA_ENV_FILE": rig.env_file("default")}))
        assert done.returncode == 0
        succeeded(parse_cgi(done.stdout))
    with logging_to(rig, None) as path:
        quick(lambda: get(path))


@pytest.mark.skipif(WRAPPED, reason="valgrind writes to stderr itself")
def test_e07_nobody_reads_the_log(rig):
    """A full pipe: requests are answered, and when somebody reads again the
    log tells how many lines were lost."""
    reader, writer = full_pipe()
    try:
        with logging_to(rig, writer) as path:
            quick(lambda: get(path))
            os.set_blocking(reader, False)
            with contextlib.suppress(BlockingIOError):
                while os.read(reader, 65536):
                    pass
            succeeded(get(path))
            os.set_blocking(reader, True)
            text = os.read(reader, 65536)
            assert b"200 lines lost" in text, text
            assert b"request endpoint=get_config" in text
    finally:
        os.close(reader)
        os.close(writer)


# -- E08: no room for a body -------------------------------------------------

@contextlib.contextmanager
def tiny_file_system(folder):
    """Mounts a file system of one page there."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,mode=0777", "tmpfs", folder],
        capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def chunked(body, size):
    """The body in chunks of ${size} bytes."""
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece)
                    for piece in pieces) + b"0\r\n\r\n"


@as_root
def test_e08_nginx_has_no_room_for_a_body(rig, upstream):
    """A body of the largest size is held in memory. One in so many chunks
    that it is not gets an error of the server's own, and starts nothing."""
    folder = rig.programs.file("nginx")
    os.mkdir(folder, 0o755)
    program = rig.programs.listen("start_agent", rig.env_file("default"), 1)
    os.makedirs(f"{folder}/tmp/client_body", 0o755)
    with tiny_file_system(f"{folder}/tmp/client_body"):
        server = servers.Nginx(
            folder, sockets={"start_agent": program.socket},
            allow=[r"pwrite\(\) .*failed \(28: No space left|"
                   r"has written only \d+ of \d+|"
                   r"a client request body is buffered"])
        client = Http("nginx", server)
        try:
            for size, statuses in ((4096, (200,)), (7, (200, 500, 503))):
                channel = upstream.channel()
                body = json.dumps({"channelName": channel, "rtcUid": "5",
                                   "userUid": "6", "more": ""}).encode()
                body = body[:-2] + b"x" * (16384 - len(body)) + b'"}'
                answer = client.raw(http_bytes(
                    "POST", "/v2/startAgent",
                    [JSON, ("Transfer-Encoding", "chunked")],
                    chunked(body, size)))
                if answer.status != 200:
                    any_error(answer, *statuses)
                    assert not upstream.joins(channel)
                else:
                    assert 200 in statuses
            assert answer.status != 200, "nothing was written"
            channel = upstream.channel()
            good = json.dumps({"channelName": channel, "rtcUid": "5",
                               "userUid": "6"}).encode()
            succeeded(client.request("POST", "/v2/startAgent", [JSON], good))
        finally:
            client.close()
    assert program.stop() == 0


# -- E09: a short queue ------------------------------------------------------

@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_e09_twenty_starts_and_a_queue_of_four(rig, upstream, kind):
    """Each is served, or refused in JSON without waiting."""
    path = rig.programs.file("s")
    folder = rig.programs.file(kind)
    os.mkdir(folder, 0o755)
    with unix_listener(path) as sock:
        sock.listen(4)
        os.chmod(path, 0o660)
        log = rig.programs.log_file("queue.log")
        process = rig.programs.spawn(
            "start_agent", ["--workers", "2"], rig.programs.environment(
                {"AGORA_ENV_FILE": rig.env_file("default")}), log, stdin=sock)
        program = Program(process, path, log)
        program.workers(2)
        if kind == "nginx":
            server = servers.Nginx(
                folder, sockets={"start_agent": path},
                replace=[("nginx/agora-agent.conf", old, "rate=100000r/s")
                         for old in ("rate=2r/s", "rate=10r/s")],
                allow=[servers.DOWN])
        else:
            server = servers.Apache(folder, "proxy-fcgi",
                                    sockets={"start_agent": path},
                                    allow=[servers.DOWN])
        client = Http(kind, server)

        def one(number):
            channel = f"fault-slow-1_{upstream.channel()}-{number}"
            body = json.dumps({"channelName": channel, "rtcUid": "5",
                               "userUid": "6"}).encode()
            return channel, client.request("POST", "/v2/startAgent", [JSON],
                                           body)
        try:
            with concurrent.futures.ThreadPoolExecutor(20) as pool:
                outcomes = list(pool.map(one, range(20)))
            for channel, answer in outcomes:
                if answer.status == 200:
                    succeeded(answer)
                else:
                    any_error(answer, 500, 502, 503)
                known(upstream, channel, answer)
            assert sum(answer.status == 200 for _, answer in outcomes) >= 4
        finally:
            client.close()
            assert program.stop(30) == 0


# -- E10: no local ports -----------------------------------------------------

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
SIOCGIFFLAGS = 0x8913
IFF_UP = 1
PORTS = "/proc/sys/net/ipv4/ip_local_port_range"


def new_network():
    """Gives the calling thread, and what it starts, a loopback of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as sock:
        request = bytearray(struct.pack("16sH14x", b"lo", 0))
        fcntl.ioctl(sock, SIOCGIFFLAGS, request)
        flags, = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | IFF_UP)
        fcntl.ioctl(sock, SIOCSIFFLAGS, bytes(request))


def in_new_network(work):
    """Runs ${work} in a thread with a network of its own."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(new_network).result()
        except OSError as error:
            pytest.skip(f"no network namespace here: {error}")
        return pool.submit(work).result()


def set_ports(first, last):
    """The range of local ports that connect(2) takes from."""
    # This thread's, not the process's: /proc/sys/net goes by who opens it.
    with open(PORTS, "w", encoding="ascii") as file:
        file.write(f"{first} {last}")


def cpu_seconds(pid):
    """Processor time that a process has had."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_without_ports(rig, folder):
    """The case itself, inside a network of its own."""
    with Sandbox(folder, app_id=APP_ID) as sandbox:
        settings = {"APP_ID": APP_ID,
                    "APP_CERTIFICATE": sandbox.app_certificate,
                    "AGORA_API_BASE_URL": sandbox.base_url,
                    "AGORA_CA_FILE": sandbox.ca_file}
        program = rig.programs.listen(
            "start_agent", rig.programs.env_file(settings), 0)

        def begin(channel):
            body = json.dumps({"channelName": channel, "rtcUid": "5",
                               "userUid": "6"}).encode()
            return post(program, "/v2/startAgent", body)

        # Nothing before: a start would go over the connection of another.
        taken = [socket.socket() for _ in range(8)]
        for number, sock in enumerate(taken):
            sock.bind(("127.0.0.1", 61000 + number))
        set_ports(61000, 61007)
        spent = cpu_seconds(program.pid)
        begun = time.monotonic()
        refused(begin("without"), 500)
        took = time.monotonic() - begun
        spent = cpu_seconds(program.pid) - spent
        set_ports(32768, 60999)
        for sock in taken:
            sock.close()
        assert took < (BUDGET_S + 1) * PATIENCE
        assert spent < 0.5 * PATIENCE, "it spins"
        assert not sandbox.ledger("without")
        succeeded(begin("after"))
        assert program.stop() == 0


@as_root
def test_e10_no_local_port_left(rig):
    """An error, without spinning; when there are ports again, all is well."""
    folder = rig.programs.file("network")
    os.mkdir(folder, 0o755)
    in_new_network(lambda: start_without_ports(rig, folder))


# -- E11: many requests ------------------------------------------------------

def state(pid):
    """Resident KiB, descriptors and threads of a process."""
    return (rss_kib(pid), len(os.listdir(f"/proc/{pid}/fd")),
            len(os.listdir(f"/proc/{pid}/task")))


def settled(pid):
    """The state, once the connections of what was done before are closed."""
    last = None
    while state(pid) != last:
        last = state(pid)
        time.sleep(0.2 * PATIENCE)
    return last


def unchanged(pid, before):
    """At most 1 MiB more; descriptors and threads as they were."""
    wait_until(lambda: state(pid)[1:] == before[1:], 30, str(before))
    growth = state(pid)[0] - before[0]
    print(f"RSS {before[0]} KiB, grown by {growth} KiB")
    assert growth <= 1024, f"{growth} KiB more"


def many(program, count, connections=4):
    """That many get_config over kept connections."""
    data = fc.request_bytes(GET, keep=True)

    def some(_):
        with fc.Connection(program.socket, 60) as connection:
            for _ in range(count // connections):
                connection.send(data)
                assert b"Status: 200" in connection.read_answer().stdout
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        list(pool.map(some, range(connections)))


@plain
@pytest.mark.timeout(1800)
def test_e11_many_get_config(rig):
    """20,000, or a million, leave nothing behind."""
    program = rig.programs.listen("get_config", rig.env_file("default"), 0)
    many(program, 2000)
    before = settled(program.pid)
    many(program, 1000000 if SLOW_TESTS else 20000)
    unchanged(program.pid, before)
    assert program.stop() == 0


def pairs(starter, stopper, channels):
    """A start and a stop in each channel."""
    for channel in channels:
        body = json.dumps({"channelName": channel, "rtcUid": "5",
                           "userUid": "6"}).encode()
        answer = post(starter, "/v2/startAgent", body)
        assert succeeded(stop(stopper, answer.json["data"]["agent_id"]))


@plain
@pytest.mark.timeout(7200)
def test_e11_many_starts_and_stops(rig, programs):
    """200, or 100,000, leave nothing behind, and no agent."""
    folder = programs.file("sandbox")
    os.mkdir(folder, 0o755)
    total, batch = (100000, 1000) if SLOW_TESTS else (200, 200)
    with Sandbox(folder, app_id=APP_ID) as sandbox:
        env_file = programs.env_file({
            "APP_ID": APP_ID, "APP_CERTIFICATE": sandbox.app_certificate,
            "AGORA_API_BASE_URL": sandbox.base_url,
            "AGORA_CA_FILE": sandbox.ca_file})
        starter = rig.programs.listen("start_agent", env_file, 0)
        stopper = rig.programs.listen("stop_agent", env_file, 0)
        pairs(starter, stopper, [f"warm{number}" for number in range(100)])
        before = [settled(program.pid) for program in (starter, stopper)]
        for first in range(0, total, batch):
            pairs(starter, stopper,
                  [f"c{first + number}" for number in range(batch)])
            assert not sandbox.running()
            sandbox.reset()
        for program, was in zip((starter, stopper), before):
            unchanged(program.pid, was)
        assert starter.stop() == 0 and stopper.stop() == 0


# -- E12: no processor time --------------------------------------------------

@contextlib.contextmanager
def starved(*pids):
    """Leaves the processes what four busy loops on their processor leave to
    the nicest."""
    processor = min(os.sched_getaffinity(0))
    loops = [subprocess.Popen(
        [sys.executable, "-c", "while True: pass"],
        preexec_fn=lambda: os.sched_setaffinity(0, {processor}))
        for _ in range(4)]
    try:
        for pid in pids:
            os.sched_setaffinity(pid, {processor})
            os.setpriority(os.PRIO_PROCESS, pid, 19)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@plain
@pytest.mark.parametrize("fault", [
    "", pytest.param("fault-hangx9_", marks=pytest.mark.skipif(
        not SLOW_TESTS, reason="takes 20 s; SLOW_TESTS=1 runs it"))],
    ids=["answering", "silent"])
def test_e12_hardly_any_processor_time(rig, upstream, fault):
    """The limits of a start hold, and get_config is answered meanwhile."""
    env_file = rig.env_file("default")
    starter = rig.programs.listen("start_agent", env_file, 0)
    config = rig.programs.listen("get_config", env_file, 0)
    with starved(starter.pid, config.pid):
        channel = fault + upstream.channel()
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(start, starter, upstream, channel)
            succeeded(get(config.socket))
            answer = answer.result()[1]
        took = time.monotonic() - begun
    assert took < BUDGET_S + 1.5, took
    if answer.status != 200:
        refused(answer, 500)
    known(upstream, channel, answer)
    succeeded(start(starter, upstream)[1])
    assert starter.stop(30) == 0 and config.stop() == 0


# -- E13: no more threads ----------------------------------------------------

STRANGER = 54321  # a user that nobody is


def become_stranger():
    """In a child: a user of its own, who may have two processes."""
    os.setgroups([])
    os.setgid(STRANGER)
    resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
    os.setuid(STRANGER)


def stranger_settings(rig, upstream, folder):
    """Settings with host names, which the sandbox plays, for that user: what
    to add to the environment."""
    settings = upstream.settings(AGORA_AREA="US")
    settings.pop("AGORA_API_BASE_URL")
    env_file = rig.programs.env_file(settings)
    hosts = [(f"api-us-{coast}-1.{domain}", upstream.sandbox)
             for coast in ("west", "east")
             for domain in ("agora.io", "sd-rtn.com")]
    for path in (folder, env_file):
        os.chown(path, STRANGER, STRANGER)
    return {"AGORA_ENV_FILE": env_file,
            **preload.environment(preload.build(folder), hosts)}


@as_root
@plain
def test_e13_no_thread_for_the_resolver(rig, upstream):
    """libcurl looks names up in a thread, which cannot start: nothing is
    sent. When it can, all is well."""
    folder = rig.programs.file("stranger")
    os.mkdir(folder, 0o755)
    binary = shutil.copy(rig.programs.path("start_agent"), folder)
    env = rig.programs.environment(stranger_settings(rig, upstream, folder))
    log = rig.programs.log_file("threads.log")
    path = os.path.join(folder, "s")
    with open(log.path, "ab") as stderr:
        process = subprocess.Popen(
            [binary, "--listen", path], env=env, stderr=stderr,
            stdin=subprocess.DEVNULL, preexec_fn=become_stranger)
    program = Program(process, path, log)
    rig.programs.running.append(program)
    wait_until(lambda: process.poll() is not None or can_connect(path), 20,
               "it listens")
    # That user's other process.
    with subprocess.Popen(["sleep", "60"],
                          preexec_fn=become_stranger) as other:
        channel, answer = start(program, upstream)
        other.kill()
    refused(answer, 500)
    assert not upstream.entries(channel)
    succeeded(start(program, upstream)[1])
    assert program.stop() == 0
