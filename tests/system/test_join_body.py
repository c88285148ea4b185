"""What Agora is sent: the join body, the tokens, the hosts in their order."""

import itertools
import json
import os
import time

import pytest

import fcgi_client as fc
import preload
from checks import APP_ID, refused, succeeded, verified
from programs import PATIENCE
from test_protocol import get, post_params
from transports import parse_cgi

PATH = f"/api/conversational-ai-agent/v2/projects/{APP_ID}"
BODY_TOKEN_S = 3600
HEADER_TOKEN_S = 86400

ASR = "deepgram_nova_3"
LLM = "openai_gpt_4o_mini"
TTS = "minimax_speech_2_6_turbo"

GREETING = "Hello! I'm your voice assistant. What can I do for you?"
INSTRUCTIONS = ("You are a helpful voice assistant. Answer briefly and "
                "clearly.")
FAILURE = "Sorry, that did not work. Please say it again."


def default_body(channel, agent_uid="58888506", user_uid="1234567"):
    """The join body of the contract, without name and token."""
    return {
        "preset": f"{ASR},{LLM},{TTS}",
        "properties": {
            "channel": channel,
            "agent_rtc_uid": agent_uid,
            "remote_rtc_uids": [user_uid],
            "enable_string_uid": True,
            "idle_timeout": 30,
            "advanced_features": {"enable_rtm": True},
            "parameters": {"data_channel": "rtm",
                           "enable_error_message": True},
            "asr": {"vendor": "deepgram", "language": "en",
                    "params": {"language": "en"}},
            "llm": {"style": "openai", "input_modalities": ["text"],
                    "greeting_message": GREETING,
                    "failure_message": FAILURE, "max_history": 15,
                    "system_messages": [{"role": "system",
                                         "content": INSTRUCTIONS}],
                    "params": {"max_tokens": 1024, "temperature": 0.7,
                               "top_p": 0.95}},
            "tts": {"vendor": "minimax", "params": {"voice_setting": {
                "voice_id": "English_captivating_female1"}}},
        },
    }


def own_asr(body):
    """With a Deepgram key."""
    body["properties"]["asr"]["params"] = {
        "key": "asr-key", "model": "nova-3", "language": "en"}


def own_llm(body):
    """With an OpenAI key."""
    llm = body["properties"]["llm"]
    llm["url"] = "https://api.openai.com/v1/chat/completions"
    llm["api_key"] = "llm-key"
    llm["params"]["model"] = "gpt-4o-mini"


def own_tts(body, model="eleven_flash_v2_5", voice="pNInz6obpgDQGcFmaJgB"):
    """With an ElevenLabs key."""
    body["properties"]["tts"] = {"vendor": "elevenlabs", "params": {
        "base_url": "wss://api.elevenlabs.io/v1", "key": "tts-key",
        "model_id": model, "voice_id": voice}}


KEYS = {"asr": ("ASR_DEEPGRAM_API_KEY", "asr-key", ASR, own_asr),
        "llm": ("LLM_API_KEY", "llm-key", LLM, own_llm),
        "tts": ("TTS_ELEVENLABS_API_KEY", "tts-key", TTS, own_tts)}


class Caller:
    """start_agent and stop_agent with the settings of one test."""

    def __init__(self, rig, settings, env=()):
        self.upstream = rig.upstream
        env_file = rig.programs.env_file(settings)
        self.program = {
            name: rig.programs.listen(name, env_file, 0, env=env)
            for name in ("start_agent", "stop_agent")}

    def post(self, endpoint, path, body):
        """One request."""
        data = json.dumps(body).encode()
        answer = fc.request(self.program[endpoint].socket,
                            post_params(path, data), data,
                            timeout=60 * PATIENCE)
        return parse_cgi(answer.stdout)

    def start(self, **changes):
        """A start in a new channel: the answer and the channel."""
        body = {"channelName": self.upstream.channel(),
                "rtcUid": "58888506", "userUid": "1234567", **changes}
        return (self.post("start_agent", "/v2/startAgent", body),
                body["channelName"])

    def joined(self, **changes):
        """The ledger's entry of a successful start."""
        answer, channel = self.start(**changes)
        succeeded(answer)
        entry, = self.upstream.joins(channel)
        return entry

    def stop(self, agent_id):
        """A stop."""
        return self.post("stop_agent", "/v2/stopAgent",
                         {"agentId": agent_id})

    def close(self):
        """Stops the programs."""
        for program in self.program.values():
            assert program.stop() == 0


