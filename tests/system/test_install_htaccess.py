"""make install-htaccess, by a user of a shared host who can do nothing else,
and what Apache then makes of it.

The user exists only in a mount namespace, where /etc/passwd has one more line
and suexec may run programs below the user's home.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

import servers
from processes import ENDPOINTS, ROOT, WRAPPED
from transports import Http

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or WRAPPED,
    reason="needs root, to be another user; a wrapper needs an environment")

NAME = "visitor"
ID = 4711
SUEXEC = pathlib.Path("/etc/apache2/suexec/www-data")
JSON = [("Content-Type", "application/json")]


class Host:
    """A machine with one customer."""

    def __init__(self, folder, build):
        self.folder = folder
        self.home = folder / "home"
        self.web = self.home / "public_html/voice"
        self.config = self.home / ".config/agora-agent"
        self.source = folder / "source"
        folder.chmod(0o755)
        (self.home / "public_html").mkdir(parents=True)
        self.log = folder / "suexec-log"
        self.log.mkdir()
        self._upload(build)
        self.give(self.home)
        self.mounts = []
        for name, line in (("passwd", f"{NAME}:x:{ID}:{ID}::{self.home}:"
                                      "/bin/sh\n"),
                           ("group", f"{NAME}:x:{ID}:\n")):
            etc = pathlib.Path("/etc") / name
            self._mount(name, etc.read_text(encoding="utf-8") + line, etc)
        self._mount("suexec", f"{self.home}\npublic_html\n", SUEXEC)

    def _upload(self, build):
        """The sources with what was built from them."""
        self.source.mkdir()
        shutil.copytree(ROOT / "deploy", self.source / "deploy")
        for name in ("Makefile", "env.sample"):
            shutil.copy2(ROOT / name, self.source)
        (self.source / "build").mkdir()
        for name in ENDPOINTS:
            shutil.copy2(build / f"{name}.fcgi", self.source / "build")
            (self.source / f"build/{name}.fcgi").chmod(0o755)

    def _mount(self, name, text, place):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        self.mounts.append((path, place))

    def give(self, path):
        """Makes the customer the owner of everything below."""
        for below in (path, *path.rglob("*")):
            os.chown(below, ID, ID)

    def wrap(self, command):
        """The command in the namespace, as root."""
        mounts = "".join(f"mount --bind {path} {place}\n"
                         for path, place in self.mounts)
        return ["unshare", "--mount", "sh", "-euc",
                f"{mounts}mount --bind {self.log} /var/log/apache2\n"
                'exec "$@"', "sh", *map(str, command)]

    def run(self, *command):
        """As the customer; exit status and what was said."""
        done = subprocess.run(
            self.wrap(["setpriv", f"--reuid={ID}", f"--regid={ID}",
                       "--clear-groups", "env", "-i", f"HOME={self.home}",
                       "PATH=/usr/bin:/bin", *command]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=60, cwd=self.source)
        return done.returncode, done.stdout

    def install(self, web="~/public_html/voice"):
        """The command; "~" is left to it, as some shells do."""
        return self.run("make", "-s", "-o", "all", "install-htaccess",
                        f"WEBDIR={web}")

    def configure(self, settings):
        """Edits the settings file."""
        settings.pop("STATE_DIR", None)
        with open(self.config / "env", "a", encoding="utf-8") as file:
            for name, value in settings.items():
                file.write(f"{name}='{value}'\n")

    def files(self):
        """Everything in the web folder, by name."""
        return {path.name: path.read_bytes() for path in self.web.iterdir()}


class SharedApache(servers.Apache):
    """Apache in front of that customer's folder: it runs the programs through
    suexec, or runs as the customer itself, as mpm-itk and others do."""

    usual = (*servers.Apache.usual, "AH01232: ")  # suexec is there

    def __init__(self, host, vhost, suexec, **more):
        self.machine = host
        self.suexec = suexec
        folder = host.folder / "apache"
        folder.mkdir(mode=0o755)
        super().__init__(folder, vhost, **more)

    def _prepare_folder(self):
        super()._prepare_folder()
        if not self.suexec:
            os.chown(self.folder / "tmp", ID, ID)

    def _www(self):
        return self.machine.home / "public_html"

    def _modules(self):
        suexec = "Include /etc/apache2/mods-available/suexec.load\n"
        return super()._modules() + (suexec if self.suexec else "")

    def _main(self):
        text = super()._main()
        if not self.suexec:
            old = f"User {servers.WEB_USER}\nGroup {servers.WEB_USER}\n"
            assert old in text
            text = text.replace(old, f"User {NAME}\nGroup {NAME}\n")
        return text

    def _shared_host(self):
        suexec = f"SuexecUserGroup {NAME} {NAME}\n" if self.suexec else ""
        return (f"<VirtualHost 127.0.0.1:{self.port}>\n{suexec}"
                f"TraceEnable off\n{self._pages(self.host)}</VirtualHost>\n")

    def _configure(self):
        command, env = super()._configure()
        return self.machine.wrap(command), env


@pytest.fixture
def host(folder, programs):
    """One on which nothing is installed."""
    return Host(folder, programs.build)


def call_all(transport, upstream):
    """get_config, a start and a stop, as a page does it."""
    base = "/voice"
    answer = transport.request("GET", f"{base}/get_config")
    assert answer.status == 200, answer.body
    given = answer.json["data"]
    # The token of a get_config is for its page; we are no page.
    body = (f'{{"channelName":"{given["channel_name"]}",'
            f'"rtcUid":"{given["agent_uid"]}","userUid":"{given["uid"]}"}}')
    answer = transport.request("POST", f"{base}/v2/startAgent", JSON,
                               body.encode())
    assert answer.status == 200, answer.body
    agent = answer.json["data"]["agent_id"]
    assert upstream.agent(given["channel_name"])["agent_id"] == agent
    answer = transport.request("POST", f"{base}/v2/stopAgent", JSON,
                               f'{{"agentId":"{agent}"}}'.encode())
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("suexec", [True, False],
                         ids=["suexec", "own server"])
@pytest.mark.parametrize("vhost", ["htaccess-fcgid", "htaccess-cgid"])
def test_an_upload_is_all_it_takes(host, upstream, vhost, suexec):
    """Installed, two settings filled in, and all three endpoints answer. No
    variable says where the settings are."""
    status, said = host.install()
    assert status == 0, said
    assert "fill in APP_ID and APP_CERTIFICATE" in said
    host.configure(upstream.settings())
    status, said = host.install()
    assert status == 0 and f"{host.config}/env" in said, said
    assert "done; the routes are below" in said
    server = SharedApache(host, vhost, suexec)
    transport = Http(vhost, server)
    try:
        call_all(transport, upstream)
    finally:
        transport.close()
    log = host.log / "suexec.log"
    assert log.exists() == suexec
    if suexec:
        assert "cmd: start_agent.fcgi" in log.read_text(encoding="utf-8")


def test_what_it_leaves(host):
    """Programs that can be run, settings that nobody else can read; a second
    time it changes neither settings nor what was edited."""
    assert host.install()[0] == 0
    assert set(host.files()) == {".htaccess", *(
        f"{name}.fcgi" for name in ENDPOINTS)}
    assert host.config.stat().st_mode & 0o777 == 0o700
    assert (host.config / "env").stat().st_mode & 0o777 == 0o600
    for name, mode in ((".htaccess", 0o644), ("get_config.fcgi", 0o755)):
        stat = (host.web / name).stat()
        assert stat.st_mode & 0o777 == mode and stat.st_uid == ID

    # A version with another .htaccess and other programs.
    shipped = host.source / "deploy/apache/htaccess"
    old = shipped.read_bytes()
    shipped.write_bytes(old + b"# new\n")
    (host.source / "build/get_config.fcgi").write_bytes(
        pathlib.Path("/bin/true").read_bytes())
    with open(host.config / "env", "a", encoding="utf-8") as file:
        file.write("APP_ID=mine\n")
    before = (host.web / "get_config.fcgi").stat().st_ino
    assert host.install()[0] != 0  # APP_ID is wrong, and --check says so
    assert host.files()[".htaccess"] == old + b"# new\n"
    assert (host.web / "get_config.fcgi").stat().st_ino != before
    assert "APP_ID=mine" in (host.config / "env").read_text("utf-8")

    # An edited one is kept, and the next version lies beside it.
    (host.web / ".htaccess").write_bytes(old + b"# mine, of agora-agent\n")
    shipped.write_bytes(old + b"# newer\n")
    _, said = host.install()
    assert "this version's is .htaccess.new" in said
    assert host.files()[".htaccess"] == old + b"# mine, of agora-agent\n"
    assert host.files()[".htaccess.new"] == old + b"# newer\n"
    _, said = host.install()
    assert ".htaccess.new" not in said


@pytest.mark.parametrize("place", ["voice/.env", "voice/old/env",
                                   "voice/.env.local", ".env"])
def test_settings_in_the_web_folder_are_refused(host, place):
    """Nothing is installed."""
    path = host.home / "public_html" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("APP_ID=\n", encoding="utf-8")
    host.give(host.home)
    status, said = host.install()
    assert status != 0
    assert f"{path} is a settings file in a folder of the web site" in said
    assert not list(host.web.glob("*.fcgi")) and not host.config.exists()


def test_settings_put_there_later_are_refused_too(host, upstream):
    """By the programs, and Apache does not hand them out."""
    assert host.install()[0] == 0
    host.configure(upstream.settings())
    path = host.web / ".env"
    path.write_text("APP_ID=\n", encoding="utf-8")
    path.chmod(0o600)
    host.give(host.web)
    server = SharedApache(host, "htaccess-cgid", True)
    server.expect("AH02811: ", servers.FORBIDDEN,
                  "AH01215: ")
    transport = Http("htaccess-cgid", server)
    try:
        answer = transport.request("GET", "/voice/get_config")
        assert answer.status == 500
        assert "not properly configured" in answer.json["detail"]
        assert transport.request("GET", "/voice/.env").status == 403
    finally:
        transport.close()


def test_suexec_refuses_what_we_warn_of(host, upstream):
    """A folder that its group can write to."""
    host.web.mkdir()
    host.web.chmod(0o775)
    host.give(host.web)
    _, said = host.install()
    assert f"chmod go-w {host.web}" in said
    host.configure(upstream.settings())
    server = SharedApache(host, "htaccess-cgid", True)
    server.expect("AH01215: ", "suexec policy",
                  servers.BROKEN_PROGRAM)
    transport = Http("htaccess-cgid", server)
    try:
        assert transport.request("GET", "/voice/get_config").status == 500
        host.web.chmod(0o755)
        assert "warning" not in host.install()[1]
        assert transport.request("GET", "/voice/get_config").status == 200
    finally:
        transport.close()


def test_what_it_is_not_for(host):
    """No folder, root, and a folder with an .htaccess of another kind, under
    which Apache would hand the programs out."""
    status, said = host.install("")
    assert status != 0 and "WEBDIR=" in said
    done = subprocess.run(
        ["deploy/install-htaccess.sh"], check=False, timeout=60, text=True,
        env={"B": "build", "WEBDIR": str(host.web), "HOME": str(host.home),
             "PATH": os.environ["PATH"]}, stderr=subprocess.PIPE,
        cwd=host.source)
    assert done.returncode != 0 and "not as root" in done.stderr
    (host.home / "public_html/.htaccess").write_text("Options -Indexes\n",
                                                     encoding="utf-8")
    host.give(host.home)
    status, said = host.install("~/public_html")
    assert status != 0 and "has an .htaccess of its own" in said
    assert not list(host.home.rglob("*.fcgi"))
