"""Who may call: keys, tokens, pages, how often (README, "Who may call").

D01 to D11 of the test list; D01 over all transports is in checks.py, and
nginx's own limit is D08 in test_deploy.py.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import os
import pwd
import shutil
import signal
import struct
import subprocess
import time
import zlib

import accesstoken
import fcgi_client
import pytest

from checks import JSON, Api, any_error, refused, succeeded
from processes import PATIENCE, SANITIZED, WRAPPED, wait_until
from rig import HTTP_KINDS, KINDS, PROFILES
from servers import WEB_USER, share
from transports import Cgi, FastCgi, cgi_params, http_bytes, parse_cgi

DIRECT = ("cgi", "fastcgi")
FIRST, SECOND = PROFILES["keys"]["API_KEYS"].split(",")
GOOD = "https://good.example"
EVIL = "https://evil.example"

over = pytest.mark.parametrize("kind", KINDS)
over_http = pytest.mark.parametrize("kind", HTTP_KINDS)
as_root = pytest.mark.skipif(WRAPPED or os.geteuid() != 0,
                             reason="needs another user")
direct = pytest.mark.parametrize("kind", DIRECT)


def api_of(rig, kind, profile):
    """The product over that transport with those settings."""
    return Api(rig.transport(kind, profile), rig.upstream)


def headers_of(text):
    """"Name: value" lines as the pairs that a request takes."""
    return [tuple(line.split(": ", 1)) for line in text.split("\n") if line]


def unauthorized(answer):
    """A 401 as HTTP wants it."""
    refused(answer, 401)
    assert answer.header("WWW-Authenticate") == "Bearer"


# -- D01 to D03: channel names -----------------------------------------------

def mac(key, *parts):
    """HMAC-SHA256 over the parts."""
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def issued(upstream, when, uid):
    """The start of a session that get_config would have begun at ${when}:
    written from the description in channel.h."""
    key = mac(upstream.certificate.encode(), b"agora-agent channel v1")
    nonce = os.urandom(5)
    tag = mac(key, b"name\0", struct.pack("<Q", when), nonce, uid.encode())

    def base32(data):
        return base64.b32encode(data).decode().lower().rstrip("=")
    name = f"channel_{when}_{base32(nonce)}{base32(tag[:15])[:20]}"
    number = struct.unpack("<Q", mac(key, b"agent\0", name.encode(), b"\0",
                                     uid.encode())[:8])[0]
    return {"channelName": name, "userUid": uid,
            "rtcUid": str(10000000 + number % 90000000)}


AGES = {"fresh": (0, 200), "almost a day": (86400 - 30, 200),
        "a day": (86400 + 2, 403), "a year": (365 * 86400, 403),
        "30 s in the future": (-30, 200), "120 s in the future": (-120, 403)}


@direct
@pytest.mark.parametrize("age, status", AGES.values(), ids=AGES)
def test_d02_age_of_issued_channels(rig, kind, age, status):
    """Good for as long as the token that came with it."""
    api = api_of(rig, kind, "issued")
    body = issued(rig.upstream, int(time.time()) - age, "1234567")
    if status == 200:
        api.started(body)
    else:
        api.refused_start(body, status)


@over
def test_d03_open_channels(rig, kind):
    """CHANNELS=open: anybody's channel is served."""
    api = api_of(rig, kind, "default")
    api.started(api.request())


# -- D04: keys ---------------------------------------------------------------