@pytest.fixture(name="caller")
def make_caller(rig):
    """Callers by their settings, stopped after the test."""
    made = []

    def make(settings=None, env=(), **more):
        if settings is None:
            settings = rig.upstream.settings(**more)
        made.append(Caller(rig, settings, env))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


def without_name_and_token(entry):
    """The body of a join, whose name and token are checked elsewhere."""
    body = json.loads(json.dumps(entry["body"]))
    assert body.pop("name") and body["properties"].pop("token")
    return body


# -- The body ----------------------------------------------------------------

def test_default_agent(caller):
    """Without vendor keys: exactly the documented body."""
    entry = caller().joined()
    channel = entry["body"]["properties"]["channel"]
    assert without_name_and_token(entry) == default_body(channel)
    assert entry["checked"] == 200


@pytest.mark.parametrize("own", [
    subset for size in (1, 2, 3) for subset in
    itertools.combinations(KEYS, size)], ids="+".join)
def test_vendor_keys(caller, own):
    """Each key takes its vendor out of the preset; with all three there is
    no preset at all."""
    entry = caller(**{KEYS[kind][0]: KEYS[kind][1] for kind in own}).joined()
    wanted = default_body(entry["body"]["properties"]["channel"])
    managed = [KEYS[kind][2] for kind in KEYS if kind not in own]
    wanted["preset"] = ",".join(managed)
    if not managed:
        del wanted["preset"]
    for kind in own:
        KEYS[kind][3](wanted)
    assert without_name_and_token(entry) == wanted


def test_elevenlabs_model_and_voice(caller):
    """Both can be chosen."""
    entry = caller(TTS_ELEVENLABS_API_KEY="tts-key",
                   TTS_ELEVENLABS_MODEL_ID="eleven_v3",
                   TTS_ELEVENLABS_VOICE_ID="SomeVoice").joined()
    wanted = default_body(entry["body"]["properties"]["channel"])
    wanted["preset"] = f"{ASR},{LLM}"
    own_tts(wanted, "eleven_v3", "SomeVoice")
    assert without_name_and_token(entry) == wanted


def test_empty_variables_count_as_unset(caller):
    """A sample file with empty lines is the default agent."""
    entry = caller(**{KEYS[kind][0]: "" for kind in KEYS},
                   TTS_ELEVENLABS_MODEL_ID="", AGENT_GREETING="").joined()
    channel = entry["body"]["properties"]["channel"]
    assert without_name_and_token(entry) == default_body(channel)


def test_the_quickstarts_own_names(caller, rig):
    """The file that Agora's own tools write works as it is."""
    settings = rig.upstream.settings(
        AGORA_APP_ID=APP_ID, AGORA_APP_CERTIFICATE=rig.upstream.certificate,
        DEEPGRAM_API_KEY="asr-key", OPENAI_API_KEY="llm-key",
        ELEVENLABS_API_KEY="tts-key", ELEVENLABS_VOICE_ID="SomeVoice")
    del settings["APP_ID"], settings["APP_CERTIFICATE"]
    entry = caller(settings).joined()
    wanted = default_body(entry["body"]["properties"]["channel"])
    del wanted["preset"]
    own_asr(wanted)
    own_llm(wanted)
    own_tts(wanted, voice="SomeVoice")
    assert without_name_and_token(entry) == wanted


def test_own_texts(caller):
    """Greeting, instructions and failure message, quotes and UTF-8 too."""
    texts = {"AGENT_GREETING": 'Say "hi" \u4f60\u597d \\ /',
             "AGENT_INSTRUCTIONS": "Be brief.",
             "AGENT_FAILURE_MESSAGE": "Oops \U0001f600"}
    escaped = {name: text.replace("\\", "\\\\")
               for name, text in texts.items()}
    entry = caller(**escaped).joined()
    llm = entry["body"]["properties"]["llm"]
    assert llm["greeting_message"] == texts["AGENT_GREETING"]
    assert llm["failure_message"] == texts["AGENT_FAILURE_MESSAGE"]
    assert llm["system_messages"] == [
        {"role": "system", "content": texts["AGENT_INSTRUCTIONS"]}]


def test_output_audio_codec(caller):
    """The one thing that a client may choose."""
    entry = caller().joined(parameters={"output_audio_codec": "G722"})
    wanted = default_body(entry["body"]["properties"]["channel"])
    wanted["properties"]["parameters"]["output_audio_codec"] = "G722"
    assert without_name_and_token(entry) == wanted


