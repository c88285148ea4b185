"""HTTP/1.1 on asyncio streams: reads requests, writes answers, and writes
them wrongly when a fault says so.

A small parser of its own: the library's server would neither serve some
hundred joins a second nor send half an answer.
"""

import asyncio
import base64
import email.utils
import http
import itertools
import json
import socket
import struct
import time
import zlib
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_MAX = 65536  # bytes of request line and headers
BODY_MAX = 1 << 20  # bytes
PIECE = 65536  # bytes written at once of an answer that is made up
LOOK_S = 0.05  # how soon a waiting answer notices that its client left


class BadRequest(Exception):
    """Not HTTP; the connection is answered with this status and closed."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status


@dataclass
class Request:
    """One request; header names are in lower case."""

    method: str
    target: str
    version: str
    headers: list
    connection: int = 0
    peer: str = ""
    body: bytes = b""
    segments: list = field(default_factory=list)
    query: dict = field(default_factory=dict)

    def header(self, name):
        """The first header of that name, or None."""
        return next((v for n, v in self.headers if n == name), None)

    def host(self):
        """The host that the client believes to call, without the port."""
        host = self.header("host") or ""
        return host.rsplit(":", 1)[0] if host[-1:].isdigit() else host

    def wants_close(self):
        """Whether the client will not send another request."""
        if (self.header("connection") or "").lower() == "close":
            return True
        return self.version == "HTTP/1.0"


@dataclass
class Response:
    """An answer that is not yet bytes."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes = b""


def json_response(status, value, **headers):
    """An answer with a JSON body."""
    return Response(status, {"Content-Type": "application/json", **headers},
                    json.dumps(value).encode("utf-8"))


# -- Reading ----------------------------------------------------------------

def _parse_head(head):
    """The request in the bytes up to the empty line."""
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "request line")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "header line")
        headers.append((name.lower(), value.strip()))
    request = Request(words[0], words[1], words[2], headers)
    parts = urlsplit(request.target)
    request.segments = [unquote(s) for s in parts.path.split("/")[1:]]
    request.query = {name: values[-1] for name, values in
                     parse_qs(parts.query, keep_blank_values=True).items()}
    return request


async def _read_chunked(reader):
    """A chunked body; trailers are read and dropped."""
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise BadRequest(400, "chunk size") from error
        if not 0 <= size <= BODY_MAX - len(body):
            raise BadRequest(413, "body too large")
        if size == 0:
            break
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body


async def _read_body(request, reader, writer, says_continue):
    """The body, however its length is told."""
    coding = request.header("transfer-encoding")
    lengths = [v for n, v in request.headers if n == "content-length"]
    if coding and lengths or len(lengths) > 1:
        raise BadRequest(400, "more than one body length")
    if lengths and not (lengths[0].isascii() and lengths[0].isdecimal()
                        and len(lengths[0]) < 19):
        raise BadRequest(400, "Content-Length")
    if not coding and not lengths:
        if request.method == "POST":
            raise BadRequest(411, "no body length")
        return b""
    if lengths and int(lengths[0]) > BODY_MAX:
        raise BadRequest(413, "body too large")
    expect = (request.header("expect") or "").lower()
    if says_continue and expect == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if coding:
        return await _read_chunked(reader)
    return await reader.readexactly(int(lengths[0]))


async def read_request(reader, writer, says_continue=True):
    """The next request, or None when the client is done. Its first byte
    decides about TLS sent to a plain port: no empty line would follow."""
    try:
        first = await reader.readexactly(1)
        if not first.isalpha():
            raise BadRequest(400, "request line")
        head = await reader.readuntil(b"\r\n\r\n")
        request = _parse_head(first + head)
        request.body = await _read_body(request, reader, writer,
                                        says_continue)
    except asyncio.LimitOverrunError as error:
        raise BadRequest(431, "headers too large") from error
    except asyncio.IncompleteReadError:
        return None
    except ValueError as error:
        raise BadRequest(400, "URL") from error
    return request


async def discard(reader, seconds):
    """Reads what a refused client is still sending, for a while: closing
    at once would reset the connection and lose the refusal."""
    async def until_end():
        while await reader.read(PIECE):
            pass
    try:
        await asyncio.wait_for(until_end(), seconds)
    except asyncio.TimeoutError:
        pass


