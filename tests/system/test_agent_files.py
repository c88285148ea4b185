"""Agents from files: chosen, changed, broken, mended while requests go on."""

import itertools
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

import accesstoken
import rig as rig_module
from checks import refused, succeeded
from processes import PATIENCE
from watch import WATCH

KEY = "sk-" + os.urandom(16).hex()  # no message may show it
WATCH.keep("MY_KEY", KEY)
REWRITES = 1000 if os.environ.get("SLOW_TESTS") else 300
KINDS = ("cgi", "nginx", "apache-fcgid", "apache-proxy", "apache-cgi")


def agent(word, **properties):
    """An agent file that can be told from others."""
    return {"properties": {"labels": {"word": word}, **properties}}


class Agents:
    """A folder of agent files, and programs that read it."""

    names = itertools.count(1)

    def __init__(self, rig):
        self.rig = rig
        self.upstream = rig.upstream
        self.folder = pathlib.Path(rig.programs.file("agents"))
        (self.folder / "profiles").mkdir(mode=0o755, parents=True)
        self.folder.chmod(0o755)
        self.transport = None

    def write(self, content, name="agent.json"):
        """Puts a file in the place of another one, at one stroke."""
        if not isinstance(content, str):
            content = json.dumps(content)
        new = self.folder / "new"
        new.write_text(content, encoding="utf-8")
        new.chmod(0o644)
        new.rename(self.folder / name)

    def overwrite(self, content, name="agent.json"):
        """Writes into the file that is there, in two pieces."""
        text = json.dumps(content)
        with open(self.folder / name, "w", encoding="utf-8") as file:
            file.write(text[:20])
            file.flush()
            file.write(text[20:])

    def settings(self, **more):
        """The settings that name the files."""
        return {"AGENT_FILE": str(self.folder / "agent.json"),
                "AGENT_DIR": str(self.folder / "profiles"),
                "MY_KEY": KEY, **more}

    def serve(self, kind, **more):
        """Starts the programs."""
        profile = f"agents {next(self.names)}"
        rig_module.PROFILES[profile] = self.settings(**more)
        self.transport = self.rig.new(kind, profile)
        return self

    def start(self, **more):
        """A start in a new channel: the answer, and the channel."""
        channel = self.upstream.channel()
        body = {"channelName": channel, "rtcUid": "58888506",
                "userUid": "1234567", **more}
        answer = self.transport.request(
            "POST", "/v2/startAgent",
            [("Content-Type", "application/json")],
            json.dumps(body).encode())
        return answer, channel

    def properties(self, **more):
        """What a successful start has sent to Agora."""
        answer, channel = self.start(**more)
        succeeded(answer)
        return self.upstream.join(channel)["properties"]

    def word(self, **more):
        """The word of the agent that a start has got."""
        return self.properties(**more)["labels"]["word"]

    def check(self):
        """start_agent.fcgi --check, run."""
        env = self.rig.programs.env_file(
            self.upstream.settings(**self.settings()))
        return subprocess.run(
            [self.rig.programs.path("start_agent"), "--check"],
            env=self.rig.programs.environment({"AGORA_ENV_FILE": env}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60 * PATIENCE, check=False)

    def await_word(self, word, seconds=2.0):
        """Until starts get the agent with that word."""
        deadline = time.monotonic() + seconds * PATIENCE
        while self.word() != word:
            assert time.monotonic() < deadline, f"no {word} in {seconds} s"
            time.sleep(0.1)


@pytest.fixture(name="agents")
def make_agents(rig):
    """A folder of one's own."""
    return Agents(rig)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_live_and_fails_nobody(agents, kind):
    """The file is rewritten 300 times, or 1,000, half of them in place, so
    that others see it cut, while starts go on, 20 of them at least; two
    seconds later the last version is the one that is used."""
    agents.write(agent("first"))
    agents.serve(kind)
    assert agents.word() == "first"
    words, seen, enough = ["first"], [], threading.Event()

    def rewrite():
        while len(words) <= REWRITES or not enough.is_set():
            write = agents.write if len(words) % 2 else agents.overwrite
            words.append(f"w{len(words)}")
            write(agent(words[-1], sal=None, long="x" * 4000))
            time.sleep(0.002)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        while len(seen) < 20 or writer.is_alive():
            seen.append(agents.word())
            if len(seen) == 20:
                enough.set()
    finally:
        enough.set()
        writer.join()
    assert set(seen) <= set(words)
    agents.await_word(words[-1])


def test_a_profile_is_chosen(agents):
    """AGENT_FILE without one, and each has its own agent."""
    agents.write(agent("usual"))
    agents.write(agent("support"), "profiles/support.json")
    agents.write(agent("sales"), "profiles/sales-2_x.json")
    agents.serve("fastcgi")
    assert agents.word() == "usual"
    assert agents.word(profile="support") == "support"
    assert agents.word(profile="sales-2_x") == "sales"
    assert agents.word(profile=None) == "usual"


@pytest.mark.parametrize("profile, status, word", [
    ("other", 404, "there is no such profile"),
    ("agent", 404, "there is no such profile"),
    ("new", 404, "there is no such profile"),
    ("../agent", 400, "profile must be 1 to 32 of"),
    ("support.json", 400, "profile must be 1 to 32 of"),
    ("", 400, "profile must be 1 to 32 of"),
    ("Support", 400, "profile must be 1 to 32 of"),
    ("s" * 33, 400, "profile must be 1 to 32 of"),
    ("s" * 9000, 400, "profile must be 1 to 32 of"),
    (7, 400, "profile must be a string"),
    (["support"], 400, "profile must be a string"),
])
def test_an_unknown_profile_is_refused(agents, profile, status, word):
    """Nothing is started, and no other profile is named."""
    agents.write(agent("usual"))
    agents.write(agent("support"), "profiles/support.json")
    agents.serve("cgi")
    before = agents.upstream.calls()
    answer, _ = agents.start(profile=profile)
    refused(answer, status, word)
    assert b"support" not in answer.body or b"support" in str(profile).encode()
    assert agents.upstream.calls() == before


def test_one_uid_has_one_agent_whatever_its_profile(agents):
    """A second profile in a channel is the agent that is there."""
    agents.write(agent("usual"))
    agents.write(agent("support"), "profiles/support.json")
    agents.serve("fastcgi")
    answer, channel = agents.start()
    succeeded(answer)
    again, _ = agents.start(channelName=channel, profile="support")
    succeeded(again)
    assert again.json["data"]["agent_id"] == answer.json["data"]["agent_id"]


def test_cgi_programs_wait_for_no_other_file(agents):
    """A missing AGENT_FILE, or a broken profile, holds up those alone who
    ask for it."""
    agents.write("{", "profiles/broken.json")
    agents.write(agent("support"), "profiles/support.json")
    agents.serve("cgi")
    began = time.monotonic()
    for _ in range(5):
        assert agents.word(profile="support") == "support"
    assert time.monotonic() - began < 2 * PATIENCE
    answer, _ = agents.start(profile="broken")
    refused(answer, 500, "broken.json: line 1, column 2")
    log = agents.transport.log.text()
    assert log.count(b"broken.json: problem") == 1


def test_without_files_there_are_no_profiles(rig):
    """Whoever sends a profile learns that there is none."""
    one = Agents(rig)
    one.serve("cgi", AGENT_FILE="", AGENT_DIR="")
    answer, _ = one.start(profile="support")
    refused(answer, 404, "there is no such profile")


def test_what_a_client_may_set(agents):
    """Listed members and no others, and only what the engine would take."""
    agents.write(agent("usual"))
    agents.serve("fastcgi", AGENT_CLIENT_FIELDS=(
        "parameters.output_audio_codec, asr.language,"
        "parameters.silence_config.timeout_ms"))
    sent = agents.properties(
        parameters={"output_audio_codec": "G722", "enable_metrics": True,
                    "silence_config": {"timeout_ms": 0, "content": "x"}},
        asr={"language": "fr-FR", "params": {"key": "x"}},
        idle_timeout=0,
        llm={"url": "https://elsewhere.example/",
             "system_messages": [{"role": "system", "content": "Be rude"}],
             "mcp_servers": [{"name": "x", "endpoint": "https://x"}]},
        properties={"llm": {"url": "https://elsewhere.example/"}},
        channel="other", token="007", name="x", preset="openai_gpt_5_mini")
    assert sent["parameters"]["output_audio_codec"] == "G722"
    assert "enable_metrics" not in sent["parameters"]
    assert sent["asr"]["language"] == "fr-FR"
    assert "key" not in sent["asr"]["params"]
    assert sent["idle_timeout"] == 30
    assert sent["parameters"]["silence_config"] == {"timeout_ms": 0}
    assert "url" not in sent["llm"]
    assert "mcp_servers" not in sent["llm"]
    assert "rude" not in json.dumps(sent)
    answer, _ = agents.start(
        parameters={"silence_config": {"timeout_ms": 60001}})
    refused(answer, 400, "properties.parameters.silence_config.timeout_ms")
    answer, _ = agents.start(asr={"language": "a b"})
    refused(answer, 400, "asr.language must be")
    answer, _ = agents.start(asr="fr-FR")
    refused(answer, 400, "asr must be an object")


def test_clients_may_be_kept_from_everything(agents):
    """AGENT_CLIENT_FIELDS=none."""
    agents.write(agent("usual"))
    agents.serve("cgi", AGENT_CLIENT_FIELDS="none")
    sent = agents.properties(parameters={"output_audio_codec": "G722"})
    assert "output_audio_codec" not in sent["parameters"]


@pytest.mark.parametrize("fields", [
    "llm.url", "llm.api_key", "llm.headers", "llm.mcp_servers",
    "llm.system_messages", "tts.vendor", "idle_timeout", "channel", "a b", "asr.language,,"])
def test_what_no_client_may_set(agents, fields):
    """Such a list is a bad setting."""
    agents.write(agent("usual"))
    agents.serve("cgi", AGENT_CLIENT_FIELDS=fields)
    answer, _ = agents.start()
    refused(answer, 500, "not properly configured")


def test_a_broken_file_starts_nothing_until_it_is_mended(agents):
    """The reason is in the answer, and in the log once; a broken file
    changes nothing for those who have a good one."""
    bad = {"properties": {"llm": {"api_key": "${MY_KEY}", "url": 7,
                                  "x": "${NOBODYS}"}}}
    agents.write(bad)
    agents.write(agent("support"), "profiles/support.json")
    agents.serve("fastcgi")
    for _ in range(3):
        answer, _ = agents.start()
        refused(answer, 500, "agent.json: properties.llm.x needs the "
                "variable NOBODYS, which is not set")
    assert agents.word(profile="support") == "support"
    log = next(program.log for program in agents.rig.programs.running[::-1]
               if b"NOBODYS" in program.log.text())
    # A line of each worker, and one of each request.
    assert 1 <= log.text().count(b"agent.json: problem: ") <= 2
    agents.write(agent("mended"))
    time.sleep(1.1)
    assert agents.word() == "mended"
    agents.write(bad)
    time.sleep(1.1)
    assert agents.word() == "mended"


def test_an_avatar_gets_a_token_of_its_own(agents):
    """For its uid in the channel of the start."""
    agents.write({"properties": {
        "tts": {"vendor": "elevenlabs", "params": {
            "base_url": "wss://api.elevenlabs.io/v1", "key": "${MY_KEY}",
            "model_id": "eleven_flash_v2_5", "voice_id": "x",
            "sample_rate": 24000}},
        "avatar": {"enable": True, "vendor": "liveavatar", "params": {
            "api_key": "${MY_KEY}", "quality": "high",
            "agora_uid": "4711"}}}})
    agents.serve("cgi")
    sent = agents.properties()
    token = accesstoken.parse(sent["avatar"]["params"]["agora_token"])
    assert accesstoken.signed_by(token, agents.upstream.certificate)
    rtc = token.service(accesstoken.RTC)
    assert rtc.fields == {"channel": sent["channel"], "account": "4711"}
    assert token.service(accesstoken.RTM).fields["user_id"] == "4711"
    assert sent["avatar"]["params"]["api_key"] == KEY
    answer, _ = agents.start(userUid="4711")
    refused(answer, 400, "the uid of the agent's avatar")


def test_the_name_of_the_file_begins_the_agents(agents):
    """So that its agents can be told apart at Agora."""
    agents.write({"name": "shop"})
    agents.serve("cgi")
    answer, channel = agents.start()
    succeeded(answer)
    assert agents.upstream.join(channel)["name"].startswith(
        f"shop_{channel}_58888506_")


TTS = {"vendor": "elevenlabs", "params": {
    "base_url": "wss://api.elevenlabs.io/v1", "key": "${MY_KEY}",
    "model_id": "m", "voice_id": "v"}}


def llm(**members):
    """A file with these members of llm."""
    return {"properties": {"llm": members}}


# What people write, and what they are told: the place, then the cure.
BROKEN = [
    ("", "line 1, column 1: unexpected end", "close every"),
    ('{"properties": {}', "line 1, column 18: unexpected end", "close every"),
    ('{\n"properties": {},\n}', "line 3, column 1", "remove the comma"),
    ('{ // my agent\n}', "line 1, column 3", "no comments"),
    ("{'properties': {}}", "line 1, column 2", "double quotes"),
    ('\ufeff{}', "line 1, column 1: byte order mark", "save it as UTF-8"),
    ('{"name": "a" "preset": "b"}', "line 1, column 14", "comma is missing"),
    ('{"properties": {"x": True}}', "line 1, column 22", "lower case"),
    ('{"name": "a", "name": "b"}', "line 1, column 21: a member that stands "
     "there twice", "remove one of the two"),
    ("[]", "it must be an object", '{"properties": {'),
    ({"llm": {"url": "${MY_KEY}"}}, "llm is not known here",
     "belong into properties"),
    ({"properties": {"channel": "${MY_KEY}"}}, "properties.channel",
     "remove it"),
    ({"name": "my agent"}, "name, with which", "1 to 32 letters"),
    (llm(api_key="${NOBODYS}"), "properties.llm.api_key needs the variable "
     "NOBODYS, which is not set", "set it where the settings are"),
    (llm(api_key="${MY_KEY", url="https://x"), "properties.llm.api_key has ${",
     "write $${"),
    ({"properties": {"idle_timeout": 0}}, "properties.idle_timeout is 0",
     "write 5 to 259200"),
    ({"properties": {"tts": {**TTS, "params": {
        **TTS["params"], "voice_id": None}}}},
     "properties.tts.params.voice_id", "elevenlabs"),
    ({"properties": {"tts": {**TTS, "params": {
        **TTS["params"], "speed": 9.5}}}}, "properties.tts.params.speed",
     "0.7"),
    ({"properties": {"llm": {"max_history": "${MY_KEY}"}}},
     "properties.llm.max_history", "whole number"),
    ({"properties": {"mllm": {"enable": True, "vendor": "openai",
                              "api_key": "${MY_KEY}"}, "tts": TTS}},
     "properties.tts", "mllm"),
    ({"properties": {"llm": {"mcp_servers": [
        {"name": "a", "endpoint": "https://x", "transport":
         "streamable_http"}]}}},
     "properties.llm.mcp_servers", "enable_tools"),
    ({"properties": {"advanced_features": {"enable_rtm": False}}},
     "properties.parameters.data_channel", "enable_rtm"),
    ({"properties": {"tts": {**TTS, "params": {
        **TTS["params"], "sample_rate": 16000}},
        "avatar": {"enable": True, "vendor": "liveavatar", "params": {
            "api_key": "${MY_KEY}", "quality": "high",
            "agora_uid": "4711"}}}}, "sample_rate", "24000"),
]


def test_each_broken_file_is_explained(agents):
    """--check: one problem, with its place and its cure, and no value."""
    agents.write(agent("usual"))
    for i, (content, _, _) in enumerate(BROKEN):
        agents.write(content, f"profiles/p{i:02d}.json")
    assert len(BROKEN) >= 20
    done = agents.check()
    assert done.returncode == 1
    assert KEY not in done.stdout
    said = {}
    for line in done.stdout[done.stdout.index("agents:\n"):].splitlines():
        if line.startswith("  /"):
            about = pathlib.Path(line.split(" (profile")[0].strip()).stem
        elif line.startswith("    problem: "):
            said.setdefault(about, []).append(line.strip())
    for i, (_, place, cure) in enumerate(BROKEN):
        problems = said.pop(f"p{i:02d}")
        assert len(problems) == 1, problems
        assert place in problems[0] and cure in problems[0], problems
    assert not said


def test_a_good_file_has_nothing_to_say(agents):
    """--check names it and goes on."""
    agents.write({"properties": {"tts": TTS}})
    done = agents.check()
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    at = lines.index("agents:")
    assert lines[at + 1] == f"  {agents.folder}/agent.json: used"
    assert not lines[at + 2].startswith("    ")
