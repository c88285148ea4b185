"""More than one machine: two hosts that share nothing but their settings,
behind deploy/nginx/balancer.example on a third machine, where Agora is too.
"""

import contextlib
import json
import os
import re
import signal
import threading
import time

import pytest

import machines
import servers
from checks import JSON, succeeded
from processes import PATIENCE, WRAPPED, descendants, wait_until
from starts import Backend, Site, Web, at, members, side_by_side
from transports import Http, HttpConnection
from watch import WATCH

BALANCER = "192.0.2.1"
HOSTS = ("192.0.2.11", "192.0.2.12")
EXAMPLE = "nginx/balancer.example"
ANSWER_S = 60  # longer than a balancer waits
ERRORS = (502, 504)  # what clients may be told while a host is lost
UNSENT = 500  # and of a start for which it did not reach Agora any more

# What the balancer logs about a host that is lost.
LOST = (r"connect\(\) failed \(1(11|13): |upstream timed out \(110: |"
        r"upstream prematurely closed connection|"
        r"(recv|writev|send)\(\) failed \((32|104): |"
        r"upstream server temporarily disabled")

pytestmark = pytest.mark.skipif(
    machines.unavailable() is not None or WRAPPED,
    reason=machines.unavailable() or "valgrind takes too long for all of it")


def advice():
    """What the example says that hosts need, without its comment signs."""
    text = (servers.DEPLOY / EXAMPLE).read_text(encoding="utf-8")
    lines = re.findall(r"^#\t(.*;)$", text, re.M)
    assert len(lines) == 2, lines
    return "\n".join(lines)


class Host(Site):
    """One of the machines behind the balancer."""

    def __init__(self, rig, machine, address, **settings):
        self.machine = machine
        self.address = address
        name = "server_name api.example.com;"
        with machine.inside():
            super().__init__(rig, replace=[(
                "nginx/site.example", name,
                f"listen {address}:80;\n{name}\n{advice()}")], **settings)

    def ask(self, *request):
        """Asks this host itself."""
        with self.machine.inside():
            return super().ask(*request)

    def kill_nginx(self):
        """Ends its web server at once."""
        for pid in (self.server.pid, *descendants(self.server.pid)):
            os.kill(pid, signal.SIGKILL)
        self.server.process.wait()

    def kill(self):
        """Ends all of its processes at once."""
        for program in self.programs.values():
            os.kill(program.pid, signal.SIGKILL)
        self.kill_nginx()
        for program in self.programs.values():
            program.process.wait()
            self.rig.programs.running.remove(program)
        self.programs.clear()

    def __exit__(self, kind, *unused):
        if self.server.process.poll() == -signal.SIGKILL:
            Backend.__exit__(self, kind)
        else:
            super().__exit__(kind)


class BalancerServer(servers.Nginx):
    """nginx with balancer.example as its site."""

    def _site(self):
        return self._text(EXAMPLE, ("listen 80;",
                                    f"listen 127.0.0.1:{self.port};"),
                          ("listen [::]:80;", ""),
                          ("/var/log/nginx/", f"{self.folder}/log/"))


class PatientHttp(Http):
    """Waits longer than the balancer does."""

    def connect(self):
        return HttpConnection(self.server.port, ANSWER_S * PATIENCE)


class Balancer(Web):
    """The way to all hosts."""

    def __init__(self, folder, replace):
        self.server = BalancerServer(folder, replace=replace)
        self.http = PatientHttp("balancer", self.server)

    def config(self, query=""):
        """What get_config says."""
        answer = self.ask("GET", "/get_config" + query).answer
        return succeeded(answer)["data"]

    def log(self):
        """The access log, as data."""
        return [json.loads(line) for line in self.server.access_lines()]

    def hosts_asked(self, uri, count):
        """Who answered the ${count} requests for ${uri} so far, in order."""
        def entries():
            return [entry for entry in self.log() if entry["uri"] == uri]
        wait_until(lambda: len(entries()) == count, 2 * PATIENCE,
                   f"{count} lines for {uri}")
        return [entry["host"].split(", ")[-1].partition(":")[0]
                for entry in entries()]


class Installation:
    """All of it."""

    def __init__(self, network, sandbox, balancer, hosts):
        self.network = network
        self.sandbox = sandbox
        self.balancer = balancer
        self.hosts = hosts


