"""What becomes of a start or a stop when Agora, or the way there, fails. The
judge is the sandbox: which calls it saw, which agents run, and who knows of
them."""

import email.utils
import itertools
import os
import subprocess
import threading
import time

import pytest

import http2
import preload
from network import hole
from processes import PATIENCE, SLOW, wait_until
from starts import NOISE_S, START_S, Backend, at, side_by_side
from test_join_body import US
from test_protocol import rss_kib

FULL = bool(os.environ.get("SLOW_TESTS"))
ATTEMPT_S = 8
REFUSED = "https://127.0.0.1:9/api"  # nobody listens on port 9


def named(upstream, what, call=""):
    """A new channel whose name asks for a fault."""
    return f"fault-{call}{what}_{upstream.channel()}"


def gaps(entries):
    """The seconds from each entry to the next."""
    times = [entry["time"] for entry in entries]
    return [after - before for before, after in zip(times, times[1:])]


def one_agent(upstream, channel, agent_id):
    """Exactly that agent runs there, there never was another, and all joins
    had one name."""
    agent = upstream.agent(channel)
    assert (agent["agent_id"], agent["status"]) == (agent_id, "RUNNING")
    assert len({entry["body"]["name"]
                for entry in upstream.joins(channel)}) == 1


def none_runs(upstream, channel, within=0):
    """Not after so many seconds."""
    wait_until(lambda: not upstream.sandbox.running(channel),
               max(within, 0.1) * PATIENCE, f"no agent in {channel}")


def recovered(rig, channel):
    """A start there succeeds, with one agent."""
    with Backend(rig) as backend:
        ended = backend.start(channel)
        one_agent(rig.upstream, channel, ended.started())
        return ended


# -- Answers that get lost ---------------------------------------------------

LOST = ("lost", "lost-reset", "cut-headers", "no-body", "cut-body",
        "garbage", "no-id", "bad-id")


@pytest.mark.parametrize("times", ["x1", ""], ids=["once", "always"])
def test_c05_joined_and_the_answer_lost(rig, times):
    """The next join meets the agent; where that is never told either, the
    list has it."""
    side_by_side({
        what: lambda what=what: recovered(
            rig, named(rig.upstream, what + times))
        for what in LOST})


@pytest.mark.parametrize("second", [None, 403, 429, 503])
def test_c05_joined_and_the_kept_connection_lost(rig, second):
    """libcurl sends a join again by itself when a connection that served
    others before dies: the name makes that harmless. Whatever the second one
    meets, the first may have made an agent."""
    upstream = rig.upstream
    with Backend(rig) as backend:
        backend.start(upstream.channel()).started()
        channel = upstream.channel()
        upstream.sandbox.fault("join", match={"channel": channel, "times": 1},
                               close="before", execute=True)
        if second:
            upstream.sandbox.fault("join", match={"channel": channel,
                                                  "nth": 2}, status=second)
        one_agent(upstream, channel, backend.start(channel).started())
        sent = backend.log().count("agora: join: to ") - 1
        assert len(upstream.joins(channel)) == sent + 1, "not by libcurl"


@pytest.mark.parametrize("what", ["500", "500-done", "502", "504-done",
                                  "501-done", "html"])
def test_c16_failed_once(rig, what):
    """Whether it joined or not: success, and one agent."""
    recovered(rig, named(rig.upstream, what + "x1"))


def failed_always(rig):
    """An error if no agent runs, the agent if one does."""
    channel = named(rig.upstream, "500")
    recovered(rig, named(rig.upstream, "500-done"))
    with Backend(rig) as backend:
        body = backend.start(channel).failed()
        assert body["upstream"] == {"status": 500, "reason": "InternalError"}
        assert len(rig.upstream.joins(channel)) == 3
    none_runs(rig.upstream, channel)


@pytest.mark.parametrize("member", ["agent_id", "taskId", None])
def test_c13_conflict(rig, member):
    """The second of two equal starts gets the first one's agent."""
    upstream = rig.upstream
    with Backend(rig) as backend:
        wish = backend.issued()
        channel = wish[0]
        agent_id = backend.start(*wish).started()
        if member:
            upstream.fault(channel, conflict_id=member)
        assert backend.start(*wish).started() == agent_id
        one_agent(upstream, channel, agent_id)
        assert backend.stop(agent_id).answer.status == 200
        none_runs(upstream, channel)


