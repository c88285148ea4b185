#!/usr/bin/python3
"""A scripted HTTPS peer for test_http.c: the path of a request says how to
misbehave.

Prints one line, "FOLDER GOOD OTHER STRANGER EXPIRED OLD PLAIN MUTE": the
folder with ca.pem, and the ports of listeners that differ in their certificate
(for another host, of an unknown authority, expired), that know no TLS above
1.1 or that do not speak TLS at all.  The folder also has lax.cnf, a
configuration of OpenSSL that allows what is out of date, and .netrc.  Ends, and removes the folder, when its standard input is closed, so that
a test that crashes leaves nothing behind.
"""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}\r\n{}"

seen = {}
seen_lock = threading.Lock()


def openssl(folder, *args):
    """Runs openssl quietly; its words are shown when it fails."""
    subprocess.run(["openssl", *args], cwd=folder, check=True,
                   capture_output=True)


def make_authority(folder, name):
    openssl(folder, "req", "-x509", *KEY, "-keyout", name + ".key", "-out",
            name + ".pem", "-subj", "/CN=" + name, "-days", "2")


def make_certificate(folder, name, authority, alt_name, days):
    """A server certificate; a negative number of days has expired."""
    extensions = os.path.join(folder, name + ".ext")
    with open(extensions, "w", encoding="ascii") as file:
        file.write("subjectAltName=" + alt_name + "\n")
    openssl(folder, "req", *KEY, "-keyout", name + ".key", "-out",
            name + ".csr", "-subj", "/CN=" + name)
    openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA",
            authority + ".pem", "-CAkey", authority + ".key",
            "-CAcreateserial", "-days", str(days), "-extfile", extensions,
            "-out", name + ".pem")


def make_certificates(folder):
    local = "IP:127.0.0.1"
    make_authority(folder, "ca")
    make_authority(folder, "stranger-ca")
    make_certificate(folder, "good", "ca", local, 2)
    make_certificate(folder, "other", "ca", "DNS:other.example", 2)
    make_certificate(folder, "stranger", "stranger-ca", local, 2)
    make_certificate(folder, "expired", "ca", local, -1)


def write_temptations(folder):
    """Files that a careless client would follow."""
    with open(os.path.join(folder, "lax.cnf"), "w", encoding="ascii") as file:
        file.write("openssl_conf = all\n[all]\nssl_conf = ssl\n"
                   "[ssl]\nsystem_default = lax\n"
                   "[lax]\nMinProtocol = TLSv1\n"
                   "CipherString = DEFAULT:@SECLEVEL=0\n")
    with open(os.path.join(folder, ".netrc"), "w", encoding="ascii") as file:
        file.write("machine 127.0.0.1 login user password netrc\n")


def take(data, at, size_bytes):
    """Returns the bytes of a vector with its size before it, and its end."""
    start = at + size_bytes
    end = start + int.from_bytes(data[at:start], "big")
    return data[start:end], end


def offered_protocols(raw):
    """What ALPN offers in a ClientHello that waits to be read (RFC 7301)."""
    wait = socket.MSG_PEEK | socket.MSG_WAITALL
    size = int.from_bytes(raw.recv(5, wait)[3:5], "big")
    hello = raw.recv(5 + size, wait)[5:]
    _, at = take(hello, 4 + 2 + 32, 1)  # type, version, random; session
    _, at = take(hello, at, 2)          # cipher suites
    _, at = take(hello, at, 1)          # compression
    extensions, _ = take(hello, at, 2)
    names, at = [], 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at:at + 2], "big")
        data, at = take(extensions, at + 2, 2)
        if kind == 16:
            names, next_name = [], 2
            while next_name < len(data):
                name, next_name = take(data, next_name, 1)
                names.append(name.decode("ascii"))
    return ",".join(names)


