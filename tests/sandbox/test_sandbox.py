"""The stand-in for Agora: that it accepts, refuses, remembers and fails as
README.md says. A client of the sandbox is tested against these promises."""

import base64
import concurrent.futures
import http.client
import json
import os
import re
import socket
import ssl
import time

import pytest

import accesstoken
import certificates
import faults
from client import Sandbox

UID = "58888506"
OTHER_CERTIFICATE = "0" * 32


def tcp(sandbox):
    """A plain connection to the sandbox's port."""
    return socket.create_connection((sandbox.host, sandbox.port), 10)


def raw(sandbox, data, *, shut=False):
    """Everything the server sends back for these bytes."""
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    with tcp(sandbox) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(data)
            if shut:
                tls.unwrap()
            answer = b""
            try:
                while piece := tls.recv(65536):
                    answer += piece
            except (ConnectionError, ssl.SSLEOFError):
                pass
            return answer


def edited(sandbox, path, value, channel="room"):
    """A good join body with one member changed; ... removes it."""
    body = sandbox.join_body(channel)
    *folders, name = path.split(".")
    owner = body
    for folder in folders:
        owner = owner[folder]
    if value is ...:
        del owner[name]
    else:
        owner[name] = value
    return body


def join_with(sandbox, body, **options):
    options.setdefault("token", sandbox.token("room", UID))
    return sandbox.call("POST", "/join", body, **options)


# -- The happy path ---------------------------------------------------------

def test_join_starts_an_agent(sandbox):
    before = int(time.time())
    answer = sandbox.join("room")
    data = answer.json()
    assert answer.status == 200
    assert re.fullmatch(r"[0-9A-Z]{26}", data["agent_id"])
    assert data["status"] == "RUNNING" and data["create_ts"] >= before
    (agent,) = sandbox.running()
    assert agent["agent_id"] == data["agent_id"]
    assert agent["channel"] == "room" and agent["agent_rtc_uid"] == UID


