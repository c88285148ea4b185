"""FastCGI spoken directly, and spoken badly: nobody else may suffer."""

import json
import os
import resource
import socket
import subprocess
import time

import pytest

import fcgi_client as fc
from checks import JSON, OWN_CHANNEL, refused, succeeded
from processes import PATIENCE, SANITIZED, WRAPPED, wait_until
from transports import cgi_params, parse_cgi

GET = cgi_params("GET", "/get_config", [], b"")
SILENCE = 5.0   # seconds until a silent connection is closed


def get(path, **changes):
    """One good get_config request."""
    return parse_cgi(fc.request(path, {**GET, **changes},
                                timeout=30 * PATIENCE).stdout)


def post_params(path, body, headers=(JSON,), **changes):
    """The parameters of a POST."""
    return {**cgi_params("POST", path, headers, body), **changes}


def start_body(upstream):
    """The body of a good start in a new channel."""
    return json.dumps({"channelName": upstream.channel(), "rtcUid": "5",
                       "userUid": "6"}).encode()


def rss_kib(pid):
    """Resident memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.fixture(scope="module", name="single")
def single_process(rig):
    """get_config in one process: whatever blocks it blocks everybody."""
    return rig.programs.listen("get_config", rig.env_file("default"), 0)


@pytest.fixture(scope="module", name="starter")
def single_starter(rig):
    """start_agent in one process."""
    return rig.programs.listen("start_agent", rig.env_file("default"), 0)


# -- What is not a request ---------------------------------------------------

BEGIN_AND_PARAMS = fc.begin() + fc.stream(fc.PARAMS, 1, fc.pairs(GET))

NO_REQUESTS = {
    "version 2": fc.begin(version=2),
    "version 0": fc.begin(version=0),
    "version 2 later": fc.begin() + fc.record(fc.PARAMS, 1, b"", version=2),
    "role authorizer": fc.begin(role=2),
    "role filter": fc.begin(role=3),
    "role 77": fc.begin(role=77),
    "request id 0": fc.begin(request_id=0),
    "GET_VALUES": fc.record(fc.GET_VALUES, 0,
                            fc.pairs({"FCGI_MAX_CONNS": ""})),
    "a crowd of GET_VALUES": fc.record(
        fc.GET_VALUES, 0, fc.pairs([("FCGI_MPXS_CONNS", "")] * 40)),
    "GET_VALUES inside a request": fc.begin() + fc.record(
        fc.GET_VALUES, 0, fc.pairs({"FCGI_MAX_CONNS": ""})),
    "unknown management type": fc.record(99, 0, b"x"),
    "unknown type": fc.record(99, 1, b"x"),
    "unknown type inside": fc.begin() + fc.record(99, 1, b"x"),
    "ABORT first": fc.record(fc.ABORT_REQUEST, 1),
    "ABORT after BEGIN": fc.begin() + fc.record(fc.ABORT_REQUEST, 1),
    "ABORT in the body": BEGIN_AND_PARAMS + fc.record(fc.ABORT_REQUEST, 1),
    "PARAMS first": fc.stream(fc.PARAMS, 1, fc.pairs(GET)),
    "STDIN before PARAMS": fc.begin() + fc.record(fc.STDIN, 1, b"x"),
    "BEGIN twice": fc.begin() + fc.begin(),
    "BEGIN too short": fc.record(fc.BEGIN_REQUEST, 1, b"\0\1\0"),
    "BEGIN too long": fc.record(fc.BEGIN_REQUEST, 1, b"\0\1" + b"\0" * 10),
    "PARAMS that end in a name": fc.begin() + fc.stream(
        fc.PARAMS, 1, fc.pairs(GET) + b"\x0a\x05REQ"),
    "PARAMS that end in a length": fc.begin() + fc.stream(
        fc.PARAMS, 1, fc.pairs(GET) + b"\x80\0"),
    "HTTP": b"GET /get_config HTTP/1.0\r\n\r\n",
    "noise": bytes(range(255, 0, -1)),
    "DATA": fc.begin() + fc.record(fc.DATA, 1, b"x"),
}


@pytest.mark.parametrize("name", NO_REQUESTS)
def test_b01_no_request_closes_the_connection(single, name):
    """What no web server sends ends the connection, and nothing else."""
    with fc.Connection(single.socket) as bad:
        bad.send(NO_REQUESTS[name])
        assert bad.ended(2 * PATIENCE), "still open"
        assert not bad.received, "something was answered"
    succeeded(get(single.socket))
    assert single.process.poll() is None


@pytest.mark.parametrize("lengths", [
    b"\xff\xff\xff\xfe\x01", b"\x01\xff\xff\xff\xfe",
    b"\xc0\x00\x00\x00\xc0\x00\x00\x00", b"\x80\x01\x00\x01\x00"])
def test_b02_enormous_lengths_cost_nothing(single, lengths):
    """24 bytes that announce gigabytes are refused as they arrive."""
    before = rss_kib(single.pid)
    with fc.Connection(single.socket) as bad:
        bad.send(fc.begin() + fc.record(fc.PARAMS, 1, lengths + b"x" * 8))
        refused(parse_cgi(bad.read_answer().stdout), 431)
    succeeded(get(single.socket))
    assert rss_kib(single.pid) - before < 16 * 1024  # not gigabytes


def test_b03_b04_silence_delays_nobody(single):
    """Connections that say nothing, or half a thing, are closed after the
    limit; until then they cost others nothing."""
    halves = {"nothing": b"", "one byte": b"\x01", "half a header":
              fc.begin()[:5], "BEGIN": fc.begin(),
              "PARAMS without end": fc.begin() + fc.stream(
                  fc.PARAMS, 1, fc.pairs(GET), end=False),
              "STDIN without end": BEGIN_AND_PARAMS + fc.record(
                  fc.STDIN, 1, b"abc"),
              "no STDIN": BEGIN_AND_PARAMS,
              "half a STDIN": BEGIN_AND_PARAMS + fc.record(
                  fc.STDIN, 1, b"abcdef")[:10]}
    parked = fc.Connection(single.socket, 30 * PATIENCE)
    succeeded(parse_cgi(parked.request(GET, keep=True).stdout))
    waiting = {name: fc.Connection(single.socket) for name in halves}
    begun = time.monotonic()
    for name, connection in waiting.items():
        connection.send(halves[name])
    longest = 0.0
    while time.monotonic() - begun < SILENCE - 1:
        asked = time.monotonic()
        succeeded(get(single.socket))
        longest = max(longest, time.monotonic() - asked)
        time.sleep(0.2)
    assert longest < 0.5 * PATIENCE
    for name, connection in waiting.items():
        assert not connection.ended(0), f"{name}: closed too early"
    for name, connection in waiting.items():
        left = begun + SILENCE + 2 * PATIENCE - time.monotonic()
        assert connection.ended(max(left, 0)), f"{name}: still open"
        connection.close()
    # Parked after an answer is not silent in the middle of one.
    succeeded(parse_cgi(parked.request(GET, keep=True).stdout))
    parked.close()


def test_b04_a_thousand_silent_connections(single):
    """A valid request among them is answered at once."""
    count = 100 if WRAPPED else 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (min(hard, count + 200), hard))
    silent = [fc.Connection(single.socket) for _ in range(count)]
    try:
        asked = time.monotonic()
        succeeded(get(single.socket))
        assert time.monotonic() - asked < 1.0 * PATIENCE
    finally:
        for connection in silent:
            connection.close()


def test_b07_three_hundred_large_parameters(single):
    """18 MB of parameters are refused without being kept."""
    before = rss_kib(single.pid)
    params = fc.pairs([*GET.items(), *((f"X{i}", "v" * 60000)
                                       for i in range(300))])
    with fc.Connection(single.socket) as bad:
        try:
            bad.send(fc.begin() + fc.stream(fc.PARAMS, 1, params))
        except OSError:
            pass  # it was closed on the way, as it should
        try:
            answer = parse_cgi(bad.read_answer().stdout)
        except (OSError, fc.ConnectionEnded):
            answer = None
    if answer is not None:
        refused(answer, 431)
    succeeded(get(single.socket))
    assert rss_kib(single.pid) - before < 32 * 1024


def test_b07_many_tiny_parameters(single):
    """20,000 of them stay under the limit in bytes or are refused."""
    tiny = [(f"A{i}", "") for i in range(5000)]
    with fc.Connection(single.socket) as connection:
        answer = connection.request([*GET.items(), *tiny])
        succeeded(parse_cgi(answer.stdout))
    tiny = [(f"A{i}", "") for i in range(20000)]
    with fc.Connection(single.socket) as connection:
        connection.send(fc.begin() + fc.stream(fc.PARAMS, 1, fc.pairs(tiny)))
        refused(parse_cgi(connection.read_answer().stdout), 431)


def test_b08_a_second_request_on_the_connection(single):
    """FCGI_CANT_MPX_CONN for it, and the first one is served."""
    with fc.Connection(single.socket) as connection:
        connection.send(fc.begin(1) + fc.begin(2)
                        + fc.stream(fc.PARAMS, 1, fc.pairs(GET))
                        + fc.stream(fc.STDIN, 1, b""))
        kind, request_id, content = connection.read_record()
        assert (kind, request_id) == (fc.END_REQUEST, 2)
        assert content[4] == fc.CANT_MPX_CONN
        succeeded(parse_cgi(connection.read_answer(1).stdout))
    succeeded(get(single.socket))


# -- What is a request, however it is cut ------------------------------------

@pytest.mark.parametrize("how", [
    {"chunk": 1}, {"chunk": 7}, {"chunk": 100, "padding": 255},
    {"chunk": 8, "padding": 8}, {"padding": 7}, {"request_id": 65535},
    {"request_id": 256}],
    ids=str)
def test_any_cutting_into_records(starter, upstream, how):
    """Record boundaries and padding mean nothing."""
    body = start_body(upstream)
    with fc.Connection(starter.socket, 30 * PATIENCE) as connection:
        answer = connection.request(post_params("/v2/startAgent", body),
                                    body, **how)
    data = succeeded(parse_cgi(answer.stdout))["data"]
    assert data["channel_name"] == json.loads(body)["channelName"]


def test_a_request_that_arrives_in_pieces(single):
    """A slow but honest sender is served, wherever the pieces end."""
    data = fc.request_bytes({name: GET[name] for name in
                             ("REQUEST_METHOD", "QUERY_STRING")})
    for size in (2, 3, 7, 8, 9):
        with fc.Connection(single.socket, 30 * PATIENCE) as connection:
            for at in range(0, len(data), size):
                connection.send(data[at:at + size])
                time.sleep(0.001)
            succeeded(parse_cgi(connection.read_answer().stdout))


def test_the_largest_request(starter, upstream):
    """64 KiB of parameters and 16 KiB of body are still one request."""
    for chunk in (fc.CONTENT_MAX, 8192):
        body = start_body(upstream)
        body = body[:-1] + b',"pad":"' + b"p" * (16384 - len(body) - 9) + b'"}'
        assert len(body) == 16384
        params = post_params("/v2/startAgent", body)
        room = 65536 - len(fc.pairs(params)) - len(fc.pair("HTTP_X", "")) - 3
        params["HTTP_X"] = "x" * room
        answer = fc.request(starter.socket, params, body, chunk=chunk,
                            timeout=30 * PATIENCE)
        succeeded(parse_cgi(answer.stdout))
    params["HTTP_X"] += "x" * 10
    refused(parse_cgi(fc.request(starter.socket, params, body).stdout), 431)


def test_padding_is_no_data(single):
    """What lies in the padding of a record is nobody's; with records that
    libfcgi stumbles over, the connection may be closed, but not wait."""
    hidden = fc.record(fc.STDIN, 1, b"x" * 200)[:8]
    for kind in (fc.PARAMS, fc.STDIN):
        last = bytearray(fc.record(kind, 1, b"", 8))
        last[8:] = hidden
        begin = fc.begin() + fc.stream(fc.PARAMS, 1, fc.pairs(GET),
                                       end=False)
        end = (bytes(last) + fc.record(fc.STDIN, 1)
               if kind == fc.PARAMS else
               fc.record(fc.PARAMS, 1) + bytes(last))
        with fc.Connection(single.socket, 30 * PATIENCE) as connection:
            connection.send(begin + end)
            asked = time.monotonic()
            succeeded(get(single.socket))
            assert time.monotonic() - asked < min(PATIENCE, 3), kind
            try:
                succeeded(parse_cgi(connection.read_answer().stdout))
            except (fc.ConnectionEnded, OSError):
                pass  # refused


def test_half_closed_connection_is_answered(single):
    """A peer that shuts its sending side down still gets its answer."""
    with fc.Connection(single.socket) as connection:
        connection.send(fc.request_bytes(GET))
        connection.sock.shutdown(socket.SHUT_WR)
        succeeded(parse_cgi(connection.read_answer().stdout))


def test_a_peer_that_leaves_at_once(single):
    """Nobody is there for the answer; the next one is served."""
    for _ in range(50):
        with fc.Connection(single.socket) as connection:
            connection.send(fc.request_bytes(GET))
    succeeded(get(single.socket))
    assert single.process.poll() is None


def test_without_keep_the_connection_ends(single):
    """FCGI_KEEP_CONN off: closed after the answer."""
    with fc.Connection(single.socket) as connection:
        succeeded(parse_cgi(connection.request(GET).stdout))
        assert connection.ended(2 * PATIENCE)


def test_64_kept_connections_on_one_process(single):
    """All are served round after round; parked ones cost no turn."""
    kept = [fc.Connection(single.socket, 10 * PATIENCE) for _ in range(64)]
    channels = set()
    try:
        for _ in range(5):
            asked = time.monotonic()
            for connection in kept:
                connection.send(fc.request_bytes(GET, keep=True))
            for connection in kept:
                answer = parse_cgi(connection.read_answer().stdout)
                channels.add(succeeded(answer)["data"]["channel_name"])
            assert time.monotonic() - asked < 2 * PATIENCE
        assert len(channels) == 64 * 5
        succeeded(get(single.socket))
    finally:
        for connection in kept:
            connection.close()


# -- JSON --------------------------------------------------------------------

def test_a05_nesting_costs_neither_time_nor_memory(starter, upstream):
    """33 levels, or as many as fit into a body, in a member that nobody
    asked for: refused in no time and without a trace."""
    for levels in (33, 8000):
        body = start_body(upstream)[:-1] + b',"x":' + b"[" * levels
        body += b"]" * levels + b"}"
        params = post_params("/v2/startAgent", body)
        fastest, before = 9.0, 0
        for number in range(40):
            if number == 20:
                before = rss_kib(starter.pid)
            asked = time.monotonic()
            answer = fc.request(starter.socket, params, body,
                                timeout=30 * PATIENCE)
            fastest = min(fastest, time.monotonic() - asked)
            refused(parse_cgi(answer.stdout), 400)
        assert fastest < 0.01 * PATIENCE, levels
        if not SANITIZED:  # which keeps what was freed
            assert rss_kib(starter.pid) - before < 1024, levels


# -- Unread bodies must not become requests ----------------------------------

def inner_request():
    """A request as an attacker would hide it in a body."""
    return fc.request_bytes({**GET, "REQUEST_ID": "smuggled",
                             "REMOTE_ADDR": "127.0.0.1"}, keep=True)


def no_smuggling(path, params, body, good, good_body, status):
    """A refused request with records in its body, on a kept connection: the
    next answer is for the next request, or the connection has ended."""
    with fc.Connection(path, 30 * PATIENCE) as connection:
        answer = parse_cgi(connection.request(params, body,
                                              keep=True).stdout)
        refused(answer, status)
        try:
            connection.send(fc.request_bytes(
                {**good, "REQUEST_ID": "honest"}, good_body, keep=True))
            answer = parse_cgi(connection.read_answer().stdout)
        except (fc.ConnectionEnded, OSError):
            return
        assert answer.header("X-Request-Id") == "honest"
        assert not connection.ended(0.2) and not connection.received


@pytest.mark.parametrize("size", [0, 1000, 16384])
def test_smuggling_in_a_body_of_get_config(single, size):
    """405 leaves nothing behind."""
    body = inner_request() + b"x" * size
    body = body[:max(size, len(inner_request()))]
    no_smuggling(single.socket, post_params("/get_config", body), body,
                 GET, b"", 405)
    text = single.log.text()
    assert b"id=smuggled" not in text


@pytest.mark.parametrize("status, changes, size", [
    (415, {"CONTENT_TYPE": "text/html"}, 0), (400, {}, 0),
    (400, {"CONTENT_LENGTH": "3"}, 0), (413, {}, 20000), (413, {}, 300000),
    (405, {"REQUEST_METHOD": "PUT"}, 0), (405, {"REQUEST_METHOD": "PUT"},
                                          60000)])
def test_smuggling_in_a_body_of_start(starter, upstream, status, changes,
                                      size):
    """Nor do 415, 400 and 413, wherever the records lie in the body."""
    inner = start_body(upstream)
    hidden = fc.request_bytes(
        post_params("/v2/startAgent", inner, REQUEST_ID="smuggled"), inner,
        keep=True)
    body = b"y" * size + hidden
    good = start_body(upstream)
    no_smuggling(starter.socket,
                 post_params("/v2/startAgent", body, **changes), body,
                 post_params("/v2/startAgent", good), good, status)
    assert b"id=smuggled" not in starter.log.text()
    assert not upstream.joins(json.loads(inner)["channelName"])


def test_smuggling_past_a_short_content_length(starter, upstream):
    """STDIN's end counts, not the number in CONTENT_LENGTH."""
    good = start_body(upstream)
    inner = start_body(upstream)
    body = good + fc.request_bytes(
        post_params("/v2/startAgent", inner), inner, keep=True)
    params = post_params("/v2/startAgent", body,
                         CONTENT_LENGTH=str(len(good)))
    no_smuggling(starter.socket, params, body,
                 post_params("/v2/startAgent", good), good, 400)
    assert not upstream.joins(json.loads(inner)["channelName"])


