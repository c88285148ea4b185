"""Health, readiness and metrics: what those see who keep the machine."""

import json
import os
import re
import signal

import pytest

import fcgi_client
import servers
from processes import PATIENCE, wait_until
from rig import NO_LIMIT
from starts import side_by_side
from test_deploy import Running
from transports import (Cgi, Http, cgi_params, http_bytes, parse_cgi)
from watch import WATCH

each = pytest.mark.parametrize
JSON = ("Content-Type", "application/json")
QUESTIONS = ("healthz", "readyz", "metrics")
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.]+)$")


def samples(text):
    """{(name, labels): value} of a text for Prometheus, which must be one."""
    found, families = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in families, f"{name} twice"
            families[name] = kind
            continue
        if line.startswith("# HELP "):
            continue
        match = SAMPLE.match(line)
        assert match, line
        name, labels = match.group(1), match.group(2) or ""
        family = re.sub("_(bucket|sum|count)$", "", name)
        assert name in families or families[family] == "histogram", line
        assert (name, labels) not in found, line
        found[name, labels] = float(match.group(3))
    assert text.endswith("\n")
    return found


class Scrape:
    """What a program says it has counted."""

    def __init__(self, answer):
        assert answer.status == 200, (answer.status, answer.body)
        assert answer.header("Content-Type").startswith(
            "text/plain; version=0.0.4")
        self.samples = samples(answer.body.decode("ascii"))

    def value(self, name, **labels):
        """The sum of the samples with these labels."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        values = [value for (found, text), value in self.samples.items()
                  if found == f"agora_agent_{name}"
                  and wanted <= set(text.split(","))]
        assert values, f"no {name} {labels}"
        return sum(values)

    def requests(self, **labels):
        """How many requests were answered."""
        return self.value("requests_total", **labels)

    def no_less_than(self, before):
        """Nothing that only grows has gone back."""
        for (name, labels), value in before.samples.items():
            if re.search("_(total|bucket|sum|count)$", name):
                assert self.samples[name, labels] >= value, (name, labels)


def ask(path, question, method="GET"):
    """Asks the program on a socket, as its web server does."""
    params = cgi_params(method, "/", (), b"",
                        {"AGORA_AGENT_MONITOR": question})
    answer = fcgi_client.request(path, params, timeout=30 * PATIENCE)
    return WATCH.answer("/monitor", parse_cgi(answer.stdout))


def call(program, endpoint, body=None, extra=()):
    """A request of a client to the program itself."""
    headers = [JSON] if body else []
    data = json.dumps(body).encode() if body else b""
    params = cgi_params("POST" if body else "GET", f"/{endpoint}", headers,
                        data, extra)
    answer = fcgi_client.request(program.socket, params, data,
                                 timeout=30 * PATIENCE)
    return WATCH.answer(f"/{endpoint}", parse_cgi(answer.stdout))


def start_of(upstream, channel=None):
    """What a client sends to start an agent."""
    return {"channelName": channel or upstream.channel(), "rtcUid": "5",
            "userUid": "6"}


def replaced(program, victim):
    """Kills a worker; returns when there is another one."""
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in program.workers(2), 10 * PATIENCE,
               "another worker")


# ---- metrics ----------------------------------------------------------------

class Site:
    """A web server and programs that nobody else asks."""

    def __init__(self, rig, kind):
        self.web = rig.new(kind, "default")
        self.programs = dict(zip(servers.ENDPOINTS, self.web.programs))

    def scrape(self, name):
        """What one of the programs has counted."""
        return Scrape(self.web.request("GET", f"/metrics/{name}"))

    def configs(self, count, query="", status=200):
        """Requests of get_config."""
        for _ in range(count):
            answer = self.web.request("GET", "/get_config" + query)
            assert answer.status == status

    def starts(self, count, upstream):
        """Starts of agents."""
        for _ in range(count):
            answer = self.web.request("POST", "/v2/startAgent", [JSON],
                                      json.dumps(start_of(upstream)).encode())
            assert answer.status == 200, answer.body


@pytest.fixture(name="site", params=["nginx", "apache-proxy"])
def site_behind(request, rig):
    """One behind nginx and one behind Apache."""
    return Site(rig, request.param)


def test_sums_are_exact_and_outlive_workers(site, upstream):
    """Both workers die, one after the other, so at least two have served;
    then all are replaced. No request is counted twice, or forgotten."""
    program = site.programs["get_config"]
    first = program.workers(2)
    site.configs(20)
    site.configs(3, "?uid=x", 400)
    scrapes = [site.scrape("get_config")]
    for victim in first:
        replaced(program, victim)
        site.configs(10)
        scrapes.append(site.scrape("get_config"))
    before = set(program.workers(2))
    program.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not before & set(program.workers(2)), 30 * PATIENCE,
               "new workers")
    scrapes.append(site.scrape("get_config"))
    for number, (scrape, good) in enumerate(zip(scrapes, (20, 30, 40, 40))):
        labels = {"endpoint": "get_config"}
        assert scrape.requests(outcome="success", **labels) == good
        assert scrape.requests(status="400", **labels) == 3
        assert scrape.requests(**labels) == good + 3
        assert scrape.value("request_own_seconds_count") == good + 3
        assert scrape.value("request_own_seconds_bucket",
                            le="+Inf") == good + 3
        assert scrape.value("request_own_seconds_sum") > 0
        if number:
            scrape.no_less_than(scrapes[number - 1])
    assert scrapes[-1].value("processes_started_total") == 6

    site.starts(3, upstream)
    scrape = site.scrape("start_agent")
    # Answered, but perhaps not quite over.
    wait_until(lambda: site.scrape("start_agent").value(
        "starts_in_flight") == 0, 2 * PATIENCE, "none in flight")
    assert scrape.requests(outcome="success") == scrape.requests() == 3
    assert scrape.value("agora_calls_total", call="join",
                        outcome="done") == 3
    assert scrape.value("request_agora_seconds_count") == 3
    assert scrape.value("request_agora_seconds_sum") > 0
    assert scrape.value("agora_host_shut_processes") == 0
    assert scrape.value("orphans_possible_total") == 0
    assert site.scrape("stop_agent").requests() == 0


def test_a_kill_takes_back_what_was_in_flight(rig, programs, upstream):
    """Of a worker that dies in the middle of starts nothing stays in flight,
    and its calls stay counted."""
    program = programs.listen("start_agent", rig.env_file("default"), 1)
    assert call(program, "startAgent", start_of(upstream)).status == 200
    channel = upstream.channel()
    upstream.fault(channel, hang=True)
    body = json.dumps(start_of(upstream, channel)).encode()
    params = cgi_params("POST", "/startAgent", [JSON], body)
    with fcgi_client.Connection(program.socket) as connection:
        connection.send(fcgi_client.request_bytes(params, body))
        wait_until(lambda: Scrape(ask(program.socket, "metrics")).value(
            "starts_in_flight") == 1, 5 * PATIENCE, "a start")
        victim = program.workers(1)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in program.workers(1), 10 * PATIENCE,
                   "another worker")
    scrape = Scrape(ask(program.socket, "metrics"))
    assert scrape.value("starts_in_flight") == 0
    assert scrape.value("agora_calls_total") == 1
    assert program.stop() == 0


def test_a_worker_that_is_apart_says_so(programs, rig):
    """Of another version than its parent, or without memory for a table: no
    sums rather than wrong ones."""
    env_file = rig.env_file("default")
    program = programs.listen("get_config", env_file, 0,
                              env={"AGORA_AGENT_METRICS": "-1:0"})
    answer = ask(program.socket, "metrics")
    assert answer.status == 503 and "restart" in answer.json["detail"]
    assert ask(program.socket, "healthz").status == 200
    assert program.stop() == 0


# ---- who may ask ------------------------------------------------------------

class BehindProxy(servers.Apache):
    """One that believes a header about who its client is."""

    MODULES = {**servers.Apache.MODULES, "proxy-fcgi":
               (*servers.Apache.MODULES["proxy-fcgi"], "remoteip")}


STRANGER = "203.0.113.9"  # of the documentation's addresses
BELIEVE = {
    "nginx": ("nginx/site.example", "location / {",
              "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Peer;\n"
              "location / {"),
    "apache": ("apache/vhost-proxy-fcgi.conf", "TraceEnable off",
               "TraceEnable off\nRemoteIPHeader X-Peer"),
}


@each("kind", ["nginx", "apache"])
def test_metrics_are_for_this_machine(folder, rig, programs, kind):
    """Strangers get 403, also those whom a proxy here passes on; health is
    for everybody."""
    program = programs.listen("get_config", rig.env_file("default"), 1)
    sockets = {"get_config": program.socket}
    if kind == "nginx":
        server = servers.Nginx(folder, sockets=sockets,
                               replace=[*NO_LIMIT, BELIEVE[kind]])
    else:
        server = BehindProxy(folder, "proxy-fcgi", sockets=sockets,
                             replace=[BELIEVE[kind]])
    with Running(server, servers.FORBIDDEN) as site:
        for path, status in (("/metrics/get_config", 403), ("/healthz", 200),
                             ("/readyz/get_config", 200)):
            answer = site.ask("GET", path, [("X-Peer", STRANGER)])
            assert answer.status == status, path
            assert b"agora_agent_" not in answer.body
        for header in ("X-Forwarded-For", "Forwarded", "Via"):
            for path in ("/metrics/get_config", "//metrics/./get_config"):
                answer = site.ask("GET", path, [(header, "0")])
                assert answer.status == 403, header
        answer = site.ask("GET", "/metrics/get_config")
        assert answer.status == 200
        assert not answer.all("Access-Control-Allow-Origin")
        assert site.ask("GET", "/metrics").status == 404
        assert site.ask("GET", "/metrics/").status == 404
    assert program.stop() == 0


@each("kind", ["nginx", "apache-proxy", "apache-fcgid"])
def test_questions_through_web_servers(rig, kind):
    """Each program by its own path; nobody by a header of his own."""
    web = rig.transport(kind)
    for path in ("/healthz", "/healthz/start_agent", "/healthz/stop_agent"):
        answer = web.request("GET", path)
        assert (answer.status, answer.json) == (200, {"status": "ok"})
        assert answer.header("Content-Type") == "application/json"
        assert answer.header("Cache-Control") == "no-store"
    for path in ("/readyz", "/readyz/stop_agent"):
        assert "agora" in web.request("GET", path).json
    answer = web.request("GET", "/readyz/get_config?x=y")
    assert answer.json == {"status": "ready"}
    answer = web.request("HEAD", "/healthz")
    assert answer.status == 200 and not answer.body
    answer = web.request("POST", "/readyz", [JSON], b"{}")
    assert answer.status == 405 and "GET" in answer.header("Allow")
    answer = web.request("GET", "/get_config", [
        ("AGORA-AGENT-MONITOR", "metrics"), ("AGORA_AGENT_MONITOR", "x")])
    assert answer.json["msg"] == "success"
    if kind == "apache-fcgid":
        assert web.request("GET", "/metrics/get_config").status == 404
    asked = [line for line in web.server.access_lines() if "healthz" in line]
    assert not asked


def test_questions_to_a_cgi_program(rig, programs):
    """It answers for itself; of one request there is nothing to count."""
    cgi = Cgi(programs, rig.env_file("default"))
    for endpoint in servers.ENDPOINTS:
        answers = {question: parse_cgi(cgi.run(endpoint, cgi_params(
            "GET", "/", (), b"", {"AGORA_AGENT_MONITOR": question})).stdout)
            for question in (*QUESTIONS, "else")}
        assert [answer.status for answer in answers.values()] == [
            200, 200, 404, 404], endpoint
        assert answers["readyz"].json["status"] == "ready"


def test_keys_are_not_asked_for(rig, programs):
    """The web server decides who may ask; it has no key."""
    program = programs.listen("get_config", rig.env_file("keys"), 1)
    assert call(program, "get_config").status == 401
    for question in QUESTIONS:
        assert ask(program.socket, question).status == 200
    assert program.stop() == 0


# ---- readiness --------------------------------------------------------------

def reason(path):
    """Why a program is not ready, or None."""
    answer = ask(path, "readyz")
    if answer.status == 200:
        assert answer.json["status"] == "ready"
        return None
    assert answer.status == 503 and answer.json["status"] == "not ready"
    return answer.json["reason"]


def test_readiness_follows_the_settings(rig, programs):
    """Within two seconds of a change, both ways; healthz does not care."""
    path = rig.env_file("default")
    with open(path, encoding="utf-8") as file:
        good = file.read()
    listening = [programs.listen(name, path) for name in servers.ENDPOINTS]
    assert [reason(program.socket) for program in listening] == [None] * 3
    with open(path, "w", encoding="utf-8") as file:
        file.write(good.replace("APP_CERTIFICATE='", "APP_CERTIFICATE='x"))
    for program in listening:
        wait_until(lambda p=program.socket: "settings" in (reason(p) or ""),
                   5 * PATIENCE, "not ready")
        assert ask(program.socket, "healthz").status == 200
    with open(path, "w", encoding="utf-8") as file:
        file.write(good)
    for program in listening:
        wait_until(lambda p=program.socket: reason(p) is None, 5 * PATIENCE,
                   "ready again")
        assert program.stop() == 0


def test_readiness_follows_the_agent_file(rig, programs):
    """One that was never good: no start would go well."""
    agent = programs.file("agent.json")
    with open(agent, "w", encoding="utf-8") as file:
        file.write("{")
    os.chmod(agent, 0o600)
    path = rig.env_file("default", AGENT_FILE=agent)
    program = programs.listen("start_agent", path, 1)
    assert reason(program.socket)
    assert program.stop() == 0


def test_readiness_follows_agora(rig, programs, upstream):
    """What came of the last call, whichever worker made it."""
    program = programs.listen("start_agent", rig.env_file("default"))
    assert ask(program.socket, "readyz").json["agora"] == {
        "last_call": "none", "hosts": 1, "hosts_shut": 0}
    for fault, word in (({}, "answered"), ({"status": 401}, "refused"),
                        ({"status": 400}, "answered")):
        channel = upstream.channel()
        if fault:
            upstream.fault(channel, **fault)
        call(program, "startAgent", start_of(upstream, channel))
        for _ in program.workers(2):
            answer = ask(program.socket, "readyz")
            assert answer.json["agora"]["last_call"] == word
            assert answer.json["agora"]["seconds_ago"] in (0, 1, 2)
            assert answer.status == (200 if word == "answered" else 503)
    assert program.stop() == 0


def test_readiness_follows_an_outage(rig, programs, weather):
    """Agora is away and comes back. No question makes a call."""
    sandbox = weather()
    path = rig.env_file("default", AGORA_API_BASE_URL=sandbox.base_url,
                        AGORA_CA_FILE=sandbox.ca_file)
    program = programs.listen("stop_agent", path, 1)
    stop = {"agentId": "A" * 26}
    sandbox.network("refused")
    assert call(program, "stopAgent", stop).status == 500
    assert "Agora" in reason(program.socket)
    sandbox.network("on")
    assert call(program, "stopAgent", stop).status == 404
    assert reason(program.socket) is None
    sandbox.network("refused")
    scrapes = [Scrape(ask(program.socket, "metrics"))]
    side_by_side({number: lambda: call(program, "stopAgent", stop)
                  for number in range(2)})  # three attempts each
    scrapes += [Scrape(ask(program.socket, "metrics")) for _ in range(2)]
    assert ask(program.socket, "readyz").json["agora"]["hosts_shut"] == 1
    assert [scrape.value("agora_host_shut_processes")
            for scrape in scrapes] == [0, 1, 1]
    calls = [scrape.value("agora_calls_total") for scrape in scrapes]
    assert calls[0] + 5 <= calls[1] == calls[2]
    assert scrapes[2].requests(status="500", outcome="agora") == 3
    assert scrapes[2].requests(status="404", outcome="not_found") == 1
    assert program.stop() == 0
