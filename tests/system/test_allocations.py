"""No memory: every allocation that a request reaches fails once, and once
together with all that follow it (E02); so does every one of a start (E03).

What must come out: no crash of ours; a right answer or a whole JSON error; a
process that serves the next request properly; no block of memory and no
descriptor more than before; no agent that the caller does not know.

Libraries that cannot bear it are listed in CRASHES, by the function of the
library that the crash was in; the program's parent replaces what crashed.

"make torture" (TORTURE=1) tries every allocation; otherwise those of start, stop
and program start are a spread.
"""

import json
import os
import signal
import subprocess
import time

import pytest

import allocations
import fcgi_client as fc
from checks import JSON, error_shape, json_answer, refused, succeeded, verified
from processes import ROOT, WRAPPED, can_connect, wait_until
from test_protocol import GET, post_params
from test_resources import known, running
from transports import parse_cgi

SANITIZED = "asan" in os.environ.get("B", "")
TORTURE = bool(os.environ.get("TORTURE"))
SHARDS = 8 if TORTURE else 2

pytestmark = [
    pytest.mark.skipif(WRAPPED, reason="the wrapper has its own malloc"),
    pytest.mark.skipif(SANITIZED, reason="the sanitizer ends the process "
                       "where a library crashes"),
    pytest.mark.timeout(3600 if TORTURE else 240),
]

# Libraries that crash, and the function of theirs that was called.
CRASHES = {
    # fcgiapp.c: assert(size == 0 || result != NULL) in Malloc() and the like.
    ("libfcgi.so.0", "FCGX_Accept_r"),
}
# The same for what happens only when a process starts.
COLD_CRASHES = {
    # OpenSSL 3.0 reads its configuration, and makes its providers.
    ("libcrypto.so.3", "EVP_MD_fetch"),
    # glibc 2.36 reads nsswitch.conf.
    ("libc.so.6", "getpwuid"),
}
# And one that crashes at the next request: libcurl 7.88 frees a connection that
# it had no memory to enter into its pool, and finds it there.
LATE_CRASHES = {("libcurl.so.4", "curl_multi_socket_action")}
# Libraries that lose a few blocks for ever when memory runs out in them.
LEAKS = {
    # 7.88, while it sends the head of a request. The same path of ours with a
    # peer that closes the connection loses nothing. Two for the first request
    # of a connection, three for a later one.
    "libcurl.so.4": 3,
    # 0.16: json_object_object_add() forgets its copy of the key when the
    # table cannot grow.
    "libjson-c.so.5": 1,
}
# The allocation without which there is nothing to answer on.
CONNECTION = {1}
CRASH_TALK = rb"Assertion `|^Unexpected error\.$"


def reached(shard, count, stride=1):
    """The allocations that a shard of a test tries, from 1 to one more than
    there are."""
    if TORTURE:
        stride = 1
    return range(1 + shard * stride, count + 2, stride * SHARDS)


def function_names(program, frames):
    """The frames as text, with the names of our own functions."""
    named = []
    for file, symbol, offset in frames:
        if file == os.path.basename(program):
            done = subprocess.run(["addr2line", "-f", "-e", program, offset],
                                  capture_output=True, text=True, check=False)
            symbol = done.stdout.split("\n", 1)[0]
        named.append(f"{file}!{symbol}+{offset}")
    return " < ".join(named)


@pytest.fixture(scope="module", name="library")
def preload(programs):
    """fail_alloc.c, compiled."""
    return allocations.build(programs.folder)


