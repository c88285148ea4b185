"""The ways a request reaches a program, all with the same request().

CGI and FastCGI are spoken by the tests themselves; the web servers are real
ones, started by servers.py from the files in deploy/.
"""

import json
import select
import socket
import subprocess
from dataclasses import dataclass

import fcgi_client
from openapi import API
from processes import PATIENCE
from watch import WATCH

ROUTES = {
    "/get_config": "get_config",
    "/v2/startAgent": "start_agent",
    "/startAgent": "start_agent",
    "/v2/stopAgent": "stop_agent",
    "/stopAgent": "stop_agent",
}
ROUTES.update({"/api" + path: name for path, name in list(ROUTES.items())})


@dataclass
class Answer:
    """An answer as it came: headers in order, names as they were written."""

    status: int
    headers: list
    body: bytes
    raw_head: bytes = b""
    fits: object = None  # what openapi.py knows it as

    def all(self, name):
        """The values of every header of that name."""
        return [value for key, value in self.headers
                if key.lower() == name.lower()]

    def header(self, name):
        """The one header of that name, or None; two of it are a fault."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} {len(values)} times"
        return values[0] if values else None

    @property
    def json(self):
        """The body, which must be JSON in UTF-8."""
        return json.loads(self.body.decode("utf-8"))


def parse_head(head):
    """Header lines to a list of pairs."""
    headers = []
    for line in head.split(b"\r\n"):
        if line:
            name, colon, value = line.partition(b":")
            assert colon, f"not a header: {line!r}"
            headers.append((name.decode("latin-1"),
                            value.strip().decode("latin-1")))
    return headers


def parse_cgi(output):
    """What a CGI program wrote, as an Answer (RFC 3875, 6)."""
    head, end, body = output.partition(b"\r\n\r\n")
    assert end, f"no end of the headers in {output[:200]!r}"
    answer = Answer(200, parse_head(head), body, head)
    status = answer.header("Status")
    if status:
        answer.status = int(status.split()[0])
    return API.shape(answer)


def seen(method, path, answer):
    """Shows the answer to a request to all who look for faults."""
    return API.answer(method, path, WATCH.answer(path, answer))


def cgi_params(method, path, headers, body, extra=()):
    """The meta-variables of a request (RFC 3875, 4.1)."""
    url, _, query = path.partition("?")
    params = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "test",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": method,
        "REQUEST_URI": path,
        "SCRIPT_NAME": url,
        "QUERY_STRING": query,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            params[key] = value
        elif key != "CONTENT_LENGTH":
            params["HTTP_" + key] = value
    if body or method in ("POST", "PUT", "PATCH"):
        params["CONTENT_LENGTH"] = str(len(body))
    params.update(extra)
    return {name: value for name, value in params.items()
            if value is not None}


class Cgi:
    """One process per request: variables in the environment, body on stdin."""

    name = "cgi"
    http = False

    def __init__(self, programs, env_file):
        self.programs = programs
        self.env_file = env_file
        self.log = programs.log_file("cgi.log")

    def run(self, endpoint, params, body=b"", arguments=()):
        """Runs the program with exactly these variables."""
        env = self.programs.environment({"AGORA_ENV_FILE": self.env_file,
                                         **params})
        with open(self.log.path, "ab") as stderr:
            done = subprocess.run(
                [self.programs.path(endpoint), *arguments], env=env,
                input=body, stdout=subprocess.PIPE, stderr=stderr,
                timeout=30 * PATIENCE, check=False)
        return done

    def request(self, method, path, headers=(), body=b"", extra=()):
        """Sends a request; ${extra} changes single variables, None removes."""
        params = cgi_params(method, path, headers, body, extra)
        endpoint = ROUTES[path.partition("?")[0]]
        done = self.run(endpoint, params, body)
        assert done.returncode == 0, f"exit status {done.returncode}"
        return seen(method, path, parse_cgi(done.stdout))

    def close(self):
        """Nothing stays behind."""


class FastCgi:
    """The programs with --listen, spoken to directly."""

    name = "fastcgi"
    http = False

    def __init__(self, programs, env_file):
        self.program = {
            endpoint: programs.listen(endpoint, env_file)
            for endpoint in ("get_config", "start_agent", "stop_agent")}

    def request(self, method, path, headers=(), body=b"", extra=()):
        """Sends a request; ${extra} changes single parameters."""
        params = cgi_params(method, path, headers, body, extra)
        program = self.program[ROUTES[path.partition("?")[0]]]
        answer = fcgi_client.request(program.socket, params, body,
                                     timeout=30 * PATIENCE)
        assert answer.protocol_status == fcgi_client.REQUEST_COMPLETE
        assert answer.app_status == 0 and not answer.stderr
        return seen(method, path, parse_cgi(answer.stdout))

    def close(self):
        """Stops the programs."""
        for program in self.program.values():
            program.stop()


class HttpConnection:
    """An HTTP/1.1 client that sends the bytes it is given."""

    def __init__(self, port, timeout=None):
        self.sock = socket.create_connection(
            ("127.0.0.1", port), timeout or 30 * PATIENCE)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def send(self, data):
        """Sends bytes as they are."""
        self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(65536)
        self.received += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.received:
            assert self._more(), f"ended after {self.received!r}"
        line, _, self.received = self.received.partition(b"\r\n")
        return line

    def _take(self, size):
        while len(self.received) < size:
            assert self._more(), "answer cut"
        data, self.received = self.received[:size], self.received[size:]
        return data

    def _chunks(self):
        body = b""
        while True:
            size = int(self._line().split(b";")[0], 16)
            body += self._take(size)
            if size == 0:
                while self._line():
                    pass
                return body
            assert self._line() == b""

    def _body(self, answer, method):
        if method == "HEAD" or answer.status in (204, 304):
            return b""
        if "chunked" in (answer.header("Transfer-Encoding") or ""):
            return self._chunks()
        length = answer.header("Content-Length")
        if length is not None:
            return self._take(int(length))
        while self._more():
            pass
        return self._take(len(self.received))

    def answer(self, method="GET"):
        """Reads one answer; interim ones (1xx) are passed over."""
        while True:
            line = self._line()
            assert line.startswith(b"HTTP/1."), line
            head = []
            while True:
                header = self._line()
                if not header:
                    break
                head.append(header)
            raw = b"\r\n".join(head)
            answer = Answer(int(line.split()[1]), parse_head(raw), b"", raw)
            if answer.status >= 200:
                break
        answer.body = self._body(answer, method)
        return API.shape(answer)

    def readable(self):
        """Whether something, or the end, is there to be read."""
        return bool(select.select([self.sock], [], [], 0)[0])

    def ended(self):
        """Whether the server hung up with nothing left to read."""
        return not self.received and not self._more()


def http_bytes(method, path, headers, body):
    """An HTTP/1.1 request with Host and, where a body is, its length."""
    lines = [f"{method} {path} HTTP/1.1"]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append("Host: localhost")
    lines += [f"{name}: {value}" for name, value in headers]
    if (body or method in ("POST", "PUT", "PATCH")) and not names & {
            "content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1", "surrogateescape") + body


class Http:
    """A real web server in front of the programs."""

    http = True

    def __init__(self, name, server, programs=(), kept=False):
        """${programs} are stopped with the server; ${kept} lets all
        requests go over one connection."""
        self.name = name
        self.server = server
        self.programs = programs
        self.kept = self.connect() if kept else None

    def connect(self):
        """A new connection."""
        return HttpConnection(self.server.port)

    def raw(self, data, method="GET"):
        """Sends bytes on a new connection and reads one answer."""
        with self.connect() as connection:
            connection.send(data)
            answer = connection.answer(method)
        line = data.partition(b"\r\n")[0].decode("latin-1").split(" ")
        return seen(method, line[1] if len(line) > 1 else "", answer)

    def request(self, method, path, headers=(), body=b""):
        """Sends a request."""
        data = http_bytes(method, path, headers, body)
        if self.kept is None:
            return self.raw(data, method)
        if self.kept.readable():  # idle for too long: hung up
            self._connect_anew()
        try:
            self.kept.send(data)
            answer = self.kept.answer(method)
        except (OSError, AssertionError):
            self._connect_anew()  # for the next test
            raise
        if (answer.header("Connection") or "").lower() == "close":
            self._connect_anew()
        return seen(method, path, answer)

    def _connect_anew(self):
        self.kept.sock.close()
        self.kept = self.connect()

    def close(self):
        """Stops the server."""
        if self.kept:
            self.kept.sock.close()
        self.server.stop()
        for program in self.programs:
            program.stop()
