"""The recorded answers of the original service against ours.

Every exchange of tests/vectors/http-contract.json is sent again. What the
original accepted we must answer alike; where we answer differently, the name
of the exchange is in a table, with the reason. An exchange that differs and
is not listed fails, and so does one that is listed and does not differ.

Compared are the status, the body of every 200 of ours or theirs (without
what is random), what the tokens say, and of errors with the same status the
detail; those whose detail differs are in OTHER_WORDS. Every error of ours must
be the documented envelope, whatever the original said.
"""

import json
import re
import signal

import accesstoken
import pytest

from checks import refused, succeeded
from processes import PATIENCE, ROOT, wait_until
from transports import ROUTES, HttpConnection

VECTORS = ROOT / "tests/vectors/http-contract.json"
RECORDED = {exchange["name"]: exchange for exchange in
            json.loads(VECTORS.read_text(encoding="utf-8"))}
RECORDED_AGENT = "1NT29X10YHxxxxxWJOXLYHNYB"
CUT = re.compile(r"\.\.\.<(\d+) bytes in all>$")
SESSION = '", "rtcUid": "58888506", "userUid": "1234567"}'
CUT_ENDS = {  # what follows the filler that the recording leaves out
    "start_body_deep": ',"rtcUid":"1","userUid":"2"}',
    "start_body_very_deep": ',"rtcUid":"1","userUid":"2"}',
    "start_long_value_100k": SESSION,
    "start_channel_70k": SESSION,
    "start_large_body_2M_extra": '"}',
    "start_large_body_16M_extra": '"}',
}

# -- Where we differ, and why ------------------------------------------------

EVERYWHERE = {
    "400 with one sentence instead of 422 with a list, which the clients "
    "cannot show": """
        start_missing_channelName start_missing_rtcUid start_missing_userUid
        start_missing_two start_empty_object start_null_channelName
        start_int_channelName start_float_channelName start_bool_channelName
        start_list_channelName start_object_channelName
        start_bigint_channelName start_null_rtcUid start_float_rtcUid
        start_bool_rtcUid start_list_rtcUid start_object_rtcUid
        start_bigint_rtcUid start_null_userUid start_float_userUid
        start_bool_userUid start_list_userUid start_object_userUid
        start_bigint_userUid start_all_wrong_types start_wrong_case_keys
        start_body_array start_body_array_obj start_body_string
        start_body_number start_body_null start_body_true start_body_empty
        start_body_spaces start_body_truncated start_body_garbage
        start_body_trailing_comma start_body_single_quotes start_body_comment
        start_body_two_docs start_body_unescaped_newline
        stop_missing stop_null stop_int stop_array_body stop_empty_body
        stop_bad_json stop_snake_case_key unconfigured_start_bad_body
        unconfigured_stop_bad_body""",
    "a uid may be a JSON integer, as the later clients send it":
        "start_int_rtcUid start_int_userUid",
    "uid= is a renewal's parameter": "get_config_query",
    "415 for what is not JSON, which the original calls 422": """
        start_ctype_text start_ctype_form start_ctype_octet
        start_ctype_garbage start_form_body""",
    "text/plain is what a closing page can send": "stop_ctype_text",
    "a channel name is of Agora's alphabet": "start_ok_unicode "
                                             "start_ok_escapes",
    "JSON is UTF-8 without a byte order mark": "start_body_bom "
                                               "start_body_utf16",
    "bad JSON is the client's fault, not an internal error":
        "start_body_nan_field start_body_deep stop_lone_surrogate",
    "a body has at most 16 KiB": """
        start_long_value_100k start_large_body_2M_extra
        start_large_body_16M_extra start_channel_70k start_body_very_deep""",
    "HEAD of get_config is GET without the body": "get_config_head",
    "an agent id that cannot be one is bad input": """
        stop_empty_id stop_blank_id stop_padded_id stop_unknown_unicode
        stop_unknown_html empty_agent_id:stop""",
    "an answer of Agora without a usable id is no success": """
        start_upstream_200_no_id start_upstream_200_null_id
        start_upstream_200_number_id empty_agent_id:start""",
    "Agora's 404 is passed on": "stop_upstream_404",
    "no session is forgotten: a stop can be tried again": """
        stop_upstream_400:retry stop_upstream_401:retry
        stop_upstream_404:retry stop_upstream_409:retry
        stop_upstream_429:retry stop_upstream_500:retry
        stop_upstream_503:retry""",
}