def test_two_requests_in_one_write(single):
    """Whatever becomes of the second, the first is answered, once."""
    with fc.Connection(single.socket) as connection:
        connection.send(fc.request_bytes({**GET, "REQUEST_ID": "one"},
                                         keep=True)
                        + fc.request_bytes({**GET, "REQUEST_ID": "two"},
                                           keep=True))
        answer = parse_cgi(connection.read_answer().stdout)
        assert answer.header("X-Request-Id") == "one"
        try:
            answer = parse_cgi(connection.read_answer().stdout)
            assert answer.header("X-Request-Id") == "two"
        except (fc.ConnectionEnded, OSError):
            pass
    succeeded(get(single.socket))


# -- The log -----------------------------------------------------------------

HOSTILE = "x\r\n<3>agora-agent: forged\x1b[31m\x00\\" + "\u00e9" * 5000


@pytest.mark.parametrize("params", [
    {"REQUEST_METHOD": HOSTILE}, {"REQUEST_ID": HOSTILE},
    {"QUERY_STRING": "channel=" + HOSTILE},
    {"QUERY_STRING": "uid=%0d%0a%1b%00"},
    {"QUERY_STRING": "channel=" + "a%0d%0aforged" * 900},
    {"HTTP_USER_AGENT": HOSTILE}, {"REQUEST_URI": HOSTILE}],
    ids=lambda params: next(iter(params)))