@pytest.mark.parametrize("codec", ["", 5, ["OPUS"], "a b", "x" * 100,
                                   'O","x":"y'], ids=repr)
def test_output_audio_codec_refused(caller, codec):
    """It is a word, nothing else."""
    one = caller()
    before = one.upstream.calls()
    answer, _ = one.start(parameters={"output_audio_codec": codec})
    refused(answer, 400, "output_audio_codec")
    assert one.upstream.calls() == before


# -- Call, header token, name ------------------------------------------------

def test_join_call(caller):
    """Method, path, headers."""
    entry = caller().joined()
    assert (entry["method"], entry["target"]) == ("POST", PATH + "/join")
    headers = entry["headers"]
    assert headers["content-type"] == "application/json"
    assert "cookie" not in headers and "accept-encoding" not in headers
    assert headers.get("expect") is None


def claims(channel, account, seconds):
    """What the ledger says about a token of that kind."""
    privileges = {str(number): seconds for number in (1, 2, 3, 4)}
    return [{"type": 1, "privileges": privileges, "channel": channel,
             "account": account},
            {"type": 2, "privileges": {"1": seconds}, "user_id": account}]


def test_join_tokens(caller, rig):
    """The header's: 86400 s for channel and agent; the body's: 3600 s."""
    entry = caller().joined()
    channel = entry["body"]["properties"]["channel"]
    header = entry["authorization"]
    assert header["app_id"] == APP_ID and header["expire"] == HEADER_TOKEN_S
    assert header["services"] == claims(channel, "58888506", HEADER_TOKEN_S)
    assert abs(header["issue_ts"] - time.time()) < 60
    verified(entry["body"]["properties"]["token"], rig.upstream.certificate,
             channel, "58888506", BODY_TOKEN_S)


def test_tokens_of_two_starts_differ(caller):
    """The salt is random."""
    one = caller()
    first, second = one.joined(), one.joined()
    assert (first["body"]["properties"]["token"]
            != second["body"]["properties"]["token"])


def test_name_of_an_own_channel(caller, rig):
    """agent_<channel>_<rtcUid>: the same for every repetition."""
    config = succeeded(rig.transport("cgi").request(
        "GET", "/get_config"))["data"]
    entry = caller().joined(channelName=config["channel_name"],
                            rtcUid=config["agent_uid"],
                            userUid=config["uid"])
    assert entry["body"]["name"] == (
        f"agent_{config['channel_name']}_{config['agent_uid']}")
    wanted = default_body(config["channel_name"], config["agent_uid"],
                          config["uid"])
    assert without_name_and_token(entry) == wanted


def test_name_of_a_foreign_channel(caller):
    """With the start of the 30 s window behind it."""
    entry = caller().joined()
    channel = entry["body"]["properties"]["channel"]
    head, _, window = entry["body"]["name"].rpartition("_")
    assert head == f"agent_{channel}_58888506"
    assert int(window) % 30 == 0 and 0 <= time.time() - int(window) < 60


def test_leave_call(caller):
    """No body; a token for channel "stop" and account "0"."""
    one = caller()
    answer, _ = one.start()
    agent_id = succeeded(answer)["data"]["agent_id"]
    succeeded(one.stop(agent_id))
    entry, = [entry for entry in one.upstream.sandbox.ledger(call="leave")
              if entry["agent_id"] == agent_id]
    assert (entry["method"], entry["target"]) == (
        "POST", f"{PATH}/agents/{agent_id}/leave")
    assert not entry["body"]
    header = entry["authorization"]
    assert header["expire"] == HEADER_TOKEN_S
    assert header["services"] == claims("stop", "0", HEADER_TOKEN_S)


def test_agent_id_is_one_segment(caller):
    """Every legal character arrives as it was sent."""
    one = caller()
    refused(one.stop("aZ0._:-"), 404)
    entry = one.upstream.entries()[-1]
    assert entry["call"] == "leave" and entry["agent_id"] == "aZ0._:-"


# -- Hosts -------------------------------------------------------------------

US = ("api-us-west-1.agora.io", "api-us-east-1.agora.io",
      "api-us-west-1.sd-rtn.com", "api-us-east-1.sd-rtn.com")
ORDER = {"US": US, "CN": ("api-cn-east-1.sd-rtn.com",
                          "api-cn-north-1.sd-rtn.com",
                          "api-cn-east-1.agora.io",
                          "api-cn-north-1.agora.io")}