NO_KEY = {
    "none": "",
    "wrong": "Authorization: Bearer wrong-key-0123456789",
    "wrong X-Api-Key": "X-Api-Key: wrong-key-0123456789",
    "cut": f"Authorization: Bearer {FIRST[:-1]}",
    "longer": f"Authorization: Bearer {FIRST}x",
    "other case": f"Authorization: Bearer {FIRST.upper()}",
    "two of them": f"Authorization: Bearer {FIRST},{SECOND}",
    "the list": f"X-Api-Key: {FIRST}, {SECOND}",
    "no scheme": f"Authorization: {FIRST}",
    "scheme alone": "Authorization: Bearer",
    "another scheme": f"Authorization: Basic {FIRST}",
    "scheme without a space": f"Authorization: Bearer{FIRST}",
    "disagreeing": f"Authorization: Bearer {FIRST}\n"
                   "X-Api-Key: wrong-key-0123456789",
    "disagreeing, both good": f"Authorization: Bearer {FIRST}\n"
                              f"X-Api-Key: {SECOND}",
}
KEY = {
    "bearer": f"Authorization: Bearer {FIRST}",
    "the second one": f"Authorization: Bearer {SECOND}",
    "small letters": f"authorization: bearer {FIRST}",
    "extra spaces": f"Authorization: Bearer   {FIRST} ",
    "X-Api-Key": f"X-Api-Key: {SECOND}",
    "both": f"Authorization: Bearer {FIRST}\nX-Api-Key: {FIRST}",
    "beside a password": f"Authorization: Basic eDp5\nX-Api-Key: {FIRST}",
}


@over
@pytest.mark.parametrize("text", NO_KEY.values(), ids=NO_KEY)
def test_d04_no_good_key(rig, kind, text):
    """401 at all three, and Agora is not called."""
    api = api_of(rig, kind, "keys")
    before = rig.upstream.calls()
    shown = headers_of(text)
    unauthorized(api.get_config(headers=shown))
    unauthorized(api.start(api.request(), [JSON, *shown]))
    unauthorized(api.stop({"agentId": "A1"}, [JSON, *shown]))
    assert rig.upstream.calls() == before


@over
@pytest.mark.parametrize("text", KEY.values(), ids=KEY)
def test_d04_good_key(rig, kind, text):
    """Served at all three, through Apache too, which keeps Authorization
    from programs unless it is told otherwise."""
    api = api_of(rig, kind, "keys")
    shown = headers_of(text)
    api.config(headers=shown)
    agent_id = api.started(api.request(), headers=[JSON, *shown])
    succeeded(api.stop({"agentId": agent_id}, [JSON, *shown]))


@over_http
def test_d04_two_lines_of_a_header(rig, kind):
    """Neither is believed, whichever comes first."""
    transport = rig.transport(kind, "keys")
    for name, prefix in (("Authorization", "Bearer "), ("X-Api-Key", "")):
        for keys in ((FIRST, "wrong"), ("wrong", FIRST), (FIRST, SECOND)):
            shown = [(name, prefix + key) for key in keys]
            any_error(transport.raw(http_bytes("GET", "/get_config", shown,
                                               b"")), 400, 401)


@over
@pytest.mark.parametrize("size", [257, 4000, 100000, 1000000])
def test_d04_huge_key(rig, kind, size):
    """Refused by whoever finds it too large first; the next one is served."""
    api = api_of(rig, kind, "keys")
    if kind == "cgi" and size > 100000:
        pytest.skip("execve(2) takes 128 KiB")
    for name, prefix in (("Authorization", "Bearer "), ("X-Api-Key", "")):
        try:
            answer = api.get_config(headers=[(name, prefix + "k" * size)])
        except ConnectionError:
            continue  # the server hung up while the rest was being sent
        api.server_error(answer, 400, 401, 431)
        api.config(headers=[("X-Api-Key", FIRST)])


@direct
def test_d04_apaches_second_name(rig, kind):
    """After an internal redirect the variable has another name."""
    api = api_of(rig, kind, "keys")
    name = "REDIRECT_HTTP_AUTHORIZATION"
    succeeded(api.get_config(extra={name: f"Bearer {FIRST}"}))
    unauthorized(api.get_config(extra={name: "Bearer wrong"}))
    unauthorized(api.get_config(extra={
        name: f"Bearer {FIRST}", "HTTP_AUTHORIZATION": "Bearer wrong"}))