def test_h12_one_escaped_line_per_request(single, params):
    """Nothing in a request makes a second line, or a long one."""
    before = len(single.log.lines())
    get(single.socket, **params)
    wait_until(lambda: len(single.log.lines()) > before, 2 * PATIENCE, "log")
    time.sleep(0.02)
    lines = single.log.lines()[before:]
    assert len(lines) == 1, lines
    assert lines[0].startswith(
        b"<6>agora-agent: request endpoint=get_config id=")
    assert len(lines[0]) <= 1024


def test_h12_the_log_has_the_id_method_status_and_time(single):
    """What an administrator looks a complaint up with."""
    before = len(single.log.lines())
    get(single.socket, REQUEST_ID="find-me")
    get(single.socket, REQUEST_METHOD="DELETE", REQUEST_ID="find-me-2")
    wait_until(lambda: len(single.log.lines()) >= before + 2, 2 * PATIENCE,
               "log")
    first, second = (line.decode() for line in single.log.lines()[before:])
    for line, words in ((first, ("find-me", "GET", "200")),
                        (second, ("find-me-2", "DELETE", "405"))):
        assert f" id={words[0]} " in line
        assert f" method={words[1]} " in line
        assert f" status={words[2]} " in line
        assert " ms=" in line


def test_h01_nothing_secret_is_logged(rig, starter, upstream):
    """Neither tokens nor keys nor bodies, at the highest level."""
    settings = upstream.settings(LOG_LEVEL="debug", LLM_API_KEY="canary-llm",
                                 TTS_ELEVENLABS_API_KEY="canary-tts",
                                 ASR_DEEPGRAM_API_KEY="canary-asr")
    env_file = rig.programs.env_file(settings)
    program = {name: rig.programs.listen(name, env_file, 0)
               for name in ("get_config", "start_agent", "stop_agent")}
    token = succeeded(get(program["get_config"].socket))["data"]["token"]
    body = start_body(upstream)
    answer = fc.request(program["start_agent"].socket,
                        post_params("/v2/startAgent", body), body,
                        timeout=30 * PATIENCE)
    agent_id = succeeded(parse_cgi(answer.stdout))["data"]["agent_id"]
    for _ in range(2):
        body = json.dumps({"agentId": agent_id}).encode()
        fc.request(program["stop_agent"].socket,
                   post_params("/v2/stopAgent", body), body,
                   timeout=30 * PATIENCE)
    for one in program.values():
        one.stop()
        text = one.log.text()
        for secret in (token, "007e", upstream.certificate, "canary",
                       agent_id):
            assert secret.encode() not in text, secret
    assert starter.process.poll() is None