class Subject:
    """A program whose allocations are under control."""

    def __init__(self, programs, library, endpoint, env_file):
        self.programs = programs
        self.endpoint = endpoint
        self.path = programs.path(endpoint)
        self.socket = programs.file("s")
        self.memory = allocations.Allocations(library,
                                              programs.file("control"))
        self.log = programs.log_file(f"{endpoint}.log", ignore=CRASH_TALK)
        self.env = programs.environment({"AGORA_ENV_FILE": env_file,
                                         **self.memory.environment()})
        self.process = None

    def where(self):
        """What failed and, if so, what crashed, for messages."""
        return (f"failed: {function_names(self.path, self.memory.place)}; "
                f"crashed: {function_names(self.path, self.memory.crash)}")

    def crash_is_known(self, cold=False):
        """Whether it is one of a library's; ${cold}: in a process's first
        moments."""
        return allocations.culprit(self.memory.crash) in (
            CRASHES | COLD_CRASHES if cold else CRASHES)

    def spawn(self):
        """Starts it on its socket, with what was armed."""
        self.process = self.programs.spawn(
            self.endpoint, ["--listen", self.socket], self.env, self.log)

    def serve(self):
        """Starts it and waits until it serves."""
        self.memory.start_over()
        self.spawn()
        wait_until(lambda: self.process.poll() is not None
                   or can_connect(self.socket), 20, "it listens")
        assert self.process.poll() is None, self.log.text()[-2000:]
        fc.wait_for_service(self.socket)

    def crashed(self):
        """Whether the process is gone. One that crashes tells its fate
        first, so that nobody has to wait for others."""
        if self.memory.crash:
            self.process.wait(10)
        return self.process.poll() is not None

    def descriptors(self):
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def answer(self, params, body=b""):
        """What it says to a request, or None where it hung up instead."""
        try:
            out = fc.request(self.socket, params, body, timeout=40).stdout
        except (OSError, fc.ConnectionEnded):
            return None
        return parse_cgi(out)

    def run(self, params, body=b""):
        """The same as CGI: what it wrote, and its exit status."""
        with open(self.log.path, "ab") as stderr:
            return subprocess.run([self.path], env={**self.env, **params},
                                  input=body, stdout=subprocess.PIPE,
                                  stderr=stderr, timeout=60, check=False)

    def stop(self):
        """Ends it, if it has not ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self):
        """Ends it for good."""
        self.stop()
        self.memory.close()


def whole(answer):
    """Not an answer that was cut; returns its body."""
    assert int(answer.header("Content-Length")) == len(answer.body)
    return json_answer(answer)


def internal_error(answer):
    """The one thing that may be said instead of a right answer."""
    body = whole(answer)
    assert answer.status == 500, (answer.status, answer.body)
    error_shape(body)


class Sweep:
    """Requests to a warmed process, one allocation failing in each.

    A subclass knows params and body of the next request, and judges.
    """

    warm_up = 3

    def __init__(self, subject):
        self.subject = subject
        self.crashes = self.errors = self.tried = 0
        self.hung_up = set()  # numbers of allocations
        self.count = self.leaked = 0
        self.begin()

    def next_request(self):
        """Returns params and body."""
        raise NotImplementedError

    def right(self, answer):
        """The answer to that request is a right one."""
        raise NotImplementedError

    def judge(self, answer):
        """After an answer, or None, to a request that met a failure."""

    def judge_crash(self, answer):
        """The same after a library's crash, before a new process."""

    def good(self):
        """One request, properly answered."""
        answer = self.subject.answer(*self.next_request())
        assert answer is not None, self.subject.log.text()[-2000:]
        whole(answer)
        self.right(answer)

    def settled(self):
        """Blocks and descriptors when all work is done."""
        memory, before = self.subject.memory, None
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            now = memory.alive, self.subject.descriptors()
            if now == before:
                break
            before = now
            time.sleep(0.004)
        return before

    def begin(self):
        """A new process, warm; how much one request needs."""
        self.subject.serve()
        for _ in range(self.warm_up):
            self.good()
        self.settled()
        self.subject.memory.count_from_now()
        self.good()
        self.baseline = self.settled()
        self.count = max(self.count, self.subject.memory.disarm()[0])

    def attempt(self, number, sticky):
        """One request during which the ${number}-th allocation fails."""
        subject, memory = self.subject, self.subject.memory
        request = self.next_request()
        memory.arm(number, sticky)
        try:
            answer = subject.answer(*request)
        finally:
            memory.disarm()
        self.tried += 1
        if subject.crashed():
            assert answer is None or answer.status == 200
            assert subject.crash_is_known(), subject.where()
            self.crashes += 1
            self.judge_crash(answer)
            return
        if answer is None:
            self.hung_up.add(number)
        elif answer.status == 200:
            whole(answer)
            self.right(answer)
        else:
            internal_error(answer)
            self.errors += 1
        self.judge(answer)

    def check(self, number, sticky):
        """attempt(), and what must hold after it: the next request is
        answered, by the same process, and nothing is left behind."""
        before = self.subject.process.pid
        try:
            # What is kept once is no leak: OpenSSL's last 16 errors, idle
            # connections to Agora, of which libcurl keeps 16.
            for _ in range(20):
                self.attempt(number, sticky)
                if self.subject.process.poll() is not None:
                    self.begin()
                    return
                if not self.good_or_known_crash():
                    return
                assert self.subject.process.pid == before
                if not self.grown():
                    return
            if self.leaked <= self.library_leak():
                return
            raise AssertionError(
                f"{self.leaked} blocks lost: {self.baseline}")
        except AssertionError as error:
            raise AssertionError(
                f"allocation {number}{' and all later' if sticky else ''}: "
                f"{error}; {self.subject.where()}") from error

    def good_or_known_crash(self):
        """good(); false if it met a library's crash instead, after which
        there is a new process."""
        try:
            self.good()
            return True
        except AssertionError:
            if not self.subject.crashed() or allocations.culprit(
                    self.subject.memory.crash) not in LATE_CRASHES:
                raise
        self.crashes += 1
        self.judge_crash(None)
        self.begin()
        return False

    def library_leak(self):
        """How many blocks a library may lose where memory ran out."""
        return max((LEAKS.get(file, 0) for file, _, _ in
                    self.subject.memory.place), default=0)

    def grown(self):
        """Whether it has more memory or descriptors than before."""
        deadline = time.monotonic() + 1
        while True:
            now = self.settled()
            if now[0] <= self.baseline[0] and now[1] <= self.baseline[1]:
                return False
            if time.monotonic() > deadline:
                break
        self.leaked = now[0] - self.baseline[0]
        self.baseline = now
        return True



