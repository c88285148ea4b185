#!/usr/bin/python3
"""Serves the three endpoints from this checkout through a real web server.

Called by "make run". Environment: PORT (else the setting PORT, else 8000),
SERVER (nginx or apache), SANDBOX=1 (a stand-in for Agora, with the
credentials that are set), B (build folder).

Without credentials the sandbox is used with a demo pair. The web server runs
from the files in deploy/, from a temporary folder. Ctrl-C or TERM ends
everything that was started.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/system"), str(ROOT / "tests/sandbox")]

# pylint: disable=wrong-import-position
import client  # noqa: E402  the sandbox
import servers  # noqa: E402  nginx and Apache from deploy/

BUILD = ROOT / os.environ.get("B", "build")
DEMO_APP_ID = "0123456789abcdef0123456789abcdef"
DEMO_CERTIFICATE = "fedcba9876543210fedcba9876543210"
NAMES = ("APP_ID", "APP_CERTIFICATE")


def say(text):
    """One line for the person at the terminal."""
    print(text, flush=True)


def check():
    """What get_config.fcgi --check says about the settings of this folder."""
    done = subprocess.run([BUILD / "get_config.fcgi", "--check"], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode == 0, done.stdout


def missing_only(report):
    """Whether nothing is wrong but that there are no credentials."""
    problems = re.findall(r"^  problem: (.*)$", report, re.M)
    return len(problems) == len(NAMES) and all(
        any(problem.startswith(f"{name} is missing") for problem in problems)
        for name in NAMES)


def look_up(name, pattern):
    """A setting that this script itself needs, or None.

    ${pattern} is what its value looks like, which is simple enough to need
    no more of the files' grammar. The programs read the files properly.
    """
    keys = (name, f"AGORA_{name}")
    for key in keys:
        if os.environ.get(key):
            return os.environ[key]
    line = re.compile(rf"""^\s*(?:export\s+)?(?:{"|".join(keys)})\s*=\s*
                      ["']?({pattern})["']?\s*(?:\#.*)?$""", re.M | re.X)
    for file in (os.environ.get("AGORA_ENV_FILE", ""), ROOT / ".env.local",
                 ROOT / ".env"):
        if os.path.isfile(file):
            found = line.search(pathlib.Path(file).read_text(encoding="utf-8"))
            if found:
                return found.group(1)
    return None


def credential(name):
    """The value of APP_ID or APP_CERTIFICATE, for the sandbox's ears only."""
    value = look_up(name, "[0-9a-fA-F]{32}")
    if value is None:
        raise SystemExit(f"SANDBOX=1: {name} is not in the environment, "
                         ".env.local or .env of this folder")
    return value


def port_number():
    """PORT, which only this script uses."""
    text = look_up("PORT", "[0-9]+") or "8000"
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise SystemExit(f"PORT must be a number from 1 to 65535, not {text}")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", int(text)))
        except OSError as error:
            raise SystemExit(f"port {text}: {error.strerror}; choose another "
                             "with PORT=") from error
    return int(text)


class Stack:
    """Sandbox, programs and web server, ended in reverse."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.env = dict(os.environ)
        self.sandbox = self.server = None
        self.programs = []

    def start_sandbox(self, demo):
        """Points the programs at a sandbox of their own."""
        app_id = DEMO_APP_ID if demo else credential("APP_ID")
        certificate = DEMO_CERTIFICATE if demo else \
            credential("APP_CERTIFICATE")
        self.sandbox = client.Sandbox(self.folder, app_id=app_id,
                                      app_certificate=certificate)
        self.sandbox.start()
        self.env.update(AGORA_API_BASE_URL=self.sandbox.base_url,
                        AGORA_CA_FILE=self.sandbox.ca_file)
        if demo:
            self.env.update(APP_ID=app_id, APP_CERTIFICATE=certificate)
        say(f"sandbox: {self.sandbox.origin} stands in for Agora")

    def start_programs(self):
        """One parent and two workers each."""
        sockets = {}
        for name in servers.ENDPOINTS:
            sockets[name] = str(self.folder / f"{name}.sock")
            self.programs.append(subprocess.Popen(
                [BUILD / f"{name}.fcgi", "--listen", sockets[name],
                 "--workers", "2"], cwd=ROOT, env=self.env,
                stdin=subprocess.DEVNULL))
        servers.await_sockets(sockets.values(), self.programs)
        return sockets

    def start_server(self, kind, port, sockets):
        """nginx, or Apache with mod_proxy_fcgi, as deploy/ has them."""
        folder = self.folder / kind
        folder.mkdir(mode=0o755)
        if kind == "apache":
            self.server = servers.Apache(folder, "proxy-fcgi", port=port,
                                         sockets=sockets)
        else:
            self.server = servers.Nginx(folder, port=port, sockets=sockets)

    def stop(self):
        """Ends everything, by pid, and waits for it."""
        if self.server is not None:
            self.server.end()
        for program in self.programs:
            program.send_signal(signal.SIGTERM)
        for program in self.programs:
            program.wait()
        if self.sandbox is not None and self.sandbox.process is not None:
            self.sandbox.stop(check=False)


def serve(stack, kind, port, sandbox, demo):
    """Starts everything and waits for a signal or for something to end."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: over.set())
    if sandbox:
        stack.start_sandbox(demo)
    stack.start_server(kind, port, stack.start_programs())
    say(f"ready: http://localhost:{port}")
    watched = stack.programs + [stack.server.process]
    while not over.wait(0.5):
        ended = [process for process in watched if process.poll() is not None]
        # Ctrl-C reaches all of them, perhaps before it reaches us.
        if ended and not over.wait(0.5):
            say(f"{ended[0].args[0]} has ended; stopping")
            return 1
    return 0


def main():
    """Chooses what to run from settings and environment."""
    kind = os.environ.get("SERVER", "nginx")
    port = port_number()
    if kind not in ("nginx", "apache"):
        raise SystemExit("SERVER must be nginx or apache")
    usable, report = check()
    demo = not usable and missing_only(report)
    if not usable and not demo:
        say(report)
        return 1
    sandbox = demo or os.environ.get("SANDBOX") == "1"
    if demo:
        say("no credentials are set (APP_ID, APP_CERTIFICATE in .env): "
            "using a demo pair and the sandbox")
    with tempfile.TemporaryDirectory(prefix="agora-agent-") as folder:
        os.chmod(folder, 0o711)
        stack = Stack(folder)
        try:
            return serve(stack, kind, port, sandbox, demo)
        except (AssertionError, OSError, RuntimeError) as error:
            say(f"cannot serve: {error}")
            return 1
        finally:
            stack.stop()


if __name__ == "__main__":
    sys.exit(main())
