"""What every endpoint promises, as one list of checks.

A check is a function that is given an Api, which is a transport with the
words of this product: start(), stop(), get_config(), refused(). The same list
runs over every transport; the few that need real HTTP, or bytes that no web
server lets through, say so.
"""

import json
import re
import time
import urllib.parse
from dataclasses import dataclass

import accesstoken
from transports import ROUTES, http_bytes
from upstream import APP_ID

JSON = ("Content-Type", "application/json")
BODY_MAX = 16384
TOKEN_TTL = 86400
ALPHABET = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
               "0123456789 !#$%&()+-:;<=.>?@[]^_{}|~,")
OWN_CHANNEL = re.compile(r"channel_(\d{10})_[a-z2-7]{28}")
UNCONFIGURED = ("Service not properly configured. Please check environment "
                "variables.")

# A customer's .htaccess has no say in what the host answers before it has
# found our files, nor elsewhere on the site: only the status counts there.
SHARED_HOST = "apache-cgi"

CHECKS = []


@dataclass(frozen=True)
class Check:
    """One check: where it makes sense, and with which settings."""

    name: str
    run: object
    profile: str = "default"
    http: bool = None     # True: only web servers; False: only direct
    only: tuple = ()      # names of transports, all if empty
    skip: tuple = ()      # names of transports

    def fits(self, transport_name, is_http):
        """Whether the check is for that transport."""
        if self.only and transport_name not in self.only:
            return False
        if transport_name in self.skip:
            return False
        return self.http is None or self.http == is_http


def check(name, **how):
    """Decorator: adds the function to the list."""
    def add(function):
        CHECKS.append(Check(name, function, **how))
        return function
    return add


def check_each(name, cases, **how):
    """Decorator: one check per case; ${cases} maps a label to arguments."""
    def add(function):
        for label, arguments in cases.items():
            if not isinstance(arguments, tuple):
                arguments = (arguments,)
            CHECKS.append(Check(
                f"{name}: {label}",
                lambda api, a=arguments: function(api, *a), **how))
        return function
    return add


def member_of(answer):
    """The detail of an error."""
    return answer.json["detail"]


class Api:
    """The product's calls over one transport, and what the sandbox saw."""

    def __init__(self, transport, upstream):
        self.transport = transport
        self.upstream = upstream

    def call(self, method, path, headers=(), body=b"", **how):
        """Any request; nothing secret may be in any answer."""
        answer = self.transport.request(method, path, list(headers), body,
                                        **how)
        everything = answer.raw_head + b"\n" + answer.body
        assert self.upstream.certificate.encode() not in everything
        return answer

    def get_config(self, query="", path="/get_config", **how):
        """GET /get_config."""
        return self.call("GET", path + ("?" + query if query else ""), **how)

    def post(self, path, body, headers=(JSON,), **how):
        """POST of an object or of bytes."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode("utf-8")
        return self.call("POST", path, headers, body, **how)

    def start(self, body, headers=(JSON,), path="/v2/startAgent", **how):
        """POST startAgent."""
        return self.post(path, body, headers, **how)

    def stop(self, body, headers=(JSON,), path="/v2/stopAgent", **how):
        """POST stopAgent."""
        return self.post(path, body, headers, **how)

    def config(self, query="", **how):
        """The data of a successful get_config."""
        return succeeded(self.get_config(query, **how))["data"]

    def started(self, body, **how):
        """The agent id of a successful start."""
        data = succeeded(self.start(body, **how))["data"]
        assert set(data) == {"agent_id", "channel_name", "status"}
        assert data["status"] == "started"
        assert data["channel_name"] == json.loads(
            json.dumps(body))["channelName"]
        return data["agent_id"]

    def request(self, **changes):
        """The members of a start for a new channel; None leaves one out."""
        members = {"channelName": self.upstream.channel(),
                   "rtcUid": "58888506", "userUid": "1234567", **changes}
        return {name: value for name, value in members.items()
                if value is not LEAVE_OUT}

    def server_error(self, answer, *statuses):
        """An error that the web server may have answered by itself."""
        assert answer.status in statuses, (answer.status, answer.body[:300])
        if self.transport.name != SHARED_HOST:
            any_error(answer, *statuses)

    def refused_start(self, body, status=400, word="", **how):
        """A start that is refused without a call to Agora."""
        before = self.upstream.calls()
        answer = refused(self.start(body, **how), status, word)
        assert self.upstream.calls() == before, "Agora was called"
        return answer

    def refused_stop(self, body, status=400, word="", **how):
        """A stop that is refused without a call to Agora."""
        before = self.upstream.calls()
        answer = refused(self.stop(body, **how), status, word)
        assert self.upstream.calls() == before, "Agora was called"
        return answer


LEAVE_OUT = object()


def json_answer(answer):
    """What is promised of every answer with a body of ours."""
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Cache-Control") == "no-store"
    request_id = answer.header("X-Request-Id")
    assert re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", request_id)
    return answer.json


def succeeded(answer):
    """The body of a 200."""
    assert answer.status == 200, (answer.status, answer.body)
    body = json_answer(answer)
    assert body["code"] == 0 and body["msg"] == "success"
    assert not set(body) - {"code", "msg", "data"}
    return body


def refused(answer, status, word=""):
    """The answer, which must be an error of ours with that status."""
    assert answer.status == status, (answer.status, answer.body)
    body = json_answer(answer)
    error_shape(body)
    assert set(body) >= {"code", "msg", "detail", "request_id"}
    assert not set(body) - {"code", "msg", "detail", "request_id",
                            "upstream"}
    assert body["request_id"] == answer.header("X-Request-Id")
    assert word in body["detail"], body["detail"]
    return answer


def error_shape(body):
    """What a client needs of any error, the web server's own included."""
    assert isinstance(body["code"], int) and body["code"] != 0
    assert isinstance(body["msg"], str) and body["msg"]
    assert isinstance(body["detail"], str) and body["detail"]


