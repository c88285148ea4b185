#!/usr/bin/python3
"""Makes inputs for the fuzzers out of the test vectors and system checks.

    seeds.py FOLDER      writes FOLDER/NAME/… for every harness

What is new in them goes into tests/fuzz/corpus by "make fuzz-corpus".
"""

import hashlib
import hmac
import json
import pathlib
import re
import sys
import types

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "system"), str(TESTS / "sandbox")]

import accesstoken  # noqa: E402
import checks  # noqa: E402
import fcgi_client as fcgi  # noqa: E402

PIECE = b"\x1e"
NOW = 1770199765
APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = b"c0ffee00c0ffee11c0ffee22c0ffee33"
PROGRAMS = {"/get_config": "cgi_get_config",
            "/startAgent": "cgi_start_agent",
            "/stopAgent": "cgi_stop_agent"}
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
REASONS = ("ServiceNotEnabled", "AccountSuspended", "TaskNotFound",
           "ResourceQuotaLimitExceeded", "TaskConflict", "InvalidRequest")


def vectors(name):
    """The content of a file of vectors."""
    return json.loads((TESTS / "vectors" / name).read_text())


def pieces(*parts):
    """An input of several pieces."""
    return PIECE.join(part if isinstance(part, bytes) else part.encode()
                      for part in parts)


def base32(data, count):
    """The first ${count} characters of base32, as channel names have it."""
    bits = int.from_bytes(data, "big")
    size = len(data) * 8
    return "".join("abcdefghijklmnopqrstuvwxyz234567"
                   [bits >> (size - 5 * (i + 1)) & 31] for i in range(count))


def channel(uid, time=NOW, nonce=b"nonce"):
    """A name that was issued to ${uid}, and its agent uid."""
    def mac(key, message):
        return hmac.new(key, message, hashlib.sha256).digest()

    key = mac(CERTIFICATE, b"agora-agent channel v1")
    code = base32(nonce, 8) + base32(mac(
        key, b"name\0" + time.to_bytes(8, "little") + nonce + uid.encode()),
        20)
    name = f"channel_{time}_{code}"
    number = int.from_bytes(mac(
        key, b"agent\0" + name.encode() + b"\0" + uid.encode())[:8], "little")
    return name, str(10000000 + number % 90000000)


def token_of(name, account):
    """A token of get_config's for a channel and user."""
    return accesstoken.build(
        APP_ID, CERTIFICATE.decode(), accesstoken.rtc_rtm(name, account, 3600),
        issue_ts=NOW, expire=3600, salt=1)


# ---- requests -------------------------------------------------------------

class Recorded(Exception):
    """Ends a check at its first request, which is all that is wanted."""


class Recorder:
    """A transport that notes what it is asked for."""

    name = "recorder"

    def __init__(self):
        self.requests = []

    def request(self, method, path, headers=(), body=b"", **_):
        """Notes one request."""
        self.requests.append((method, path, list(headers), body))
        raise Recorded

    def __getattr__(self, name):
        raise Recorded


def requests():
    """(method, path, headers, body) of the checks and the vectors."""
    recorder = Recorder()
    upstream = types.SimpleNamespace(
        certificate=CERTIFICATE.decode(), channel=lambda: "demo",
        calls=lambda: 0)
    for one in checks.CHECKS:
        try:
            one.run(checks.Api(recorder, upstream))
        except Exception:  # pylint: disable=broad-except
            pass
    yield from recorder.requests
    for case in vectors("http-contract.json"):
        request = case["request"]
        if isinstance(request.get("body"), str):
            yield (request["method"], request["path"], request["headers"],
                   request["body"].encode())
    name, agent = channel("1234567")
    for uids in ((agent, "1234567"), (agent, "1234568"), ("5", "1234567")):
        body = {"channelName": name, "rtcUid": uids[0], "userUid": uids[1]}
        yield ("POST", "/startAgent", [checks.JSON],
               json.dumps(body).encode())
    yield "GET", f"/get_config?channel={name}&uid=1234567", [], b""