NGINX = {
    "nginx answers a preflight, 204 without a body": """
        get_config_method_OPTIONS preflight_get_config
        preflight_get_config_headers preflight_v2_startAgent
        preflight_v2_startAgent_headers preflight_v2_stopAgent
        preflight_v2_stopAgent_headers preflight_method_DELETE
        preflight_method_unknown preflight_origin_null preflight_no_acrm
        preflight_private_network start_method_OPTIONS""",
    "no preflight for paths that are none of ours": "preflight_unknown_path",
    "no redirect: a trailing slash is another path": """
        get_config_trailing_slash get_config_trailing_slash_query
        start_trailing_slash start_trailing_slash_origin
        stop_trailing_slash""",
    "nginx merges slashes and resolves dots before it looks for a route":
        "get_config_double_slash get_config_dotdot",
    "nginx takes the absolute form of a URL, as RFC 9112 wants it":
        "get_config_absolute_form",
    "no documentation routes": """
        path_GET_/openapi.json path_GET_/docs path_GET_/redoc
        path_GET_/docs/oauth2-redirect""",
    "RFC 9112 5.2: folded headers are obsolete": "start_header_folding",
    "nginx's limits for heads": "huge_header long_url",
    "a start without a length has no body": "start_no_content_length",
    "cut JSON is 400": "start_content_length_short",
    "OPTIONS * asks about the server": "path_star",
}

# The same status, and the client shows another sentence.
OTHER_WORDS = {
    "405 says which method it would be": """
        get_config_method_POST get_config_method_PUT get_config_method_PATCH
        get_config_method_DELETE get_config_method_TRACE
        get_config_method_OPTIONS get_config_method_FOO
        get_config_post_origin start_method_GET start_method_PUT
        start_method_PATCH start_method_DELETE start_method_OPTIONS
        stop_method_GET stop_method_PUT stop_method_DELETE""",
    "404 is a sentence": """
        get_config_upper path_GET_/ path_GET_/nope path_GET_/v2 path_GET_/v2/
        path_GET_/favicon.ico path_GET_/health path_GET_/v1/startAgent
        path_GET_/v2/startagent path_unknown_origin path_unknown_post""",
    "members have the names that the client gave them": """
        start_empty_channelName start_blank_channelName start_empty_rtcUid
        start_blank_rtcUid start_empty_userUid start_blank_userUid""",
    "bad JSON is called that, without the insides of a codec": """
        start_body_lone_surrogate start_body_invalid_utf8 start_body_latin1
        start_gzip_body""",
    "Agora's headers and answers are not shown, nor Python's errors": """
        start_upstream_400 start_upstream_401 start_upstream_403
        start_upstream_404 start_upstream_409 start_upstream_429
        start_upstream_500 start_upstream_502 start_upstream_503
        start_upstream_503_html start_upstream_200_malformed
        start_upstream_close start_upstream_close_mid
        start_upstream_unicode_error start_upstream_timeout_66s
        stop_upstream_400 stop_upstream_401 stop_upstream_409
        stop_upstream_429 stop_upstream_500 stop_upstream_503
        stop_upstream_close""",
}


def listed(table):
    """The names in a table of reasons."""
    names = [name for text in table.values() for name in text.split()]
    assert len(names) == len(set(names)), "listed twice"
    assert not set(names) - set(RECORDED), set(names) - set(RECORDED)
    return set(names)


# -- What is sent ------------------------------------------------------------

def whole_body(exchange):
    """The body as bytes: the recording cuts long ones and writes bytes that
    are no UTF-8 as \\xNN."""
    request = exchange["request"]
    cut = CUT.search(request["body"])
    if not cut:
        pieces = re.split(r"\\x([0-9a-f]{2})", request["body"])
        return b"".join(bytes.fromhex(piece) if at % 2 else piece.encode()
                        for at, piece in enumerate(pieces))
    start, end = request["body"][:cut.start()], CUT_ENDS[exchange["name"]]
    start = start.rstrip(start[-1]) + start[-1]
    filler, missing = start[-1], int(cut[1]) - len(start) - len(end)
    if filler == "[":
        half = (missing + 1) // 2
        return (start[:-1] + "[" * half + "]" * half + end).encode()
    return (start + filler * missing + end).encode()


def declared(request):
    """The Content-Length, or None."""
    for name, value in request["headers"]:
        if name == "Content-Length":
            return int(value)
    return None