# -- The list ----------------------------------------------------------------

def elsewhere(upstream, channel, count):
    """Agents of somebody else's in the channel; their ids."""
    return [upstream.sandbox.join(channel, uid=str(number),
                                  name=f"{channel}-{number}")
            .json()["agent_id"] for number in range(100, 100 + count)]


def several_listed(rig):
    """Two could be ours: neither is taken."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    with Backend(rig) as backend:
        theirs = elsewhere(upstream, channel, 2)
        upstream.fault(channel, close="before")
        body = backend.start(channel).failed("several agents")
        assert body["upstream"]["reason"] == "upstream_ambiguous"
    assert "orphan_possible" in backend.log()
    assert {agent["agent_id"] for agent
            in upstream.sandbox.running(channel)} == set(theirs)


def other_listed(rig, **members):
    """One of another name, perhaps an old one: it is neither taken nor
    stopped."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    with Backend(rig) as backend:
        (theirs,) = elsewhere(upstream, channel, 1)
        if members:
            upstream.sandbox.set_agent(theirs, **members)
        upstream.fault(channel, close="before")
        backend.start(channel).failed()
    agent = upstream.agent(channel)
    assert (agent["agent_id"], agent["status"]) == (theirs, "RUNNING")


# -- Later -------------------------------------------------------------------

def waits(rig, do, least, times=1):
    """The second join comes after ${least} seconds and succeeds."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    upstream.sandbox.fault("join", match={"channel": channel,
                                          "times": times}, **do)
    with Backend(rig) as backend:
        backend.start(channel).started()
        (gap,) = gaps(upstream.joins(channel))
        assert least <= gap, gap


def gives_up(rig, do, retry_after, attempts=1):
    """The client is told when to come again."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    upstream.fault(channel, **do)
    with Backend(rig) as backend:
        ended = backend.start(channel)
        body = ended.failed("too many")
        assert body["upstream"]["status"] == 429
        assert ended.answer.header("Retry-After") == retry_after
        assert len(upstream.joins(channel)) == attempts


def busy(retry_after=None):
    """What a fault does to say 429."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return {"status": 429, "headers": headers}


def test_c11_too_many(rig):
    """A short wait is waited, once; a long one is the client's."""
    def date(seconds):
        return email.utils.formatdate(time.time() + seconds, usegmt=True)
    side_by_side({
        "absent": lambda: waits(rig, busy(), 1),
        "two seconds": lambda: waits(rig, busy("2"), 2),
        "a date": lambda: waits(rig, busy(date(2.9)), 1),
        "garbage": lambda: waits(rig, busy("soon"), 1),
        "negative": lambda: waits(rig, busy("-5"), 1),
        "a minute": lambda: gives_up(rig, busy("60"), "60"),
        "a date far away": lambda: gives_up(rig, busy(date(3600)), "60"),
        "for ever": lambda: gives_up(rig, busy("99999999999"), "60"),
        "beyond": lambda: gives_up(rig, busy("9" * 30), "5", 2),
        "again and again": lambda: gives_up(rig, busy("1"), "1", 2)})


def unavailable_twice(rig):
    """Success, after a second and after three."""
    channel = named(rig.upstream, "503x2")
    with Backend(rig) as backend:
        backend.start(channel).started()
    first, second = gaps(rig.upstream.joins(channel))
    assert first >= 1 and second >= 3, (first, second)


def unavailable(rig, pauses):
    """Three attempts, then an error; adds the first pauses of four starts,
    which take 8 of the 10 retries that a process has."""
    upstream = rig.upstream
    channels = [named(upstream, "503") for _ in range(4)]
    with Backend(rig) as backend:
        side_by_side({channel: lambda name=channel: backend.start(
            name).failed("for now") for channel in channels})
    for channel in channels:
        first, second = gaps(upstream.joins(channel))
        assert first >= 1 and second >= 3, (first, second)
        none_runs(upstream, channel)
        pauses.append(first)


def test_c12_c15_c16_in_vain(rig):
    """What ends after all attempts, or takes them all, at the same time."""
    pauses = []
    side_by_side({
        "C12 twice": lambda: unavailable_twice(rig),
        **{f"C12 always {n}": lambda: unavailable(rig, pauses)
           for n in range(5)},
        "C15 two": lambda: several_listed(rig),
        "C15 old": lambda: other_listed(rig, start_ts=int(time.time()) - 60),
        "C15 another's": lambda: other_listed(rig),
        "C16": lambda: failed_always(rig)})
    # Of twenty in a second, two are equal to the millisecond now and then.
    assert len({round(pause, 3) for pause in pauses}) >= 17
    assert max(pauses) - min(pauses) > 0.2