def test_d04_key_in_the_query(rig):
    """Queries end up in logs: no key is taken from there."""
    api = api_of(rig, "fastcgi", "keys")
    unauthorized(api.get_config(f"api_key={FIRST}&key={FIRST}"))


# -- D06: the caller's token -------------------------------------------------

CHANNEL, UID = "room 1", "1234567"


def token(upstream, channel=CHANNEL, account=UID, **changes):
    """A token as get_config makes it, or one with changes."""
    how = {"app_id": upstream.sandbox.app_id,
           "certificate": upstream.certificate,
           "issue_ts": int(time.time()), "expire": 3600, "salt": 1, **changes}
    services = how.pop("services", None)
    if services is None:
        services = accesstoken.rtc_rtm(channel, account, how["expire"])
    return accesstoken.build(how.pop("app_id"), how.pop("certificate"),
                             services, **how)


def salted(text):
    """The token with another salt, its signature as it was."""
    payload = bytearray(zlib.decompress(base64.b64decode(text[3:])))
    payload[34 + 34 + 8] ^= 1  # signature, app id, two times
    packed = zlib.compress(bytes(payload))
    return "007" + base64.b64encode(packed).decode()


def bomb(size):
    """A token of at most ${size} characters that inflates to 1000 times."""
    packed = zlib.compress(b"\0" * (size * 700), 9)
    text = "007" + base64.b64encode(packed).decode()
    assert len(text) <= size and len(packed) > size // 3
    return text


# What is shown, made when there is an upstream.
NO_TOKEN = {
    "another app": lambda up: token(up, app_id="f" * 32),
    "another certificate": lambda up: token(up, certificate="e" * 32),
    "another channel": lambda up: token(up, channel="room 2"),
    "expired": lambda up: token(up, issue_ts=int(time.time()) - 3602),
    "another salt": lambda up: salted(token(up)),
    "no RTC": lambda up: token(
        up, services=accesstoken.rtc_rtm(CHANNEL, UID, 3600)[1:]),
    "no right to join": lambda up: token(up, services=[accesstoken.Service(
        accesstoken.RTC, {2: 3600}, {"channel": CHANNEL, "account": UID})]),
    "version 006": lambda up: "006" + token(up)[3:],
    "cut": lambda up: token(up)[:-5],
    "bomb": lambda up: bomb(1024),
    "no base64": lambda up: "007*&$",
    "007": lambda up: "007",
}


def start_body():
    """A start in the token's channel."""
    return {"channelName": CHANNEL, "userUid": UID, "rtcUid": "58888506"}


@pytest.mark.parametrize("kind", ["cgi", "fastcgi", "nginx", "apache-fcgid",
                                  "apache-proxy", "apache-cgi"])
@pytest.mark.parametrize("make", NO_TOKEN.values(), ids=NO_TOKEN)
def test_d06_no_good_token(rig, kind, make):
    """403, over either header, and Agora is not called."""
    api = api_of(rig, kind, "token")
    before = rig.upstream.calls()
    text = make(rig.upstream)
    for shown in (("Authorization", "agora token=" + text),
                  ("X-Agora-Token", text)):
        refused(api.start(start_body(), [JSON, shown]), 403)
        refused(api.stop({"agentId": "A1", "channelName": CHANNEL},
                         [JSON, shown]), 403)
    assert rig.upstream.calls() == before


@over
def test_d06_good_token(rig, kind):
    """What get_config hands out opens start and stop of its own channel."""
    api = api_of(rig, kind, "token")
    config = api.config()
    body = {"channelName": config["channel_name"], "userUid": config["uid"],
            "rtcUid": config["agent_uid"]}
    shown = ("Authorization", "agora token=" + config["token"])
    agent_id = api.started(body, headers=[JSON, shown])
    stop = {"agentId": agent_id, "channelName": config["channel_name"]}
    succeeded(api.stop(stop, [JSON, ("X-Agora-Token", config["token"])]))