def variables(method, path, headers, body):
    """A request as CGI variables."""
    path, _, query = path.partition("?")
    found = {"REQUEST_METHOD": method, "QUERY_STRING": query,
             "CONTENT_LENGTH": str(len(body)), "REQUEST_ID": "r1"}
    for name, value in headers:
        if isinstance(name, bytes):
            name, value = name.decode("latin-1"), value.decode("latin-1")
        name = name.upper().replace("-", "_")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = "HTTP_" + name
        found[name] = str(value)
    return found


def answers():
    """Agora's answers, as tests/fuzz/upstream.h has them."""
    yield "200\n" + json.dumps({"agent_id": "A1B2C3", "create_ts": NOW,
                                "status": "RUNNING"})
    yield "200\n{}"
    yield "200\n" + json.dumps({"data": {"count": 1, "list": [
        {"agent_id": "A1B2C3", "start_ts": NOW, "status": "RUNNING"}]}})
    for status in ("STARTING", "RUNNING", "STOPPED", "FAILED", "NEW"):
        yield "200\n" + json.dumps({
            "agent_id": "A1B2C3", "name": "agent_c_1_1770199740",
            "start_ts": NOW, "status": status})
    for name in (f"agent_channel_{NOW}_{'ab23' * 7}_58888506",
                 "agent_my_room_bot_7_1770199740_r2"):
        yield "200\n" + json.dumps({"name": name, "status": "RUNNING"})
    yield "200\n" + json.dumps({"data": {"list": [
        {"agent_id": f"A{n}", "start_ts": NOW - n} for n in range(22)]}})
    yield "200\n" + json.dumps({"data": {"list": [{"agent_id": "A1"}]},
                                "meta": {"cursor": "A2", "total": 2}})
    yield "409\n" + json.dumps({"detail": "exists", "taskId": "A1B2C3"})
    yield "400\n" + json.dumps({
        "detail": "agent is already in the process of shutting down",
        "reason": "InvalidRequest"})
    yield "409\n" + json.dumps({"detail": "exists", "reason": "TaskConflict",
                                "agent_id": "A1B2C3"})
    for status in (301, 400, 401, 403, 404, 409, 422, 429, 500, 503, 504):
        for reason in REASONS[:3]:
            yield f"{status} 5 {NOW - 3600}\n" + json.dumps(
                {"detail": f"C4n4ry* {status}", "reason": reason})
        yield f"{status}\n<html>C4n4ry*</html>"
    yield from "nublmx"


def cgi():
    """Requests, each followed by some answers of Agora."""
    said = list(answers())
    for number, request in enumerate(requests()):
        path = request[1].partition("?")[0].removeprefix("/api")
        name = PROGRAMS.get(path.removeprefix("/v2"))
        if name is None:
            continue
        lines = "\n".join(f"{key}={value}" for key, value
                          in variables(*request).items())
        first = number % len(said)
        yield name, pieces(("", "i", "t")[number % 3], lines.encode("utf-8",
                           "surrogateescape"), request[3],
                           *(said[first:] + said)[:3])
    shown = f"HTTP_X_AGORA_TOKEN={token_of('c', '2')}"
    for name, body in (
            ("cgi_start_agent", '{"channelName":"c","rtcUid":"1",'
                                '"userUid":"2"}'),
            ("cgi_stop_agent", '{"agentId":"A1","channelName":"c"}')):
        yield name, pieces("t", f"REQUEST_METHOD=POST\n{shown}", body,
                           said[0])
    for answer in said:
        for name, body in (
                ("cgi_start_agent", b'{"channelName":"c","rtcUid":"1",'
                                    b'"userUid":"2"}'),
                ("cgi_stop_agent", b'{"agentId":"A1"}')):
            yield name, pieces(
                "", f"REQUEST_METHOD=POST\nCONTENT_LENGTH={len(body)}", body,
                answer, said[0])