# -- Final answers -----------------------------------------------------------

CANARY = "canary-of-the-upstream-body"
FINAL = {400: "InvalidRequest", 401: "InvalidPermission",
         403: "ServiceNotEnabled", 404: "TaskNotFound",
         405: "MethodNotAllowed", 413: "RequestTooLarge",
         422: "ResourceQuotaLimitExceeded"}


def test_c19_refused_for_good(rig):
    """One attempt, the reason, and nothing else of Agora's answer."""
    upstream = rig.upstream
    with Backend(rig) as backend:
        for status, reason in FINAL.items():
            channel = upstream.channel()
            upstream.fault(channel, status=status, headers={
                "X-Canary": CANARY}, body={
                "detail": CANARY, "reason": reason, "message": CANARY})
            ended = backend.start(channel)
            assert ended.failed(reason)["upstream"] == {
                "status": status, "reason": reason}
            assert CANARY.encode() not in (ended.answer.body
                                           + ended.answer.raw_head)
            assert len(upstream.joins(channel)) == 1
        assert CANARY not in backend.log()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_c18_redirects(rig, weather, status):
    """Nobody follows them, with or without TLS."""
    upstream = rig.upstream
    others = [weather(), weather("--plain-http")] if status == 307 else []
    targets = [*(other.base_url for other in others), REFUSED,
               "http://127.0.0.1:9/", "file:///etc/passwd", "//[", ""]
    with Backend(rig) as backend:
        for target in targets:
            channel = upstream.channel()
            upstream.sandbox.fault(
                "join", match={"channel": channel}, status=status,
                headers={"Location": target})
            body = backend.start(channel).failed()
            assert body["upstream"]["status"] == status
            assert len(upstream.entries(channel)) == 1
            channel = upstream.channel()
            agent_id = backend.start(channel).started()
            upstream.fault(channel, "leave", status=status,
                           headers={"Location": target})
            backend.stop(agent_id).failed()
    assert not any(other.health()["requests"] for other in others)


def test_c27_the_certificate_changes(rig, weather):
    """Each new connection looks at it, and none is talked to in vain; one
    that was trusted goes on."""
    sandbox = weather()
    for kind in ("wrong-host", "self-signed", "expired"):
        sandbox.certificate(kind)
        with Backend(rig, **at(sandbox)) as backend:
            calls = sandbox.health()["requests"]
            body = backend.start(f"{kind}").failed("certificate")
            assert body["upstream"]["reason"] == "upstream_tls"
            assert sandbox.health()["requests"] == calls
            assert backend.log().count("not trusted") == 1
            sandbox.certificate("good")
            backend.start(f"after-{kind}").started()
            sandbox.certificate(kind)
            backend.start(f"still-{kind}").started()


def test_c03_no_handshake(rig, weather):
    """Old TLS, none at all, or one that breaks off: an error, and not a byte
    of a request was sent."""
    def fails(mode, least=0):
        sandbox = weather()
        with Backend(rig, **at(sandbox)) as backend:
            sandbox.network(mode)
            ended = backend.start("one")
            body = ended.failed()
            assert body["upstream"]["reason"] in ("upstream_unreachable",
                                                  "upstream_tls")
            assert ended.seconds >= least
            sandbox.network("on")
            assert sandbox.health()["requests"] == 0
            backend.start("two").started()
    side_by_side({mode: lambda mode=mode: fails(mode) for mode in (
        "tls1.1", "plain", "close", "reset")} | {
            "mute": lambda: fails("mute", 2.9)})


# -- Odd HTTP ----------------------------------------------------------------

def test_c20_odd_answers(rig, weather):
    """Interim answers are passed over; what is no HTTP/1.1 is no answer."""
    upstream = rig.upstream
    deaf = weather()
    deaf.network("no-continue")

    def no_continue():
        with Backend(rig, **at(deaf)) as backend:
            backend.start("one").started()
    side_by_side({
        "hints": lambda: recovered(rig, named(upstream, "hints")),
        "100-continue": no_continue,
        "http/0.9": lambda: recovered(rig, named(upstream, "http09x1"))})


