"""Many at once, and clients that leave: one agent, once, and nobody is harmed
by somebody else's trouble."""

import contextlib
import json
import os
import random
import signal
import socket
import statistics
import threading
import time

import pytest

import accesstoken
import fcgi_client as fc
import nameserver
import servers
from checks import JSON, succeeded
from nameserver import Nameserver
from network import hole
from processes import PATIENCE, SLOW, WRAPPED, wait_until
from starts import START_S, Backend, Site, at, members, side_by_side
from test_protocol import get, post_params
from test_upstream_faults import none_runs
from transports import Http, http_bytes, parse_cgi

FULL = bool(os.environ.get("SLOW_TESTS"))


def clients(count, work):
    """Runs work(number) in so many threads."""
    side_by_side({f"client {number}": lambda number=number: work(number)
                  for number in range(count)})


# -- get_config --------------------------------------------------------------

def test_g01_two_thousand_from_four_workers(rig):
    """Within a second or so: different channels and salts."""
    count = 200 if SLOW else 2000
    channels, salts = set(), set()
    with Backend(rig, workers=4) as backend:
        path = backend.program("get_config").socket

        def visit(_number):
            for _ in range(count // 8):
                data = succeeded(get(path))["data"]
                assert 1000 <= int(data["uid"]) <= 9999999
                token = accesstoken.parse(data["token"])
                channels.add(data["channel_name"])
                salts.add(token.salt)
        clients(8, visit)
    assert len(channels) == len(salts) == count


def project():
    """The settings of a project that nobody has."""
    return {"APP_ID": os.urandom(16).hex(),
            "APP_CERTIFICATE": os.urandom(16).hex()}


def issued_by(data, projects):
    """Which of the projects the answer of get_config is of, all of it."""
    token = accesstoken.parse(data["token"])
    assert data["app_id"] == token.app_id
    (mine,) = [one for one in projects if one["APP_ID"] == data["app_id"]]
    assert accesstoken.signed_by(token, mine["APP_CERTIFICATE"])
    return mine["APP_ID"]


def test_g09_settings_replaced_during_restarts(rig):
    """Every answer is of the old file or of the new one."""
    projects = [project(), project()]
    seen, enough = [], threading.Event()
    with Backend(rig, workers=2, **projects[0]) as backend:
        program = backend.program("get_config")

        def visit(_number):
            while not enough.is_set():
                data = succeeded(get(program.socket))["data"]
                seen.append(issued_by(data, projects))

        def replace():
            for number in range(60):
                os.replace(rig.env_file("default", **projects[number % 2]),
                           backend.env_file)
                if number % 7 == 0:
                    program.process.send_signal(signal.SIGHUP)
                time.sleep(0.05)
            enough.set()
        side_by_side({"replace": replace, "a": lambda: visit(0),
                      "b": lambda: visit(1)})
    changes = sum(a != b for a, b in zip(seen, seen[1:]))
    assert len(set(seen)) == 2 and changes > 2, (len(seen), changes)


def test_g10_two_installations(rig, weather):
    """On one host, with one folder for their state: each has its own
    tokens, channels, limits and agents."""
    state = rig.programs.file("state")
    os.mkdir(state, 0o700)
    other = {**at(weather()), **project()}
    mine = {"APP_ID": rig.upstream.sandbox.app_id,
            "APP_CERTIFICATE": rig.upstream.certificate}
    shared = {"STATE_DIR": state, "START_LIMIT": "2/3600",
              "CHANNELS": "issued"}
    with Backend(rig, **shared) as one, \
            Backend(rig, **{**shared, **other}) as two:
        for backend, settings in ((one, mine), (two, other)):
            data = succeeded(get(backend.program("get_config").socket))
            assert issued_by(data["data"], [mine, other]) == settings[
                "APP_ID"]
        wish = one.issued()
        two.start(*wish).failed(status=403)
        agent_id = one.start(*wish).started()
        assert rig.upstream.agent(wish[0])["agent_id"] == agent_id
        one.start(*one.issued()).started()
        one.start(*one.issued()).failed(status=429)
        # The other's starts are refused by its own Agora, not by a limit.
        for _ in range(2):
            body = two.start(*two.issued()).failed()
            assert body["upstream"]["status"] in (401, 403)
        two.start(*two.issued()).failed(status=429)


# -- Threads -----------------------------------------------------------------

@pytest.mark.skipif(WRAPPED, reason="valgrind has threads of its own")
def test_g11_one_thread_after_a_name_was_resolved(rig):
    """libcurl resolves names in a thread, which ends with the call."""
    port = rig.upstream.sandbox.port
    base = f"https://localhost:{port}/api/conversational-ai-agent"
    with Backend(rig, base=base) as backend:
        agent_id = backend.start(rig.upstream.channel()).started()
        assert backend.stop(agent_id).answer.status == 200
        for name in ("start_agent", "stop_agent"):
            tasks = f"/proc/{backend.program(name).pid}/task"
            wait_until(lambda path=tasks: len(os.listdir(path)) == 1, 2,
                       "a single thread")


# -- Clients that leave ------------------------------------------------------

def answered_by_nginx(site):
    """The Origin headers of the starts that nginx has answered with 200."""
    entries = map(json.loads, site.server.access_lines())
    return {entry["origin"] for entry in entries
            if entry["status"] == "200"}


def test_g05_client_leaves_at_any_moment(rig):
    """At every 50 ms of a start that takes 2 s, and around its end: an agent
    runs on only where nginx had sent the answer."""
    upstream = rig.upstream
    moments = {f"https://{number}.example": number * 0.05
               for number in range(44)}
    names = {origin: upstream.channel() for origin in moments}
    with Site(rig) as site:
        def leave(origin):
            upstream.fault(names[origin], delay_s=2)
            site.leave_after(moments[origin], members(names[origin]), origin)
        side_by_side({origin: lambda origin=origin: leave(origin)
                      for origin in moments})
        wait_until(lambda: len(site.server.access_lines()) == len(moments),
                   10 * PATIENCE, "nginx has seen all of them")
        answered = answered_by_nginx(site)
        assert len(answered) < 10  # the others left before the answer
        for origin in moments.keys() - answered:
            none_runs(upstream, names[origin], 10)
    ran = [origin for origin in moments
           if upstream.sandbox.agents(channel=names[origin])]
    assert len(ran) > 30  # the starts did begin
    assert not upstream.sandbox.duplicates()["ever"]


def test_g05_client_leaves_after_a_stop(rig):
    """That another client had an agent of that name a moment ago does not
    keep a new one from being stopped."""
    upstream = rig.upstream
    with Site(rig) as site:
        wish = site.issued()
        assert site.stop(site.start(*wish).started()).answer.status == 200
        upstream.fault(wish[0], delay_s=1)
        site.leave_after(0.3, members(*wish), "https://page.example")
        wait_until(lambda: len(upstream.sandbox.agents(channel=wish[0])) == 2,
                   5 * PATIENCE, "the second start")
        none_runs(upstream, wish[0], 10)


def stop_of(agent_id):
    """What a page that is being closed sends, and the program's variables."""
    body = json.dumps({"agentId": agent_id}).encode()
    return [("Content-Type", "text/plain")], body


def test_g05_a_page_that_is_closed_stops_its_agent(rig):
    """It sends its stop and is gone, as navigator.sendBeacon does: over nginx
    and on the socket itself."""
    upstream = rig.upstream
    with Site(rig) as site:
        channels = [upstream.channel() for _ in range(20)]
        agents = [site.start(channel).started() for channel in channels]
        path = site.program("stop_agent").socket
        for number, agent_id in enumerate(agents):
            headers, body = stop_of(agent_id)
            if number % 2:
                with site.http.connect() as connection:
                    connection.send(http_bytes("POST", "/v2/stopAgent",
                                               headers, body))
            else:
                with fc.Connection(path) as connection:
                    connection.send(fc.request_bytes(post_params(
                        "/v2/stopAgent", body, headers), body))
        for channel in channels:
            none_runs(upstream, channel, 10)


def test_g06_client_leaves_mod_fcgid(rig, weather):
    """Apache does not tell the program: at most one agent for each, until
    Agora ends it."""
    sandbox = weather("--idle", "10")
    path = rig.programs.file("apache")
    os.mkdir(path, 0o755)
    server = servers.Apache(
        path, "fcgid", build=rig.programs.bin, env=rig.programs.environment(
            {"AGORA_ENV_FILE": rig.env_file("default", servers.WEB_USER,
                                            **at(sandbox))}))
    http = Http("apache-fcgid", server)
    try:
        def leave(number):
            channel = f"fault-slow-2_{number}"
            with http.connect() as connection:
                connection.send(http_bytes(
                    "POST", "/v2/startAgent", [JSON],
                    json.dumps(members(channel)).encode()))
                time.sleep(0.2 * number)
        clients(10, leave)
        wait_until(lambda: len(sandbox.agents()) >= 8, 20 * PATIENCE,
                   "the starts")
        # Every agent_id the sandbox keeps ends by itself: 30 s / 10.
        time.sleep(2.5)
        wait_until(lambda: not sandbox.running(), 10 * PATIENCE,
                   "no agent runs")
        assert not sandbox.duplicates()["ever"]
    finally:
        server.stop()


def test_g07_waited_until_the_client_gave_up(rig):
    """In the queue of a program that hangs: nothing is started for it."""
    upstream = rig.upstream
    names = [upstream.channel() for _ in range(3)]
    with Site(rig) as site:
        pid = site.program("start_agent").pid
        os.kill(pid, signal.SIGSTOP)
        try:
            clients(3, lambda number: site.leave_after(
                0.3, members(names[number]), f"https://{number}.example"))
            wait_until(lambda: len(site.server.access_lines()) == 3,
                       10 * PATIENCE, "nginx has given up")
        finally:
            os.kill(pid, signal.SIGCONT)
        site.start(upstream.channel()).started()
        for name in names:
            assert not upstream.entries(name)


# -- Agora is dead -----------------------------------------------------------

def load(site, seconds):
    """get_config at up to 200 a second, stops at 20; the seconds that each
    answer took."""
    configs, stops = [], []
    until = time.monotonic() + seconds

    def ask(times, pause, request):
        while time.monotonic() < until:
            times.append(request().seconds)
            time.sleep(pause)

    def config():
        ended = site.ask("GET", "/get_config")
        succeeded(ended.answer)
        return ended

    def stop():
        ended = site.stop("NOBODY")
        ended.failed(status=404)
        return ended
    side_by_side({**{f"config {n}": lambda: ask(configs, 0.02, config)
                     for n in range(4)},
                  **{f"stop {n}": lambda: ask(stops, 0.1, stop)
                     for n in range(2)}})
    return configs, stops


def dead(rig, **how):
    """Starts and stops whose Agora is dead: they say so in time."""
    with Backend(rig, **how) as backend:
        def start(number):
            backend.start(f"dead-{number}").failed()

        def stop(_number):
            backend.stop("NOBODY").failed()
        side_by_side({"starts": lambda: clients(8, start),
                      "stops": lambda: clients(3, stop)})


def dead_name(rig):
    """Nobody answers when asked for Agora's address."""
    name = "api-us-west-1.agora.io"
    with Nameserver({name: "silent"}) as dns:
        dead(rig, base=f"https://{name}/api", wrap=dns.wrap)


def test_g08_dead_upstream(rig):
    """All places for starts are taken, Agora refuses, is silent or has no
    name: starts and stops end in time, get_config and the other stops do
    not notice."""
    upstream, places = rig.upstream, 12
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(hole(["127.0.0.1"]))
        site = stack.enter_context(Site(rig, START_CONCURRENCY=places))
        before = load(site, 1.5)
        ends = []

        def start(_number):
            ends.append(site.start(f"fault-hang_{upstream.channel()}"))
        meanwhile = {}

        def measure():
            time.sleep(0.5)
            meanwhile["times"] = load(site, 6)
        cases = {
            "hang": lambda: clients(places + 8, start),
            "refused": lambda: dead(rig, base="https://127.0.0.1:9/api"),
            "silent": lambda: dead(rig,
                                   base=f"https://127.0.0.1:{silent}/api"),
            "load": measure}
        if not nameserver.unavailable():
            cases["no name"] = lambda: dead_name(rig)
        side_by_side(cases)
        busy = [ended for ended in ends
                if ended.answer.header("Retry-After") == "2"]
        assert len(ends) == places + 8 and len(busy) == 8
        for ended in busy:
            ended.failed("too many agents are being started")
        for ended in ends:
            ended.within(START_S).failed()
    for what, old, new in zip(("get_config", "stop"), before,
                              meanwhile["times"]):
        old, new = statistics.median(old), statistics.median(new)
        print(what, round(old * 1000, 1), "ms before,",
              round(new * 1000, 1), "ms meanwhile")
        assert new < 5 * old + 0.05 * PATIENCE


# -- One agent, once ---------------------------------------------------------

class Stops:
    """A sandbox's leaves, told apart by who sent them: stop_agent is led to
    the Chinese path."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.base = sandbox.base_url.replace("/api/", "/cn/api/")

    def by_start_agent(self):
        """The agents that start_agent itself has stopped."""
        return {entry["agent_id"] for entry
                in self.sandbox.ledger(call="leave")
                if entry["executed"] and entry["target"].startswith("/api/")}


def test_g04_starts_and_stops_interleaved(rig, weather):
    """On a few channels, while answers get lost and clients leave: nobody
    who was told "started" loses the agent to another's cleaning up."""
    rounds = 1000 if FULL else 240
    sandbox = weather()
    sandbox.lose("join", before=0.02, after=0.1)
    sandbox.lose("list", "get", before=0.1)
    sandbox.fault("join", delay_s=0.1)
    stops = Stops(sandbox)
    told, failed, left = [], [], []
    with Backend(rig, **{**at(sandbox), "AGORA_API_BASE_URL":
                         stops.base}) as stopping, \
            Backend(rig, workers=4, **at(sandbox)) as starting:
        wishes = [starting.issued() for _ in range(8)]

        def leave(wish, chance):
            body = json.dumps(members(*wish)).encode()
            with fc.Connection(starting.program("start_agent").socket,
                               30 * PATIENCE) as connection:
                connection.send(fc.request_bytes(
                    post_params("/v2/startAgent", body), body))
                time.sleep(chance.random() * 0.2)
                # So that an answer that was sent all the same is not missed.
                connection.sock.shutdown(socket.SHUT_WR)
                answer = parse_cgi(connection.read_answer().stdout)
            if answer.status == 200:
                told.append(succeeded(answer)["data"]["agent_id"])
            else:
                left.append(wish)
                time.sleep(chance.choice((0, 0.7)))

        def visit(number):
            chance, wish = random.Random(number), wishes[number % 8]
            for _ in range(rounds // 12):
                if chance.random() < 0.25:
                    leave(wish, chance)
                    continue
                ended = starting.start(*wish)
                if ended.answer.status != 200:
                    failed.append(ended.failed())
                    continue
                told.append(ended.started())
                time.sleep(chance.random() * 0.1)
                stopping.stop(told[-1])
        clients(12, visit)
    stopped = stops.by_start_agent()
    forgotten = {agent["agent_id"] for agent
                 in sandbox.running()} - set(told)
    print(len(told), "told of", len(set(told)), "agents,", len(failed),
          "failed,", len(left), "left,", len(stopped), "cleaned up,",
          len(forgotten), "forgotten")
    assert not set(told) & stopped
    assert stopped  # there was something to clean up
    assert not forgotten
    assert not sandbox.duplicates()["ever"]


@pytest.mark.timeout(900)
def test_duplicates_of_concurrent_starts(rig, weather):
    """Equal starts at the same time, one answer in twenty lost: those that
    succeed all have one id, and there is one agent."""
    rounds, many = (100, 100) if FULL else (8, 40)
    sandbox = weather()
    sandbox.lose("join", "get", "list", after=0.05)
    good = 0
    begun = time.monotonic()
    with Backend(rig, workers=4, **at(sandbox)) as backend:
        for _ in range(rounds):
            wish, ids = backend.issued(), []

            def start(_number, wish=wish, ids=ids):
                ended = backend.start(*wish)
                if ended.answer.status == 200:
                    ids.append(ended.started())
            clients(many, start)
            assert len(set(ids)) == 1, wish
            (agent,) = sandbox.running(wish[0])
            assert agent["agent_id"] == ids[0]
            good += len(ids)
    print(rounds, "rounds of", many, "starts:", good, "answered with the id",
          round(time.monotonic() - begun), "s")
    assert not sandbox.duplicates()["ever"]
    assert len(sandbox.running()) == rounds


@pytest.mark.timeout(900)
def test_unknown_agents(rig, weather):
    """One answer in a hundred lost before Agora did it, one after: at most
    one agent is left that no client was told of."""
    count = 10000 if FULL else 800
    sandbox = weather()
    sandbox.lose(before=0.01, after=0.01)
    told, failed = set(), []
    begun = time.monotonic()
    with Backend(rig, workers=4, **at(sandbox)) as backend:
        def visit(number):
            for at_number in range(number, count, 16):
                ended = backend.start(f"room-{at_number}")
                if ended.answer.status == 200:
                    told.add(ended.started())
                else:
                    failed.append(ended.failed())
        clients(16, visit)
    print(count, "starts:", len(told), "told,", len(failed), "failed,",
          len(sandbox.unknown()), "unknown,",
          round(time.monotonic() - begun), "s")
    assert len(told) + len(failed) == count and len(told) > 0.98 * count
    running = {agent["agent_id"] for agent in sandbox.running()}
    assert len(running - told) <= 1
    assert not told - running
    assert len(sandbox.unknown()) <= 1
    assert not sandbox.duplicates()["ever"]