@over
def test_d06_what_a_token_is_for(rig, kind):
    """None: 401. A start is for the token's user, a stop for its channel."""
    api = api_of(rig, kind, "token")
    other = token(rig.upstream, account="7654321")
    mine = [JSON, ("X-Agora-Token", token(rig.upstream))]
    stop = {"agentId": "A1", "channelName": CHANNEL}
    unauthorized(api.start(start_body()))
    unauthorized(api.stop(stop))
    unauthorized(api.start(start_body(), [JSON, ("Authorization",
                                                 "Bearer x")]))
    refused(api.start(start_body(), [JSON, ("X-Agora-Token", other)]), 403)
    refused(api.stop({"agentId": "A1"}, mine), 400, "channelName")
    refused(api.stop(dict(stop, channelName=7), mine), 400, "channelName")
    refused(api.stop(dict(stop, channelName="room 2"), mine), 403)
    refused(api.stop(stop, mine), 404)  # passed; Agora knows no such agent
    refused(api.stop(stop, [JSON, ("X-Agora-Token", other)]), 404)
    unauthorized(api.start(start_body(), [
        *mine, ("Authorization", "agora token=" + other)]))
    assert api.config()["uid"]


@over
def test_d06_key_and_token(rig, kind):
    """A server's key in one header, its visitor's token in the other."""
    api = api_of(rig, kind, "keys and token")
    channel = rig.upstream.channel()
    body = dict(start_body(), channelName=channel)
    proof = ("X-Agora-Token", token(rig.upstream, channel))
    key = ("Authorization", f"Bearer {FIRST}")
    unauthorized(api.start(body, [JSON, proof]))
    unauthorized(api.start(body, [JSON, key]))
    api.started(body, headers=[JSON, key, proof])


