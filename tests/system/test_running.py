"""agora-agent ps, stop and reap: whose the agents are, all pages of them, and
what cron sees."""

import json
import os
import pty
import random
import re
import shutil
import subprocess
import time

import pytest

import preload
from client import Sandbox
from processes import PATIENCE
from transports import Cgi
from upstream import APP_ID
from watch import WATCH

UID = "58888506"
USAGE = re.compile(r"^usage: agora-agent (ps|stop|reap) ")
TABLE = re.compile(r"^([A-Z0-9]+) +([A-Z]+) +([0-9dhms]+) +"
                   r"(yes|perhaps|no) +(\S+) +(.*)$")


class Tool:
    """agora-agent with settings that lead to a sandbox."""

    def __init__(self, programs, sandbox):
        self.programs = programs
        self.sandbox = sandbox
        self.path = str(programs.build / "agora-agent")
        self.settings = {"APP_ID": APP_ID,
                         "APP_CERTIFICATE": sandbox.app_certificate,
                         "AGORA_API_BASE_URL": sandbox.base_url,
                         "AGORA_CA_FILE": sandbox.ca_file}
        WATCH.keep_settings(self.settings)

    def run(self, *arguments, path=None, **settings):
        """Runs it as a person with an environment does."""
        env = self.programs.environment({**self.settings, **settings})
        return self.execute([path or self.path, *arguments], env)

    def execute(self, command, env, cwd="/"):
        """What it does, and that nothing of it is secret or would do
        something to a terminal."""
        done = subprocess.run(command, env=env, cwd=cwd, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60 * PATIENCE)
        for text in done.stdout, done.stderr:
            assert re.fullmatch(rb"[\x20-\x7e\n]*", text), text
            assert not WATCH.secrets_in(text), text
        done.stdout = done.stdout.decode("ascii")
        done.stderr = done.stderr.decode("ascii")
        return done

    def good(self, *arguments, **settings):
        """What it prints when all is well."""
        done = self.run(*arguments, **settings)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def json(self, *arguments, **settings):
        """The same as data."""
        return json.loads(self.good(*arguments, "--json", **settings))

    def start(self, channel, name, age=0):
        """An agent of that name, started ${age} seconds ago. Returns its
        id."""
        answer = self.sandbox.join(channel, name=name)
        assert answer.status == 200, answer.body
        agent_id = answer.json()["agent_id"]
        if age:
            self.sandbox.set_agent(agent_id, start_ts=int(time.time()) - age)
        return agent_id

    def ours(self, age=0, prefix="agent", suffix=""):
        """One in a channel that get_config gave out just before."""
        channel = own_channel(age + 1)
        return self.start(channel, f"{prefix}_{channel}_{UID}{suffix}", age)

    def perhaps(self, channel, age=0, prefix="agent"):
        """One in a channel that a client named."""
        window = (int(time.time()) - age) // 30 * 30
        return self.start(channel, f"{prefix}_{channel}_{UID}_{window}", age)

    def leaves(self):
        """The ids that somebody tried to end, in this test."""
        return [entry["agent_id"]
                for entry in self.sandbox.ledger(call="leave")]

    def running(self):
        """The ids of the agents that run."""
        return {agent["agent_id"] for agent in self.sandbox.running()}


def own_channel(age):
    """A name of the form that get_config gives out."""
    code = "".join(random.choices("abcdefghijklmnopqrstuvwxyz234567", k=28))
    return f"channel_{int(time.time()) - age}_{code}"


@pytest.fixture(name="session", scope="module")
def one_sandbox(programs):
    """A sandbox of these tests' own: they count all agents of the project."""
    folder = programs.file("running")
    os.mkdir(folder, 0o755)
    sandbox = Sandbox(folder, app_id=APP_ID,
                      app_certificate=os.urandom(16).hex())
    sandbox.start()
    yield Tool(programs, sandbox)
    sandbox.stop()


@pytest.fixture(name="tool")
def fresh(session):
    """The tool, and a sandbox without agents."""
    session.sandbox.reset()
    return session


def ids(agents):
    """Of what --json says, as a set; each is there once."""
    found = [agent["agent_id"] for agent in agents]
    assert len(found) == len(set(found))
    return set(found)


# -- Whose is it? -------------------------------------------------------------