ALL_RATES = [(EXAMPLE, old, "rate=100000r/s")
             for old in ("rate=2r/s", "rate=20r/s")]


@pytest.fixture(name="build")
def builder(rig, weather):
    """A maker of installations. The test is on the balancer's machine."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(machines.Machines(BALANCER, *HOSTS))
        stack.enter_context(network[BALANCER].inside())
        failing = stack.enter_context(contextlib.ExitStack())

        def build(replace=(), **settings):
            sandbox = weather("--host", BALANCER)
            settings = {"CHANNELS": "issued", **at(sandbox), **settings}
            hosts = [failing.enter_context(
                Host(rig, network[address], address, **settings))
                for address in HOSTS]
            folder = rig.programs.file("balancer")
            os.mkdir(folder, 0o755)
            balancer = Balancer(folder, [*ALL_RATES, *replace])
            failing.callback(balancer.server.stop)
            return Installation(network, sandbox, balancer, hosts)
        yield build


@pytest.fixture(name="two")
def two_hosts(build):
    """An installation as it is shipped, but for the rates."""
    return build()


def wish_of(data):
    """What start() takes of a get_config."""
    return data["channel_name"], data["agent_uid"], data["uid"]


# -- Nobody is lost ----------------------------------------------------------

def test_hosts_are_one_installation(two):
    """What one has begun, the other goes on with."""
    one, other = two.hosts
    for begins, goes_on in ((one, other), (other, one)):
        wish = begins.issued()
        query = f"?channel={wish[0]}&uid={wish[2]}"
        for host in two.hosts:
            answer = host.ask("GET", "/get_config" + query).answer
            assert wish_of(succeeded(answer)["data"]) == wish
        # CHANNELS=issued: a name is believed everywhere, if it is one.
        goes_on.start("channel_1770199765_made-up", *wish[1:]).failed(
            status=403)
        agent_id = goes_on.start(*wish).started()
        # Once more: the agent that there is.
        assert begins.start(*wish).started() == agent_id
        assert begins.stop(agent_id).answer.status == 200
    assert not two.sandbox.running()


def test_hosts_share_one_agent(two):
    """The same start at both, at the same time."""
    agents = {}
    wishes = [two.balancer.config() for _ in range(10)]
    two.sandbox.fault("join", delay_s=0.1)

    def start(host, wish):
        agent_id = host.start(*wish_of(wish)).started()
        agents.setdefault(wish["channel_name"], []).append(agent_id)
    side_by_side({f"{host.address} {number}":
                  lambda host=host, wish=wish: start(host, wish)
                  for host in two.hosts
                  for number, wish in enumerate(wishes)})
    assert [len(told) for told in agents.values()] == [2] * 10
    assert all(len(set(told)) == 1 for told in agents.values())
    assert not two.sandbox.duplicates()["ever"]
    assert {entry["peer"] for entry in two.sandbox.ledger(call="join")} == set(
        HOSTS)
    assert 409 in {entry["status"] for entry
                   in two.sandbox.ledger(call="join")}


def test_balancer(two):
    """Everybody gets his share; equal starts meet; the hosts know the
    visitor's address, and logs the request by one id."""
    wishes = [wish_of(two.balancer.config()) for _ in range(12)]
    for wish in wishes:
        for _ in range(2):
            two.balancer.start(*wish).started()
    assert set(two.balancer.hosts_asked("/get_config", 12)) == set(HOSTS)
    asked = two.balancer.hosts_asked("/v2/startAgent", 24)
    assert set(asked) == set(HOSTS)
    assert asked[::2] == asked[1::2]
    forged = [("X-Forwarded-For", "203.0.113.7")]
    answer = two.balancer.http.request("GET", "/get_config", forged)
    last = two.balancer.hosts_asked("/get_config", 13)[-1]
    host = two.hosts[HOSTS.index(last)]
    here = two.balancer.log()[-1]
    there = wait_until(lambda: [
        entry for entry in map(json.loads, host.server.access_lines())
        if entry["id"] == here["id"]], 2 * PATIENCE, "the host's line")[0]
    assert here["id"] == answer.header("X-Request-Id")
    assert here["peer"] == there["peer"] == "127.0.0.1"
    assert f"id={here['id']}" in host.log("get_config")


