"""HTTP/2 before the sandbox, frame by frame: that connections and streams end
as a client must expect."""

import json
import socket
import ssl
import struct

import pytest

import http2
from http2 import Http2

UID = "58888506"
HEADERS, RST_STREAM, SETTINGS, GOAWAY = 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
REFUSED_STREAM = 7
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

pytestmark = pytest.mark.skipif(not http2.have(),
                                reason="needs nginx with HTTP/2")


class Client:
    """As much of HTTP/2 as it takes to send requests and look at frames."""

    def __init__(self, front, ca_file):
        context = ssl.create_default_context(cafile=ca_file)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", front.port), 10)
        self.sock = context.wrap_socket(plain, server_hostname="localhost")
        assert self.sock.selected_alpn_protocol() == "h2"
        self.sock.sendall(PREFACE + self.frame(SETTINGS, 0, 0, b""))
        self.stream = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack("!I", len(payload))[1:] + struct.pack(
            "!BBI", kind, flags, stream) + payload

    def send(self, method, path, headers=(), body=None):
        """A request; its stream's number."""
        self.stream += 2
        fields = [(":method", method), (":scheme", "https"),
                  (":path", path), (":authority", "localhost"), *headers]
        block = b"".join(b"\x10" + self.text(name) + self.text(value)
                         for name, value in fields)
        last = END_STREAM if body is None else 0
        data = self.frame(HEADERS, END_HEADERS | last, self.stream, block)
        if body is not None:
            data += self.frame(0, END_STREAM, self.stream, body)
        self.sock.sendall(data)
        return self.stream

    @staticmethod
    def text(value):
        """An HPACK string as it is."""
        raw = value.encode("ascii")
        if len(raw) < 127:
            return bytes([len(raw)]) + raw
        rest, size = len(raw) - 127, b"\x7f"
        while rest > 127:
            rest, size = rest >> 7, size + bytes([rest & 127 | 128])
        return size + bytes([rest]) + raw

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read(self):
        """The next frame: (kind, flags, stream, payload)."""
        head = self.exactly(9)
        kind, flags, stream = struct.unpack("!BBI", head[3:])
        return kind, flags, stream, self.exactly(
            int.from_bytes(head[:3], "big"))

    def until(self, wanted):
        """All frames up to the first of that kind, (it included)."""
        frames = []
        while not frames or frames[-1][0] != wanted:
            frames.append(self.read())
        return frames

    def settled(self):
        """Waits for the server's settings and says so."""
        self.until(SETTINGS)
        self.sock.sendall(self.frame(SETTINGS, ACK, 0, b""))
        return self


def join(client, sandbox, channel="room"):
    return client.send(
        "POST", f"/api/conversational-ai-agent/v2/projects/{sandbox.app_id}"
        "/join", [("content-type", "application/json"),
                  ("authorization",
                   f"agora token={sandbox.token(channel, UID)}")],
        json.dumps(sandbox.join_body(channel)).encode())


def error_of(frame):
    return struct.unpack("!I", frame[3][-4:])[0]


def test_calls_arrive(sandbox, tmp_path):
    with Http2(tmp_path, sandbox) as front:
        with Client(front, sandbox.ca_file).settled() as client:
            join(client, sandbox)
            client.until(HEADERS)
    (entry,) = sandbox.ledger()
    assert (entry["status"], entry["call"]) == (200, "join")
    assert '"POST /api/' in front.log("access")
    assert ' HTTP/2.0" 200 ' in front.log("access")


def test_goaway_after_so_many_requests(sandbox, tmp_path):
    with Http2(tmp_path, sandbox, requests=2) as front:
        with Client(front, sandbox.ca_file).settled() as client:
            streams = [client.send("GET", "/x") for _ in range(2)]
            frames = client.until(GOAWAY)
            with pytest.raises(EOFError):
                while True:
                    frames.append(client.read())
    answered = {stream for kind, _, stream, _ in frames if kind == HEADERS}
    assert answered == set(streams)
    assert len(sandbox.ledger()) == 2


def test_goaway_of_a_reload(sandbox, tmp_path):
    with Http2(tmp_path, sandbox) as front:
        with Client(front, sandbox.ca_file).settled() as client:
            client.send("GET", "/x")
            client.until(HEADERS)
            front.reload()
            goaway = client.until(GOAWAY)[-1]
        assert struct.unpack("!II", goaway[3][:8]) == (1, 0)
        with Client(front, sandbox.ca_file).settled() as client:
            client.send("GET", "/x")
            client.until(HEADERS)


def test_refused_stream_of_too_many(sandbox, tmp_path):
    sandbox.fault("join", delay_s=1)
    with Http2(tmp_path, sandbox, streams=1) as front:
        with Client(front, sandbox.ca_file).settled() as client:
            join(client, sandbox, "one")
            second = join(client, sandbox, "two")
            refused = client.until(RST_STREAM)[-1]
            assert (refused[2], error_of(refused)) == (second,
                                                       REFUSED_STREAM)
            client.until(HEADERS)
    assert [entry["channel"] for entry in sandbox.ledger()] == ["one"]


def test_refused_stream_of_an_early_post(sandbox, tmp_path):
    with Http2(tmp_path, sandbox, refuse_early=True) as front:
        with Client(front, sandbox.ca_file) as client:
            early = join(client, sandbox)
            refused = client.until(RST_STREAM)[-1]
            assert (refused[2], error_of(refused)) == (early, REFUSED_STREAM)
            assert sandbox.ledger() == []
        with Client(front, sandbox.ca_file).settled() as client:
            join(client, sandbox)
            client.until(HEADERS)
    assert len(sandbox.running()) == 1


def test_lost_answer_is_a_502(sandbox, tmp_path):
    with Http2(tmp_path, sandbox) as front:
        with Client(front, sandbox.ca_file).settled() as client:
            join(client, sandbox, "fault-lost")
            client.until(HEADERS)
    assert len(sandbox.ledger()) == 1
    assert ' HTTP/2.0" 502 ' in front.log("access")