def any_error(answer, *statuses):
    """An error in JSON, ours or the web server's."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    assert answer.header("Content-Type") == "application/json"
    error_shape(answer.json)
    return answer


def verified(token, certificate, channel, account, seconds):
    """The token is good in the eyes of code that is not ours."""
    parsed = accesstoken.parse(token)
    assert accesstoken.signed_by(parsed, certificate)
    assert parsed.app_id == APP_ID
    assert parsed.expire == seconds and parsed.salt != 0
    assert abs(parsed.issue_ts - time.time()) < 60
    assert [service.type for service in parsed.services] == [1, 2]
    rtc, rtm = parsed.services
    assert rtc.privileges == dict.fromkeys((1, 2, 3, 4), seconds)
    assert rtc.fields == {"channel": channel, "account": account}
    assert rtm.privileges == {1: seconds}
    assert rtm.fields == {"user_id": account}
    return parsed


# -- Success: the shapes of contract and clients -----------------------------

GET_ROUTES = {path: path for path, name in ROUTES.items()
              if name == "get_config"}
START_ROUTES = {path: path for path, name in ROUTES.items()
                if name == "start_agent"}
STOP_ROUTES = {path: path for path, name in ROUTES.items()
               if name == "stop_agent"}


@check_each("get_config answers the contract's members", GET_ROUTES)
def _(api, path):
    data = api.config(path=path)
    expires_at = data.pop("expires_at")
    assert set(data) == {"app_id", "token", "uid", "channel_name",
                         "agent_uid"}
    assert all(isinstance(value, str) for value in data.values())
    assert data["app_id"] == APP_ID
    assert 1000 <= int(data["uid"]) <= 9999999
    assert 10000000 <= int(data["agent_uid"]) <= 99999999
    issued = OWN_CHANNEL.fullmatch(data["channel_name"])
    assert issued and abs(int(issued[1]) - time.time()) < 60
    token = verified(data["token"], api.upstream.certificate,
                     data["channel_name"], data["uid"], TOKEN_TTL)
    assert expires_at == token.issue_ts + TOKEN_TTL


@check_each("startAgent answers the contract's members", START_ROUTES)
def _(api, path):
    body = api.request()
    agent_id = api.started(body, path=path)
    assert api.upstream.agent(body["channelName"])["agent_id"] == agent_id


@check_each("stopAgent answers the contract's members", STOP_ROUTES)
def _(api, path):
    body = api.request()
    agent_id = api.started(body)
    answer = succeeded(api.stop({"agentId": agent_id}, path=path))
    assert answer == {"code": 0, "msg": "success"}
    assert api.upstream.agent(body["channelName"])["status"] == "STOPPED"


@check("the original web client's session")
def _(api):
    config = api.config()
    agent_id = api.started({"channelName": config["channel_name"],
                            "rtcUid": config["agent_uid"],
                            "userUid": config["uid"]})
    join = api.upstream.join(config["channel_name"])["properties"]
    assert join["agent_rtc_uid"] == config["agent_uid"]
    assert join["remote_rtc_uids"] == [config["uid"]]
    assert succeeded(api.stop({"agentId": agent_id,
                               "channelName": config["channel_name"]}))


@check("the later web client's session")
def _(api):
    config = api.config(path="/api/get_config")
    agent_id = api.started(
        {"channelName": config["channel_name"],
         "rtcUid": int(config["agent_uid"]), "userUid": int(config["uid"]),
         "parameters": {"output_audio_codec": "OPUS"}},
        path="/api/startAgent")
    join = api.upstream.join(config["channel_name"])["properties"]
    assert join["agent_rtc_uid"] == config["agent_uid"]
    assert join["remote_rtc_uids"] == [config["uid"]]
    assert join["parameters"]["output_audio_codec"] == "OPUS"
    assert succeeded(api.stop({"agentId": agent_id}, path="/api/stopAgent"))


@check("a closing page stops with sendBeacon's text/plain")
def _(api):
    agent_id = api.started(api.request())
    kind = ("Content-Type", "text/plain;charset=UTF-8")
    assert succeeded(api.stop({"agentId": agent_id}, headers=[kind]))


@check("A16 a renewal answers the same channel, uid and agent_uid")
def _(api):
    first = api.config()
    for _ in range(2):
        again = api.config(f"channel={first['channel_name']}"
                           f"&uid={first['uid']}")
        for name in ("channel_name", "uid", "agent_uid", "app_id"):
            assert again[name] == first[name], name
        verified(again["token"], api.upstream.certificate,
                 first["channel_name"], first["uid"], TOKEN_TTL)


@check("two visitors get two channels, uids and tokens")
def _(api):
    one, two = api.config(), api.config()
    for name in ("channel_name", "uid", "agent_uid", "token"):
        assert one[name] != two[name], name


@check("A16 a foreign channel and its renewal answer the same agent_uid")
def _(api):
    channel = api.upstream.channel()
    one = api.config(f"channel={channel}&uid=42")
    two = api.config(f"uid=42&channel={channel}")
    assert one["channel_name"] == two["channel_name"] == channel
    assert one["uid"] == two["uid"] == "42"
    assert one["agent_uid"] == two["agent_uid"]


@check_each("A11 get_config takes as random", {
    "uid=": "uid=", "uid=0": "uid=0", "uid=-1": "uid=-1",
    "uid=-4294967296": "uid=-4294967296", "channel=": "channel=",
    "both empty": "channel=&uid=", "an unknown parameter": "foo=bar&x"})
def _(api, query):
    data = api.config(query)
    assert 1000 <= int(data["uid"]) <= 9999999
    assert OWN_CHANNEL.fullmatch(data["channel_name"])


@check_each("A11 get_config takes the uid", {"1": "1", "4294967295": "4294967295"})
def _(api, uid):
    assert api.config("uid=" + uid)["uid"] == uid


@check_each("A11 get_config refuses the uid", {
    "4294967296": "4294967296", "abc": "abc", "1e9": "1e9", "1.5": "1.5",
    "leading zeros": "007", "plus": "%2B5", "space before": "%205",
    "space after": "5%20", "NUL inside": "5%006", "256 digits": "9" * 256,
    "2^64+5": "18446744073709551621", "hex": "0x10", "minus alone": "-"})
def _(api, uid):
    refused(api.get_config("uid=" + uid), 400, "uid")


@check_each("A10 get_config refuses the channel", {
    "only spaces": "%20%20", "a quote": "a%22b", "a slash": "a%2Fb",
    "a star": "a*b", "CR LF": "a%0D%0Ab", "NUL inside": "a%00b",
    "DEL": "a%7Fb", "UTF-8": "caf%C3%A9", "not UTF-8": "a%FFb",
    "64 bytes": "c" * 64, "65 bytes": "c" * 65, "1000 bytes": "c" * 1000})
def _(api, channel):
    refused(api.get_config("channel=" + channel), 400, "channel")


@check("A10 get_config takes 63 bytes of channel, whole")
def _(api):
    channel = "c" * 63
    assert api.config("channel=" + channel)["channel_name"] == channel


@check("A10 get_config: every byte 0x20 to 0x7e in a channel")
def _(api):
    for byte in map(chr, range(0x20, 0x7f)):
        channel = f"a{byte}b"
        answer = api.get_config("channel=" + urllib.parse.quote(channel))
        if byte in ALPHABET:
            data = succeeded(answer)["data"]
            assert data["channel_name"] == channel
        else:
            refused(answer, 400, "channel")


@check("A16 get_config ignores a body")
def _(api):
    answer = api.call("GET", "/get_config",
                      [JSON, ("Content-Length", "7")], b'{"a":1}')
    succeeded(answer)


# -- startAgent: what is refused ---------------------------------------------

START_MEMBERS = ("channelName", "rtcUid", "userUid")
EACH_MEMBER = {name: name for name in START_MEMBERS}


@check("A01 start: empty body")
def _(api):
    api.refused_start(b"")


@check("A01 start: empty object")
def _(api):
    api.refused_start({}, 400, "channelName")


@check_each("A01 start: missing", EACH_MEMBER)
def _(api, name):
    api.refused_start(api.request(**{name: LEAVE_OUT}), 400,
                      f"{name} is required and cannot be empty")


@check_each("A02 start: empty", EACH_MEMBER)
def _(api, name):
    api.refused_start(api.request(**{name: ""}), 400,
                      f"{name} is required and cannot be empty")


@check_each("A02 start: blank", EACH_MEMBER)
def _(api, name):
    api.refused_start(api.request(**{name: "   "}), 400,
                      f"{name} is required and cannot be empty")


WRONG_TYPES = {"null": None, "an array": ["a"], "an object": {"a": 1},
               "true": True, "a fraction": 1.5}


@check_each("A03 start: mistyped", {
    f"{name} is {label}": (name, value) for name in START_MEMBERS
    for label, value in [*WRONG_TYPES.items()]
    + ([("a number", 5)] if name == "channelName" else [])})
def _(api, name, value):
    api.refused_start(api.request(**{name: value}), 400, name)


@check_each("A03 start: the top level is", {
    "an array": b"[]", "an array of it": b'[{"channelName":"a"}]',
    "a string": b'"abc"', "a number": b"123", "null": b"null",
    "true": b"true"})
def _(api, body):
    api.refused_start(body)


def broken(before=b"", after=b"", old=b"", new=b""):
    """A start request with something wrong in its JSON."""
    good = b'{"channelName":"abc","rtcUid":"1","userUid":"2"}'
    return before + (good.replace(old, new) if old else good) + after


@check_each("A04 start: not JSON", {
    "words": b"not json", "spaces": b"   ",
    "cut in a string": b'{"channelName": "a',
    "cut before the brace": broken()[:-1],
    "trailing garbage": broken(after=b" x"),
    "two documents": broken(after=broken()),
    "a comment": broken(old=b',"rtcUid"', new=b'/*c*/,"rtcUid"'),
    "a line comment": broken(after=b" // c"),
    "single quotes": broken().replace(b'"', b"'"),
    "a trailing comma": broken(old=b'"2"}', new=b'"2",}'),
    "a byte order mark": broken(before=b"\xef\xbb\xbf"),
    "NaN": broken(after=b"").replace(b"}", b',"x":NaN}'),
    "Infinity": broken().replace(b"}", b',"x":Infinity}'),
    "NUL after it": broken(after=b"\0"),
    "a raw newline in a string": broken(old=b"abc", new=b"a\nc"),
    "a raw NUL in a string": broken(old=b"abc", new=b"a\0c"),
    "no quotes around a key": broken(old=b'"rtcUid"', new=b"rtcUid"),
    "not UTF-8": broken(old=b"abc", new=b"\xff\xfe"),
    "overlong UTF-8": broken(old=b"abc", new=b"\xc0\xaf"),
    "a raw surrogate": broken(old=b"abc", new=b"\xed\xa0\x80"),
    "UTF-16": broken().decode().encode("utf-16"),
    "a leading zero": broken(old=b'"1"', new=b"01"),
    "a form": b"channelName=a&rtcUid=1&userUid=2"})
def _(api, body):
    api.refused_start(body)


@check_each("A04 start: a string with", {
    "an escaped NUL": '{"channelName":"a\\u0000b","rtcUid":"1",'
                      '"userUid":"2"}',
    "a lone surrogate": '{"channelName":"\\ud800","rtcUid":"1",'
                        '"userUid":"2"}'})
def _(api, body):
    api.refused_start(body.encode())


def nested(api, levels):
    """A good request whose unknown member has that many levels."""
    body = json.dumps(api.request())
    return (body[:-1] + ',"x":' + "[" * levels + "]" * levels + "}").encode()


@check("A05 start: 20 levels are fine")
def _(api):
    succeeded(api.start(nested(api, 20)))


@check_each("A05 start: too deep", {"33 levels": (33, 400),
                                    "8000 levels": (8000, 400),
                                    "100000 levels": (100000, 413)})
def _(api, levels, status):
    body = nested(api, levels)
    before = api.upstream.calls()
    any_error(api.start(body), status)
    assert api.upstream.calls() == before


@check("A06 start: of duplicate members the last one counts")
def _(api):
    first, last = api.upstream.channel(), api.upstream.channel()
    body = (f'{{"channelName":"{first}","channelName":"{last}","rtcUid":"1",'
            '"rtcUid":"9","userUid":"2"}').encode()
    data = succeeded(api.start(body))["data"]
    assert data["channel_name"] == last
    join = api.upstream.join(last)["properties"]
    assert join["channel"] == last and join["agent_rtc_uid"] == "9"
    assert not api.upstream.joins(first)


def padded(api, size):
    """A good request of exactly that many bytes."""
    body = json.dumps({**api.request(), "pad": ""}).encode()
    return body[:-2] + b"p" * (size - len(body)) + body[-2:]


@check(f"A07 start: a body of {BODY_MAX} bytes is fine")
def _(api):
    body = padded(api, BODY_MAX)
    assert len(body) == BODY_MAX
    succeeded(api.start(body))


@check_each("A07 start: a body over the limit", {
    "16385 bytes": 16385, "20000 bytes": 20000, "65536 bytes": 65536,
    "200000 bytes": 200000, "1000000 bytes": 1000000})
def _(api, size):
    before = api.upstream.calls()
    any_error(api.start(padded(api, size)), 413)
    assert api.upstream.calls() == before
    succeeded(api.start(api.request()))


@check_each("A08 start: content type refused", {
    "text/plain": "text/plain", "form": "application/x-www-form-urlencoded",
    "octet-stream": "application/octet-stream", "garbage": "garbage",
    "multipart": "multipart/form-data; boundary=x", "text/json": "text/json",
    "application/jsonx": "application/jsonx",
    "application/json hidden": "text/plain; application/json"})
def _(api, kind):
    api.refused_start(api.request(), 415, "application/json",
                      headers=[("Content-Type", kind)])


@check_each("A08 start: content type taken", {
    "charset": "application/json; charset=utf-8",
    "upper case": "APPLICATION/JSON", "vendor": "application/vnd.api+json",
    "no space": "application/json;charset=UTF-8"})
def _(api, kind):
    succeeded(api.start(api.request(), headers=[("Content-Type", kind)]))


@check("A08 start: no content type is taken")
def _(api):
    succeeded(api.start(api.request(), headers=[]))


@check_each("A08 stop: content type refused", {
    "form": "application/x-www-form-urlencoded", "garbage": "garbage",
    "text/html": "text/html"})
def _(api, kind):
    api.refused_stop({"agentId": "x"}, 415,
                     headers=[("Content-Type", kind)])


@check("A10 start takes 63 bytes of channel, whole")
def _(api):
    channel = api.upstream.channel().ljust(63, "c")
    api.started(api.request(channelName=channel))
    assert api.upstream.join(channel)["properties"]["channel"] == channel


@check_each("A10 start: channel refused", {
    "64 bytes": "c" * 64, "65 bytes": "c" * 65, "5000 bytes": "c" * 5000,
    "CR LF": "a\r\nb", "DEL": "a\x7fb", "an emoji": "\U0001f600",
    "64 characters of 128 bytes": "\u00e9" * 64, "a tab": "a\tb",
    "UTF-8": "\u9891\u9053"})
def _(api, channel):
    api.refused_start(api.request(channelName=channel), 400, "channelName")


@check("A10 start: every byte 0x20 to 0x7e in a channel",
       only=("fastcgi", "nginx", "apache-fcgid", "apache-proxy"))
def _(api):
    for byte in map(chr, range(0x20, 0x7f)):
        body = api.request(channelName=f"{api.upstream.channel()}{byte}b")
        if byte in ALPHABET:
            api.started(body)
        else:
            api.refused_start(body, 400, "channelName")


BAD_UIDS = {"0": "0", "negative": "-5", "4294967296": "4294967296",
            "256 digits": "9" * 256, "leading zeros": "007",
            "the number 0": 0, "a negative number": -1,
            "the number 4294967296": 4294967296,
            "65 letters": "u" * 65, "null in words": "null",
            "a slash": "a/b", "UTF-8": "\u00fc", "CR LF": "1\r\n2"}


@check_each("A11 start: uid refused", {
    f"{name} {label}": (name, value) for name in ("rtcUid", "userUid")
    for label, value in BAD_UIDS.items()})
def _(api, name, value):
    api.refused_start(api.request(**{name: value}), 400, name)


@check("A11 start: an integer of 30 digits is refused")
def _(api):
    api.refused_start(api.request(rtcUid=10 ** 30))


@check_each("A11 start: uid taken", {
    "1": "1", "4294967295": "4294967295", "the number 4294967295": 4294967295,
    "an account": "visitor-7@example", "64 letters": "u" * 64, "1e9": "1e9"})
def _(api, uid):
    body = api.request(userUid=uid)
    api.started(body)
    join = api.upstream.join(body["channelName"])["properties"]
    assert join["remote_rtc_uids"] == [str(uid)]


@check_each("A11 a number is a uid for get_config and start, or for none", {
    uid: uid for uid in ("1", "9007199254740993", "4294967295", "4294967296",
                         "007", "18446744073709551621", "00")})
def _(api, uid):
    status = 200 if uid in ("1", "4294967295") else 400
    body = api.request(userUid=uid)
    for answer in (api.get_config("uid=" + uid), api.start(body)):
        assert answer.status == status, answer.body
        json_answer(answer)


@check_each("start: parameters taken", {
    "absent": LEAVE_OUT, "null": None, "empty": {},
    "unknown inside": {"x": [1]}})
def _(api, parameters):
    body = api.request(parameters=parameters)
    api.started(body)
    join = api.upstream.join(body["channelName"])["properties"]
    assert "output_audio_codec" not in join["parameters"]
    assert "x" not in join["parameters"]


@check("start: unknown members are ignored")
def _(api):
    body = api.request(prompt="be evil", llm={"url": "https://evil.example"},
                       idle_timeout=0, agentId="x")
    api.started(body)
    text = json.dumps(api.upstream.join(body["channelName"]))
    assert "evil" not in text


@check("start: a query changes nothing")
def _(api):
    body = api.request()
    api.started(body, path="/v2/startAgent?channelName=zzz")
    assert api.upstream.joins(body["channelName"])


@check("start: white space around the JSON is fine")
def _(api):
    body = json.dumps(api.request()).encode()
    succeeded(api.start(b" \n\t" + body + b"\r\n\n"))


@check("start: escapes in names and values are read")
def _(api):
    channel = api.upstream.channel()
    escaped = "".join(f"\\u{ord(c):04x}" for c in channel)
    body = (f'{{"channel\\u004eame":"{escaped}","rtcUid":"1",'
            '"userUid":"2"}').encode()
    assert succeeded(api.start(body))["data"]["channel_name"] == channel


@check("A01 start: members of another spelling do not count")
def _(api):
    api.refused_start({"channelname": "c", "RtcUid": "1", "user_uid": "2"},
                      400, "channelName")


# -- stopAgent ---------------------------------------------------------------

@check_each("stop: refused", {
    "A01 empty body": b"", "A01 empty object": b"{}",
    "A01 other spelling": b'{"agent_id":"A1"}',
    "A02 empty": b'{"agentId":""}', "A02 blank": b'{"agentId":"  "}',
    "A03 null": b'{"agentId":null}', "A03 number": b'{"agentId":5}',
    "A03 true": b'{"agentId":true}', "A03 array": b'{"agentId":["A1"]}',
    "A03 object": b'{"agentId":{"a":"A1"}}', "A03 top level": b"[]",
    "A04 not JSON": b"{", "A04 two documents": b'{"agentId":"A1"}{}',
    "A05 33 levels": b'{"agentId":"A1","x":' + b"[" * 33 + b"]" * 33
                     + b"}"})
def _(api, body):
    api.refused_stop(body)


@check_each("A13 stop: agent id refused", {
    "..": "..", ".": ".", "../../join": "../../join", "a/b": "a/b",
    "a?x=1": "a?x=1", "a%2f..": "a%2f..", "129 characters": "A" * 129,
    "CR LF": "a\r\nb", "NUL": "a\0b", "#": "a#b", "space": "a b",
    "padded": " A1 ", "backslash": "a\\b", "UTF-8": "\u4e2d",
    "markup": "<script>alert(1)</script>"})
def _(api, agent_id):
    answer = api.refused_stop({"agentId": agent_id}, 400, "agentId")
    assert "<script>" not in member_of(answer)


@check("A13 stop: 128 characters and all legal ones reach Agora")
def _(api):
    for agent_id in ("A" * 128, "aZ0._:-"):
        answer = refused(api.stop({"agentId": agent_id}), 404)
        assert answer.json["upstream"]["status"] == 404


@check("stop: an agent that Agora does not know is 404")
def _(api):
    answer = refused(api.stop({"agentId": "NOSUCHAGENT"}), 404)
    assert answer.json["upstream"]["status"] == 404


@check("A06 stop: of duplicate members the last one counts")
def _(api):
    agent_id = api.started(api.request())
    body = f'{{"agentId":"OTHER","agentId":"{agent_id}"}}'.encode()
    succeeded(api.stop(body))
    body = f'{{"agentId":"{agent_id}","agentId":"OTHER"}}'.encode()
    refused(api.stop(body), 404)


@check("stop: the second time is 404")
def _(api):
    agent_id = api.started(api.request())
    succeeded(api.stop({"agentId": agent_id}))
    refused(api.stop({"agentId": agent_id}), 404)


@check("stop: unknown members are ignored")
def _(api):
    agent_id = api.started(api.request())
    succeeded(api.stop({"agentId": agent_id, "channelName": 5, "x": [{}]}))


# -- Methods, heads, paths ---------------------------------------------------

ALLOWED = {"get_config": {"GET", "HEAD"}, "start_agent": {"POST"},
           "stop_agent": {"POST"}}
PATHS = {"get_config": "/get_config", "start_agent": "/v2/startAgent",
         "stop_agent": "/v2/stopAgent"}


def allows(answer, endpoint):
    """The Allow header names the endpoint's methods (and OPTIONS at most)."""
    names = {name.strip() for name in answer.header("Allow").split(",")}
    assert ALLOWED[endpoint] <= names <= ALLOWED[endpoint] | {"OPTIONS"}