def http_request(exchange, body):
    """The bytes of the request as they were."""
    request = exchange["request"]
    if "raw" in request:
        raw = request["raw"].encode("latin-1")
        if not raw.endswith(b"\r\n\r\n") and b"\r\n\r\n" not in raw:
            # Cut by the recording in the middle of a long run of "a".
            raw += b"a" * 20000
            if exchange["name"] == "long_url":
                raw += b" HTTP/1.1\r\nHost: localhost"
            raw += b"\r\n\r\n"
        return raw
    version = "1.0" if exchange["name"] == "get_config_http10" else "1.1"
    lines = [f"{request['method']} {request['path']} HTTP/{version}",
             *(f"{name}: {value}" for name, value in request["headers"])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def over_http(transport, exchange, body):
    """Sends the bytes and reads the answer, which may come early."""
    with HttpConnection(transport.server.port, 60 * PATIENCE) as connection:
        try:
            connection.send(http_request(exchange, body))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is not read to its end: the answer is there
        return connection.answer(exchange["request"]["method"])


def over_fastcgi(transport, exchange, body):
    """Sends what a web server would make of the request."""
    request = exchange["request"]
    headers = [(name, value) for name, value in request["headers"]
               if name not in ("Host", "Content-Length")]
    return transport.request(request["method"], request["path"], headers,
                             body)


def for_fastcgi(exchange):
    """Whether it gets past a web server in the shape it has."""
    request = exchange["request"]
    origin = any(name == "Origin" for name, _ in request["headers"])
    return ("raw" not in request
            and request["path"].partition("?")[0] in ROUTES
            and exchange["name"] != "get_config_no_host"
            and (declared(request) or 0) < 1000000
            and not (request["method"] == "OPTIONS" and origin))


# -- What Agora does ---------------------------------------------------------

def fault_of(rule):
    """A recorded rule in the sandbox's words. A delay is cut short, the
    66 s that nobody waits for become silence."""
    do = {}
    if "status" in rule:
        do["status"] = rule["status"]
    if "headers" in rule:
        do["headers"] = dict(rule["headers"])
    if "body" in rule:
        do["body"] = rule["body"]
    if rule.get("close") == "before":
        do["close"] = "before"
    elif rule.get("close") == "mid":
        do = {"status": rule["status"], "body": rule["body"] + " " * 50,
              "close": "mid_body"}
    delay = rule.get("delay", 0)
    if delay > 60:
        return {"hang": True}
    if delay:
        do["delay_s"] = 1
    return do


LEAVES = 6  # a stop makes three, each of which libcurl may repeat


def misbehave(sandbox, exchange):
    """Sets the faults of an exchange."""
    for rule in exchange.get("upstream_rule", []):
        call = rule["path"].strip("/")
        match = {"times": LEAVES} if call == "leave" else {}
        sandbox.fault(call, match=match, **fault_of(rule))


def behave_again(sandbox, exchange, agent_id):
    """Uses up what is left of the faults of a stop."""
    if any(rule["path"] == "/leave"
           for rule in exchange.get("upstream_rule", [])):
        # A start of an earlier test may have left one before they were set.
        met = [entry for entry in sandbox.ledger(call="leave")
               if entry["fault"]]
        for _ in range(LEAVES - len(met)):
            try:
                sandbox.leave(agent_id)
            except OSError:
                pass  # it closes the connection, as it should


# -- What came back ----------------------------------------------------------

def said_by(token):
    """What a token says, in the recording's form, without channel and uid."""
    services = []
    for service in accesstoken.parse(token).services:
        services.append({"type": service.type, "privileges": {
            str(key): value for key, value in service.privileges.items()}})
    return services


def without_random(body):
    """A success body without what differs from answer to answer."""
    body = json.loads(json.dumps(body))
    data = body.get("data", {})
    data.pop("expires_at", None)  # ours
    random = ["agent_id"]
    if "token" in data:
        random = ["token", "uid", "channel_name", "agent_uid"]
    for name in set(random) & set(data):
        data[name] = "random" if data[name] else "empty"
    return body


def same_token(exchange, body):
    """Both tokens grant the same."""
    decoded = exchange["response"].get("decoded", {}).get("token")
    if not decoded:
        return True
    token = accesstoken.parse(body["data"]["token"])
    theirs = [{"type": service["type"], "privileges": service["privileges"]}
              for service in decoded["services"]]
    return (token.expire == decoded["expire"]
            and said_by(body["data"]["token"]) == theirs)


def same_words(recorded, answer):
    """Whether two errors of one status say the same to a person; a HEAD, or
    an error that the original has no words for, says nothing."""
    if (answer.status == 200 or not answer.body
            or not isinstance(recorded["body"], dict)):
        return True
    return answer.json["detail"] == recorded["body"]["detail"]


def differs(exchange, answer):
    """Whether ours is not what the original answered, but for the words of
    an error."""
    recorded = exchange["response"]
    if answer.status != recorded["status"]:
        return True
    if answer.status != 200:
        return False
    if not isinstance(recorded["body"], dict):
        return True
    ours = answer.json
    if "uid=" in exchange["request"]["path"]:
        return ours["data"]["uid"] != recorded["body"]["data"]["uid"]
    return (without_random(ours) != without_random(recorded["body"])
            or not same_token(exchange, ours))


def well_formed(exchange, answer):
    """Whatever it is, it is one of our documented answers."""
    if answer.body and answer.status == 200:
        succeeded(answer)
    elif answer.body:
        refused(answer, answer.status)
    else:
        assert (exchange["request"]["method"] == "HEAD"
                or answer.status == 204)


# -- The replay --------------------------------------------------------------

def groups():
    """Exchanges that only make sense in a row: start, stop, stop again."""
    found = {}
    for name in RECORDED:
        head = name.partition(":")[0]
        if name == "stop_again" or head == "stop_ok":
            head = "stop_before"
        elif name == "stop_ok_extra_fields":
            head = "stop_before2"
        found.setdefault(head, []).append(name)
    return found


GROUPS = groups()


def profile_of(name):
    """The settings under which it was recorded."""
    return "unconfigured" if name.startswith("unconfigured") else "default"


def about_agent(exchange, body, agent_id):
    """The exchange with the id of an agent of our own, in what is sent and
    in what the original said about it."""
    if RECORDED_AGENT.encode() not in body:
        return exchange, body
    body = body.replace(RECORDED_AGENT.encode(), agent_id.encode())
    request = dict(exchange["request"])
    request["headers"] = [
        (name, str(len(body)) if name == "Content-Length" else value)
        for name, value in request["headers"]]
    response = json.loads(json.dumps(exchange["response"]).replace(
        RECORDED_AGENT, agent_id))
    return {**exchange, "request": request, "response": response}, body


def replay(rig, kind, names):
    """Sends a group of exchanges; returns the names that came out
    different, and those of errors in other words."""
    sandbox = rig.upstream.sandbox
    agent_id = RECORDED_AGENT
    different, worded = set(), set()
    for name in names:
        exchange = RECORDED[name]
        if kind == "fastcgi" and not for_fastcgi(exchange):
            continue
        misbehave(sandbox, exchange)
        body = whole_body(exchange)
        if "raw" not in exchange["request"]:
            length = declared(exchange["request"])
            assert length is None or length == len(body), name
        exchange, body = about_agent(exchange, body, agent_id)
        transport = rig.transport(kind, profile_of(name))
        send = over_http if transport.http else over_fastcgi
        answer = send(transport, exchange, body)
        well_formed(exchange, answer)
        if differs(exchange, answer):
            different.add(name)
        elif not same_words(exchange["response"], answer):
            worded.add(name)
        behave_again(sandbox, exchange, agent_id)
        if answer.status == 200 and b'"agent_id"' in answer.body:
            agent_id = answer.json["data"]["agent_id"]
    return different, worded


def forget_failures(transport):
    """New workers: the old ones may leave a host alone that failed them."""
    programs = (transport.programs if transport.http
                else transport.program.values())
    for program in programs:
        old = set(program.workers())
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda p=program, o=old: len(set(p.workers()) - o) == 2,
                   10 * PATIENCE, "new workers")