def start_request(upstream, **changes):
    """Channel, params and body of a start with all that a body can have."""
    channel = upstream.channel() + "-" + 40 * "x"
    body = json.dumps({
        "channelName": channel, "rtcUid": "5", "userUid": "6",
        "parameters": {"output_audio_codec": "OPUSFB"},
        **{f"unknown{number}": number for number in range(16)},
        "more": [300 * "y", {"a": 1.5}, None, True, 40 * [1]],
        **changes}).encode()
    return channel, post_params("/v2/startAgent", body), body


class GetConfig(Sweep):
    """Tokens are right ones, or there are none."""

    def __init__(self, subject, certificate):
        self.certificate = certificate
        super().__init__(subject)

    def next_request(self):
        return GET, b""

    def right(self, answer):
        data = succeeded(answer)["data"]
        verified(data["token"], self.certificate, data["channel_name"],
                 data["uid"], 86400)


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
def test_e02_get_config_without_memory(rig, upstream, library, sticky):
    """Every allocation of a get_config over FastCGI. Nobody is hung up on but
    for want of the connection itself."""
    subject = Subject(rig.programs, library, "get_config",
                      rig.env_file("default"))
    try:
        sweep = GetConfig(subject, upstream.certificate)
        for number in range(1, sweep.count + 2):
            sweep.check(number, sticky)
        assert sweep.errors > 10 and sweep.hung_up <= CONNECTION
    finally:
        subject.close()