@pytest.mark.skipif(not http2.have(), reason="no nginx with HTTP/2")
def test_c20_http2(rig, weather, folder):
    """GOAWAY after every request, and streams that are refused."""
    sandbox = weather()

    def base(front):
        return {**at(sandbox), "AGORA_API_BASE_URL": front.base_url}
    with http2.Http2(folder, sandbox, requests=1) as front, \
            Backend(rig, **base(front)) as backend:
        for number in range(5):
            agent_id = backend.start(f"goaway-{number}").started()
            assert backend.stop(agent_id).answer.status == 200
        backend.start("fault-lostx1_goaway").started()
    os.mkdir(folder / "early")
    with http2.Http2(folder / "early", sandbox,
                     refuse_early=True) as front, \
            Backend(rig, **base(front)) as backend:
        ended = backend.start("refused")
        if ended.answer.status != 200:
            ended.failed()
    assert len(sandbox.duplicates()["ever"]) == 0
    assert len(sandbox.running("goaway-0")) == 0
    assert len(sandbox.running("fault-lostx1_goaway")) == 1


# -- Agora is slow, or never answers -----------------------------------------

def packets_vanish(rig, library):
    """3 s for a connection; another host is tried, not the same one."""
    with hole(["127.0.0.1"]) as port:
        base = f"https://127.0.0.1:{port}/api"
        with Backend(rig, base=base) as backend:
            ended = backend.start("one").within(3)
            assert ended.seconds > 2.9
            body = ended.failed("was not sent")
            assert body["upstream"]["reason"] == "upstream_unreachable"
            backend.stop("NOBODY").failed("was not sent")
    env = preload.environment(library, [(name, "silent") for name in US])
    with Backend(rig, env=env, AGORA_API_BASE_URL="", AGORA_AREA="US") as backend:
        ended = backend.start("one").within(3 * 3.25)
        assert ended.seconds > 8.7
        ended.failed("was not sent")


def never_answered(rig):
    """8 s for a join, the same name on the same host, then the truth."""
    upstream, channel = rig.upstream, named(rig.upstream, "hang")
    with Backend(rig) as backend:
        ended = backend.start(channel)
        body = ended.failed("did not answer the start in time")
        assert body["upstream"] == {"status": 504,
                                    "reason": "upstream_timeout"}
        attempts = upstream.joins(channel)
        assert len({entry["body"]["name"] for entry in attempts}) == 1
        assert 2 <= len(attempts) <= 3
        for gap in gaps(attempts):
            assert ATTEMPT_S - 0.1 < gap < (ATTEMPT_S + 2 + NOISE_S) * PATIENCE
    assert "orphan_possible" in backend.log()
    none_runs(upstream, channel)


def answered_too_late(rig):
    """The agent that comes when the client has its error is stopped."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    upstream.sandbox.fault("join", match={"channel": channel, "nth": 1},
                           hang=True, execute_after_s=START_S + 1.5)
    upstream.fault(channel, hang=True)
    with Backend(rig) as backend:
        backend.start(channel).failed("did not answer")
    assert "orphan_possible" not in backend.log()
    agent = upstream.agent(channel)
    assert agent["status"] == "STOPPED" and agent["leaves"]


def trickles(rig, do):
    """A byte a second, of every answer: the limits are the whole call's."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    upstream.sandbox.fault(match={"channel": channel}, **do)
    with Backend(rig) as backend:
        ended = backend.start(channel)
        assert ended.seconds > ATTEMPT_S
        ended.failed("did not answer the start in time")
        (agent,) = upstream.sandbox.running(channel)
    # Agora never told whose agent it is.
    assert "orphan_possible" in backend.log()
    assert upstream.agent(channel)["agent_id"] == agent["agent_id"]


def trickles_once(rig, what):
    """The list has what the join did not tell in 8 s."""
    ended = recovered(rig, named(rig.upstream, what + "x1"))
    assert ATTEMPT_S <= ended.seconds


def endless(rig):
    """What is larger than any answer is given up early."""
    upstream = rig.upstream
    with Backend(rig) as backend:
        backend.start(named(upstream, "lostx1")).started()
        pid = backend.program("start_agent").pid
        before = rss_kib(pid)
        for what in ("big-body", "many-headers", "big-header", "gzip-bomb",
                     "many-hints"):
            channel = named(upstream, what + "x1")
            ended = backend.start(channel).within(START_S / 2)
            one_agent(upstream, channel, ended.started())
        if not SLOW:
            assert rss_kib(pid) - before <= 1024