def others(tool):
    """What other software in the same project runs."""
    now = int(time.time()) - 7200
    channel = own_channel(7200)
    names = [
        f"agent_{channel}_{UID}_{now - now % 30 + 7}",  # Agora's quickstart
        f"agent_demo_{UID}_{now - now % 30 + 1}",
        f"agent_demo_{UID}",
        f"agent_demo_{UID}_{now - now % 30 - 86400}",  # not of that day
        f"shop_{channel}_{UID}",
        f"agent_{own_channel(-3600)}_{UID}",  # younger than its agent
        f"agent_{channel[:-1]}_{UID}",
        f"agent-{now}", "agent_", "_", "conversation-1770199765123-abc123",
        "robot \x1b[31m\x1b]0;title\x07\u202e\u0085", "\n\nagent\r",
        "a" * 5000,
        f"agent_{channel}_{UID}\n", f" agent_{channel}_{UID}",
    ]
    return {tool.start(f"other-{number}", name, 7200)
            for number, name in enumerate(names)}


def test_agents_of_others_are_never_stopped(tool):
    foreign = others(tool)
    assert ids(tool.json("ps", "--all")["agents"]) == foreign
    assert tool.json("ps")["agents"] == []
    for more in [], ["--any-channel"]:
        assert tool.good("reap", "--older", "1s", *more) == ""
    for agent_id in foreign:
        done = tool.run("stop", agent_id)
        assert done.returncode == 1 and done.stdout == ""
        assert f"{agent_id}: it is not ours" in done.stderr
    assert tool.leaves() == [] and tool.running() == foreign


def test_a_channel_that_a_client_named_is_ours_only_perhaps(tool):
    sure, unsure = tool.ours(3600), tool.perhaps("demo", 3600)
    agents = {a["agent_id"]: a for a in tool.json("ps")["agents"]}
    assert agents[sure]["ours"] == "yes"
    assert agents[unsure]["ours"] == "perhaps"
    assert agents[unsure]["channel"] == "demo"
    assert agents[unsure]["agent_uid"] == UID
    tool.good("reap", "--older", "15m")
    assert tool.running() == {unsure}
    tool.good("reap", "--older", "15m", "--any-channel")
    assert tool.running() == set()


def test_an_agent_without_a_name_may_be_anybodys(tool):
    agent_id = tool.ours(3600)
    tool.sandbox.fault("get", omit=["name"])
    assert tool.json("ps")["agents"] == []
    assert tool.good("reap", "--older", "1m", "--any-channel") == ""
    done = tool.run("stop", agent_id)
    assert done.returncode == 1
    assert done.stderr == (f"agora-agent stop: {agent_id}: whose it is Agora "
                           "does not say\n")
    assert tool.running() == {agent_id}


def test_a_suffix_is_of_the_form(tool):
    agent_id = tool.ours(3600, suffix="_r9")
    tool.good("reap", "--older", "15m")
    assert tool.leaves() == [agent_id]


def test_what_start_agent_starts_is_ours(tool, programs):
    """The real names, as get_config and start_agent make them."""
    shop = programs.file("shop.json")
    with open(shop, "w", encoding="utf-8") as file:
        file.write('{"name": "my_shop"}')
    os.chmod(shop, 0o600)
    started = {}
    for agent_file in "", shop:
        cgi = Cgi(programs, programs.env_file(
            {**tool.settings, "AGENT_FILE": agent_file}))
        config = cgi.request("GET", "/get_config").json["data"]
        answer = cgi.request("POST", "/v2/startAgent", [], json.dumps(
            {"channelName": config["channel_name"],
             "rtcUid": config["agent_uid"],
             "userUid": config["uid"]}).encode())
        started[agent_file] = answer.json["data"]["agent_id"]
    for agent_file, agent_id in started.items():
        agent, = tool.json("ps", AGENT_FILE=agent_file)["agents"]
        assert (agent["agent_id"], agent["ours"]) == (agent_id, "yes")
        assert agent["name"].startswith(
            "my_shop_channel_" if agent_file else "agent_channel_")
    tool.good("reap", "--older", "0s", AGENT_FILE=shop)
    assert tool.leaves() == [started[shop]]