def left_behind(upstream, channel, answer):
    """How many agents a crash left that nobody can stop: one, at most, and
    only if its join was sent; none if its caller was told of it."""
    if answer is not None and answer.status == 200:
        known(upstream, channel, answer)
        return 0
    left = running(upstream, channel)
    assert len(left) <= min(1, len(upstream.joins(channel))), left
    return len(left)


class Start(Sweep):
    """Whatever is answered, no agent runs that the caller was not told of,
    and the one that does is the one that was asked for."""

    def __init__(self, subject, upstream):
        self.upstream = upstream
        self.channel = None
        self.left = 0
        super().__init__(subject)

    def next_request(self):
        self.channel, params, body = start_request(self.upstream)
        return params, body

    def right(self, answer):
        assert succeeded(answer)["data"]["channel_name"] == self.channel
        for entry in self.upstream.joins(self.channel):
            assert entry["body"]["properties"]["parameters"][
                "output_audio_codec"] == "OPUSFB"
        known(self.upstream, self.channel, answer)

    def judge(self, answer):
        known(self.upstream, self.channel, answer)

    def judge_crash(self, answer):
        self.left += left_behind(self.upstream, self.channel, answer)


def stop_request(upstream, channel):
    """Params and body of a stop of an agent that runs in the channel."""
    agent = upstream.sandbox.join(channel).json()["agent_id"]
    body = json.dumps({"agentId": agent}).encode()
    return post_params("/v2/stopAgent", body), body