# ---- the rest -------------------------------------------------------------

def tokens():
    """Texts, payloads and claims of tokens."""
    for name in ("token-vectors.json", "token-vectors-derived.json"):
        for case in vectors(name)["vectors"]:
            yield b"t" + case["token"].encode()
            yield b"p" + bytes.fromhex(case["payload_hex"])
    for case in vectors("token-cases.json")["cases"]:
        if case.get("token"):
            yield b"t" + case["token"].encode()
            yield b"p" + bytes.fromhex(case["payload_hex"])
    for name, account in (("demo", "1"), ("", ""), ("c" * 255, "a" * 255),
                          ("c" * 256, "a"), ("c", "a" * 256)):
        yield b"c" + pieces(name, account, b"24 characters make a day")


def channels():
    """Names, good and bad."""
    for uid in ("1234567", "1", "someone", "4294967295", "4294967296", "-1",
                "01", "null", " ", "a" * 64, "a" * 65, ""):
        name, _ = channel(uid)
        yield pieces(name, uid, "nonce", "\x09x")
        yield pieces(name[:-1] + "A", uid, "\xff\x80\x7f\x01z", "\x25a")
    for name in ("channel_", "channel_1_", "channel_01_" + "a" * 28, " ",
                 "channel_9223372036854775807_" + "a" * 28, "demo",
                 "channel_9223372036854775808_" + "a" * 28, "x" * 64, "ä"):
        yield pieces(name, "5", "", "")


def settings():
    """Settings files."""
    yield (TESTS.parent / "env.sample").read_bytes()
    good = (f"APP_ID={'0' * 32}\nAPP_CERTIFICATE={'1' * 32}\n").encode()
    for line in (b"", b"AGORA_AREA=EU", b"AGORA_AREA=XX", b"TOKEN_TTL=0",
                 b"CHANNELS=issued", b"LLM_API_KEY=sk-C4n4ry*", b"PORT=0",
                 b"AGORA_API_BASE_URL=https://[::1]:8443/x", b"A=\xff",
                 b"AGORA_API_BASE_URL=http://C4n4ry*/", b"LOG_LEVEL=debug",
                 b"APP_ID=C4n4ry*", b"AGENT_GREETING=${APP_CERTIFICATE}",
                 b"AGORA_APP_ID=C4n4ry*", b"AGENT_GREETING='C4n4ry*\n'"):
        yield good + line
    for case in vectors("dotenv.json")["cases"]:
        yield case["text"].encode("utf-8", "surrogatepass")


def json_texts():
    """JSON, good and bad."""
    for request in requests():
        yield request[3]
    for answer in answers():
        yield answer.partition("\n")[2].encode()
    for text in ("[1e5,-0,9223372036854775807,9223372036854775808,1.5E-7]",
                 "[" * 33 + "]" * 33, r'{"a":"\ud83d\ude00\ud800\u0000"}',
                 '{"a\\u0000":1}', "\ufeff{}", "[NaN]", "nul", '"\x01"'):
        yield text.encode()


def gates():
    """Credentials, good and bad."""
    key, other = "first-key-0123456789", "second/key+0123456789=="
    token = token_of("demo", "1234567")
    lines = [
        "", f"HTTP_X_API_KEY={key}", f"HTTP_AUTHORIZATION=Bearer {other}",
        f"HTTP_AUTHORIZATION=bearer  {key} \nHTTP_X_API_KEY={key}",
        f"HTTP_AUTHORIZATION=Bearer {key}\nHTTP_X_API_KEY={other}",
        f"HTTP_X_API_KEY={key}\nHTTP_X_API_KEY=x",
        f"REDIRECT_HTTP_AUTHORIZATION=Bearer {key}",
        f"HTTP_X_API_KEY={key[:-1]}", "HTTP_X_API_KEY=" + "x" * 300,
        f"HTTP_AUTHORIZATION=agora token={token}",
        f"HTTP_X_AGORA_TOKEN={token}\nHTTP_X_API_KEY={key}",
        f"HTTP_AUTHORIZATION=agora token={token}\nHTTP_X_AGORA_TOKEN=x",
        f"HTTP_X_AGORA_TOKEN={token_of('other', '1')}",
        "HTTP_ORIGIN=https://shop.example", "HTTP_ORIGIN=null",
        "HTTP_ORIGIN=https://shop.example\nHTTP_ORIGIN=https://evil.example",
        "HTTP_ORIGIN=https://b.example", "HTTP_SEC_FETCH_SITE=cross-site"]
    for address in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::1",
                    "not an address" * 9):
        lines.append(f"REMOTE_ADDR={address}")
    for line in lines:
        for letters in ("", "k", "o", "t", "kot"):
            yield pieces(letters, line)