def test_c02_c04_c07_c08_limits(rig, programs):
    """All that takes its time, at the same time."""
    library = preload.build(programs.folder)
    side_by_side({
        "C02": lambda: packets_vanish(rig, library),
        "C04 hang": lambda: never_answered(rig),
        "C04 late": lambda: answered_too_late(rig),
        "C07 head": lambda: trickles(rig, {"drip": 1}),
        "C07 body": lambda: trickles(rig, {"drip_body": 1}),
        "C07 head once": lambda: trickles_once(rig, "drip-1"),
        "C07 body once": lambda: trickles_once(rig, "drip-body-1"),
        "C08": lambda: endless(rig)})


# -- Stopping ----------------------------------------------------------------

def test_c22_stops(rig):
    """An agent that is gone when a stop is repeated was stopped by it."""
    upstream = rig.upstream
    with Backend(rig) as backend:
        def running(what):
            channel = named(upstream, what, "leave-")
            return channel, backend.start(channel).started()
        # The second connection is reused: there libcurl itself repeats.
        for what in ("lostx1", "lost-resetx1", "cut-headersx1", "500-donex1",
                     "502x1", "closex1"):
            channel, agent_id = running(what)
            assert backend.stop(agent_id).answer.status == 200, what
            none_runs(upstream, channel)
            assert len(upstream.sandbox.ledger(channel, "leave")) == 2
        _, agent_id = running("stopping")
        assert backend.stop(agent_id).answer.status == 200
        channel, agent_id = running("route")
        backend.stop(agent_id).failed("route")
        backend.stop("NOBODY").failed("NOBODY", 404)


# -- Agora is gone for a while -----------------------------------------------

def gone_for_a_moment(rig, sandbox, mode):
    """A stop outlives three seconds without Agora."""
    with Backend(rig, **at(sandbox)) as backend:
        agent_id = backend.start("room").started()
        sandbox.network(mode, for_s=3)
        ended = backend.stop(agent_id)
        assert ended.answer.status == 200
        assert ended.seconds > 2.9
    assert not sandbox.running()


def gone_for_long(rig, sandbox, seconds):
    """Five starts a second: soon they fail at once, and all is well soon
    after Agora is back."""
    ends, threads = [], []
    with Backend(rig, **at(sandbox)) as backend:
        def start(number):
            ends.append((number, backend.start(f"dead-{number}")))
        sandbox.network("refused")
        for number in range(5 * seconds):
            thread = threading.Thread(target=start, args=(number,))
            thread.start()
            threads.append(thread)
            time.sleep(0.2)
        for thread in threads:
            thread.join()
        assert len(ends) == 5 * seconds
        later = sorted(ended.seconds for number, ended in ends if number > 9)
        for _, ended in ends:
            ended.failed()
        refused = [ended for _, ended in ends if ended.failed()["upstream"][
            "reason"] == "upstream_circuit_open"]
        assert {ended.answer.header("Retry-After")
                for ended in refused} == {"10"}
        # Five until it is given up, then one for every ten seconds.
        called = len(ends) - len(refused)
        assert called == backend.log().count(": not sent: ")
        assert called <= 5 + 1.1 * seconds / 10 + 1, called
        assert later[len(later) * 9 // 10] < 0.05 + 0.1 * NOISE_S * PATIENCE
        sandbox.network("on")
        back = time.monotonic()
        number = itertools.count()
        wait_until(lambda: backend.start(f"alive-{next(number)}")
                   .answer.status == 200, 12 + NOISE_S * PATIENCE, "a start")
        print("again after", round(time.monotonic() - back, 1), "s")


def often_unavailable(rig, sandbox, count, share):
    """Retries are one in ten calls, and the ten in stock."""
    sandbox.faults([{"match": {"call": "join"}, "do": {"status": 503},
                     "chance": share}])
    numbers = iter(range(count))
    good = []
    with Backend(rig, **at(sandbox)) as backend:
        def client():
            for number in numbers:
                if backend.start(f"room-{number}").answer.status == 200:
                    good.append(number)
        side_by_side({str(n): client for n in range(16)})
    calls = len(sandbox.ledger(call="join"))
    print(count, "starts", len(good), "good", calls, "calls")
    assert calls - count <= 10 + 0.1 * calls
    assert len(sandbox.running()) == len(good) > 0


def test_c23_c24_c25_outages(rig, weather):
    """Short and long ones, and one of many calls."""
    long, some = weather(), weather()
    side_by_side({
        "C23 refused": lambda box=weather(): gone_for_a_moment(
            rig, box, "refused"),
        "C23 silent": lambda box=weather(): gone_for_a_moment(
            rig, box, "silent"),
        "C24": lambda: gone_for_long(rig, long, 60 if FULL else 12),
        "C25": lambda: often_unavailable(rig, some, 300, 0.5)})


@pytest.mark.skipif(not FULL, reason="SLOW_TESTS: takes ten minutes")
@pytest.mark.timeout(1200)
def test_c25_ten_minutes(rig, weather):
    """Five starts a second, one call in ten unavailable."""
    sandbox = weather()
    sandbox.faults([{"match": {"call": "join"}, "do": {"status": 503},
                     "chance": 0.1}])
    with Backend(rig, **at(sandbox)) as backend:
        threads = []
        for number in range(3000):
            threads.append(threading.Thread(target=backend.start,
                                            args=(f"room-{number}",)))
            threads[-1].start()
            time.sleep(0.2)
        for thread in threads:
            thread.join()
    calls = len(sandbox.ledger(call="join"))
    print("3000 starts", len(sandbox.running()), "good", calls, "calls")
    assert calls - 3000 <= 10 + 0.1 * calls


# -- The clock ---------------------------------------------------------------

@pytest.fixture(scope="module", name="clock_library")
def preload_clock(programs):
    """The library that makes the wall clock wrong."""
    source = os.path.join(os.path.dirname(__file__), "preload_clock.c")
    library = programs.file("preload_clock.so")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-Wall",
                    "-Wextra", "-Werror", "-O2", "-fPIC", "-shared", "-o",
                    library, source], check=True)
    return library


