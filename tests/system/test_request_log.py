"""The line of log of each request: complete, one that can be taken apart, and
with the id that the web server's own line has."""

import json
import re

import pytest

import fcgi_client
from processes import PATIENCE, wait_until
from transports import cgi_params, parse_cgi
from watch import WATCH

JSON = ("Content-Type", "application/json")
STRANGER = "203.0.113.9"  # of the documentation's addresses

LINE = re.compile(
    r"^<(?P<level>[46])>agora-agent: request endpoint=(?P<endpoint>\w+) "
    r"id=(?P<id>[\w.@-]+) method=(?P<method>[A-Za-z]+|-) "
    r"status=(?P<status>\d{3}) outcome=(?P<outcome>\w+) "
    r"ms=(?P<ms>\d+\.\d{3}) bytes=(?P<bytes>\d+)"
    r"( agora_ms=(?P<agora_ms>\d+\.\d{3}))?"
    r"( agora_status=(?P<agora_status>\d+)"
    r" agora_reason=(?P<agora_reason>\w*))?"
    r'( detail="(?P<detail>[^"]*)")?$')

UIDS = {"rtcUid": "5", "userUid": "6"}


def lines_of(program):
    """The lines of requests, taken apart."""
    return [LINE.match(line.decode()).groupdict()
            for line in program.log.lines() if b": request " in line]


def start(program, body, extra=()):
    """A start by the program itself."""
    data = json.dumps(body).encode()
    params = cgi_params("POST", "/startAgent", [JSON], data, extra)
    answer = fcgi_client.request(program.socket, params, data,
                                 timeout=30 * PATIENCE)
    return WATCH.answer("/startAgent", parse_cgi(answer.stdout))


def test_the_line_of_a_request(rig, programs, upstream):
    """Every field of it, for what went well and what did not."""
    program = programs.listen("start_agent", rig.env_file("default"), 1)
    refused = upstream.channel()
    upstream.fault(refused, status=403)
    answers = [
        start(program, {"channelName": upstream.channel(), **UIDS}),
        start(program, {"channelName": refused, **UIDS}),
        start(program, {"channelName": 'a"b"\\c'}),
        start(program, {"x": 1}, {"REQUEST_METHOD": "GET status=200",
                                  "REMOTE_ADDR": STRANGER})]
    wait_until(lambda: len(lines_of(program)) == 4, 5 * PATIENCE, "lines")
    good, bad, input_, method = lines_of(program)
    for line, answer in zip((good, bad, input_, method), answers):
        assert line["status"] == str(answer.status)
        assert line["bytes"] == str(len(answer.body))
        assert line["id"] == answer.header("X-Request-Id")
    assert (good["level"], good["outcome"], good["detail"]) == (
        "6", "success", None)
    assert 0 < float(good["agora_ms"]) <= float(good["ms"])
    assert (bad["level"], bad["outcome"]) == ("4", "agora")
    assert (bad["agora_status"], bad["agora_reason"]) == (
        "403", "ServiceNotEnabled")
    assert bad["detail"] == answers[1].json["detail"]
    assert (input_["level"], input_["outcome"]) == ("6", "bad_input")
    assert input_["agora_ms"] is None
    assert (method["method"], method["outcome"]) == ("GET", "method")
    assert STRANGER.encode() not in program.log.text()
    assert program.stop() == 0


@pytest.mark.parametrize("kind", ["nginx", "apache-proxy"])
def test_the_web_server_logs_the_same_id(rig, kind):
    """A complaint is looked up in either log."""
    web = rig.transport(kind)
    answers = [web.request("GET", "/get_config"),
               web.request("POST", "/v2/startAgent", [JSON], b"{}")]
    for answer, program in zip(answers, web.programs):
        name = answer.header("X-Request-Id")
        theirs = wait_until(lambda n=name: [
            line for line in web.server.access_lines() if n in line],
            5 * PATIENCE, "the web server's line")
        ours = wait_until(lambda n=name, p=program: [
            line for line in lines_of(p) if line["id"] == n],
            5 * PATIENCE, "our line")
        assert len(theirs) == len(ours) == 1
        if kind == "nginx":
            assert json.loads(theirs[0])["id"] == name
        else:
            assert theirs[0].split()[-1] == name
        assert ours[0]["status"] == str(answer.status)