# -- Writing ----------------------------------------------------------------

def _phrase(status):
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _filler_headers(do):
    """What a fault adds to the headers, in pieces: it can be a million."""
    if do.get("header_size"):
        yield b"X-Filler: "
        yield from _filler(do["header_size"], b"x")
        yield b"\r\n"
    numbers = iter(range(do.get("headers_count", 0)))
    while piece := list(itertools.islice(numbers, 2000)):
        yield "".join(f"X-Filler-{n}: x\r\n" for n in piece).encode("ascii")


def _filler(size, byte):
    for start in range(0, size, PIECE):
        yield byte * min(PIECE, size - start)


def _head(response, do):
    """Status line and headers, in pieces. A header of None is left out."""
    date = time.time() + do.get("date_skew_s", 0)
    size = max(len(response.body), do.get("body_size", 0))
    length = ({"Content-Encoding": "gzip"} if do.get("gzip") else
              {"Content-Length": str(size)})
    headers = {"Date": email.utils.formatdate(date, usegmt=True),
               **length, **response.headers}
    lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()
              if value is not None]
    yield ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace")
    yield from _filler_headers(do)
    yield b"\r\n"


def _body(response, do):
    """The body, filled up with spaces: it stays legal JSON."""
    yield response.body
    yield from _filler(do.get("body_size", 0) - len(response.body), b" ")


def _gzipped(pieces):
    """Compressed; of a megabyte of spaces a kilobyte is left."""
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _hints(count):
    """Interim answers in pieces: there can be a million."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    for start in range(0, count, 1000):
        yield hint * min(1000, count - start)


def _pieces(response, do):
    """(bytes, seconds per byte) of the answer, ended early where a fault
    closes the connection."""
    close, drip = do.get("close"), do.get("drip", 0)
    if "raw" in do:
        yield base64.b64decode(do["raw"]), drip
        return
    if do.get("prefix"):
        yield base64.b64decode(do["prefix"]), drip
    for piece in _hints(do.get("hints", 0)):
        yield piece, drip
    if close == "mid_headers":
        head = b"".join(_head(response, do))
        yield head[:len(head) // 2], drip
        return
    for piece in _head(response, do):
        yield piece, drip
    if close == "mid_body":
        yield response.body[:len(response.body) // 2], drip
    elif close != "after_headers":
        body = _body(response, do)
        for piece in _gzipped(body) if do.get("gzip") else body:
            yield piece, do.get("drip_body", drip)


def _check_present(reader, writer):
    if reader.at_eof() or writer.transport.is_closing():
        raise ConnectionResetError("the client has left")


async def _write(reader, writer, piece):
    """drain() alone does not let the loop run while there is nothing to
    wait for, and it is the loop that learns of a client that has left."""
    _check_present(reader, writer)
    writer.write(piece)
    await writer.drain()
    await asyncio.sleep(0)


async def _write_slowly(reader, writer, piece, seconds):
    for number in range(len(piece)):
        await _write(reader, writer, piece[number:number + 1])
        await wait(reader, writer, seconds)


def reset(writer):
    """Ends the connection with RST: what was sent may be lost too."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    writer.transport.abort()


async def wait(reader, writer, seconds=None):
    """Sleeps that long (None: for ever) or until the client has left.
    Raises ConnectionError then."""
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    while end is None or loop.time() < end:
        _check_present(reader, writer)
        left = LOOK_S if end is None else end - loop.time()
        await asyncio.sleep(max(0, min(LOOK_S, left)))


async def send(reader, writer, response, do):
    """Writes the answer as the fault ${do} wants it. Returns whether the
    connection can carry another request."""
    if do.get("hang"):
        await wait(reader, writer)
    if do.get("delay_s"):
        await wait(reader, writer, do["delay_s"])
    if do.get("close") == "reset":
        reset(writer)
        return False
    if do.get("close") == "before":
        return False
    if not do:
        writer.write(b"".join(itertools.chain(_head(response, do),
                                              _body(response, do))))
        await writer.drain()
        return True
    for piece, seconds in _pieces(response, do):
        if seconds:
            await _write_slowly(reader, writer, piece, seconds)
        else:
            await _write(reader, writer, piece)
    # What has no length ends with the connection.
    return not any(name in do for name in ("raw", "close", "gzip"))