@pytest.fixture(autouse=True)
def fresh_sandbox(upstream):
    """The recording has one channel name for everything; and its faults
    must not stay for others."""
    upstream.sandbox.reset()
    yield
    upstream.sandbox.reset()


KNOWN = {"nginx": listed({**EVERYWHERE, **NGINX}),
         "fastcgi": listed(EVERYWHERE)}


@pytest.mark.timeout(60 * PATIENCE)
@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("group", GROUPS)
def test_replay(rig, kind, group):
    """One group of exchanges; differences are exactly the known ones."""
    names = GROUPS[group]
    sent = {name for name in names
            if kind == "nginx" or for_fastcgi(RECORDED[name])}
    if group == "start_upstream_timeout_66s" and kind == "nginx":
        pytest.skip("the wait is the programs' own, once is enough")
    different, worded = replay(rig, kind, names)
    if any("upstream_rule" in RECORDED[name] for name in names):
        forget_failures(rig.transport(kind, profile_of(names[0])))
    assert different == KNOWN[kind] & sent
    assert worded == listed(OTHER_WORDS) & sent - different


def test_everything_is_replayed():
    """No exchange is left out, and none is in two tables."""
    assert sum(map(len, GROUPS.values())) == len(RECORDED) == 235
    assert not listed(EVERYWHERE) & listed(NGINX)
    assert not listed(OTHER_WORDS) & listed(EVERYWHERE)
