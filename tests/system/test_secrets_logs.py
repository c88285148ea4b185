"""What logs and caches must not have: tokens, bodies, forged lines. And the
watch over all tests (watch.py), which looks for secrets everywhere."""

import json
import os
import pathlib
import re
import subprocess

import pytest

import fcgi_client
import servers
from processes import wait_until
from programs import LOG_LINE
from transports import Answer, Http, cgi_params, parse_cgi
from watch import WATCH, Watch

JSON = ("Content-Type", "application/json")
CANARY = "canary7f3e9a1c5b2d8e4f6a0b"
REQUEST = re.compile(rb"agora-agent: request endpoint=")


# ---- H01: the watch itself --------------------------------------------------

@pytest.mark.parametrize("written", [
    "5CFd2fd1755d40ecb72977518be15d3b", "5cfd2fd1755d40ecb72977518be15d3b",
    "MDVDRmQyZmQxNzU1ZDQwZWNiNzI5Nzc1MThiZTE1ZDNi",  # base64, one byte off
    "35434664326664313735356434306563623732393737353138626531356433 62"
    .replace(" ", ""),
    r"\u0035\u0043\u0046\u0064\u0032\u0066\u0064\u0031\u0037\u0035\u0035"
    r"\u0064\u0034\u0030\u0065\u0063\u0062\u0037\u0032\u0039\u0037\u0037"
    r"\u0035\u0031\u0038\u0062\u0065\u0031\u0035\u0064\u0033\u0062",
])
def test_h01_the_watch_knows_a_secret_in_disguise(written):
    """In whatever way it may have been written."""
    watch = Watch()
    watch.keep_settings({"APP_CERTIFICATE":
                         "5CFd2fd1755d40ecb72977518be15d3b"})
    watch.search("log", b"before " + written.encode() + b" after")
    assert watch.found == [("log", [b"APP_CERTIFICATE"])]


@pytest.mark.parametrize("before", range(9))
def test_h01_the_watch_finds_it_wherever_it_stands(before):
    """The shortest secret and an agent's id, at the end of a text too."""
    watch = Watch()
    watch.keep("LLM_API_KEY", CANARY[:16])
    watch.keep_agent(b"A1" * 13)
    watch.search("log", b"." * before + CANARY[:16].encode())
    watch.search("log", b"." * before + b"A1" * 13)
    watch.search("log", b"." * before + CANARY[:15].encode() + b"A1" * 12)
    assert watch.found == [("log", [b"LLM_API_KEY"]), ("log", [b"A1" * 13])]


def test_h01_the_watch_knows_tokens_and_agents():
    """A token may be in the answer to get_config, once, and nowhere else."""
    watch = Watch()
    token = "007eJ" + "x" * 60
    body = json.dumps({"code": 0, "data": {"token": token}}, separators=(
        ",", ":")).encode()
    watch.answer("/get_config?uid=1", Answer(200, [], body))
    watch.answer("/v2/startAgent", Answer(
        200, [], b'{"code":0,"data":{"agent_id":"%s"}}' % (b"A1" * 13)))
    assert not watch.found
    watch.answer("/v2/startAgent", Answer(200, [], body))
    watch.answer("/get_config", Answer(200, [("X", token)], body,
                                       b"X: " + token.encode()))
    watch.search("log", token.encode())
    watch.search("log", b"/agents/" + b"A1" * 13 + b"/leave")
    assert [where for where, _ in watch.found] == [
        "answer to /v2/startAgent", "answer to /get_config", "log", "log"]


def test_h01_the_watch_sees_processes_and_files(tmp_path):
    """The environment and command line of a running one; all of a folder."""
    watch = Watch()
    watch.keep("LLM_API_KEY", CANARY)
    with subprocess.Popen(["sleep", "60"], env={"X": CANARY}) as process:
        # It is empty for a moment after the program was loaded.
        path = pathlib.Path(f"/proc/{process.pid}/environ")
        wait_until(path.read_bytes, 10, "its environment")
        watch.process(process.pid)
        process.kill()
    (tmp_path / "below").mkdir()
    (tmp_path / "below/file").write_text(CANARY, encoding="ascii")
    watch.files(tmp_path)
    assert [where for where, _ in watch.found] == [
        "/proc/PID/environ", str(tmp_path / "below/file")]