@check_each("A14 method refused", {
    f"{method} {PATHS[endpoint]}": (method, endpoint)
    for endpoint in PATHS
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH")
    if method not in ALLOWED[endpoint]})
def _(api, method, endpoint):
    before = api.upstream.calls()
    body = b"" if method in ("GET", "DELETE") else b"{}"
    answer = any_error(api.call(method, PATHS[endpoint], [JSON], body), 405)
    allows(answer, endpoint)
    assert api.upstream.calls() == before


@check_each("A14 TRACE refused", PATHS)
def _(api, path):
    api.server_error(api.call("TRACE", path), 405)


@check("A14 an unknown method is refused")
def _(api):
    any_error(api.call("FOO", "/v2/startAgent"), 400, 405, 501)


@check("A14 HEAD of get_config is GET without the body")
def _(api):
    answer = api.call("HEAD", "/get_config")
    assert answer.status == 200 and answer.body == b""
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Cache-Control") == "no-store"


@check_each("A14 HEAD of a POST route is refused", {
    "start": "/v2/startAgent", "stop": "/v2/stopAgent"})
def _(api, path):
    answer = api.call("HEAD", path)
    assert answer.status == 405 and answer.body == b""


@check_each("A14 OPTIONS asked directly is refused", PATHS, http=False)
def _(api, path):
    refused(api.call("OPTIONS", path), 405)