def resident(pid):
    """KiB of memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith("VmRSS"))


@pytest.mark.skipif(SANITIZED, reason="it keeps what was freed")
def test_d06_bombs_cost_nothing(rig):
    """Inflating ends at a kilobyte; unbounded, one takes 700 KB."""
    transport = rig.transport("fastcgi", "token")
    api = Api(transport, rig.upstream)
    shown = [JSON, ("X-Agora-Token", bomb(1024))]
    workers = transport.program["start_agent"].workers()
    for _ in range(50):
        refused(api.start(start_body(), shown), 403)
    before = {pid: resident(pid) for pid in workers}
    for _ in range(200):
        refused(api.start(start_body(), shown), 403)
    for pid in workers:
        assert resident(pid) <= before[pid] + 256 * PATIENCE


# -- D09: pages --------------------------------------------------------------

FOREIGN = {
    "foreign": f"Origin: {EVIL}",
    "null": "Origin: null",
    "suffix": f"Origin: {GOOD}.evil",
    "prefix": "Origin: https://evilgood.example",
    "sub-domain": "Origin: https://sub.good.example",
    "port": f"Origin: {GOOD}:8443",
    "default port": f"Origin: {GOOD}:443",
    "no port": "Origin: http://localhost",
    "scheme": "Origin: http://good.example",
    "upper case": "Origin: https://GOOD.example",
    "upper-case scheme": "Origin: HTTPS://good.example",
    "slash": f"Origin: {GOOD}/",
    "two": f"Origin: {GOOD} {EVIL}",
    "the list": f"Origin: {PROFILES['origins']['ALLOWED_ORIGINS']}",
    "cross-site without an origin": "Sec-Fetch-Site: cross-site",
    "foreign, said to be ours": f"Origin: {EVIL}\n"
                                "Sec-Fetch-Site: same-origin",
}
OURS = {
    "listed": f"Origin: {GOOD}",
    "the second one": "Origin: http://localhost:3000",
    "listed, cross-site": f"Origin: {GOOD}\nSec-Fetch-Site: cross-site",
    "no browser": "",
    "same site": "Sec-Fetch-Site: same-site",
    "typed in": "Sec-Fetch-Site: none",
}


@over
@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_d09_foreign_pages(rig, kind, text):
    """403 at all three, and Agora is not called."""
    api = api_of(rig, kind, "origins")
    before = rig.upstream.calls()
    shown = headers_of(text)
    refused(api.get_config(headers=shown), 403, "origin")
    refused(api.start(api.request(), [JSON, *shown]), 403, "origin")
    refused(api.stop({"agentId": "A1"}, [("Content-Type", "text/plain"),
                                         *shown]), 403, "origin")
    assert rig.upstream.calls() == before


@over
@pytest.mark.parametrize("text", OURS.values(), ids=OURS)
def test_d09_our_pages(rig, kind, text):
    """Served, as is whatever is no browser."""
    api = api_of(rig, kind, "origins")
    shown = headers_of(text)
    api.config(headers=shown)
    api.started(api.request(), headers=[JSON, *shown])


@over_http
def test_d09_two_origins(rig, kind):
    """The listed one first or last: refused."""
    transport = rig.transport(kind, "origins")
    for pair in ((GOOD, EVIL), (EVIL, GOOD)):
        shown = [("Origin", origin) for origin in pair]
        any_error(transport.raw(http_bytes("GET", "/get_config", shown,
                                           b"")), 400, 403)


# -- D08, D11: how often -----------------------------------------------------

CLAIMS = [("X-Forwarded-For", "203.0.113.{}"), ("X-Real-Ip", "203.0.113.{}"),
          ("Forwarded", "for=203.0.113.{}"), ("Client-Ip", "203.0.113.{}"),
          ("X-Forwarded-For", "203.0.113.{}, 127.0.0.1")]
LIMIT = 3  # of the profile "limited", per hour


def limited(answer):
    """A 429 that says when to come again."""
    refused(answer, 429, "try again in")
    assert 1100 <= int(answer.header("Retry-After")) <= 1200
    return answer


@over
def test_d11_whatever_a_client_claims(rig, kind):
    """One limit for one peer, over all workers and processes; what it says
    about itself counts nothing. Nothing but starts is limited."""
    api = api_of(rig, kind, "limited")
    for i in range(LIMIT):
        # What starts nothing is not counted.
        refused(api.start({"channelName": "x"}), 400)
        name, value = CLAIMS[i % len(CLAIMS)]
        api.started(api.request(),
                    headers=[JSON, (name, value.format(i))])
    before = rig.upstream.calls()
    for i, (name, value) in enumerate(CLAIMS):
        limited(api.start(api.request(),
                          [JSON, (name, value.format(100 + i))]))
    assert rig.upstream.calls() == before
    api.config()
    refused(api.stop({"agentId": "A1"}), 404)


NETWORKS = {
    "IPv4": ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
    "IPv6": ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff",
             "2001:db8:0:2::1"),
    "IPv4 in IPv6": ("::ffff:192.0.2.9", "192.0.2.9", "::ffff:192.0.2.10"),
    "no address": ("unix:", "unix:", "192.0.2.20"),
}


@direct
@pytest.mark.parametrize("one, same, other", NETWORKS.values(), ids=NETWORKS)
def test_d11_networks(rig, kind, one, same, other):
    """IPv6 counts by /64: an address in it is anybody's to choose."""
    api = api_of(rig, kind, "limited")
    for i in range(LIMIT):
        succeeded(api.start(api.request(), extra={
            "REMOTE_ADDR": same if i % 2 else one}))
    limited(api.start(api.request(), extra={"REMOTE_ADDR": one}))
    limited(api.start(api.request(), extra={"REMOTE_ADDR": same}))
    succeeded(api.start(api.request(), extra={"REMOTE_ADDR": other}))


