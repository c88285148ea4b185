#!/usr/bin/python3
"""A program that answers with its variables, to see what a web server hands
over, and with headers that are the web server's business.

Alone in its file, for web servers start copies of it: FastCGI if descriptor 0
is a listening socket, else CGI.
"""

import json
import os
import socket
import struct
import threading

PARAMS, STDIN, STDOUT, END_REQUEST = 4, 5, 6, 3
HEAD = ("Status: 200 OK\r\n"
        "Content-Type: text/plain\r\n"
        "Access-Control-Allow-Origin: https://program.example\r\n"
        "Access-Control-Allow-Credentials: true\r\n"
        "Access-Control-Expose-Headers: X-Program\r\n\r\n")


def answer(variables):
    """Header fields, an empty line and the variables."""
    return (HEAD + json.dumps(variables)).encode()


def pairs(data):
    """Name-value pairs as a dict (FastCGI specification 3.4)."""
    found = {}
    while data:
        sizes = []
        for _ in range(2):
            wide = data[0] & 0x80
            size, = struct.unpack("!L" if wide else "!B",
                                  data[:4 if wide else 1])
            sizes.append(size & 0x7fffffff)
            data = data[4 if wide else 1:]
        name, value = data[:sizes[0]], data[sizes[0]:sum(sizes)]
        found[name.decode("latin-1")] = value.decode("latin-1")
        data = data[sum(sizes):]
    return found


def record(kind, request_id, content=b""):
    """One record without padding."""
    return struct.pack("!BBHHBx", 1, kind, request_id, len(content),
                       0) + content


def serve_one(connection):
    """Reads one request to its end, answers it and hangs up."""
    params = b""
    with connection, connection.makefile("rb") as stream:
        while True:
            head = stream.read(8)
            if len(head) < 8:
                return
            _, kind, request_id, size, padding = struct.unpack("!BBHHBx",
                                                               head)
            content = stream.read(size + padding)[:size]
            if kind == PARAMS:
                params += content
            if kind == STDIN and not content:
                break
        connection.sendall(
            record(STDOUT, request_id, answer(pairs(params)))
            + record(STDOUT, request_id)
            + record(END_REQUEST, request_id, bytes(8)))


def serve(listener):
    """Until the socket is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        serve_one(connection)


def start(listener):
    """serve() beside the caller, which ends it with shutdown()."""
    threading.Thread(target=serve, args=(listener,), daemon=True).start()


def main():
    """Looks what descriptor 0 is."""
    try:
        listener = socket.socket(fileno=0)
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            serve(listener)
            return
        listener.detach()
    except OSError:
        pass
    os.write(1, answer(dict(os.environ)))


if __name__ == "__main__":
    main()