def test_profiles_have_prefixes_too(tool, folder):
    for name in "one", "two":
        (folder / f"{name}.json").write_text(f'{{"name": "{name}-shop"}}')
    (folder / "broken.json").write_text('{"name": "broken"')
    found = {prefix: tool.ours(60, prefix)
             for prefix in ("agent", "one-shop", "two-shop", "broken")}
    done = tool.run("ps", "--json", AGENT_DIR=str(folder))
    assert "broken.json" in done.stderr  # a person should know
    agents = json.loads(done.stdout)["agents"]
    assert ids(agents) == set(found.values()) - {found["broken"]}


# -- Pages --------------------------------------------------------------------

def test_hundreds_of_agents(tool):
    """All pages, and each agent looked at once."""
    random.seed(7)
    old = {tool.ours(random.randint(1000, 250000)) for _ in range(200)}
    young = {tool.ours(random.randint(0, 800)) for _ in range(40)}
    unsure = {tool.perhaps(f"room-{n}", 1000) for n in range(20)}
    foreign = others(tool)
    starting = random.sample(sorted(old), 30)
    for number, agent_id in enumerate(starting):
        tool.sandbox.set_agent(agent_id, status=(
            "STARTING", "RECOVERING", "IDLE")[number % 3])
    assert ids(tool.json("ps")["agents"]) == old | young | unsure
    lists, looks = (tool.sandbox.ledger(call=call)
                    for call in ("list", "get"))
    assert len(lists) >= len(old | young | unsure | foreign) // 20
    assert ids(looks) == old | young | unsure | foreign
    assert ids(tool.json("ps", "--all")["agents"]) == (
        old | young | unsure | foreign)

    planned = tool.json("reap", "--older", "15m", "--dry-run")
    assert ids(planned["would_stop"]) == old and planned["failed"] == []
    assert tool.leaves() == []
    before = len(tool.sandbox.ledger(call="get"))
    done = tool.json("reap", "--older", "15m")
    assert ids(done["stopped"]) == old and done["failed"] == []
    # The list says of the young ones that they are.
    assert len(tool.sandbox.ledger(call="get")) - before == len(
        old | unsure | foreign)
    assert sorted(tool.leaves()) == sorted(old)
    assert not tool.running() & old
    assert tool.json("reap", "--older", "15m") == {"stopped": [],
                                                  "failed": []}


def page(agent_id, cursor, count=1):
    """A page of a list as a fault has it."""
    return {"status": 200, "execute": False, "body": {
        "data": {"count": count, "list": [
            {"agent_id": f"{agent_id}{n}", "start_ts": 1, "status": "RUNNING"}
            for n in range(count)]},
        "meta": {"cursor": cursor, "total": 1000}, "status": "ok"}}


@pytest.mark.parametrize("do", [
    page("A", "same"), page("A", "x" * 129), page("A", 20), page("A", "", 21),
    page("a/b", ""), page("\n", ""), {"status": 200, "body": {}},
    {"status": 200, "body": "<html>"}, {"body_size": 100000}], ids=[
        "circle", "long-cursor", "number", "more-than-asked-for", "path",
        "line-end", "no-list", "html", "large"])