def read_request(stream):
    """Returns (path, head, body), or None at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline(65536)
        if not line:
            return None
        head += line
    text = head.decode("latin-1")
    length = 0
    for line in text.split("\r\n"):
        if line.lower().startswith("content-length:"):
            length = int(line.split(":")[1])
    return text.split(" ")[1], text, stream.read(length)


def drop(connection):
    """Closes without the TLS farewell, as a dying server does."""
    connection.shutdown(socket.SHUT_RDWR)
    return False


def send(connection, text):
    connection.sendall(text.encode("latin-1"))
    return True


def send_fields(connection, count):
    fields = "".join(f"X-{i}: y\r\n" for i in range(count - 1))
    return send(connection, ANSWER.format(2, fields, "ok"))


def send_forever(connection, text):
    """Until the client has enough; 1e5 rounds are far above any limit."""
    for _ in range(100000):
        send(connection, text)
    return False


def drip(connection):
    send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        send(connection, "x")
        time.sleep(0.05)
    return False


def send_described(connection):
    return send(connection, ANSWER.format(
        2, "Retry-After: 7\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "X-Request-Id: second\r\nAgora-Request-Id: first-1.a_b\r\n", "ok"))


def send_odd_values(connection):
    return send(connection, ANSWER.format(
        2, "Retry-After: soon\r\nDate: yesterday\r\n"
        "Agora-Request-Id: a b<c>\r\nX-Request-Id: second\r\n", "ok"))


def misbehave(connection, path):
    """The scripted answers. Returns whether the connection lives on."""
    scripts = {
        "ok": lambda: send(connection, ANSWER.format(2, "", "ok")),
        "empty": lambda: send(connection, ANSWER.format(0, "", "")),
        "drop": lambda: drop(connection),
        "silent": lambda: time.sleep(30),
        "drip": lambda: drip(connection),
        "cut": lambda: send(connection, ANSWER.format(9, "", "cut")) and
        drop(connection),
        "cut-head": lambda: send(connection, "HTTP/1.1 200 OK\r\nX-") and
        drop(connection),
        "no-status": lambda: send(connection, "HTTP/2 20!\r\n\r\n") and
        drop(connection),
        "low-status": lambda: send(connection, "HTTP/1.1 099 ?\r\n\r\n") and
        drop(connection),
        "old": lambda: send(connection, "just text\n") and drop(connection),
        "body-limit": lambda: send(connection, ANSWER.format(
            65536, "", "x" * 65536)),
        "body-over": lambda: send(connection, ANSWER.format(
            65537, "", "x" * 65537)),
        "body-endless": lambda: send(
            connection, "HTTP/1.1 200 OK\r\n\r\n") and send_forever(
                connection, "x" * 1000),
        "fields-100": lambda: send_fields(connection, 100),
        "fields-101": lambda: send_fields(connection, 101),
        "field-long": lambda: send(connection, ANSWER.format(
            2, "X: " + "y" * 8192 + "\r\n", "ok")),
        "continue": lambda: send_forever(
            connection, "HTTP/1.1 100 Continue\r\n\r\n"),
        "moved": lambda: send(
            connection, "HTTP/1.1 302 Found\r\nLocation: /ok\r\n"
            "Content-Length: 0\r\n\r\n"),
        "described": lambda: send_described(connection),
        "odd": lambda: send_odd_values(connection),
        "early": lambda: send(connection, ANSWER.format(
            2, "Date: Mon, 02 Jan 1950 00:00:00 GMT\r\n", "ok")),
        "id": lambda: send(connection, ANSWER.format(
            2, "X-Request-Id: " + path.split("/")[2] + "\r\n", "ok")),
    }
    return scripts[path.split("/")[1]]()


def respond(connection, number, offered, request):
    """Counts the request under its path, then answers it."""
    path, head, body = request
    with seen_lock:
        seen[path] = seen.get(path, 0) + 1
    if path.startswith("/seen/"):
        text = str(seen.get(path[len("/seen"):], 0))
    elif path == "/connection":
        text = str(number)
    elif path == "/offered":
        text = offered
    elif path == "/echo":
        text = head + body.decode("latin-1")
    else:
        return misbehave(connection, path)
    return send(connection, ANSWER.format(len(text), "", text))


def serve_connection(connection, number, offered):
    with connection:
        stream = connection.makefile("rb")
        while True:
            request = read_request(stream)
            if request is None or not respond(connection, number, offered,
                                              request):
                return


def serve_tls(raw, number, context):
    """A client that hangs up, at any point, is part of the play."""
    try:
        offered = offered_protocols(raw)
        serve_connection(context.wrap_socket(raw, server_side=True), number,
                         offered)
    except OSError:
        raw.close()


def serve_plain(raw, _number, _context):
    """Speaks HTTP where TLS is expected."""
    with raw:
        send(raw, ANSWER.format(2, "", "ok"))


def serve_mute(raw, _number, _context):
    """Takes the connection and never shakes hands."""
    with raw:
        time.sleep(30)


def accept_forever(listener, serve, context):
    number = 0
    while True:
        raw, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, args=(raw, number, context),
                         daemon=True).start()


def listen(serve, context=None):
    """Returns the port of a new listener."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=accept_forever, args=(listener, serve, context),
                     daemon=True).start()
    return listener.getsockname()[1]


def tls_context(folder, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    base = os.path.join(folder, name)
    context.load_cert_chain(base + ".pem", base + ".key")
    return context


def old_context(folder):
    """TLS 1.0 and 1.1 alone, whose signatures need OpenSSL's level 0."""
    context = tls_context(folder, "good")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def main():
    folder = tempfile.mkdtemp(prefix="tls-peer-")
    try:
        make_certificates(folder)
        write_temptations(folder)
        ports = [listen(serve_tls, tls_context(folder, name))
                 for name in ("good", "other", "stranger", "expired")]
        ports += [listen(serve_tls, old_context(folder)),
                  listen(serve_plain), listen(serve_mute)]
        print(folder, *ports, flush=True)
        sys.stdin.read()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
