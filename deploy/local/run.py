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
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/system"), str(ROOT / "tests/sandbox")]

# pylint: disable=wrong-import-position
import client  # noqa: E402  the sandbox
import processes  # noqa: E402
import servers  # noqa: E402  nginx and Apache from deploy/

BUILD = ROOT / os.environ.get("B", "build")
DEMO_APP_ID = "0123456789abcdef0123456789abcdef"
DEMO_CERTIFICATE = "fedcba9876543210fedcba9876543210"
NAMES = ("APP_ID", "APP_CERTIFICATE")
PAGE = "/agora-agent/"
# What the shipped files have at / is nothing; here the page is one click less.
HOME = [("nginx/site.example", "location / {\n",
         f"location = / {{\nreturn 302 {PAGE};\n}}\nlocation / {{\n"),
        ("apache/vhost-proxy-fcgi.conf", "RewriteEngine On\n\t# Everything",
         "RewriteEngine On\n"
         f'RewriteRule "^/$" {PAGE} [R=302,L]\n\t# Everything')]


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


def files():
    """The settings files that a checkout has, the first one first."""
    named = os.environ.get("AGORA_ENV_FILE")
    names = [named] if named else [ROOT / ".env.local", ROOT / ".env"]
    return [pathlib.Path(name) for name in names if os.path.isfile(name)]


def look_up(name, pattern):
    """A setting that this script itself needs, or None.

    ${pattern} is what its value looks like, which is simple enough to need
    no more of the files' grammar. The programs read the files properly.
    """
    if os.environ.get(name):
        return os.environ[name]
    line = re.compile(rf"""^\s*(?:export\s+)?{name}\s*=\s*
                      ["']?({pattern})["']?\s*(?:\#.*)?$""", re.M | re.X)
    for file in files():
        found = line.findall(file.read_text(encoding="utf-8"))
        if found:
            return found[-1]
    return None


def credentials():
    """The pair that is set, or the demo pair."""
    pair = [look_up(name, "[0-9a-fA-F]{32}") or
            look_up(f"AGORA_{name}", "[0-9a-fA-F]{32}") for name in NAMES]
    if all(pair):
        return pair
    say("no credentials in the environment, .env.local or .env of this "
        "folder: using a demo pair")
    return [DEMO_APP_ID, DEMO_CERTIFICATE]


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

    def start_sandbox(self):
        """Points the programs at a sandbox of their own. Both get the same
        pair, by the environment, which beats the files."""
        app_id, certificate = credentials()
        self.sandbox = client.Sandbox(self.folder, app_id=app_id,
                                      app_certificate=certificate)
        self.sandbox.start()
        self.env.update(AGORA_API_BASE_URL=self.sandbox.base_url,
                        AGORA_CA_FILE=self.sandbox.ca_file,
                        APP_ID=app_id, APP_CERTIFICATE=certificate)
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
        for path, program in zip(sockets.values(), self.programs):
            while not processes.can_connect(path):
                if program.poll() is not None:
                    raise RuntimeError(f"{program.args[0]} has ended")
                time.sleep(0.01)
        return sockets

    def start_server(self, kind, port, sockets):
        """nginx, or Apache with mod_proxy_fcgi, as deploy/ has them."""
        folder = self.folder / kind
        folder.mkdir(mode=0o755)
        how = {"port": port, "sockets": sockets, "replace": HOME,
               "pages": servers.copy_pages(self.folder)}
        if kind == "apache":
            self.server = servers.Apache(folder, "proxy-fcgi", **how)
        else:
            self.server = servers.Nginx(folder, **how)

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


def serve(stack, kind, port, sandbox):
    """Starts everything and waits for a signal or for something to end."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: over.set())
    if sandbox:
        stack.start_sandbox()
    stack.start_server(kind, port, stack.start_programs())
    say(f"ready: http://localhost:{port} (in a browser: the try-it page)")
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
    with tempfile.TemporaryDirectory(prefix="agora-agent-") as folder:
        os.chmod(folder, 0o711)
        stack = Stack(folder)
        try:
            return serve(stack, kind, port, sandbox)
        except (AssertionError, OSError, RuntimeError) as error:
            say(f"cannot serve: {error}")
            return 1
        finally:
            stack.stop()


if __name__ == "__main__":
    sys.exit(main())
