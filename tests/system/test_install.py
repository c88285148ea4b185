"""make install, make uninstall and make portable."""

import os
import re
import shutil
import subprocess

import pytest

from processes import ENDPOINTS, ROOT, WRAPPED

DEPLOY = ROOT / "deploy"
UNITS = "usr/lib/systemd/system"

pytestmark = pytest.mark.skipif(WRAPPED, reason="no program is run")


def tree(root):
    """All files below a folder: mode and content, by path."""
    return {str(path.relative_to(root)): (path.stat().st_mode & 0o777,
                                          path.read_bytes())
            for path in root.rglob("*") if path.is_file()}


class Machine:
    """A root below which things are installed: by DESTDIR as packages do, or
    as if it were the machine."""

    def __init__(self, root, build):
        self.root = root
        self.build = build
        self.source = ROOT

    def make(self, target, **variables):
        """Runs it on what is built; returns what it said."""
        done = subprocess.run(
            ["make", "-s", "-o", "all", target, f"B={self.build}",
             *(f"{name}={value}" for name, value in variables.items())],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=60, cwd=self.source,
            env={"PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stdout
        return done.stdout

    def here(self, target, **variables):
        """As if the root were the machine's."""
        return self.make(target, PREFIX=f"{self.root}/usr",
                         SYSCONFDIR=f"{self.root}/etc", **variables)

    def packaged(self, target, **variables):
        """As a package does it."""
        return self.make(target, **{"DESTDIR": self.root, "PREFIX": "/usr",
                                    "SYSCONFDIR": "/etc", **variables})

    def edit(self, path, text="# mine\n"):
        """What an admin does; returns the new content."""
        with open(self.root / path, "a", encoding="utf-8") as file:
            file.write(text)
        return self.read(path)

    def read(self, path):
        """The content of a file."""
        return (self.root / path).read_text(encoding="utf-8")

    def new_version(self, *names):
        """Sources in which these files of deploy/ have another line."""
        copy = self.root.parent / "source"
        if self.source == ROOT:
            copy.mkdir()
            shutil.copytree(DEPLOY, copy / "deploy")
            for name in ("Makefile", "env.sample"):
                shutil.copy2(ROOT / name, copy)
            self.source = copy
        for name in names:
            with open(copy / "deploy" / name, "a", encoding="utf-8") as file:
                file.write("# newer\n")


@pytest.fixture
def machine(tmp_path, programs):
    """One with nothing on it."""
    root = tmp_path / "root"
    root.mkdir()
    return Machine(root, programs.build)


def expected():
    """What a package holds, by path; the web servers' files and data."""
    paths = {f"usr/libexec/agora-agent/{name}.fcgi" for name in ENDPOINTS}
    paths |= {"usr/bin/agora-agent", "usr/share/agora-agent/env.sample",
              "etc/nginx/conf.d/agora-agent.conf",
              "etc/apache2/agora-agent-common.conf",
              "etc/apache2/agora-agent-www.conf",
              "etc/apache2/sites-available/agora-agent.conf",
              "etc/apache2/sites-available/agora-agent-fcgid.conf"}
    for folder, place in (("nginx/snippets", "etc/nginx/snippets"),
                          ("nginx", "usr/share/agora-agent/nginx"),
                          ("apache", "usr/share/agora-agent/apache"),
                          ("agents", "usr/share/agora-agent/agents"),
                          ("www", "usr/share/agora-agent/www"),
                          ("systemd", UNITS)):
        paths |= {f"{place}/{path.relative_to(DEPLOY / folder)}"
                  for path in (DEPLOY / folder).rglob("*") if path.is_file()}
    paths |= {f"usr/share/man/man{page.suffix[1:]}/{page.name}"
              for page in DEPLOY.glob("man/*.[578]")}
    return paths


def test_a_package(machine):
    """Every file in its place, the programs executable, nothing half written
    left behind; and no settings, which a package makes itself."""
    machine.packaged("install")
    files = tree(machine.root)
    assert set(files) == expected()
    for path, (mode, _) in files.items():
        runs = path.startswith(("usr/libexec/", "usr/bin/"))
        assert mode == (0o755 if runs else 0o644), path
    assert (machine.root / "etc/agora-agent/agents").is_dir()
    for path, text in ((path, text) for path, (_, text) in files.items()
                       if path.startswith(("etc/", UNITS))
                       or "/man/" in path):
        assert b"/usr/local/" not in text, path
        assert str(machine.root).encode() not in text, path


def test_the_paths_and_the_group_are_variables(machine):
    """As Red Hat's systems have them."""
    variables = {"PREFIX": "/opt/voice", "SYSCONFDIR": "/opt/etc",
                 "WEBGROUP": "nginx", "NGINXDIR": "", "UNITDIR": "/units",
                 "APACHEDIR": "/etc/httpd"}
    machine.packaged("install", **variables)
    paths = set(tree(machine.root))
    assert not any("etc/nginx" in path for path in paths)
    assert "etc/httpd/agora-agent-common.conf" in paths
    assert "\nSocketGroup=nginx\n" in machine.read(
        "units/agora-agent@.socket")
    service = machine.read("units/agora-agent@.service")
    assert "\nExecStart=/opt/voice/libexec/agora-agent/%i.fcgi " in service
    assert "\nLoadCredential=env:/opt/etc/agora-agent/env\n" in service
    assert "/opt/voice/libexec/agora-agent/get_config.fcgi" in machine.read(
        "etc/httpd/sites-available/agora-agent-fcgid.conf")
    machine.packaged("uninstall", **variables)
    assert not tree(machine.root)


def test_settings_are_made_once(machine):
    """0600, from env.sample; a second time, and at the end, they stay."""
    said = machine.here("install")
    path = machine.root / "etc/agora-agent/env"
    assert f"made {path}" in said
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == (ROOT / "env.sample").read_bytes()
    mine = machine.edit("etc/agora-agent/env", "APP_ID=mine\n")
    assert machine.here("install") == ""
    assert machine.read("etc/agora-agent/env") == mine
    assert f"kept {path}" in machine.here("uninstall")
    assert tree(machine.root) == {
        "etc/agora-agent/env": (0o600, mine.encode())}


def test_uninstall_leaves_what_others_put_there(machine):
    """Files of a web server, the folders that were there before, and what was
    put beside the try-it page."""
    others = machine.root / "etc/nginx/snippets/fastcgi-php.conf"
    others.parent.mkdir(parents=True)
    others.write_text("# Debian's\n", encoding="utf-8")
    before = tree(machine.root)
    machine.packaged("install")
    sdk = "usr/share/agora-agent/www/vendor/AgoraRTC_N.js"
    machine.edit(sdk, "// somebody else's\n")
    machine.packaged("install")
    assert f"kept {machine.root}/{sdk}" in machine.packaged("uninstall")
    os.remove(machine.root / sdk)
    assert tree(machine.root) == before
    machine.packaged("install")
    machine.packaged("uninstall")
    assert tree(machine.root) == before
    for folder in ("etc/agora-agent", "etc/nginx/snippets/agora-agent",
                   "usr/libexec/agora-agent", "usr/share/agora-agent",
                   f"{UNITS}/agora-agent@get_config.service.d"):
        assert not (machine.root / folder).exists()


def test_a_new_version_replaces_what_nobody_edited(machine):
    """Programs, units, and the web servers' files."""
    machine.packaged("install")
    changed = ("nginx/agora-agent.conf", "apache/agora-agent-common.conf",
               "systemd/agora-agent@.socket")
    machine.new_version(*changed)
    assert machine.packaged("install") == ""
    for path in ("etc/nginx/conf.d/agora-agent.conf",
                 "etc/apache2/agora-agent-common.conf",
                 f"{UNITS}/agora-agent@.socket"):
        assert machine.read(path).endswith("# newer\n")
    assert set(tree(machine.root)) == expected()


def test_a_new_version_keeps_the_sdks(machine):
    """Which the admin puts beside the try-it page."""
    machine.packaged("install")
    sdk = machine.root / "usr/share/agora-agent/www/vendor/sdk.js"
    sdk.write_text("x", encoding="utf-8")
    machine.packaged("install")
    assert sdk.read_text(encoding="utf-8") == "x"


def test_an_edited_file_is_kept(machine):
    """With all other files of its server, for old and new may not fit
    together; the other server's are replaced. What is new lies beside them,
    under names that the servers do not read."""
    conf = "etc/nginx/conf.d/agora-agent.conf"
    snippet = "etc/nginx/snippets/agora-agent/common.conf"
    machine.packaged("install")
    mine = machine.edit(conf)
    old = machine.read(snippet)
    assert f"{conf}, which was edited" in machine.packaged("install")
    machine.new_version("nginx/snippets/agora-agent/common.conf",
                        "apache/agora-agent-common.conf")
    said = machine.packaged("install")
    assert f"kept {machine.root}/{snippet}; this version's is" in said
    assert machine.read(conf) == mine and machine.read(snippet) == old
    assert machine.read(f"{snippet}.new") == old + "# newer\n"
    assert machine.read("etc/apache2/agora-agent-common.conf").endswith(
        "# newer\n")

    # Once more says it no more, and another version tells again.
    assert f"{snippet}.new" not in machine.packaged("install")
    machine.new_version("nginx/agora-agent.conf")
    machine.packaged("install")
    assert machine.read(conf) == mine
    assert machine.read(f"{conf}.new").endswith("# newer\n")

    # The admin has taken over what is new: all is as it was.
    for path in (conf, snippet):
        os.rename(machine.root / f"{path}.new", machine.root / path)
    assert machine.packaged("install") == ""
    machine.new_version("nginx/agora-agent.conf")
    assert machine.packaged("install") == ""
    assert machine.read(conf).endswith("# newer\n# newer\n")

    mine = machine.edit(conf)
    machine.new_version("nginx/agora-agent.conf")
    machine.packaged("install")
    assert f"kept {machine.root}/{conf}" in machine.packaged("uninstall")
    assert tree(machine.root) == {conf: (0o644, mine.encode())}


@pytest.mark.parametrize("server, site, text", [
    ("nginx", "default",
     "server {\n\tinclude snippets/agora-agent.conf;\n}\n"),
    ("nginx", "balancer", "add_header Vary $agora_agent_vary always;\n"),
    ("apache2", "agora-agent.conf", ""),
    ("apache2", "mine.conf", "Include agora-agent-www.conf\n"),
])
def test_uninstall_breaks_no_server(machine, server, site, text):
    """One whose enabled site includes our files would not start without
    them: they stay until it is disabled."""
    etc = machine.root / "etc" / server
    machine.packaged("install")
    (etc / "sites-enabled").mkdir()
    (etc / "sites-available").mkdir(exist_ok=True)
    machine.edit(f"etc/{server}/sites-available/{site}", text)
    link = etc / "sites-enabled" / site
    link.symlink_to(f"../sites-available/{site}")
    before = tree(etc)
    said = machine.packaged("uninstall")
    assert f"kept the files of {server.removesuffix('2')}" in said
    assert str(link) in said
    assert tree(etc) == before
    link.unlink()
    assert "still" not in machine.packaged("uninstall")
    assert set(tree(machine.root)) == (
        {f"etc/{server}/sites-available/{site}"} if text else set())


def test_a_running_program_is_replaced(machine, rig):
    """Writing to its file would fail, or crash it."""
    machine.packaged("install")
    installed = machine.root / "usr/libexec/agora-agent/get_config.fcgi"
    program = rig.programs.listen("get_config", rig.env_file("default"),
                                  executable=installed)
    inode = installed.stat().st_ino
    machine.packaged("install")
    assert installed.stat().st_ino != inode
    assert program.stop() == 0


@pytest.mark.skipif(os.environ.get("B", "build") != "build",
                    reason="a variant's objects are not the product's")
def test_portable(machine):
    """Neither libfcgi nor json-c is needed where it runs; what is, is said.
    Only linked anew, for the objects are the product's."""
    build = machine.root / "portable"
    for path in machine.build.rglob("*.[oa]"):
        copy = build / path.relative_to(machine.build)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    said = machine.make("portable", B=build)
    for name in (*(f"{name}.fcgi" for name in ENDPOINTS), "agora-agent"):
        needs = subprocess.run(["ldd", build / name], check=True, text=True,
                               stdout=subprocess.PIPE).stdout
        assert "libc.so" in needs
        assert "libfcgi" not in needs and "libjson-c" not in needs
    found = re.search(r"glibc (2\.\d+) or newer .* and (.*)", said)
    assert found, said
    assert {"libcrypto.so.3", "libcurl.so.4"} <= set(found[2].split())
    assert "libc.so" not in found[2]
    symbols = subprocess.run(
        ["objdump", "-T", build / "start_agent.fcgi"], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    versions = re.findall(r"GLIBC_2\.(\d+)", symbols)
    assert found[1] == f"2.{max(map(int, versions))}"
    done = subprocess.run([build / "get_config.fcgi", "--version"],
                          check=True, stdout=subprocess.PIPE)
    assert done.stdout.startswith(b"agora-agent get_config ")


@pytest.mark.parametrize("endpoint, limit", [
    ("get_config", 0.5), ("start_agent", 1.2), ("stop_agent", 1.2)])
def test_the_units_are_a_sandbox(machine, endpoint, limit):
    """What systemd itself thinks of what a unit leaves open, 0 to 10."""
    machine.packaged("install")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager",
         f"--root={machine.root}", f"agora-agent@{endpoint}.service"],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60)
    found = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) <= limit, done.stdout