def test_balancer_asks_another_host(two):
    """Where the programs of get_config and stop_agent are down. A start that
    a host's nginx has taken is not sent again: the client is told."""
    two.balancer.server.expect(LOST)
    two.hosts[0].server.expect(servers.DOWN)
    agents = [two.balancer.start(*wish_of(two.balancer.config())).started()
              for _ in range(8)]
    for name in servers.ENDPOINTS:
        two.hosts[0].program(name).stop()
    for agent_id in agents:
        assert two.balancer.stop(agent_id).answer.status == 200
    wishes = [wish_of(two.balancer.config()) for _ in range(8)]
    statuses = {two.balancer.post("start_agent", "/v2/startAgent",
                                  members(*wish)).answer.status
                for wish in wishes}
    assert statuses <= {200, 502}


def test_balancer_limits(build):
    """What it counts is the sum; and its own errors look like ours."""
    two = build([(EXAMPLE, "burst=20 nodelay", "burst=2 nodelay"),
                 (EXAMPLE, "zone=agora_agent_all_client:1m rate=100000r/s",
                  "zone=agora_agent_all_client:1m rate=1r/m")])
    two.balancer.server.expect(servers.RATE_LIMITED, servers.BODY_TOO_LARGE)
    ask = two.balancer.http.request
    origin = ("Origin", "https://page.example")
    for _ in range(5):  # preflights do not count
        assert ask("OPTIONS", "/v2/startAgent", [origin]).status == 204
    statuses = [two.balancer.post("start_agent", "/v2/startAgent", {})
                .answer.status for _ in range(5)]
    assert statuses == [400, 400, 400, 429, 429]
    for status, request in (
            (429, ("POST", "/startAgent", [JSON, origin], b"{}")),
            (413, ("POST", "/stopAgent", [JSON, origin], b" " * 17000)),
            (404, ("GET", "/elsewhere.html", [origin]))):
        answer = ask(*request)
        assert answer.header("Content-Type") == "application/json"
        assert answer.status == answer.json["code"] == status
        assert answer.json["request_id"] == answer.header("X-Request-Id")
        assert answer.header("Access-Control-Allow-Origin") == "*"
    assert ask("GET", "/get_config", [origin]).header(
        "Access-Control-Allow-Origin") == "*"


# -- A host is lost ----------------------------------------------------------

def insist(ask, errors, statuses=(200,), pause_s=0.1):
    """Asks until the answer has one of these, as people do; until then each
    must be an error in our form, and is noted."""
    while True:
        answer = ask().answer
        if answer.status in statuses:
            return answer
        body = answer.json
        assert answer.status in ERRORS or (
            answer.status == UNSENT and "was not sent" in body["detail"]), (
            answer.status, answer.body)
        assert body["code"] == answer.status and body["detail"]
        assert body["request_id"] == answer.header("X-Request-Id")
        errors.append(answer.status)
        assert len(errors) < 100
        time.sleep(pause_s)


class Visitor(threading.Thread):
    """Comes again and again: config, start, renewal, stop. Asks again for
    what he was refused, as the page's button lets people do."""

    def __init__(self, two):
        super().__init__(daemon=True)
        self.balancer = two.balancer
        self.sandbox = two.sandbox
        self.enough = threading.Event()
        self.visits = 0
        self.errors = []  # clean ones
        self.failure = None

    def _visit(self):
        data = self.balancer.config()
        wish = wish_of(data)
        started = insist(lambda: self.balancer.post(
            "start_agent", "/v2/startAgent", members(*wish)), self.errors)
        agent_id = succeeded(started)["data"]["agent_id"]
        query = f"?channel={wish[0]}&uid={wish[2]}"
        assert wish_of(self.balancer.config(query)) == wish
        (agent,) = self.sandbox.running(channel=wish[0])
        assert agent["agent_id"] == agent_id
        # 404: a stop that was cut short has done it.
        insist(lambda: self.balancer.post(
            "stop_agent", "/v2/stopAgent", {"agentId": agent_id}),
            self.errors, (200, 404))
        self.visits += 1

    def run(self):
        try:
            while not self.enough.is_set():
                self._visit()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error


@contextlib.contextmanager
def visitors(two, count=8):
    """So many of them, until the end of the with statement; then none has
    left an agent behind."""
    two.sandbox.fault("join", delay_s=0.2)
    two.balancer.server.expect(LOST)
    crowd = [Visitor(two) for _ in range(count)]
    for visitor in crowd:
        visitor.start()
    try:
        more(crowd, 1)
        yield crowd
        more(crowd, 1)
    finally:
        for visitor in crowd:
            visitor.enough.set()
        for visitor in crowd:
            visitor.join(2 * ANSWER_S * PATIENCE)
            assert not visitor.is_alive(), "still waiting for an answer"
    for visitor in crowd:
        if visitor.failure:
            raise visitor.failure
    assert not two.sandbox.running()
    assert not two.sandbox.duplicates()["ever"]


