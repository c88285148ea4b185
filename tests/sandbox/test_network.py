"""What can go wrong around a request: the connection, TLS, and answers that
mislead or flood. Each as a client of the sandbox meets it."""

import asyncio
import email.utils
import gzip
import http.client
import json
import socket
import ssl
import time

import pytest

import network
from client import Sandbox

UID = "58888506"


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another host, to which nobody should be led."""
    with Sandbox(tmp_path_factory.mktemp("second")) as started:
        yield started


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same without TLS."""
    with Sandbox(tmp_path_factory.mktemp("plain"), "--plain-http") as started:
        yield started


def tcp(sandbox, seconds=10):
    return socket.create_connection((sandbox.host, sandbox.port), seconds)


def tls(sandbox, sock):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    return context.wrap_socket(sock, server_hostname="localhost")


def request(sandbox, channel="room", *extra):
    """The head and the body of a join."""
    body = json.dumps(sandbox.join_body(channel)).encode()
    lines = (
        f"POST /api/conversational-ai-agent/v2/projects/{sandbox.app_id}/join"
        " HTTP/1.1", "Host: x", "Content-Type: application/json",
        f"Authorization: agora token={sandbox.token(channel, UID)}",
        f"Content-Length: {len(body)}", *extra, "", "")
    return "\r\n".join(lines).encode(), body


# -- Connections ------------------------------------------------------------

def test_refused(sandbox):
    sandbox.network("refused")
    with pytest.raises(ConnectionRefusedError):
        sandbox.join("room")
    assert sandbox.health()["network"] == "refused"


def test_silent_drops_the_first_packet(sandbox):
    sandbox.network("silent")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            tcp(sandbox, 0.5)


def test_mute_never_finishes_the_handshake(sandbox):
    sandbox.network("mute")
    with tcp(sandbox, 0.5) as sock:
        with pytest.raises(TimeoutError):
            tls(sandbox, sock)