def start_from(api, address, port):
    """One start from a loopback address of its own; the status."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=30 * PATIENCE,
        source_address=(address, 0))
    try:
        body = (b'{"channelName":"%s","rtcUid":"2","userUid":"1"}'
                % api.upstream.channel().encode())
        connection.request("POST", "/v2/startAgent", body,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status == 429:
            assert b'"detail":"' in data and answer.getheader("Retry-After")
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["nginx", "apache-fcgid", "apache-proxy"])
def test_d08_flood(rig, kind):
    """20 addresses, 20 starts each, at once: each gets its share and no more;
    the rest is 429 in JSON; get_config is served meanwhile."""
    api = Api(rig.new(kind, "limited"), rig.upstream)
    port = api.transport.server.port
    addresses = [f"127.0.1.{i}" for i in range(1, 21)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = {address: [] for address in addresses}
        sent = [(address, pool.submit(start_from, api, address, port))
                for _ in range(20) for address in addresses]
        for _ in range(20):
            api.config()
        for address, future in sent:
            statuses[address].append(future.result())
    for address in addresses:
        assert sorted(set(statuses[address])) == [200, 429]
        assert statuses[address].count(200) == LIMIT, address


def start_directly(program, address, channel):
    """One start over FastCGI; the status, or None when its worker died."""
    body = (b'{"channelName":"%s","rtcUid":"2","userUid":"1"}'
            % channel.encode())
    params = cgi_params("POST", "/v2/startAgent", [JSON], body,
                        {"REMOTE_ADDR": address})
    try:
        answer = fcgi_client.request(program.socket, params, body,
                                     timeout=30 * PATIENCE)
        return parse_cgi(answer.stdout).status
    except (OSError, fcgi_client.ConnectionEnded):
        return None


def test_d08_workers_killed_while_limiting(rig):
    """kill -9 of workers, again and again: the limit holds, and what is left
    of the table works."""
    program = rig.programs.listen("start_agent", rig.env_file("limited"), 4)
    addresses = [f"192.0.2.{i}" for i in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(start_directly, program, address,
                            rig.upstream.channel())
                for _ in range(12) for address in addresses]
        killed = 0
        while not all(future.done() for future in sent):
            for pid in program.workers()[:2]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            time.sleep(0.15)
        statuses = [future.result() for future in sent]
    assert killed >= 2
    assert statuses.count(200) <= LIMIT * len(addresses)
    program.workers(4)
    assert start_directly(program, addresses[0], "after") in (200, 429)
    wait_until(lambda: start_directly(
        program, "198.51.100.1", rig.upstream.channel()) == 200,
        10 * PATIENCE, "a start of somebody else")


def open_to_all(path):
    """What no state folder may be."""
    os.chmod(path, 0o777)


def another_users(path):
    """Nor this."""
    os.chown(path, 4321, -1)
    os.chmod(path, 0o755)


# What may be in the way of a state folder, and what is said of it.
IN_THE_WAY = {
    "others": (open_to_all, b"others may write there"),
    "foreign": (another_users, b"belongs to another user"),
}
in_the_way = pytest.mark.parametrize(
    "spoil, why", [pytest.param(*how, marks=as_root) for how in
                   IN_THE_WAY.values()], ids=IN_THE_WAY)


def who():
    """Any user, for subprocess.Popen(): the web server's, who may read a
    settings file of the rig's."""
    user = pwd.getpwnam(WEB_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [],
            "cwd": "/"}


def folder_of(rig, user):
    """A new folder of that user's."""
    folder = rig.programs.file("state")
    os.mkdir(folder, 0o700)
    os.chown(folder, user, -1)
    return folder


def start_as_cgi(rig, env_file, log, how, **env):
    """One start by one process; its answer."""
    body = (b'{"channelName":"%s","rtcUid":"2","userUid":"1"}'
            % rig.upstream.channel().encode())
    params = cgi_params("POST", "/v2/startAgent", [JSON], body, env)
    with open(log.path, "ab") as stderr:
        done = subprocess.run(
            [rig.programs.path("start_agent")], input=body, stderr=stderr,
            env=rig.programs.environment({"AGORA_ENV_FILE": env_file,
                                          **params}),
            stdout=subprocess.PIPE, timeout=60 * PATIENCE, check=True, **how)
    return parse_cgi(done.stdout)


