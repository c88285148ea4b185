"""What a running program's memory holds between two requests: each key once,
in the settings, and nothing of what it made or was sent with them."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import signal
import struct
import time
import zlib

import pytest

import fcgi_client
import http2
from memory import image, needs_memory
from processes import PATIENCE, wait_until
from transports import cgi_params, parse_cgi

KEYS = {"ASR_DEEPGRAM_API_KEY": "canary-asr-" + os.urandom(8).hex(),
        "LLM_API_KEY": "canary-llm-" + os.urandom(8).hex(),
        "TTS_ELEVENLABS_API_KEY": "canary-tts-" + os.urandom(8).hex()}
IN_AGENT = dict.fromkeys(KEYS.values(), 2)  # the settings', and the agent's
BEARER = "canary-bearer-" + os.urandom(8).hex()
ROUNDS = 5

pytestmark = needs_memory


@pytest.fixture(scope="module", name="served")
def _served(rig):
    """The three programs, each one process with all keys set."""
    env_file = rig.programs.env_file(
        rig.upstream.settings(API_KEYS=BEARER, **KEYS), "keys.env")
    programs = {name: rig.programs.listen(name, env_file, workers=0)
                for name in ("get_config", "start_agent", "stop_agent")}
    yield programs
    for program in programs.values():
        program.stop()


def ask(program, method, path, body=None, more=()):
    """The data of a successful answer."""
    data = b"" if body is None else json.dumps(body).encode()
    headers = [("Authorization", f"Bearer {BEARER}"),
               ("Content-Type", "application/json"), *more]
    answer = parse_cgi(fcgi_client.request(
        program.socket, cgi_params(method, path, headers, data),
        data).stdout)
    assert answer.status == 200, answer.body
    return answer.json.get("data")


def start(served, rig):
    """Starts an agent; its channel and id."""
    channel = rig.upstream.channel()
    data = ask(served["start_agent"], "POST", "/v2/startAgent", {
        "channelName": channel, "rtcUid": "77", "userUid": "88"})
    return channel, data["agent_id"]


def holds(program, expected):
    """How often each text may be in the program's memory, soon: an answer
    has arrived before the program has tidied up behind it."""
    def found():
        memory = image(program.pid)
        return {text: memory.count(text if isinstance(text, bytes)
                                   else text.encode()) for text in expected}
    with contextlib.suppress(AssertionError):
        wait_until(lambda: found() == expected, 5 * PATIENCE, "tidied up")
    assert found() == expected


def signing_key(certificate, token):
    """The key that the token was signed with."""
    payload = zlib.decompress(base64.b64decode(token[3:]))
    issued, _, salt = struct.unpack("<III", payload[68:80])
    key = hmac.digest(struct.pack("<I", issued), certificate.encode(),
                      hashlib.sha256)
    key = hmac.digest(struct.pack("<I", salt), key, hashlib.sha256)
    assert hmac.digest(key, payload[34:], hashlib.sha256) == payload[2:34]
    return key


def test_h10_get_config_keeps_no_token(served, rig):
    """Nor the key that it was signed with."""
    program, certificate = served["get_config"], rig.upstream.certificate
    tokens = [ask(program, "GET", "/get_config")["token"]
              for _ in range(ROUNDS)]
    keys = [signing_key(certificate, token) for token in tokens]
    packed = [base64.b64decode(token[3:]) for token in tokens]
    payloads = [zlib.decompress(data)[2:34] for data in packed]  # signatures
    holds(program, {**dict.fromkeys(tokens + keys + payloads, 0),
                    **{data[8:40]: 0 for data in packed}, certificate: 1,
                    BEARER: 0})


def test_h10_a_start_leaves_no_copy_of_a_key(served, rig):
    """Not in the join body, in libcurl's buffers, or in libfcgi's."""
    program = served["start_agent"]
    bodies = [rig.upstream.join(start(served, rig)[0])
              for _ in range(ROUNDS)]
    assert bodies[0]["properties"]["llm"]["api_key"] == KEYS["LLM_API_KEY"]
    tokens = [body["properties"]["token"] for body in bodies]
    holds(program, {**IN_AGENT, **dict.fromkeys(tokens, 0),
                    rig.upstream.certificate: 1, BEARER: 0,
                    "agora token=": 0})


def test_h10_a_key_of_an_agent_file(rig):
    """The settings keep what it needs, for the next time that it is read."""
    key = "canary-cartesia-" + os.urandom(8).hex()
    path = rig.programs.file("agent.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"properties": {"tts": {"vendor": "cartesia", "params": {
            "api_key": "${CARTESIA_API_KEY}", "model_id": "sonic-2",
            "voice": {"mode": "id", "id": "x"}}}}}, file)
    env_file = rig.programs.env_file(rig.upstream.settings(
        AGENT_FILE=path, CARTESIA_API_KEY=key), "cartesia.env")
    programs = {"start_agent": rig.programs.listen("start_agent", env_file,
                                                   workers=0)}
    body = rig.upstream.join(start(programs, rig)[0])
    assert body["properties"]["tts"]["params"]["api_key"] == key
    time.sleep(1.1)  # it is young, and is read again
    for _ in range(ROUNDS):
        start(programs, rig)
    holds(programs["start_agent"], {key: 2})
    programs["start_agent"].stop()


def test_h10_a_stop_keeps_nothing(served, rig):
    """Of its header token and of the ids that it was sent."""
    program = served["stop_agent"]
    agents = [start(served, rig)[1] for _ in range(ROUNDS)]
    for agent in agents:
        ask(program, "POST", "/v2/stopAgent", {"agentId": agent})
    holds(program, {**dict.fromkeys(agents[:-1], 0), BEARER: 0,
                    rig.upstream.certificate: 1, "agora token=": 0,
                    "007eJ": 0})


def test_h10_a_callers_token_is_forgotten(rig):
    """Which start and stop are shown with REQUIRE_TOKEN; also its signature,
    from which it could be put together, and the key of that."""
    certificate = rig.upstream.certificate
    env_file = rig.programs.env_file(
        rig.upstream.settings(REQUIRE_TOKEN="1"), "token.env")
    programs = {name: rig.programs.listen(name, env_file, workers=0)
                for name in ("get_config", "start_agent", "stop_agent")}
    data = ask(programs["get_config"], "GET", "/get_config")
    token = data["token"]
    body = {"channelName": data["channel_name"],
            "rtcUid": data["agent_uid"], "userUid": data["uid"]}
    shown = [("X-Agora-Token", token)]
    agent = ask(programs["start_agent"], "POST", "/v2/startAgent", body,
                shown)["agent_id"]
    ask(programs["stop_agent"], "POST", "/v2/stopAgent", {
        "agentId": agent, "channelName": data["channel_name"]}, shown)
    packed = base64.b64decode(token[3:])
    secrets = [token, packed[8:40], zlib.decompress(packed)[2:34],
               signing_key(certificate, token)]
    for name in ("start_agent", "stop_agent"):
        holds(programs[name], {**dict.fromkeys(secrets, 0), certificate: 1})
    for program in programs.values():
        program.stop()


def test_h10_secrets_of_the_environment_are_kept_for_reloads(rig):
    """Beside the settings, and nowhere else; of API keys the settings have
    hashes only."""
    settings = rig.upstream.settings(API_KEYS=BEARER, **KEYS)
    secrets = {name: settings.pop(name)
               for name in ("APP_CERTIFICATE", "API_KEYS", *KEYS)}
    program = rig.programs.listen(
        "get_config", rig.programs.env_file(settings), workers=0, env=secrets)
    ask(program, "GET", "/get_config")
    program.process.send_signal(signal.SIGHUP)
    ask(program, "GET", "/get_config")
    holds(program, {value: 1 if name == "API_KEYS" else 2
                    for name, value in secrets.items()})
    program.stop()


def test_h10_a_refused_request_is_forgotten(served):
    """Also the body that was wrong."""
    program = served["start_agent"]
    secret = "canary-" + os.urandom(8).hex()
    body = json.dumps({"channelName": secret + "\n", "rtcUid": secret}).encode()
    answer = parse_cgi(fcgi_client.request(program.socket, cgi_params(
        "POST", "/v2/startAgent", [("Content-Type", "application/json"),
                                   ("X-Api-Key", BEARER)],
        body), body).stdout)
    assert answer.status == 400
    holds(program, {secret: 0})


@pytest.mark.skipif(not http2.have(), reason="needs nginx with HTTP/2")
def test_h10_a_start_over_http_2(rig, folder):
    """There nghttp2 copies the headers to small blocks that nobody wipes:
    the C library keeps seven of a size for the next who asks. And what it
    sent last, which is a join with its keys, it has as long as it has the
    connection."""
    with http2.Http2(folder, rig.upstream.sandbox) as front:
        env_file = rig.programs.env_file(rig.upstream.settings(
            **{**KEYS, "AGORA_API_BASE_URL": front.base_url}), "http2.env")
        programs = {name: rig.programs.listen(name, env_file, workers=0)
                    for name in ("start_agent", "stop_agent")}
        agents = [start(programs, rig)[1] for _ in range(8 * ROUNDS)]
        for agent in agents:
            ask(programs["stop_agent"], "POST", "/v2/stopAgent",
                {"agentId": agent})
        assert '/leave HTTP/2.0" 200' in front.log("access")
        for name, program in programs.items():
            copies = 3 if name == "start_agent" else 1
            holds(program, {rig.upstream.certificate: 1, BEARER: 0,
                            **dict.fromkeys(KEYS.values(), copies)})
            left = image(program.pid).count(b"agora token=")
            assert left <= 2 * 7, left
            program.stop()
