"""Stands in for Agora's Conversational AI REST API, for tests, benchmarks
and a first try without an account.

    python3 tests/sandbox/sandbox.py --dir DIR [--port 0]

Prints "ready: https://HOST:PORT control: http://HOST:PORT" when it serves;
clients trust DIR/ca.pem. The control calls are answered on either port, but
the second is there in every weather.
TERM or INT ends it at once.
"""

import argparse
import asyncio
import os
import signal
import time

import certificates
import faults
import network
import wire
from agora import Agora
from control import Control

# The pair of Agora's own published test tokens: no account's secret.
APP_ID = "970CA35de60c44645bbae8a215061b33"
APP_CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
LINGER_S = 0.5  # how long a refused client may go on sending


class Server:
    """Connections, and which half of the sandbox their requests go to."""

    def __init__(self, agora, say, control=None):
        """Without ${agora} it is for control calls only."""
        self.agora = agora
        self.say = say
        self.control = control
        self.says_continue = True
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
        request = await wire.read_request(reader, writer,
                                          self.says_continue)
        if request is None:
            return False
        request.connection = number
        request.peer = str((writer.get_extra_info("peername") or "?")[0])
        if self.agora is None or request.segments[0] == "_sandbox":
            response, do = await self.control.answer(request), {}
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


def plain_line(entry):
    """One line a person can follow."""
    text = (f"{entry['call'] or entry['method']} "
            f"{entry['channel'] or entry['agent_id'] or '-'} "
            f"{entry['status'] or 'no answer'}")
    print(time.strftime("%H:%M:%S", time.gmtime()),
          "".join(c if c.isprintable() else "?" for c in text), flush=True)


def no_line(_entry):
    """Says nothing: the ledger has it."""


def first_mode(args):
    """The mode that the command line asks for."""
    if args.plain_http:
        return "plain"
    return {"1.3": "on"}.get(args.tls_max, f"tls{args.tls_max}")


async def run(args):
    """Serves until TERM or INT."""
    certificates.make_authority(args.dir)
    agora = Agora(args.app_id, args.app_certificate, args.idle)
    server = Server(agora, plain_line if args.plain_log else no_line)
    sock = network.bound(args.host, args.port)
    door = network.Network(server, args.dir, sock, first_mode(args))
    server.control = Control(agora, door)
    backdoor = Server(None, no_line, server.control)
    await door.set(door.first)
    listener = await asyncio.start_server(backdoor.serve, args.host, 0,
                                          limit=wire.HEAD_MAX)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if args.until_eof:
        asyncio.get_running_loop().add_reader(0, stop.set)
    scheme = "http" if args.plain_http else "https"
    print(f"ready: {scheme}://{args.host}:{sock.getsockname()[1]} control: "
          f"http://{args.host}:{listener.sockets[0].getsockname()[1]}",
          flush=True)
    await stop.wait()
    listener.close()
    door.close()
    server.abort()
    backdoor.abort()


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