def test_close_hangs_up_during_the_handshake(sandbox):
    sandbox.network("close")
    with tcp(sandbox) as sock:
        with pytest.raises((ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            tls(sandbox, sock)


def test_reset_follows_the_connect(sandbox):
    sandbox.network("reset")
    with pytest.raises(ConnectionResetError):
        with tcp(sandbox) as sock:
            tls(sandbox, sock)


def test_plain_speaks_no_tls(sandbox):
    sandbox.network("plain")
    with tcp(sandbox) as sock:
        with pytest.raises(ssl.SSLError, match="WRONG_VERSION|RECORD"):
            tls(sandbox, sock)


def test_old_tls(sandbox):
    sandbox.network("tls1.1")
    with tcp(sandbox) as sock:
        with pytest.raises(ssl.SSLError):
            tls(sandbox, sock)
    sandbox.network("tls1.2")
    with tcp(sandbox) as sock:
        assert tls(sandbox, sock).version() == "TLSv1.2"


@pytest.mark.parametrize("mode", [
    "refused", "silent", "mute", "close", "reset", "plain", "tls1.1"])
def test_nothing_arrives_and_it_ends(sandbox, mode):
    """The ledger knows nothing of it; the mode ends connections that were
    open, and reset ends the mode."""
    kept = sandbox.connection(timeout=2)
    kept.connect()
    sandbox.network(mode)
    with pytest.raises((OSError, http.client.HTTPException)):
        kept.request("GET", "/x")
        kept.getresponse()
    kept.close()
    assert sandbox.ledger() == []
    sandbox.reset()
    assert sandbox.join("room").status == 200


@pytest.mark.parametrize("first", network.MODES)
def test_any_mode_follows_any(sandbox, first):
    for second in network.MODES:
        sandbox.network(first)
        sandbox.network(second)
        assert sandbox.health()["network"] == second
    sandbox.reset()
    assert sandbox.join("room").status == 200


@pytest.mark.parametrize("mode", ["refused", "reset", "close"])
def test_trouble_for_a_while(sandbox, mode):
    sandbox.network(mode, for_s=2)
    started = time.monotonic()
    tries = 0
    while True:
        try:
            answer = sandbox.join("room")
            break
        except (ConnectionError, ssl.SSLError):
            tries += 1
            assert time.monotonic() - started < 10
            time.sleep(0.05)
    assert answer.status == 200 and tries > 0
    assert time.monotonic() - started > 1.5


def test_who_waited_is_served_after_mute(sandbox):
    sandbox.network("mute", for_s=0.5)
    assert sandbox.join("room").status == 200


def test_agents_and_ledger_outlive_an_outage(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.network("refused")
    assert [a["agent_id"] for a in sandbox.running()] == [agent_id]
    sandbox.network("on")
    assert sandbox.leave(agent_id).status == 200
    assert len(sandbox.ledger()) == 2


@pytest.mark.parametrize("wanted", [
    {"mode": "of"}, {"mode": "mute", "for_s": "1"}, []])
def test_misspelt_network_is_refused(sandbox, wanted):
    with pytest.raises(ValueError):
        sandbox._control("POST", "network", wanted)
    assert sandbox.join("room").status == 200


def test_control_calls_are_no_connections_of_clients(sandbox):
    before = sandbox.health()["connections"]
    sandbox.ledger()
    assert sandbox.health()["connections"] == before
    sandbox.join("room")
    assert sandbox.health()["connections"] == before + 1


def test_no_connection_waits_for_nagle():
    """40 ms are what a delayed acknowledgement costs a connection."""
    async def no_delay():
        accepted = asyncio.get_running_loop().create_future()

        async def serve(_, writer):
            accepted.set_result(writer.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
        with network.bound("127.0.0.1", 0) as sock:
            server = await asyncio.start_server(serve, sock=sock.dup())
            with socket.create_connection(sock.getsockname()):
                set_by_asyncio = await accepted
            server.close()
        return set_by_asyncio
    assert asyncio.run(no_delay())


# -- Certificates -----------------------------------------------------------

def shown_certificate(sandbox):
    """The certificate of a new connection."""
    with tcp(sandbox) as sock, tls(sandbox, sock) as secure:
        return secure.getpeercert(True)


def test_certificate_rotates_under_way(sandbox):
    before = shown_certificate(sandbox)
    kept = sandbox.connection()
    kept.connect()
    sandbox.certificate("good")
    kept.request("GET", "/x")
    assert kept.getresponse().status == 404
    kept.close()
    assert shown_certificate(sandbox) != before


def test_no_session_gets_past_a_new_certificate(sandbox):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def connect(session=None):
        with tcp(sandbox) as sock:
            with context.wrap_socket(sock, server_hostname="localhost",
                                     session=session) as secure:
                return secure.session, secure.session_reused
    session, _ = connect()
    assert connect(session)[1]
    sandbox.certificate("expired")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connect(session)


# -- Answers that mislead ---------------------------------------------------

@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("where", ["host", "http", "file"])
def test_redirects_name_another_place(sandbox, second, plain, status, where):
    """A client that follows would be in the other ledger, with what it
    sent."""
    other = {"host": second, "http": plain}.get(where)
    target = (f"{other.base_url}/v2/projects/{sandbox.app_id}/join" if other
              else "file:///etc/passwd")
    sandbox.fault("join", status=status, headers={"Location": target})
    answer = sandbox.join("room")
    assert (answer.status, answer.headers["Location"]) == (status, target)
    assert sandbox.agents() == []
    if other:
        other.reset()
        assert other.join("room").status == 200  # what following leads to
        (entry,) = other.ledger()
        assert "/join" in target and entry["target"] in target
        assert entry["authorization"]["app_id"] == other.app_id


@pytest.mark.parametrize("value", [
    "2", "60", "0", "-1", "99999999999", "1.5", "soon", "",
    "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_retry_after_in_every_form(sandbox, value):
    sandbox.fault("join", status=429, headers={"Retry-After": value})
    assert sandbox.join("room").headers["Retry-After"] == value


def test_no_retry_after(sandbox):
    sandbox.fault("join", status=429)
    assert sandbox.join("room").headers["Retry-After"] is None


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_date_is_skewed(sandbox, seconds):
    answer = sandbox.join(f"fault-skew-{seconds}")
    date = email.utils.parsedate_to_datetime(answer.headers["Date"])
    assert abs(date.timestamp() - time.time() - seconds) < 10
    assert answer.status == 200


# -- Answers that flood -----------------------------------------------------

def test_gzip_bomb_is_small_on_the_wire(sandbox):
    sandbox.fault("join", body_size=50 << 20, gzip=True)
    answer = sandbox.join("room")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.body) < 60000
    whole = gzip.decompress(answer.body)
    assert len(whole) == 50 << 20
    assert json.loads(whole)["status"] == "RUNNING"


def test_gzip_bomb_is_sent_as_it_is_made(sandbox):
    """10 GiB are asked for; the client leaves after 64 KiB."""
    kept = sandbox.connection()
    head, body = request(sandbox, "fault-gzip-bomb")
    kept.connect()
    kept.sock.sendall(head + body)
    received = b""
    while len(received) < 65536:
        received += kept.sock.recv(65536)
    kept.close()
    assert b"Content-Encoding: gzip\r\n" in received
    assert sandbox.health()["status"] == "ok"


def test_flood_of_interim_answers(sandbox):
    sandbox.fault("join", hints=5000)
    with tcp(sandbox) as sock, tls(sandbox, sock) as secure:
        head, body = request(sandbox, "room", "Connection: close")
        secure.sendall(head + body)
        received = b"".join(iter(lambda: secure.recv(65536), b""))
    assert received.count(b"HTTP/1.1 103 Early Hints\r\n") == 5000
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 1


def test_continue_is_never_said(sandbox):
    head, body = request(sandbox, "room", "Expect: 100-continue")
    for mode, said in (("on", True), ("no-continue", False)):
        sandbox.network(mode)
        with tcp(sandbox, 0.5) as sock, tls(sandbox, sock) as secure:
            secure.sendall(head)
            if said:
                assert secure.recv(1000).startswith(b"HTTP/1.1 100 ")
                continue
            with pytest.raises(TimeoutError):
                secure.recv(1000)
            secure.settimeout(10)
            secure.sendall(body)
            assert secure.recv(1000).startswith(b"HTTP/1.1 200 ")