@pytest.mark.parametrize("kind", ["fastcgi", "nginx", "apache-proxy",
                                  "apache-fcgid"])
def test_h01_every_transport_is_watched(rig, kind):
    """With keys of one's own, and logs at the highest level."""
    transport = rig.transport(kind, "issued")
    before = WATCH.looked["answers"]
    data = transport.request("GET", "/get_config").json["data"]
    body = json.dumps({"channelName": data["channel_name"],
                       "rtcUid": data["agent_uid"], "userUid": data["uid"]})
    answer = transport.request("POST", "/v2/startAgent", [JSON],
                               body.encode())
    assert answer.status == 200, answer.body
    assert WATCH.looked["answers"] == before + 2
    assert answer.json["data"]["agent_id"].encode() in WATCH.agents
    join = rig.upstream.join(data["channel_name"])
    for key in (join["properties"]["llm"]["api_key"],
                join["properties"]["asr"]["params"]["key"],
                join["properties"]["tts"]["params"]["key"]):
        assert WATCH.secrets_in(key.encode())


# ---- H07: a thousand errors -------------------------------------------------

def error_requests(upstream):
    """Requests that fail in different ways, with canaries in each part."""
    faulty = upstream.channel()
    upstream.fault(faulty, status=403, body={
        "detail": f"{CANARY} agora token=0{CANARY}", "reason": "Denied"})
    start = {"channelName": "x", "rtcUid": "1", "userUid": "2"}
    secret = [JSON, ("Authorization", f"Bearer {CANARY}"),
              ("X-Api-Key", CANARY), ("Cookie", CANARY)]
    return [
        ("POST", "/v2/startAgent", f'{{"channelName": "{CANARY}'),
        ("POST", "/v2/startAgent", json.dumps({
            **start, "channelName": CANARY + "\n"})),
        ("POST", "/v2/startAgent", json.dumps({**start, "rtcUid": [CANARY]})),
        ("POST", "/v2/startAgent", json.dumps({
            **start, "channelName": faulty, "token": CANARY})),
        ("POST", "/v2/stopAgent", json.dumps({"agentId": CANARY})),
        ("POST", "/v2/stopAgent", json.dumps({"agentId": CANARY + "/.."})),
        ("GET", f"/get_config?uid={CANARY}", ""),
        ("GET", f"/get_config?channel={CANARY * 4}", ""),
    ], secret


@pytest.mark.parametrize("kind", ["fastcgi", "nginx", "apache-proxy",
                                  "apache-fcgid"])
def test_h07_a_thousand_errors_show_nothing(rig, kind):
    """In the FCGI stderr stream (transports.py), the programs' logs, and
    those of the web server; and each is one line."""
    transport = rig.transport(kind)
    requests, secret = error_requests(rig.upstream)
    logs = rig.programs.logs
    before = sum(len(REQUEST.findall(log.text())) for log in logs)
    for number in range(1000):
        method, path, body = requests[number % len(requests)]
        headers = secret if body else secret[1:]
        answer = transport.request(method, path, headers, body.encode())
        assert answer.status in (400, 404, 500), answer.body
    if kind != "apache-fcgid":  # Apache has its stderr
        wait_until(lambda: sum(len(REQUEST.findall(log.text()))
                               for log in logs) >= before + 1000, 10, "lines")
    text = b"".join(log.text() for log in logs)
    if kind != "apache-fcgid":
        assert len(REQUEST.findall(text)) - before == 1000
    if hasattr(transport, "server"):
        for path in (transport.server.folder / "log").iterdir():
            text += path.read_bytes()
    assert CANARY.encode() not in text
    assert b"agora token=0" not in text


# ---- H09: caches ------------------------------------------------------------

@pytest.mark.parametrize("kind", ["cgi", "fastcgi", "nginx", "apache-proxy",
                                  "apache-fcgid", "apache-cgi"])
def test_h09_every_answer_forbids_storing(rig, kind):
    """Good ones, errors and HEAD."""
    transport = rig.transport(kind)
    for method, path in (("GET", "/get_config"), ("HEAD", "/get_config"),
                         ("GET", "/get_config?uid=x"), ("GET",
                                                        "/v2/startAgent")):
        answer = transport.request(method, path)
        assert answer.header("Cache-Control") == "no-store", (method, path)