def http():
    """Answers as they come over the wire."""
    fields = [f"Date: {DATE}", "Retry-After: 5", "Agora-Request-Id: a.b-c_1",
              "X-Request-Id: x", f"Retry-After: {DATE}", "Set-Cookie: a=b",
              "Connection: close", "Content-Encoding: gzip"]
    for number, answer in enumerate(answers()):
        status, _, body = answer.partition("\n")
        status = status.split(" ")[0] if status[0].isdigit() else "200"
        head = "\r\n".join([f"HTTP/1.1 {status} Word",
                            f"Content-Length: {len(body)}",
                            *fields[number % 8:][:3], "", ""])
        yield bytes([number % 8]) + head.encode() + body.encode()
    for text in (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2;x=y\r\n{}\r\n0\r\nTrailer: 1\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n" * 3 + "HTTP/1.0 200\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 120 + "\r\n",
            "HTTP/1.1 200 OK\r\nA: " + "b" * 9000 + "\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            "HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 301 M\r\nLocation: /x\r\n"
            "Content-Length: 0\r\n\r\n", "HTTP/2 200\r\n\r\n", "{}", ""):
        yield b"\0" + text.encode()
        yield b"\1" + text.encode()


def connections():
    """FastCGI connections, without the byte of flags."""
    one = fcgi.request_bytes
    post = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "2"}
    good = one(post, b"{}")
    kept = one(post, b"{}", keep=True)
    yield good
    yield kept
    yield kept + kept
    yield one(post, b"{}", request_id=0xffff, chunk=3)
    yield one({"A": "b" * 200, "": "", "C" * 130: "d", **post}, b"{}")
    yield one(post, b"x" * 17000)
    yield one({"A": "b" * 66000}, b"")
    yield one({}, b"")
    for cut in range(1, len(good), 9):
        yield good[:cut]
    second = fcgi.begin(2)
    yield good[:16] + second + good[16:]
    yield good[:16] + second + second + good[16:]
    yield fcgi.record(fcgi.GET_VALUES, 0, fcgi.pair("FCGI_MAX_CONNS", ""))
    yield good[:16] + fcgi.record(fcgi.ABORT_REQUEST, 1) + good[16:]
    yield fcgi.record(fcgi.BEGIN_REQUEST, 1, b"\0\2\0\0\0\0\0\0")
    yield fcgi.begin(1) + fcgi.record(
        fcgi.PARAMS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff")
    yield (fcgi.begin(1) + fcgi.record(fcgi.PARAMS, 1, fcgi.pair("A", "b"), 5)
           + fcgi.record(fcgi.PARAMS, 1) + fcgi.record(fcgi.STDIN, 1, b"x", 7)
           + fcgi.record(fcgi.STDIN, 1))


def hostile_connections():
    """What would come out wrong, were record.c to let it through."""
    post = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "2"}
    hidden = fcgi.request_bytes(post, b"{}")
    kept = fcgi.request_bytes(post, b"{}", keep=True)
    # Content of a second request that looks like a third one, and is what
    # comes in the second part.
    longer = fcgi.request_bytes({"A": "b" * 300, **post}, b"{}", keep=True)
    yield 17, longer + fcgi.begin(1) + fcgi.record(
        fcgi.PARAMS, 1, hidden + b"c" * (len(longer) + 24 - len(hidden)))
    for padding in (1, 8, 24, len(hidden)):
        fill = hidden.ljust(padding)[:padding]
        yield 1, (fcgi.begin(1)[:6] + bytes([padding]) + b"\0"
                  + b"\0\1\1\0\0\0\0\0" + fill + kept[16:])
        for kind in (fcgi.PARAMS, fcgi.STDIN):
            end = fcgi.record(kind, 1)
            spoilt = end[:6] + bytes([padding]) + b"\0" + fill
            yield 1, kept.replace(end, spoilt) + kept
        yield 1, (kept[:16] + fcgi.record(fcgi.STDIN, 2, b"", padding)
                  + kept[16:] + kept)