@check_each("A14 preflight", PATHS, http=True)
def _(api, path):
    answer = api.call("OPTIONS", path, [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type")])
    assert answer.status in (200, 204)
    assert answer.header("Access-Control-Allow-Origin") in (
        "*", "https://app.example")
    assert "POST" in answer.header("Access-Control-Allow-Methods")
    assert "content-type" in answer.header(
        "Access-Control-Allow-Headers").lower()
    assert answer.header("Access-Control-Allow-Credentials") is None


@check("A14 OPTIONS without Origin", http=True)
def _(api):
    answer = api.call("OPTIONS", "/v2/startAgent")
    assert answer.status in (200, 204, 405)


@check_each("A14 CORS headers come with every status", {
    "200": ("GET", "/get_config", 200), "400": ("POST", "/v2/startAgent", 400),
    "405": ("DELETE", "/v2/startAgent", 405)}, http=True)
def _(api, method, path, status):
    cors_comes_with(api, method, path, status)


@check("A14 CORS headers come with 404", http=True, skip=(SHARED_HOST,))
def _(api):
    cors_comes_with(api, "GET", "/nope", 404)


def cors_comes_with(api, method, path, status):
    """Without them the browser hides the error from the page."""
    answer = api.call(method, path, [JSON, ("Origin", "https://app.example")])
    assert answer.status == status
    assert answer.header("Access-Control-Allow-Origin") in (
        "*", "https://app.example")
    assert answer.header("Access-Control-Allow-Credentials") is None


@check_each("A15 a large head", {
    "a query of 8 KB": ("/get_config?x=" + "a" * 8192, []),
    "a URL of 9 KB": ("/get_config?x=" + "a" * 9200, []),
    "a header of 9 KB": ("/get_config", [("X-A", "a" * 9216)]),
    "101 headers": ("/get_config", [(f"X-A{i}", "a") for i in range(101)]),
    "cookies of 7 KB": ("/get_config", [("Cookie", "a=" + "b" * 7000)])})
def _(api, path, headers):
    answer = api.call("GET", path, headers)
    if answer.status == 200:
        succeeded(answer)
    else:
        api.server_error(answer, 400, 413, 414, 431)


@check("B07 a head over 64 KiB is refused", http=False, only=("fastcgi",))
def _(api):
    refused(api.call("GET", "/get_config", [("X-A", "a" * 66000)]), 431)
    succeeded(api.get_config())


@check_each("B13 a Proxy header changes nothing", {
    "Proxy": "Proxy", "Proxy-Connection": "Proxy-Connection",
    "Https-Proxy": "Https-Proxy", "All-Proxy": "All-Proxy"})
def _(api, name):
    body = api.request()
    api.started(body, headers=[JSON, (name, "http://127.0.0.1:9")])
    assert api.upstream.joins(body["channelName"])


@check_each("B13 proxy variables change nothing", {
    name: name for name in ("HTTP_PROXY", "http_proxy", "https_proxy",
                            "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE",
                            "CURL_CA_BUNDLE")}, http=False)
def _(api, name):
    api.started(api.request(), extra={name: "http://127.0.0.1:9"})


@check_each("B06 CONTENT_LENGTH refused", {
    value: value for value in
    ("-1", "-5", "abc", "1e30", "5", "99999999999999999999999", "+2",
     " 81")},
    http=False)
def _(api, value):
    before = api.upstream.calls()
    answer = api.start(api.request(), extra={"CONTENT_LENGTH": value})
    assert 400 <= answer.status < 500, answer.body
    refused(answer, answer.status)
    assert api.upstream.calls() == before


@check("B06 an empty CONTENT_LENGTH is 0", http=False)
def _(api):
    before = api.upstream.calls()
    refused(api.start(b"", extra={"CONTENT_LENGTH": ""}), 400)
    assert api.upstream.calls() == before


@check("B06 without CONTENT_LENGTH the length of STDIN counts",
       only=("fastcgi",))
def _(api):
    succeeded(api.start(api.request(), extra={"CONTENT_LENGTH": None}))


@check("B12 no REQUEST_METHOD is refused", http=False)
def _(api):
    refused(api.get_config(extra={"REQUEST_METHOD": None}), 400)


# -- HTTP framing ------------------------------------------------------------

def http_start(api, headers, body, version="HTTP/1.1"):
    """The bytes of a start request with exactly these headers."""
    lines = [f"POST /v2/startAgent {version}", "Host: localhost",
             "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body, size):
    """The body in the chunked coding."""
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece)
                    for piece in pieces) + b"0\r\n\r\n"


@check("B14 chunked gives the same as a length", http=True)
def _(api):
    body = api.request()
    data = json.dumps(body).encode()
    answer = api.transport.raw(http_start(
        api, ["Transfer-Encoding: chunked"], chunked(data, 7)))
    assert succeeded(answer)["data"]["channel_name"] == body["channelName"]
    answer = api.transport.raw(http_start(
        api, ["Transfer-Encoding: chunked"], chunked(b"{}", 1)))
    refused(answer, 400, "channelName")


@check("B14 chunked over the limit is 413", http=True)
def _(api):
    before = api.upstream.calls()
    answer = api.transport.raw(http_start(
        api, ["Transfer-Encoding: chunked"],
        chunked(padded(api, 40000), 8000)))
    any_error(answer, 413)
    assert api.upstream.calls() == before


@check("B14 Content-Length and Transfer-Encoding together", http=True)
def _(api):
    before = api.upstream.calls()
    data = json.dumps(api.request()).encode()
    answer = api.transport.raw(http_start(
        api, ["Content-Length: 4", "Transfer-Encoding: chunked"],
        chunked(data, 50)))
    # RFC 9112, 6.1: refuse, or let the coding win; never read 4 bytes.
    if answer.status == 200:
        assert api.upstream.calls() == before + 1
    else:
        any_error(answer, 400)
        assert api.upstream.calls() == before


@check("B14 two different Content-Lengths are refused", http=True)
def _(api):
    before = api.upstream.calls()
    data = json.dumps(api.request()).encode()
    answer = api.transport.raw(http_start(
        api, [f"Content-Length: {len(data)}",
              f"Content-Length: {len(data) + 1}"], data))
    api.server_error(answer, 400)
    assert api.upstream.calls() == before


@check("B14 Expect: 100-continue", http=True)
def _(api):
    data = json.dumps(api.request()).encode()
    answer = api.transport.raw(http_start(
        api, ["Expect: 100-continue", f"Content-Length: {len(data)}"], data))
    succeeded(answer)


@check("B14 HTTP/1.0", http=True)
def _(api):
    data = json.dumps(api.request()).encode()
    with api.transport.connect() as connection:
        connection.send(http_start(
            api, [f"Content-Length: {len(data)}"], data, "HTTP/1.0"))
        succeeded(connection.answer())
        assert connection.ended()


@check("B14 pipelined POSTs are answered in order", http=True)
def _(api):
    bodies = [api.request() for _ in range(3)]
    with api.transport.connect() as connection:
        connection.send(b"".join(
            http_bytes("POST", "/v2/startAgent", [JSON],
                       json.dumps(body).encode()) for body in bodies))
        for body in bodies:
            data = succeeded(connection.answer())["data"]
            assert data["channel_name"] == body["channelName"]


@check("B14 a shorter Content-Length cuts the body", http=True)
def _(api):
    before = api.upstream.calls()
    data = json.dumps(api.request()).encode()
    answer = api.transport.raw(http_start(
        api, ["Content-Length: 10", "Connection: close"], data))
    refused(answer, 400)
    assert api.upstream.calls() == before


@check_each("B15 another spelling of other paths", {
    path: path for path in (
        "/get_config/extra", "//get_config", "/get_config;startAgent",
        "/v2/get_config", "/v2/stopAgent/", "//v2//stopAgent",
        "/get_config.fcgi/v2/startAgent", "/v2/stopAgent/startAgent")},
    http=True)
def _(api, path):
    body = api.request(agentId="NOSUCHAGENT")
    for answer in (api.start(body, path=path), api.get_config(path=path)):
        if answer.status == 200:  # then it is what its name says
            assert "get_config" in path and "app_id" in answer.json["data"]
        elif answer.status != 404 or "upstream" not in answer.body.decode():
            api.server_error(answer, 400, 403, 404, 405)
    assert not api.upstream.joins(body["channelName"])


@check_each("B15 another spelling of the path", {
    path: path for path in (
        "/v2/startAgent/extra", "//v2//startAgent", "/v2/startAgent/",
        "/v2%2FstartAgent", "/v2/startAgent%00", "/v2/startagent",
        "/v2/../v2/startAgent", "/v2/./startAgent", "/v2/startAgent;x",
        "/v2/startAgent.", "/api/api/startAgent", "/v1/startAgent",
        "/start_agent.fcgi", "/v2/startAgent%2F..%2F..%2Fget_config")},
    http=True)
def _(api, path):
    body = api.request()
    answer = api.start(body, path=path)
    if answer.status == 200:
        data = succeeded(answer)["data"]
        assert data["channel_name"] == body["channelName"]
    else:
        api.server_error(answer, 400, 403, 404, 405)
        assert not api.upstream.joins(body["channelName"])


@check_each("B15 an unknown path is 404 in JSON", {
    path: path for path in ("/", "/nope", "/v2", "/v2/", "/health",
                            "/get_config/", "/GET_CONFIG", "/.env",
                            "/.env.local", "/docs")}, http=True,
    skip=(SHARED_HOST,))
def _(api, path):
    any_error(api.call("GET", path), 403, 404)


SPLIT = "x%0d%0aX-Injected: 1%0d%0a%0d%0aHTTP/1.1 200 OK"


@check_each("B16 response splitting", {
    "Origin": ("/get_config", [("Origin", SPLIT)]),
    "request id": ("/get_config", [("X-Request-Id", SPLIT)]),
    "channel": ("/get_config?channel=a%0d%0aX-Injected:%201", []),
    "uid": ("/get_config?uid=1%0d%0aX-Injected:%201", []),
    "a parameter's name": ("/get_config?%0d%0aX-Injected:%201=1", [])})
def _(api, path, headers):
    answer = api.call("GET", path, headers)
    assert b"x-injected" not in answer.raw_head.lower()
    assert b"%0d" not in answer.raw_head.lower()
    assert answer.json


@check_each("B16 half a line end in a header", {
    "CR": b"\r", "LF": b"\n", "NUL": b"\0", "a folded line": b"\r\n "},
    http=True)
def _(api, end):
    for name in (b"Origin", b"X-Request-Id", b"Access-Control-Request-Method"):
        answer = api.transport.raw(
            b"GET /get_config HTTP/1.1\r\nHost: localhost\r\n" + name
            + b": x" + end + b"X-Injected: 1\r\nConnection: close\r\n\r\n")
        assert answer.header("X-Injected") is None
        assert b"x-injected" not in answer.raw_head.lower()
        if answer.status != 200:
            api.server_error(answer, 400)


@check_each("B16 response splitting with raw bytes", {
    name: name for name in ("REQUEST_ID", "UNIQUE_ID", "HTTP_ORIGIN",
                            "QUERY_STRING", "REQUEST_METHOD", "REQUEST_URI",
                            "SERVER_PROTOCOL", "HTTP_X_REQUEST_ID")},
    http=False)
def _(api, name):
    answer = api.get_config(extra={name: "x\r\nX-Injected: 1\r\n\r\nbody"})
    assert b"x-injected" not in answer.raw_head.lower()
    assert answer.json


@check("B16 response splitting in members")
def _(api):
    split = "a\r\nX-Injected: 1"
    for answer in (api.start(api.request(channelName=split)),
                   api.start(api.request(userUid=split)),
                   api.stop({"agentId": split})):
        refused(answer, 400)
        assert b"x-injected" not in answer.raw_head.lower()


@check_each("the web server's request id is taken", {
    "REQUEST_ID": "REQUEST_ID", "UNIQUE_ID": "UNIQUE_ID"}, http=False)
def _(api, name):
    for request_id in ("abc-DEF_0.9@x", "a" * 64):
        answer = api.get_config(extra={name: request_id})
        assert answer.header("X-Request-Id") == request_id


@check_each("a bad request id is replaced", {
    "65 characters": "a" * 65, "a space": "a b", "empty": "",
    "UTF-8": "\u00fc"}, http=False)
def _(api, request_id):
    answer = api.get_config(extra={"REQUEST_ID": request_id})
    assert answer.header("X-Request-Id") != request_id
    succeeded(answer)


@check("every answer has its own request id")
def _(api):
    ids = {api.get_config().header("X-Request-Id") for _ in range(3)}
    assert len(ids) == 3


# -- Errors of Agora ---------------------------------------------------------

@check("an error of Agora is 500 with its status and reason")
def _(api):
    body = api.request()
    api.upstream.fault(body["channelName"], status=403, body=json.dumps(
        {"detail": "secret words", "reason": "ServiceNotEnabled"}))
    answer = refused(api.start(body), 500)
    assert answer.json["upstream"] == {"status": 403,
                                       "reason": "ServiceNotEnabled"}
    assert b"secret words" not in answer.body


# -- Access control ----------------------------------------------------------

@check("issued channels: an own session works", profile="issued")
def _(api):
    config = api.config()
    again = api.config(f"channel={config['channel_name']}"
                       f"&uid={config['uid']}")
    assert again["agent_uid"] == config["agent_uid"]
    agent_id = api.started({"channelName": config["channel_name"],
                            "rtcUid": config["agent_uid"],
                            "userUid": int(config["uid"])})
    succeeded(api.stop({"agentId": agent_id}))


@check("issued channels: a foreign channel is 403", profile="issued")
def _(api):
    api.refused_start(api.request(), 403)
    refused(api.get_config("channel=foreign&uid=5"), 403)


@check_each("issued channels: another uid is 403", {
    "rtcUid": "rtcUid", "userUid": "userUid"}, profile="issued")
def _(api, name):
    config = api.config()
    body = {"channelName": config["channel_name"],
            "rtcUid": config["agent_uid"], "userUid": config["uid"]}
    body[name] = str(int(body[name]) ^ 1)
    api.refused_start(body, 403)


@check("issued channels: renewal with another uid is 403", profile="issued")
def _(api):
    config = api.config()
    other = int(config["uid"]) ^ 1
    refused(api.get_config(f"channel={config['channel_name']}&uid={other}"),
            403)
    refused(api.get_config(f"channel={config['channel_name']}"), 403)


@check("D01 issued channels: each character changed is 403",
       profile="issued", only=("fastcgi", "nginx"))
def _(api):
    config = api.config()
    name = config["channel_name"]
    for at, old in enumerate(name):
        new = "3" if old == "2" else "2"
        api.refused_start({"channelName": name[:at] + new + name[at + 1:],
                           "rtcUid": config["agent_uid"],
                           "userUid": config["uid"]}, 403)


# -- Not configured ----------------------------------------------------------

@check_each("unconfigured: 500", {
    "get_config": ("GET", "/get_config", b""),
    "start": ("POST", "/v2/startAgent",
              b'{"channelName":"c","rtcUid":"1","userUid":"2"}'),
    "stop": ("POST", "/v2/stopAgent", b'{"agentId":"x"}')},
    profile="unconfigured")
def _(api, method, path, body):
    headers = [JSON] if body else []
    refused(api.call(method, path, headers, body), 500, UNCONFIGURED)


@check("unconfigured: the method counts first", profile="unconfigured")
def _(api):
    any_error(api.call("POST", "/get_config", [JSON], b"{}"), 405)
