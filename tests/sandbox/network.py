"""The sandbox's door: one listening socket, and what becomes of those who
knock. Everything here happens before there is a request."""

import asyncio
import contextlib
import socket
import ssl
import warnings

import certificates
import wire

BACKLOG = 1024
FILLERS = 4  # connections that fill a backlog of 0
HANDSHAKE_S = 10
SHUTDOWN_S = 1  # how long a closing TLS connection may take
TLS_MAX = {"on": None, "tls1.1": ssl.TLSVersion.TLSv1_1,
           "tls1.2": ssl.TLSVersion.TLSv1_2}
MODES = (*TLS_MAX, "plain", "no-continue", "close", "reset", "mute", "silent",
         "refused")


def _tls_context(pair, tls_max):
    """A server context with that certificate and key, and with keys for TLS
    sessions that no other context has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls_max == ssl.TLSVersion.TLSv1_1:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():  # it is old, that is the point
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = tls_max
    if tls_max is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.maximum_version = tls_max
    context.load_cert_chain(*pair)
    return context


def bound(host, port):
    """A socket that keeps its port even while it does not listen: Linux
    gives up a port that it has chosen itself."""
    def bind(wanted):
        # asyncio turns Nagle's delay off for sockets that say TCP only.
        sock = socket.socket(proto=socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, wanted))
        return sock
    with bind(port) as chosen:
        return bind(chosen.getsockname()[1])


def fill(sock):
    """Lets a bound socket listen and its queue be full, so that Linux drops
    every SYN. Returns the connections that must stay open for it."""
    sock.listen(0)
    fillers = [socket.socket() for _ in range(FILLERS)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
    return fillers


@contextlib.contextmanager
def hole(addresses, port=0):
    """One port at which all these addresses are silent, without a sandbox;
    a free one if it is 0."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            sock = stack.enter_context(bound(address, port))
            port = sock.getsockname()[1]
            for filler in fill(sock):
                stack.enter_context(filler)
        yield port


async def _close(reader, writer):
    """Hangs up in the middle of the handshake."""
    try:
        await reader.read(1)
    except OSError:
        pass
    writer.close()


async def _reset(_reader, writer):
    wire.reset(writer)


class Network:
    """The listening socket of a server in one of MODES."""

    def __init__(self, server, folder, sock, mode):
        self.server = server
        self.folder = folder
        self.sock = sock
        self.first = self.mode = mode
        self.kind = "good"
        self.pair = certificates.make_server(folder, self.kind)
        self.acceptor = self.timer = None
        self.fillers = []

    async def set(self, mode, for_s=None):
        """Changes the mode, for that many seconds or for good. It ends all
        connections: whoever is out of reach does not go on talking."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.server.abort()
        await self._enter(mode)
        if for_s is not None:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(
                for_s, lambda: loop.create_task(self.set(self.first)))

    async def certificate(self, kind):
        """Uses a new certificate for connections to come. No TLS session of
        before is resumed: that would not look at the certificate."""
        self.kind = kind
        self.pair = certificates.make_server(self.folder, kind)
        await self._enter(self.mode)

    async def as_new(self):
        """Back to the mode and certificate of the beginning."""
        if self.kind != "good":
            await self.certificate("good")
        if self.mode != self.first or self.timer is not None:
            await self.set(self.first)

    def close(self):
        """Ends it for good."""
        self._leave()
        self.sock.close()

    def _leave(self):
        """Accepts from nobody; the socket itself goes on listening."""
        if self.acceptor is not None:
            self.acceptor.close()
            self.acceptor = None
        for filler in self.fillers:
            filler.close()
        self.fillers.clear()

    async def _enter(self, mode):
        self._leave()
        self.mode = mode
        self.server.says_continue = mode != "no-continue"
        if mode in ("refused", "silent") and self.sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.sock.shutdown(socket.SHUT_RDWR)  # it can listen again
        if mode == "silent":
            self.fillers = fill(self.sock)
        elif mode == "mute":
            self.sock.listen(BACKLOG)
        elif mode in ("close", "reset"):
            await self._accept(_close if mode == "close" else _reset)
        elif mode == "plain":
            await self._accept(self.server.serve)
        elif mode != "refused":
            await self._accept(
                self.server.serve, ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=SHUTDOWN_S,
                ssl=_tls_context(self.pair, TLS_MAX.get(mode)))

    async def _accept(self, serve, **tls):
        self.acceptor = await asyncio.start_server(
            serve, sock=self.sock.dup(), limit=wire.HEAD_MAX,
            backlog=BACKLOG, **tls)