@pytest.fixture(name="old_sandbox")
def sandbox_of_yesterday(weather, clock_library, programs, monkeypatch):
    """One whose certificates are a day old, so that they are good for
    somebody whose clock is behind."""
    path = programs.file("clock")
    set_clock(path, -86400)
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", clock_library)
        patch.setenv("CLOCK_FILE", path)
        sandbox = weather()
    set_clock(path, 0)
    return sandbox


def set_clock(path, seconds):
    """Makes the clock of whoever looks at that file wrong."""
    with open(path, "w", encoding="ascii") as file:
        file.write(str(seconds))


def test_c26_the_clock_jumps(rig, clock_library, old_sandbox):
    """No limit is counted by it, and it is said that it is wrong."""
    def wrong(seconds, case):
        path = rig.programs.file("clock")
        set_clock(path, seconds)
        env = {**preload.environment(clock_library, []), "CLOCK_FILE": path}
        with Backend(rig, env=env, **at(old_sandbox)) as backend:
            case(backend, path, f"{case.__name__}{seconds}")

    def finds(backend, _path, name):
        agent_id = backend.start(f"fault-lost_{name}").started()
        (agent,) = old_sandbox.running(f"fault-lost_{name}")
        assert agent["agent_id"] == agent_id

    def jumps(backend, path, name):
        channel = f"fault-slow-2_{name}"

        def jump():
            wait_until(lambda: old_sandbox.running(channel), 10 * PATIENCE,
                       "the join")
            set_clock(path, 0)
        side_by_side({
            "start": lambda: backend.start(channel).within(3).started(),
            "jump": jump})
        backend.start(f"{name}-after").within(2).started()

    def refused(backend, _path, name):
        body = backend.start(name).failed("s behind Agora's")
        assert body["upstream"]["status"] == 401
        assert "HTTP 401" in backend.log()

    side_by_side({
        "ahead": lambda: wrong(3600, finds),
        "behind": lambda: wrong(-3000, finds),
        "steps back": lambda: wrong(3600, jumps),
        "steps ahead": lambda: wrong(-3000, jumps),
        "too far behind": lambda: wrong(-4000, refused)})


def test_c26_the_date_header_tells(rig):
    """When Agora refuses our credentials, its clock is compared with ours."""
    upstream = rig.upstream
    with Backend(rig) as backend:
        for skew, word in ((3600, "behind"), (-3600, "ahead of")):
            channel = upstream.channel()
            upstream.fault(channel, status=401, date_skew_s=skew)
            backend.start(channel).failed(word)