def test_leave_ends_it_once(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    first, second = sandbox.leave(agent_id), sandbox.leave(agent_id)
    assert (first.status, first.body) == (200, b"")
    assert second.status == 404
    assert second.json()["reason"] == "TaskNotFound"
    assert sandbox.running() == []


def test_china_has_its_own_prefix(sandbox):
    target = (f"/cn/api/conversational-ai-agent/v2/projects/{sandbox.app_id}"
              "/agents")
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    answer = sandbox._request(
        "GET", target, None,
        {"Authorization": f"agora token={sandbox.token()}"}, context)
    assert answer.status == 200


def test_get_shows_running_and_ended(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    data = sandbox.call("GET", f"/agents/{agent_id}").json()
    assert data["status"] == "RUNNING" and data["stop_ts"] == 0
    assert data["name"] == f"agent_room_{UID}"
    sandbox.leave(agent_id)
    data = sandbox.call("GET", f"/agents/{agent_id}").json()
    assert data["status"] == "STOPPED" and data["stop_ts"] > 0


def test_get_of_unknown_agent_is_404(sandbox):
    answer = sandbox.call("GET", "/agents/NOSUCHAGENT")
    assert answer.status == 404
    assert answer.json()["reason"] == "TaskNotFound"


def listed(sandbox, query):
    data = sandbox.call("GET", "/agents" + query).json()
    assert data["data"]["count"] == len(data["data"]["list"])
    return [a["agent_id"] for a in data["data"]["list"]], data["meta"]


def test_list_by_channel_and_state(sandbox):
    one = sandbox.join("one").json()["agent_id"]
    two = sandbox.join("two").json()["agent_id"]
    sandbox.leave(one)
    assert listed(sandbox, "")[0] == [two]
    assert listed(sandbox, "?channel=one")[0] == []
    assert listed(sandbox, "?channel=one&state=4")[0] == [one]
    assert listed(sandbox, "?state=2,4")[0] == [one, two]
    assert listed(sandbox, "?state=1")[0] == []


def test_list_channel_is_percent_decoded(sandbox):
    agent_id = sandbox.join("a&b#c +d").json()["agent_id"]
    assert listed(sandbox, "?channel=a%26b%23c%20%2Bd")[0] == [agent_id]


def test_list_in_pages(sandbox):
    ids = [sandbox.join(f"room{n}").json()["agent_id"] for n in range(5)]
    page, meta = listed(sandbox, "?limit=3")
    assert page == ids[:3] and meta == {"cursor": ids[3], "total": 5}
    page, meta = listed(sandbox, f"?limit=3&cursor={ids[3]}")
    assert page == ids[3:] and meta == {"cursor": "", "total": 5}


def test_list_in_pages_while_agents_end(sandbox):
    ids = [sandbox.join(f"room{n}").json()["agent_id"] for n in range(6)]
    meta = listed(sandbox, "?limit=2")[1]
    for agent_id in (ids[0], ids[2]):
        sandbox.leave(agent_id)
    page, meta = listed(sandbox, f"?limit=2&cursor={meta['cursor']}")
    assert page == ids[3:5] and meta == {"cursor": ids[5], "total": 4}


def test_list_from_time(sandbox):
    old = sandbox.join("room", name="old").json()["agent_id"]
    new = sandbox.join("room", name="new").json()["agent_id"]
    sandbox.set_agent(old, start_ts=int(time.time()) - 600)
    assert listed(sandbox, "")[0] == [old, new]
    since = int(time.time()) - 60
    assert listed(sandbox, f"?from_time={since}")[0] == [new]


@pytest.mark.parametrize("query", ["?state=7", "?state=x", "?limit=-1",
                                   "?cursor=20"])
def test_list_refuses_nonsense(sandbox, query):
    answer = sandbox.call("GET", "/agents" + query)
    assert answer.status == 400
    assert answer.json()["reason"] == "InvalidFieldValue"


# -- Names ------------------------------------------------------------------

def test_name_of_a_running_agent_conflicts(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    answer = sandbox.join("room")
    assert answer.status == 409
    assert set(answer.json()) == {"detail", "reason"}
    assert answer.json()["reason"] == "TaskConflict"
    assert [a["agent_id"] for a in sandbox.running()] == [agent_id]


def test_name_is_free_after_leave(sandbox):
    sandbox.leave(sandbox.join("room").json()["agent_id"])
    assert sandbox.join("room").status == 200


@pytest.mark.parametrize("member", ["agent_id", "taskId"])
def test_conflict_can_carry_the_id(sandbox, member):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.fault("join", conflict_id=member)
    assert sandbox.join("room").json()[member] == agent_id


def test_stopping_agent_is_shutting_down(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.set_agent(agent_id, status="STOPPING")
    answer = sandbox.leave(agent_id)
    assert answer.status == 400
    assert "already in the process of shutting down" in answer.json()["detail"]
    assert sandbox.join("room").status == 409


# -- Tokens -----------------------------------------------------------------

def test_join_without_authorization_is_401(sandbox):
    answer = join_with(sandbox, sandbox.join_body("room"),
                       headers={"Authorization": None})
    assert answer.status == 401
    assert answer.json() == {"detail": "Missing authorization header",
                             "reason": "InvalidPermission"}


@pytest.mark.parametrize("value", [
    "Basic eDp5", "agora token=", "agora token=006abc", "agora  token=007eJx",
    "agora token=\"007eJx\"", "agora token=007invalid"])
def test_join_with_odd_authorization_is_401(sandbox, value):
    answer = join_with(sandbox, sandbox.join_body("room"),
                       headers={"Authorization": value})
    assert answer.status == 401


BAD_TOKENS = {
    "signature": (401, dict(certificate=OTHER_CERTIFICATE)),
    "expired": (401, dict(seconds=60, issued=1)),
    "too long": (401, dict(seconds=86401)),
    "app id": (403, dict(app_id="0" * 32)),
    "channel": (403, dict(channel="stop")),
    "account": (403, dict(uid="1")),
    "rtm user": (403, dict(user_id="1")),
}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_join_refuses_header_token(sandbox, what):
    status, change = BAD_TOKENS[what]
    token = sandbox.token(**{"channel": "room", "uid": UID, **change})
    answer = join_with(sandbox, sandbox.join_body("room"), token=token)
    assert (answer.status, answer.json()["reason"]) == (
        status, "InvalidPermission")
    assert sandbox.agents() == []


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_join_refuses_body_token(sandbox, what):
    status, change = BAD_TOKENS[what]
    token = sandbox.token(**{"channel": "room", "uid": UID, **change})
    answer = join_with(sandbox, edited(sandbox, "properties.token", token))
    assert answer.status == status
    assert sandbox.agents() == []


def test_join_refuses_body_token_that_is_none(sandbox):
    answer = join_with(sandbox, edited(sandbox, "properties.token", "007x"))
    assert answer.status == 403


@pytest.mark.parametrize("services", [
    lambda both: both[:1], lambda both: both[1:], lambda both: []])
def test_join_needs_both_services(sandbox, services):
    token = accesstoken.build(
        sandbox.app_id, sandbox.app_certificate,
        services(accesstoken.rtc_rtm("room", UID, 60)),
        issue_ts=int(time.time()), expire=60, salt=1)
    answer = join_with(sandbox, sandbox.join_body("room"), token=token)
    assert answer.status == 403


@pytest.mark.parametrize("privileges", [{2: 60}, {1: 0}])
def test_join_needs_the_join_privilege(sandbox, privileges):
    both = accesstoken.rtc_rtm("room", UID, 60)
    both[0].privileges = privileges
    token = accesstoken.build(
        sandbox.app_id, sandbox.app_certificate, both,
        issue_ts=int(time.time()), expire=60, salt=1)
    answer = join_with(sandbox, sandbox.join_body("room"), token=token)
    assert answer.status == 403


def test_wildcard_account_is_accepted(sandbox):
    token = accesstoken.build(
        sandbox.app_id, sandbox.app_certificate,
        accesstoken.rtc_rtm("room", "", 60, user_id=UID),
        issue_ts=int(time.time()), expire=60, salt=1)
    body = edited(sandbox, "properties.token", token)
    assert join_with(sandbox, body, token=token).status == 200


@pytest.mark.parametrize("uid", ["0", "SOMEAGENTID"])
def test_leave_takes_any_token_of_the_project(sandbox, uid):
    agent_id = sandbox.join("room").json()["agent_id"]
    answer = sandbox.call("POST", f"/agents/{agent_id}/leave",
                          token=sandbox.token("stop", uid))
    assert answer.status == 200


@pytest.mark.parametrize("what", ["signature", "expired", "app id"])
@pytest.mark.parametrize("method, path", [
    ("POST", "/agents/{}/leave"), ("GET", "/agents/{}"), ("GET", "/agents")])
def test_other_calls_refuse_token(sandbox, what, method, path):
    agent_id = sandbox.join("room").json()["agent_id"]
    status, change = BAD_TOKENS[what]
    answer = sandbox.call(method, path.format(agent_id),
                          token=sandbox.token(**change))
    assert answer.status == status
    assert len(sandbox.running()) == 1


def test_other_project_is_403(sandbox):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    answer = sandbox._request(
        "GET", f"/api/conversational-ai-agent/v2/projects/{'0' * 32}/agents",
        None, {"Authorization": f"agora token={sandbox.token()}"}, context)
    assert answer.status == 403


# -- The join body ----------------------------------------------------------

@pytest.mark.parametrize("path", [
    "name", "properties", "properties.channel", "properties.token",
    "properties.agent_rtc_uid", "properties.remote_rtc_uids",
])
def test_required_member(sandbox, path):
    answer = join_with(sandbox, edited(sandbox, path, ...))
    assert answer.status == 400
    assert answer.json() == {"detail": f"{path} is required",
                             "reason": "MissingRequiredField"}


@pytest.mark.parametrize("path, value", [
    ("name", ""), ("name", 1), ("properties", []), ("preset", "gpt"),
    ("preset", 1), ("properties.channel", ""), ("properties.channel", 1),
    ("properties.channel", "a/b"), ("properties.channel", "a" * 65),
    ("properties.channel", "\ud800"), ("properties.token", 7),
    ("properties.agent_rtc_uid", 58888506), ("properties.agent_rtc_uid", ""),
    ("properties.remote_rtc_uids", "1"), ("properties.remote_rtc_uids", []),
    ("properties.remote_rtc_uids", [1]), ("properties.remote_rtc_uids", [""]),
    ("properties.remote_rtc_uids", ["1", "2"]),
    ("properties.remote_rtc_uids", [UID]),
    ("properties.enable_string_uid", "true"),
    ("properties.idle_timeout", "30"), ("properties.idle_timeout", -1),
    ("properties.idle_timeout", 259201), ("properties.idle_timeout", True),
    ("properties.advanced_features", []),
    ("properties.advanced_features.enable_rtm", 1),
    ("properties.advanced_features.enable_rtm", False),
    ("properties.parameters.data_channel", "pigeon"),
    ("properties.parameters.enable_error_message", "yes"),
    ("properties.asr", None), ("properties.llm", []),
    ("properties.llm.system_messages", ["be brief"]),
    ("properties.tts.params", []),
])
def test_invalid_value(sandbox, path, value):
    answer = join_with(sandbox, edited(sandbox, path, value))
    assert (answer.status, answer.json()["reason"]) == (
        400, "InvalidFieldValue")
    assert sandbox.agents() == []


@pytest.mark.parametrize("uid, status", [
    ("4294967295", 200), ("4294967296", 400), ("12a", 400), ("9" * 5000, 400),
    ("\u0663", 400)])
def test_uid_without_string_accounts(sandbox, uid, status):
    body = sandbox.join_body("room", uid)
    body["properties"]["enable_string_uid"] = False
    answer = join_with(sandbox, body, token=sandbox.token("room", uid))
    assert answer.status == status


def test_everyone_may_be_heard(sandbox):
    body = edited(sandbox, "properties.remote_rtc_uids", ["*"])
    assert join_with(sandbox, body).status == 200


@pytest.mark.parametrize("preset, missing", [
    (..., "asr.params.key"),
    ("deepgram_nova_3,openai_gpt_4o_mini", "tts.params.key"),
    ("deepgram_nova_3,minimax_speech_2_6_turbo", "llm.url"),
    ("openai_gpt_4o_mini,minimax_speech_2_6_turbo", "asr.params.key"),
])
def test_model_without_preset_brings_its_own(sandbox, preset, missing):
    answer = join_with(sandbox, edited(sandbox, "preset", preset))
    assert answer.json() == {
        "detail": f"properties.{missing} is required",
        "reason": "MissingRequiredField"}


def test_own_models_need_no_preset(sandbox):
    body = edited(sandbox, "preset", ...)
    properties = body["properties"]
    properties["asr"]["params"]["key"] = "k"
    properties["llm"]["url"] = "https://llm.example/v1"
    properties["tts"]["params"] = {
        "key": "k", "model": "speech-2.8-turbo", "group_id": "g",
        "url": "wss://tts.example", "voice_setting": {"voice_id": "v"}}
    assert join_with(sandbox, body).status == 200


@pytest.mark.parametrize("content_type", [
    None, "text/plain", "application/x-www-form-urlencoded",
    "application/jsonp"])
def test_content_type_is_json(sandbox, content_type):
    answer = join_with(sandbox, sandbox.join_body("room"),
                       headers={"Content-Type": content_type})
    assert (answer.status, answer.json()["reason"]) == (
        400, "InvalidRequestBody")


def test_content_type_may_name_the_charset(sandbox):
    answer = join_with(
        sandbox, sandbox.join_body("room"),
        headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 200


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"\xff", b"{} {}", b'{"name":NaN}',
    b'{"name":"a","name":"b"}', b"[" * 100000])
def test_body_is_one_json_object(sandbox, body):
    answer = join_with(sandbox, body)
    assert (answer.status, answer.json()["reason"]) == (
        400, "InvalidRequestBody")


# -- Routes and HTTP --------------------------------------------------------

@pytest.mark.parametrize("method, path", [
    ("GET", "/"), ("GET", "/join"), ("GET", "/v2/projects"),
    ("POST", "/api/v2/projects/x/join"),
    ("GET", "/api/conversational-ai-agent/v2/projects/x/join"),
    ("POST", "/api/conversational-ai-agent/v2/projects/x/agents/a/leave/"),
    ("POST", "/api/conversational-ai-agent/v2/projects/x/agents/a"),
    ("POST", "/api/conversational-ai-agent/v1/projects/x/join")])
def test_unknown_path_has_no_route(sandbox, method, path):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    answer = sandbox._request(method, path, None, {}, context)
    assert answer.status == 404
    assert answer.json() == {"message": "no Route matched with those values"}


@pytest.mark.parametrize("head, status", [
    (b"nonsense\r\n", b"400"),
    (b"GET /\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nno colon\r\n", b"400"),
    (b"GET / HTTP/1.1\r\n folded: x\r\n", b"400"),
    (b"POST / HTTP/1.1\r\n", b"411"),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n", b"413"),
    (b"POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
     b"400"),
    (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n"
     b"Transfer-Encoding: chunked\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 200000 + b"\r\n", b"431"),
    (b"GET http://[ HTTP/1.1\r\n", b"400"),
])
def test_malformed_http_is_refused(sandbox, head, status):
    answer = raw(sandbox, head + b"\r\n")
    assert answer.split(b" ")[1] == status
    assert sandbox.health()["status"] == "ok"


def test_chunked_body_and_expect(sandbox):
    body = json.dumps(sandbox.join_body("room")).encode()
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                      for part in (body[:half], body[half:]))
    answer = raw(sandbox, (
        f"POST /api/conversational-ai-agent/v2/projects/{sandbox.app_id}/join"
        " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Authorization: agora token={sandbox.token('room', UID)}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n").encode() + chunks
        + b"0\r\nTrailer: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_connection_is_kept(sandbox):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    connection = http.client.HTTPSConnection(sandbox.host, sandbox.port,
                                             context=context, timeout=10)
    for _ in range(3):
        connection.request("GET", "/x")
        connection.getresponse().read()
    connection.close()
    assert len({e["connection"] for e in sandbox.ledger()}) == 1


def test_pipelined_requests_are_answered_in_order(sandbox):
    answer = raw(sandbox, b"GET /_sandbox/health HTTP/1.1\r\n\r\n"
                          b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404"]


def test_cut_request_is_not_in_the_ledger(sandbox):
    raw(sandbox, b"POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        shut=True)
    assert sandbox.ledger() == []


# -- The ledger and the control API -----------------------------------------

def test_ledger_has_the_whole_call(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.leave(agent_id)
    join, leave = sandbox.ledger()
    assert (join["number"], join["call"], join["channel"]) == (
        1, "join", "room")
    assert (join["status"], join["checked"], join["executed"]) == (
        200, 200, True)
    assert join["method"] == "POST" and join["target"].endswith("/join")
    assert join["body"]["name"] == f"agent_room_{UID}"
    assert join["headers"]["content-type"] == "application/json"
    assert join["peer"] == "127.0.0.1"
    assert leave["agent_id"] == agent_id and leave["channel"] == "room"
    assert leave["body"] is None
    assert leave["connection"] != join["connection"]


def test_ledger_shows_claims_not_the_header_token(sandbox):
    token = sandbox.token("room", UID)
    join_with(sandbox, sandbox.join_body("room"), token=token)
    (entry,) = sandbox.ledger()
    assert token not in json.dumps(entry)
    assert "authorization" not in entry["headers"]
    claims = entry["authorization"]
    assert claims["app_id"] == sandbox.app_id and claims["expire"] == 86400
    assert claims["services"][0]["channel"] == "room"


def test_ledger_has_refused_calls(sandbox):
    join_with(sandbox, b"{", token=sandbox.token("room", UID,
                                                 certificate="1" * 32))
    (entry,) = sandbox.ledger()
    assert (entry["status"], entry["executed"]) == (401, False)
    assert entry["body"] == {"unreadable": "{"}


def test_ledger_by_channel(sandbox):
    agent_id = sandbox.join("one").json()["agent_id"]
    sandbox.join("two")
    sandbox.leave(agent_id)
    sandbox.call("GET", "/agents?channel=one")
    assert [e["call"] for e in sandbox.ledger("one")] == [
        "join", "leave", "list"]


def test_ledger_shows_calls_still_waiting(sandbox):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(sandbox.join, "fault-slow-1")
        end = time.monotonic() + 5
        while not sandbox.ledger("fault-slow-1"):
            assert time.monotonic() < end
        assert not waiting.done()
        assert waiting.result().status == 200


def test_agents_by_state(sandbox):
    one = sandbox.join("one").json()["agent_id"]
    two = sandbox.join("two").json()["agent_id"]
    sandbox.leave(one)
    assert [a["agent_id"] for a in sandbox.agents()] == [one, two]
    assert [a["agent_id"] for a in sandbox.agents("running")] == [two]
    assert [a["agent_id"] for a in sandbox.agents("STOPPED")] == [one]


def test_reset_forgets_everything(sandbox):
    sandbox.join("room")
    sandbox.fault("join", status=500)
    sandbox.reset()
    assert (sandbox.ledger(), sandbox.agents()) == ([], [])
    assert sandbox.join("room").status == 200


@pytest.mark.parametrize("items", [
    {}, [1], [{"do": {"statu": 503}}], [{"match": {"call": "dance"}}],
    [{"do": {"status": "503"}}], [{"do": {"status": True}}],
    [{"do": {"close": "slowly"}}], [{"do": {"raw": "***"}}], [{"when": {}}],
])
def test_misspelt_fault_is_refused(sandbox, items):
    """A fault that never fires would let the test pass."""
    with pytest.raises(ValueError):
        sandbox.faults(items)


def test_unknown_control_call_is_404(sandbox):
    for target in ("/_sandbox/", "/_sandbox/x", "/_sandbox/ledger/x"):
        answer = raw(sandbox, f"GET {target} HTTP/1.0\r\n\r\n".encode())
        assert b" 404 " in answer.split(b"\r\n")[0]


# -- Faults -----------------------------------------------------------------

def test_fault_status_is_not_executed(sandbox):
    sandbox.fault("join", status=503, headers={"Retry-After": "2"})
    answer = sandbox.join("room")
    assert answer.status == 503
    assert answer.json()["reason"] == "ServiceUnavailable"
    assert answer.headers["Retry-After"] == "2"
    (entry,) = sandbox.ledger()
    assert (entry["status"], entry["checked"], entry["executed"]) == (
        503, 200, False)
    assert entry["fault"]["status"] == 503
    assert sandbox.agents() == []


def test_fault_status_can_be_executed(sandbox):
    sandbox.fault("join", status=500, execute=True)
    assert sandbox.join("room").status == 500
    assert len(sandbox.running()) == 1


def test_fault_replaces_the_body(sandbox):
    sandbox.fault("join", status=200, body={"agent_id": 7}, execute=True)
    assert sandbox.join("room").json() == {"agent_id": 7}
    sandbox.fault("leave", status=502, body="<html>",
                  headers={"Content-Type": "text/html"})
    answer = sandbox.leave("X")
    assert answer.body == b"<html>"
    assert answer.headers["Content-Type"] == "text/html"


def test_fault_still_checks_the_call(sandbox):
    """So that a test sees a bad retry behind a fault, too."""
    sandbox.fault("join", status=503)
    join_with(sandbox, edited(sandbox, "name", ...))
    assert sandbox.ledger()[0]["checked"] == 400


def test_fault_matches_call_channel_and_agent(sandbox):
    kept = sandbox.join("kept").json()["agent_id"]
    hit = sandbox.join("hit").json()["agent_id"]
    sandbox.fault("leave", match={"agent_id": hit}, status=500)
    sandbox.fault("join", match={"channel": "hit"}, status=501)
    assert sandbox.leave(kept).status == 200
    assert sandbox.leave(hit).status == 500
    assert sandbox.join("kept").status == 200
    assert sandbox.join("hit").status == 501


def test_fault_matches_the_host(sandbox):
    sandbox.fault(match={"host": "api-us-west-1.agora.io"}, status=502)
    statuses = [sandbox.call("GET", "/agents", headers={"Host": host}).status
                for host in ("api-us-west-1.agora.io:443",
                             "api-us-west-1.agora.io",
                             "api-us-east-1.agora.io")]
    assert statuses == [502, 502, 200]


@pytest.mark.parametrize("match, expected", [
    ({"times": 2}, [503, 503, 200, 200]),
    ({"nth": 2}, [200, 503, 200, 200]),
    ({"nth": 2, "times": 2}, [200, 503, 503, 200]),
    ({}, [503, 503, 503, 503])])
def test_fault_nth_and_times(sandbox, match, expected):
    sandbox.fault("join", match=match, status=503)
    assert [sandbox.join(f"room{n}").status for n in range(4)] == expected


def test_first_fault_wins_and_all_count(sandbox):
    sandbox.fault("join", match={"times": 1}, status=500)
    sandbox.fault("join", match={"times": 2}, status=502)
    assert [sandbox.join(f"room{n}").status for n in range(3)] == [
        500, 502, 200]


def test_fault_delays(sandbox):
    sandbox.fault("join", delay_s=0.4)
    started = time.monotonic()
    assert sandbox.join("room").status == 200
    assert 0.4 <= time.monotonic() - started < 3


def wire_answer(sandbox, channel="room"):
    """Every byte of the answer to a join."""
    body = json.dumps(sandbox.join_body(channel)).encode()
    return raw(sandbox, (
        f"POST /api/conversational-ai-agent/v2/projects/{sandbox.app_id}/join"
        " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Connection: close\r\n"
        f"Authorization: agora token={sandbox.token(channel, UID)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n").encode() + body)


HEADERS = rb"HTTP/1.1 200 OK.*Content-Length: 88.*\r\n\r\n"


@pytest.mark.parametrize("close, execute, shape", [
    ("before", True, rb""), ("before", False, rb""),
    ("reset", True, rb""), ("reset", False, rb""),
    ("mid_headers", True, rb"HTTP/1.1 200 OK\r\n(?!.*\r\n\r\n).+"),
    ("mid_headers", False, rb"HTTP/1.1 200 OK\r\n(?!.*\r\n\r\n).+"),
    ("after_headers", True, HEADERS), ("mid_body", True, HEADERS + rb".{44}")])
def test_fault_closes(sandbox, close, execute, shape):
    sandbox.fault("join", close=close, execute=execute)
    answer = wire_answer(sandbox)
    assert re.fullmatch(shape, answer, re.DOTALL), answer
    assert len(sandbox.running()) == int(execute)
    told = close in ("after_headers", "mid_body")
    assert sandbox.ledger()[0]["status"] == (200 if told else None)


def test_fault_reset_is_a_reset(sandbox):
    sandbox.fault(close="reset")
    with pytest.raises(ConnectionResetError):
        sandbox.call("GET", "/agents")


def test_fault_closes_after_the_answer(sandbox):
    """Without saying so: the client's next request meets a dead peer."""
    sandbox.fault("list", close="after")
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    connection = http.client.HTTPSConnection(sandbox.host, sandbox.port,
                                             context=context, timeout=10)
    path = f"/api/conversational-ai-agent/v2/projects/{sandbox.app_id}/agents"
    headers = {"Authorization": f"agora token={sandbox.token()}"}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    assert (answer.status, answer.headers["Connection"]) == (200, None)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        for _ in range(2):  # the first write can outrun the close
            connection.request("GET", path, headers=headers)
            connection.getresponse().read()
    connection.close()


def test_fault_sends_raw_bytes(sandbox):
    sandbox.fault("join", raw=base64.b64encode(b"not HTTP\n").decode())
    assert wire_answer(sandbox) == b"not HTTP\n"
    assert sandbox.agents() == []


def test_fault_sends_a_prefix(sandbox):
    sandbox.fault("join", prefix=base64.b64encode(
        b"HTTP/1.1 103 Early Hints\r\n\r\n").decode())
    assert wire_answer(sandbox).startswith(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert len(sandbox.running()) == 1


def test_fault_fills_the_body(sandbox):
    sandbox.fault("join", body_size=300000)
    answer = sandbox.join("room")
    assert len(answer.body) == 300000
    assert answer.json()["status"] == "RUNNING"


def test_fault_fills_the_headers(sandbox):
    sandbox.fault("join", headers_count=5000, header_size=100000)
    answer = wire_answer(sandbox)
    assert answer.count(b"X-Filler-") == 5000
    assert b"X-Filler: " + b"x" * 100000 + b"\r\n" in answer
    assert answer.endswith(b"}")


@pytest.mark.parametrize("member, size", [("drip", 250), ("drip_body", 80)])
def test_fault_drips(sandbox, member, size):
    sandbox.fault("join", **{member: 0.003})
    started = time.monotonic()
    assert sandbox.join("room").status == 200
    assert time.monotonic() - started > 0.003 * size * 0.9


def test_huge_answer_costs_no_memory(sandbox):
    """10 GB are asked for; the client leaves after the first megabyte."""
    sandbox.fault("join", body_size=10 << 30)
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    connection = http.client.HTTPSConnection(sandbox.host, sandbox.port,
                                             context=context, timeout=10)
    connection.request(
        "POST", sandbox.base_url[len(sandbox.origin):]
        + f"/v2/projects/{sandbox.app_id}/join",
        json.dumps(sandbox.join_body("room")),
        {"Content-Type": "application/json",
         "Authorization": f"agora token={sandbox.token('room', UID)}"})
    assert len(connection.getresponse().read(1 << 20)) == 1 << 20
    with open(f"/proc/{sandbox.process.pid}/status", encoding="ascii") as f:
        peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
    connection.close()
    assert peak < 200000  # KiB
    assert sandbox.health()["status"] == "ok"


# -- Faults by channel name -------------------------------------------------

@pytest.mark.parametrize("channel, statuses, alive", [
    ("fault-503", [503, 503, 503], 0),
    ("fault-503x2", [503, 503, 200], 1),
    ("fault-503x1_room-7", [503, 200, 409], 1),
    ("fault-500-done", [500, 500, 500], 1),
    ("fault-500-donex1", [500, 409, 409], 1),
    ("fault-409", [409, 409, 409], 0),
    ("fault-html", [502, 502, 502], 0),
    ("fault-route", [404, 404, 404], 0),
    ("fault-no-id", [200, 200, 200], 1),
    ("fault-leave-503", [200, 409, 409], 1),
    ("fault-unheard-of", [200, 409, 409], 1),
])
def test_channel_name_fault(sandbox, channel, statuses, alive):
    assert [sandbox.join(channel).status for _ in range(3)] == statuses
    assert len(sandbox.running()) == alive


@pytest.mark.parametrize("channel, alive", [
    ("fault-close", 0), ("fault-lost", 1), ("fault-cut-headers", 1),
    ("fault-reset", 0), ("fault-lost-reset", 1)])
def test_channel_name_closes(sandbox, channel, alive):
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sandbox.join(channel)
    assert len(sandbox.running()) == alive


def test_channel_name_cuts_the_body(sandbox):
    with pytest.raises(http.client.IncompleteRead):
        sandbox.join("fault-cut-body")
    assert len(sandbox.running()) == 1


@pytest.mark.parametrize("channel, alive", [("fault-hang", 0),
                                            ("fault-lost-hang", 1)])
def test_channel_name_hangs_until_the_client_leaves(sandbox, channel, alive):
    with tcp(sandbox) as plain:
        context = ssl.create_default_context(cafile=sandbox.ca_file)
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            body = json.dumps(sandbox.join_body(channel)).encode()
            tls.sendall((
                "POST /api/conversational-ai-agent/v2/projects/"
                f"{sandbox.app_id}/join HTTP/1.1\r\nHost: x\r\n"
                "Content-Type: application/json\r\n"
                f"Authorization: agora token={sandbox.token(channel, UID)}"
                f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
            tls.settimeout(0.3)
            with pytest.raises(TimeoutError):
                tls.recv(1)
    assert len(sandbox.running()) == alive


def test_channel_name_retry_after(sandbox):
    answer = sandbox.join("fault-429-after-99999999999")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "99999999999"


def test_channel_name_is_for_the_leave(sandbox):
    agent_id = sandbox.join("fault-leave-stoppingx1").json()["agent_id"]
    first, second = sandbox.leave(agent_id), sandbox.leave(agent_id)
    assert "shutting down" in first.json()["detail"]
    assert (first.status, second.status) == (400, 200)


def test_channel_name_conflict_with_id(sandbox):
    agent_id = sandbox.join("fault-conflict-task").json()["agent_id"]
    answer = sandbox.join("fault-conflict-task")
    assert (answer.status, answer.json()["taskId"]) == (409, agent_id)


@pytest.mark.parametrize("name", sorted(faults.NAMED))
def test_every_named_fault_is_a_legal_channel_and_fault(name):
    channel = f"fault-{name}"
    assert faults.from_channel(channel).do == faults.NAMED[name]
    assert re.fullmatch(r"[a-z0-9-]{1,63}", channel)


@pytest.mark.parametrize("channel", [
    "room", "fault-", "fault-xyz", "xfault-503", "fault-5030", "fault-slow-"])
def test_other_channel_names_are_no_faults(channel):
    assert faults.from_channel(channel) is None


# -- Certificates -----------------------------------------------------------

@pytest.mark.parametrize("kind, text", [
    ("expired", "expired"), ("wrong-host", "mismatch"),
    ("self-signed", "self-signed")])
def test_bad_certificate_on_request(sandbox, kind, text):
    sandbox.certificate(kind)
    try:
        with pytest.raises(ssl.SSLCertVerificationError, match=text):
            sandbox.join("room")
        assert sandbox.ledger() == []
    finally:
        sandbox.certificate("good")
    assert sandbox.join("room").status == 200


def test_unknown_certificate_kind_is_refused(sandbox):
    with pytest.raises(ValueError, match="none of"):
        sandbox.certificate("golden")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1",
                                  *certificates.POOL])
def test_certificate_is_good_for(sandbox, name):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    with tcp(sandbox) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            assert tls.version() == "TLSv1.3"


# -- The program ------------------------------------------------------------

def test_term_ends_it_with_idle_connections(tmp_path):
    with Sandbox(tmp_path) as sandbox:
        context = ssl.create_default_context(cafile=sandbox.ca_file)
        idle = [context.wrap_socket(
            tcp(sandbox),
            server_hostname="localhost") for _ in range(20)]
        half = tcp(sandbox)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(sandbox.join, "fault-hang")
            while not sandbox.ledger():
                time.sleep(0.01)
            started = time.monotonic()
            sandbox.stop()
            assert time.monotonic() - started < 1
            with pytest.raises((ConnectionError, ssl.SSLError)):
                waiting.result()
        for sock in (*idle, half):
            sock.close()


def test_ends_with_its_parent(tmp_path):
    """A killed test run closes the pipe as its last act."""
    with Sandbox(tmp_path) as sandbox:
        sandbox.process.stdin.close()
        assert sandbox.process.wait(5) == 0


def test_authority_outlives_a_restart(tmp_path):
    """Programs that trust it need no restart of their own."""
    sandbox = Sandbox(tmp_path)
    with sandbox:
        with open(sandbox.ca_file, "rb") as file:
            before = file.read()
    with sandbox:
        with open(sandbox.ca_file, "rb") as file:
            assert file.read() == before
        assert sandbox.join("room").status == 200


def test_no_key_is_readable_by_others(sandbox):
    keys = [n for n in os.listdir(sandbox.folder) if n.endswith(".key")]
    assert keys
    for name in keys:
        mode = os.stat(os.path.join(sandbox.folder, name)).st_mode
        assert mode & 0o077 == 0, name


def test_idle_agents_end_when_time_runs_faster(tmp_path):
    with Sandbox(tmp_path, "--idle", "100") as sandbox:
        agent_id = sandbox.join("room").json()["agent_id"]
        assert len(sandbox.running()) == 1
        time.sleep(0.35)
        assert sandbox.running() == []
        assert sandbox.leave(agent_id).status == 404
        assert sandbox.agents()[0]["message"] == "Idle for too long"


def test_plain_log_has_a_line_per_call(tmp_path):
    with Sandbox(tmp_path, "--plain-log") as sandbox:
        sandbox.join("room")
        lines = sandbox._text("stdout").splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d join room 200", lines[1])


def test_own_project(tmp_path):
    with Sandbox(tmp_path, app_id="a" * 32,
                 app_certificate="b" * 32) as sandbox:
        assert sandbox.join("room").status == 200
        assert sandbox.call("GET", "/agents", token=sandbox.token(
            certificate="c" * 32)).status == 401


def test_plain_http_is_not_https(tmp_path):
    with Sandbox(tmp_path, "--plain-http") as sandbox:
        assert sandbox.origin.startswith("http://")
        context = ssl.create_default_context(cafile=sandbox.ca_file)
        with tcp(sandbox) as plain:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname="localhost")
        assert sandbox.ledger() == []


def test_old_tls_is_refused_by_a_modern_client(tmp_path):
    with Sandbox(tmp_path, "--tls-max", "1.1") as sandbox:
        context = ssl.create_default_context(cafile=sandbox.ca_file)
        with tcp(sandbox) as plain:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname="localhost")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.deprecated_call():
            context.minimum_version = ssl.TLSVersion.TLSv1
        with tcp(sandbox) as plain:
            with context.wrap_socket(plain,
                                     server_hostname="localhost") as tls:
                assert tls.version() == "TLSv1.1"


def test_three_hundred_connections_at_once(sandbox):
    """Each waits for its answer while all the others are open."""
    sandbox.fault("join", delay_s=0.5)
    with concurrent.futures.ThreadPoolExecutor(300) as pool:
        answers = list(pool.map(lambda n: sandbox.join(f"room{n}"),
                                range(300)))
    assert {a.status for a in answers} == {200}
    assert len({a.json()["agent_id"] for a in answers}) == 300
    assert len(sandbox.running()) == 300