@pytest.fixture(scope="session", name="library")
def preload_library(programs):
    """The library that leads host names to the loopback."""
    return preload.build(programs.folder)


class Hosts:
    """Agora's host names with the targets of a test."""

    def __init__(self, rig, library, targets):
        self.sandbox = rig.upstream.sandbox
        self.log = rig.programs.file("hosts.log")
        listed = [(name, self.sandbox if target == "sandbox" else target)
                  for name, target in targets]
        self.env = preload.environment(library, listed, self.log)

    def connects(self):
        """The names that were connected to, or looked for, in order."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as file:
            words = [line.split() for line in file]
        names = [word[1] for word in words]
        return [name for name, _ in itertools.groupby(names)]


@pytest.fixture(name="pool")
def make_pool(rig, library, caller):
    """A caller whose hosts are those of an area."""
    def make(targets, area="US", **more):
        settings = rig.upstream.settings(AGORA_AREA=area, **more)
        del settings["AGORA_API_BASE_URL"]
        hosts = Hosts(rig, library, targets)
        return caller(settings, hosts.env), hosts
    return make


@pytest.mark.parametrize("area", ORDER)
def test_first_host_of_the_area(pool, area):
    """The first one that works is the only one that is called."""
    one, hosts = pool([(ORDER[area][0], "sandbox")], area)
    assert one.joined()["headers"]["host"] == ORDER[area][0]
    assert hosts.connects() == [ORDER[area][0]]


@pytest.mark.parametrize("first", ["refused", "nxdomain", "again"])
def test_c01_second_host_after_the_first_failed(pool, first):
    """Nothing was sent to the first, so the second may be asked, at once."""
    one, hosts = pool([(US[0], first), (US[1], "sandbox")])
    begun = time.monotonic()
    entry = one.joined()
    assert time.monotonic() - begun < 1 * PATIENCE
    assert entry["headers"]["host"] == US[1]
    assert hosts.connects() == [US[0], US[1]]
    hosts_of_stop = one.stop("NOBODY")
    refused(hosts_of_stop, 404)


def test_c01_third_host(pool):
    """The other domain, when both regions of the first are gone."""
    one, hosts = pool([(US[0], "refused"), (US[1], "nxdomain"),
                       (US[2], "sandbox")])
    assert one.joined()["headers"]["host"] == US[2]
    assert hosts.connects() == list(US[:3])


def test_c01_all_hosts_closed(pool):
    """An error in less than a second, after at most three attempts."""
    one, hosts = pool([(name, "refused") for name in US])
    before = one.upstream.calls()
    begun = time.monotonic()
    answer, _ = one.start()
    assert time.monotonic() - begun < 1 * PATIENCE
    refused(answer, 500)
    assert "Agora" in answer.json["detail"]
    assert one.upstream.calls() == before
    assert 1 <= len(hosts.connects()) <= 3
    refused(one.stop("NOBODY"), 500)


@pytest.mark.parametrize("status", [400, 401, 403, 422, 500, 502])
def test_http_errors_are_not_failed_over(pool, status):
    """What a host has answered, the next one is not asked again."""
    one, hosts = pool([(US[0], "sandbox"), (US[1], "sandbox")])
    channel = one.upstream.channel()
    one.upstream.fault(channel, status=status)
    answer, _ = one.start(channelName=channel)
    refused(answer, 500)
    assert answer.json["upstream"]["status"] == status
    assert {entry["headers"]["host"] for entry
            in one.upstream.joins(channel)} == {US[0]}
    assert hosts.connects() == [US[0]]


def test_c03_an_untrusted_certificate_is_not_talked_to(pool):
    """Not the sandbox's CA: nothing is sent, to no host."""
    one, hosts = pool([(US[0], "sandbox"), (US[1], "sandbox")],
                      AGORA_CA_FILE="")
    before = one.upstream.calls()
    answer, _ = one.start()
    refused(answer, 500)
    assert "certificate" in answer.json["detail"]
    assert one.upstream.calls() == before
    assert hosts.connects() == [US[0]]


def test_get_config_needs_no_host(rig):
    """It signs by itself, whatever Agora does."""
    settings = rig.upstream.settings(
        AGORA_API_BASE_URL="https://127.0.0.1:9")
    program = rig.programs.listen("get_config",
                                  rig.programs.env_file(settings), 0)
    succeeded(get(program.socket))
    assert program.stop() == 0
