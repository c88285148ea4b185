"""A DNS server for tests, and the way to let a program ask it.

    with Nameserver({"api.agora.io": "silent"}) as dns:
        subprocess.run(dns.wrap(["getent", "ahosts", "api.agora.io"]))
        assert dns.asked("api.agora.io")

What a name answers is a list of addresses, A and AAAA mixed, or one of the
words in CODES, or "silent". Other names do not exist. An answer that is too
long for a datagram is cut, and asked for again over TCP, as it should be.

libc asks port 53 of what /etc/resolv.conf names, and nobody else. So the
server has port 53 of a loopback address of its own, and the program runs with
another /etc/resolv.conf in a mount namespace of its own; the network is the
machine's, so that it reaches sandboxes. Both want root: unavailable() says
what is missing.
"""

import functools
import ipaddress
import os
import random
import selectors
import socket
import struct
import subprocess
import tempfile
import threading

A, AAAA = 1, 28
RECORD = {4: A, 6: AAAA}
CODES = {"servfail": 2, "nxdomain": 3, "refused": 5}
DATAGRAM_MAX = 512  # bytes
LOOK_S = 0.1  # how soon the server notices that it is to end
QUERY_S = 2  # how long a query may take to come over TCP
PORT = 53
FILES = {"resolv.conf": "nameserver {}\n",
         "nsswitch.conf": "hosts: files dns\n"}
MOUNT = "".join(f'mount --bind "$0/{name}" /etc/{name} && ' for name in FILES)


def _question(query):
    """(name, type, the question's bytes) of a query."""
    labels, at = [], 12
    while query[at]:
        size = query[at]
        labels.append(query[at + 1:at + 1 + size].decode("ascii"))
        at += 1 + size
    (kind,) = struct.unpack_from("!H", query, at + 1)
    return ".".join(labels).lower(), kind, query[12:at + 5]


def _records(addresses, kind):
    """The answer section: the addresses of that type, for the name in the
    question."""
    for text in addresses:
        address = ipaddress.ip_address(text)
        if RECORD[address.version] == kind:
            packed = address.packed
            yield struct.pack("!HHHIH", 0xc00c, kind, 1, 0,
                              len(packed)) + packed


def reply(query, names, datagram):
    """The bytes that answer a query, or None for silence."""
    name, kind, question = _question(query)
    wanted = names.get(name, "nxdomain")
    if wanted == "silent":
        return None
    flags, records = 0x8180, []
    if isinstance(wanted, str):
        flags |= CODES[wanted]
    else:
        records = list(_records(wanted, kind))
    body = b"".join(records)
    if datagram and 12 + len(question) + len(body) > DATAGRAM_MAX:
        flags, records, body = flags | 0x0200, [], b""
    return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0,
                                   0) + question + body


class Nameserver:
    """The server, on a thread of its own."""

    def __init__(self, names):
        for wanted in names.values():
            assert not isinstance(wanted, str) or wanted in (
                "silent", *CODES), wanted
        self.names = {name.lower(): wanted for name, wanted in names.items()}
        self.queries = []  # (name, type, "udp" or "tcp")
        self.address = None
        self.selector = selectors.DefaultSelector()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.folder = tempfile.TemporaryDirectory(prefix="nameserver-")

    def __enter__(self):
        self._listen()
        for name, text in FILES.items():
            path = os.path.join(self.folder.name, name)
            with open(path, "w", encoding="ascii") as out:
                out.write(text.format(self.address))
            os.chmod(path, 0o644)
        os.chmod(self.folder.name, 0o755)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        self.folder.cleanup()

    def wrap(self, command):
        """The command with this server as its only one; the process that
        is started becomes the program itself."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                MOUNT + 'exec "$@"', self.folder.name, *command]

    def asked(self, name):
        """The queries for a name."""
        return [query for query in self.queries if query[0] == name.lower()]

    def _listen(self):
        """An address of the loopback that no other test has."""
        for _ in range(20):
            self.address = f"127.53.{random.randrange(256)}." \
                           f"{random.randrange(1, 255)}"
            udp = socket.socket(type=socket.SOCK_DGRAM)
            tcp = socket.socket()
            try:
                udp.bind((self.address, PORT))
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((self.address, PORT))
            except OSError as error:
                udp.close()
                tcp.close()
                if isinstance(error, PermissionError):
                    raise
                continue
            tcp.listen()
            self.selector.register(udp, selectors.EVENT_READ, self._udp)
            self.selector.register(tcp, selectors.EVENT_READ, self._accept)
            return
        raise OSError(f"no free port {PORT} on the loopback")

    def _serve(self):
        while not self.ending.is_set():
            for key, _ in self.selector.select(LOOK_S):
                try:
                    key.data(key.fileobj)
                except (OSError, IndexError, ValueError, struct.error):
                    pass  # not a query, or its sender has left

    def _answer(self, query, how):
        self.queries.append((*_question(query)[:2], how))
        return reply(query, self.names, how == "udp")

    def _udp(self, sock):
        query, peer = sock.recvfrom(4096)
        answer = self._answer(query, "udp")
        if answer is not None:
            sock.sendto(answer, peer)

    def _accept(self, sock):
        connection, _ = sock.accept()
        connection.settimeout(QUERY_S)
        self.selector.register(connection, selectors.EVENT_READ, self._tcp)

    def _tcp(self, sock):
        """One query, or the end. libc sends two at once, each after its
        length; they are read as they come."""
        size = sock.recv(2, socket.MSG_WAITALL)
        if len(size) < 2:
            self.selector.unregister(sock)
            sock.close()
            return
        query = sock.recv(*struct.unpack("!H", size), socket.MSG_WAITALL)
        answer = self._answer(query, "tcp")
        if answer is not None:
            sock.sendall(struct.pack("!H", len(answer)) + answer)


@functools.cache
def unavailable():
    """Why no program can be led to a Nameserver here, or None."""
    try:
        with Nameserver({}) as dns:
            done = subprocess.run(dns.wrap(["true"]), capture_output=True,
                                  text=True, check=False)
    except OSError as error:
        return f"no port {PORT} on the loopback: {error}"
    return None if done.returncode == 0 else (
        f"no /etc/resolv.conf of one's own: {done.stderr.strip()}")
