"""A FastCGI client (FastCGI specification 1.0) for tests.

It can speak the protocol properly, and it can be told to speak it badly:
every record is built by hand, so a test decides about splitting, padding,
version, role and order.
"""

import select
import socket
import struct

BEGIN_REQUEST = 1
ABORT_REQUEST = 2
END_REQUEST = 3
PARAMS = 4
STDIN = 5
STDOUT = 6
STDERR = 7
DATA = 8
GET_VALUES = 9
GET_VALUES_RESULT = 10
UNKNOWN_TYPE = 11

RESPONDER = 1
KEEP_CONN = 1

REQUEST_COMPLETE = 0
CANT_MPX_CONN = 1

CONTENT_MAX = 65535


class ConnectionEnded(Exception):
    """The program closed the connection where more was expected."""


def record(kind, request_id, content=b"", padding=0, version=1):
    """One record; a content over 65535 bytes does not fit and raises."""
    head = struct.pack("!BBHHBx", version, kind, request_id, len(content),
                       padding)
    return head + content + b"\0" * padding


def stream(kind, request_id, content, chunk=CONTENT_MAX, padding=0,
           end=True):
    """A stream cut into records of ${chunk} bytes, and the empty last one,
    which like every web server's has no padding."""
    records = [record(kind, request_id, content[at:at + chunk], padding)
               for at in range(0, len(content), chunk)]
    if end:
        records.append(record(kind, request_id))
    return b"".join(records)


def _length(size):
    return struct.pack("!B", size) if size < 128 else \
        struct.pack("!L", size | 0x80000000)


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def pair(name, value):
    """A name-value pair (specification 3.4)."""
    name, value = _bytes(name), _bytes(value)
    return _length(len(name)) + _length(len(value)) + name + value


def pairs(params):
    """The pairs of a dict or of a list of (name, value)."""
    items = params.items() if isinstance(params, dict) else params
    return b"".join(pair(name, value) for name, value in items)


def begin(request_id=1, role=RESPONDER, keep=False, version=1):
    """A BEGIN_REQUEST record."""
    body = struct.pack("!HB5x", role, KEEP_CONN if keep else 0)
    return record(BEGIN_REQUEST, request_id, body, version=version)


def request_bytes(params, body=b"", request_id=1, keep=False,
                  chunk=CONTENT_MAX, padding=0):
    """A whole request."""
    return (begin(request_id, keep=keep)
            + stream(PARAMS, request_id, pairs(params), chunk, padding)
            + stream(STDIN, request_id, body, chunk, padding))


class FcgiAnswer:
    """What came back for one request."""

    def __init__(self):
        self.stdout = b""
        self.stderr = b""
        self.app_status = None
        self.protocol_status = None


class Connection:
    """One connection to a program's unix socket."""

    def __init__(self, path, timeout=10.0):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        """Hangs up."""
        self.sock.close()

    def send(self, data):
        """Sends bytes as they are."""
        self.sock.sendall(data)

    def _read(self, size):
        while len(self.received) < size:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionEnded(
                    f"{len(self.received)} of {size} bytes")
            self.received += data
        data, self.received = self.received[:size], self.received[size:]
        return data

    def read_record(self):
        """The next record: kind, request id, content."""
        version, kind, request_id, length, padding = struct.unpack(
            "!BBHHBx", self._read(8))
        assert version == 1, f"record of version {version}"
        content = self._read(length)
        self._read(padding)
        return kind, request_id, content

    def read_answer(self, request_id=1):
        """Reads up to the END_REQUEST of ${request_id}."""
        answer = FcgiAnswer()
        while True:
            kind, got_id, content = self.read_record()
            assert got_id == request_id, f"record for request {got_id}"
            if kind == STDOUT:
                answer.stdout += content
            elif kind == STDERR:
                answer.stderr += content
            elif kind == END_REQUEST:
                answer.app_status, answer.protocol_status = struct.unpack(
                    "!LB3x", content)
                return answer
            else:
                raise AssertionError(f"record of type {kind}")

    def request(self, params, body=b"", **how):
        """Sends a whole request and reads its answer."""
        self.send(request_bytes(params, body, **how))
        return self.read_answer(how.get("request_id", 1))

    def readable(self, timeout):
        """Whether something comes, or the end, within ${timeout} seconds."""
        return bool(select.select([self.sock], [], [], timeout)[0])

    def ended(self, timeout):
        """Whether the program hangs up within ${timeout} seconds."""
        if not self.readable(timeout):
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return True
        self.received += data
        return not data


def request(path, params, body=b"", timeout=10.0, **how):
    """One request on a connection of its own."""
    with Connection(path, timeout) as connection:
        return connection.request(params, body, **how)


def wait_for_service(path, timeout=20.0):
    """Returns when the program serves; its socket is there sooner."""
    with Connection(path) as connection:
        connection.send(b"what no web server sends")
        assert connection.ended(timeout)