def agents():
    """Agent files, and what a client of theirs sends."""
    client = json.dumps({"parameters": {"output_audio_codec": "G722"},
                         "asr": {"language": "fr-FR"}, "a": {"b": {"c": 1}}})
    for path in sorted((TESTS.parent / "deploy/agents").rglob("*.json")):
        text = re.sub(r"\$\{\w+\}", "${KEY}", path.read_text("utf-8"))
        yield pieces(json.dumps(json.loads(text)), client)
    for text in ("{}", "[]", '{"properties": {"x": "$${KEY} ${NOPE}"}}',
                 '{"name": "shop", "preset": "openai_gpt_5_mini, x",'
                 ' "pipeline_id": "p"}', '{"a": 1, "a": 2}', "{'a': 1}",
                 '{"properties": {"channel": "x", "idle_timeout": 0}}',
                 '{"properties": {"llm": {"api_key": "${KEY", "url": null}}}',
                 '{"properties": {"asr": [], "llm": 7, "tts": "x"}}'):
        yield pieces(text, client)
    yield pieces("{}", '{"asr": {"language": "a b"}, "parameters": 7}')


def hostile():
    """Inputs that reach nothing new as long as nothing is wrong."""
    for flags, seed in hostile_connections():
        yield "record", seed
        yield "fastcgi", bytes([flags]) + seed
    case = vectors("token-vectors.json")["vectors"][0]
    yield "token", b"p" + bytes.fromhex(case["payload_hex"]) + b"more"
    yield "settings", b"APP_CERTIFICATE:C4n4ry*"
    yield "cgi_stop_agent", pieces(
        "", "REQUEST_METHOD=POST", b'{"agentId":"A1"}', "403\n" + json.dumps(
            {"detail": "C4n4ry*", "reason": "C4n4ry*"}))
    yield "json", b'{"a":"\xed\xa0\x80"}'
    yield "json", b'{"a":"\xc0\x80"}'
    yield "http", b"\0HTTP/2 20!\r\n\r\n"
    yield "http", (b"\0HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 1950 00:00:00 "
                   b"GMT\r\n\r\n")


def seeds():
    """(name of the harness, input) of all others."""
    yield from cgi()
    said = list(answers())
    for name, make in (("token", tokens), ("channel", channels),
                       ("settings", settings), ("json", json_texts),
                       ("http", http), ("record", connections),
                       ("gate", gates), ("agent", agents)):
        for seed in make():
            yield name, seed
    for answer in said:
        for call in "jlg-":
            yield "outcome", (call + answer).encode()
    for seed in connections():
        for flags in (0, 1, 2, 6, 9, 10, 17, 19, 26):
            yield "fastcgi", bytes([flags]) + seed


def main():
    """Writes every seed under the digest of its content."""
    for kind, found in (("", seeds()), ("hostile-", hostile())):
        for name, seed in found:
            folder = pathlib.Path(sys.argv[1]) / name
            folder.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha1(seed).hexdigest()
            (folder / (kind + digest)).write_bytes(seed)


if __name__ == "__main__":
    main()
