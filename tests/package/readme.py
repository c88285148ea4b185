"""The README as somebody reads it who has never seen this: section by section,
the indented lines are typed, the rest says what to write into files."""

import re
import time

from machine import STRANGER
from processes import ROOT

SOURCE = "Set it up: nginx or Apache on a machine of your own"
PACKAGE = "Install the Debian package"
SERVERS = ("nginx", "Apache")

INCLUDE = "include snippets/agora-agent.conf;"
NGINX_SITE = "/etc/nginx/sites-available/default"

# Nobody types a line faster; a server that was told to reload its files does
# so in the background.
TYPING_S = 0.5


def section(title):
    """Its text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text,
                      re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def commands(text):
    """The indented lines; one that ends in a backslash goes on in the next."""
    lines = re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def parts(title):
    """The commands of a section: before a server's name in bold, of nginx
    and of Apache."""
    pieces = re.split(r"^\*\*(nginx|Apache)\*\*", section(title),
                      flags=re.MULTILINE)
    assert pieces[1::2] == list(SERVERS), pieces[1::2]
    return [commands(piece) for piece in pieces[0::2]]


def steps(title, server):
    """What is typed for one web server."""
    common, nginx, apache = parts(title)
    return common + (nginx if server == "nginx" else apache)


def curls():
    """The three requests that show whether it works."""
    return [line for line in parts(PACKAGE)[1] if line.startswith("curl ")]


def packages():
    """What its apt commands install from Debian, as sets."""
    found = {re.sub(r"\S*/\S*", "", command.split("apt install", 1)[1])
             for title in (SOURCE, PACKAGE)
             for command in sum(parts(title), [])
             if "apt install" in command}
    return sorted(found) + ["nginx", "apache2"]


class Reader:
    """Follows the README in a machine, as a user who may use sudo.

    settings: what he writes into the settings file. seconds: how long his
    commands took, apt's left out, and typing.
    """

    def __init__(self, machine, settings, folder):
        self.machine = machine
        self.folder = folder
        self.seconds = 0.0
        self.apt_seconds = 0.0
        self.agent_id = None
        self.edits = {
            "/etc/agora-agent/env": "\n".join(
                f"s|^#\\?{name}=.*|{name}={value}|"
                for name, value in settings.items()),
            NGINX_SITE: rf"/^\tserver_name _;/a {INCLUDE}",
            "/etc/apache2/sites-available/agora-agent.conf":
                "s|api.example.com|localhost|",
        }

    def edit(self, path):
        """What he changes with sudoedit, and how: as what EDITOR names."""
        script = f"/home/{STRANGER}/edit.sed"
        self.machine.path(script).write_text(self.edits[path],
                                             encoding="utf-8")
        return self.machine.run(f"sudoedit {path}", STRANGER,
                                EDITOR=f"sed -i -f {script}")

    def type(self, command):
        """One line of the README; returns what it printed."""
        editor = re.match(r"sudoedit (\S+)", command)
        if editor:
            return self.edit(editor[1])
        time.sleep(TYPING_S)
        began = time.monotonic()
        printed = self.machine.run(command.replace("…", self.agent_id or "…"),
                                   STRANGER, self.folder)
        took = time.monotonic() - began
        if re.search(r"\bapt(-get)? ", command):
            self.apt_seconds += took
        else:
            self.seconds += took
        found = re.search(r'"agent_id":"([^"]+)"', printed)
        if found:
            self.agent_id = found[1]
        return printed

    def follow(self, lines):
        """Types them all; returns what each printed."""
        return [self.type(line) for line in lines]