# -- CGI----------------------------------------------------------------------

def test_b12_cgi_ignores_its_arguments(rig):
    """A query string may arrive as argv; it is no option."""
    cgi = rig.transport("cgi")
    for argument in ("--help", "--check", "--version", "--listen"):
        done = cgi.run("get_config", GET, arguments=[argument, "/tmp/x"])
        assert done.returncode == 0
        succeeded(parse_cgi(done.stdout))


def test_b12_cgi_with_only_the_method(rig):
    """REQUEST_METHOD alone makes it a CGI program."""
    done = rig.transport("cgi").run("get_config", {"REQUEST_METHOD": "GET"})
    succeeded(parse_cgi(done.stdout))


def test_b06_cgi_body_shorter_than_announced(rig):
    """The body ended early: 400, no call."""
    body = b'{"agentId":"A1"}'
    params = post_params("/v2/stopAgent", body, CONTENT_LENGTH="17")
    done = rig.transport("cgi").run("stop_agent", params, body)
    refused(parse_cgi(done.stdout), 400)


def test_b06_b12_cgi_body_without_length(rig):
    """A chunked POST arrives without CONTENT_LENGTH, ended by EOF."""
    body = b'{"agentId":"NOBODY"}'
    params = post_params("/v2/stopAgent", body)
    del params["CONTENT_LENGTH"]
    done = rig.transport("cgi").run("stop_agent", params, body)
    refused(parse_cgi(done.stdout), 404)