def test_half_a_list_is_none(tool, do):
    """Nothing is stopped on the word of a list that cannot be right."""
    tool.ours(3600)
    tool.sandbox.fault("list", **do)
    done = tool.run("ps")
    assert done.returncode == 1 and done.stdout == ""
    assert re.match("agora-agent ps: Agora", done.stderr)
    done = tool.run("reap", "--older", "1m", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["stopped"] == []
    failed, = said["failed"]
    assert failed["detail"].startswith("Agora") and len(failed) == 1
    assert tool.leaves() == []


def test_states_that_agora_does_not_know_have_no_agents(tool):
    """RECOVERING and IDLE are not in every version of its documentation."""
    agent_id = tool.ours()
    tool.sandbox.fault("list", status=400, match={"nth": 3, "times": 2})
    assert ids(tool.json("ps")["agents"]) == {agent_id}
    tool.sandbox.reset()
    tool.sandbox.fault("list", status=400, match={"nth": 2, "times": 1})
    assert tool.run("ps").returncode == 1


# -- ps -----------------------------------------------------------------------

def test_ps_is_a_table_oldest_first(tool):
    new, old = tool.ours(70), tool.perhaps("my room", 200000)
    other = tool.start("x", "robot \x1b[31m", 4000)
    head, *lines = tool.good("ps", "--all").splitlines()
    assert head.split() == ["ID", "STATE", "AGE", "OURS", "UID", "CHANNEL",
                            "OR", "NAME"]
    rows = [TABLE.match(line).groups() for line in lines]
    assert [row[:4] for row in rows] == [
        (old, "RUNNING", "2d07h", "perhaps"),
        (other, "RUNNING", "1h06m", "no"), (new, "RUNNING", "1m", "yes")]
    assert [row[4] for row in rows] == [UID, "-", UID]
    assert rows[0][5] == "my room" and rows[1][5] == "robot ?[31m"
    assert len(tool.good("ps").splitlines()) == 3


def test_ps_without_agents(tool):
    assert tool.good("ps").split()[0] == "ID"
    assert tool.json("ps") == {"agents": [], "failed": []}


def test_json_says_all_that_is_known(tool):
    agent_id = tool.ours(100)
    agent, = tool.json("ps")["agents"]
    assert set(agent) == {"agent_id", "name", "ours", "channel", "agent_uid",
                          "state", "start_ts", "age_s"}
    assert agent["agent_id"] == agent_id and agent["state"] == "RUNNING"
    assert 99 <= agent["age_s"] <= 110 * PATIENCE


@pytest.mark.parametrize("skew, age, reaped", [(-3600, 3000, False),
                                               (3600, 60, True)])
def test_ages_are_by_agoras_clock(tool, skew, age, reaped):
    """On a machine whose clock is an hour ahead, or behind."""
    agent_id = tool.ours(age)
    tool.sandbox.fault(date_skew_s=skew)
    tool.good("reap", "--older", "15m")
    assert tool.leaves() == [agent_id] * reaped


def test_a_terminal_sees_how_far_it_is(tool):
    for _ in range(12):
        tool.ours()
    master, slave = pty.openpty()
    with subprocess.Popen([tool.path, "ps"], stdout=subprocess.PIPE,
                          stderr=slave, env=tool.programs.environment(
                              tool.settings)) as process:
        lines = process.stdout.read().splitlines()
        assert process.wait(20 * PATIENCE) == 0
    os.close(slave)
    shown = os.read(master, 65536)
    os.close(master)
    assert len(lines) == 13
    assert b"3 of 12 agents" in shown and shown.endswith(b"\r\x1b[K")


# -- stop ---------------------------------------------------------------------

def test_stop(tool):
    one, two, three = tool.ours(), tool.perhaps("room"), tool.ours()
    tool.sandbox.leave(two)
    done = tool.good("stop", one, two, "NOSUCHAGENT", three)
    assert sorted(done.splitlines()) == sorted([
        f"stopped {one}", f"gone already {two}", "gone already NOSUCHAGENT",
        f"stopped {three}"])
    assert tool.running() == set()


def test_stop_goes_on_past_failures(tool):
    bad, good, gone = tool.ours(), tool.ours(), tool.ours()
    tool.sandbox.fault("leave", status=403, match={"agent_id": bad})
    tool.sandbox.fault("leave", status=404, match={"agent_id": gone},
                       body={"reason": "TaskNotFound", "detail": "gone"})
    done = tool.run("stop", bad, good, gone)
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == sorted([
        f"stopped {good}", f"gone already {gone}"])
    assert f"agora-agent stop: {bad}: Agora refused the stop" in done.stderr


def test_stop_is_no_news_to_an_agent_that_ends(tool):
    agent_id = tool.ours()
    tool.sandbox.set_agent(agent_id, status="STOPPING")
    assert tool.good("stop", agent_id) == f"gone already {agent_id}\n"


@pytest.mark.parametrize("garbage", [
    "", "a/b", "../join", ".", "..", "a b", "a?b", "a%2e", "a\n", "\x1b[2J",
    "\u00e4", "A" * 129])
def test_stop_refuses_garbage_before_any_call(tool, garbage):
    agent_id = tool.ours()
    before = tool.sandbox.health()["calls"]
    for arguments in [garbage], [agent_id, garbage], [garbage, agent_id]:
        done = tool.run("stop", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == ("agora-agent stop: an id has 1 to 128 of A-Z "
                               "a-z 0-9 . _ : -\n")
    assert tool.sandbox.health()["calls"] == before


# -- reap ---------------------------------------------------------------------

@pytest.mark.parametrize("older, reaped", [
    ("0s", 4), ("90s", 3), ("15m", 2), ("2h", 1), ("1d", 1), ("3d", 0)])
def test_reap_by_age(tool, older, reaped):
    agents = [tool.ours(age) for age in (200000, 3600, 600, 5)]
    lines = tool.good("reap", "--older", older, "--dry-run").splitlines()
    assert len(lines) == reaped and tool.leaves() == []
    assert all(line.startswith("would stop ") for line in lines)
    lines = tool.good("reap", "--older", older).splitlines()
    assert sorted(line.split()[1].rstrip(",") for line in lines) == sorted(
        agents[:reaped])
    assert tool.running() == set(agents[reaped:])


def test_reap_says_what_it_stopped(tool):
    agent_id = tool.ours(3700)
    channel = tool.sandbox.running()[0]["channel"]
    assert tool.good("reap", "--older", "1h") == (
        f"stopped {agent_id}, 1h01m old, in channel {channel}\n")
    assert tool.good("reap", "--older", "1h") == ""


def test_reap_goes_on_past_failures(tool):
    bad, blind, *good = (tool.ours(3600) for _ in range(10))
    tool.sandbox.fault("leave", status=500, match={"agent_id": bad})
    tool.sandbox.fault("get", status=403, match={"agent_id": blind})
    done = tool.run("reap", "--older", "1m", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1 and ids(said["stopped"]) == set(good)
    assert ids(said["failed"]) == {bad, blind}
    assert all(failure["detail"] for failure in said["failed"])
    assert tool.running() == {bad, blind}


def test_reap_spares_an_agent_that_says_no_age(tool):
    """It may have started just now."""
    agent_id = tool.ours(3600)
    tool.sandbox.set_agent(agent_id, start_ts=0)
    tool.sandbox.fault("list", **page("A", "", 0), match={"times": 1})
    body = {"data": {"list": [{"agent_id": agent_id}]}, "meta": {}}
    tool.sandbox.fault("list", status=200, body=body)
    assert tool.good("reap", "--older", "1m") == ""
    assert len(tool.sandbox.ledger(call="get")) == 1
    assert tool.leaves() == []


@pytest.mark.parametrize("arguments", [
    ["reap"], ["reap", "--older"], ["reap", "--older", "15"],
    ["reap", "--older", "m"], ["reap", "--older", "-1m"],
    ["reap", "--older", "1.5h"], ["reap", "--older", "15 m"],
    ["reap", "--older", "15M"], ["reap", "--older", "1w"],
    ["reap", "--older", "99999999999999999999s"],
    ["reap", "--older", "15m", "now"], ["reap", "--older=15m", "--force"],
    ["ps", "--older", "1m"], ["ps", "X"], ["stop"], ["stop", "--all"]])
def test_wrong_use_is_told(tool, arguments):
    agent_id = tool.ours(3600)
    before = tool.sandbox.health()["calls"]
    done = tool.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert USAGE.match(done.stderr.splitlines()[-1])
    assert tool.sandbox.health()["calls"] == before
    assert tool.running() == {agent_id}


# -- When Agora is not well ---------------------------------------------------

def test_wrong_certificate(tool):
    tool.ours(3600)
    for command in ["ps"], ["reap", "--older", "1m"], ["stop", "A"]:
        done = tool.run(*command, APP_CERTIFICATE="0" * 32)
        assert done.returncode == 1 and done.stdout == ""
        assert "check APP_ID and APP_CERTIFICATE" in done.stderr
    assert len(tool.sandbox.ledger(call="list")) == 2  # not tried again
    assert tool.leaves() == []


def test_output_that_is_lost(tool):
    """Nobody takes it for a list without agents."""
    tool.ours(3600)
    for command in ["ps"], ["ps", "--json"], ["reap", "--older", "1m"]:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [tool.path, *command], stdout=full, stderr=subprocess.PIPE,
                env=tool.programs.environment(tool.settings), check=False,
                timeout=60 * PATIENCE)
        assert done.returncode == 1
        assert done.stderr == (
            b"agora-agent: the output could not be written\n")


def test_agora_is_down(tool):
    tool.ours(3600)
    tool.sandbox.network("refused")
    began = time.monotonic()
    for command in ["ps"], ["reap", "--older", "1m"], ["stop", "A"]:
        done = tool.run(*command)
        assert done.returncode == 1 and done.stdout == ""
        assert "Agora cannot be reached" in done.stderr
    assert time.monotonic() - began < 20 * PATIENCE


def test_another_host_of_the_area_is_asked(tool, programs):
    """Of Agora's four, those before it are away."""
    hosts = [(f"api-us-{region}.{domain}", target)
             for domain in ("agora.io", "sd-rtn.com")
             for region, target in (("west-1", "refused"),
                                    ("east-1", tool.sandbox))]
    env = {"AGORA_API_BASE_URL": "", "AGORA_AREA": "US",
           **preload.environment(preload.build(programs.folder), hosts)}
    one, two = tool.ours(3600), tool.ours(60)
    assert ids(tool.json("ps", **env)["agents"]) == {one, two}
    assert tool.good("stop", two, **env) == f"stopped {two}\n"
    done = tool.json("reap", "--older", "15m", **env)
    assert ids(done["stopped"]) == {one} and tool.running() == set()


def test_agora_goes_away_meanwhile(tool):
    """Not every one of the rest is then asked for in vain."""
    agents = {tool.ours(3600) for _ in range(60)}
    tool.sandbox.fault("get", close="before", match={"nth": 11,
                                                     "times": 100000})
    done = tool.run("reap", "--older", "1m", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1 and len(said["stopped"]) >= 8
    assert ids(said["stopped"]) | ids(said["failed"]) == agents
    assert len(tool.sandbox.ledger(call="get")) < 10 + 32 * 4


def test_lost_answers_and_busy_servers_are_tried_again(tool):
    agents = {tool.ours(3600) for _ in range(15)}
    tool.sandbox.fault("list", close="before", match={"times": 2})
    tool.sandbox.fault("list", status=429, headers={"Retry-After": "1"},
                       match={"nth": 2, "times": 1})
    tool.sandbox.fault("get", close="after", match={"nth": 3, "times": 3})
    tool.sandbox.fault("leave", close="after", match={"nth": 3, "times": 2})
    done = tool.json("reap", "--older", "1m")
    assert ids(done["stopped"]) <= agents and done["failed"] == []
    assert tool.running() == set()


def test_settings_that_are_not_right(tool):
    done = tool.run("ps", APP_ID="short")
    assert done.returncode == 1 and done.stdout == ""
    assert "agora-agent ps: the settings are not right" in done.stderr
    assert tool.sandbox.ledger(call="list") == []


# -- cron ---------------------------------------------------------------------

@pytest.fixture(name="installed")
def a_prefix(tool, folder):
    """The tool in PREFIX/bin, the programs in PREFIX/libexec."""
    (folder / "bin").mkdir()
    (folder / "libexec/agora-agent").mkdir(parents=True)
    shutil.copy(tool.path, folder / "bin/agora-agent")
    shutil.copy(tool.programs.build / "start_agent.fcgi",
                folder / "libexec/agora-agent/start_agent.fcgi")
    text = "".join(f"{name}={value}\n"
                   for name, value in tool.settings.items())
    (folder / "libexec/.env").write_text(text)
    (folder / "libexec/.env").chmod(0o600)
    # Where the programs look for no settings, the tool must not either.
    (folder / ".env").write_text("APP_ID=somebody else's\n")
    return folder


def test_cron_with_an_empty_environment(tool, installed):
    """The settings are those of the programs; silence where nothing is to
    be done, for cron mails whatever is said."""
    command = [str(installed / "bin/agora-agent"), "reap", "--older", "15m"]
    env = tool.programs.environment()
    del env["PATH"]
    for _ in range(2):
        done = tool.execute(command, env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    agent_id = tool.ours(3600)
    done = tool.execute(command, env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"stopped {agent_id}, ")


def test_an_agent_that_ends_meanwhile_is_no_news_for_cron(tool):
    gone, going = tool.ours(3600), tool.ours(3600)
    for call, agent_id in ("get", gone), ("leave", going):
        tool.sandbox.fault(call, status=404, match={"agent_id": agent_id},
                           body={"reason": "TaskNotFound", "detail": "x"})
    assert tool.good("reap", "--older", "15m") == ""