class Stop(Sweep):
    """An agent is stopped, or the caller learns that it may not be and can
    stop it again."""

    def __init__(self, subject, upstream):
        self.upstream = upstream
        self.channel = self.request = None
        self.left = 0
        super().__init__(subject)

    def next_request(self):
        self.channel = self.upstream.channel()
        self.request = stop_request(self.upstream, self.channel)
        return self.request

    def right(self, answer):
        assert "data" not in succeeded(answer)
        assert not running(self.upstream, self.channel)

    def judge(self, answer):
        if (answer is None or answer.status != 200) and \
                running(self.upstream, self.channel):
            self.right(self.subject.answer(*self.request))

    def judge_crash(self, answer):
        # The caller has the id, and can stop it once there is a process.
        assert answer is None or not running(self.upstream, self.channel)


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
@pytest.mark.parametrize("kind", [Start, Stop])
def test_e02_call_without_memory(rig, upstream, library, kind, sticky, shard):
    """The allocations of a start or a stop in a warm process, from its
    arrival to the last of what is done for it."""
    endpoint = "start_agent" if kind is Start else "stop_agent"
    subject = Subject(rig.programs, library, endpoint,
                      rig.env_file("default"))
    try:
        sweep = kind(subject, upstream)
        # A stop that fails is tried again, after pauses.
        tries = 16 if kind is Start else 5 if sticky else 48
        for number in reached(shard, sweep.count, 1 + sweep.count // tries):
            sweep.check(number, sticky)
        print(f"{sweep.count} allocations, {sweep.tried} tried: "
              f"{sweep.errors} errors, {sweep.crashes} crashes, "
              f"{len(sweep.hung_up)} hung up, {sweep.left} agents left by "
              "crashes")
        assert sweep.count > 100 and sweep.errors > 0
        assert sweep.hung_up <= CONNECTION and sweep.left <= sweep.crashes
    finally:
        subject.close()


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
def test_e02_start_as_cgi_without_memory(rig, upstream, library, sticky,
                                         shard):
    """The same for a process that starts for it, OpenSSL and all."""
    subject = Subject(rig.programs, library, "start_agent",
                      rig.env_file("default"))
    try:
        sweep = CgiSweep(subject, succeeded)
        count = sweep.count(*start_request(upstream)[1:])
        left = 0
        for number in reached(shard, count, 1 + count // 24):
            channel, params, body = start_request(upstream)
            answer = sweep.check(number, sticky, params, body)
            if subject.memory.crash:
                left += left_behind(upstream, channel, answer)
            else:
                known(upstream, channel, answer)
        print(f"{count} allocations: {sweep.errors} errors, {sweep.crashes} "
              f"crashes, {left} agents left by crashes")
        assert sweep.errors > 0
    finally:
        subject.close()


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
def test_e02_stop_as_cgi_without_memory(rig, upstream, library, sticky,
                                        shard):
    """It says "stopped" of no agent that runs."""
    subject = Subject(rig.programs, library, "stop_agent",
                      rig.env_file("default"))
    try:
        sweep = CgiSweep(subject, succeeded)
        count = sweep.count(*stop_request(upstream, upstream.channel()))
        # Most of them are OpenSSL's cold start; the request is at the end,
        # where nothing works from then on but waiting.
        numbers = [*reached(shard, count, 1 + count // 16)]
        if not sticky:
            numbers += range(count - 140 + shard, count, 12 * SHARDS)
        for number in numbers:
            channel = upstream.channel()
            request = stop_request(upstream, channel)
            answer = sweep.check(number, sticky, *request)
            if running(upstream, channel):
                assert answer is None or answer.status != 200
                succeeded(sweep.check(2 * count, False, *request))
            assert not running(upstream, channel)
        print(f"{count} allocations: {sweep.errors} errors, {sweep.crashes} "
              "crashes")
        assert sweep.errors > 0
    finally:
        subject.close()


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
def test_e03_the_first_request_without_memory(rig, library, sticky):
    """A program that has begun to serve is past OpenSSL's cold start, which
    does not bear every failure."""
    subject = Subject(rig.programs, library, "get_config",
                      rig.env_file("default"))
    try:
        subject.serve()
        subject.memory.count_from_now()
        succeeded(subject.answer(GET))
        count, _ = subject.memory.disarm()
        assert 20 < count < 500, count
        for number in range(1, count + 2, 1 if TORTURE else 3):
            subject.stop()
            subject.serve()
            subject.memory.arm(number, sticky)
            answer = subject.answer(GET)
            subject.memory.disarm()
            if subject.crashed():
                assert subject.crash_is_known(), subject.where()
            elif answer is not None:
                whole(answer)
    finally:
        subject.close()


class CgiSweep:
    """The same for processes that live for one request, from their start."""

    def __init__(self, subject, judge):
        self.subject = subject
        self.judge = judge
        self.crashes = self.errors = 0

    def count(self, params, body=b""):
        """How many allocations a process makes that answers this rightly."""
        memory = self.subject.memory
        memory.start_over()
        memory.count_from_now()
        done = self.subject.run(params, body)
        assert done.returncode == 0, done
        self.judge(parse_cgi(done.stdout))
        return memory.disarm()[0]

    def _look(self, done):
        if self.subject.memory.crash:
            assert done.returncode != 0 and not done.stdout
            assert self.subject.crash_is_known(cold=True), self.subject.where()
            self.crashes += 1
            return None
        assert done.returncode in (0, 1), done.returncode
        answer = parse_cgi(done.stdout)
        whole(answer)
        if answer.status == 200:
            self.judge(answer)
        else:
            internal_error(answer)
            self.errors += 1
        return answer

    def check(self, number, sticky, params, body=b""):
        """One process in which the ${number}-th allocation fails."""
        memory = self.subject.memory
        memory.start_over()
        memory.arm(number, sticky)
        done = self.subject.run(params, body)
        memory.disarm()
        try:
            return self._look(done)
        except AssertionError as error:
            raise AssertionError(
                f"allocation {number}{' and all later' if sticky else ''}: "
                f"{error}; {self.subject.where()}") from error


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
def test_e02_e03_get_config_as_cgi_without_memory(rig, upstream, library,
                                                  sticky, shard):
    """From the first instruction to the last: an answer, whatever fails."""
    subject = Subject(rig.programs, library, "get_config",
                      rig.env_file("default"))

    def judge(answer):
        data = succeeded(answer)["data"]
        verified(data["token"], upstream.certificate, data["channel_name"],
                 data["uid"], 86400)

    try:
        sweep = CgiSweep(subject, judge)
        count = sweep.count(GET)
        for number in reached(shard, count, 40):
            sweep.check(number, sticky, GET)
        assert sweep.errors > 0
    finally:
        subject.close()


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then"])
def test_e02_a_body_is_read_whole_or_not_at_all(rig, upstream, library,
                                                sticky):
    """No member and no part of a string gets lost when memory runs out while
    the body is read: the agent is the one that was asked for, or none."""
    subject = Subject(rig.programs, library, "start_agent",
                      rig.env_file("default"))

    def differ(answer):
        refused(answer, 400, "must differ")

    try:
        sweep = CgiSweep(subject, differ)
        # Refused when all was read; nothing of the call to Agora.
        end = sweep.count(*start_request(upstream, userUid="5")[1:])
        sweep.judge = succeeded
        for number in range(end - 140, end - 5, 1 if TORTURE else 2):
            channel, params, body = start_request(upstream)
            answer = sweep.check(number, sticky, params, body)
            if answer is not None and answer.status == 200:
                properties = upstream.join(channel)["properties"]
                assert properties["parameters"]["output_audio_codec"] == \
                    "OPUSFB"
            else:
                assert not upstream.joins(channel)
        assert sweep.errors > 40 and sweep.crashes == 0
    finally:
        subject.close()


def ended(subject, logged):
    """Whether the program is gone; if so, it has said why, or a library is
    known to crash there."""
    if not subject.crashed():
        return False
    if subject.memory.crash:
        assert subject.crash_is_known(cold=True), "crashed"
    else:
        assert subject.process.returncode == 1
        assert subject.log.text()[logged:], "not a word"
    return True


def starts_or_ends(subject, params):
    """Starts a program, sends a request, and has no more allocations fail:
    it answers within the time for new settings, or has ended and said why."""
    logged = len(subject.log.text())
    subject.spawn()
    wait_until(lambda: subject.process.poll() is not None
               or can_connect(subject.socket), 20, "a beginning or an end")
    subject.answer(params)
    subject.memory.disarm()
    wait_until(lambda: subject.crashed() or answers(subject, params), 15,
               "a right answer or an end")
    if not subject.crashed():
        end(subject)
    elif subject.memory.crash:
        assert subject.crash_is_known(cold=True), "crashed"
    else:
        assert subject.process.returncode == 1
        assert subject.log.text()[logged:], "not a word"


def answers(subject, params):
    """Whether it answers as it should."""
    answer = subject.answer(params)
    return answer is not None and answer.status in (200, 400)


def end(subject):
    """Has it end."""
    subject.process.terminate()
    assert subject.process.wait(20) == 0


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("endpoint", ["get_config", "start_agent"])
def test_e03_start_without_memory(rig, library, endpoint, shard):
    """A program that cannot start says so and ends, or serves later; with
    all later allocations failing, too, until it has begun."""
    subject = Subject(rig.programs, library, endpoint,
                      rig.env_file("default"))
    params = GET if endpoint == "get_config" else \
        post_params("/v2/startAgent", b"")
    memory = subject.memory
    try:
        subject.serve()
        count, _ = memory.disarm()
        assert answers(subject, params)
        end(subject)
        # The settings are read at the end.
        for number in [*reached(shard, count, 100),
                       *range(count - 60 + shard, count, SHARDS)]:
            for sticky in (False, True):
                memory.start_over()
                memory.arm(number, sticky)
                try:
                    starts_or_ends(subject, params)
                except AssertionError as error:
                    raise AssertionError(
                        f"allocation {number}, {sticky}: {error}; "
                        f"{subject.where()}") from error
    finally:
        subject.close()
