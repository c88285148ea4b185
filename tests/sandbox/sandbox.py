"""Stands in for Agora's Conversational AI REST API, for tests, benchmarks
and a first try without an account.

    python3 tests/sandbox/sandbox.py --dir DIR [--port 0]

Prints "ready: https://HOST:PORT" when it serves; clients trust DIR/ca.pem.
TERM or INT ends it at once.
"""

import argparse
import asyncio
import os
import signal
import ssl
import time
import warnings

import certificates
import faults
import wire
from agora import Agora
from control import Control

# The pair of Agora's own published test tokens: no account's secret.
APP_ID = "970CA35de60c44645bbae8a215061b33"
APP_CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
BACKLOG = 1024
HANDSHAKE_S = 10
LINGER_S = 0.5  # how long a refused client may go on sending
SHUTDOWN_S = 1  # how long a closing TLS connection may take


class Server:
    """Connections, and which half of the sandbox their requests go to."""

    def __init__(self, agora, control, say):
        self.agora = agora
        self.control = control
        self.say = say
        self.connections = 0
        self.open = set()

    async def serve(self, reader, writer):
        """One connection from its first request to its end."""
        self.connections += 1
        number = self.connections
        self.open.add(writer)
        try:
            while await self._one_request(reader, writer, number):
                pass
        except wire.BadRequest as error:
            await self._refuse(reader, writer, error)
        except OSError:
            pass  # the client has left, which tests do on purpose
        finally:
            self.open.discard(writer)
            writer.close()

    async def _one_request(self, reader, writer, number):
        """Reads and answers; whether another request may follow."""
        request = await wire.read_request(reader, writer)
        if request is None:
            return False
        request.connection = number
        request.peer = str((writer.get_extra_info("peername") or "?")[0])
        if request.segments[0] == "_sandbox":
            response, do = self.control.answer(request), {}
            entry = None
        else:
            response, do, entry = self.agora.answer(request)
            self.say(entry)
        if request.wants_close():
            response.headers["Connection"] = "close"
        keep = await wire.send(reader, writer, response, do)
        if entry and faults.whole(do):
            self.agora.delivered(response, entry)
        return keep and not request.wants_close()

    async def _refuse(self, reader, writer, error):
        response = wire.json_response(error.status, {"message": str(error)},
                                      Connection="close")
        try:
            await wire.send(reader, writer, response, {})
            await wire.discard(reader, LINGER_S)
        except OSError:
            pass

    def abort(self):
        """Ends all connections without waiting for their clients."""
        for writer in self.open:
            writer.transport.abort()


def tls_context(folder, tls_max):
    """A server context with the folder's good certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls_max == "1.1":
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():  # it is old, that is the point
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    elif tls_max == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*certificates.make_server(folder))
    return context


def plain_line(entry):
    """One line a person can follow."""
    text = (f"{entry['call'] or entry['method']} "
            f"{entry['channel'] or entry['agent_id'] or '-'} "
            f"{entry['status'] or 'no answer'}")
    print(time.strftime("%H:%M:%S", time.gmtime()),
          "".join(c if c.isprintable() else "?" for c in text), flush=True)


def no_line(_entry):
    """Says nothing: the ledger has it."""


async def run(args):
    """Serves until TERM or INT."""
    certificates.make_authority(args.dir)
    context = None if args.plain_http else tls_context(args.dir, args.tls_max)

    def new_certificate(kind):
        pair = certificates.make_server(args.dir, kind)
        if context is not None:
            context.load_cert_chain(*pair)

    agora = Agora(args.app_id, args.app_certificate, args.idle)
    server = Server(agora, Control(agora, new_certificate),
                    plain_line if args.plain_log else no_line)
    tls = {} if context is None else {
        "ssl": context, "ssl_handshake_timeout": HANDSHAKE_S,
        "ssl_shutdown_timeout": SHUTDOWN_S}
    listener = await asyncio.start_server(
        server.serve, args.host, args.port, limit=wire.HEAD_MAX,
        backlog=BACKLOG, **tls)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if args.until_eof:
        asyncio.get_running_loop().add_reader(0, stop.set)
    port = listener.sockets[0].getsockname()[1]
    scheme = "http" if context is None else "https"
    print(f"ready: {scheme}://{args.host}:{port}", flush=True)
    await stop.wait()
    listener.close()
    server.abort()


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dir", required=True,
                        help="folder for the certificates; made if absent")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--app-id", default=APP_ID)
    parser.add_argument("--idle", type=float, default=0.0, metavar="FACTOR",
                        help="end agents after idle_timeout / FACTOR seconds")
    parser.add_argument("--tls-max", choices=("1.1", "1.2", "1.3"),
                        default="1.3")
    parser.add_argument("--plain-http", action="store_true",
                        help="no TLS, to be called as https by mistake")
    parser.add_argument("--plain-log", action="store_true",
                        help="one line per call on stdout")
    parser.add_argument("--until-eof", action="store_true",
                        help="end when stdin does, so with the parent")
    args = parser.parse_args()
    # Every user of the machine can read a command line.
    args.app_certificate = os.environ.get("SANDBOX_APP_CERTIFICATE",
                                          APP_CERTIFICATE)
    return args


def main():
    """The program."""
    args = arguments()
    os.makedirs(args.dir, exist_ok=True)
    asyncio.run(run(args))


if __name__ == "__main__":
    main()