def check_as(rig, env_file, how):
    """What --check says."""
    return subprocess.run(
        [rig.programs.path("get_config"), "--check"],
        env=rig.programs.environment({"AGORA_ENV_FILE": env_file}),
        stdout=subprocess.PIPE, timeout=30 * PATIENCE, check=True,
        **how).stdout


@in_the_way
def test_limit_without_its_folder(rig, spoil, why):
    """A STATE_DIR of no use: said once in the log and by --check, and each
    process counts for itself."""
    folder = folder_of(rig, os.geteuid())
    spoil(folder)
    env_file = rig.env_file("limited", STATE_DIR=folder)
    program = rig.programs.listen("start_agent", env_file, workers=0)
    statuses = [start_directly(program, "192.0.2.1", rig.upstream.channel())
                for _ in range(LIMIT + 2)]
    assert statuses == [200] * LIMIT + [429] * 2
    assert program.log.text().count(b"STATE_DIR: " + folder.encode() + b": "
                                    + why + b"; this process") == 1
    assert not os.listdir(folder)
    assert b"state: not judged" in check_as(rig, env_file, {})
    said = check_as(rig, env_file, who())
    assert f"STATE_DIR: {folder}: ".encode() in said
    assert b"CGI programs start nothing" in said


@in_the_way
def test_limit_of_cgi_without_its_folder(rig, spoil, why):
    """One that serves one request cannot count: nothing is started. Without
    a limit it does not matter."""
    how = who()
    folder = folder_of(rig, how["user"])
    spoil(folder)
    env_file = rig.env_file("limited", STATE_DIR=folder)
    log = rig.programs.log_file("cgi.log")
    before = rig.upstream.calls()
    for _ in range(LIMIT + 2):
        refused(start_as_cgi(rig, env_file, log, how), 500, "START_LIMIT")
    assert rig.upstream.calls() == before
    assert b"STATE_DIR: " + folder.encode() + b": " + why in log.text()
    env_file = rig.env_file("default", STATE_DIR=folder)
    succeeded(start_as_cgi(rig, env_file, log, how))


@as_root
def test_limit_of_cgi_in_the_next_folder(rig):
    """One in which a neighbour was first leads to the next; only where there
    is none left, nothing is started."""
    how = dict(who(), user=70000 + os.getpid())
    tmp = f"/tmp/agora-agent-{how['user']}"
    runtime = folder_of(rig, how["user"])
    settings = rig.upstream.settings(START_LIMIT=f"{LIMIT}/3600")
    settings.pop("STATE_DIR")
    env_file = rig.programs.env_file(settings, mode=0o640)
    share(env_file)
    log = rig.programs.log_file("cgi.log")

    def start():
        return start_as_cgi(rig, env_file, log, how,
                            RUNTIME_DIRECTORY=runtime)

    try:
        succeeded(start())
        assert os.listdir(runtime)
        os.chown(runtime, 4321, -1)
        for _ in range(LIMIT):
            succeeded(start())
        limited(start())
        shutil.rmtree(tmp)
        os.mkdir(tmp)
        refused(start(), 500, "START_LIMIT")
        assert f"STATE_DIR: {tmp}: belongs to another".encode() in log.text()
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


@direct
def test_retry_after_is_no_longer_than_the_period(rig, kind):
    """One start a minute: after a minute, not 61 seconds."""
    env_file = rig.env_file("limited", START_LIMIT="1/60")
    api = Api(Cgi(rig.programs, env_file) if kind == "cgi"
              else FastCgi(rig.programs, env_file), rig.upstream)
    api.started(api.request())
    answer = refused(api.start(api.request()), 429, "try again in")
    assert 50 <= int(answer.header("Retry-After")) <= 60