def under_way(two, count):
    """Until so many joins of the first host have been carried out and not
    answered yet."""
    def joins():
        return [entry for entry in two.sandbox.ledger(call="join")
                if entry["peer"] == HOSTS[0] and not entry["whole"]]
    wait_until(lambda: len(joins()) >= count, 20 * PATIENCE,
               "starts under way there")


def more(crowd, count):
    """Until each of them has been there so many times more."""
    wanted = [visitor.visits + count for visitor in crowd]
    wait_until(lambda: any(visitor.failure for visitor in crowd)
               or all(visitor.visits >= visits
                      for visitor, visits in zip(crowd, wanted)),
               2 * ANSWER_S * PATIENCE, f"{count} visits more")


def test_f14_host_killed_under_load(two):
    """In the middle of starts: the clients of those are told, and when they
    ask again, the other host hands them the agent that was made."""
    with visitors(two) as crowd:
        under_way(two, 2)
        two.hosts[0].kill()
        more(crowd, 1)
    # Once each: later starts find another host.
    errors = [visitor.errors for visitor in crowd if visitor.errors]
    assert errors and all(each == [502] for each in errors)


def test_f14_host_cut_off_under_load(two):
    """For 2.5 s: who was being served waits as long, all others go to the
    other host, and nobody sees an error of the web servers' or an unknown
    one."""
    wishes = [wish_of(two.balancer.config()) for _ in range(6)]
    with visitors(two) as crowd:
        under_way(two, 2)
        two.network.cut(HOSTS[0])
        until = time.monotonic() + 2.5
        side_by_side({str(number): lambda wish=wish:
                      two.balancer.stop(two.balancer.start(*wish).started())
                      for number, wish in enumerate(wishes)})
        time.sleep(max(0, until - time.monotonic()))
        two.network.mend(HOSTS[0])
    assert not [error for visitor in crowd for error in visitor.errors
                if error != UNSENT]


def starts_while(two, happens, pause_s):
    """Starts a dozen agents at a time, and when two of them are under way on
    the first host, something happens. Clients who got an error ask again
    after a pause. Returns the errors and the agents."""
    two.balancer.server.expect(LOST)
    wishes = [wish_of(two.balancer.config()) for _ in range(12)]
    two.sandbox.fault("join", delay_s=1.5, match={"times": len(wishes)})
    errors, agents = [], []

    def start(wish):
        answer = insist(lambda: two.balancer.post(
            "start_agent", "/v2/startAgent", members(*wish)), errors,
            pause_s=pause_s)
        agents.append(succeeded(answer)["data"]["agent_id"])

    def accident():
        under_way(two, 2)
        happens()
    side_by_side({"accident": accident,
                  **{wish[0]: lambda wish=wish: start(wish)
                     for wish in wishes}})
    assert len(agents) == len(wishes)
    return set(errors), set(agents)


def running(two):
    """The agents that run; nobody may serve for another."""
    assert not two.sandbox.duplicates()["ever"]
    return {agent["agent_id"] for agent in two.sandbox.running()}


SLOW = pytest.mark.skipif(not os.environ.get("SLOW_TESTS"),
                          reason="waits long; SLOW_TESTS=1 runs it")


@SLOW
def test_f14_only_the_web_server_killed(two):
    """The programs of that host stop what they start, for their clients have
    left; who waits as long as Retry-After says is given a new agent."""
    errors, agents = starts_while(two, two.hosts[0].kill_nginx, pause_s=5)
    assert errors == {502}
    time.sleep(5)
    assert running(two) == agents


@SLOW
@pytest.mark.timeout(200)
def test_f14_host_cut_off_for_longer(two):
    """Than anybody waits: as if it were killed. When it is back, it does not
    stop the agents that the other one has handed out meanwhile."""
    errors, agents = starts_while(
        two, lambda: two.network.cut(HOSTS[0]), pause_s=0.1)
    assert errors == {504}
    time.sleep(3)
    two.network.mend(HOSTS[0])
    time.sleep(8)
    assert running(two) == agents