def test_cgi_whose_peer_has_gone(rig):
    """Nobody reads the answer: it ends by itself, without a signal."""
    cgi = rig.transport("cgi")
    read_end, write_end = os.pipe()
    os.close(read_end)
    env = cgi.programs.environment({"AGORA_ENV_FILE": cgi.env_file, **GET})
    process = cgi.programs.spawn("get_config", [], env, cgi.log,
                                 stdout=write_end)
    os.close(write_end)
    assert process.wait(10 * PATIENCE) in (0, 1)


def test_b12_started_by_hand_it_explains_itself(rig):
    """No socket, no request: usage on stderr and exit status 2."""
    for endpoint in ("get_config", "start_agent", "stop_agent"):
        done = subprocess.run(
            [rig.programs.path(endpoint)], env=rig.programs.environment(),
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=10 * PATIENCE)
        assert done.returncode == 2
        assert b"usage:" in done.stderr and not done.stdout


def test_g01_g02_every_channel_is_new(single):
    """Within one second, no two visitors share anything."""
    count = 200 if WRAPPED else 2000
    seen, uids = set(), set()
    with fc.Connection(single.socket, 30 * PATIENCE) as connection:
        for _ in range(count):
            answer = parse_cgi(connection.request(GET, keep=True).stdout)
            data = succeeded(answer)["data"]
            assert OWN_CHANNEL.fullmatch(data["channel_name"])
            seen.add(data["channel_name"])
            uids.add(data["uid"])
            assert 1000 <= int(data["uid"]) <= 9999999
    assert len(seen) == count
    assert len(uids) > count * 0.99