CACHE = ("fastcgi_cache_path {}/cache keys_zone=all:1m;\n"
         "upstream agora_agent_get_config {{")
CACHED = ("fastcgi_cache all;\nfastcgi_cache_key $request_uri;\n"
          "fastcgi_cache_valid any 10m;\n{}")


@pytest.mark.parametrize("ignore", ["", "fastcgi_ignore_headers "
                                        "Cache-Control;"],
                         ids=["obeys", "ignores"])
def test_h09_a_cache_of_nginx_stores_no_token(rig, folder, ignore):
    """Were it on (the shipped file has it off): two visitors, two tokens;
    unless nginx is told not to listen, which shows that the cache works."""
    program = rig.programs.listen("get_config", rig.env_file("default"))
    server = servers.Nginx(
        folder, sockets={"get_config": program.socket}, replace=[
            ("nginx/agora-agent.conf", "upstream agora_agent_get_config {",
             CACHE.format(folder)),
            ("nginx/snippets/agora-agent/common.conf", "fastcgi_cache off;",
             CACHED.format(ignore))])
    try:
        http = Http("nginx", server)
        tokens = {http.request("GET", "/get_config").json["data"]["token"]
                  for _ in range(4)}
        stored = [name for _, _, names in os.walk(folder / "cache")
                  for name in names]
        if ignore:  # the second may come before the first is stored
            assert len(tokens) < 4 and stored
        else:
            assert len(tokens) == 4 and not stored
    finally:
        server.stop()
        program.stop()


# ---- H12: hostile lines -----------------------------------------------------

FORGED = "\r\n<3>agora-agent: forged\r\n\x1b[2J\x00\x7f\u2028\xff"
HOSTILE = {
    "method": ({"REQUEST_METHOD": "GET" + FORGED}, b""),
    "long method": ({"REQUEST_METHOD": "G" * 10240}, b""),
    "query": ({"QUERY_STRING": "uid=" + FORGED}, b""),
    "long query": ({"QUERY_STRING": "channel=" + "x" * 10240}, b""),
    "id": ({"REQUEST_ID": "a" + FORGED}, b""),
    "long id": ({"REQUEST_ID": "a" * 10240}, b""),
    "length": ({"CONTENT_LENGTH": "5" + FORGED}, b""),
    "type": ({"CONTENT_TYPE": "text/x" + FORGED, "REQUEST_METHOD": "POST"},
             b"x"),
    "channel": ({"REQUEST_METHOD": "POST"}, json.dumps({
        "channelName": FORGED, "rtcUid": "1", "userUid": "1"}).encode()),
    "long channel": ({"REQUEST_METHOD": "POST"}, json.dumps({
        "channelName": "x" * 10240, "rtcUid": "1",
        "userUid": "1"}).encode()),
    "agent": ({"REQUEST_METHOD": "POST"},
              json.dumps({"agentId": FORGED}).encode()),
}


@pytest.mark.parametrize("endpoint", servers.ENDPOINTS)
@pytest.mark.parametrize("case", HOSTILE)
def test_h12_a_request_is_one_line(rig, endpoint, case):
    """Escaped and cut, whatever is in it."""
    program = rig.transport("fastcgi").program[endpoint]
    change, body = HOSTILE[case]
    params = cgi_params("POST" if body else "GET", "/get_config", [JSON],
                        body)
    params.update(change)
    before = len(program.log.lines())
    answer = parse_cgi(fcgi_client.request(program.socket, params,
                                           body).stdout)
    # Lines are written when a round of the loop is over.
    lines = wait_until(lambda: [line for line in program.log.lines()[before:]
                                if REQUEST.search(line)], 10, "its line")
    assert len(lines) == 1 and LOG_LINE.match(lines[0]), lines
    assert len(lines[0]) < 1024
    assert f"status={answer.status} ".encode() in lines[0]
    assert b"forged" not in lines[0] or b"\\x0d\\x0a<3>" in lines[0]
    assert not [line for line in program.log.lines()[before:]
                if line.startswith(b"<3>agora-agent: forged")]
